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

import numpy as np

from rnn_migrator.canonical import Array, CellKind
from rnn_migrator.layouts.base import Facts, States, Tensors, register
from rnn_migrator.layouts.lstm_math import lstm_update
from rnn_migrator.layouts.tf1_fused_lstm import Tf1FusedLstm, symbols_of

_PEEPHOLES = {"input": "w_i_diag", "forget": "w_f_diag", "output": "w_o_diag"}


@register
class Tf1Lstm(Tf1FusedLstm):
    """One kernel for input and state, gates in the order i c f o."""

    name = "tf1_lstm"
    kind = CellKind.LSTM
    order = "icfo"
    peephole_roles = _PEEPHOLES
    symbols = symbols_of("4U", _PEEPHOLES)
    together = frozenset(_PEEPHOLES.values())
    optional = together | {"projection"}
    clips = frozenset({"cell_clip", "proj_clip"})

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
            {gate: tensors[role] for gate, role in _PEEPHOLES.items() if role in tensors},
            tensors.get("projection"),
        )
