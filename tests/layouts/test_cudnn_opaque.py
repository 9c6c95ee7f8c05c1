"""The opaque buffer against the layout that is written in the reference, number by number."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_migrator.canonical import CellKind
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.cudnn_opaque import buffer_size, join_buffer, split_buffer
from tests.layouts.weights import ROUNDING, distance, facts_for, run_step

ORDERS = {CellKind.LSTM: "ifco", CellKind.GRU: "rzh", CellKind.RNN: "h"}
LAYOUTS = {
    CellKind.LSTM: "cudnn_canonical_lstm",
    CellKind.GRU: "cudnn_canonical_gru",
    CellKind.RNN: "cudnn_canonical_rnn",
}
kinds = pytest.mark.parametrize("kind", ORDERS, ids=lambda kind: kind.name)
sizes = st.integers(1, 4)


@kinds
@given(
    inputs=sizes, units=sizes, layers=sizes, both=st.booleans(), dtype=st.sampled_from(["f4", "f8"])
)
def test_joining_undoes_splitting(
    kind: CellKind, inputs: int, units: int, layers: int, both: bool, dtype: str
) -> None:
    buffer = np.arange(buffer_size(kind, inputs, units, layers, both)).astype(dtype)
    pieces = split_buffer(buffer, kind, inputs, units, layers, both)
    returned = join_buffer(pieces, kind)
    assert returned.dtype == buffer.dtype
    np.testing.assert_array_equal(returned, buffer)


@kinds
@given(inputs=sizes, units=sizes, layers=sizes, both=st.booleans())
def test_pieces_have_the_shapes_of_their_layout(
    kind: CellKind, inputs: int, units: int, layers: int, both: bool
) -> None:
    buffer = np.zeros(buffer_size(kind, inputs, units, layers, both))
    layout = get_layout(LAYOUTS[kind])
    found = split_buffer(buffer, kind, inputs, units, layers, both)
    assert len(found) == layers
    for index, directions in enumerate(found):
        width = inputs if index == 0 else units * len(directions)
        assert list(directions) == (["fw", "bw"] if both else [""])
        for pieces in directions.values():
            shapes = {role: piece.shape for role, piece in pieces.items()}
            assert shapes == layout.shapes({"I": width, "U": units})
            assert layout.problems("here", shapes) == []


@kinds
@pytest.mark.parametrize("both", [False, True])
def test_where_each_number_lies(kind: CellKind, both: bool) -> None:
    """Walked through as weight_layouts.md states it, entry by entry."""
    inputs, units, layers = 3, 2, 3
    buffer = np.arange(buffer_size(kind, inputs, units, layers, both))
    found = split_buffer(buffer, kind, inputs, units, layers, both)
    directions = ["fw", "bw"] if both else [""]
    places = list(itertools.product(range(layers), directions))
    expected: list[Any] = []
    for layer, direction in places:
        width = inputs if layer == 0 else len(directions) * units
        for matrix, columns in (("w", width), ("r", units)):
            for gate in ORDERS[kind]:
                entries = itertools.product(range(units), range(columns))
                expected += [(layer, direction, f"{matrix}_{gate}", at) for at in entries]
    for layer, direction in places:
        for bias in ("b_w", "b_r"):
            for gate in ORDERS[kind]:
                expected += [(layer, direction, f"{bias}_{gate}", (u,)) for u in range(units)]
    assert len(expected) == len(buffer)
    for number, (layer, direction, role, at) in enumerate(expected):
        assert found[layer][direction][role][at] == number


def test_sizes_of_known_buffers() -> None:
    """4 * U * (in + U) + 8 * U for each LSTM, and so on."""
    assert buffer_size(CellKind.LSTM, 3, 5, 1) == 4 * 5 * (3 + 5) + 8 * 5
    assert buffer_size(CellKind.GRU, 3, 5, 2) == 3 * 5 * (3 + 5) + 3 * 5 * (5 + 5) + 2 * 6 * 5
    both = 2 * 5 * (3 + 5) + 2 * 5 * (10 + 5) + 4 * 2 * 5
    assert buffer_size(CellKind.RNN, 3, 5, 2, bidirectional=True) == both


def test_a_buffer_of_another_size_is_refused() -> None:
    """Padding, a projection and skip_input make other sizes, and so do wrong settings."""
    size = buffer_size(CellKind.LSTM, 3, 5, 2, bidirectional=True)
    for wrong in (size - 1, size + 8, size + 2 * 4 * 5, size - 4 * 5 * 3):
        with pytest.raises(UnsupportedError) as refused:
            split_buffer(np.zeros(wrong, np.float32), CellKind.LSTM, 3, 5, 2, bidirectional=True)
        [problem] = refused.value.problems
        assert str(size) in problem.expected
        assert "num_units=5" in problem.expected
        assert str(wrong) in problem.received
        assert "skip_input" in problem.remedy
    with pytest.raises(UnsupportedError):
        split_buffer(np.zeros((1, size)), CellKind.LSTM, 3, 5, 2, bidirectional=True)


def test_pieces_are_no_views() -> None:
    buffer = np.zeros(buffer_size(CellKind.GRU, 3, 5, 1))
    [layer] = split_buffer(buffer, CellKind.GRU, 3, 5, 1)
    for piece in layer[""].values():
        piece += 1.0
    assert not buffer.any()


@pytest.mark.parametrize("kind", [CellKind.LSTM, CellKind.GRU], ids=lambda kind: kind.name)
def test_tf_keras_writes_the_same_buffer(kind: CellKind) -> None:
    """What tf.keras hands to cuDNN for a layer of its own, of which the result is known."""
    utils = pytest.importorskip("tf_keras.src.layers.rnn.gru_lstm_utils")
    name = "keras_lstm" if kind is CellKind.LSTM else "keras_gru_reset_after"
    layout = get_layout(name)
    gates = len(kind.gates)
    rng = np.random.default_rng(6)
    shapes = layout.shapes({"I": 3, "U": 5})
    tensors: dict[str, Any] = {role: rng.normal(size=shape) for role, shape in shapes.items()}
    weights = [
        *np.split(tensors["kernel"], gates, 1),
        *np.split(tensors["recurrent_kernel"], gates, 1),
    ]
    if kind is CellKind.LSTM:
        biases = [np.zeros(5)] * 4 + np.split(tensors["bias"], 4)
    else:
        biases = np.split(tensors["bias"].ravel(), 6)
        for part in (weights, biases):  # tf.keras swaps z and r on the way to cuDNN
            part[0], part[1], part[3], part[4] = part[1], part[0], part[4], part[3]
    written = utils.canonical_to_params(weights, biases, [-1], transpose_weights=True)
    [layer] = split_buffer(np.asarray(written), kind, 3, 5, 1)
    facts = facts_for(layout)
    expected = run_step(layout, tensors, facts)
    assert distance(run_step(get_layout(LAYOUTS[kind]), layer[""], facts), expected) < ROUNDING
