"""The recurrent cells of a legacy graph and what it states about them, found by its structure.

Every step of a recurrent cell in the graph is read (`recognition.graph`); steps with the same
variables are copies of one cell (time steps of an unrolled graph, training and inference), and
have to agree.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import CellKind, Fact, Origin
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import (
    ADD_OPS,
    READ_OPS,
    scalar,
    variable,
    whole_name,
)
from rnn_migrator.recognition.graph.block_ops import read_block_op
from rnn_migrator.recognition.graph.gru import read_gru
from rnn_migrator.recognition.graph.lstm import read_lstm
from rnn_migrator.recognition.graph.rnn import read_rnn
from rnn_migrator.recognition.graph.roles import layout_of
from rnn_migrator.recognition.graph.states import recurs, tell_states
from rnn_migrator.recognition.graph.step import KEEP, Finding, GateVariables, Step, common
from rnn_migrator.recognition.graph.ugrnn import read_ugrnn
from rnn_migrator.recognition.graph.wiring import (
    carried_to,
    carriers,
    following,
    initial,
    lengths,
    masked_sequence,
)

__all__ = ["GraphCell", "all_cells", "find_cells"]

_NEUTRAL = {"sequence_length": False, "initial_state": "zeros"}
"""Facts that copies need not agree about, and the value that another copy's overrules."""

_READERS = (read_lstm, read_gru, read_ugrnn, read_rnn, read_block_op)


@dataclasses.dataclass(frozen=True, eq=False)
class GraphCell:
    """A cell as the graph computes it.

    Attributes:
      kind: The recurrence.
      gates: The variables of each gate, by gate name.
      facts: What the graph states, by name.
      steps: Every copy of the step in the graph.
      layout: Name of the layout that its variables have, "" where none is like it.
      names: Its variables by role of that layout; one in parts by the name of the whole.
      problems: Why it cannot be converted as it is.
    """

    kind: CellKind
    gates: Mapping[str, GateVariables]
    facts: Mapping[str, Fact[Any]]
    steps: tuple[Step, ...]
    layout: str
    names: Mapping[str, str]
    problems: tuple[Problem, ...]


def find_cells(graph: Graph, kernels: Iterable[str]) -> dict[str, GraphCell]:
    """The cells that use the given matrices.

    Args:
      graph: The legacy graph.
      kernels: Names of matrices in the checkpoint: the kernel of a cell, the kernel of a GRU
        cell's gates or candidate, any matrix of a cell written by hand. One in parts goes by the
        name of the whole or of any part.

    Returns:
      A cell for each name; the same one for names of the same cell.

    Raises:
      UnsupportedError: A name belongs to no recurrent cell that this graph computes, the graph
        contradicts the cell's class, or copies of a cell disagree. Every problem at once.
    """
    by_matrix: dict[str, list[GraphCell]] = defaultdict(list)
    for cell in all_cells(graph):
        for name in _matrices(cell):
            by_matrix[name].append(cell)
    kernels = list(kernels)
    problems = [_unknown(graph, name) for name in kernels if name not in by_matrix]
    problems += [_shared(name, by_matrix[name]) for name in kernels if len(by_matrix[name]) > 1]
    only = [cell for name in kernels for cell in by_matrix[name] if len(by_matrix[name]) == 1]
    problems += [problem for cell in only for problem in cell.problems]
    raise_all(UnsupportedError, dict.fromkeys(problems))
    return {name: by_matrix[name][0] for name in kernels}


def all_cells(graph: Graph) -> list[GraphCell]:
    """Every distinct recurrent cell that a graph computes, in the order of the graph.

    Those of which `problems` says that they cannot be converted are among them; cells that are
    computed by other formulas than those of `CellKind` are not.
    """
    groups = [steps for steps in _group(_read_steps(graph)) if _is_cell(graph, steps)]
    untold = [tell_states(graph, steps) for steps in groups]
    every = [step for steps in groups for step in steps]
    return [
        _build(graph, steps, every, problems)
        for steps, problems in zip(groups, untold, strict=True)
    ]


def _matrices(cell: GraphCell) -> set[str]:
    """Every name by which a cell can be asked for."""
    found = cell.steps[0].matrices
    return {name for names in found for name in (whole_name(names), *names)}


def _read_steps(graph: Graph) -> list[Step]:
    found = (reader(graph, node) for node in graph.nodes.values() for reader in _READERS)
    return [step for step in found if step is not None]


def _group(steps: Iterable[Step]) -> list[list[Step]]:
    """Steps of one kind with the same matrices are copies of one cell."""
    groups: dict[Any, list[Step]] = defaultdict(list)
    for step in steps:
        key: tuple[Any, ...] = (step.kind, frozenset(step.matrices))
        if step.kind is CellKind.RNN:
            # The sum that goes into the activation looks like a step as well.
            gate = step.gates["candidate"]
            key = (*key, gate.activation, frozenset(gate.biases))
        groups[key].append(step)
    return list(groups.values())


def _is_cell(graph: Graph, steps: Sequence[Step]) -> bool:
    """Whether steps are those of a cell; a dense layer looks like the step of a simple RNN."""
    return steps[0].kind is not CellKind.RNN or recurs(graph, steps)


def _build(
    graph: Graph, steps: Sequence[Step], every: Sequence[Step], untold: Sequence[Problem]
) -> GraphCell:
    """The cell that the steps are copies of."""
    for step in steps:
        step.findings |= _wiring(graph, step, every)
    facts, disagreements = _facts(graph, steps)
    problems = [problem for step in steps for problem in step.problems]
    problems += [*untold, *disagreements]
    layout, names = layout_of(steps[0])
    if not layout and not problems:
        problems = [_no_layout(graph, steps[0])]
    return GraphCell(
        kind=steps[0].kind,
        gates=steps[0].gate_variables(),
        facts=facts,
        steps=tuple(steps),
        layout=layout,
        names=names,
        problems=tuple(problems),
    )


