"""Keras `SimpleRNN`, of Keras 1 and 2 (and tf.keras, Keras 3).

    kernel (I, U)  recurrent_kernel (U, U)  bias (U,)
    h' = act(x @ kernel + bias + h @ recurrent_kernel)

Source: `SimpleRNN.step`, keras/layers/recurrent.py of Keras 1.2.2, where the arrays are called W,
U and b, and `SimpleRNNCell.call` there in Keras 2.2.5.
"""

from __future__ import annotations

from typing import ClassVar

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import gate_roles, gates_by_role, tensors_by_role

_ROLES = gate_roles("h", {"kernel": "kernel", "recurrent": "recurrent_kernel", "bias": "bias"})


@register
class KerasRnn(Layout):
    """Input and recurrent kernel apart, and no gate."""

    name = "keras_rnn"
    kind = CellKind.RNN
    symbols: ClassVar = {"kernel": "[I, U]", "recurrent_kernel": "[U, U]", "bias": "[U]"}
    optional = frozenset({"bias"})

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, gates_by_role(tensors, _ROLES), activation=facts["activation"])

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return tensors_by_role(cell.gates, _ROLES)

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        on_input = x @ tensors["kernel"] + tensors.get("bias", 0.0)
        total = on_input + states["h"] @ tensors["recurrent_kernel"]
        return {"h": ACTIVATIONS[facts["activation"].value](total)}
