"""Keras 2 (and tf.keras, Keras 3) `LSTM`.

    kernel (I, 4U)  recurrent_kernel (U, 4U)  bias (4U,)      columns i f c o
    i, f, c, o = split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)

Source: `LSTMCell.call`, keras/layers/recurrent.py of Keras 2.2.5 (implementation 2). The initial
forget bias of one stands inside `bias`; nothing is added at run time.
"""

from __future__ import annotations

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Gate
from rnn_migrator.layouts.base import Facts, Layout, Shape, States, Tensors, register
from rnn_migrator.layouts.gates import join_gates, split_gates
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_ORDER = "ifco"


@register
class KerasLstm(Layout):
    """Input and recurrent kernel apart, gates in the order i f c o, one bias."""

    name = "keras_lstm"
    kind = CellKind.LSTM
    roles = ("kernel", "recurrent_kernel", "bias")
    sizing_role = "kernel"

    def symbols(self) -> dict[str, str]:
        """See `Layout.symbols`."""
        return {"kernel": "[I, 4U]", "recurrent_kernel": "[U, 4U]", "bias": "[4U]"}

    def sizes(self, shape: Shape) -> tuple[int, int] | None:
        """See `Layout.sizes`."""
        if len(shape) != 2 or not min(shape) or shape[1] % len(_ORDER):
            return None
        return shape[0], shape[1] // len(_ORDER)

    def shapes(self, input_size: int, units: int) -> dict[str, Shape]:
        """See `Layout.shapes`."""
        width = len(_ORDER) * units
        shapes = ((input_size, width), (units, width), (width,))
        return dict(zip(self.roles, shapes, strict=True))

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        kernels, recurrents, biases = (split_gates(tensors[role], _ORDER) for role in self.roles)
        gates = {name: Gate(kernels[name], recurrents[name], biases[name]) for name in kernels}
        return Cell(self.kind, gates, **facts_of(facts))

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        gates = cell.gates.items()
        return {
            "kernel": join_gates({name: gate.kernel for name, gate in gates}, _ORDER),
            "recurrent_kernel": join_gates({name: gate.recurrent for name, gate in gates}, _ORDER),
            "bias": join_gates({name: gate.bias for name, gate in gates}, _ORDER),
        }

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        z = x @ tensors["kernel"] + states["h"] @ tensors["recurrent_kernel"] + tensors["bias"]
        i, f, g, o = np.split(z, 4, axis=1)
        return lstm_update(i, f, g, o, states["c"], facts)
