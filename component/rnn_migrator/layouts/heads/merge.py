"""Layers that join several inputs: `keras.layers.merge` of Keras 2."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import Config, Function, Head, Key, Masks, register
from rnn_migrator.layouts.heads.keys import AXIS, FLAG, either, listed

_Pairwise = Callable[[Array, Array], Array]


def _fold(join: _Pairwise) -> Function:
    """Joins inputs one after the other; those of a lower rank get axes after the batch axis."""

    def function(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
        rank = max(x.ndim for x in inputs)
        return functools.reduce(
            join, [np.expand_dims(x, tuple(range(1, 1 + rank - x.ndim))) for x in inputs]
        )

    return function


def _average(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return _fold(np.add)(config, weights, inputs) / len(inputs)


def _concatenate(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return np.concatenate(inputs, axis=config["axis"])


def _concatenated_masks(config: Config, inputs: Sequence[Array], masks: Masks) -> Array:
    """`Concatenate.compute_mask`: masks are joined along the axis, then over the features."""
    parts = []
    for x, mask in zip(inputs, masks, strict=True):
        if mask is None:
            parts.append(np.ones(x.shape, bool))
        else:
            parts.append(mask[..., None] if mask.ndim < x.ndim else mask)
    joint: Array = np.concatenate(parts, axis=config["axis"]).all(axis=-1)
    return joint


def _dot(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """Sample by sample: the sum over one axis of each, the other axes in their order."""
    axes = config["axes"]
    pair = axes if isinstance(axes, tuple) else (axes, axes)
    a, b = (
        np.moveaxis(_unit(x, axis) if config["normalize"] else x, axis, -1)
        for x, axis in zip(inputs, pair, strict=True)
    )
    samples = zip(a, b, strict=True)
    product = np.stack([np.tensordot(one, other, (-1, -1)) for one, other in samples])
    return product[:, None] if product.ndim == 1 else product


def _unit(x: Array, axis: int) -> Array:
    """`tf.nn.l2_normalize`, which Keras 2 calls with an epsilon of 1e-12."""
    squares = np.sum(x * x, axis=axis, keepdims=True)
    return x / np.sqrt(np.maximum(squares, 1e-12))


def _head(class_name: str, function: Function) -> Head:
    return Head(class_name, (), function, passes_mask=True)


register(
    _head("Add", _fold(np.add)),
    _head("Subtract", _fold(np.subtract)),
    _head("Multiply", _fold(np.multiply)),
    _head("Average", _average),
    _head("Maximum", _fold(np.maximum)),
    _head("Minimum", _fold(np.minimum)),
    Head(
        "Concatenate",
        (Key("axis", AXIS, -1),),
        _concatenate,
        passes_mask=True,
        join_masks=_concatenated_masks,
    ),
    # Dot makes no mask, whatever its inputs have.
    Head("Dot", (Key("axes", either(AXIS, listed(AXIS, 2))), Key("normalize", FLAG, False)), _dot),
)
