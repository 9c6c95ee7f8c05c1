"""Activations that are layers: `keras.layers.advanced_activations` of Keras 2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import TRAINABLE, Config, Head, Key, Shapes, register
from rnn_migrator.layouts.heads.keys import AXES, either, integer, listed, number, optional


def _leaky_relu(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [x] = inputs
    return np.where(x > 0, x, config["alpha"] * x)


def _prelu(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [alpha], [x] = weights, inputs
    return np.where(x > 0, x, alpha * x)


def _prelu_weights(config: Config) -> Shapes:
    return {"alpha": None}


def _elu(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [x] = inputs
    return np.where(x > 0, x, config["alpha"] * np.expm1(np.minimum(x, 0)))


def _thresholded_relu(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [x] = inputs
    return np.where(x > config["theta"], x, np.zeros_like(x))


def _softmax(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """Over one axis or several.

    A mask does nothing here. A later tf.keras (not yet 1.15) adds one of the shape of the inputs to
    them; the masks of sequences, which have no axis of features, it cannot add.
    """
    [x], axes = inputs, config["axis"]
    raised = np.exp(x - x.max(axis=axes, keepdims=True))
    normed: Array = raised / raised.sum(axis=axes, keepdims=True)
    return normed


def _relu(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """x above the threshold, at most max_value; negative_slope * (x - threshold) below."""
    [x], threshold = inputs, config["threshold"]
    above = x if config["max_value"] is None else np.minimum(x, config["max_value"])
    return np.where(x > threshold, above, config["negative_slope"] * (x - threshold))


register(
    Head(
        "LeakyReLU",
        (Key("alpha", number(0), 0.3, argument="negative_slope"),),
        _leaky_relu,
        passes_mask=True,
    ),
    Head(
        "PReLU",
        (
            Key("shared_axes", optional(either(listed(integer(1, 32)), integer(1, 32))), None),
            TRAINABLE,
        ),
        _prelu,
        passes_mask=True,
        weights=_prelu_weights,
    ),
    Head("ELU", (Key("alpha", number(), 1.0),), _elu, passes_mask=True),
    Head("ThresholdedReLU", (Key("theta", number(), 1.0),), _thresholded_relu, passes_mask=True),
    Head("Softmax", (Key("axis", AXES, -1),), _softmax, passes_mask=True),
    Head(
        "ReLU",
        (
            Key("max_value", optional(number(0)), None),
            Key("negative_slope", number(0), 0.0),
            Key("threshold", number(0), 0.0),
        ),
        _relu,
        passes_mask=True,
    ),
)
