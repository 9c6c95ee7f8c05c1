"""Layers that only Keras 1 has: `Highway` and `MaxoutDense` of its `keras.layers.core`, 1.2.2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.activations import sigmoid
from rnn_migrator.layouts.heads.base import (
    ACTIVATION_KEY,
    TRAINABLE,
    Config,
    Head,
    Key,
    Shapes,
    activate,
    register,
)
from rnn_migrator.layouts.heads.keys import FLAG, SIZE


def _highway(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """t * a(x W + b) + (1 - t) * x with t = sigmoid(x W_carry + b_carry)."""
    [x] = inputs
    kernel, carry_kernel, *biases = weights
    bias, carry_bias = biases or (0, 0)
    transform = sigmoid(x @ carry_kernel + carry_bias)
    return transform * activate(config, x @ kernel + bias) + (1 - transform) * x


def _highway_weights(config: Config) -> Shapes:
    biases: Shapes = {"b": ("in",), "b_carry": ("in",)} if config["use_bias"] else {}
    return {"W": ("in", "in"), "W_carry": ("in", "in"), **biases}


def _maxout(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """The largest of nb_feature linear maps, output by output."""
    kernel, *bias = weights
    largest: Array = sum(bias, np.einsum("bi,kio->bko", inputs[0], kernel)).max(axis=1)
    return largest


def _maxout_weights(config: Config) -> Shapes:
    maps, units = config["nb_feature"], config["units"]
    bias: Shapes = {"b": (maps, units)} if config["use_bias"] else {}
    return {"W": (maps, "in", units), **bias}


_USE_BIAS = Key("use_bias", FLAG, True, older="bias")

register(
    Head("Highway", (ACTIVATION_KEY, _USE_BIAS, TRAINABLE), _highway, weights=_highway_weights),
    Head(
        "MaxoutDense",
        (
            Key("units", SIZE, older="output_dim"),
            Key("nb_feature", SIZE, 4),
            _USE_BIAS,
            TRAINABLE,
        ),
        _maxout,
        weights=_maxout_weights,
    ),
)
