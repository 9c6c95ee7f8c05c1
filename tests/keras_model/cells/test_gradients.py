"""Gradients of the cells against central differences, and training that goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.keras_model.activations import legacy_hard_sigmoid
from tests.keras_model.cells.examples import (
    BUILDERS,
    EXAMPLES,
    INPUTS,
    MASKS,
    Example,
    sequences,
)
from tests.keras_model.slopes import worst_gradient_error

RIGHT, WRONG = 1e-6, 1e-3

examples = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


def layer(cell: Any) -> Any:
    return keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype="float64")


def without_slope(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of the same values, whose gradient is lost."""

    def same(x: Any) -> Any:
        return keras.ops.stop_gradient(function(x))

    return same


@examples
@pytest.mark.parametrize("mask", ["none", "ragged"])
def test_gradients_are_the_slopes_of_the_loss(example: Example, mask: str) -> None:
    ours = layer(example.cell(dtype="float64"))
    assert worst_gradient_error(ours, sequences(), MASKS[mask]) < RIGHT


@examples
def test_a_wrong_gradient_is_noticed(example: Example) -> None:
    cell = example.cell(dtype="float64")
    cell.activation = without_slope(cell.activation)
    assert worst_gradient_error(layer(cell), sequences()[:2], None) > WRONG


def test_a_clipped_state_passes_no_gradient_on() -> None:
    """As TensorFlow 1's clip_by_value: with a tiny bound, nothing but the output gate learns."""
    cell = BUILDERS["lstm_full"](11, INPUTS).cell(dtype="float64")
    cell.cell_clip = 1e-4
    ours = layer(cell)
    x = sequences()[:, :1]

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(ours(x)[0])
    [slope] = tape.gradient(loss, [cell.kernel.value])
    size = dict(zip(cell.columns, np.split(np.abs(slope), len(cell.columns), axis=1), strict=True))
    assert np.max(size["output"]) > 0
    assert all(np.max(size[gate]) == 0 for gate in ("input", "forget", "candidate"))


def test_the_legacy_hard_sigmoid_has_slopes_on_both_sides_of_its_kinks() -> None:
    """The cell of the example has saturated gates and others, else its gradients prove little."""
    assert EXAMPLES["lstm_hard_sigmoid"].make().recurrent_activation is legacy_hard_sigmoid
    seen: list[Any] = []

    def watched(x: Any) -> Any:
        seen.append(np.asarray(x))
        return legacy_hard_sigmoid(x)

    cell = EXAMPLES["lstm_hard_sigmoid"].cell(dtype="float64")
    cell.recurrent_activation = watched
    keras.layers.RNN(cell, unroll=True, dtype="float64")(sequences())
    values = np.abs(np.concatenate([value.ravel() for value in seen]))
    assert np.min(np.abs(values - 2.5)) > 1e-4
    assert 0.05 < np.mean(values > 2.5) < 0.95


@examples
def test_training_goes_on(example: Example) -> None:
    x = sequences().astype("float32")
    y = np.random.default_rng(8).normal(0, 0.3, (*x.shape[:2], 2)).astype("float32")

    def losses(rate: float) -> tuple[float, float]:
        keras.utils.set_random_seed(9)
        recurrent = keras.layers.RNN(example.cell(), return_sequences=True)
        model = keras.Sequential([keras.Input((None, INPUTS)), recurrent, keras.layers.Dense(2)])
        model.compile(keras.optimizers.SGD(rate), "mse")
        before = model.evaluate(x, y, verbose=0)
        model.fit(x, y, epochs=1, verbose=0)
        return before, model.evaluate(x, y, verbose=0)

    before, after = losses(0.1)
    assert after < before
    before, after = losses(0.0)
    assert after == pytest.approx(before)
