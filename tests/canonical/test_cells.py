from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import GRU_GATES, LSTM_GATES, Cell, CellKind, Fact, Gate, Origin

INPUTS, UNITS = 3, 4


def make_cell(kind: CellKind, *, second_bias: bool = False, **facts: Any) -> Cell:
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    gates = {
        name: Gate(
            normal(INPUTS, UNITS),
            normal(UNITS, UNITS),
            normal(UNITS),
            normal(UNITS) if second_bias else None,
        )
        for name in kind.gates
    }
    tanh, sigmoid = Fact("tanh", Origin.CLASS), Fact("sigmoid", Origin.CLASS)
    found = {name: Fact(value, Origin.USER) for name, value in facts.items()}
    return Cell(kind, gates, tanh, sigmoid, **found)


def snapshot(cell: Cell) -> dict[tuple[str, str], bytes]:
    return {
        (name, part): getattr(gate, part).tobytes()
        for name, gate in cell.gates.items()
        for part in ("kernel", "recurrent", "bias")
    }


@pytest.mark.parametrize(
    ("kind", "gates", "states"),
    [(CellKind.LSTM, LSTM_GATES, ("h", "c")), (CellKind.GRU, GRU_GATES, ("h",))],
)
def test_kind_knows_its_gates_and_states(
    kind: CellKind, gates: tuple[str, ...], states: tuple[str, ...]
) -> None:
    assert kind.gates == gates
    assert kind.states == states


@pytest.mark.parametrize("kind", CellKind)
def test_sizes_come_from_the_weights(kind: CellKind) -> None:
    cell = make_cell(kind)
    assert (cell.input_size, cell.units) == (INPUTS, UNITS)


def test_states_the_facts_of_its_kind_only() -> None:
    lstm = ["activation", "recurrent_activation", "forget_bias", "cell_clip"]
    assert list(make_cell(CellKind.LSTM).facts) == lstm
    gru = ["activation", "recurrent_activation", "reset_after"]
    assert list(make_cell(CellKind.GRU).facts) == gru


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
