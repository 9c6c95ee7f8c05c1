"""The matrices of cuDNN one by one, as a `CudnnLSTM`, `CudnnGRU` or cuDNN RNN keeps them.

    W (U, I) and R (U, U) of each gate, a bias of U for each of both
    gate = W x + b_W + R h + b_R, that is x @ W.T + b_W + h @ R.T + b_R
    LSTM, gates i f c o:  c' = sigmoid(f) * c + sigmoid(i) * tanh(c)    h' = sigmoid(o) * tanh(c')
    GRU, gates r z h:     g = tanh(W_h x + b_W + r * (R_h h + b_R))     h' = (1 - z) * g + z * h
    RNN:                  h' = act(gate), act being tanh or relu

Roles are `w_i`, `r_i`, `b_w_i` and `b_r_i` for the gate i, and so on. Source: the docstring of
`CudnnOpaqueParamsSaveable` and `CudnnParamsFormatConverter*._cudnn_to_tf_weights`,
tensorflow/contrib/cudnn_rnn/python/ops/cudnn_rnn_ops.py, 1.15, and `cudnnRNNMode_t` in NVIDIA's
reference.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Origin
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import Gates, Roles, gate_roles, gates_by_role, tensors_by_role
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_PARTS = {"kernel": "w_{}", "recurrent": "r_{}", "bias": "b_w_{}", "recurrent_bias": "b_r_{}"}
_SHAPES = {"kernel": "[U, I]", "recurrent": "[U, U]", "bias": "[U]", "recurrent_bias": "[U]"}


def _roles(order: str) -> Roles:
    return gate_roles(order, {part: role.format("{letter}") for part, role in _PARTS.items()})


def _symbols(order: str) -> dict[str, str]:
    """Part by part, and within a part gate by gate: the order in the opaque buffer."""
    return {role.format(letter): _SHAPES[part] for part, role in _PARTS.items() for letter in order}


class _Cudnn(Layout):
    order: ClassVar[str]

    def _gates(self, tensors: Tensors) -> Gates:
        return gates_by_role(tensors, _roles(self.order), np.transpose)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        tensors = tensors_by_role(cell.gates, _roles(self.order), np.transpose)
        return {role: tensors[role] for role in self.roles}

    def _on_input(self, tensors: Tensors, x: Array, letter: str) -> Array:
        product: Array = x @ tensors[f"w_{letter}"].T + tensors[f"b_w_{letter}"]
        return product

    def _on_state(self, tensors: Tensors, h: Array, letter: str) -> Array:
        product: Array = h @ tensors[f"r_{letter}"].T + tensors[f"b_r_{letter}"]
        return product

    def _blocks(self, tensors: Tensors, x: Array, h: Array) -> list[Array]:
        """What each gate gets, in the order of the gates."""
        return [
            self._on_input(tensors, x, letter) + self._on_state(tensors, h, letter)
            for letter in self.order
        ]


@register
class CudnnCanonicalLstm(_Cudnn):
    """Four gates, each with two matrices and two biases."""

    name = "cudnn_canonical_lstm"
    kind = CellKind.LSTM
    order = "ifco"
    symbols = _symbols(order)

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, self._gates(tensors), **facts_of(facts))

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        i, f, g, o = self._blocks(tensors, x, states["h"])
        return lstm_update(i, f, g, o, states["c"], facts)


@register
class CudnnCanonicalGru(_Cudnn):
    """Three gates, each with two matrices and two biases."""

    name = "cudnn_canonical_gru"
    kind = CellKind.GRU
    order = "rzh"
    symbols = _symbols(order)

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(
            self.kind,
            self._gates(tensors),
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=Fact(True, Origin.CLASS, "cuDNN resets after the recurrent product"),
        )

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h, gate = states["h"], ACTIVATIONS[facts["recurrent_activation"].value]
        r, z, _ = (gate(block) for block in self._blocks(tensors, x, h))
        candidate = self._on_input(tensors, x, "h") + r * self._on_state(tensors, h, "h")
        g = ACTIVATIONS[facts["activation"].value](candidate)
        return {"h": (1.0 - z) * g + z * h}


@register
class CudnnCanonicalRnn(_Cudnn):
    """No gate: two matrices and two biases."""

    name = "cudnn_canonical_rnn"
    kind = CellKind.RNN
    order = "h"
    symbols = _symbols(order)

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, self._gates(tensors), activation=facts["activation"])

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        [block] = self._blocks(tensors, x, states["h"])
        return {"h": ACTIVATIONS[facts["activation"].value](block)}
