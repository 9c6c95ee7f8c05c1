"""TensorFlow 1 variables to a canonical stack of recurrent layers."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import (
    Array,
    CanonicalModel,
    Direction,
    Fact,
    ModelInput,
    Node,
    RecurrentLayer,
    SourceCell,
)
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts import get_layout
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.facts import resolve
from rnn_migrator.recognition.graph_facts import GraphCell
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_names import FoundCell, find_cells

GraphCells = Mapping[str, GraphCell]
"""What a graph states of each cell, by scope."""

Layers = list[dict[str, FoundCell]]
"""The cells of a stack: per layer, by direction."""


def find_stacks(
    artifact: LegacyArtifact, settings: Settings
) -> tuple[dict[str, Layers], list[Problem]]:
    """The recurrent stacks in an artifact by scope, and what was not understood."""
    shapes = {name: spec.shape for name, spec in artifact.tensors.items()}
    cells, problems = find_cells(shapes, _role_names(settings))
    by_stack: dict[str, list[FoundCell]] = defaultdict(list)
    for cell in cells:
        by_stack[cell.stack].append(cell)
    stacks = {}
    blamed = [problem.where for problem in problems]
    for scope, members in by_stack.items():
        places = _places(members)
        problems += _misplaced(scope, members, places)
        # Where a cell was refused, its place is empty, and that has been told already.
        if not any(where.startswith(f"{scope}/") for where in blamed):
            problems += _missing(scope, places)
        stacks[scope] = [places[index] for index in sorted(places)]
    return stacks, problems


def _role_names(settings: Settings) -> dict[str, str]:
    keys = {"kernel": "kernel_name", "recurrent": "recurrent_name"}
    facts = {role: settings.get(key) for role, key in keys.items()}
    return {role: fact.value for role, fact in facts.items() if fact is not None}


Places = Mapping[int, Mapping[str, FoundCell]]
"""The cells of a stack by layer and direction."""


def _places(cells: list[FoundCell]) -> dict[int, dict[str, FoundCell]]:
    places: dict[int, dict[str, FoundCell]] = defaultdict(dict)
    for cell in cells:
        places[cell.index].setdefault(cell.direction, cell)
    return places


def _misplaced(scope: str, cells: list[FoundCell], places: Places) -> Iterator[Problem]:
    """Cells that stand in each other's way."""
    for cell in cells:
        first = places[cell.index][cell.direction]
        if first is not cell:
            yield _twice(scope, first, cell)
    nested = [cell for cell in cells if cell.direction and "multi_rnn_cell" in cell.scope]
    if len(nested) > 2:
        yield _nested(scope, nested)


def _missing(scope: str, places: Places) -> Iterator[Problem]:
    """Places that no cell takes."""
    for index, directions in places.items():
        if set(directions) not in ({""}, {"fw", "bw"}):
            yield _one_sided(scope, index, directions)
    if sorted(places) != list(range(len(places))):
        yield _gap(scope, sorted(places))


def lies_in(name: str, scope: str) -> bool:
    """Whether a name is a scope, or lies in it."""
    return name == scope or name.startswith(f"{scope}/")


def choose_stack(stacks: Mapping[str, Layers], settings: Settings) -> str:
    """The stack to convert: the only one, or the one the user named.

    Raises:
      UnsupportedError: There are several, none, or not the one named.
    """
    wanted = settings.get("scope")
    matching = [scope for scope in stacks if wanted is None or lies_in(scope, wanted.value)]
    if wanted is not None and wanted.value in stacks:
        return str(wanted.value)
    if len(matching) == 1:
        return matching[0]
    raise UnsupportedError(_choice(stacks, matching, wanted))


def _choice(
    stacks: Mapping[str, Layers], matching: Sequence[str], wanted: Fact[Any] | None
) -> Problem:
    names = [f"{scope} ({describe_layers(layers)})" for scope, layers in stacks.items()]
    remedy = "pick one: " + " or ".join(f"--set scope={scope}" for scope in matching or stacks)
    if not stacks:
        remedy = "name the checkpoint that holds the recurrent variables; `inspect` lists them all"
    return Problem(
        where=wanted.source if wanted else "recurrent stacks",
        expected="one recurrent stack",
        received="; ".join(names) or "no recurrent cell of a known name",
        remedy=remedy,
    )


def describe_layers(layers: Layers) -> str:
    """The classes of a stack, such as "2 x LSTMCell, bidirectional"."""
    classes = [next(iter(layer.values())).named.cell_class for layer in layers]
    text = ", ".join(f"{classes.count(c)} x {c}" for c in dict.fromkeys(classes))
    return text + (", bidirectional" if any(len(layer) > 1 for layer in layers) else "")


def build_stack(
    artifact: LegacyArtifact, layers: Layers, settings: Settings, graph_cells: GraphCells
) -> CanonicalModel:
    """The canonical model of one stack.

    Args:
      artifact: Read for the tensors of these layers only.
      layers: Per layer, the cells by direction.
      settings: The user's.
      graph_cells: What the legacy graph states, by scope of the cell.

    Raises:
      UnsupportedError: Shapes or facts fit no cell; every problem at once.
    """
    settings.check_layers(str(index) for index in range(len(layers)))
    problems = [p for layer in layers for cell in layer.values() for p in _misfits(artifact, cell)]
    raise_all(UnsupportedError, problems)
    built = [
        _layer(artifact, index, cells, settings, graph_cells) for index, cells in enumerate(layers)
    ]
    raise_all(UnsupportedError, [*_chain_problems(built), *_input_problems(built[0], settings)])
    nodes, previous = [], "inputs"
    for layer in built:
        nodes.append(Node(layer, (previous,)))
        previous = layer.name
    width = built[0].forward.cell.input_size
    inputs = (ModelInput("inputs", (None, width)),)
    return CanonicalModel(inputs, tuple(nodes), (previous,), bare_weights=True)


