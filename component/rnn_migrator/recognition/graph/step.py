"""One copy of a recurrent step in a graph, whatever cell it is of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rnn_migrator.canonical import CellKind
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import Clip, Names, joined, whole_name
from rnn_migrator.recognition.graph.gates import Gate
from rnn_migrator.recognition.graph.norms import LayerNorm

KEEP = "keep this cell in the legacy model; this version converts no such cell"


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
      peepholes: What is multiplied with the cell state, and added.
    """

    kernel: str
    recurrent: str
    biases: tuple[str, ...]
    block: int | None = None
    peepholes: tuple[str, ...] = ()


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
      norm: Normalisation of the new cell state (LSTM).
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
    norm: LayerNorm | None = None
    x: Tensor | None = None
    projection: Names = ()

    @property
    def matrices(self) -> tuple[Names, ...]:
        """Every matrix of the cell; they tell it from other cells."""
        return tuple(dict.fromkeys(n for gate in self.gates.values() for n in gate.matrices))

    @property
    def is_by_hand(self) -> bool:
        """Whether each gate has matrices of its own, as in no class of TensorFlow."""
        return len(self.gates) > 1 and not any(gate.block for gate in self.gates.values())

    @property
    def is_whole(self) -> bool:
        """Whether it runs over the whole sequence [time, batch, features] at once."""
        return self.node.base_op == "BlockLSTM"

    def widths(self, graph: Graph) -> dict[str, int]:
        """Width of every state, by the shapes of the variables."""
        candidate = self.gates["candidate"]
        sharing = [g for g in self.gates.values() if g.block and g.matrices == candidate.matrices]
        units = _columns(graph, candidate.matrices[-1][0]) // (len(sharing) or 1)
        widths = dict.fromkeys(self.kind.states, units)
        if self.projection:
            widths["h"] = _columns(graph, self.projection[0])
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
                remedy=KEEP,
            )
        )
    return shape[-1]


def _variables(gate: Gate, x: Tensor | None) -> GateVariables:
    first, last = gate.products[0], gate.products[-1]
    if first is not last and last.left == x:
        first, last = last, first
    return GateVariables(
        kernel=whole_name(first.matrix),
        recurrent=whole_name(last.matrix),
        biases=tuple(whole_name(bias) for bias in (*gate.biases, *gate.recurrent_biases)),
        block=gate.block.number if gate.block else None,
        peepholes=tuple(whole_name(peephole.variable) for peephole in gate.peepholes),
    )


def operands_of(graph: Graph, gate: Gate) -> dict[str, Tensor]:
    """The operands of a gate, as `Step.operands` has them."""
    if len(gate.products) > 1:
        return {whole_name(product.matrix): product.left for product in gate.products}
    return {f"rows {i}": part for i, part in enumerate(joined(graph, gate.lefts[0]))}


def same_source(graph: Graph, gates: Iterable[Gate]) -> bool:
    """Whether gates are blocks of one product, or products with the same input and state."""
    keys = {
        gate.block.split if gate.block else frozenset(joined(graph, left) for left in gate.lefts)
        for gate in gates
    }
    return len(keys) == 1


def column_order(graph: Graph, gates: Mapping[str, Gate], letters: Mapping[str, str]) -> str:
    """The order of the gates' blocks in letters; "" where each has variables of its own.

    A block that is no gate's is a "-".
    """
    blocks = {gate.block.number: letters[name] for name, gate in gates.items() if gate.block}
    splits = {gate.block.split for gate in gates.values() if gate.block}
    count = max((int(graph.nodes[split].attr("num_split", 0)) for split in splits), default=0)
    return "".join(blocks.get(number, "-") for number in range(count))


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


def clip_problems(graph: Graph, what: str, clipped: Clip | None) -> list[Problem]:
    """A problem where something is clipped, but not symmetrically."""
    if clipped is None or clipped.low == -clipped.high:
        return []
    return [
        Problem(
            where=graph.describe(clipped.node),
            expected=f"{what} clipped to [-x, x]",
            received=f"[{clipped.low}, {clipped.high}]",
            remedy=KEEP,
        )
    ]


def gate_problems(graph: Graph, gates: Mapping[str, Gate], kind: CellKind) -> list[Problem]:
    """Terms and constants in the gates that no cell of this kind has."""
    foreign = [
        Problem(
            where=graph.describe(term),
            expected=f"the {name} gate to be a sum of matrix products, biases and constants",
            received=f"a term of {term}, computed by {graph.producer(term).op}",
            remedy=KEEP,
        )
        for name, gate in gates.items()
        for term in (*gate.others, *_stray_peepholes(gate, kind))
    ]
    constants = [
        Problem(
            where=graph.describe(gate.constants[-1].node),
            expected="a constant added to the forget gate of an LSTM, or the update gate of a "
            "UGRNN, only",
            received=f"{gate.added} added to the {name} gate",
            remedy="add the constant to the gate's bias, and convert a dump of that",
        )
        for name, gate in gates.items()
        if gate.added and name != kind.biased_gate
    ]
    return foreign + constants


def _stray_peepholes(gate: Gate, kind: CellKind) -> list[Tensor]:
    """Products with a state, in a cell that has no state to look at."""
    return [] if "c" in kind.states else [peephole.state for peephole in gate.peepholes]


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
            remedy=KEEP,
        )
        for other_part, other in rest
        if other.value != first.value
    ]
    return first, problems
