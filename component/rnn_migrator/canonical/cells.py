"""One recurrent cell, gate by gate, in a form that belongs to no framework."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rnn_migrator.canonical.facts import Fact, Origin

Array = npt.NDArray[Any]

LSTM_GATES = ("input", "forget", "candidate", "output")
GRU_GATES = ("update", "reset", "candidate")


class CellKind(enum.Enum):
    """The recurrences the canonical form can express."""

    LSTM = "LSTM"
    GRU = "GRU"

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates of the kind."""
        return LSTM_GATES if self is CellKind.LSTM else GRU_GATES

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, in the order in which Keras returns them."""
        return ("h", "c") if self is CellKind.LSTM else ("h",)


@dataclasses.dataclass(frozen=True, eq=False)
class Gate:
    """Weights of one gate: `x @ kernel + bias + h @ recurrent (+ recurrent_bias)`.

    Attributes:
      kernel: (input_size, units).
      recurrent: (units, units).
      bias: (units,).
      recurrent_bias: (units,), where the source keeps a second bias on the recurrent side.
    """

    kernel: Array
    recurrent: Array
    bias: Array
    recurrent_bias: Array | None = None


def _fixed(value: Any) -> Fact[Any]:
    return Fact(value, Origin.CLASS)


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """A cell with named gates and the facts that decide what it computes.

    LSTM:
      i = s(input)   f = s(forget + forget_bias)   g = a(candidate)   o = s(output)
      c' = clip(f * c + i * g, cell_clip)          h' = o * a(c')
    GRU:
      z = s(update)  r = s(reset)                  h' = z * h + (1 - z) * g
      reset_after=False: g = a(x @ K + b + (r * h) @ R)
      reset_after=True:  g = a(x @ K + b + r * (h @ R + recurrent_bias))
    with s = recurrent_activation and a = activation.

    Attributes:
      kind: LSTM or GRU.
      gates: Weights by gate name (`LSTM_GATES` or `GRU_GATES`).
      activation: Name of the activation of candidate (and LSTM output).
      recurrent_activation: Name of the activation of the other gates.
      forget_bias: What the cell adds to the forget gate at run time (LSTM).
      cell_clip: Bound on the absolute cell state, None for none (LSTM).
      reset_after: Whether the reset gate acts after the recurrent product (GRU).
    """

    kind: CellKind
    gates: Mapping[str, Gate]
    activation: Fact[str]
    recurrent_activation: Fact[str]
    forget_bias: Fact[float] = dataclasses.field(default_factory=lambda: _fixed(0.0))
    cell_clip: Fact[float | None] = dataclasses.field(default_factory=lambda: _fixed(None))
    reset_after: Fact[bool] = dataclasses.field(default_factory=lambda: _fixed(False))

    @property
    def units(self) -> int:
        """Width of the state."""
        return int(self.gates["candidate"].kernel.shape[1])

    @property
    def input_size(self) -> int:
        """Width of the input."""
        return int(self.gates["candidate"].kernel.shape[0])

    @property
    def facts(self) -> dict[str, Fact[Any]]:
        """Facts that matter for the kind, by name."""
        names = ["activation", "recurrent_activation"]
        names += ["forget_bias", "cell_clip"] if self.kind is CellKind.LSTM else ["reset_after"]
        return {name: getattr(self, name) for name in names}

    @property
    def recurrent_biases(self) -> dict[str, Array]:
        """The second biases by gate; empty where the source keeps only one."""
        return {
            name: gate.recurrent_bias
            for name, gate in self.gates.items()
            if gate.recurrent_bias is not None
        }

    def folded(self) -> Cell:
        """The same LSTM with the run-time forget bias and any second bias summed into `bias`.

        The sums are the one lossy step of a conversion: they cannot be taken apart again. They
        are made in the dtype of the weights, as the legacy cell does. A GRU with `reset_after`
        keeps its second bias, which cannot be summed.
        """
        if self.kind is not CellKind.LSTM:
            return self
        gates = {}
        for name, gate in self.gates.items():
            bias = gate.bias if gate.recurrent_bias is None else gate.bias + gate.recurrent_bias
            if name == "forget" and self.forget_bias.value:
                bias = bias + np.asarray(self.forget_bias.value, bias.dtype)
            gates[name] = dataclasses.replace(gate, bias=bias, recurrent_bias=None)
        folded = Fact(0.0, self.forget_bias.origin, "summed into the bias of the forget gate")
        return dataclasses.replace(self, gates=gates, forget_bias=folded)
