"""TensorFlow 1 `UGRNNCell`.

    kernel (I + U, 2U), rows [x; h], columns g c            bias (2U,), same order
    g, c = split(concat([x, h], 1) @ kernel + bias, 2, axis=1)
    g = sigmoid(g + forget_bias)
    h' = g * h + (1 - g) * act(c)

Source: `UGRNNCell.call`, tensorflow/contrib/rnn/python/ops/rnn_cell.py, 1.15. The forget bias is
added to the gate, here called update, at run time and stands in no variable.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined

_ORDER = "zc"


@register
class Tf1Ugrnn(Layout):
    """One kernel for input and state, the gate first, then the candidate."""

    name = "tf1_ugrnn"
    kind = CellKind.UGRNN
    symbols: ClassVar = {"kernel": "[I+U, 2U]", "bias": "[2U]"}
    adds_forget_bias = True

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        units = len(tensors["bias"]) // len(_ORDER)
        return Cell(
            self.kind,
            fused_gates(tensors["kernel"], tensors["bias"], _ORDER, units),
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            forget_bias=facts["forget_bias"],
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        bias = joined(cell.gates, "bias", _ORDER)
        return {"kernel": fused_kernel(cell.gates, _ORDER), "bias": bias}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        z = np.concatenate([x, h], axis=1) @ tensors["kernel"] + tensors["bias"]
        g, c = np.split(z, 2, axis=1)
        g = ACTIVATIONS[facts["recurrent_activation"].value](g + facts["forget_bias"].value)
        c = ACTIVATIONS[facts["activation"].value](c)
        return {"h": g * h + (1.0 - g) * c}
