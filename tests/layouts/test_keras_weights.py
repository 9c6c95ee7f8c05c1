"""The weights for Keras, in the layers and cells of Keras themselves, in float64."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from rnn_migrator.canonical import Cell, CellKind
from rnn_migrator.keras_model import cells
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.keras_weights import is_stock, keras_weights
from tests.layouts.weights import (
    BROKEN,
    ROUNDING,
    SOURCES,
    SPATIAL,
    UNITS,
    Variant,
    beginning,
    distance,
    facts_for,
    run_cell,
    run_step,
    variants_of,
)

# Keras 3 knows `hard_sigmoid` as another function, so this stands for a gate that is no sigmoid.
ODD_GATE = "softsign"
NO_CLIP = {"cell_clip": None, "proj_clip": None}


def keras_layer(cell: Cell) -> Any:
    """The stock layer or own cell for a canonical one, without weights."""
    common = {"activation": cell.activation.value, "dtype": "float64"}
    gates = {"recurrent_activation": cell.recurrent_activation.value}
    bias = {"use_bias": cell.folded().has_bias}
    projection = None if cell.projection is None else cell.output_size
    peephole = [gate for gate in ("input", "forget", "output") if gate in cell.peepholes]
    extras = {"projection_size": projection, "projection_clip": cell.proj_clip.value}
    extras = {**extras, "peephole": peephole} if projection else {"peephole": peephole}
    if cell.kind is CellKind.CONV_LSTM:
        size = cell.gates["candidate"].kernel.shape[:2]
        layer = keras.layers.ConvLSTM2D
        last = {**cell.convolution, "data_format": "channels_last"}
        return layer(cell.units, size, return_state=True, **last, **common, **gates, **bias)
    if cell.kind is CellKind.COUPLED_LSTM:
        return cells.CoupledLSTMCell(cell.units, **extras, **common)
    if cell.kind is CellKind.UGRNN:
        return cells.UGRNNCell(cell.units, **common)
    if cell.kind is CellKind.RNN:
        return keras.layers.SimpleRNNCell(cell.units, **common, **bias)
    if cell.kind is CellKind.GRU:
        reset = {"reset_after": cell.reset_after.value}
        return keras.layers.GRUCell(cell.units, **common, **gates, **bias, **reset)
    if cell.norms:
        return cells.LayerNormLSTMCell(cell.units, **common)
    if is_stock(cell):
        return keras.layers.LSTMCell(cell.units, **common, **gates, **bias)
    clip = {"cell_clip": cell.cell_clip.value}
    return cells.LegacyLSTMCell(cell.units, **extras, **clip, **common, **gates, **bias)


def keras_step(cell: Cell, weights: dict[str, Any]) -> dict[str, Any]:
    """One step from `beginning`, by Keras."""
    x, states = beginning(cell)
    layer = keras_layer(cell)
    if cell.kind is CellKind.CONV_LSTM:
        return convolution_step(cell, layer, weights, x, states)
    layer.build(x.shape)
    layer.set_weights(list(weights.values()))
    _, after = layer(x, list(states.values()))
    after = after if isinstance(after, list) else [after]
    return dict(zip(cell.kind.states, map(np.asarray, after), strict=True))


def convolution_step(cell: Cell, layer: Any, weights: Any, x: Any, states: Any) -> dict[str, Any]:
    """A sequence of one step; on a CPU Keras wants the channels last."""
    first = cell.convolution["data_format"] == "channels_first"
    maps = [np.moveaxis(m, 1, -1) if first else m for m in (x, *states.values())]
    layer.build((None, None, *maps[0].shape[1:]))
    layer.set_weights(list(weights.values()))
    _, *after = layer(maps[0][:, None], initial_state=maps[1:])
    after = [np.moveaxis(np.asarray(m), -1, 1) if first else np.asarray(m) for m in after]
    return dict(zip(cell.kind.states, after, strict=True))


CASES = [(v, {}) for v in SOURCES] + [(v, NO_CLIP) for v in SOURCES if v.layout.clips]


@pytest.mark.parametrize(
    ("variant", "bounds"), CASES, ids=[f"{v}{', unbounded' if b else ''}" for v, b in CASES]
)
def test_keras_computes_what_the_source_computes(variant: Variant, bounds: dict[str, None]) -> None:
    layout = variant.layout
    facts = facts_for(layout, **bounds)
    tensors = variant.tensors(dtype="f8")
    cell = layout.to_canonical(tensors, facts)
    source, weights = run_step(layout, tensors, facts), keras_weights(cell)
    assert distance(keras_step(cell, weights), source) < ROUNDING
    shifted = {
        role: np.roll(array, UNITS, axis=-1) if array.shape[-1] > UNITS else np.roll(array, 1, -1)
        for role, array in weights.items()
    }
    assert distance(keras_step(cell, shifted), source) > BROKEN


FREE_GATES = [v for v in SOURCES if v.layout.kind in (CellKind.GRU, CellKind.CONV_LSTM)] + [
    v for v in SOURCES if v.layout.kind is CellKind.LSTM and v.layout.name != "tf1_layer_norm_lstm"
]


@pytest.mark.parametrize("variant", FREE_GATES, ids=str)
def test_keras_computes_it_with_other_gates(variant: Variant) -> None:
    """Keras 1 and 2 leave the activation of the gates to the author."""
    layout, tensors = variant.layout, variant.tensors(dtype="f8")
    conventions = {"update_keeps": "state"} if "update_keeps" in layout.leaves_open else {}
    facts = facts_for(layout, recurrent_activation=ODD_GATE, activation="elu", **conventions)
    cell = layout.to_canonical(tensors, facts)
    expected = run_step(layout, tensors, facts)
    assert distance(run_cell(cell), expected) < ROUNDING
    assert distance(keras_step(cell, keras_weights(cell)), expected) < ROUNDING


@pytest.mark.parametrize("variant", SOURCES, ids=str)
def test_shapes_are_those_that_keras_builds(variant: Variant) -> None:
    """In number, order and shape, which is all `set_weights` looks at, and by name."""
    cell = variant.cell()
    layer = keras_layer(cell)
    x, _ = beginning(cell)
    if cell.kind is CellKind.CONV_LSTM:
        layer.build((None, None, *SPATIAL, cell.input_size))
    else:
        layer.build(x.shape)
    arrays = keras_weights(cell)
    assert {w.name: tuple(w.shape) for w in layer.weights} == {
        name: array.shape for name, array in arrays.items()
    }
    assert [w.name for w in layer.weights] == list(arrays)


@pytest.mark.parametrize(
    ("source", "stock"),
    [
        ("keras_lstm", True),
        ("keras1_lstm", True),
        ("keras_cudnn_lstm", True),
        ("cudnn_canonical_lstm", True),
        ("tf1_gru", True),
        ("tf1_cudnn_gru", True),
        ("keras_gru", True),
        ("keras_cudnn_gru", True),
        ("tf1_rnn", True),
        ("keras_rnn", True),
        ("keras_conv_lstm", True),
        ("tf1_coupled_lstm", False),
        ("tf1_ugrnn", False),
        ("tf1_layer_norm_lstm", False),
        ("tf1_lstm", False),
    ],
)
def test_which_cells_are_stock(source: str, stock: bool) -> None:
    for variant in variants_of(get_layout(source))[:1]:
        assert is_stock(variant.cell(**NO_CLIP)) is stock


def test_a_plain_lstm_of_tensorflow_1_is_stock() -> None:
    """Without peepholes, projection, norms and bound; what it clips elsewhere does not matter."""
    plain = next(
        v for v in SOURCES if v.roles == ("kernel", "bias") and v.layout.name == "tf1_lstm"
    )
    assert is_stock(plain.cell(cell_clip=None, proj_clip=3.0))
    assert not is_stock(plain.cell(cell_clip=3.0))
    unnormed = variants_of(get_layout("tf1_layer_norm_lstm"))[-1]
    assert unnormed.roles == ("kernel", "bias")
    assert is_stock(unnormed.cell())


def test_weights_come_in_the_order_of_set_weights() -> None:
    fullest = variants_of(get_layout("tf1_lstm"))[0]
    assert list(keras_weights(fullest.cell())) == [
        "kernel",
        "recurrent_kernel",
        "bias",
        "input_peephole",
        "forget_peephole",
        "output_peephole",
        "projection_kernel",
    ]


def test_a_missing_second_bias_is_zero() -> None:
    """The cuDNN compatible GRU of TensorFlow 1 keeps the sum for two of its gates."""
    variant = variants_of(get_layout("tf1_cudnn_gru"))[0]
    tensors = variant.tensors()
    on_input, on_state = keras_weights(
        variant.layout.to_canonical(tensors, facts_for(variant.layout))
    )["bias"]
    r, z = np.split(tensors["gates_bias"], 2)
    np.testing.assert_array_equal(on_input, np.concatenate([z, r, tensors["input_bias"]]))
    zeros = np.zeros(2 * UNITS, np.float32)
    np.testing.assert_array_equal(on_state, np.concatenate([zeros, tensors["hidden_bias"]]))


def test_the_forget_bias_is_part_of_the_weights() -> None:
    """Behind a norm it is part of the norm's offset."""
    normed = variants_of(get_layout("tf1_layer_norm_lstm"))[0]
    without, within = (keras_weights(normed.cell(forget_bias=value)) for value in (0.0, 1.5))
    changed = [name for name in within if not np.array_equal(within[name], without[name])]
    assert changed == ["forget_beta"]
    ugrnn = variants_of(get_layout("tf1_ugrnn"))[0]
    without, within = (keras_weights(ugrnn.cell(forget_bias=value)) for value in (0.0, 1.5))
    added = within["bias"] - without["bias"]
    np.testing.assert_allclose(added, np.repeat([1.5, 0.0], UNITS), atol=1e-15)
