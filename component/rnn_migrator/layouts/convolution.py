"""The convolutions inside a convolutional cell, on the maps of one time step.

Arguments are those of a Keras 2 layer: `strides`, `padding`, `data_format` and `dilation_rate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array, Cell
from rnn_migrator.layouts.heads.windows import windows

Arguments = Mapping[str, Any]

_ONE_BY_ONE = (1, 1)


def channels_last(x: Array, arguments: Arguments) -> Array:
    """Maps with the channels in the last axis, wherever the layer has them."""
    return np.moveaxis(x, 1, -1) if arguments["data_format"] == "channels_first" else x


def channels_as_told(x: Array, arguments: Arguments) -> Array:
    """The inverse of `channels_last`."""
    return np.moveaxis(x, -1, 1) if arguments["data_format"] == "channels_first" else x


def input_convolution(x: Array, kernel: Array, arguments: Arguments) -> Array:
    """The convolution of the input.

    Args:
      x: (batch, height, width, channels).
      kernel: (kernel height, kernel width, channels, filters).
      arguments: Of the layer.
    """
    sizes = arguments["strides"], arguments["dilation_rate"]
    return _convolve(x, kernel, *sizes, arguments["padding"])


def recurrent_convolution(h: Array, kernel: Array) -> Array:
    """The convolution of the state, which keeps its size: strides and dilation are those of x."""
    return _convolve(h, kernel, _ONE_BY_ONE, _ONE_BY_ONE, "same")


def _convolve(
    x: Array, kernel: Array, strides: Sequence[int], dilation: Sequence[int], padding: str
) -> Array:
    view = windows(x, kernel.shape[:2], strides, dilation, padding)
    # (batch, height, width, channels, window) times (channels, window, filters)
    return np.tensordot(view, np.moveaxis(kernel, 2, 0), 3)


def zero_maps(cell: Cell, x: Array) -> dict[str, Array]:
    """States of zeros, of the size that the convolution of the input has."""
    kernel = np.zeros_like(cell.gates["candidate"].kernel, x.dtype)
    maps = input_convolution(channels_last(x, cell.convolution), kernel, cell.convolution)
    return {
        name: np.zeros_like(channels_as_told(maps, cell.convolution)) for name in cell.kind.states
    }
