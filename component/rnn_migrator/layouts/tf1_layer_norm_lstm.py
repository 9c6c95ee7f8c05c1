"""TensorFlow 1 `LayerNormBasicLSTMCell`.

    kernel (I + U, 4U), rows [x; h], columns i c f o        gamma, beta (U,) of each norm
    i, j, f, o = split(concat([x, h], 1) @ kernel, 4, axis=1)
    i, j, f, o = norm_input(i), norm_transform(j), norm_forget(f), norm_output(o)
    c' = norm_state(c * sigmoid(f + forget_bias) + sigmoid(i) * act(j))
    h' = act(c') * sigmoid(o)

Source: `LayerNormBasicLSTMCell.call`, tensorflow/contrib/rnn/python/ops/rnn_cell.py, 1.15. With
`layer_norm=False` it has a bias (4U,) instead of the norms. The forget bias is added at run time,
behind the norm, and stands in no variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Norm
from rnn_migrator.errors import Problem
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import fused_gates, fused_kernel, joined
from rnn_migrator.layouts.lstm_math import facts_of
from rnn_migrator.layouts.normalization import layer_norm
from rnn_migrator.layouts.shapes import Shape

_ORDER = "icfo"
_SCOPES = {
    "input": "input",
    "candidate": "transform",
    "forget": "forget",
    "output": "output",
    "state": "state",
}
"""Scope of each norm, by its canonical name."""


@register
class Tf1LayerNormLstm(Layout):
    """One kernel for input and state, and a normalisation for each gate and the cell state."""

    name = "tf1_layer_norm_lstm"
    kind = CellKind.LSTM
    symbols: ClassVar = {
        "kernel": "[I+U, 4U]",
        "bias": "[4U]",
        **{f"{scope}/{part}": "[U]" for scope in _SCOPES.values() for part in ("gamma", "beta")},
    }
    together = frozenset(role for role in symbols if "/" in role)
    optional = together | {"bias"}
    adds_forget_bias = True

    def problems(self, where: str, shapes: Mapping[str, Shape]) -> list[Problem]:
        """See `Layout.problems`."""
        normalised = bool(self.together & set(shapes))
        if normalised is not ("bias" in shapes):
            return super().problems(where, shapes)
        problem = Problem(
            where=where,
            expected="either a bias or normalisations",
            received="both" if normalised else "neither",
            remedy="check that the file is whole, and name the variables of one cell only",
        )
        return [problem]

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        kernel = tensors["kernel"]
        units = kernel.shape[1] // len(_ORDER)
        norms = {
            name: Norm(tensors[f"{scope}/gamma"].copy(), tensors[f"{scope}/beta"].copy())
            for name, scope in _SCOPES.items()
            if f"{scope}/gamma" in tensors
        }
        gates = fused_gates(kernel, tensors.get("bias"), _ORDER, units)
        return Cell(self.kind, gates, **facts_of(facts), norms=norms)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        tensors = {"kernel": fused_kernel(cell.gates, _ORDER)}
        if cell.has_bias:
            tensors["bias"] = joined(cell.gates, "bias", _ORDER)
        for name, norm in cell.norms.items():
            tensors[f"{_SCOPES[name]}/gamma"] = norm.gamma
            tensors[f"{_SCOPES[name]}/beta"] = norm.beta
        return tensors

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        sigmoid = ACTIVATIONS[facts["recurrent_activation"].value]
        activation = ACTIVATIONS[facts["activation"].value]

        def norm(value: Array, scope: str) -> Array:
            if f"{scope}/gamma" not in tensors:
                return value
            return layer_norm(value, tensors[f"{scope}/gamma"], tensors[f"{scope}/beta"])

        z = np.concatenate([x, states["h"]], axis=1) @ tensors["kernel"] + tensors.get("bias", 0.0)
        i, j, f, o = np.split(z, 4, axis=1)
        f = norm(f, "forget") + facts["forget_bias"].value
        added = sigmoid(norm(i, "input")) * activation(norm(j, "transform"))
        c = norm(states["c"] * sigmoid(f) + added, "state")
        return {"h": activation(c) * sigmoid(norm(o, "output")), "c": c}
