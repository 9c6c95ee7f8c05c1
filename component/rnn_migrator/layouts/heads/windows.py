"""Windows that slide over the axes between batch and channels, as convolution and pooling do."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import Config, Function

Sizes = Sequence[int]


def windows(
    x: Array, size: Sizes, strides: Sizes, dilation: Sizes, padding: str, fill: float = 0.0
) -> Array:
    """Every window of a tensor.

    Args:
      x: (batch, …, channels).
      size: Of the window, axis by axis.
      strides: Steps of the window.
      dilation: Steps within the window.
      padding: `valid`, `same` or `causal`, as TensorFlow pads.
      fill: What is padded with.

    Returns:
      (batch, … places of the window, channels, … places within it).
    """
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    pads = [
        pad(padding, length, r, stride)
        for length, r, stride in zip(x.shape[1:-1], reach, strides, strict=True)
    ]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    space: Any = tuple(range(1, 1 + len(reach)))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=space)
    places = tuple(slice(None, None, stride) for stride in strides)
    within = tuple(slice(None, None, step) for step in dilation)
    chosen: Array = view[(slice(None), *places, slice(None), *within)]
    return chosen


def pad(padding: str, length: int, reach: int, stride: int) -> tuple[int, int]:
    """How much TensorFlow pads an axis before and after; with `same` the odd one goes after."""
    if padding == "causal":
        return reach - 1, 0
    if padding == "valid":
        return 0, 0
    total = max((-(-length // stride) - 1) * stride + reach - length, 0)
    return total // 2, total - total // 2


def channels_last(function: Function) -> Function:
    """Runs a function that wants the channels last on what the config says."""

    @functools.wraps(function)
    def either_way(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
        if config.get("data_format", "channels_last") == "channels_last":
            return function(config, weights, inputs)
        moved = [np.moveaxis(x, 1, -1) for x in inputs]
        return np.moveaxis(function(config, weights, moved), -1, 1)

    return either_way
