"""TensorFlow 1 `CoupledInputForgetGateLSTMCell`.

    kernel (I + H, 3U), rows [x; h], columns c f o          bias (3U,), same order
    j, f, o = split(concat([x, h], 1) @ kernel + bias, 3, axis=1)
    f = sigmoid(f + forget_bias + w_f * c)
    c' = f * c + (1 - f) * act(j)
    h' = sigmoid(o + w_o * c') * act(c')
    h' = clip(h' @ projection, proj_clip)                   projection (U, P), no bias

Source: `CoupledInputForgetGateLSTMCell.call` with `layer_norm=False`,
tensorflow/contrib/rnn/python/ops/rnn_cell.py, 1.15. Peepholes (both or none) and projection are
optional; the cell state is not clipped. The forget bias is added at run time and stands in no
variable.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined
from rnn_migrator.layouts.lstm_math import clip, facts_of

_ORDER = "cfo"
_PEEPHOLES = {"forget": "w_f_diag", "output": "w_o_diag"}


@register
class Tf1CoupledLstm(Layout):
    """One kernel for input and state, gates in the order c f o; the input gate is 1 - f."""

    name = "tf1_coupled_lstm"
    kind = CellKind.COUPLED_LSTM
    symbols: ClassVar = {
        "kernel": "[I+H, 3U]",
        "bias": "[3U]",
        **dict.fromkeys(_PEEPHOLES.values(), "[U]"),
        "projection": "[U, P]",
    }
    together = frozenset(_PEEPHOLES.values())
    optional = together | {"projection"}
    adds_forget_bias = True
    clips = frozenset({"proj_clip"})

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        bias, projection = tensors["bias"], tensors.get("projection")
        width = len(bias) // len(_ORDER) if projection is None else int(projection.shape[1])
        return Cell(
            self.kind,
            fused_gates(tensors["kernel"], bias, _ORDER, width),
            **facts_of(facts),
            peepholes={g: tensors[r].copy() for g, r in _PEEPHOLES.items() if r in tensors},
            projection=None if projection is None else projection.copy(),
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        bias = joined(cell.gates, "bias", _ORDER)
        tensors = {"kernel": fused_kernel(cell.gates, _ORDER), "bias": bias}
        tensors |= {
            role: cell.peepholes[g] for g, role in _PEEPHOLES.items() if g in cell.peepholes
        }
        return tensors if cell.projection is None else {**tensors, "projection": cell.projection}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        sigmoid = ACTIVATIONS[facts["recurrent_activation"].value]
        activation = ACTIVATIONS[facts["activation"].value]
        z = np.concatenate([x, states["h"]], axis=1) @ tensors["kernel"] + tensors["bias"]
        j, f, o = np.split(z, 3, axis=1)
        f = sigmoid(f + facts["forget_bias"].value + tensors.get("w_f_diag", 0.0) * states["c"])
        c = f * states["c"] + (1.0 - f) * activation(j)
        h = sigmoid(o + tensors.get("w_o_diag", 0.0) * c) * activation(c)
        if "projection" in tensors:
            h = clip(h @ tensors["projection"], facts, "proj_clip")
        return {"h": h, "c": c}
