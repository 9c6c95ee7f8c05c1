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

SYMMETRIC_GATES = frozenset({"sigmoid", "hard_sigmoid", "keras3_hard_sigmoid"})
"""Activations s with s(-x) = 1 - s(x)."""

_LSTM_FACTS = ("activation", "recurrent_activation", "forget_bias", "cell_clip")


@dataclasses.dataclass(frozen=True)
class _Recurrence:
    """Names of gates, states and facts of a kind; states in the order Keras returns them."""

    label: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    facts: tuple[str, ...]


class CellKind(enum.Enum):
    """The recurrences the canonical form can express."""

    LSTM = _Recurrence("LSTM", LSTM_GATES, ("h", "c"), _LSTM_FACTS)
    COUPLED_LSTM = _Recurrence("coupled LSTM", LSTM_GATES[1:], ("h", "c"), _LSTM_FACTS)
    CONV_LSTM = _Recurrence("ConvLSTM2D", LSTM_GATES, ("h", "c"), _LSTM_FACTS)
    GRU = _Recurrence(
        "GRU", GRU_GATES, ("h",), ("activation", "recurrent_activation", "reset_after")
    )
    RNN = _Recurrence("simple RNN", ("candidate",), ("h",), ("activation",))
    UGRNN = _Recurrence(
        "UGRNN",
        ("update", "candidate"),
        ("h",),
        ("activation", "recurrent_activation", "forget_bias"),
    )

    @property
    def label(self) -> str:
        """Name for people."""
        return self.value.label

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates of the kind."""
        return self.value.gates

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, in the order in which Keras returns them."""
        return self.value.states

    @property
    def biased_gate(self) -> str:
        """The gate that a run-time forget bias is added to."""
        return "update" if self is CellKind.UGRNN else "forget"


@dataclasses.dataclass(frozen=True, eq=False)
class Gate:
    """Weights of one gate: `x @ kernel + bias + h @ recurrent (+ recurrent_bias)`.

    Attributes:
      kernel: (input_size, units); of a convolution (height, width, channels, filters).
      recurrent: (output_size, units); of a convolution (height, width, filters, filters).
      bias: (units,), None for a gate without.
      recurrent_bias: (units,), where the source keeps a second bias on the recurrent side.
    """

    kernel: Array
    recurrent: Array
    bias: Array | None
    recurrent_bias: Array | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Norm:
    """Scale and offset of a layer normalisation, (units,) each."""

    gamma: Array
    beta: Array


