"""The opaque buffer of a cuDNN layer: all of its matrices in one vector.

    layers from the bottom, in each of them forward before backward:
      W of every gate (U, in) row by row, then R of every gate (U, U)
    then once more, in the same order:
      b_W of every gate (U,), then b_R of every gate (U,)
    gates i f c o (LSTM), r z h (GRU); in = input_size, above the first layer the width below it

NVIDIA promises no layout; this one is stated by `jax.experimental.rnn`, and tf_keras
(`gru_lstm_utils.canonical_to_params`) and PyTorch write the same. Nothing in a buffer tells its
sizes, so they must account for its length exactly. A buffer with alignment between the matrices,
with a projection or made with `skip_input` has another length and is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rnn_migrator.canonical import Array, CellKind
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.layouts.base import get_layout
from rnn_migrator.layouts.shapes import Shape

Pieces = dict[str, Array]
"""Matrices of one cell by role of its `cudnn_canonical_*` layout."""

_LAYOUTS = {
    CellKind.LSTM: "cudnn_canonical_lstm",
    CellKind.GRU: "cudnn_canonical_gru",
    CellKind.RNN: "cudnn_canonical_rnn",
}
_MATRIX, _BIAS = 2, 1


def buffer_size(
    kind: CellKind, input_size: int, units: int, layers: int, bidirectional: bool = False
) -> int:
    """How many numbers the buffer of such a cuDNN layer holds."""
    places = _places(kind, input_size, units, layers, bidirectional)
    return sum(math.prod(shape) for *_, shape in places)


def split_buffer(
    buffer: Array,
    kind: CellKind,
    input_size: int,
    units: int,
    layers: int,
    bidirectional: bool = False,
) -> list[dict[str, Pieces]]:
    """Takes a buffer apart.

    Args:
      buffer: (`buffer_size(...)`,).
      kind: LSTM, GRU or RNN.
      input_size: Width of the input of the lowest layer.
      units: Width of each direction of each layer.
      layers: How many layers lie on top of each other.
      bidirectional: Whether each layer runs in both directions.

    Returns:
      For each layer, copies of its matrices by direction ("", or "fw" and "bw") and role.

    Raises:
      UnsupportedError: The buffer has another length than these sizes make.
    """
    size = buffer_size(kind, input_size, units, layers, bidirectional)
    if buffer.shape != (size,):
        raise UnsupportedError(_misfit(buffer, kind, input_size, units, layers, bidirectional))
    found: list[dict[str, Pieces]] = [
        {direction: {} for direction in _directions(bidirectional)} for _ in range(layers)
    ]
    start = 0
    for layer, direction, role, shape in _places(kind, input_size, units, layers, bidirectional):
        end = start + math.prod(shape)
        found[layer][direction][role] = buffer[start:end].reshape(shape).copy()
        start = end
    return found


def join_buffer(layers: Sequence[Mapping[str, Mapping[str, Array]]], kind: CellKind) -> Array:
    """The inverse of `split_buffer`."""
    pieces = [
        layer[direction][role].reshape(-1)
        for rank in (_MATRIX, _BIAS)
        for layer in layers
        for direction in layer
        for role in _roles(kind, rank)
    ]
    return np.concatenate(pieces)


def _places(
    kind: CellKind, input_size: int, units: int, layers: int, bidirectional: bool
) -> Iterator[tuple[int, str, str, Shape]]:
    """(layer, direction, role, shape) of each piece, in the order of the buffer."""
    layout, directions = get_layout(_LAYOUTS[kind]), _directions(bidirectional)
    for rank in (_MATRIX, _BIAS):
        for layer in range(layers):
            width = len(directions) * units if layer else input_size
            shapes = layout.shapes({"I": width, "U": units}, _roles(kind, rank))
            for direction in directions:
                for role, shape in shapes.items():
                    yield layer, direction, role, shape


def _directions(bidirectional: bool) -> tuple[str, ...]:
    return ("fw", "bw") if bidirectional else ("",)


def _roles(kind: CellKind, rank: int) -> list[str]:
    """The matrices or the biases of a cell, in the order of the buffer."""
    layout = get_layout(_LAYOUTS[kind])
    shapes = layout.shapes({"I": 1, "U": 1})
    return [role for role, shape in shapes.items() if len(shape) == rank]


def _misfit(
    buffer: Array, kind: CellKind, input_size: int, units: int, layers: int, bidirectional: bool
) -> Problem:
    size = buffer_size(kind, input_size, units, layers, bidirectional)
    direction = "in both directions" if bidirectional else "in one direction"
    return Problem(
        where="opaque buffer of a cuDNN layer",
        expected=f"{size} numbers: {kind.label}, input_size={input_size}, num_units={units}, "
        f"num_layers={layers}, {direction}",
        received=f"shape {list(buffer.shape)}",
        remedy="state the sizes that the layer was made with; a buffer with alignment padding, a "
        "projection or skip_input cannot be taken apart without the GPU that made it: save the "
        "model there with CudnnOpaqueParamsSaveable, and convert that checkpoint",
    )
