"""Activations of the legacy frameworks, as formulas.

Each keeps the dtype of its argument, so that the same formula serves as the float64 reference
and as an estimate of float32 noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnn_migrator.canonical import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow for large negative x."""
    return 0.5 * (np.tanh(0.5 * x) + 1.0)


def hard_sigmoid(x: Array) -> Array:
    """clip(0.2 x + 0.5, 0, 1): the meaning of the name in Keras 1 and 2, not in Keras 3."""
    return np.clip(0.2 * x + 0.5, 0.0, 1.0)


def keras3_hard_sigmoid(x: Array) -> Array:
    """clip(x + 3, 0, 6) / 6: what Keras 3 computes under the name `hard_sigmoid`."""
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _relu6(x: Array) -> Array:
    return np.clip(x, 0.0, 6.0)


def _linear(x: Array) -> Array:
    return x


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0.0))


def _softsign(x: Array) -> Array:
    return x / (1.0 + np.abs(x))


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def _selu(x: Array) -> Array:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _softmax(x: Array) -> Array:
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _swish(x: Array) -> Array:
    return x * sigmoid(x)


def _gelu(x: Array) -> Array:
    """x times the normal distribution function: the exact form, which Keras takes by default."""
    halves = np.vectorize(math.erf, otypes=[x.dtype])(x / np.sqrt(x.dtype.type(2.0)))
    return 0.5 * x * (1.0 + halves)


def _leaky_relu(x: Array) -> Array:
    """Slope 0.2 below zero, as `tf.nn.leaky_relu` and the name in Keras."""
    return np.where(x > 0, x, 0.2 * x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "keras3_hard_sigmoid": keras3_hard_sigmoid,
    "tanh": np.tanh,
    "relu": _relu,
    "relu6": _relu6,
    "linear": _linear,
    "softplus": _softplus,
    "softsign": _softsign,
    "elu": _elu,
    "selu": _selu,
    "exponential": np.exp,
    "softmax": _softmax,
    "swish": _swish,
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
}
"""Formula by the name that Keras 1/2 and TensorFlow 1 give it."""
