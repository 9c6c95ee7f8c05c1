"""The step of an LSTM, read backwards from the product that gives its output.

    c' = norm(clip(forget * c + input * candidate))        h' = output * activation(c')

Fused (`BasicLSTMCell`, `LSTMCell`, `LayerNormBasicLSTMCell`): one kernel for [x, h], gates in the
order i c f o. Coupled (`CoupledInputForgetGateLSTMCell`): 1 - forget for input, in the order c f o.
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
    complement,
    factors,
    skip,
)
from rnn_migrator.recognition.graph.gates import Gate, read_gate
from rnn_migrator.recognition.graph.norms import EPSILON, LayerNorm, layer_norm
from rnn_migrator.recognition.graph.step import (
    KEEP,
    Finding,
    Step,
    clip_problems,
    column_order,
    common,
    gate_problems,
    operands_of,
    order_problems,
    same_source,
)

ORDERS = {CellKind.LSTM: "icfo", CellKind.COUPLED_LSTM: "cfo"}
_LETTERS = {"input": "i", "candidate": "c", "forget": "f", "output": "o"}


class _Update(NamedTuple):
    """forget * c + one * other; of a coupled cell (1 - forget) * other, and no one."""

    forget: Gate
    c: Tensor
    one: Gate | None
    other: Gate


class _NewState(NamedTuple):
    """The new cell state, and what was made of the sum before it was that."""

    tensor: Tensor
    total: Tensor
    clipped: Clip | None
    norm: LayerNorm | None


def read_lstm(graph: Graph, node: Node) -> Step | None:
    """Reads the step whose output a node computes, None if it computes no LSTM's output."""
    # A copy of the output has the same factors, but is no second step.
    products = factors(graph, Tensor(node.name)) if node.op == "Mul" else ()
    for gate_value, hidden in products:
        output = read_gate(graph, gate_value)
        if output is None or output.activation == "linear":
            continue
        name, new_c = activation(graph, hidden)
        state = _new_state(graph, new_c)
        for update in _updates(graph, state.total):
            gates = _named(update, output)
            if same_source(graph, gates.values()):
                step = _step(graph, node, gates, update.c, state)
                _add_activations(graph, step, Finding(name, behind(graph, hidden)))
                return step
    return None


def _new_state(graph: Graph, tensor: Tensor) -> _NewState:
    tensor = skip(graph, tensor)
    norm = layer_norm(graph, tensor)
    bounded = norm.argument if norm else tensor
    clipped = clip(graph, bounded)
    return _NewState(tensor, clipped.tensor if clipped else bounded, clipped, norm)


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
                coupled = complement(graph, one_value) == forget_value
                if other and (one or coupled):
                    yield _Update(forget, c, one, other)


def _named(update: _Update, output: Gate) -> dict[str, Gate]:
    """Tells input gate and candidate apart: only the input gate is like the forget gate.

    Where both are, they are exchangeable, and the order of the class names them.
    """
    if update.one is None:
        return {"forget": update.forget, "candidate": update.other, "output": output}
    pair = [update.one, update.other]
    like_forget = [gate.activation == update.forget.activation for gate in pair]
    if like_forget == [False, True]:
        pair.reverse()
    elif all(like_forget) and update.one.block and update.other.block:
        pair.sort(key=lambda gate: gate.block.number if gate.block else 0)
    return {"input": pair[0], "forget": update.forget, "candidate": pair[1], "output": output}


def _step(graph: Graph, node: Node, gates: Mapping[str, Gate], c: Tensor, new: _NewState) -> Step:
    output, forget = Tensor(node.name), gates["forget"]
    kind = CellKind.LSTM if "input" in gates else CellKind.COUPLED_LSTM
    order = column_order(graph, gates, _LETTERS)
    bias_node = forget.constants[-1].node if forget.constants else forget.node
    looking = next((gate for gate in gates.values() if gate.peepholes), None)
    clipped = new.clipped
    return Step(
        kind=kind,
        node=node,
        output=output,
        gates=gates,
        operands=operands_of(graph, forget),
        fused=len(forget.products) == 1,
        states={"c": c},
        new_states={"h": output, "c": new.tensor},
        findings={
            "cell_class": Finding(_class_of(kind, order, new.norm), node),
            "forget_bias": Finding(forget.added, bias_node),
            "cell_clip": Finding(clipped.high, clipped.node) if clipped else Finding(None, node),
            "peephole": Finding(looking is not None, (looking or forget).node),
        },
        problems=gate_problems(graph, gates, kind)
        + order_problems(graph, node, ORDERS[kind], order)
        + _peephole_problems(graph, gates, {"c": c, "new": new.tensor})
        + clip_problems(graph, "the cell state", clipped)
        + _norm_problems(graph, gates, new.norm),
        norm=new.norm,
    )


def _class_of(kind: CellKind, order: str, norm: LayerNorm | None) -> str:
    if not order:
        return f"{kind.label} by hand"
    if kind is CellKind.COUPLED_LSTM:
        return "CoupledInputForgetGateLSTMCell"
    return "LayerNormBasicLSTMCell" if norm else "LSTMCell"


def _add_activations(graph: Graph, step: Step, of_output: Finding) -> None:
    by_gate = {name: Finding(gate.activation, gate.node) for name, gate in step.gates.items()}
    candidate = {"candidate": by_gate.pop("candidate"), "new cell state": of_output}
    for fact, findings in {"activation": candidate, "recurrent_activation": by_gate}.items():
        step.findings[fact], problems = common(graph, fact, findings)
        step.problems += problems


def _peephole_problems(
    graph: Graph, gates: Mapping[str, Gate], states: Mapping[str, Tensor]
) -> list[Problem]:
    """The output gate must look at the new cell state, the others at the one before, once each.

    The candidate looks at none.
    """
    looks = [(name, gate, peephole) for name, gate in gates.items() for peephole in gate.peepholes]
    return [
        Problem(
            where=graph.describe(gate.node),
            expected="a peephole of the input and forget gate at the cell state before the step, "
            "and of the output gate at the new one",
            received=f"one of the {name} gate at {peephole.state}",
            remedy=KEEP,
        )
        for name, gate, peephole in looks
        if skip(graph, peephole.state) != skip(graph, states["new" if name == "output" else "c"])
        or name == "candidate"
        or len(gate.peepholes) > 1
    ]


def _norm_problems(
    graph: Graph, gates: Mapping[str, Gate], of_state: LayerNorm | None
) -> list[Problem]:
    """Every gate and the new state of an LSTM must be normalised, or none, with one epsilon."""
    norms = {**{name: gate.norm for name, gate in gates.items()}, "new cell state": of_state}
    without = [name for name, norm in norms.items() if norm is None]
    there = [norm for norm in norms.values() if norm is not None]
    others = [norm for norm in there if norm.epsilon != EPSILON]
    problems = [
        Problem(
            where=graph.describe(norm.node),
            expected=f"layer normalisations with epsilon {EPSILON}",
            received=f"epsilon {norm.epsilon}",
            remedy=KEEP,
        )
        for norm in others[:1]
    ]
    if there and (without or "input" not in gates):
        problems.append(
            Problem(
                where=graph.describe(there[0].node),
                expected="a layer normalisation of all four gates and of the new cell state",
                received="one of " + ", ".join(name for name in norms if name not in without),
                remedy=KEEP,
            )
        )
    return problems
