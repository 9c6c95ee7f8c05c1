"""The canonical parts themselves as a layout, so that a cell which lies in no file can run.

One layout a kind, whose formulas are those that `canonical.Cell` states. Roles are
`GATE/kernel`, `GATE/recurrent`, `GATE/bias`, `GATE/recurrent_bias`, `GATE/peephole`, `projection`,
`norm/GATE/gamma` and `norm/GATE/beta`. Nothing is stored like this: such a source stands for a
canonical cell that was changed on purpose.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from rnn_migrator.canonical import (
    Array,
    Cell,
    CellKind,
    Fact,
    Gate,
    LegacyCell,
    Norm,
    Origin,
    SourceCell,
)
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, get_layout, register
from rnn_migrator.layouts.convolution import (
    channels_as_told,
    channels_last,
    input_convolution,
    recurrent_convolution,
    zero_maps,
)

_PARTS = tuple(field.name for field in dataclasses.fields(Gate))
_EPSILON = 1e-12
_FACTS = (
    "activation",
    "recurrent_activation",
    "forget_bias",
    "cell_clip",
    "proj_clip",
    "reset_after",
    "update_keeps",
)


def as_source(cell: Cell) -> LegacyCell:
    """A canonical cell with itself as its source."""
    layout = get_layout(f"canonical_{cell.kind.name.lower()}")
    tensors = layout.from_canonical(cell)
    facts = dict(cell.facts)
    if cell.convolution:
        facts["convolution"] = Fact(cell.convolution, Origin.CONFIG, "the canonical cell")
    names = {role: role for role in tensors}
    return LegacyCell(cell, SourceCell(layout.name, tensors, names, facts))


def _symbols(kind: CellKind, kernel: str = "[I, U]", recurrent: str = "[H, U]") -> dict[str, str]:
    """Shapes by role; those that tell the sizes come first."""
    shapes = {"kernel": kernel, "recurrent": recurrent, "bias": "[U]", "recurrent_bias": "[U]"}
    symbols = {f"{gate}/{part}": shapes[part] for part in _PARTS for gate in kind.gates}
    if kind not in (CellKind.LSTM, CellKind.COUPLED_LSTM):
        return symbols
    peepholes = [f"{gate}/peephole" for gate in kind.gates if gate != "candidate"]
    norms = [f"norm/{name}/{part}" for name in _normed(kind) for part in ("gamma", "beta")]
    return symbols | {"projection": "[U, P]"} | dict.fromkeys(peepholes + norms, "[U]")


def _normed(kind: CellKind) -> tuple[str, ...]:
    """What a layer normalisation can be of."""
    return (*kind.gates, "state")


def _optional(symbols: Mapping[str, str]) -> frozenset[str]:
    return frozenset(role for role in symbols if not role.endswith(("/kernel", "/recurrent")))


class _CanonicalForm(Layout):
    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return self._cell({role: tensor.copy() for role, tensor in tensors.items()}, facts)

    def _cell(self, tensors: Tensors, facts: Facts) -> Cell:
        """The cell, made of the tensors as they are."""
        gates = {
            name: Gate(
                tensors[f"{name}/kernel"],
                tensors[f"{name}/recurrent"],
                tensors.get(f"{name}/bias"),
                tensors.get(f"{name}/recurrent_bias"),
            )
            for name in self.kind.gates
        }
        known = {name: facts[name] for name in _FACTS if name in facts}
        norms = {
            name: Norm(tensors[f"norm/{name}/gamma"], tensors[f"norm/{name}/beta"])
            for name in _normed(self.kind)
            if f"norm/{name}/gamma" in tensors
        }
        return Cell(
            self.kind,
            gates,
            **known,
            peepholes={
                name: tensors[f"{name}/peephole"]
                for name in self.kind.gates
                if f"{name}/peephole" in tensors
            },
            projection=tensors.get("projection"),
            norms=norms,
            convolution=facts["convolution"].value if "convolution" in facts else {},
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        found = {
            f"{name}/{part}": getattr(gate, part)
            for name, gate in cell.gates.items()
            for part in _PARTS
        }
        found |= {f"{name}/peephole": peephole for name, peephole in cell.peepholes.items()}
        found |= {"projection": cell.projection}
        for name, norm in cell.norms.items():
            found |= {f"norm/{name}/gamma": norm.gamma, f"norm/{name}/beta": norm.beta}
        return {role: array for role, array in found.items() if array is not None}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        return _FORMULAS[self.kind](self._cell(tensors, facts), x, states)


def _squash(cell: Cell, x: Array) -> Array:
    return ACTIVATIONS[cell.recurrent_activation.value](x)


def _activate(cell: Cell, x: Array) -> Array:
    return ACTIVATIONS[cell.activation.value](x)


def _plus(x: Array, *others: Array | None) -> Array:
    for other in others:
        x = x if other is None else x + other
    return x


def _total(gate: Gate, x: Array, h: Array) -> Array:
    return _plus(x @ gate.kernel + h @ gate.recurrent, gate.bias, gate.recurrent_bias)


def _rnn(cell: Cell, x: Array, states: States) -> dict[str, Array]:
    return {"h": _activate(cell, _total(cell.gates["candidate"], x, states["h"]))}


def _ugrnn(cell: Cell, x: Array, states: States) -> dict[str, Array]:
    h = states["h"]
    z = _squash(cell, _total(cell.gates["update"], x, h) + cell.forget_bias.value)
    return {"h": z * h + (1.0 - z) * _activate(cell, _total(cell.gates["candidate"], x, h))}


def _gru(cell: Cell, x: Array, states: States) -> dict[str, Array]:
    h, gate = states["h"], cell.gates["candidate"]
    z, r = (_squash(cell, _total(cell.gates[name], x, h)) for name in ("update", "reset"))
    on_input = _plus(x @ gate.kernel, gate.bias)
    if cell.reset_after.value:
        g = _activate(cell, on_input + r * _plus(h @ gate.recurrent, gate.recurrent_bias))
    else:
        g = _activate(cell, on_input + (r * h) @ gate.recurrent)
    if cell.update_keeps.value == "candidate":
        return {"h": (1.0 - z) * h + z * g}
    return {"h": z * h + (1.0 - z) * g}


def _lstm(cell: Cell, x: Array, states: States) -> dict[str, Array]:
    totals = {name: _total(gate, x, states["h"]) for name, gate in cell.gates.items()}
    return _lstm_states(cell, totals, states["c"])


def _conv_lstm(cell: Cell, x: Array, states: States) -> dict[str, Array]:
    arguments = cell.convolution
    x, h, c = (channels_last(maps, arguments) for maps in (x, states["h"], states["c"]))
    totals = {
        name: _plus(
            input_convolution(x, gate.kernel, arguments) + recurrent_convolution(h, gate.recurrent),
            gate.bias,
            gate.recurrent_bias,
        )
        for name, gate in cell.gates.items()
    }
    after = _lstm_states(cell, totals, c)
    return {name: channels_as_told(maps, arguments) for name, maps in after.items()}


def _lstm_states(cell: Cell, totals: Mapping[str, Array], c: Array) -> dict[str, Array]:
    """The states, from the sums of products and biases by gate."""

    def gate(name: str, sees: Array) -> Array:
        total = _normal(cell, name, totals[name])
        if name == "forget":
            total = total + cell.forget_bias.value
        if name in cell.peepholes:
            total = total + cell.peepholes[name] * sees
        return _squash(cell, total)

    f = gate("forget", c)
    i = gate("input", c) if "input" in totals else 1.0 - f
    g = _activate(cell, _normal(cell, "candidate", totals["candidate"]))
    c = _normal(cell, "state", _clip(f * c + i * g, cell.cell_clip))
    h = gate("output", c) * _activate(cell, c)
    if cell.projection is not None:
        h = _clip(h @ cell.projection, cell.proj_clip)
    return {"h": h, "c": c}


def _clip(x: Array, bound: Fact[float | None]) -> Array:
    return x if bound.value is None else np.clip(x, -bound.value, bound.value)


def _normal(cell: Cell, name: str, x: Array) -> Array:
    if name not in cell.norms:
        return x
    norm, centred = cell.norms[name], x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + _EPSILON)
    return norm.gamma * (centred / deviation) + norm.beta


_FORMULAS: Mapping[CellKind, Callable[[Cell, Array, States], dict[str, Array]]] = {
    CellKind.LSTM: _lstm,
    CellKind.COUPLED_LSTM: _lstm,
    CellKind.CONV_LSTM: _conv_lstm,
    CellKind.GRU: _gru,
    CellKind.RNN: _rnn,
    CellKind.UGRNN: _ugrnn,
}


@register
class CanonicalLstm(_CanonicalForm):
    """A canonical LSTM."""

    name = "canonical_lstm"
    kind = CellKind.LSTM
    symbols = _symbols(kind)
    optional = _optional(symbols)
    adds_forget_bias = True
    clips = frozenset({"cell_clip", "proj_clip"})


@register
class CanonicalCoupledLstm(_CanonicalForm):
    """A canonical LSTM with coupled gates."""

    name = "canonical_coupled_lstm"
    kind = CellKind.COUPLED_LSTM
    symbols = _symbols(kind)
    optional = _optional(symbols)
    adds_forget_bias = True
    clips = frozenset({"cell_clip", "proj_clip"})


@register
class CanonicalConvLstm(_CanonicalForm):
    """A canonical convolutional LSTM."""

    name = "canonical_conv_lstm"
    kind = CellKind.CONV_LSTM
    symbols = _symbols(kind, "[A, B, I, U]", "[A, B, U, U]")
    optional = _optional(symbols)
    adds_forget_bias = True
    clips = frozenset({"cell_clip"})

    def zero_states(self, cell: Cell, x: Array) -> dict[str, Array]:
        """See `Layout.zero_states`."""
        return zero_maps(cell, x)


@register
class CanonicalGru(_CanonicalForm):
    """A canonical GRU."""

    name = "canonical_gru"
    kind = CellKind.GRU
    symbols = _symbols(kind)
    optional = _optional(symbols)
    leaves_open = frozenset({"reset_after", "update_keeps"})


@register
class CanonicalRnn(_CanonicalForm):
    """A canonical simple RNN."""

    name = "canonical_rnn"
    kind = CellKind.RNN
    symbols = _symbols(kind)
    optional = _optional(symbols)


@register
class CanonicalUgrnn(_CanonicalForm):
    """A canonical UGRNN."""

    name = "canonical_ugrnn"
    kind = CellKind.UGRNN
    symbols = _symbols(kind)
    optional = _optional(symbols)
    adds_forget_bias = True
