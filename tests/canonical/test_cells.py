from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import (
    GRU_GATES,
    LSTM_GATES,
    SYMMETRIC_GATES,
    Cell,
    CellKind,
    Fact,
    Gate,
    Norm,
    Origin,
)
from rnn_migrator.layouts.activations import ACTIVATIONS

INPUTS, UNITS, PROJECTED = 3, 4, 2


def make_cell(
    kind: CellKind,
    *,
    bias: bool = True,
    second_bias: bool = False,
    projected: bool = False,
    normed: bool = False,
    **facts: Any,
) -> Cell:
    """A cell of random weights; facts by the names of `Cell`'s attributes."""
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    gates = {
        name: Gate(
            normal(INPUTS, UNITS),
            normal(PROJECTED if projected else UNITS, UNITS),
            normal(UNITS) if bias else None,
            normal(UNITS) if second_bias else None,
        )
        for name in kind.gates
    }
    tanh, sigmoid = Fact("tanh", Origin.CLASS), Fact("sigmoid", Origin.CLASS)
    found = {name: Fact(value, Origin.USER) for name, value in facts.items()}
    normed_things = (*kind.gates, "state") if normed else ()
    return Cell(
        kind,
        gates,
        tanh,
        sigmoid,
        **found,
        projection=normal(UNITS, PROJECTED) if projected else None,
        norms={name: Norm(normal(UNITS), normal(UNITS)) for name in normed_things},
    )


def snapshot(cell: Cell) -> dict[tuple[str, str], bytes]:
    return {
        (name, part): getattr(gate, part).tobytes()
        for name, gate in cell.gates.items()
        for part in ("kernel", "recurrent", "bias")
        if getattr(gate, part) is not None
    }


@pytest.mark.parametrize(
    ("kind", "gates", "states"),
    [
        (CellKind.LSTM, LSTM_GATES, ("h", "c")),
        (CellKind.COUPLED_LSTM, ("forget", "candidate", "output"), ("h", "c")),
        (CellKind.CONV_LSTM, LSTM_GATES, ("h", "c")),
        (CellKind.GRU, GRU_GATES, ("h",)),
        (CellKind.RNN, ("candidate",), ("h",)),
        (CellKind.UGRNN, ("update", "candidate"), ("h",)),
    ],
)
def test_kind_knows_its_gates_and_states(
    kind: CellKind, gates: tuple[str, ...], states: tuple[str, ...]
) -> None:
    assert kind.gates == gates
    assert kind.states == states
    assert kind.label


def test_kinds_are_told_apart() -> None:
    """Members of an enumeration with equal values would be one and the same."""
    assert len({kind.label for kind in CellKind}) == len(CellKind) == 6


@pytest.mark.parametrize("kind", CellKind)
def test_sizes_come_from_the_weights(kind: CellKind) -> None:
    cell = make_cell(kind)
    assert (cell.input_size, cell.units, cell.output_size) == (INPUTS, UNITS, UNITS)
    assert cell.state_sizes == dict.fromkeys(kind.states, UNITS)


def test_a_projection_is_the_width_of_the_output() -> None:
    cell = make_cell(CellKind.LSTM, projected=True)
    assert (cell.units, cell.output_size) == (UNITS, PROJECTED)
    assert cell.state_sizes == {"h": PROJECTED, "c": UNITS}


def test_states_the_facts_of_its_kind_only() -> None:
    lstm = ["activation", "recurrent_activation", "forget_bias", "cell_clip"]
    assert list(make_cell(CellKind.LSTM).facts) == lstm
    assert list(make_cell(CellKind.LSTM, projected=True).facts) == [*lstm, "proj_clip"]
    gru = ["activation", "recurrent_activation", "reset_after"]
    assert list(make_cell(CellKind.GRU).facts) == gru
    assert list(make_cell(CellKind.GRU, update_keeps="candidate").facts) == [*gru, "update_keeps"]
    assert list(make_cell(CellKind.RNN).facts) == ["activation"]
    ugrnn = ["activation", "recurrent_activation", "forget_bias"]
    assert list(make_cell(CellKind.UGRNN).facts) == ugrnn


def test_folding_behind_a_norm_adds_to_its_offset() -> None:
    cell = make_cell(CellKind.LSTM, bias=False, normed=True, forget_bias=2.5)
    folded = cell.folded()
    assert not folded.has_bias
    for name, norm in cell.norms.items():
        added = np.float32(2.5 if name == "forget" else 0.0)
        np.testing.assert_array_equal(folded.norms[name].beta, norm.beta + added)
        np.testing.assert_array_equal(folded.norms[name].gamma, norm.gamma)


