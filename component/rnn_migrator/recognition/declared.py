"""A recurrent stack that the user declares: which tensor plays which role in which cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.layouts import all_layouts, get_layout
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.tf1_cells import NAMED_CELLS, FoundCell, NamedCell, unnamed_cell
from rnn_migrator.recognition.tf1_stack import Layers

DECLARED = "declared"
"""Name of the stack."""

Roles = Mapping[str, str]
"""Tensor in the artifact by role of the layout."""


@dataclasses.dataclass(frozen=True)
class DeclaredLayer:
    """One layer as the user declares it.

    Attributes:
      directions: Cells from the bottom, by direction: "", or "fw" and "bw".
      cell_class: Class of TensorFlow 1 whose layout and defaults count; "" if `layout` is given.
      layout: Name of a layout; what its formula needs besides the tensors must be set.
      transposed: Roles whose arrays lie in the artifact with their axes swapped.
    """

    directions: Mapping[str, Sequence[Roles]]
    cell_class: str = ""
    layout: str = ""
    transposed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The declaration as JSON values."""
        directions = {key: [dict(c) for c in cells] for key, cells in self.directions.items()}
        return {**dataclasses.asdict(self), "directions": directions}


def from_json(values: Mapping[str, Any]) -> DeclaredLayer:
    """The inverse of `DeclaredLayer.to_json`."""
    return DeclaredLayer(**{**values, "transposed": tuple(values["transposed"])})


def declared_stack(
    artifact: LegacyArtifact, declared: Sequence[DeclaredLayer]
) -> tuple[LegacyArtifact, dict[str, Layers]]:
    """The artifact with its tensors turned as declared, and the one stack.

    Raises:
      UsageError: An unknown class, layout, role or tensor; every one at once.
    """
    raise_all(
        UsageError,
        (p for i, layer in enumerate(declared) for p in _problems(artifact, i, layer)),
    )
    turned = {
        cell[role]
        for layer in declared
        for cells in layer.directions.values()
        for cell in cells
        for role in layer.transposed
        if role in cell
    }
    layers = [_layer(index, layer) for index, layer in enumerate(declared)]
    return _turned(artifact, turned), {DECLARED: layers}


def _layer(index: int, layer: DeclaredLayer) -> dict[str, tuple[FoundCell, ...]]:
    named = _named(layer)
    return {
        direction: tuple(
            FoundCell(
                named,
                "/".join(filter(None, (f"{DECLARED}_{index}", direction, str(position or "")))),
                cell,
                DECLARED,
                index,
                direction,
                position,
            )
            for position, cell in enumerate(cells)
        )
        for direction, cells in layer.directions.items()
    }


def _named(layer: DeclaredLayer) -> NamedCell:
    if layer.cell_class:
        return next(named for named in NAMED_CELLS if named.cell_class == layer.cell_class)
    return unnamed_cell(layer.layout, layer.layout, "a declared layout says nothing of it")


def _problems(artifact: LegacyArtifact, index: int, layer: DeclaredLayer) -> Iterator[Problem]:
    classes = {named.cell_class: named.layout for named in NAMED_CELLS}
    layouts = [layout.name for layout in all_layouts() if not layout.name.startswith("canonical")]
    where = f"layers[{index}]"
    if bool(layer.cell_class) == bool(layer.layout):
        yield _problem(where, "either class or layout", "both" if layer.layout else "neither")
        return
    if layer.cell_class not in ("", *classes):
        yield _problem(f"{where}.class", "one of " + ", ".join(classes), layer.cell_class)
        return
    if layer.layout not in ("", *layouts):
        yield _problem(f"{where}.layout", "one of " + ", ".join(layouts), layer.layout)
        return
    layout = get_layout(layer.layout or classes[layer.cell_class])
    for direction, cells in layer.directions.items():
        for cell in cells:
            place = f"{where}, {direction}" if direction else where
            missing = set(layout.roles) - layout.optional - set(cell)
            if missing or not set(cell) <= set(layout.roles):
                yield _problem(
                    place, f"tensors by role: {layout.describe_shapes()}", str(dict(cell))
                )
            for name in cell.values():
                if name not in artifact.tensors:
                    known = ", ".join(list(artifact.tensors)[:12])
                    yield _problem(place, f"names of tensors in the artifact: {known}, …", name)


def _problem(where: str, expected: str, received: str) -> Problem:
    return Problem(
        where, expected, received, "correct the declaration; `inspect` lists all tensors"
    )


def _turned(artifact: LegacyArtifact, names: set[str]) -> LegacyArtifact:
    """The artifact with some matrices transposed."""
    if not names:
        return artifact

    def load(name: str) -> Array:
        array = artifact.load(name)
        return np.ascontiguousarray(array.T) if name in names else array

    specs = {
        name: dataclasses.replace(spec, shape=spec.shape[::-1]) if name in names else spec
        for name, spec in artifact.tensors.items()
    }
    return artifact.view(specs, load, {name: (name,) for name in names})