def _misfits(artifact: LegacyArtifact, cell: FoundCell) -> list[Problem]:
    layout = get_layout(cell.named.layout)
    shapes = {
        role: _shape(artifact, layout.symbols(), role, name) for role, name in cell.names.items()
    }
    problems = layout.problems(cell.scope, shapes)
    for name in cell.names.values():
        if artifact.tensors[name].dtype != "float32":
            problems.append(_not_float32(name, artifact.tensors[name].dtype))
    return problems


def _shape(
    artifact: LegacyArtifact, symbols: Mapping[str, str], role: str, name: str
) -> tuple[int, ...]:
    """The shape, with the axis of one that a table file adds to a vector taken away."""
    shape = artifact.tensors[name].shape
    symbol = symbols.get(role, symbols.get(f"gate/{role.rsplit('/', 1)[-1]}", ""))
    rank = symbol.count(",") + 1
    if rank == 1 and len(shape) == 2 and 1 in shape:
        return (int(np.prod(shape)),)
    return (*shape, 1) if rank == 2 and len(shape) == 1 else shape


def _read(artifact: LegacyArtifact, cell: FoundCell) -> dict[str, Array]:
    symbols = get_layout(cell.named.layout).symbols()
    return {
        role: artifact.read(name).reshape(_shape(artifact, symbols, role, name))
        for role, name in cell.names.items()
    }


def _layer(
    artifact: LegacyArtifact,
    index: int,
    cells: Mapping[str, FoundCell],
    settings: Settings,
    graph_cells: GraphCells,
) -> RecurrentLayer:
    directions = {}
    for prefix, cell in cells.items():
        layout = get_layout(cell.named.layout)
        stated = graph_cells[cell.scope].facts if cell.scope in graph_cells else {}
        facts = resolve(cell.named.defaults, stated, settings, str(index))
        tensors = _read(artifact, cell)
        source = SourceCell(layout.name, tensors, cell.names, facts)
        directions[prefix] = Direction(layout.to_canonical(tensors, facts), source)
    if "" in directions:
        kind = directions[""].cell.kind
        return RecurrentLayer(f"{kind.name.lower()}_{index}", directions[""])
    return RecurrentLayer(f"bidirectional_{index}", directions["fw"], directions["bw"])


def _chain_problems(layers: Sequence[RecurrentLayer]) -> list[Problem]:
    """Each layer must take what the one before it gives."""
    problems = []
    for below, above in itertools.pairwise(layers):
        for direction in above.directions.values():
            if direction.cell.input_size != below.output_size:
                problems.append(
                    Problem(
                        where=", ".join(direction.source.names.values()),
                        expected=f"an input of width {below.output_size}, which {below.name} gives",
                        received=f"an input of width {direction.cell.input_size}",
                        remedy="check that no rows are missing or added, and that the layers "
                        "belong to one model",
                    )
                )
    return problems


def _input_problems(first: RecurrentLayer, settings: Settings) -> list[Problem]:
    wanted = settings.get("input_size", "0")
    width = first.forward.cell.input_size
    if wanted is None or wanted.value == width:
        return []
    return [
        Problem(
            where=", ".join(first.forward.source.names.values()),
            expected=f"an input of width {wanted.value} ({wanted.source})",
            received=f"a kernel for an input of width {width}",
            remedy="check that no rows of the kernel are missing or added",
        )
    ]


def _twice(scope: str, one: FoundCell, other: FoundCell) -> Problem:
    return Problem(
        where=scope,
        expected="one cell a layer",
        received=f"both {one.scope} and {other.scope}",
        remedy="dump the variables of one of them to an NPZ file and convert that",
    )


def _one_sided(scope: str, index: int, directions: Mapping[str, FoundCell]) -> Problem:
    return Problem(
        where=f"{scope}, layer {index}",
        expected="one direction, or fw and bw",
        received="only " + ", ".join(cell.scope for cell in directions.values()),
        remedy="add the variables of the missing direction to the checkpoint or dump",
    )


def _gap(scope: str, indices: list[int]) -> Problem:
    return Problem(
        where=scope,
        expected=f"layers 0 to {len(indices) - 1} without a gap",
        received="layers " + ", ".join(str(index) for index in indices),
        remedy="add the variables of the missing layers to the checkpoint or dump",
    )


def _nested(scope: str, cells: list[FoundCell]) -> Problem:
    return Problem(
        where=scope,
        expected="one cell a direction, or stack_bidirectional_rnn",
        received="a MultiRNNCell in each direction: " + ", ".join(cell.scope for cell in cells),
        remedy="this version converts no such stack; dump one direction to an NPZ file to "
        "convert it by itself",
    )


def _not_float32(name: str, dtype: str) -> Problem:
    return Problem(
        where=name,
        expected="float32 weights",
        received=dtype,
        remedy="dump the weights as float32 with numpy.savez and convert that",
    )
