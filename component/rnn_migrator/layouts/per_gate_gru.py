"""A hand-written GRU that keeps three variables a gate.

    z, r = s(x @ kernel + h @ recurrent + bias)      kernel (I, U)  recurrent (U, U)  bias (U,)
    reset_after=False: g = act(x @ kernel + (r * h) @ recurrent + bias)
    reset_after=True:  g = act(x @ kernel + r * (h @ recurrent + recurrent_bias) + bias)
    h = z * h + (1 - z) * g, or with update_keeps="candidate" h = (1 - z) * h + z * g

Source: the cell that circulates in TensorFlow 1 tutorials and questions, with variables such as
`Wz, Uz, bz`. Its authors follow Cho et al. (2014, where z keeps the state) or Chung et al. (2014,
where it keeps the candidate), and reset before or after the product, which no variable says.
"""

from __future__ import annotations

from typing import ClassVar

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import gate_roles, gates_by_role, tensors_by_role
from rnn_migrator.layouts.gru_math import CONVENTIONS, facts_of, next_state

_SHAPES = {"kernel": "[I, U]", "recurrent": "[U, U]", "bias": "[U]", "recurrent_bias": "[U]"}
_COMMON = {part: f"{{name}}/{part}" for part in ("kernel", "recurrent", "bias")}
_ROLES = {
    **gate_roles("zr", _COMMON),
    **gate_roles("h", {**_COMMON, "recurrent_bias": "{name}/recurrent_bias"}),
}


@register
class PerGateGru(Layout):
    """One input matrix, one recurrent matrix and one bias a gate, or none."""

    name = "per_gate_gru"
    kind = CellKind.GRU
    symbols: ClassVar = {
        role: _SHAPES[part] for roles in _ROLES.values() for part, role in roles.items()
    }
    together = frozenset({"update/bias", "reset/bias"})
    optional = together | {"candidate/bias", "candidate/recurrent_bias"}
    leaves_open = CONVENTIONS

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, gates_by_role(tensors, _ROLES), **facts_of(facts))

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return tensors_by_role(cell.gates, _ROLES)

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        gate = ACTIVATIONS[facts["recurrent_activation"].value]

        def on_input(name: str) -> Array:
            return x @ tensors[f"{name}/kernel"] + tensors.get(f"{name}/bias", 0.0)

        z = gate(on_input("update") + h @ tensors["update/recurrent"])
        r = gate(on_input("reset") + h @ tensors["reset/recurrent"])
        recurrent = tensors["candidate/recurrent"]
        if facts["reset_after"].value:
            on_state = r * (h @ recurrent + tensors.get("candidate/recurrent_bias", 0.0))
        else:
            on_state = (r * h) @ recurrent
        g = ACTIVATIONS[facts["activation"].value](on_input("candidate") + on_state)
        return next_state(z, h, g, facts)
