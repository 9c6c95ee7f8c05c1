"""TensorFlow 1 variables to a canonical stack of recurrent layers."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import (
    Array,
    CanonicalModel,
    Fact,
    LegacyCell,
    ModelInput,
    Node,
    Origin,
    RecurrentLayer,
    SourceCell,
)
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.shapes import rank
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.facts import resolve
from rnn_migrator.recognition.graph_facts import GraphCell
from rnn_migrator.recognition.hand_written import TOP_LEVEL, convention_problems
from rnn_migrator.recognition.releases import Release
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_cells import FoundCell, unnamed_cell
from rnn_migrator.recognition.tf1_names import apart, find_cells, place

GraphCells = Mapping[str, GraphCell]
"""What a graph states of each cell, by scope."""

Layers = list[dict[str, tuple[FoundCell, ...]]]
"""The cells of a stack: per layer, by direction, from the bottom."""


def find_stacks(
    artifact: LegacyArtifact, settings: Settings, computed: Sequence[GraphCell] = ()
) -> tuple[dict[str, Layers], list[Problem]]:
    """The recurrent stacks in an artifact by scope, and what was not understood.

    Args:
      artifact: With the variables of the model only (`logical_variables`).
      settings: The user's.
      computed: The cells that its graph computes, if it has one; they tell what names do not.
    """
    shapes = {name: spec.shape for name, spec in artifact.tensors.items()}
    cells, problems = find_cells(shapes, settings)
    by_graph = _by_graph(cells, computed, shapes)
    cells += by_graph
    problems = [problem for problem in problems if not _settled(problem, by_graph, shapes)]
    wanted = settings.get("layers")
    if wanted is not None:
        layers, missing = _stated_layers(cells, wanted)
        return {STATED: layers}, missing
    stacks = {}
    blamed = [problem.where for problem in problems]
    for scope, members in _by_stack(cells).items():
        places = _places(members)
        problems += _misplaced(scope, members, places)
        # Where a cell was refused, its place is empty, and that has been told already.
        if not any(where.startswith(f"{scope}/") for where in blamed):
            problems += _missing(scope, places)
        stacks[scope] = [
            {prefix: _in_order(stack) for prefix, stack in places[index].items()}
            for index in sorted(places)
        ]
    return stacks, problems


def _settled(problem: Problem, by_graph: Sequence[FoundCell], shapes: Iterable[str]) -> bool:
    """Whether the graph tells what the names of a scope do not."""
    scope = problem.where.split(",")[0]
    taken = {name for cell in by_graph for name in cell.names.values()}
    here = {name for name in shapes if lies_in(name, scope)}
    return (bool(here) and here <= taken) or any(
        lies_in(cell.scope or TOP_LEVEL, scope) for cell in by_graph
    )


def _by_graph(
    known: Sequence[FoundCell], computed: Iterable[GraphCell], shapes: Mapping[str, Any]
) -> list[FoundCell]:
    """Cells whose names say nothing, but that the graph computes."""
    taken = {name for cell in known for name in cell.names.values()}
    return [
        place(
            unnamed_cell(f"{cell.kind.label} by its graph", cell.layout, "the graph says nothing"),
            _common_scope(list(cell.names.values())),
            cell.names,
        )
        for cell in computed
        if cell.layout and not cell.problems
        if taken.isdisjoint(cell.names.values()) and set(cell.names.values()) <= set(shapes)
    ]


def _common_scope(names: Sequence[str]) -> str:
    parts = [name.split("/")[:-1] for name in names]
    common = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    return "/".join(level[0] for level in common)


STATED = "layers"
"""Name of the stack whose layers the user lists."""


def _stated_layers(
    cells: list[FoundCell], wanted: Fact[tuple[str, ...]]
) -> tuple[Layers, list[Problem]]:
    by_scope = {cell.scope: cell for cell in cells}
    problems = [
        Problem(
            where=wanted.source,
            expected="scopes of cells: " + (", ".join(sorted(by_scope)) or "there are none"),
            received=scope,
            remedy="name one of them; `inspect` lists all variables",
        )
        for scope in wanted.value
        if scope not in by_scope
    ]
    found = [apart(by_scope[scope]) for scope in wanted.value if scope in by_scope]
    return [
        {"": (dataclasses.replace(cell, index=index),)} for index, cell in enumerate(found)
    ], problems


def _by_stack(cells: list[FoundCell]) -> dict[str, list[FoundCell]]:
    """Cells by stack; those that only share a scope of the user's are stacks of their own."""
    by_stack: dict[str, list[FoundCell]] = defaultdict(list)
    for cell in cells:
        by_stack[cell.stack].append(cell)
    for scope, members in list(by_stack.items()):
        if len(members) > 1 and all(_stands_alone(scope, cell) for cell in members):
            del by_stack[scope]
            by_stack |= {cell.scope: [apart(cell)] for cell in members}
    return dict(sorted(by_stack.items()))


