"""TensorFlow 1 `GRUCell`.

    gates/kernel (I + U, 2U), rows [x; h], columns r z      gates/bias (2U,), same order
    candidate/kernel (I + U, U), rows [x; r * h]            candidate/bias (U,)
    r, u = split(sigmoid([x, h] @ gates/kernel + gates/bias), 2, axis=1)
    g = act([x, r * h] @ candidate/kernel + candidate/bias)
    h = u * h + (1 - u) * g

Source: `GRUCell.call`, tensorflow/python/ops/rnn_cell_impl.py, 1.15. The reset gate acts before
the matrix product, so that no cuDNN GRU computes the same.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Origin
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined

_ORDER = "rz"


@register
class Tf1Gru(Layout):
    """Gates r z in one kernel, the candidate in another."""

    name = "tf1_gru"
    kind = CellKind.GRU
    symbols: ClassVar = {
        "gates_kernel": "[I+U, 2U]",
        "gates_bias": "[2U]",
        "candidate_kernel": "[I+U, U]",
        "candidate_bias": "[U]",
    }

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        units = len(tensors["candidate_bias"])
        gates = {
            **fused_gates(tensors["gates_kernel"], tensors["gates_bias"], _ORDER, units),
            **fused_gates(tensors["candidate_kernel"], tensors["candidate_bias"], "h", units),
        }
        return Cell(
            self.kind,
            gates,
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=Fact(False, Origin.CLASS, "GRUCell resets before the matrix product"),
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return {
            "gates_kernel": fused_kernel(cell.gates, _ORDER),
            "gates_bias": joined(cell.gates, "bias", _ORDER),
            "candidate_kernel": fused_kernel(cell.gates, "h"),
            "candidate_bias": joined(cell.gates, "bias", "h"),
        }

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        gate = ACTIVATIONS[facts["recurrent_activation"].value]
        activation = ACTIVATIONS[facts["activation"].value]
        z = np.concatenate([x, h], axis=1) @ tensors["gates_kernel"] + tensors["gates_bias"]
        r, u = np.split(gate(z), 2, axis=1)
        reset = np.concatenate([x, r * h], axis=1)
        g = activation(reset @ tensors["candidate_kernel"] + tensors["candidate_bias"])
        return {"h": u * h + (1.0 - u) * g}
