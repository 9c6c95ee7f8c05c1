"""Small expressions read backwards from the tensor that holds their value.

Every function asks "is this tensor such an expression, and of what?". Nothing is searched
forwards, so gradients, which use the same tensors, are never seen.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.readers.metagraph import VARIABLE_OPS, Graph, Node, Tensor

ADD_OPS = frozenset({"Add", "AddV2", "BiasAdd", "AddN"})
COPY_OPS = frozenset(
    {"Identity", "Enter", "RefEnter", "StopGradient", "PreventGradient", "Snapshot"}
)
"""Ops that hand their input on as it is. `Enter` brings it into a while loop."""

BRANCH_OPS = frozenset({"Switch", "RefSwitch"})
"""Ops that hand their input on to one of two branches, or into the body of a loop."""

READ_OPS = COPY_OPS | BRANCH_OPS | {"ReadVariableOp"}
"""Ops between a variable and its use."""

Names = tuple[str, ...]
"""Variables that are one matrix or vector: nearly always one, else parts along the first axis."""

_ACTIVATIONS = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Relu": "relu",
    "Relu6": "relu6",
    "Elu": "elu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Softmax": "softmax",
    "Exp": "exponential",
}
ACTIVATION_OPS = frozenset({*_ACTIVATIONS, "ClipByValue", "Maximum", "Minimum"})
"""Ops that an activation may end with."""

_AXIS = {"Concat": 0, "ConcatV2": -1}
"""Which input of a concatenation is its axis."""

_RANDOM_OPS = ("Random", "StatelessRandom")
_MASK_OPS = {"Floor": frozenset({"Add", "AddV2"}), "Cast": frozenset({"GreaterEqual"})}
_RANDOM_ARITHMETIC = frozenset({"GreaterEqual", "Add", "AddV2", "Mul", "Sub"})
_DIVISIONS = ("Div", "RealDiv")
_MOST_TERMS = 32
_MOST_AXES = 64


def skip(graph: Graph, tensor: Tensor, ops: frozenset[str] = COPY_OPS) -> Tensor:
    """The tensor that was handed on, behind any chain of copies."""
    seen = set()
    while (node := graph.producer(tensor)).op in ops and node.inputs and tensor not in seen:
        seen.add(tensor)
        tensor = node.inputs[0]
    return tensor


def behind(graph: Graph, tensor: Tensor) -> Node:
    """The node that computes a tensor, copies skipped."""
    return graph.producer(skip(graph, tensor))


def variable(graph: Graph, tensor: Tensor) -> str | None:
    """Checkpoint name of the variable whose value a tensor is, None for anything else."""
    node = graph.producer(skip(graph, tensor, READ_OPS))
    return graph.keys.get(node.name) if node.op in VARIABLE_OPS else None


def variables(graph: Graph, tensor: Tensor) -> Names:
    """The variable whose value a tensor is, or those that it joins along the first axis."""
    name = variable(graph, tensor)
    if name is not None:
        return (name,)
    whole = skip(graph, tensor, READ_OPS)
    names = [variable(graph, part) for part in joined(graph, whole)]
    known = tuple(name for name in names if name is not None)
    return known if len(known) == len(names) and joined_axis(graph, whole) == 0 else ()


def whole_name(names: Names) -> str:
    """The name of a variable, or of what its parts `NAME/part_0`, or `NAME_0`, … make up."""
    if len(names) == 1 and not names[0].endswith("/part_0"):
        return names[0]
    return re.sub(r"(/part)?_\d+$", "", names[0])


def joined(graph: Graph, tensor: Tensor) -> tuple[Tensor, ...]:
    """The parts of a concatenation, or the tensor alone."""
    node = behind(graph, tensor)
    parts = [tensor]
    if node.op in _AXIS:
        parts = list(node.inputs)
        del parts[_AXIS[node.op]]
    return tuple(skip(graph, part) for part in parts)


def joined_axis(graph: Graph, tensor: Tensor) -> int | None:
    """The axis of a concatenation, None for anything else."""
    node = behind(graph, tensor)
    axis = scalar(graph, node.inputs[_AXIS[node.op]]) if node.op in _AXIS else None
    return None if axis is None else int(axis)


def constant(graph: Graph, tensor: Tensor, depth: int = 8) -> Array | None:
    """The value of a tensor that only constants decide, as far as a `perm` or `axis` needs it."""
    node = behind(graph, tensor)
    if node.op == "Const":
        value = graph.value(node)
        return value if value is not None and value.dtype.kind in "if" else None
    if node.op not in (*_AXIS, "Range", "Pack") or not depth:
        return None
    values = [constant(graph, operand, depth - 1) for operand in node.inputs]
    parts = [value.reshape(-1) for value in values if value is not None]
    if len(parts) < len(node.inputs):
        return None
    if node.op == "Range":
        start, limit, step = (float(part.sum()) for part in parts)
        return np.arange(start, min(limit, start + _MOST_AXES), step or 1.0)
    if node.op in _AXIS:
        del parts[_AXIS[node.op]]
    whole: Array = np.concatenate(parts)
    return whole


def scalar(graph: Graph, tensor: Tensor) -> float | None:
    """The one number a constant holds in every element, None for anything else."""
    value = constant(graph, tensor)
    if value is None or not value.size:
        return None
    first = value.reshape(-1)[0]
    return decimal(first) if np.all(value == first) else None


def decimal(value: Any) -> float:
    """The shortest decimal that rounds to the same float32: 0.7, not 0.699999988."""
    return float(str(np.float32(value)))


def summands(
    graph: Graph, tensor: Tensor, is_term: Callable[[Tensor], bool] = lambda tensor: False
) -> tuple[Tensor, ...]:
    """The terms of a sum, through nested additions; a long sum is one term, as it is no gate.

    Args:
      graph: The graph.
      tensor: The sum.
      is_term: Whether an addition is a term of its own.
    """
    terms: list[Tensor] = []
    rest = [tensor]
    while rest and len(terms) + len(rest) <= _MOST_TERMS:
        term = skip(graph, rest.pop())
        node = graph.producer(term)
        if node.op in ADD_OPS and not is_term(term):
            rest += reversed(node.inputs)
        else:
            terms.append(term)
    return (tensor,) if rest else tuple(terms)


def factors(graph: Graph, tensor: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both orders of a product's two factors; nothing if the tensor is no product."""
    node = behind(graph, tensor)
    if node.op == "Mul":
        one, other = (skip(graph, operand) for operand in node.inputs)
        yield one, other
        yield other, one


