"""Whether the nodes of a graph are what their ops say: inputs, outputs, attributes.

A graph out of a file may say anything. Once it has passed here, whoever walks it can count on an
op's inputs and attributes to be there and of the right kind. Ops that this TensorFlow does not
know are let through; nobody reads them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnn_migrator.readers.metagraph import Node

_KINDS = {
    "int": "i",
    "float": "f",
    "bool": "b",
    "string": "s",
    "type": "type",
    "shape": "shape",
    "tensor": "tensor",
    "func": "func",
}


@dataclasses.dataclass(frozen=True)
class _Signature:
    """What an op wants of its nodes.

    Attributes:
      inputs: For each argument, the attribute that counts its tensors, "" for exactly one.
      outputs: The same of the results.
      kinds: Kind of every attribute, as an AttrValue names it.
      least: Smallest value, for attributes that have one.
      required: Attributes without a default.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kinds: Mapping[str, str]
    least: Mapping[str, int]
    required: frozenset[str]


@functools.lru_cache(maxsize=1024)
def _signature(op: str) -> _Signature | None:
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op)
    if definition is None:
        return None
    attributes = definition.attr
    return _Signature(
        inputs=tuple(arg.number_attr or arg.type_list_attr for arg in definition.input_arg),
        outputs=tuple(arg.number_attr or arg.type_list_attr for arg in definition.output_arg),
        kinds={a.name: _KINDS.get(a.type, "list") for a in attributes},
        least={a.name: a.minimum for a in attributes if a.has_minimum and a.type == "int"},
        required=frozenset(a.name for a in attributes if not a.HasField("default_value")),
    )


def defects(nodes: Mapping[str, Node]) -> Iterator[str]:
    """Everything in which nodes contradict their ops or each other, in words.

    Args:
      nodes: By name.
    """
    for node in nodes.values():
        signature = _signature(node.op)
        if signature:
            yield from _own_defects(node, signature)
        for name in node.controls:
            if name not in nodes:
                yield f"node {node.name} waits for {name!r}, which does not exist"
        for tensor in node.inputs:
            if tensor.node not in nodes:
                yield f"node {node.name} reads {tensor.node!r}, which does not exist"
            elif tensor.port >= _outputs(nodes[tensor.node]):
                yield f"node {node.name} reads {tensor}, which has no such output"


def _own_defects(node: Node, signature: _Signature) -> Iterator[str]:
    for name in signature.required - set(node.proto.attr):
        yield f"node {node.name}, a {node.op} without attribute {name}"
    wrong = [name for name in signature.kinds if _is_wrong(node, name, signature)]
    for name in wrong:
        yield f"node {node.name}, a {node.op} with a wrong attribute {name}"
    if not wrong and len(node.inputs) != _count(node, signature.inputs):
        yield f"node {node.name}, a {node.op} of {len(node.inputs)} inputs"


def _is_wrong(node: Node, name: str, signature: _Signature) -> bool:
    if name not in node.proto.attr:
        return False
    if node.proto.attr[name].WhichOneof("value") != signature.kinds[name]:
        return True
    return name in signature.least and node.attr(name) < signature.least[name]


def _outputs(node: Node) -> float:
    signature = _signature(node.op)
    return _count(node, signature.outputs) if signature else float("inf")


def _count(node: Node, counted_by: Iterable[str]) -> int:
    """Number of tensors of all arguments or results."""
    return sum(_length(node.attr(name, 1)) if name else 1 for name in counted_by)


def _length(value: Any) -> int:
    return value if isinstance(value, int) else len(getattr(value, "type", ()))
