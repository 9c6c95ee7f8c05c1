"""The step of a UGRNN, read backwards from the sum that gives its state.

    h' = update * h + (1 - update) * candidate

`UGRNNCell`: one kernel for [x, h], gates in the order of update and candidate.
"""

from __future__ import annotations

from rnn_migrator.canonical import CellKind
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.gru import Update, inversion, updates
from rnn_migrator.recognition.graph.step import (
    Finding,
    Step,
    column_order,
    gate_problems,
    operands_of,
    order_problems,
    same_source,
)

ORDER = "zc"
_LETTERS = {"update": "z", "candidate": "c"}


def read_ugrnn(graph: Graph, node: Node) -> Step | None:
    """Reads the step whose new state a node computes, None if it computes no UGRNN's state."""
    for found in updates(graph, node):
        operands = operands_of(graph, found.update)
        if same_source(graph, [found.update, found.candidate]) and found.h in operands.values():
            return _step(graph, node, found)
    return None


def _step(graph: Graph, node: Node, found: Update) -> Step:
    output = Tensor(node.name)
    update, candidate = found.update, found.candidate
    gates = {"update": update, "candidate": candidate}
    order = column_order(graph, gates, _LETTERS)
    bias_node = update.constants[-1].node if update.constants else update.node
    return Step(
        kind=CellKind.UGRNN,
        node=node,
        output=output,
        gates=gates,
        operands=operands_of(graph, update),
        fused=len(update.products) == 1,
        states={"h": found.h},
        new_states={"h": output},
        findings={
            "cell_class": Finding("UGRNNCell" if order else "UGRNN by hand", node),
            "forget_bias": Finding(update.added, bias_node),
            "activation": Finding(candidate.activation, candidate.node),
            "recurrent_activation": Finding(update.activation, update.node),
        },
        problems=gate_problems(graph, gates, CellKind.UGRNN)
        + order_problems(graph, node, ORDER, order)
        + inversion(graph, node, found.inverted),
    )
