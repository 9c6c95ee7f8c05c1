from __future__ import annotations

import dataclasses

import pytest

from rnn_migrator.canonical import (
    CanonicalModel,
    CellKind,
    Direction,
    HeadLayer,
    ModelInput,
    Node,
    RecurrentLayer,
    SourceCell,
    state_names,
)
from tests.canonical.test_cells import UNITS, make_cell


def direction(kind: CellKind) -> Direction:
    cell = make_cell(kind)
    return Direction(cell, SourceCell("none", {}, {}, cell.facts))


def layer(kind: CellKind, both: bool = False, merge_mode: str = "concat") -> RecurrentLayer:
    backward = direction(kind) if both else None
    return RecurrentLayer(kind.name.lower(), direction(kind), backward, merge_mode)


def test_state_names_follow_the_order_of_keras() -> None:
    layers = (layer(CellKind.LSTM), layer(CellKind.GRU), layer(CellKind.LSTM))
    assert state_names(layers) == ["h_0", "c_0", "h_1", "h_2", "c_2"]


def test_state_names_of_both_directions() -> None:
    layers = (layer(CellKind.LSTM, both=True), layer(CellKind.GRU, both=True))
    assert state_names(layers) == ["fw_h_0", "fw_c_0", "bw_h_0", "bw_c_0", "fw_h_1", "bw_h_1"]


@pytest.mark.parametrize(
    ("both", "merge_mode", "width"),
    [(False, "concat", UNITS), (True, "concat", 2 * UNITS), (True, "sum", UNITS)],
)
def test_output_size(both: bool, merge_mode: str, width: int) -> None:
    assert layer(CellKind.LSTM, both, merge_mode).output_size == width


def test_facts_name_layer_and_direction() -> None:
    recurrent = layer(CellKind.GRU, both=True)
    head = HeadLayer("dense", "Dense", {})
    nodes = (Node(recurrent, ("x",)), Node(head, ("gru",)))
    model = CanonicalModel((ModelInput("x", (None, 3)),), nodes, ("dense",), bare_weights=False)
    assert model.recurrent_layers == (recurrent,)
    found = [(where, name) for where, name, _ in model.facts()]
    names = ["activation", "recurrent_activation", "reset_after"]
    assert found == [(where, name) for where in ("gru/fw", "gru/bw") for name in names]


def test_facts_of_an_only_direction_name_the_layer() -> None:
    model = CanonicalModel((), (Node(layer(CellKind.LSTM), ()),), ("lstm",), bare_weights=True)
    assert {where for where, _, _ in model.facts()} == {"lstm"}


def test_a_model_cannot_be_changed() -> None:
    model = CanonicalModel((), (), (), bare_weights=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.outputs = ("other",)  # type: ignore[misc]
