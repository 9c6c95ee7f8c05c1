"""The formula of the stock layouts against Keras itself, in float64."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from rnn_migrator.canonical import Cell, CellKind
from rnn_migrator.layouts import Layout, all_layouts, get_layout
from rnn_migrator.layouts.stock_keras import stock_layout, stock_weights
from tests.layouts.weights import BROKEN, ROUNDING, distance, facts_for, random_tensors, run_step

INPUTS, UNITS = 3, 5


def keras_step(cell: Cell, weights: dict[str, Any]) -> dict[str, Any]:
    """The same step as `run_step`, by a Keras cell."""
    options: dict[str, Any] = {"dtype": "float64"}
    if cell.kind is CellKind.GRU:
        options["reset_after"] = cell.reset_after.value
    kind = keras.layers.LSTMCell if cell.kind is CellKind.LSTM else keras.layers.GRUCell
    layer = kind(
        cell.units,
        activation=cell.activation.value,
        recurrent_activation=cell.recurrent_activation.value,
        **options,
    )
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6, cell.input_size))
    states = [rng.uniform(-1, 1, size=(6, cell.units)) for _ in cell.kind.states]
    layer.build(x.shape)
    layer.set_weights(list(weights.values()))
    _, after = layer(x, states)
    return dict(zip(cell.kind.states, map(np.asarray, after), strict=True))


@pytest.mark.parametrize("layout", all_layouts(), ids=lambda layout: layout.name)
@pytest.mark.parametrize("recurrent_activation", ["sigmoid", "softsign"])
def test_keras_computes_what_the_source_computes(layout: Layout, recurrent_activation: str) -> None:
    facts = facts_for(layout, recurrent_activation=recurrent_activation)
    if layout.kind is CellKind.LSTM:
        facts |= facts_for(layout, cell_clip=None, recurrent_activation=recurrent_activation)
    tensors = {
        role: array.astype(np.float64)
        for role, array in random_tensors(layout, INPUTS, UNITS).items()
    }
    cell = layout.to_canonical(tensors, facts)
    source = run_step(layout, tensors, facts)
    weights = stock_weights(cell)
    assert distance(keras_step(cell, weights), source) < ROUNDING
    shifted = {role: np.roll(array, UNITS, axis=-1) for role, array in weights.items()}
    assert distance(keras_step(cell, shifted), source) > BROKEN


def test_weights_come_in_the_order_of_set_weights() -> None:
    layout = get_layout("tf1_lstm")
    tensors = random_tensors(layout, INPUTS, UNITS)
    cell = layout.to_canonical(tensors, facts_for(layout))
    assert list(stock_weights(cell)) == ["kernel", "recurrent_kernel", "bias"]


@pytest.mark.parametrize(
    ("source", "stock"),
    [
        ("tf1_lstm", "keras_lstm"),
        ("per_gate_lstm", "keras_lstm"),
        ("keras_cudnn_lstm", "keras_lstm"),
        ("tf1_gru", "keras_gru"),
        ("keras_gru", "keras_gru"),
        ("keras_cudnn_gru", "keras_gru_reset_after"),
        ("keras_gru_reset_after", "keras_gru_reset_after"),
    ],
)
def test_the_stock_layout_of_each_source(source: str, stock: str) -> None:
    layout = get_layout(source)
    cell = layout.to_canonical(random_tensors(layout, INPUTS, UNITS), facts_for(layout))
    assert stock_layout(cell).name == stock
