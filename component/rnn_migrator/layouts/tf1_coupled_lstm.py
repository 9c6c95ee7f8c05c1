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

import numpy as np

from rnn_migrator.canonical import Array, CellKind
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, States, Tensors, register
from rnn_migrator.layouts.lstm_math import clip
from rnn_migrator.layouts.tf1_fused_lstm import Tf1FusedLstm, symbols_of

_PEEPHOLES = {"forget": "w_f_diag", "output": "w_o_diag"}


@register
class Tf1CoupledLstm(Tf1FusedLstm):
    """One kernel for input and state, gates in the order c f o; the input gate is 1 - f."""

    name = "tf1_coupled_lstm"
    kind = CellKind.COUPLED_LSTM
    order = "cfo"
    peephole_roles = _PEEPHOLES
    symbols = symbols_of("3U", _PEEPHOLES)
    together = frozenset(_PEEPHOLES.values())
    optional = together | {"projection"}
    clips = frozenset({"proj_clip"})

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
