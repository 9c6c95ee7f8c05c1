"""Wrong conversions: models as they would come out if the converter made one mistake.

The source stays as it is; what is built of it is another model. Independent of the mistakes that
the diagnosis knows, but for their names.
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
    CellKind,
    Fact,
    LegacyCell,
    Origin,
    RecurrentLayer,
    map_recurrent,
)
from rnn_migrator.keras_model.build import build_model
from rnn_migrator.keras_model.export import RESET, endpoints
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.layouts.heads.masking import masked_values

Outputs = dict[str, Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Mutation:
    """A wrong conversion.

    Attributes:
      kind: What sort of mistake, for a table.
      cause: How the diagnosis should begin to call it.
      where: The cell or layer it was made in, "" for the whole model.
      model: What is built.
      outputs: What happens to its outputs besides.
    """

    kind: str
    cause: str
    where: str
    model: CanonicalModel
    outputs: Callable[[Outputs], Outputs] = dict

    def run(self) -> Callable[..., Outputs]:
        """The wrong model, called by signature, in TensorFlow and float32."""
        built = build_model(self.model, Target.CPU)
        by_name = endpoints(built)

        def call(signature: str, inputs: Mapping[str, Array], calls: int = 1) -> Outputs:
            if RESET in by_name:
                by_name[RESET][0]({})
            run, specs = by_name[signature]
            fed = {
                name: np.asarray(inputs[name], specs[name].dtype.as_numpy_dtype) for name in specs
            }
            results = [run(fed) for _ in range(calls)][-1]
            return self.outputs({name: np.asarray(tensor) for name, tensor in results.items()})

        return call


def mutations(model: CanonicalModel) -> Iterator[Mutation]:
    """One mistake of each kind that the model has room for, each in the next cell in turn."""
    cells = list(model.cells())
    turns = itertools.count()
    for kind, mistakes in _CELL_MISTAKES.items():
        start = next(turns)
        for offset in range(len(cells)):
            where, member = cells[(start + offset) % len(cells)]
            found = mistakes(member.cell)
            if found is not None:
                cause, cell = found
                yield Mutation(kind, cause, where, _with_cell(model, member, cell))
                break
    yield from _layer_mutations(model)
    # Where a projection makes h narrower than c, the shapes tell by themselves.
    alike = all(member.cell.output_size == member.cell.units for _, member in cells)
    lstms = any(member.cell.kind is CellKind.LSTM for _, member in cells)
    if model.bare_weights and lstms and alike:
        yield Mutation("state order", "states h and c swapped", "", model, _swap_states)


CellMistake = Callable[[Cell], "tuple[str, Cell] | None"]


def _with_cell(model: CanonicalModel, old: LegacyCell, cell: Cell) -> CanonicalModel:
    new = dataclasses.replace(old, cell=cell)

    def replaced(layer: RecurrentLayer) -> RecurrentLayer:
        stacks = [
            tuple(new if member is old else member for member in stack)
            for stack in (layer.forward, layer.backward)
        ]
        return dataclasses.replace(layer, forward=stacks[0], backward=stacks[1])

    return map_recurrent(model, replaced)


def _swap(one: str, other: str) -> CellMistake:
    def swapped(cell: Cell) -> tuple[str, Cell] | None:
        if one not in cell.gates or other not in cell.gates:
            return None
        gates = dict(cell.gates)
        gates[one], gates[other] = gates[other], gates[one]
        named = " and ".join(name for name in cell.gates if name in (one, other))
        return f"{named} gates swapped", dataclasses.replace(cell, gates=gates)

    return swapped


def _told(cell: Cell, name: str, value: Any) -> Cell:
    changed: dict[str, Any] = {name: Fact(value, Origin.USER, "mutation")}
    return dataclasses.replace(cell, **changed)


def _forget_bias(cell: Cell) -> tuple[str, Cell] | None:
    if "forget" not in cell.gates or cell.norms:
        return None
    return "forget_bias", _told(cell, "forget_bias", cell.forget_bias.value + 1.0)


def _odd_forget_bias(cell: Cell) -> tuple[str, Cell] | None:
    if "forget" not in cell.gates or cell.norms:
        return None
    return "forget_bias", _told(cell, "forget_bias", cell.forget_bias.value - 0.37)


def _bias(cell: Cell) -> tuple[str, Cell] | None:
    if not cell.has_bias:
        return None
    gates = {
        name: dataclasses.replace(gate, bias=None if gate.bias is None else 0 * gate.bias)
        for name, gate in cell.gates.items()
    }
    return "bias", dataclasses.replace(cell, gates=gates)


def _second_bias(cell: Cell) -> tuple[str, Cell] | None:
    if not cell.recurrent_biases:
        return None
    gates = {
        name: dataclasses.replace(
            gate, recurrent_bias=None if gate.recurrent_bias is None else 0 * gate.recurrent_bias
        )
        for name, gate in cell.gates.items()
    }
    return "second bias lost", dataclasses.replace(cell, gates=gates)


def _transposed(cell: Cell) -> tuple[str, Cell] | None:
    gate = cell.gates["candidate"]
    if cell.units == 1 or gate.recurrent.ndim != 2 or gate.recurrent.shape[0] != cell.units:
        return None
    turned = dataclasses.replace(gate, recurrent=np.ascontiguousarray(gate.recurrent.T))
    alone = len(cell.gates) == 1
    cause = "recurrent transposed" if alone else "recurrent of the candidate gate transposed"
    return cause, dataclasses.replace(cell, gates={**cell.gates, "candidate": turned})


def _activation(cell: Cell) -> tuple[str, Cell] | None:
    other = "softsign" if cell.activation.value == "tanh" else "tanh"
    return f"activation {other}", _told(cell, "activation", other)


def _gate_activation(cell: Cell) -> tuple[str, Cell] | None:
    fixed = cell.kind in (CellKind.COUPLED_LSTM, CellKind.UGRNN) or cell.norms
    if "recurrent_activation" not in cell.facts or fixed:
        return None  # no layer of ours takes another than sigmoid there
    other = "hard_sigmoid" if cell.recurrent_activation.value == "sigmoid" else "sigmoid"
    return f"recurrent_activation {other}", _told(cell, "recurrent_activation", other)


def _clip(cell: Cell) -> tuple[str, Cell] | None:
    if cell.kind is not CellKind.LSTM or cell.norms:
        return None
    lower = 0.2 if cell.cell_clip.value is None else cell.cell_clip.value / 2
    return "cell_clip", _told(cell, "cell_clip", lower)


def _lost_clip(cell: Cell) -> tuple[str, Cell] | None:
    if cell.cell_clip.value is None or cell.cell_clip.value >= 1:
        return None
    return "cell_clip none", _told(cell, "cell_clip", None)


def _reset(cell: Cell) -> tuple[str, Cell] | None:
    if "reset" not in cell.gates or cell.units == 1:
        return None
    after = not cell.reset_after.value
    if cell.recurrent_biases:
        return None  # reset before the product, a GRU has no second bias
    return "reset_after", _told(cell, "reset_after", after)


def _update(cell: Cell) -> tuple[str, Cell] | None:
    if "reset" not in cell.gates:
        return None
    other = "candidate" if cell.update_keeps.value == "state" else "state"
    return f"update_keeps {other}", _told(cell, "update_keeps", other)


def _peepholes(cell: Cell) -> tuple[str, Cell] | None:
    return ("peepholes lost", dataclasses.replace(cell, peepholes={})) if cell.peepholes else None


_CELL_MISTAKES: Mapping[str, CellMistake] = {
    "gate order: i, o": _swap("input", "output"),
    "gate order: f, g": _swap("forget", "candidate"),
    "gate order: i, f": _swap("input", "forget"),
    "gate order: z, r": _swap("update", "reset"),
    "forget bias by one": _forget_bias,
    "forget bias by 0.37": _odd_forget_bias,
    "bias lost": _bias,
    "second bias lost": _second_bias,
    "transposed block": _transposed,
    "activation": _activation,
    "gate activation": _gate_activation,
    "clip": _clip,
    "clip lost": _lost_clip,
    "reset_after": _reset,
    "update gate": _update,
    "peepholes lost": _peepholes,
}


def _layer_mutations(model: CanonicalModel) -> Iterator[Mutation]:
    masked = masked_values(model)
    # What a layer gives at masked steps is seen where nothing behind it masks them again.
    visible = {model.recurrent_layers[-1].name} if model.bare_weights else set()
    visible |= {
        node.layer.name
        for node in model.nodes
        if node.inbound[0] in masked and node.name in model.outputs.values()
    }
    for kind, cause, wrong in (
        ("masked steps", "other outputs at masked steps", _masks),
        ("time order", "time the other way round", _backwards),
        ("directions", "directions exchanged", _directions),
    ):
        for layer in model.recurrent_layers:
            other = wrong(layer)
            if other is None or (kind == "masked steps" and layer.name not in visible):
                continue
            changed = _with_layer(model, layer, other)
            yield Mutation(kind, cause, layer.name, changed)
            break


def _with_layer(model: CanonicalModel, old: RecurrentLayer, new: RecurrentLayer) -> CanonicalModel:
    return map_recurrent(model, lambda layer: new if layer is old else layer)


def _masks(layer: RecurrentLayer) -> RecurrentLayer | None:
    if not layer.return_sequences or layer.backward:
        return None
    return dataclasses.replace(layer, zero_output_for_mask=not layer.zero_output_for_mask)


def _backwards(layer: RecurrentLayer) -> RecurrentLayer | None:
    if layer.backward:
        return None
    return dataclasses.replace(layer, go_backwards=not layer.go_backwards)


def _directions(layer: RecurrentLayer) -> RecurrentLayer | None:
    if not layer.backward:
        return None
    return dataclasses.replace(layer, forward=layer.backward, backward=layer.forward)


def _swap_states(outputs: Outputs) -> Outputs:
    partner = {"h": "c", "c": "h"}
    names = {
        name: "_".join(partner.get(part, part) for part in name.split("_")) for name in outputs
    }
    return {name: outputs.get(other, outputs[name]) for name, other in names.items()}
