"""Keras 1 `LSTM` and `GRU` with `consume_less` "cpu" or "mem": three arrays a gate.

    W (I, U)  U (U, U)  b (U,) of each gate; in the file i c f o (LSTM), z r h (GRU)
    LSTM: gate = s(x @ W + b + h @ U)     c' = f * c + i * act(x @ W_c + b_c + h @ U_c)
          h' = o * act(c')
    GRU:  g = act(x @ W_h + b_h + (r * h) @ U_h)     h' = z * h + (1 - z) * g

Source: `LSTM.step` and `GRU.step`, keras/layers/recurrent.py of Keras 1.2.2. The initial forget
bias of one stands inside `b_f`. With `consume_less="gpu"` there are three arrays in all, in the
layouts of Keras 2.
"""

from __future__ import annotations

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Origin
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import Roles, gate_roles, gates_by_role, tensors_by_role
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_SHAPES = {"kernel": "[I, U]", "recurrent": "[U, U]", "bias": "[U]"}
PARTS = {"kernel": "W_{letter}", "recurrent": "U_{letter}", "bias": "b_{letter}"}
"""Role of each part of a gate, also in Keras 1's ConvLSTM2D."""

LSTM_ROLES = gate_roles("icfo", PARTS)
_GRU_ROLES = gate_roles("zrh", PARTS)


def _symbols(roles: Roles) -> dict[str, str]:
    return {role: _SHAPES[part] for parts in roles.values() for part, role in parts.items()}


def _pre_activation(tensors: Tensors, letter: str, x: Array, h: Array) -> Array:
    on_input = x @ tensors[f"W_{letter}"] + tensors[f"b_{letter}"]
    total: Array = on_input + h @ tensors[f"U_{letter}"]
    return total


@register
class Keras1Lstm(Layout):
    """Twelve arrays, gates in the order i c f o."""

    name = "keras1_lstm"
    kind = CellKind.LSTM
    symbols = _symbols(LSTM_ROLES)

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, gates_by_role(tensors, LSTM_ROLES), **facts_of(facts))

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return tensors_by_role(cell.gates, LSTM_ROLES)

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        i, f, g, o = (_pre_activation(tensors, letter, x, states["h"]) for letter in "ifco")
        return lstm_update(i, f, g, o, states["c"], facts)


@register
class Keras1Gru(Layout):
    """Nine arrays, gates in the order z r h; the reset gate acts before the recurrent product."""

    name = "keras1_gru"
    kind = CellKind.GRU
    symbols = _symbols(_GRU_ROLES)

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(
            self.kind,
            gates_by_role(tensors, _GRU_ROLES),
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=Fact(False, Origin.CLASS, "Keras 1 resets before the recurrent product"),
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        return tensors_by_role(cell.gates, _GRU_ROLES)

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h, gate = states["h"], ACTIVATIONS[facts["recurrent_activation"].value]
        z, r = (gate(_pre_activation(tensors, letter, x, h)) for letter in "zr")
        g = ACTIVATIONS[facts["activation"].value](_pre_activation(tensors, "h", x, r * h))
        return {"h": z * h + (1.0 - z) * g}
