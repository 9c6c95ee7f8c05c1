"""Keras 2 (and tf.keras, Keras 3) `LSTM`.

    kernel (I, 4U)  recurrent_kernel (U, 4U)  bias (4U,)      columns i f c o
    i, f, c, o = split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)

Source: `LSTMCell.call`, keras/layers/recurrent.py of Keras 2.2.5 (implementation 2). The initial
forget bias of one stands inside `bias`; nothing is added at run time.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import joined, separate_gates
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_ORDER = "ifco"


@register
class KerasLstm(Layout):
    """Input and recurrent kernel apart, gates in the order i f c o, one bias."""

    name = "keras_lstm"
    kind = CellKind.LSTM
    symbols: ClassVar = {"kernel": "[I, 4U]", "recurrent_kernel": "[U, 4U]", "bias": "[4U]"}
    optional = frozenset({"bias"})

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        bias = tensors.get("bias")
        gates = separate_gates(tensors["kernel"], tensors["recurrent_kernel"], bias, _ORDER)
        return Cell(self.kind, gates, **facts_of(facts))

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        parts = {"kernel": "kernel", "recurrent_kernel": "recurrent"}
        parts |= {"bias": "bias"} if cell.has_bias else {}
        return {role: joined(cell.gates, part, _ORDER) for role, part in parts.items()}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        z = x @ tensors["kernel"] + states["h"] @ tensors["recurrent_kernel"]
        z = z + tensors["bias"] if "bias" in tensors else z
        i, f, g, o = np.split(z, 4, axis=1)
        return lstm_update(i, f, g, o, states["c"], facts)
