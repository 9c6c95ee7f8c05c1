"""Layer normalisation as the recurrent cells of TensorFlow 1 compute it."""

from __future__ import annotations

import numpy as np

from rnn_migrator.canonical import Array

EPSILON = 1e-12


def layer_norm(x: Array, gamma: Array, beta: Array) -> Array:
    """x with mean 0 and variance 1 over the units, then scaled and shifted.

    Source: `layer_norm`, tensorflow/contrib/layers/python/layers/layers.py, and
    `batch_normalization`, tensorflow/python/ops/nn_impl.py, 1.15, in the order of their operations,
    since the float32 formula measures rounding.

    Args:
      x: (batch, units).
      gamma: (units,).
      beta: (units,).
    """
    mean = x.mean(axis=-1, keepdims=True)
    variance = np.square(x - mean).mean(axis=-1, keepdims=True)
    scale = gamma / np.sqrt(variance + EPSILON)
    return x * scale + (beta - mean * scale)