def _facts(graph: Graph, steps: Sequence[Step]) -> tuple[dict[str, Fact[Any]], list[Problem]]:
    """What the steps agree about as facts, and problems where they do not."""
    facts, problems = {}, []
    for name in steps[0].findings:
        by_step = {step.node.name: step.findings[name] for step in steps}
        if name in _NEUTRAL:
            telling = [f for f in by_step.values() if f.value != _NEUTRAL[name]]
            found = (telling or list(by_step.values()))[0]
        else:
            found, disagreements = common(graph, name, by_step)
            problems += disagreements[:1]
        facts[name] = Fact(found.value, Origin.GRAPH, graph.describe(found.node))
    return facts, problems


def _wiring(graph: Graph, step: Step, every: Sequence[Step]) -> dict[str, Finding]:
    """What is around the step: lengths, the initial state, the way of the output."""
    state = step.states.get("c", step.states.get("h", step.output))
    taken = _mask_lengths(graph, step) if step.is_whole else lengths(graph, state)
    return {
        "sequence_length": Finding(taken is not None, graph.producer(taken or state)),
        "initial_state": _initial_state(graph, state, every),
        "output_wiring": _output_wiring(graph, step, every),
    }


def _mask_lengths(graph: Graph, step: Step) -> Tensor | None:
    """The lengths by which the outputs of a whole sequence are masked."""
    for tensor in carried_to(graph, step.output):
        if masked := masked_sequence(graph, graph.producer(tensor)):
            return masked.lengths
    return None


def _initial_state(graph: Graph, state: Tensor, every: Sequence[Step]) -> Finding:
    """What the state begins with: "zeros", "fed", or how it is computed.

    A state that comes from another step of an unrolled graph says nothing else than zeros.
    """
    begins = initial(graph, state)
    node = graph.producer(begins)
    ends = {tensor for step in every for tensor in step.new_states.values()}
    if not ends.isdisjoint(carriers(graph, begins)):
        return Finding("zeros", node)
    value = node.inputs[1] if node.op == "Fill" else begins
    if node.op == "ZerosLike" or scalar(graph, value) == 0.0:
        return Finding("zeros", node)
    if name := variable(graph, begins):
        return Finding(f"variable {name}", node)
    return Finding("fed" if node.op.startswith("Placeholder") else f"{node.op} op", node)


def _output_wiring(graph: Graph, step: Step, every: Sequence[Step]) -> Finding:
    """Whether the output leaves as it is: "plain", "residual", or "changed in the loop"."""
    output = step.new_states["h"]
    ways = carried_to(graph, output)
    uses = [use for tensor in ways for use in graph.consumers(tensor)]
    taken = set(carriers(graph, step.x)) if step.x else set()
    for node in (use.node for use in uses if use.node.op in ADD_OPS):
        if any(not taken.isdisjoint(carriers(graph, t)) for t in node.inputs if t not in ways):
            return Finding("residual", node)
    in_loop = following(graph, step.states.get("h", output)) is not None
    leaves = any(use.node.base_op in ("TensorArrayWrite", "Pack") for use in uses)
    if in_loop and not leaves and not any(other.x in ways for other in every):
        return Finding("changed in the loop", step.node)
    return Finding("plain", step.node)


def _unknown(graph: Graph, name: str) -> Problem:
    received = "no variable of this name in the graph"
    if name in graph.variables:
        users = _users(graph, Tensor(graph.variables[name]))
        received = f"used by {', '.join(users[:3]) or 'no op'}, in no such step"
    return Problem(
        where=f"{name}, {graph.path.name}",
        expected="a matrix in the step of an LSTM (with coupled gates or layer normalisation, "
        "too), GRU, UGRNN or simple RNN that the graph computes",
        received=received,
        remedy="keep this cell in the legacy model; or, if the weights are those of a plain LSTM "
        "or GRU, move the .meta away and say with --set what the graph would have said",
    )


def _no_layout(graph: Graph, step: Step) -> Problem:
    gates = step.gate_variables().values()
    names = dict.fromkeys(n for gate in gates for n in (gate.kernel, *gate.biases, *gate.peepholes))
    return Problem(
        where=graph.describe(step.node),
        expected="variables and settings as a class of TensorFlow 1 has them together",
        received=f"{step.findings['cell_class'].value} of {', '.join(names)}"
        + ", normalised" * bool(step.norm)
        + ", projected" * bool(step.projection),
        remedy=KEEP,
    )


def _shared(name: str, cells: Sequence[GraphCell]) -> Problem:
    return Problem(
        where=name,
        expected="a matrix of one recurrent cell",
        received=", ".join(f"{c.facts['cell_class'].value} {c.steps[0].node.name}" for c in cells),
        remedy=KEEP,
    )


def _users(graph: Graph, tensor: Tensor) -> list[str]:
    """Nodes that compute with a variable, with their ops; no assignments and no gradients."""
    users: dict[str, str] = {}
    rest = [tensor]
    while rest:
        for node in (use.node for use in graph.consumers(rest.pop())):
            if node.name in users or _writes(node) or node.attr("transpose_b"):
                continue
            users[node.name] = node.op
            if node.op in READ_OPS:
                rest += [Tensor(node.name, port) for port in range(2)]
    return [f"{op} {name}" for name, op in users.items() if op not in READ_OPS]


def _writes(node: Node) -> bool:
    return "Assign" in node.op or "Apply" in node.op or node.op in ("SaveV2", "VarIsInitializedOp")
