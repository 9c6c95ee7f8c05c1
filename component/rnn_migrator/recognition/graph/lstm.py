"""The step of an LSTM, read backwards from the product that gives its output.

    c' = clip(forget * c + input * candidate)        h' = output * activation(c')

Fused (`BasicLSTMCell`, `LSTMCell`): one kernel for [x, h], gates in the order i c f o.
By hand: one matrix or two for each gate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rnn_migrator.canonical import CellKind
from rnn_migrator.errors import Problem
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import (
    Clip,
    activation,
    behind,
    clip,
    factors,
    skip,
)
from rnn_migrator.recognition.graph.gates import Gate, read_gate
from rnn_migrator.recognition.graph.step import (
    Finding,
    Step,
    column_order,
    common,
    gate_problems,
    operands_of,
    order_problems,
    same_source,
)

ORDER = "icfo"
_LETTERS = {"input": "i", "candidate": "c", "forget": "f", "output": "o"}


class _Update(NamedTuple):
    """forget * c + one * other."""

    forget: Gate
    c: Tensor
    one: Gate
    other: Gate


def read_lstm(graph: Graph, node: Node) -> Step | None:
    """Reads the step whose output a node computes, None if it computes no LSTM's output."""
    # A copy of the output has the same factors, but is no second step.
    products = factors(graph, Tensor(node.name)) if node.op == "Mul" else ()
    for gate_value, hidden in products:
        output = read_gate(graph, gate_value)
        if output is None or output.activation == "linear":
            continue
        name, new_c = activation(graph, hidden)
        new_c = skip(graph, new_c)
        clipped = clip(graph, new_c)
        for update in _updates(graph, clipped.tensor if clipped else new_c):
            gates = _named(update, output)
            if same_source(gates.values()):
                step = _step(graph, node, gates, update.c, new_c, clipped)
                _add_activations(graph, step, Finding(name, behind(graph, hidden)))
                return step
    return None


def _updates(graph: Graph, tensor: Tensor) -> Iterator[_Update]:
    node = behind(graph, tensor)
    if node.op not in ("Add", "AddV2"):
        return
    for kept, new in itertools.permutations(node.inputs, 2):
        for forget_value, c in factors(graph, kept):
            forget = read_gate(graph, forget_value)
            if forget is None or read_gate(graph, c):
                continue
            for one_value, other_value in factors(graph, new):
                one, other = read_gate(graph, one_value), read_gate(graph, other_value)
                if one and other:
                    yield _Update(forget, c, one, other)


def _named(update: _Update, output: Gate) -> dict[str, Gate]:
    """Tells input gate and candidate apart: only the input gate is like the forget gate.

    Where both are, they are exchangeable, and the order of the class names them.
    """
    like_forget = [g.activation == update.forget.activation for g in (update.one, update.other)]
    pair = [update.one, update.other]
    if like_forget == [False, True]:
        pair.reverse()
    elif all(like_forget) and update.one.block and update.other.block:
        pair.sort(key=lambda gate: gate.block.number if gate.block else 0)
    return {"input": pair[0], "forget": update.forget, "candidate": pair[1], "output": output}


def _step(
    graph: Graph,
    node: Node,
    gates: Mapping[str, Gate],
    c: Tensor,
    new_c: Tensor,
    clipped: Clip | None,
) -> Step:
    output = Tensor(node.name)
    order = column_order(gates, _LETTERS)
    forget = gates["forget"]
    bias_node = forget.constants[-1].node if forget.constants else forget.node
    looking = next((gate for gate in gates.values() if gate.peepholes), None)
    return Step(
        kind=CellKind.LSTM,
        node=node,
        output=output,
        gates=gates,
        operands=operands_of(graph, forget),
        fused=len(forget.products) == 1,
        states={"c": c},
        new_states={"h": output, "c": new_c},
        findings={
            "cell_class": Finding("LSTMCell" if order else "LSTM by hand", node),
            "forget_bias": Finding(forget.added, bias_node),
            "cell_clip": Finding(clipped.high, clipped.node) if clipped else Finding(None, node),
            "peephole": Finding(looking is not None, (looking or forget).node),
        },
        problems=gate_problems(graph, gates)
        + order_problems(graph, node, ORDER, order)
        + _peephole_problems(graph, gates, {"c": c, "new": new_c})
        + _clip_problems(graph, clipped),
    )


def _add_activations(graph: Graph, step: Step, of_output: Finding) -> None:
    by_gate = {name: Finding(gate.activation, gate.node) for name, gate in step.gates.items()}
    candidate = {"candidate": by_gate.pop("candidate"), "new cell state": of_output}
    for fact, findings in {"activation": candidate, "recurrent_activation": by_gate}.items():
        step.findings[fact], problems = common(graph, fact, findings)
        step.problems += problems


def _peephole_problems(
    graph: Graph, gates: Mapping[str, Gate], states: Mapping[str, Tensor]
) -> list[Problem]:
    """The output gate must look at the new cell state, the others at the one before."""
    return [
        Problem(
            where=graph.describe(gate.node),
            expected=f"a peephole of the {name} gate at the cell state",
            received=f"one at {peephole.state}",
            remedy="keep this cell in the legacy model; this version converts no such cell",
        )
        for name, gate in gates.items()
        for peephole in gate.peepholes
        if skip(graph, peephole.state) != skip(graph, states["new" if name == "output" else "c"])
    ]


def _clip_problems(graph: Graph, clipped: Clip | None) -> list[Problem]:
    if clipped is None or clipped.low == -clipped.high:
        return []
    return [
        Problem(
            where=graph.describe(clipped.node),
            expected="the cell state clipped to [-x, x]",
            received=f"[{clipped.low}, {clipped.high}]",
            remedy="keep this cell in the legacy model; this version converts no such cell",
        )
    ]
