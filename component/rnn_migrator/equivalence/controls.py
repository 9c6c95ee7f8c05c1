"""Negative controls: conversions broken on purpose, which the comparison must refuse.

Each control is the converted model with one of the known mistakes in it, run by formula. A
comparison that would let one of them pass has no power on this model and these inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import (
    CanonicalModel,
    Cell,
    CellKind,
    Direction,
    Fact,
    Node,
    Origin,
    RecurrentLayer,
    SourceCell,
)
from rnn_migrator.layouts.stock_keras import stock_layout, stock_weights

Mutation = Callable[[Cell], Cell | None]


def broken_models(model: CanonicalModel) -> dict[str, CanonicalModel]:
    """Models that each carry one mistake, by the name of the mistake.

    Only mistakes that can be made with this model are there: a model without masks cannot have a
    wrong masked output.
    """
    broken = {}
    for name, mutation in _MUTATIONS.items():
        mutant = _mutate(model, mutation)
        if mutant is not None:
            broken[name] = mutant
    if model.bare_weights:
        broken["masked output repeated"] = _repeat_masked_output(model)
    return broken


def _swap(one: str, other: str) -> Mutation:
    def mutation(cell: Cell) -> Cell | None:
        if one not in cell.gates or other not in cell.gates:
            return None
        gates = dict(cell.gates)
        gates[one], gates[other] = gates[other], gates[one]
        return dataclasses.replace(cell, gates=gates)

    return mutation


def _forget_bias_off_by_one(cell: Cell) -> Cell | None:
    if cell.kind is not CellKind.LSTM:
        return None
    forget = cell.gates["forget"]
    moved = dataclasses.replace(forget, bias=forget.bias + np.float32(1.0))
    return dataclasses.replace(cell, gates={**cell.gates, "forget": moved})


def _second_bias_lost(cell: Cell) -> Cell | None:
    if all(gate.recurrent_bias is None for gate in cell.gates.values()):
        return None
    gates = {
        name: dataclasses.replace(gate, recurrent_bias=np.zeros_like(gate.bias))
        for name, gate in cell.gates.items()
    }
    return dataclasses.replace(cell, gates=gates)


def _other_gate_activation(cell: Cell) -> Cell | None:
    other = {"sigmoid": "hard_sigmoid", "hard_sigmoid": "sigmoid"}
    name = other.get(cell.recurrent_activation.value)
    if name is None:
        return None
    return dataclasses.replace(cell, recurrent_activation=_control(name))


def _keras3_hard_sigmoid(cell: Cell) -> Cell | None:
    if cell.recurrent_activation.value != "hard_sigmoid":
        return None
    return dataclasses.replace(cell, recurrent_activation=_control("keras3_hard_sigmoid"))


_MUTATIONS: dict[str, Mutation] = {
    "candidate and forget gates swapped": _swap("candidate", "forget"),
    "input and output gates swapped": _swap("input", "output"),
    "update and reset gates swapped": _swap("update", "reset"),
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
}


def _doubt(model: CanonicalModel, name: str) -> CanonicalModel:
    """The model with another value wherever this fact is assumed."""
    for layer in model.recurrent_layers:
        forward = _doubted(layer.forward, name)
        backward = layer.backward and _doubted(layer.backward, name)
        other = dataclasses.replace(layer, forward=forward, backward=backward)
        model = _replace_layer(model, layer, other)
    return model


def _doubted(direction: Direction, name: str) -> Direction:
    source = direction.source
    fact = source.facts.get(name)
    if fact is None or fact.confirmed:
        return direction
    facts = {**source.facts, name: _control(_OTHER_VALUES[name](fact.value))}
    return dataclasses.replace(direction, source=dataclasses.replace(source, facts=facts))


def _control(value: Any) -> Fact[Any]:
    return Fact(value, Origin.USER, "negative control")


def _mutate(model: CanonicalModel, mutation: Mutation) -> CanonicalModel | None:
    """The model with the mistake in its first recurrent layer, None where it has no place."""
    first = model.recurrent_layers[0]
    cell = mutation(first.forward.cell)
    if cell is None:
        return None
    return _replace_layer(model, first, dataclasses.replace(first, forward=_as_direction(cell)))


def _as_direction(cell: Cell) -> Direction:
    """A cell as the converted model keeps it, in the layout of Keras."""
    folded = cell.folded()
    tensors = stock_weights(cell)
    names: Mapping[str, str] = {role: role for role in tensors}
    return Direction(folded, SourceCell(stock_layout(cell).name, tensors, names, folded.facts))


def _repeat_masked_output(model: CanonicalModel) -> CanonicalModel:
    for layer in model.recurrent_layers:
        model = _replace_layer(model, layer, dataclasses.replace(layer, zero_output_for_mask=False))
    return model


def _replace_layer(
    model: CanonicalModel, old: RecurrentLayer, new: RecurrentLayer
) -> CanonicalModel:
    nodes = tuple(Node(new, n.inbound) if n.layer is old else n for n in model.nodes)
    return dataclasses.replace(model, nodes=nodes)
