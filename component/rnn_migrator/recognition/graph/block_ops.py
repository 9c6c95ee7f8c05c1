"""Steps that are one op: `LSTMBlockCell`, `BlockLSTM` (every step at once), `GRUBlockCell`.

Kernels as those of `LSTMCell` and `GRUCell`; gates in the order i c f o (`BlockLSTMV2`: i f c o)
and r z. What such a cell does besides stands in the attributes of its node. An attribute that is
missing was stripped because it had the op's default, and a cell_clip of 0 or less means none.
Source: tensorflow/core/ops/rnn_ops.cc, TensorFlow 1.0 to 1.15.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from rnn_migrator.canonical import CellKind
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import decimal, scalar, skip, variables
from rnn_migrator.recognition.graph.gates import Block, Gate, Peephole, Product
from rnn_migrator.recognition.graph.step import Finding, Step, gate_problems, order_problems

_NAMES = {
    "i": "input",
    "c": "candidate",
    "f": "forget",
    "o": "output",
    "r": "reset",
    "z": "update",
}


@dataclasses.dataclass(frozen=True)
class _BlockOp:
    """Names of an op's inputs and outputs in their order, order of its gates, its defaults."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    order: str
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)


_PEEPHOLES = {"input": "peephole_i", "forget": "peephole_f", "output": "peephole_o"}
_CELL_INPUTS = ("x", "c", "h", "kernel", *_PEEPHOLES.values(), "bias")
_CELL_OUTPUTS = ("i", "c", "f", "o", "ci", "co", "h")
_DEFAULTS = {"forget_bias": 1.0, "cell_clip": 3.0, "use_peephole": False}
_OPS = {
    "LSTMBlockCell": _BlockOp(_CELL_INPUTS, _CELL_OUTPUTS, "icfo", _DEFAULTS),
    "BlockLSTM": _BlockOp(("length", *_CELL_INPUTS), _CELL_OUTPUTS, "icfo", _DEFAULTS),
    "BlockLSTMV2": _BlockOp(
        ("length", *_CELL_INPUTS),
        _CELL_OUTPUTS,
        "ifco",
        {"forget_bias": 0.0, "cell_clip": 0.0, "use_peephole": False},
    ),
    "GRUBlockCell": _BlockOp(
        ("x", "h", "kernel", "candidate_kernel", "bias", "candidate_bias"),
        ("r", "u", "c", "h"),
        "rz",
    ),
}

_EXPECTED = {CellKind.LSTM: "icfo", CellKind.GRU: "rz"}
"""The order in which the cells of TensorFlow 1 keep their gates."""


def read_block_op(graph: Graph, node: Node) -> Step | None:
    """Reads a step that is one op, None for every other node."""
    op = _OPS.get(node.op)
    if op is None:
        return None
    inputs = {n: skip(graph, t) for n, t in zip(op.inputs, node.inputs, strict=False)}
    gates = _gates(graph, node, op, inputs)
    if gates is None:
        return None
    outputs = {name: Tensor(node.name, port) for port, name in enumerate(op.outputs)}
    is_gru = node.op == "GRUBlockCell"
    kind = CellKind.GRU if is_gru else CellKind.LSTM
    if _facts(node, op).get("peephole"):
        _add_peepholes(graph, gates, inputs, outputs)
    return Step(
        kind=kind,
        node=node,
        output=outputs["h"],
        gates=gates,
        operands={"rows 0": inputs["x"], "rows 1": inputs["h"]},
        fused=True,
        states={name: inputs[name] for name in kind.states},
        new_states={name: outputs[name] for name in kind.states},
        findings={name: Finding(value, node) for name, value in _facts(node, op).items()},
        problems=gate_problems(graph, gates, kind)
        + order_problems(graph, node, _EXPECTED[kind], op.order),
        x=inputs["x"],
    )


def input_positions(node: Node) -> dict[str, int]:
    """Numbers of the inputs of such an op by name: x, h and c before, length of a BlockLSTM."""
    return {name: position for position, name in enumerate(_OPS[node.op].inputs)}


def _gates(
    graph: Graph, node: Node, op: _BlockOp, inputs: dict[str, Tensor]
) -> dict[str, Gate] | None:
    """The gates as if they were read off single ops; None where a kernel is no variable."""
    names = {role: variables(graph, tensor) for role, tensor in inputs.items()}
    blocks: dict[str, tuple[str, Block | None]] = {
        _NAMES[letter]: ("", Block(node.name, number)) for number, letter in enumerate(op.order)
    }
    if "candidate_kernel" in inputs:
        blocks["candidate"] = ("candidate_", None)
    gates = {}
    for name, (prefix, block) in blocks.items():
        kernel, bias = names[f"{prefix}kernel"], names[f"{prefix}bias"]
        if not kernel or not bias:
            return None
        activation = "tanh" if name == "candidate" else "sigmoid"
        gates[name] = Gate(node, activation, block, [Product(inputs["x"], kernel)], [bias])
    return gates


def _add_peepholes(
    graph: Graph, gates: dict[str, Gate], inputs: dict[str, Tensor], outputs: dict[str, Tensor]
) -> None:
    states = {"input": inputs["c"], "forget": inputs["c"], "output": outputs["c"]}
    for name, role in _PEEPHOLES.items():
        if names := variables(graph, inputs[role]):
            gates[name].peepholes.append(Peephole(names, states[name]))
        elif scalar(graph, inputs[role]) != 0.0:
            gates[name].others.append(inputs[role])


def _facts(node: Node, op: _BlockOp) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "cell_class": node.op,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
    }
    if not op.defaults:
        return facts | {"reset_after": False}
    attributes = {name: node.attr(name, default) for name, default in op.defaults.items()}
    clip = decimal(attributes["cell_clip"])
    return facts | {
        "forget_bias": decimal(attributes["forget_bias"]),
        "cell_clip": clip if clip > 0 else None,
        "peephole": bool(attributes["use_peephole"]),
    }
