"""Hand-written LSTMs and GRUs that keep one matrix a gate, for the input and the state together.

    gate = s([x, h] @ kernel + bias)        kernel (I + U, U), rows [x; h]      bias (U,)

or, with the state first, [h, x] and rows [h; x]. The candidate of a GRU multiplies [x, r * h]
(reset_after=False), or r * (h @ rows of h) + x @ rows of x.

Source: the formulas as blogs and lectures print them, "W · [h, x] + b", typed into TensorFlow 1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import GRU_GATES, LSTM_GATES, Array, Cell, CellKind, Gate
from rnn_migrator.layouts import gru_math, lstm_math
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register


def _symbols(gates: tuple[str, ...]) -> dict[str, str]:
    shapes = {"kernel": "[I+U, U]", "bias": "[U]"}
    return {f"{gate}/{part}": shape for part, shape in shapes.items() for gate in gates}


class _PerGateFused(Layout):
    state_first: ClassVar[bool] = False

    def _gates(self, tensors: Tensors) -> dict[str, Gate]:
        found = {}
        for name in self.kind.gates:
            kernel, bias = tensors[f"{name}/kernel"], tensors.get(f"{name}/bias")
            units = kernel.shape[-1]
            of_input, of_state = kernel[:-units], kernel[-units:]
            if self.state_first:
                of_state, of_input = kernel[:units], kernel[units:]
            own_bias = None if bias is None else bias.copy()
            found[name] = Gate(of_input.copy(), of_state.copy(), own_bias)
        return found

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        tensors = {}
        for name, gate in cell.gates.items():
            rows = [gate.kernel, gate.recurrent]
            tensors[f"{name}/kernel"] = np.concatenate(rows[::-1] if self.state_first else rows)
            if gate.bias is not None:
                tensors[f"{name}/bias"] = gate.bias
        return tensors

    def _product(self, tensors: Tensors, gate: str, x: Array, h: Array) -> Array:
        """[x, h] @ kernel, or [h, x] @ kernel."""
        operands = [h, x] if self.state_first else [x, h]
        return np.concatenate(operands, axis=1) @ tensors[f"{gate}/kernel"]


class _PerGateFusedLstm(_PerGateFused):
    kind = CellKind.LSTM
    symbols = _symbols(LSTM_GATES)
    optional = together = frozenset(f"{gate}/bias" for gate in LSTM_GATES)
    adds_forget_bias = True
    clips = frozenset({"cell_clip"})

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, self._gates(tensors), **lstm_math.facts_of(facts))

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        i, f, g, o = (
            self._product(tensors, gate, x, states["h"]) + tensors.get(f"{gate}/bias", 0.0)
            for gate in LSTM_GATES
        )
        f = f + facts["forget_bias"].value
        return lstm_math.lstm_update(i, f, g, o, states["c"], facts)


class _PerGateFusedGru(_PerGateFused):
    kind = CellKind.GRU
    symbols = _symbols(GRU_GATES)
    optional = together = frozenset(f"{gate}/bias" for gate in GRU_GATES)
    leaves_open = gru_math.CONVENTIONS

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, self._gates(tensors), **gru_math.facts_of(facts))

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        bias = {gate: tensors.get(f"{gate}/bias", 0.0) for gate in GRU_GATES}
        squash = ACTIVATIONS[facts["recurrent_activation"].value]
        z = squash(self._product(tensors, "update", x, h) + bias["update"])
        r = squash(self._product(tensors, "reset", x, h) + bias["reset"])
        if facts["reset_after"].value:
            on_input = self._product(tensors, "candidate", x, np.zeros_like(h))
            on_state = self._product(tensors, "candidate", np.zeros_like(x), h)
            total = on_input + r * on_state
        else:
            total = self._product(tensors, "candidate", x, r * h)
        g = ACTIVATIONS[facts["activation"].value](total + bias["candidate"])
        return gru_math.next_state(z, h, g, facts)


@register
class PerGateFusedLstm(_PerGateFusedLstm):
    """An LSTM, rows [x; h]."""

    name = "per_gate_fused_lstm"


@register
class PerGateFusedLstmStateFirst(_PerGateFusedLstm):
    """An LSTM, rows [h; x]."""

    name = "per_gate_fused_lstm_hx"
    state_first = True


@register
class PerGateFusedGru(_PerGateFusedGru):
    """A GRU, rows [x; h]."""

    name = "per_gate_fused_gru"


@register
class PerGateFusedGruStateFirst(_PerGateFusedGru):
    """A GRU, rows [h; x]."""

    name = "per_gate_fused_gru_hx"
    state_first = True
