"""TensorFlow 1 `CudnnCompatibleGRUCell`, also what a `CudnnGRU` saves from TensorFlow 1.4 on.

    gates/kernel (I + U, 2U), rows [x; h], columns r z      gates/bias (2U,), same order
    candidate/input_projection:  kernel (I, U)   bias (U,)
    candidate/hidden_projection: kernel (U, U)   bias (U,)
    r, u = split(sigmoid([x, h] @ gates/kernel + gates/bias), 2, axis=1)
    g = act(x @ input_kernel + input_bias + r * (h @ hidden_kernel + hidden_bias))
    h' = (1 - u) * g + u * h

Source: `CudnnCompatibleGRUCell.call`, tensorflow/contrib/cudnn_rnn/python/ops/cudnn_rnn_ops.py,
1.15. The bias of the gates is the sum of the two that cuDNN keeps.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Gate, Origin
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined

_ORDER = "rz"
_CANDIDATE = {
    "kernel": "input_kernel",
    "recurrent": "hidden_kernel",
    "bias": "input_bias",
    "recurrent_bias": "hidden_bias",
}


@register
class Tf1CudnnGru(Layout):
    """Gates r z in one kernel, the candidate's two projections in two others."""

    name = "tf1_cudnn_gru"
    kind = CellKind.GRU
    symbols: ClassVar = {
        "gates_kernel": "[I+U, 2U]",
        "gates_bias": "[2U]",
        "input_kernel": "[I, U]",
        "input_bias": "[U]",
        "hidden_kernel": "[U, U]",
        "hidden_bias": "[U]",
    }

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        units = len(tensors["gates_bias"]) // len(_ORDER)
        gates = fused_gates(tensors["gates_kernel"], tensors["gates_bias"], _ORDER, units)
        gates["candidate"] = Gate(
            **{part: tensors[role].copy() for part, role in _CANDIDATE.items()}
        )
        return Cell(
            self.kind,
            gates,
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=Fact(True, Origin.CLASS, "cuDNN resets after the recurrent product"),
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        candidate = cell.gates["candidate"]
        return {
            "gates_kernel": fused_kernel(cell.gates, _ORDER),
            "gates_bias": joined(cell.gates, "bias", _ORDER),
            **{role: getattr(candidate, part) for part, role in _CANDIDATE.items()},
        }

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        gate = ACTIVATIONS[facts["recurrent_activation"].value]
        z = np.concatenate([x, h], axis=1) @ tensors["gates_kernel"] + tensors["gates_bias"]
        r, u = np.split(gate(z), 2, axis=1)
        hidden = h @ tensors["hidden_kernel"] + tensors["hidden_bias"]
        candidate = x @ tensors["input_kernel"] + tensors["input_bias"] + r * hidden
        g = ACTIVATIONS[facts["activation"].value](candidate)
        return {"h": (1.0 - u) * g + u * h}