def _fixed(value: Any) -> Fact[Any]:
    return Fact(value, Origin.CLASS)


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """A cell with named gates and the facts that decide what it computes.

    LSTM, with peepholes w, projection P and norms N where there are any:
      i = s(N(input) + w_i * c)   f = s(N(forget) + forget_bias + w_f * c)   g = a(N(candidate))
      c' = N(clip(f * c + i * g, cell_clip))     o = s(N(output) + w_o * c')
      h' = clip((o * a(c')) @ P, proj_clip)
    COUPLED_LSTM: the same with 1 - f for i.
    CONV_LSTM: the same with convolutions for the products, without w, P and N.
    GRU:
      z = s(update)  r = s(reset)                  h' = z * h + (1 - z) * g
      reset_after=False: g = a(x @ K + b + (r * h) @ R)
      reset_after=True:  g = a(x @ K + b + r * (h @ R + recurrent_bias))
      update_keeps="candidate":                    h' = (1 - z) * h + z * g
    RNN: h' = a(candidate)
    UGRNN: z = s(update + forget_bias)             h' = z * h + (1 - z) * a(candidate)
    with s = recurrent_activation and a = activation.

    Attributes:
      kind: The recurrence.
      gates: Weights by gate name, those of the kind.
      activation: Name of the activation of candidate (and LSTM output).
      recurrent_activation: Name of the activation of the other gates.
      forget_bias: What the cell adds to the forget gate (UGRNN: update gate) at run time.
      cell_clip: Bound on the absolute cell state, None for none.
      proj_clip: Bound on the absolute projected output, None for none.
      reset_after: Whether the reset gate acts after the recurrent product (GRU).
      update_keeps: What the update gate is multiplied with, "state" or "candidate" (GRU).
      peepholes: (units,) by gate name, for the gates that see the cell state.
      projection: (units, output_size), None for none.
      norms: Layer normalisations by gate name, and of the new cell state as "state".
      convolution: Arguments of the convolutions (strides, padding, data_format, dilation_rate).
    """

    kind: CellKind
    gates: Mapping[str, Gate]
    activation: Fact[str]
    recurrent_activation: Fact[str] = dataclasses.field(default_factory=lambda: _fixed("sigmoid"))
    forget_bias: Fact[float] = dataclasses.field(default_factory=lambda: _fixed(0.0))
    cell_clip: Fact[float | None] = dataclasses.field(default_factory=lambda: _fixed(None))
    proj_clip: Fact[float | None] = dataclasses.field(default_factory=lambda: _fixed(None))
    reset_after: Fact[bool] = dataclasses.field(default_factory=lambda: _fixed(False))
    update_keeps: Fact[str] = dataclasses.field(default_factory=lambda: _fixed("state"))
    peepholes: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    projection: Array | None = None
    norms: Mapping[str, Norm] = dataclasses.field(default_factory=dict)
    convolution: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def units(self) -> int:
        """Width of the gates and of the cell state."""
        return int(self.gates["candidate"].kernel.shape[-1])

    @property
    def input_size(self) -> int:
        """Width of the input."""
        return int(self.gates["candidate"].kernel.shape[-2])

    @property
    def output_size(self) -> int:
        """Width of the output, which is also the state h."""
        return self.units if self.projection is None else int(self.projection.shape[1])

    @property
    def state_sizes(self) -> dict[str, int]:
        """Width of each state, in the order in which Keras returns them."""
        return {name: self.output_size if name == "h" else self.units for name in self.kind.states}

    @property
    def facts(self) -> dict[str, Fact[Any]]:
        """Facts that matter for the kind, by name."""
        names = self.kind.value.facts
        if self.projection is not None:
            names = (*names, "proj_clip")
        if self.update_keeps.origin is not Origin.CLASS:
            names = (*names, "update_keeps")
        return {name: getattr(self, name) for name in names}

    @property
    def recurrent_biases(self) -> dict[str, Array]:
        """The second biases by gate; empty where the source keeps only one."""
        return {
            name: gate.recurrent_bias
            for name, gate in self.gates.items()
            if gate.recurrent_bias is not None
        }

    @property
    def has_bias(self) -> bool:
        """Whether its gates have biases."""
        return self.gates["candidate"].bias is not None

    def folded(self) -> Cell:
        """The same cell with the run-time forget bias and any second bias summed into `bias`.

        The sums are the one lossy step of a conversion: they cannot be taken apart again. They
        are made in the dtype of the weights, as the legacy cell does. A GRU with `reset_after`
        keeps its second bias, which cannot be summed. Behind a layer normalisation the forget
        bias goes into the offset of the norm.

        Where the update gate of a GRU keeps the candidate, the gate is negated, which is exact:
        s(-x) = 1 - s(x) for the activations in `SYMMETRIC_GATES`.
        """
        if self.kind is CellKind.GRU:
            return self._folded_gru()
        gates = {name: _with_one_bias(gate) for name, gate in self.gates.items()}
        norms = dict(self.norms)
        biased, added = self.kind.biased_gate, self.forget_bias.value
        if added and biased in norms:
            norms[biased] = dataclasses.replace(
                norms[biased], beta=_plus(norms[biased].beta, added)
            )
        elif added:
            gates = {name: _with_bias(gate) for name, gate in gates.items()}
            gates[biased] = _with_more_bias(gates[biased], added)
        folded = Fact(0.0, self.forget_bias.origin, f"summed into the bias of the {biased} gate")
        return dataclasses.replace(self, gates=gates, norms=norms, forget_bias=folded)

    def _folded_gru(self) -> Cell:
        """With biases for all gates or none, and an update gate that keeps the state."""
        gates, keeps = dict(self.gates), self.update_keeps
        biased = any(
            part is not None for g in gates.values() for part in (g.bias, g.recurrent_bias)
        )
        lacking = biased and any(gate.bias is None for gate in gates.values())
        if lacking:
            gates = {name: _with_bias(gate) for name, gate in gates.items()}
        if keeps.value == "candidate":
            gates["update"] = _negated(gates["update"])
            keeps = Fact("state", keeps.origin, "the update gate is negated")
        elif not lacking:
            return self
        return dataclasses.replace(self, gates=gates, update_keeps=keeps)


def _with_one_bias(gate: Gate) -> Gate:
    if gate.bias is None or gate.recurrent_bias is None:
        return gate
    return dataclasses.replace(gate, bias=gate.bias + gate.recurrent_bias, recurrent_bias=None)


def _negated(gate: Gate) -> Gate:
    def minus(part: Array | None) -> Array | None:
        return None if part is None else -part

    return Gate(-gate.kernel, -gate.recurrent, minus(gate.bias), minus(gate.recurrent_bias))


def _with_bias(gate: Gate) -> Gate:
    if gate.bias is not None:
        return gate
    return dataclasses.replace(gate, bias=np.zeros(gate.kernel.shape[-1], gate.kernel.dtype))


def _with_more_bias(gate: Gate, added: float) -> Gate:
    return gate if gate.bias is None else dataclasses.replace(gate, bias=_plus(gate.bias, added))


def _plus(bias: Array, added: float) -> Array:
    """The sum in the dtype of the bias."""
    total: Array = bias + np.asarray(added, bias.dtype)
    return total