def _stands_alone(stack: str, cell: FoundCell) -> bool:
    """Whether a cell lies in its stack's scope directly: a name, and no place in a stack."""
    return not cell.direction and cell.scope.removeprefix(f"{stack}/").count("/") == 0


Places = Mapping[int, Mapping[str, Mapping[int, FoundCell]]]
"""The cells of a stack by layer, direction and position."""


def _places(cells: list[FoundCell]) -> dict[int, dict[str, dict[int, FoundCell]]]:
    places: dict[int, dict[str, dict[int, FoundCell]]] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        places[cell.index][cell.direction].setdefault(cell.position, cell)
    return places


def _in_order(stack: Mapping[int, FoundCell]) -> tuple[FoundCell, ...]:
    return tuple(stack[position] for position in sorted(stack))


def _misplaced(scope: str, cells: list[FoundCell], places: Places) -> Iterator[Problem]:
    """Cells that stand in each other's way."""
    for cell in cells:
        first = places[cell.index][cell.direction][cell.position]
        if first is not cell:
            yield _twice(scope, first, cell)


def _missing(scope: str, places: Places) -> Iterator[Problem]:
    """Places that no cell takes."""
    for index, directions in places.items():
        positions = [sorted(stack) for stack in directions.values()]
        if set(directions) not in ({""}, {"fw", "bw"}):
            yield _one_sided(scope, index, directions)
        elif any(p != list(range(len(positions[0]))) for p in positions):
            yield _uneven(scope, directions)
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
    classes = [cell.named.cell_class for layer in layers for cell in next(iter(layer.values()))]
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
    cells = _cells(layers)
    settings.check_layers([*map(str, range(len(layers))), *(cell.scope for cell in cells)])
    raise_all(UnsupportedError, stack_problems(artifact, layers, settings, graph_cells))
    facts = {cell.scope: _facts(cell, settings, graph_cells) for cell in cells}
    built = [_layer(artifact, index, cells, facts) for index, cells in enumerate(layers)]
    raise_all(UnsupportedError, [*_chain_problems(built), *_input_problems(built[0], settings)])
    nodes, previous = [], "inputs"
    for layer in built:
        nodes.append(Node(layer, (previous,)))
        previous = layer.name
    width = built[0].input_size
    inputs = (ModelInput("inputs", (None, width)),)
    return CanonicalModel(inputs, tuple(nodes), {"outputs": previous}, bare_weights=True)


def stack_problems(
    artifact: LegacyArtifact, layers: Layers, settings: Settings, graph_cells: GraphCells
) -> list[Problem]:
    """Shapes that fit no cell, and facts that nobody states, without reading a tensor."""
    problems = []
    for cell in _cells(layers):
        facts = _facts(cell, settings, graph_cells)
        open_facts = list(_undecided(cell, facts))
        problems += [*_misfits(artifact, cell), *open_facts]
        problems += _other_release(cell, settings.get("writer"))
        if not open_facts:
            problems += convention_problems(cell, facts, cell.scope in graph_cells)
    return problems


def _other_release(cell: FoundCell, stated: Fact[Release] | None) -> Iterator[Problem]:
    """A stated release that cannot have written such a cell."""
    if stated is None:
        return
    first, last = cell.named.span(cell.names)
    if stated.value.framework == "tensorflow" and first <= stated.value.version <= last:
        return
    yield Problem(
        where=f"{cell.scope}, {stated.source}",
        expected=f"a release that gives a {cell.named.cell_class} such names: tensorflow-"
        f"{'.'.join(map(str, first))} to tensorflow-{'.'.join(map(str, last))}",
        received=str(stated.value),
        remedy="name the release that wrote the checkpoint",
    )


def _cells(layers: Layers) -> list[FoundCell]:
    return [cell for layer in layers for stack in layer.values() for cell in stack]


def _misfits(artifact: LegacyArtifact, cell: FoundCell) -> list[Problem]:
    layout = get_layout(cell.named.layout)
    shapes = {role: _shape(artifact, layout.symbols[role], cell.names[role]) for role in cell.names}
    problems = layout.problems(cell.scope, shapes)
    for name in cell.names.values():
        if artifact.tensors[name].dtype != "float32":
            problems.append(_not_float32(name, artifact.tensors[name].dtype))
    return problems


def _shape(artifact: LegacyArtifact, symbols: str, name: str) -> tuple[int, ...]:
    """The shape, with the axis of one that a table file adds to a vector taken away."""
    shape = artifact.tensors[name].shape
    if rank(symbols) == 1 and len(shape) == 2 and 1 in shape:
        return (int(np.prod(shape)),)
    return (*shape, 1) if rank(symbols) == 2 and len(shape) == 1 else shape


def _read(artifact: LegacyArtifact, cell: FoundCell) -> dict[str, Array]:
    symbols = get_layout(cell.named.layout).symbols
    return {
        role: artifact.read(name).reshape(_shape(artifact, symbols[role], name))
        for role, name in cell.names.items()
    }