def test_folding_makes_biases_where_there_are_none() -> None:
    folded = make_cell(CellKind.LSTM, bias=False, forget_bias=2.5).folded()
    for name, gate in folded.gates.items():
        expected = np.full(UNITS, 2.5 if name == "forget" else 0.0, np.float32)
        np.testing.assert_array_equal(gate.bias, expected)
        assert gate.bias is not None
        assert gate.bias.dtype == np.float32
    assert not make_cell(CellKind.LSTM, bias=False).folded().has_bias


def test_folding_a_ugrnn_adds_to_its_only_gate() -> None:
    cell = make_cell(CellKind.UGRNN, forget_bias=1.5)
    folded = cell.folded()
    added = {name: folded.gates[name].bias - gate.bias for name, gate in cell.gates.items()}
    np.testing.assert_allclose(added["update"], 1.5, atol=1e-6)
    assert not added["candidate"].any()


def test_folding_negates_an_update_gate_that_keeps_the_candidate() -> None:
    cell = make_cell(CellKind.GRU, second_bias=True, update_keeps="candidate")
    folded = cell.folded()
    assert folded.update_keeps.value == "state"
    for field in dataclasses.fields(Gate):
        before, after = (getattr(c.gates["update"], field.name) for c in (cell, folded))
        np.testing.assert_array_equal(after, -before)
    assert folded.gates["reset"] is cell.gates["reset"]
    assert folded.gates["candidate"] is cell.gates["candidate"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_only_symmetric_gates_can_be_negated(name: str) -> None:
    x = np.linspace(-4, 4, 33)
    function = ACTIVATIONS[name]
    symmetric = np.allclose(function(-x), 1 - function(x), atol=1e-12)
    assert symmetric is (name in SYMMETRIC_GATES)


def test_folding_gives_biases_to_all_gates_of_a_gru_or_none() -> None:
    cell = make_cell(CellKind.GRU)
    partly = dataclasses.replace(cell.gates["update"], bias=None)
    folded = dataclasses.replace(cell, gates={**cell.gates, "update": partly}).folded()
    np.testing.assert_array_equal(folded.gates["update"].bias, np.zeros(UNITS, np.float32))
    unbiased = make_cell(CellKind.GRU, bias=False)
    assert unbiased.folded() is unbiased


def test_folding_adds_the_forget_bias_to_the_forget_gate_alone() -> None:
    cell = make_cell(CellKind.LSTM, forget_bias=2.5)
    folded = cell.folded()
    for name, gate in cell.gates.items():
        added = np.float32(2.5 if name == "forget" else 0.0)
        np.testing.assert_array_equal(folded.gates[name].bias, gate.bias + added)
        assert folded.gates[name].bias.dtype == np.float32
    assert folded.forget_bias.value == 0.0
    assert folded.forget_bias.origin is Origin.USER


def test_folding_sums_the_two_biases_of_an_lstm() -> None:
    cell = make_cell(CellKind.LSTM, second_bias=True, forget_bias=0.0)
    folded = cell.folded()
    assert set(cell.recurrent_biases) == set(LSTM_GATES)
    assert not folded.recurrent_biases
    for name, gate in cell.gates.items():
        np.testing.assert_array_equal(
            folded.gates[name].bias, gate.bias + cell.recurrent_biases[name]
        )


def test_folding_keeps_the_two_biases_of_a_gru() -> None:
    cell = make_cell(CellKind.GRU, second_bias=True, reset_after=True)
    assert cell.folded() is cell
    assert set(cell.recurrent_biases) == set(GRU_GATES)


def test_folding_leaves_the_cell_as_it_was() -> None:
    cell = make_cell(CellKind.LSTM, forget_bias=1.0)
    before = snapshot(cell)
    cell.folded().gates["forget"].bias[:] = 7.0
    assert snapshot(cell) == before
    assert cell.forget_bias.value == 1.0


def test_folding_twice_changes_nothing_more() -> None:
    once = make_cell(CellKind.LSTM, second_bias=True, forget_bias=1.0).folded()
    assert snapshot(once.folded()) == snapshot(once)


def test_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_cell(CellKind.GRU).kind = CellKind.LSTM  # type: ignore[misc]


def test_imports_no_framework() -> None:
    """Canonical cells and layouts have to import in milliseconds."""
    code = (
        "import sys, rnn_migrator.canonical, rnn_migrator.layouts; "
        "heavy = {'tensorflow', 'keras', 'h5py'} & set(sys.modules); sys.exit(str(heavy) if heavy "
        "else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
