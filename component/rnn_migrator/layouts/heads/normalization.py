"""Normalisation at inference: `keras.layers.normalization` of Keras 2 and tf.keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import TRAINABLE, Config, Head, Key, Shapes, register
from rnn_migrator.layouts.heads.keys import AXES, FLAG, ONE_AXIS, number


def _scale_and_shift(config: Config, weights: Sequence[Array], along: Any) -> tuple[Any, Any]:
    """Gamma and beta, in this order in the file where they are there."""
    parts = iter([weight.reshape(along) for weight in weights])
    gamma = next(parts) if config["scale"] else 1
    beta = next(parts) if config["center"] else 0
    return gamma, beta


def _batch(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta along the axis of the features."""
    [x] = inputs
    along = [size if i == config["axis"] % x.ndim else 1 for i, size in enumerate(x.shape)]
    gamma, beta = _scale_and_shift(config, weights[:-2], along)
    mean, variance = (weight.reshape(along) for weight in weights[-2:])
    normed: Array = (x - mean) / np.sqrt(variance + config["epsilon"]) * gamma + beta
    return normed


def _layer(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """The same with mean and variance of the sample itself, over the axes of the features."""
    [x] = inputs
    axes = tuple(np.atleast_1d(config["axis"]) % x.ndim)
    along = [size if i in axes else 1 for i, size in enumerate(x.shape)]
    gamma, beta = _scale_and_shift(config, weights, along)
    mean = x.mean(axis=axes, keepdims=True)
    variance = x.var(axis=axes, keepdims=True)
    normed: Array = (x - mean) / np.sqrt(variance + config["epsilon"]) * gamma + beta
    return normed


def _gamma_and_beta(config: Config, shape: tuple[str, ...]) -> Shapes:
    flags = {"gamma": config["scale"], "beta": config["center"]}
    return {role: shape for role, there in flags.items() if there}


def _batch_weights(config: Config) -> Shapes:
    shape = ("features",)
    moving: Shapes = {"moving_mean": shape, "moving_variance": shape}
    return {**_gamma_and_beta(config, shape), **moving}


def _layer_weights(config: Config) -> Shapes:
    axes = np.atleast_1d(config["axis"])
    return _gamma_and_beta(config, tuple(f"size of axis {axis}" for axis in axes))


_COMMON = (
    Key("epsilon", number(0), 1e-3),
    Key("center", FLAG, True),
    Key("scale", FLAG, True),
    TRAINABLE,
)


def _batch_normalization(class_name: str) -> Head:
    return Head(
        class_name,
        (Key("axis", ONE_AXIS, -1), Key("momentum", number(), 0.99), *_COMMON),
        _batch,
        passes_mask=True,
        weights=_batch_weights,
        keras_class="BatchNormalization",
    )


register(
    _batch_normalization("BatchNormalization"),
    # Names that tf.keras 1.13 to 1.15 write for the same.
    _batch_normalization("BatchNormalizationV1"),
    _batch_normalization("BatchNormalizationV2"),
    Head(
        "LayerNormalization",
        (Key("axis", AXES, -1), *_COMMON),
        _layer,
        passes_mask=True,
        weights=_layer_weights,
    ),
)
