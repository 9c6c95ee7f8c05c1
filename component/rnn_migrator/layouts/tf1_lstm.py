"""TensorFlow 1 `BasicLSTMCell`, `LSTMCell`, `LSTMBlockCell` and `LSTMBlockFusedCell`.

    kernel (I + H, 4U), rows [x; h], columns i c f o        bias (4U,), same order
    i, j, f, o = split(concat([x, h], 1) @ kernel + bias, 4, axis=1)
    c' = clip(sigmoid(f + forget_bias + w_f * c) * c + sigmoid(i + w_i * c) * act(j), cell_clip)
    h' = sigmoid(o + w_o * c') * act(c')
    h' = clip(h' @ projection, proj_clip)                   projection (U, P), no bias

Source: `BasicLSTMCell.call` and `LSTMCell.call`, tensorflow/python/ops/rnn_cell_impl.py, and
`_lstm_block_cell`, tensorflow/contrib/rnn/python/ops/lstm_ops.py, 1.15. Peepholes and projection
are optional. The forget bias is added at run time and stands in no variable.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_ORDER = "icfo"
_PEEPHOLES = {"input": "w_i_diag", "forget": "w_f_diag", "output": "w_o_diag"}


@register
class Tf1Lstm(Layout):
    """One kernel for input and state, gates in the order i c f o."""

    name = "tf1_lstm"
    kind = CellKind.LSTM
    symbols: ClassVar = {
        "kernel": "[I+H, 4U]",
        "bias": "[4U]",
        **dict.fromkeys(_PEEPHOLES.values(), "[U]"),
        "projection": "[U, P]",
    }
    together = frozenset(_PEEPHOLES.values())
    optional = together | {"projection"}
    adds_forget_bias = True
    clips = frozenset({"cell_clip", "proj_clip"})

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        projection = tensors.get("projection")
        return Cell(
            self.kind,
            fused_gates(tensors["kernel"], tensors["bias"], _ORDER, self._width(tensors)),
            **facts_of(facts),
            peepholes=_peepholes(tensors),
            projection=None if projection is None else projection.copy(),
        )

    def _width(self, tensors: Tensors) -> int:
        """Width of the state h."""
        if "projection" in tensors:
            return int(tensors["projection"].shape[1])
        return len(tensors["bias"]) // len(_ORDER)

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
        z = np.concatenate([x, states["h"]], axis=1) @ tensors["kernel"] + tensors["bias"]
        i, j, f, o = np.split(z, 4, axis=1)
        return lstm_update(
            i,
            f + facts["forget_bias"].value,
            j,
            o,
            states["c"],
            facts,
            _peepholes(tensors),
            tensors.get("projection"),
        )


def _peepholes(tensors: Tensors) -> dict[str, Array]:
    return {gate: tensors[role].copy() for gate, role in _PEEPHOLES.items() if role in tensors}
