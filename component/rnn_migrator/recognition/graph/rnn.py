"""The step of a simple RNN: an activation of a sum of products, which comes back as its state.

    h' = activation(x @ K + h @ R + b)

`BasicRNNCell`: one kernel for [x, h]. Every dense layer on joined inputs looks like such a step;
only where it comes back is it one (`states.recurs`).
"""

from __future__ import annotations

from rnn_migrator.canonical import CellKind
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import ACTIVATION_OPS, ADD_OPS
from rnn_migrator.recognition.graph.gates import read_gate
from rnn_migrator.recognition.graph.step import Finding, Step, gate_problems, operands_of


def read_rnn(graph: Graph, node: Node) -> Step | None:
    """Reads the step whose new state a node may compute, None if it is no dense layer of two."""
    if node.op not in ACTIVATION_OPS | ADD_OPS:
        return None
    output = Tensor(node.name)
    candidate = read_gate(graph, output)
    if candidate is None or candidate.block is not None:
        return None
    operands = operands_of(graph, candidate)
    if len(operands) != 2:
        return None
    fused = len(candidate.products) == 1
    return Step(
        kind=CellKind.RNN,
        node=node,
        output=output,
        gates={"candidate": candidate},
        operands=operands,
        fused=fused,
        states={},
        new_states={"h": output},
        findings={
            "cell_class": Finding("BasicRNNCell" if fused else "RNN by hand", node),
            "activation": Finding(candidate.activation, candidate.node),
        },
        problems=gate_problems(graph, {"candidate": candidate}, CellKind.RNN),
    )
