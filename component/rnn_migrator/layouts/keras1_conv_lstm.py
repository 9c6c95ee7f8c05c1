"""Keras 1 `ConvLSTM2D`: three arrays a gate, in one of two orders of the axes.

    dim_ordering "tf": W (A, B, I, U)  U (A, B, U, U)  b (U,) of each gate
    dim_ordering "th": W (U, I, A, B)  U (U, U, A, B)  b (U,)
    in the file i c f o
    gate = s(conv(x, W) + b + conv(h, U))
    c' = f * c + i * act(conv(x, W_c) + b_c + conv(h, U_c))      h' = o * act(c')

The convolution of x has the `border_mode` of the layer, that of h keeps the size of the map. The
config holds no `subsample`: a model that had one steps by one after Keras 1's own `load_model`, and
here. Source: `ConvLSTM2D.step`, keras/layers/convolutional_recurrent.py, and
`_preprocess_conv2d_kernel`, keras/backend/tensorflow_backend.py, of Keras 1.2.2. The fact
`convolution` holds the same in the words of Keras 2: `strides`, `padding`, `data_format` and
`dilation_rate`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.convolution import (
    channels_as_told,
    channels_last,
    input_convolution,
    recurrent_convolution,
    zero_maps,
)
from rnn_migrator.layouts.gates import gates_by_role, tensors_by_role
from rnn_migrator.layouts.keras1 import LSTM_ROLES
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update


def _symbols(shapes: dict[str, str]) -> dict[str, str]:
    return {role: shapes[part] for parts in LSTM_ROLES.values() for part, role in parts.items()}


class _Keras1ConvLstm(Layout):
    kind = CellKind.CONV_LSTM
    axes: ClassVar[tuple[int, int, int, int]]
    """Where window, channels and filters lie among the axes of a kernel in the file."""

    def _stored_to_last(self, array: Array) -> Array:
        return array.transpose(self.axes) if array.ndim == len(self.axes) else array

    def _last_to_stored(self, array: Array) -> Array:
        return array.transpose(np.argsort(self.axes)) if array.ndim == len(self.axes) else array

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        gates = gates_by_role(tensors, LSTM_ROLES, self._stored_to_last)
        return Cell(self.kind, gates, **facts_of(facts), convolution=facts["convolution"].value)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return tensors_by_role(cell.gates, LSTM_ROLES, self._last_to_stored)

    def zero_states(self, cell: Cell, x: Array) -> dict[str, Array]:
        """See `Layout.zero_states`."""
        return zero_maps(cell, x)

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        arguments = facts["convolution"].value
        x, h, c = (channels_last(maps, arguments) for maps in (x, states["h"], states["c"]))

        def pre_activation(letter: str) -> Array:
            kernel, recurrent = tensors[f"W_{letter}"], tensors[f"U_{letter}"]
            if arguments["data_format"] == "channels_first":
                kernel, recurrent = kernel.transpose(2, 3, 1, 0), recurrent.transpose(2, 3, 1, 0)
            on_input = input_convolution(x, kernel, arguments)
            on_state = recurrent_convolution(h, recurrent)
            return on_input + tensors[f"b_{letter}"] + on_state

        i, f, g, o = (pre_activation(letter) for letter in "ifco")
        after = lstm_update(i, f, g, o, c, facts)
        return {name: channels_as_told(maps, arguments) for name, maps in after.items()}


@register
class Keras1ConvLstm(_Keras1ConvLstm):
    """Twelve arrays of a layer with `dim_ordering="tf"`."""

    name = "keras1_conv_lstm"
    symbols = _symbols({"kernel": "[A, B, I, U]", "recurrent": "[A, B, U, U]", "bias": "[U]"})
    axes = (0, 1, 2, 3)


@register
class Keras1ConvLstmTh(_Keras1ConvLstm):
    """Twelve arrays of a layer with `dim_ordering="th"`."""

    name = "keras1_conv_lstm_th"
    symbols = _symbols({"kernel": "[U, I, A, B]", "recurrent": "[U, U, A, B]", "bias": "[U]"})
    axes = (2, 3, 1, 0)
