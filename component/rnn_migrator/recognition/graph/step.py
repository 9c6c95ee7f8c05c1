"""One copy of a recurrent step in a graph, whatever cell it is of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rnn_migrator.canonical import CellKind
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.gates import Gate, joined

_KEEP = "keep this cell in the legacy model; this version converts no such cell"


class Finding(NamedTuple):
    """What a node of the graph says."""

    value: Any
    node: Node


@dataclasses.dataclass(frozen=True)
class GateVariables:
    """Which variables a gate takes, and which of their columns.

    Attributes:
      kernel: The matrix of the input.
      recurrent: The matrix of the state; the same variable where one holds the rows of both.
      biases: What is added.
      block: Number of the gate's block of columns, None where the variables are all its own.
    """

    kernel: str
    recurrent: str
    biases: tuple[str, ...]
    block: int | None = None


@dataclasses.dataclass(eq=False)
class Step:
    """One copy of a cell's step.

    Attributes:
      kind: The recurrence.
      node: The node that computes the new h, before any projection.
      output: The new h, before any projection.
      gates: By gate name.
      operands: What the matrices are multiplied with: by matrix, or by part of the rows where
        one matrix has the rows of all (by the order of the classes, the state comes last).
      fused: Whether one matrix has the rows of all operands.
      states: State tensors before the step, by state name.
      new_states: The same after the step.
      findings: What the step says, by the name of the fact.
      problems: What contradicts the class.
      x: The input, once it is told from the state.
      projection: The matrix that projects the output of the cell (LSTM), once it is known.
    """

    kind: CellKind
    node: Node
    output: Tensor
    gates: Mapping[str, Gate]
    operands: Mapping[str, Tensor]
    fused: bool
    states: dict[str, Tensor]
    new_states: dict[str, Tensor]
    findings: dict[str, Finding]
    problems: list[Problem]
    x: Tensor | None = None
    projection: str | None = None

    @property
    def matrices(self) -> tuple[str, ...]:
        """Every matrix of the cell; they tell it from other cells."""
        return tuple(dict.fromkeys(n for gate in self.gates.values() for n in gate.matrices))

    def widths(self, graph: Graph) -> dict[str, int]:
        """Width of every state, by the shapes of the variables."""
        candidate = self.gates["candidate"]
        sharing = [g for g in self.gates.values() if g.block and g.matrices == candidate.matrices]
        units = _columns(graph, candidate.matrices[-1]) // (len(sharing) or 1)
        widths = dict.fromkeys(self.kind.states, units)
        if self.projection:
            widths["h"] = _columns(graph, self.projection)
        return widths

    def gate_variables(self) -> dict[str, GateVariables]:
        """The variables by gate name."""
        return {name: _variables(gate, self.x) for name, gate in self.gates.items()}


def _columns(graph: Graph, name: str) -> int:
    shape = graph.variable_shape(name)
    if len(shape) != 2 or shape[-1] < 1:
        raise UnsupportedError(
            Problem(
                where=f"{name}, {graph.path.name}",
                expected="a matrix of known size",
                received=f"shape {list(shape)}",
                remedy=_KEEP,
            )
        )
    return shape[-1]


def _variables(gate: Gate, x: Tensor | None) -> GateVariables:
    first, last = gate.products[0], gate.products[-1]
    if first is not last and last.left == x:
        first, last = last, first
    block = gate.block.number if gate.block else None
    return GateVariables(first.variable, last.variable, tuple(gate.biases), block)


def operands_of(graph: Graph, gate: Gate) -> dict[str, Tensor]:
    """The operands of a gate, as `Step.operands` has them."""
    if len(gate.products) > 1:
        return {product.variable: product.left for product in gate.products}
    return {f"rows {i}": part for i, part in enumerate(joined(graph, gate.lefts[0]))}


def same_source(gates: Iterable[Gate]) -> bool:
    """Whether gates are blocks of one product, or products with the same input and state."""
    keys = {gate.block.split if gate.block else frozenset(gate.lefts) for gate in gates}
    return len(keys) == 1


def column_order(gates: Mapping[str, Gate], letters: Mapping[str, str]) -> str:
    """The order of the gates' blocks in letters; "" where each has variables of its own."""
    blocks = {gate.block.number: letters[name] for name, gate in gates.items() if gate.block}
    return "".join(blocks[number] for number in sorted(blocks))


def order_problems(graph: Graph, node: Node, expected: str, found: str) -> list[Problem]:
    """A problem where the blocks of columns are not in the order of the class."""
    if found in ("", expected):
        return []
    return [
        Problem(
            where=graph.describe(node),
            expected=f"gates in the order {' '.join(expected)}",
            received=f"gates in the order {' '.join(found)}",
            remedy="put the columns of kernel and bias into the expected order, and convert a "
            "dump of that",
        )
    ]


def gate_problems(graph: Graph, gates: Mapping[str, Gate]) -> list[Problem]:
    """Terms and constants in the gates that no cell of this kind has."""
    foreign = [
        Problem(
            where=graph.describe(term),
            expected=f"the {name} gate to be a sum of matrix products, biases and constants",
            received=f"a term computed by {graph.producer(term).op}",
            remedy=_KEEP,
        )
        for name, gate in gates.items()
        for term in gate.others
    ]
    constants = [
        Problem(
            where=graph.describe(gate.constants[-1].node),
            expected="a constant added to the forget gate of an LSTM only",
            received=f"{gate.added} added to the {name} gate",
            remedy="add the constant to the gate's bias, and convert a dump of that",
        )
        for name, gate in gates.items()
        if gate.added and name != "forget"
    ]
    return foreign + constants


def common(
    graph: Graph, fact: str, findings: Mapping[str, Finding]
) -> tuple[Finding, list[Problem]]:
    """What parts of a cell agree about, and a problem for each that does not.

    Args:
      graph: For the message.
      fact: What they say something about.
      findings: What each part says.
    """
    (part, first), *rest = findings.items()
    problems = [
        Problem(
            where=f"{graph.describe(first.node)} and {other.node.name}",
            expected=f"one {fact} of {part} and {other_part}",
            received=f"{first.value!r} and {other.value!r}",
            remedy=_KEEP,
        )
        for other_part, other in rest
        if other.value != first.value
    ]
    return first, problems