def activation(graph: Graph, tensor: Tensor) -> tuple[str, Tensor]:
    """Name and argument of the activation that gives a tensor; "linear" if none does."""
    tensor = skip(graph, tensor)
    node = graph.producer(tensor)
    if node.op in _ACTIVATIONS:
        return _ACTIVATIONS[node.op], node.inputs[0]
    argument = _hard_sigmoid(graph, tensor)
    return ("linear", tensor) if argument is None else ("hard_sigmoid", argument)


def _hard_sigmoid(graph: Graph, tensor: Tensor) -> Tensor | None:
    """x of clip(0.2 x + 0.5, 0, 1)."""
    found = clip(graph, tensor)
    if found is None or (found.low, found.high) != (0.0, 1.0):
        return None
    node = behind(graph, found.tensor)
    if node.op not in ADD_OPS or len(node.inputs) != 2:
        return None
    for scaled, offset in (node.inputs, node.inputs[::-1]):
        if scalar(graph, offset) == 0.5:
            for slope, argument in factors(graph, scaled):
                if scalar(graph, slope) == 0.2:
                    return argument
    return None


@dataclasses.dataclass(frozen=True)
class Clip:
    """A tensor kept between two bounds, and the node that keeps it there."""

    tensor: Tensor
    low: float
    high: float
    node: Node


