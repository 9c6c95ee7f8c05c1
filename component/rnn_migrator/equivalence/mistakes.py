"""The known mistakes of conversions, each as the source's formulas with that mistake in them.

What people get wrong when they move a recurrent model: the order of gates, the value of the forget
bias, an activation, where the reset gate acts, the order of states, what is done at masked steps,
the order of time, a clip, a transposed block, a lost bias. The diagnosis tries them one by one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import (
    Array,
    CanonicalModel,
    Cell,
    Fact,
    Gate,
    LegacyCell,
    Origin,
    RecurrentLayer,
    map_recurrent,
)
from rnn_migrator.layouts.canonical_form import as_source


@dataclasses.dataclass(frozen=True, eq=False)
class Mistake:
    """One mistake in one place.

    Attributes:
      cause: What is wrong, such as "input and output gates swapped".
      where: The cell or layer it is in, "every layer", or "" for the whole model.
      change: What would put it right.
      fact: Name of the fact that has another value, "" for none.
      model: The model with the mistake.
      outputs: What happens to its outputs besides.
    """

    cause: str
    where: str
    change: str
    model: CanonicalModel
    fact: str = ""
    outputs: Callable[[dict[str, Array]], dict[str, Array]] = dict


@dataclasses.dataclass(frozen=True, eq=False)
class CellMistake:
    """A mistake in one cell: cause, change, and the cell with it."""

    cause: str
    change: str
    cell: Cell
    fact: str = ""


def known_mistakes(model: CanonicalModel) -> Iterator[Mistake]:
    """Every known mistake that can be made with a model, in all cells at once and in each."""
    yield from _of_outputs(model)
    yield from _of_layers(model)
    places = dict(model.cells())
    by_cause: dict[str, dict[str, CellMistake]] = {}
    for where, member in places.items():
        for mistake in _of_cell(member.cell):
            by_cause.setdefault(mistake.cause, {})[where] = mistake
    for cause, found in by_cause.items():
        first = next(iter(found.values()))
        if len(found) > 1:
            changed = {places[where]: one.cell for where, one in found.items()}
            yield Mistake(cause, EVERY, first.change, with_cells(model, changed), first.fact)
        for where, one in found.items():
            changed = {places[where]: one.cell}
            yield Mistake(cause, where, one.change, with_cells(model, changed), one.fact)


EVERY = "every layer"
"""The place of a mistake that is in all cells."""


def with_cells(model: CanonicalModel, changed: Mapping[LegacyCell, Cell]) -> CanonicalModel:
    """The model with other cells in the places of some, which compute by the canonical formula."""
    new = {member: as_source(cell.folded()) for member, cell in changed.items()}

    def replaced(layer: RecurrentLayer) -> RecurrentLayer:
        if new.keys().isdisjoint(layer.cells.values()):
            return layer
        forward, backward = (
            tuple(new.get(member, member) for member in stack)
            for stack in (layer.forward, layer.backward)
        )
        return dataclasses.replace(layer, forward=forward, backward=backward)

    return map_recurrent(model, replaced)


def with_fact(cell: Cell, name: str, value: Any) -> Cell:
    """The cell with another value of a fact."""
    changed: dict[str, Any] = {name: Fact(value, Origin.USER, "tried")}
    return dataclasses.replace(cell, **changed)


def with_gates(cell: Cell, changed: Mapping[str, Gate]) -> Cell:
    """The cell with some other gates."""
    return dataclasses.replace(cell, gates={**cell.gates, **changed})


def without_bias(cell: Cell, part: str, *gates: str) -> Cell:
    """The cell with zeros for its "bias" or "recurrent_bias", of all gates or of some."""
    lost = {
        name: dataclasses.replace(gate, **{part: np.zeros_like(getattr(gate, part))})
        for name, gate in cell.gates.items()
        if getattr(gate, part) is not None and (not gates or name in gates)
    }
    return with_gates(cell, lost)


def transposed(cell: Cell, part: str, *gates: str) -> Cell:
    """The cell with its "kernel" or "recurrent" transposed, of all gates or of some."""
    chosen = {name: gate for name, gate in cell.gates.items() if not gates or name in gates}
    return with_gates(
        cell,
        {n: dataclasses.replace(g, **{part: getattr(g, part).T}) for n, g in chosen.items()},
    )


# In a cell


def _of_cell(cell: Cell) -> Iterator[CellMistake]:
    yield from _wrong_facts(cell)
    yield from _wrong_order(cell)
    yield from _lost_parts(cell)
    yield from _turned_parts(cell)


_VALUES: Mapping[str, Callable[[Any], list[Any]]] = {
    "forget_bias": lambda value: [value - 1.0, value + 1.0, 0.0, 1.0, -value, 2 * value],
    "recurrent_activation": lambda value: ["sigmoid", "hard_sigmoid", "keras3_hard_sigmoid"],
    "activation": lambda value: ["tanh", "relu", "softsign", "linear", "sigmoid", "hard_sigmoid"],
    "cell_clip": lambda value: [None, 3.0] + ([value / 2, value * 2] if value else []),
    "proj_clip": lambda value: [None, 3.0] + ([value / 2, value * 2] if value else []),
    "update_keeps": lambda value: ["state", "candidate"],
}
"""Values that a fact is often mistaken for; None and 3.0 are the clips of block cells."""


def _wrong_facts(cell: Cell) -> Iterator[CellMistake]:
    facts = dict(cell.facts)
    if "update" in cell.gates and "reset" in cell.gates:
        facts["update_keeps"] = cell.update_keeps
    for name, fact in facts.items():
        for value in dict.fromkeys(_VALUES.get(name, lambda _: [])(fact.value)):
            if value != fact.value:
                yield _fact_mistake(cell, name, value)
    if cell.units > 1 and "reset" in cell.gates:
        yield _fact_mistake(cell, "reset_after", not cell.reset_after.value)


def _fact_mistake(cell: Cell, name: str, value: Any) -> CellMistake:
    stated, right = (str(v).lower() if v is None else v for v in (value, getattr(cell, name).value))
    return CellMistake(
        f"{name} {stated}", f"{name} {right}", with_fact(cell, name, value), fact=name
    )


def _wrong_order(cell: Cell) -> Iterator[CellMistake]:
    """The gates in another order; of two that are exchanged it is said so."""
    names = list(cell.gates)
    for order in itertools.permutations(names):
        moved = [name for name, other in zip(names, order, strict=True) if name != other]
        if not moved:
            continue
        gates = {name: cell.gates[other] for name, other in zip(names, order, strict=True)}
        text = f"{' and '.join(moved)} gates swapped"
        if len(moved) > 2:
            text = f"gates in the order {', '.join(order)} instead of {', '.join(names)}"
        change = f"the order {', '.join(names)}"
        yield CellMistake(text, change, with_gates(cell, gates))


def _lost_parts(cell: Cell) -> Iterator[CellMistake]:
    if any(gate.bias is not None for gate in cell.gates.values()):
        yield CellMistake("bias lost", "the bias", without_bias(cell, "bias"))
        for name in cell.gates if len(cell.gates) > 1 else ():
            lost = without_bias(cell, "bias", name)
            yield CellMistake(f"bias of the {name} gate lost", f"the bias of {name}", lost)
    if cell.recurrent_biases:
        lost = without_bias(cell, "recurrent_bias")
        yield CellMistake("second bias lost", "the second bias", lost)
    if cell.peepholes:
        lost = dataclasses.replace(cell, peepholes={})
        yield CellMistake("peepholes lost", "the peepholes", lost)


def _turned_parts(cell: Cell) -> Iterator[CellMistake]:
    """Square blocks the wrong way round."""
    for part in ("recurrent", "kernel"):
        shape = getattr(cell.gates["candidate"], part).shape
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 1:
            continue
        right = f"the {part} as it is stored"
        yield CellMistake(f"{part} transposed", right, transposed(cell, part))
        for name in cell.gates if len(cell.gates) > 1 else ():
            text, wrong = f"{part} of the {name} gate transposed", transposed(cell, part, name)
            yield CellMistake(text, f"the {part} of {name} as it is stored", wrong)


# In a layer


def _of_layers(model: CanonicalModel) -> Iterator[Mistake]:
    for cause, change, wrong in _LAYER_MISTAKES:
        affected = [layer for layer in model.recurrent_layers if wrong(layer) is not None]
        if len(affected) > 1:
            yield Mistake(cause, EVERY, change, _with_layers(model, affected, wrong))
        for layer in affected:
            yield Mistake(cause, layer.name, change, _with_layers(model, [layer], wrong))


LayerMistake = Callable[[RecurrentLayer], RecurrentLayer | None]


def _with_layers(
    model: CanonicalModel, affected: list[RecurrentLayer], wrong: LayerMistake
) -> CanonicalModel:
    return map_recurrent(
        model, lambda layer: (wrong(layer) or layer) if layer in affected else layer
    )


def _masked(layer: RecurrentLayer) -> RecurrentLayer:
    return dataclasses.replace(layer, zero_output_for_mask=not layer.zero_output_for_mask)


def _reversed(layer: RecurrentLayer) -> RecurrentLayer | None:
    if layer.backward:
        return None
    return dataclasses.replace(layer, go_backwards=not layer.go_backwards)


def _exchanged(layer: RecurrentLayer) -> RecurrentLayer | None:
    if not layer.backward:
        return None
    return dataclasses.replace(layer, forward=layer.backward, backward=layer.forward)


_LAYER_MISTAKES: list[tuple[str, str, LayerMistake]] = [
    ("other outputs at masked steps", "zeros there, or the previous output repeated", _masked),
    ("time the other way round", "the sequences in their own order", _reversed),
    ("directions exchanged", "the forward weights forward", _exchanged),
]


# In what comes out


def _of_outputs(model: CanonicalModel) -> Iterator[Mistake]:
    if model.bare_weights and any("c" in c.cell.kind.states for _, c in model.cells()):
        yield Mistake("states h and c swapped", "", "h before c", model, outputs=_states_swapped)
    yield Mistake(
        "outputs in the reverse order of time", "", "the steps in order", model, outputs=_turned
    )


def _states_swapped(outputs: dict[str, Array]) -> dict[str, Array]:
    other = {"h": "c", "c": "h"}

    def partner(name: str) -> str:
        return "_".join(other.get(part, part) for part in name.split("_"))

    return {name: outputs.get(partner(name), outputs[name]) for name in outputs}


def _turned(outputs: dict[str, Array]) -> dict[str, Array]:
    return {name: a[:, ::-1] if a.ndim > 2 else a for name, a in outputs.items()}
