"""What the `Lambda` layers of legacy models usually did, for a user to name in their place.

A `Lambda` in a file is bytecode, which is never run. Their names in `HEADS` carry the prefix under
which Keras knows our layers, so that no class of a file is taken for one of them. Masks end here,
as they do at a `Lambda`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import Config, Function, Head, Key, identity, register
from rnn_migrator.layouts.heads.keys import AXES, AXIS, FLAG, integer, number, optional

PREFIX = "rnn_migrator>"


def _slice(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """A range of an axis, or with `index` one place of it, without the axis."""
    [x], axis = inputs, config["axis"]
    if config["index"] is not None:
        return np.take(x, config["index"], axis=axis)
    chosen = slice(config["start"], config["stop"], config["step"])
    sliced: Array = np.moveaxis(np.moveaxis(x, axis, 0)[chosen], 0, axis)
    return sliced


def _range_or_index(config: Config) -> str | None:
    open_range = config["start"] is config["stop"] is None and config["step"] == 1
    return None if open_range or config["index"] is None else "a range or an index, not both"


def _reduce(reduce: Callable[..., Any]) -> Function:
    def function(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
        reduced: Array = reduce(inputs[0], axis=config["axis"], keepdims=config["keepdims"])
        return reduced

    return function


def _l2_normalize(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """`K.l2_normalize`: x / sqrt(max(sum of squares, 1e-12))."""
    [x] = inputs
    squares = np.sum(x * x, axis=config["axis"], keepdims=True)
    return x / np.sqrt(np.maximum(squares, 1e-12))


def _on_axis(function: Callable[..., Any]) -> Function:
    def on_axis(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
        result: Array = function(inputs[0], axis=config["axis"])
        return result

    return on_axis


def _scale(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    scaled: Array = inputs[0] * config["factor"] + config["offset"]
    return scaled


def _swap(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return np.swapaxes(inputs[0], 0, 1)


_PLACE = optional(integer(-(2**31)))
_REDUCTION = (Key("axis", AXES), Key("keepdims", FLAG, False))

_HEADS = (
    Head(
        "Slice",
        (
            Key("axis", AXIS, 1),
            Key("start", _PLACE, None),
            Key("stop", _PLACE, None),
            Key("step", integer(), 1),
            Key("index", _PLACE, None),
        ),
        _slice,
        rule=_range_or_index,
    ),
    Head("ReduceSum", _REDUCTION, _reduce(np.sum)),
    Head("ReduceMean", _REDUCTION, _reduce(np.mean)),
    Head("ReduceMax", _REDUCTION, _reduce(np.max)),
    Head("L2Normalize", (Key("axis", AXES, -1),), _l2_normalize),
    Head("ExpandDims", (Key("axis", AXIS, -1),), _on_axis(np.expand_dims)),
    Head("Squeeze", (Key("axis", AXIS),), _on_axis(np.squeeze)),
    Head("Reverse", (Key("axis", AXES, 1),), _on_axis(np.flip)),
    Head("Scale", (Key("factor", number(), 1.0), Key("offset", number(), 0.0)), _scale),
    Head("Identity", (), identity),
    Head("SwapBatchTime", (), _swap),
)

REPLACEMENTS: dict[str, Head] = {
    head.class_name: dataclasses.replace(
        head, class_name=PREFIX + head.class_name, keras_class=head.class_name
    )
    for head in _HEADS
}
"""By the name a user gives; `HEADS` has them under the prefixed name."""

register(*REPLACEMENTS.values())
