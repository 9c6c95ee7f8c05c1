"""Negative controls: conversions broken on purpose, which the comparison must refuse.

Each control is the converted model with one of the known mistakes in it, run by formula. A
comparison that would let one of them pass has no power on this model and these inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rnn_migrator.canonical import (
    CanonicalModel,
    Cell,
    CellKind,
    Fact,
    HeadLayer,
    LegacyCell,
    Origin,
    RecurrentLayer,
    map_recurrent,
)
from rnn_migrator.equivalence.mistakes import (
    transposed,
    with_cells,
    with_fact,
    with_gates,
    without_bias,
)

Mutation = Callable[[Cell], Cell | None]


def broken_models(model: CanonicalModel) -> dict[str, CanonicalModel]:
    """Models that each carry one mistake, by the name of the mistake.

    Only mistakes that can be made with this model are there: a model without masks cannot have a
    wrong masked output.
    """
    broken = {}
    past_matters = not _begins_with_single_steps(model)
    for name, mutation in _MUTATIONS.items():
        mutant = _mutate(model, mutation) if past_matters or name not in _OF_THE_PAST else None
        if mutant is not None:
            broken[name] = mutant
    if model.bare_weights:
        broken["masked output repeated"] = _repeat_masked_output(model)
    return broken


_OF_THE_PAST = ("forget bias off by one", "recurrent kernel transposed")
"""Mistakes that no input can show where every sequence is a single step from zeros."""


def _begins_with_single_steps(model: CanonicalModel) -> bool:
    """Whether the first recurrent layer only ever takes one step, without states from before."""
    short = {source.name for source in model.inputs if source.shape[:1] == (1,)}
    first = next(node for node in model.nodes if not isinstance(node.layer, HeadLayer))
    kept = isinstance(first.layer, RecurrentLayer) and first.layer.stateful
    return first.inbound[0] in short and not kept and not first.initial_state


def _swap(one: str, other: str) -> Mutation:
    def mutation(cell: Cell) -> Cell | None:
        if one not in cell.gates or other not in cell.gates:
            return None
        return with_gates(cell, {one: cell.gates[other], other: cell.gates[one]})

    return mutation


def _forget_bias_off_by_one(cell: Cell) -> Cell | None:
    if "forget_bias" not in cell.facts:
        return None
    return with_fact(cell, "forget_bias", cell.forget_bias.value + 1.0)


def _peepholes_lost(cell: Cell) -> Cell | None:
    return dataclasses.replace(cell, peepholes={}) if cell.peepholes else None


def _recurrent_kernel_transposed(cell: Cell) -> Cell | None:
    if cell.kind is not CellKind.RNN or cell.units == 1:
        return None  # the other kinds have gates to swap
    return transposed(cell, "recurrent")


def _second_bias_lost(cell: Cell) -> Cell | None:
    return without_bias(cell, "recurrent_bias") if cell.recurrent_biases else None


def _other_gate_activation(cell: Cell) -> Cell | None:
    other = {"sigmoid": "hard_sigmoid", "hard_sigmoid": "sigmoid"}
    name = other.get(cell.recurrent_activation.value)
    if name is None or "recurrent_activation" not in cell.facts:
        return None
    return with_fact(cell, "recurrent_activation", name)


def _keras3_hard_sigmoid(cell: Cell) -> Cell | None:
    if cell.recurrent_activation.value != "hard_sigmoid":
        return None
    return with_fact(cell, "recurrent_activation", "keras3_hard_sigmoid")


def _other_update(cell: Cell) -> Cell | None:
    other = {"state": "candidate", "candidate": "state"}
    if "update_keeps" not in cell.facts:
        return None
    return with_fact(cell, "update_keeps", other[cell.update_keeps.value])


def _other_reset(cell: Cell) -> Cell | None:
    if "update_keeps" not in cell.facts or cell.units == 1:
        return None  # a class leaves no choice; a product of one unit makes no difference
    return with_fact(cell, "reset_after", not cell.reset_after.value)


_MUTATIONS: dict[str, Mutation] = {
    "candidate and forget gates swapped": _swap("candidate", "forget"),
    "input and output gates swapped": _swap("input", "output"),
    "candidate and output gates swapped": _swap("candidate", "output"),
    "update and reset gates swapped": _swap("update", "reset"),
    "update and candidate gates swapped": _swap("update", "candidate"),
    "update gate the other way round": _other_update,
    "reset before and after the product mistaken": _other_reset,
    "recurrent kernel transposed": _recurrent_kernel_transposed,
    "peepholes lost": _peepholes_lost,
    "forget bias off by one": _forget_bias_off_by_one,
    "second bias lost": _second_bias_lost,
    "sigmoid and hard sigmoid mistaken": _other_gate_activation,
    "hard sigmoid of Keras 3": _keras3_hard_sigmoid,
}


def doubted_models(model: CanonicalModel) -> dict[str, CanonicalModel]:
    """Models in which an assumed fact has another likely value, by the name of the fact.

    Outputs that are the same under such another value cannot confirm the assumption.
    """
    assumed = {name for _, name, fact in model.facts() if not fact.confirmed}
    return {name: _doubt(model, name) for name in sorted(assumed)}


_OTHER_VALUES: dict[str, Callable[[Any], Any]] = {
    "forget_bias": lambda value: value + 1.0,
    "activation": lambda value: "softsign" if value == "tanh" else "tanh",
    "recurrent_activation": lambda value: "hard_sigmoid" if value == "sigmoid" else "sigmoid",
    "cell_clip": lambda value: 3.0 if value is None else None,  # 3.0: block cells up to 1.3
    "proj_clip": lambda value: 3.0 if value is None else None,
}


def _doubt(model: CanonicalModel, name: str) -> CanonicalModel:
    """The model with another value wherever this fact is assumed."""

    def doubted(layer: RecurrentLayer) -> RecurrentLayer:
        forward, backward = (
            tuple(_doubted(member, name) for member in stack)
            for stack in (layer.forward, layer.backward)
        )
        return dataclasses.replace(layer, forward=forward, backward=backward)

    return map_recurrent(model, doubted)


def _doubted(member: LegacyCell, name: str) -> LegacyCell:
    source = member.source
    fact = source.facts.get(name)
    if fact is None or fact.confirmed:
        return member
    facts = {**source.facts, name: Fact(_OTHER_VALUES[name](fact.value), Origin.USER, "tried")}
    return dataclasses.replace(member, source=dataclasses.replace(source, facts=facts))


def _mutate(model: CanonicalModel, mutation: Mutation) -> CanonicalModel | None:
    """The model with the mistake in the first cell it has a place in, None where it has none."""
    for _, member in model.cells():
        cell = mutation(member.cell)
        if cell is not None:
            return with_cells(model, {member: cell})
    return None


def _repeat_masked_output(model: CanonicalModel) -> CanonicalModel:
    return map_recurrent(
        model, lambda layer: dataclasses.replace(layer, zero_output_for_mask=False)
    )
