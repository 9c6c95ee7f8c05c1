"""Keras 2 (and tf.keras, Keras 3) `ConvLSTM2D`.

    kernel (A, B, I, 4U)  recurrent_kernel (A, B, U, 4U)  bias (4U,)      channels i f c o
    gate = s(conv(x, kernel) + bias + conv(h, recurrent_kernel))
    c' = f * c + i * act(…)      h' = o * act(c')

The convolution of x has the strides, padding and dilation of the layer, that of h keeps the size of
the map. Source: `ConvLSTM2DCell.call`, keras/layers/convolutional_recurrent.py of Keras 2.2.5. The
fact `convolution` holds the arguments `strides`, `padding`, `data_format` and `dilation_rate`.
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
from rnn_migrator.layouts.gates import joined, separate_gates
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_ORDER = "ifco"


@register
class KerasConvLstm(Layout):
    """Input and recurrent kernel apart, gates in the order i f c o, one bias."""

    name = "keras_conv_lstm"
    kind = CellKind.CONV_LSTM
    symbols: ClassVar = {
        "kernel": "[A, B, I, 4U]",
        "recurrent_kernel": "[A, B, U, 4U]",
        "bias": "[4U]",
    }
    optional = frozenset({"bias"})

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        bias = tensors.get("bias")
        gates = separate_gates(tensors["kernel"], tensors["recurrent_kernel"], bias, _ORDER)
        return Cell(self.kind, gates, **facts_of(facts), convolution=facts["convolution"].value)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        parts = {"kernel": "kernel", "recurrent_kernel": "recurrent"}
        parts |= {"bias": "bias"} if cell.has_bias else {}
        return {role: joined(cell.gates, part, _ORDER) for role, part in parts.items()}

    def zero_states(self, cell: Cell, x: Array) -> dict[str, Array]:
        """See `Layout.zero_states`."""
        return zero_maps(cell, x)

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        arguments = facts["convolution"].value
        h, c = (channels_last(states[name], arguments) for name in ("h", "c"))
        z = input_convolution(channels_last(x, arguments), tensors["kernel"], arguments)
        z = z + tensors.get("bias", 0.0) + recurrent_convolution(h, tensors["recurrent_kernel"])
        i, f, g, o = np.split(z, 4, axis=-1)
        after = lstm_update(i, f, g, o, c, facts)
        return {name: channels_as_told(maps, arguments) for name, maps in after.items()}