def _facts(cell: FoundCell, settings: Settings, graph_cells: GraphCells) -> dict[str, Fact[Any]]:
    stated = graph_cells[cell.scope].facts if cell.scope in graph_cells else {}
    defaults = cell.named.facts(cell.names, settings.get("writer"))
    return resolve(defaults, stated, settings, cell.scope, str(cell.index))


_CONVENTION_REMEDIES = {
    "reset_after": "--set reset_after=false for (r * h) @ U, --set reset_after=true for "
    "r * (h @ U), or put the .meta beside the checkpoint",
    "update_keeps": "--set update_keeps=state for z * h + (1 - z) * g, --set "
    "update_keeps=candidate for (1 - z) * h + z * g, or put the .meta beside the checkpoint",
}


def _undecided(cell: FoundCell, facts: Mapping[str, Fact[Any]]) -> Iterator[Problem]:
    """Facts about which the releases that may have written the cell disagree."""
    for name, fact in facts.items():
        if fact.origin is Origin.UNDECIDED:
            yield Problem(
                where=f"{cell.scope}, {name}",
                expected="a value that the artifact, the release or the user states",
                received=f"a {cell.named.cell_class} without its graph; {fact.source}",
                remedy=_CONVENTION_REMEDIES.get(
                    name, f"--set {name}=VALUE, or name the release: --set writer=tensorflow-X.Y"
                ),
            )


def _layer(
    artifact: LegacyArtifact,
    index: int,
    cells: Mapping[str, tuple[FoundCell, ...]],
    facts: Mapping[str, Mapping[str, Fact[Any]]],
) -> RecurrentLayer:
    def legacy(cell: FoundCell) -> LegacyCell:
        layout = get_layout(cell.named.layout)
        tensors = _read(artifact, cell)
        source = SourceCell(layout.name, tensors, cell.names, facts[cell.scope])
        return LegacyCell(layout.to_canonical(tensors, source.facts), source)

    stacks = {prefix: tuple(map(legacy, stack)) for prefix, stack in cells.items()}
    if "" in stacks:
        kind = stacks[""][0].cell.kind
        return RecurrentLayer(f"{kind.name.lower()}_{index}", stacks[""])
    return RecurrentLayer(f"bidirectional_{index}", stacks["fw"], stacks["bw"])


def _chain_problems(layers: Sequence[RecurrentLayer]) -> list[Problem]:
    """Each cell must take what the one below it gives."""
    pairs: list[tuple[str, int, LegacyCell]] = []
    for layer in layers:
        for stack in layer.directions.values():
            for below, above in itertools.pairwise(stack):
                name = ", ".join(below.source.names.values())
                pairs.append((name, below.cell.output_size, above))
    for lower, upper in itertools.pairwise(layers):
        for stack in upper.directions.values():
            pairs.append((lower.name, lower.output_size, stack[0]))
    return [
        Problem(
            where=", ".join(above.source.names.values()),
            expected=f"an input of width {width}, which {name} gives",
            received=f"an input of width {above.cell.input_size}",
            remedy="check that no rows are missing or added, and that the layers belong to one "
            "model",
        )
        for name, width, above in pairs
        if above.cell.input_size != width
    ]


def _input_problems(first: RecurrentLayer, settings: Settings) -> list[Problem]:
    wanted = settings.get("input_size", "0")
    if wanted is None or wanted.value == first.input_size:
        return []
    return [
        Problem(
            where=", ".join(first.forward[0].source.names.values()),
            expected=f"an input of width {wanted.value} ({wanted.source})",
            received=f"a kernel for an input of width {first.input_size}",
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


def _one_sided(
    scope: str, index: int, directions: Mapping[str, Mapping[int, FoundCell]]
) -> Problem:
    cells = [cell.scope for stack in directions.values() for cell in stack.values()]
    return Problem(
        where=f"{scope}, layer {index}",
        expected="one direction, or fw and bw",
        received="only " + ", ".join(cells),
        remedy="add the variables of the missing direction to the checkpoint or dump",
    )


def _uneven(scope: str, directions: Mapping[str, Mapping[int, FoundCell]]) -> Problem:
    return Problem(
        where=scope,
        expected="the same cells in both directions, without a gap",
        received="; ".join(
            f"{prefix}: " + ", ".join(str(position) for position in sorted(stack))
            for prefix, stack in directions.items()
        ),
        remedy="add the variables of the missing cells to the checkpoint or dump",
    )


def _gap(scope: str, indices: list[int]) -> Problem:
    return Problem(
        where=scope,
        expected=f"layers 0 to {len(indices) - 1} without a gap",
        received="layers " + ", ".join(str(index) for index in indices),
        remedy="add the variables of the missing layers to the checkpoint or dump",
    )


def _not_float32(name: str, dtype: str) -> Problem:
    return Problem(
        where=name,
        expected="float32 weights",
        received=dtype,
        remedy="dump the weights as float32 with numpy.savez and convert that",
    )
