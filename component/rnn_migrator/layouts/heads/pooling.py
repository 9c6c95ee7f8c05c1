"""Pooling over windows and over everything: `keras.layers.pooling` of Keras 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import (
    DATA_FORMAT_KEY,
    Config,
    Function,
    Head,
    Key,
    MaskedFunction,
    register,
)
from rnn_migrator.layouts.heads.keys import FLAG, SIZE, choice, optional, repeated
from rnn_migrator.layouts.heads.windows import channels_last, windows

_Reduce = Callable[..., Any]


def _pooled(config: Config, x: Array, fill: float) -> Array:
    size = config["pool_size"]
    return windows(x, size, config["strides"] or size, (1,) * len(size), config["padding"], fill)


@channels_last
def _max(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    rank = len(config["pool_size"])
    pooled: Array = _pooled(config, inputs[0], -np.inf).max(axis=tuple(range(-rank, 0)))
    return pooled


@channels_last
def _average(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """Padding counts neither in the sum nor in the number."""
    within = tuple(range(-len(config["pool_size"]), 0))
    sums, counts = (
        _pooled(config, x, 0.0).sum(axis=within) for x in (inputs[0], np.ones_like(inputs[0]))
    )
    average: Array = sums / counts
    return average


def _space(config: Config, x: Array) -> tuple[int, ...]:
    first = 1 if config["data_format"] == "channels_last" else 2
    return tuple(range(first, first + x.ndim - 2))


def _everywhere(reduce: _Reduce) -> Function:
    def function(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
        [x] = inputs
        reduced: Array = reduce(x, axis=_space(config, x), keepdims=config["keepdims"])
        return reduced

    return function


def _valid_average(
    config: Config, weights: Sequence[Array], inputs: list[Array], mask: Array
) -> Array:
    """Mean of the valid steps; 0 / 0 where there is none, as in every release.

    So Keras 2.2.4 and tf.keras 1.13, and all since. Keras 2.2.0 and tf.keras 1.12 refuse a mask
    here, as they do at every layer that knows none, so that no model has the mean of all steps.
    """
    [x] = inputs
    valid = np.expand_dims(mask, 2 if config["data_format"] == "channels_last" else 1)
    axis, keepdims = _space(config, x), config["keepdims"]
    sums = np.sum(x * valid, axis=axis, keepdims=keepdims)
    counts = np.sum(valid, axis=axis, keepdims=keepdims)
    with np.errstate(invalid="ignore"):
        average: Array = sums / counts.astype(x.dtype)
    return average


def _head(class_name: str, rank: int, function: Function) -> Head:
    keys = (
        Key("pool_size", repeated(SIZE, rank), 2),
        Key("strides", optional(repeated(SIZE, rank)), None),
        Key("padding", choice("valid", "same"), "valid"),
        DATA_FORMAT_KEY,
    )
    return Head(f"{class_name}{rank}D", keys, function)


def _global(class_name: str, function: Function, masked: MaskedFunction | None = None) -> Head:
    return Head(
        class_name, (DATA_FORMAT_KEY, Key("keepdims", FLAG, False)), function, masked=masked
    )


register(
    _head("MaxPooling", 1, _max),
    _head("MaxPooling", 2, _max),
    _head("AveragePooling", 1, _average),
    _head("AveragePooling", 2, _average),
    _global("GlobalMaxPooling1D", _everywhere(np.max)),
    _global("GlobalMaxPooling2D", _everywhere(np.max)),
    _global("GlobalAveragePooling1D", _everywhere(np.mean), _valid_average),
    _global("GlobalAveragePooling2D", _everywhere(np.mean)),
)
