"""TensorFlow 1 `BasicRNNCell`.

    kernel (I + U, U), rows [x; h]      bias (U,)
    h' = act(concat([x, h], 1) @ kernel + bias)

Source: `BasicRNNCell.call`, tensorflow/python/ops/rnn_cell_impl.py, 1.15.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined

_ORDER = "c"


@register
class Tf1Rnn(Layout):
    """One kernel for input and state, and no gate."""

    name = "tf1_rnn"
    kind = CellKind.RNN
    symbols: ClassVar = {"kernel": "[I+U, U]", "bias": "[U]"}

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        bias = tensors["bias"]
        gates = fused_gates(tensors["kernel"], bias, _ORDER, len(bias))
        return Cell(self.kind, gates, activation=facts["activation"])

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        bias = joined(cell.gates, "bias", _ORDER)
        return {"kernel": fused_kernel(cell.gates, _ORDER), "bias": bias}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        z = np.concatenate([x, states["h"]], axis=1) @ tensors["kernel"] + tensors["bias"]
        return {"h": ACTIVATIONS[facts["activation"].value](z)}
