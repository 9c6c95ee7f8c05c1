"""Facts about recurrent cells that a legacy graph states, found by its structure.

Every step of an LSTM or GRU in the graph is read (`recognition.graph`); steps with the same
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
)
from rnn_migrator.recognition.graph.block_ops import read_block_op
from rnn_migrator.recognition.graph.gru import read_gru
from rnn_migrator.recognition.graph.lstm import read_lstm
from rnn_migrator.recognition.graph.states import tell_states
from rnn_migrator.recognition.graph.step import Finding, GateVariables, Step, common
from rnn_migrator.recognition.graph.wiring import (
    carried_to,
    carriers,
    following,
    initial,
    lengths,
)

__all__ = ["GraphCell", "find_cells"]

_NEUTRAL = {"sequence_length": False, "initial_state": "zeros"}
"""Facts that copies need not agree about, and the value that another copy's overrules."""

_READERS = (read_lstm, read_gru, read_block_op)


@dataclasses.dataclass(frozen=True, eq=False)
class GraphCell:
    """A cell as the graph computes it.

    Attributes:
      kind: The recurrence.
      gates: The variables of each gate, by gate name.
      facts: What the graph states, by name.
      steps: Every copy of the step in the graph.
    """

    kind: CellKind
    gates: Mapping[str, GateVariables]
    facts: Mapping[str, Fact[Any]]
    steps: tuple[Step, ...]


def find_cells(graph: Graph, kernels: Iterable[str]) -> dict[str, GraphCell]:
    """The cells that use the given matrices.

    Args:
      graph: The legacy graph.
      kernels: Names of matrices in the checkpoint: the kernel of an LSTM cell, the kernel of a
        GRU cell's gates or candidate, any matrix of a cell written by hand.

    Returns:
      A cell for each name; the same one for names of the same cell.

    Raises:
      UnsupportedError: A name belongs to no LSTM or GRU that this graph computes, the graph
        contradicts the cell's class, or copies of a cell disagree. Every problem at once.
    """
    groups = _group(_read_steps(graph))
    untold = {key: tell_states(graph, steps) for key, steps in groups.items()}
    by_matrix = {name: key for key in groups for name in key}
    kernels = list(kernels)
    problems = [_unknown(graph, name) for name in kernels if name not in by_matrix]
    every = [step for steps in groups.values() for step in steps]
    cells = {}
    for key in dict.fromkeys(by_matrix[name] for name in kernels if name in by_matrix):
        cells[key], disagreements = _build(graph, groups[key], every)
        problems += [problem for step in groups[key] for problem in step.problems]
        problems += untold[key] + disagreements
    raise_all(UnsupportedError, dict.fromkeys(problems))
    return {name: cells[by_matrix[name]] for name in kernels}


def _read_steps(graph: Graph) -> list[Step]:
    found = (reader(graph, node) for node in graph.nodes.values() for reader in _READERS)
    return [step for step in found if step is not None]


def _group(steps: Iterable[Step]) -> dict[frozenset[str], list[Step]]:
    """Steps with the same matrices are copies of one cell."""
    groups: dict[frozenset[str], list[Step]] = defaultdict(list)
    for step in steps:
        groups[frozenset(step.matrices)].append(step)
    return groups


def _build(
    graph: Graph, steps: Sequence[Step], every: Sequence[Step]
) -> tuple[GraphCell, list[Problem]]:
    """The cell that the steps are copies of, and where they disagree."""
    for step in steps:
        step.findings |= _wiring(graph, step, every)
    facts, problems = _facts(graph, steps)
    return GraphCell(steps[0].kind, steps[0].gate_variables(), facts, tuple(steps)), problems


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
    if step.node.base_op == "BlockLSTM":
        # It runs over the whole sequence, so that nothing around it is like around a step.
        return {"initial_state": _initial_state(graph, state, every)}
    taken = lengths(graph, state)
    return {
        "sequence_length": Finding(taken is not None, graph.producer(taken or state)),
        "initial_state": _initial_state(graph, state, every),
        "output_wiring": _output_wiring(graph, step, every),
    }


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
        expected="a matrix in the step of an LSTM or GRU that the graph computes with single ops, "
        "LSTMBlockCell, BlockLSTM or GRUBlockCell",
        received=received,
        remedy="keep this cell in the legacy model; or, if the weights are those of a plain LSTM "
        "or GRU, move the .meta away and say with --set what the graph would have said",
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
