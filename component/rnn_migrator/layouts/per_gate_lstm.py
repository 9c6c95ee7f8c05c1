"""A hand-written LSTM that keeps three variables a gate, each in a scope of its own.

    gate = s(x @ kernel + h @ recurrent + bias)      kernel (I, U)  recurrent (U, U)  bias (U,)
    c = forget * c + input * act(x @ kernel + h @ recurrent + bias of the candidate)
    h = output * act(c)

Source: the cell that circulates in TensorFlow 1 tutorials and questions, with scopes such as
`LSTMcell/{input_gate,forget_gate,memory_cell,output_gate}/{wx,wt,bi}`. What its author may have
added at run time (a forget bias, say) stands in no variable, so it is a fact like any other. Not
every author kept biases.
"""

from __future__ import annotations

from typing import ClassVar

from rnn_migrator.canonical import LSTM_GATES, Array, Cell, CellKind
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import gate_roles, gates_by_role, tensors_by_role
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_SHAPES = {"kernel": "[I, U]", "recurrent": "[U, U]", "bias": "[U]"}
_ROLES = gate_roles("ifco", {part: f"{{name}}/{part}" for part in _SHAPES})


@register
class PerGateLstm(Layout):
    """One input matrix, one recurrent matrix and one bias a gate."""

    name = "per_gate_lstm"
    kind = CellKind.LSTM
    symbols: ClassVar = {
        role: _SHAPES[part] for roles in _ROLES.values() for part, role in roles.items()
    }
    optional = together = frozenset(roles["bias"] for roles in _ROLES.values())
    adds_forget_bias = True
    clips = frozenset({"cell_clip"})

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, gates_by_role(tensors, _ROLES), **facts_of(facts))

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return tensors_by_role(cell.gates, _ROLES)

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""

        def pre_activation(gate: str) -> Array:
            product = x @ tensors[f"{gate}/kernel"] + states["h"] @ tensors[f"{gate}/recurrent"]
            return product + tensors.get(f"{gate}/bias", 0.0)

        i, f, g, o = (pre_activation(gate) for gate in LSTM_GATES)
        f = f + facts["forget_bias"].value
        return lstm_update(i, f, g, o, states["c"], facts)
