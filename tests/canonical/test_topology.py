from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from rnn_migrator.canonical import (
    CanonicalModel,
    Cell,
    CellKind,
    HeadLayer,
    LegacyCell,
    ModelInput,
    Node,
    RecurrentLayer,
    SourceCell,
    Stack,
    TimeDistributed,
    map_recurrent,
    state_sizes,
)
from tests.canonical.test_cells import PROJECTED, UNITS, make_cell

INPUT = ModelInput("x", (None, 3))
DENSE = HeadLayer("dense", "Dense", {})


def member(cell: Cell) -> LegacyCell:
    return LegacyCell(cell, SourceCell("none", {}, {}, cell.facts))


def stack(*kinds: CellKind, **choices: Any) -> Stack:
    return tuple(member(make_cell(kind, **choices)) for kind in kinds)


def layer(*kinds: CellKind, both: bool = False, **arguments: Any) -> RecurrentLayer:
    backward = stack(*kinds) if both else ()
    return RecurrentLayer(kinds[0].name.lower(), stack(*kinds), backward, **arguments)


def model(*layers: Any) -> CanonicalModel:
    nodes, below = [], INPUT.name
    for one in layers:
        nodes.append(Node(one, (below,)))
        below = nodes[-1].name
    return CanonicalModel((INPUT,), tuple(nodes), {"y": below}, bare_weights=False)


def test_states_are_named_in_the_order_of_keras() -> None:
    layers = (layer(CellKind.LSTM), layer(CellKind.GRU), layer(CellKind.LSTM))
    assert list(state_sizes(layers)) == ["h_0", "c_0", "h_1", "h_2", "c_2"]


def test_states_of_both_directions() -> None:
    layers = (layer(CellKind.LSTM, both=True), layer(CellKind.GRU, both=True))
    names = ["fw_h_0", "fw_c_0", "bw_h_0", "bw_c_0", "fw_h_1", "bw_h_1"]
    assert list(state_sizes(layers)) == names


def test_states_of_a_stack_are_numbered_through() -> None:
    layers = (layer(CellKind.LSTM, CellKind.GRU, both=True), layer(CellKind.RNN))
    fw, bw = ["fw_h_0", "fw_c_0", "fw_h_1"], ["bw_h_0", "bw_c_0", "bw_h_1"]
    assert list(state_sizes(layers)) == [*fw, *bw, "h_2"]


def test_a_projection_narrows_one_state_only() -> None:
    projected = RecurrentLayer("lstm", stack(CellKind.LSTM, projected=True))
    assert state_sizes((projected,)) == {"h_0": PROJECTED, "c_0": UNITS}
    assert projected.output_size == PROJECTED


@pytest.mark.parametrize(
    ("both", "merge_mode", "width"),
    [
        (False, "concat", UNITS),
        (True, "concat", 2 * UNITS),
        (True, "sum", UNITS),
        (True, None, UNITS),
    ],
)
def test_output_size(both: bool, merge_mode: str | None, width: int) -> None:
    assert layer(CellKind.LSTM, both=both, merge_mode=merge_mode).output_size == width


def test_cells_by_their_place() -> None:
    assert list(layer(CellKind.GRU).cells) == [""]
    assert list(layer(CellKind.GRU, both=True).cells) == ["fw", "bw"]
    two = CellKind.GRU, CellKind.RNN
    assert list(layer(*two).cells) == ["0", "1"]
    of_both = layer(*two, both=True)
    assert list(of_both.cells) == ["fw/0", "fw/1", "bw/0", "bw/1"]
    assert list(of_both.cells.values()) == [*of_both.forward, *of_both.backward]


def test_labels_name_each_recurrence_once() -> None:
    assert layer(CellKind.LSTM, CellKind.GRU, CellKind.LSTM).label == "LSTM, GRU"


def test_facts_name_layer_and_place() -> None:
    recurrent = layer(CellKind.GRU, both=True)
    whole = model(recurrent, DENSE)
    assert whole.recurrent_layers == (recurrent,)
    found = [(where, name) for where, name, _ in whole.facts()]
    names = ["activation", "recurrent_activation", "reset_after"]
    assert found == [(where, name) for where in ("gru/fw", "gru/bw") for name in names]


def test_facts_of_an_only_cell_name_the_layer() -> None:
    assert {where for where, _, _ in model(layer(CellKind.LSTM)).facts()} == {"lstm"}


def test_a_shared_layer_is_one_layer_with_two_calls() -> None:
    shared = layer(CellKind.GRU)
    calls = Node(shared, ("x",)), Node(shared, ("gru",), call=1)
    assert [node.name for node in calls] == ["gru", "gru@1"]
    whole = CanonicalModel((INPUT,), calls, {"y": "gru@1"}, bare_weights=False)
    assert whole.layers == (shared,)
    assert [where for where, _ in whole.cells()] == ["gru"]


def test_layers_inside_a_time_distributed_one_count() -> None:
    inside = layer(CellKind.GRU)
    distributed = TimeDistributed("each", model(inside, DENSE))
    whole = model(distributed, layer(CellKind.LSTM))
    assert [one.name for one in whole.layers] == ["each", "gru", "dense", "lstm"]
    assert [one.name for one in whole.recurrent_layers] == ["gru", "lstm"]


def test_mapping_changes_every_recurrent_layer_and_nothing_else() -> None:
    shared = layer(CellKind.GRU)
    distributed = TimeDistributed("each", model(layer(CellKind.LSTM), DENSE))
    nodes = Node(shared, ("x",)), Node(shared, ("gru",), call=1), Node(distributed, ("gru@1",))
    whole = CanonicalModel((INPUT,), nodes, {"y": "each"}, bare_weights=False)
    calls: list[str] = []

    def backwards(one: RecurrentLayer) -> RecurrentLayer:
        calls.append(one.name)
        return dataclasses.replace(one, go_backwards=True)

    mapped = map_recurrent(whole, backwards)
    assert calls == ["gru", "lstm"]
    assert all(one.go_backwards for one in mapped.recurrent_layers)
    assert not any(one.go_backwards for one in whole.recurrent_layers)
    first, second, _ = mapped.nodes
    assert first.layer is second.layer
    assert [node.name for node in mapped.nodes] == [node.name for node in nodes]
    assert DENSE in mapped.layers
    assert mapped.outputs == whole.outputs


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model().outputs = {}  # type: ignore[misc]