def clip(graph: Graph, tensor: Tensor) -> Clip | None:
    """Reads `clip_by_value`, which is one op or a Minimum and a Maximum."""
    node = behind(graph, tensor)
    if node.op == "ClipByValue":
        low, high = (scalar(graph, bound) for bound in node.inputs[1:3])
        if low is not None and high is not None:
            return Clip(skip(graph, node.inputs[0]), low, high, node)
    outer = _bounded(graph, tensor)
    inner = _bounded(graph, outer[1]) if outer else None
    if outer is None or inner is None or {outer[0], inner[0]} != {"Minimum", "Maximum"}:
        return None
    bounds = {outer[0]: outer[2], inner[0]: inner[2]}
    return Clip(inner[1], bounds["Maximum"], bounds["Minimum"], node)


def _bounded(graph: Graph, tensor: Tensor) -> tuple[str, Tensor, float] | None:
    node = behind(graph, tensor)
    if node.op not in ("Minimum", "Maximum"):
        return None
    for value, bound in (node.inputs, node.inputs[::-1]):
        number = scalar(graph, bound)
        if number is not None:
            return node.op, skip(graph, value), number
    return None


def complement(graph: Graph, tensor: Tensor) -> Tensor | None:
    """x of 1 - x, however it is written."""
    node = behind(graph, tensor)
    if node.op == "Sub" and scalar(graph, node.inputs[0]) == 1.0:
        return skip(graph, node.inputs[1])
    if node.op not in ADD_OPS or len(node.inputs) != 2:
        return None
    for one, negated in (node.inputs, node.inputs[::-1]):
        if scalar(graph, one) == 1.0:
            return _negated(graph, negated)
    return None


def _negated(graph: Graph, tensor: Tensor) -> Tensor | None:
    node = behind(graph, tensor)
    if node.op == "Neg":
        return skip(graph, node.inputs[0])
    for sign, argument in factors(graph, tensor):
        if scalar(graph, sign) == -1.0:
            return argument
    return None


def dropout(graph: Graph, tensor: Tensor) -> Tensor | None:
    """What went into a dropout, if the tensor is the output of one.

    TensorFlow 1.0 to 1.12 computes x / keep * floor(keep + random), later ones
    x * scale * cast(random >= rate); `tf.layers.dropout` does so, or not, in a `cond`.
    """
    node = graph.producer(tensor)
    if node.op == "Mul":
        return _undropped(graph, node)
    if node.op == "Merge" and len(node.inputs) == 2:
        for dropped, passed in (node.inputs, node.inputs[::-1]):
            product = behind(graph, dropped)
            before = _undropped(graph, product) if product.op == "Mul" else None
            whole = skip(graph, passed, COPY_OPS | BRANCH_OPS)
            if before and skip(graph, before, COPY_OPS | BRANCH_OPS) == whole:
                return whole
    return None


def _undropped(graph: Graph, product: Node) -> Tensor | None:
    kept, mask, *_ = product.inputs
    if not _is_mask(graph, mask):
        return None
    scaled = graph.producer(kept)
    if scaled.op in _DIVISIONS:
        return scaled.inputs[0]
    by_scale = scaled.op == "Mul" and behind(graph, scaled.inputs[1]).op in (*_DIVISIONS, "Const")
    return scaled.inputs[0] if by_scale else None


def _is_mask(graph: Graph, tensor: Tensor) -> bool:
    node = behind(graph, tensor)
    if node.op not in ("Floor", "Cast"):
        return False
    compared = behind(graph, node.inputs[0])
    return compared.op in _MASK_OPS[node.op] and _is_random(graph, node.inputs[0])


def _is_random(graph: Graph, tensor: Tensor, depth: int = 6) -> bool:
    node = behind(graph, tensor)
    if node.op.startswith(_RANDOM_OPS):
        return True
    inside = node.op in _RANDOM_ARITHMETIC and depth > 0
    return inside and any(_is_random(graph, operand, depth - 1) for operand in node.inputs)
