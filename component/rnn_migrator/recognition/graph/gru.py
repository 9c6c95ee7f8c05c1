"""The step of a GRU, read backwards from the sum that gives its state.

    h' = update * h + (1 - update) * candidate

`GRUCell`: the candidate multiplies [x, reset * h], gates in the order r z. A cuDNN-compatible
cell resets after the product: candidate = act(x @ K + b + reset * (h @ R + b')). By hand: one
matrix or two for each gate, and perhaps an update gate that keeps the candidate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rnn_migrator.canonical import CellKind
from rnn_migrator.errors import Problem
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import (
    complement,
    factors,
    joined,
    summands,
    variables,
)
from rnn_migrator.recognition.graph.gates import Gate, read_gate, read_product
from rnn_migrator.recognition.graph.step import (
    KEEP,
    Finding,
    Step,
    column_order,
    common,
    gate_problems,
    operands_of,
    order_problems,
    same_source,
)

ORDER = "rz"
_LETTERS = {"reset": "r", "update": "z"}


class Update(NamedTuple):
    """update * h + (1 - update) * candidate, or the other way round if it is inverted."""

    update: Gate
    h: Tensor
    candidate: Gate
    inverted: bool


def read_gru(graph: Graph, node: Node) -> Step | None:
    """Reads the step whose new state a node computes, None if it computes no GRU's state."""
    for found in updates(graph, node):
        for reset, after in _resets(graph, found.candidate, found.h):
            gates = {"update": found.update, "reset": reset}
            if same_source(graph, gates.values()):
                return _step(graph, node, found, gates, after)
    return None


def updates(graph: Graph, node: Node) -> Iterator[Update]:
    """What a node may be the update of; without anything that tells a GRU from other cells."""
    if node.op not in ("Add", "AddV2"):
        return
    for one, other in itertools.permutations(node.inputs, 2):
        for gate_value, kept in factors(graph, one):
            for rest, new in factors(graph, other):
                if complement(graph, rest) != gate_value:
                    continue
                update = read_gate(graph, gate_value)
                if update is None or update.activation == "linear":
                    continue
                for h, candidate_value, inverted in ((kept, new, False), (new, kept, True)):
                    candidate = read_gate(graph, candidate_value)
                    if candidate and read_gate(graph, h) is None:
                        yield Update(update, h, candidate, inverted)


def _resets(graph: Graph, candidate: Gate, h: Tensor) -> Iterator[tuple[Gate, bool]]:
    """The gate that resets the state for the candidate, and whether it does so after the product.

    What that says of the candidate's terms is moved to its products and biases.
    """
    for part in (part for left in candidate.lefts for part in joined(graph, left)):
        if gate := _reset_of(graph, part, h):
            yield gate, False
    for term in list(candidate.others):
        for gate_value, inner in factors(graph, term):
            gate = read_gate(graph, gate_value)
            if gate and _take_recurrent(graph, candidate, inner, h):
                candidate.others.remove(term)
                yield gate, True


def _reset_of(graph: Graph, tensor: Tensor, h: Tensor) -> Gate | None:
    """The gate of reset * h, None if a tensor is no such product."""
    gates = (read_gate(graph, value) for value, state in factors(graph, tensor) if state == h)
    return next(filter(None, gates), None)


def _take_recurrent(graph: Graph, candidate: Gate, inner: Tensor, h: Tensor) -> bool:
    """Moves the terms of h @ R + b' to the candidate."""
    terms = summands(graph, inner)
    products = [product for term in terms if (product := read_product(graph, term))]
    biases = [names for term in terms if (names := variables(graph, term))]
    if [product.left for product in products] != [h] or len(terms) != 1 + len(biases):
        return False
    candidate.products += products
    candidate.recurrent_biases += biases
    return True


def _step(graph: Graph, node: Node, found: Update, gates: Mapping[str, Gate], after: bool) -> Step:
    output = Tensor(node.name)
    order = column_order(graph, gates, _LETTERS)
    candidate = found.candidate
    by_gate = {name: Finding(gate.activation, gate.node) for name, gate in gates.items()}
    recurrent, problems = common(graph, "recurrent_activation", by_gate)
    name = "CudnnCompatibleGRUCell" if after else "GRUCell"
    every = {**gates, "candidate": candidate}
    return Step(
        kind=CellKind.GRU,
        node=node,
        output=output,
        gates=every,
        operands=operands_of(graph, gates["reset"]),
        fused=len(gates["reset"].products) == 1,
        states={"h": found.h},
        new_states={"h": output},
        findings={
            "cell_class": Finding(name if order else "GRU by hand", node),
            "activation": Finding(candidate.activation, candidate.node),
            "recurrent_activation": recurrent,
            "reset_after": Finding(after, candidate.node),
            "update_keeps": Finding("candidate" if found.inverted else "state", node),
        },
        problems=problems
        + gate_problems(graph, every, CellKind.GRU)
        + order_problems(graph, node, ORDER, order)
        + _operand_problems(graph, gates["reset"], candidate, found.h)
        + inversion(graph, node, bool(order) and found.inverted),
    )


def _operand_problems(graph: Graph, reset: Gate, candidate: Gate, h: Tensor) -> list[Problem]:
    """A problem where the candidate multiplies another input than the gates, or in other rows."""
    own: list[tuple[Tensor, ...]] = [
        tuple(h if _reset_of(graph, part, h) else part for part in joined(graph, left))
        for left in candidate.lefts
    ]
    others = [joined(graph, left) for left in reset.lefts]
    if len(own) != len(others):
        own, others = (_apart(own), _apart(others))
    if set(own) == set(others):
        return []
    return [
        Problem(
            where=graph.describe(candidate.node),
            expected="the candidate to multiply what the gates multiply, in the same order of rows",
            received=f"{_listed(own)}, and {_listed(others)} in the gates",
            remedy=KEEP,
        )
    ]


def _apart(operands: Iterable[Iterable[Tensor]]) -> list[tuple[Tensor, ...]]:
    return [(part,) for whole in operands for part in whole]


def _listed(operands: Iterable[Iterable[Tensor]]) -> str:
    return " and ".join(f"[{', '.join(map(str, whole))}]" for whole in operands)


def inversion(graph: Graph, node: Node, inverted: bool) -> list[Problem]:
    """A problem where the update gate means the opposite."""
    if not inverted:
        return []
    return [
        Problem(
            where=graph.describe(node),
            expected="update * h + (1 - update) * candidate",
            received="(1 - update) * h + update * candidate",
            remedy="negate kernel and bias of the update gate, and convert a dump of that",
        )
    ]
