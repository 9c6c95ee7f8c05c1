"""Gradients of a layer against central differences of the layer itself, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

Array = Any

STEP = 1e-5


def worst_gradient_error(layer: Any, x: Array, mask: Array | None, seed: int = 31) -> float:
    """How far a gradient is from the central difference, over each weight and the inputs.

    The loss is a weighted sum of all that the layer gives, outputs and states, so that no
    gradient is the same for two of them.

    Args:
      layer: A recurrent layer, built, in float64.
      x: Inputs (batch, time, inputs).
      mask: Boolean (batch, time), or None.
      seed: Seed of the weights of the sum.

    Returns:
      The largest error of an element, relative to the largest difference of its weight. A missing
      gradient is one of zeros.
    """
    rng = np.random.default_rng(seed)
    inputs = tf.Variable(x)
    results = tf.nest.flatten(layer(x, mask=mask))
    scales = [rng.normal(size=value.shape) for value in results]
    variables = [*(weight.value for weight in layer.trainable_weights), inputs]

    @tf.function(autograph=False)
    def loss() -> Any:
        values = tf.nest.flatten(layer(tf.convert_to_tensor(inputs), mask=mask))
        sums = [tf.reduce_sum(v * scale) for v, scale in zip(values, scales, strict=True)]
        return tf.add_n(sums)

    @tf.function(autograph=False)
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, variables, unconnected_gradients="zero")

    slopes = [_differences(loss, variable) for variable in variables]
    errors = [
        np.max(np.abs(got.numpy() - want)) / np.max(np.abs(want))
        for got, want in zip(gradients(), slopes, strict=True)
    ]
    return float(np.max(errors))


def _differences(loss: Any, variable: Any) -> Array:
    """Central difference of the loss for each element of a variable."""
    start = variable.numpy()
    slopes = np.empty(start.shape)
    for place in np.ndindex(*start.shape):
        values = []
        for sign in (1, -1):
            moved = start.copy()
            moved[place] += sign * STEP
            variable.assign(moved)
            values.append(float(loss()))
        slopes[place] = (values[0] - values[1]) / (2 * STEP)
    variable.assign(start)
    return slopes
