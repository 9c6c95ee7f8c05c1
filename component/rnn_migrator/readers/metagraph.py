"""The MetaGraph beside a TensorFlow 1 checkpoint, as a graph that can be walked."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError
from rnn_migrator.readers.graph_checks import defects
from rnn_migrator.readers.protobuf import parse

SIZE_LIMIT = 1 << 30
"""Bytes of the largest MetaGraph that is read."""

CONSTANT_LIMIT = 1 << 16
"""Elements of the largest constant that is decoded: a few bytes can claim gigabytes."""

VARIABLE_OPS = frozenset({"Variable", "VariableV2", "VarHandleOp"})
_ASSIGN_OPS = frozenset({"Assign", "AssignVariableOp"})
_RESTORE_OPS = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
_RANGE = re.compile(r"-|\d{1,18},\d{1,18}")
_NONE = (None, None, None)


class Tensor(NamedTuple):
    """One output of a node."""

    node: str
    port: int = 0

    def __str__(self) -> str:
        return f"{self.node}:{self.port}"

    @property
    def as_input(self) -> str:
        """The tensor as a NodeDef spells its inputs."""
        return f"{self.node}:{self.port}" if self.port else self.node


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A node of the graph.

    Attributes:
      name: Name in the graph.
      op: Type of the operation.
      inputs: What it computes with, in the order of the op.
      controls: Names of the nodes that have to run before it.
      proto: The NodeDef itself.
    """

    name: str
    op: str
    inputs: tuple[Tensor, ...]
    controls: tuple[str, ...]
    proto: Any

    @property
    def base_op(self) -> str:
        """The op without its version: `TensorArrayRead` for `TensorArrayReadV3`."""
        return re.sub(r"V\d$", "", self.op)

    def attr(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; strings as text, lists and shapes as protobuf."""
        if name not in self.proto.attr:
            return default
        value = self.proto.attr[name]
        kind = value.WhichOneof("value")
        if kind is None:
            return default
        found = getattr(value, kind)
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


class Part(NamedTuple):
    """What a partitioned variable is a part of in the checkpoint, and its range on each axis."""

    name: str
    ranges: tuple[slice, ...]


class Use(NamedTuple):
    """One place where a tensor is used: the node, and which of its inputs."""

    node: Node
    position: int


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A legacy graph; nothing in it has been run.

    Attributes:
      path: The file.
      nodes: Nodes by name, in file order.
      variables: Variable node by its name in the checkpoint.
      tensorflow_version: Release that wrote the file ("" if it does not say).
      definition: The GraphDef, with its versions.
      parts: What partitioned variables are parts of, by variable node. In `variables` they go by
        names of their own, which are not in the checkpoint.
    """

    path: Path
    nodes: Mapping[str, Node]
    variables: Mapping[str, str]
    tensorflow_version: str
    definition: Any
    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)

    def producer(self, tensor: Tensor) -> Node:
        """The node that computes a tensor."""
        return self.nodes[tensor.node]

    def consumers(self, tensor: Tensor) -> tuple[Use, ...]:
        """Where a tensor is used, in file order."""
        return self._uses.get(tensor, ())

    def with_op(self, *ops: str) -> Iterator[Node]:
        """The nodes of these ops in any version of them, in file order."""
        return (node for node in self.nodes.values() if node.base_op in ops)

    def value(self, node: Node) -> Array | None:
        """The value of a `Const` node, None for other nodes and for very large constants."""
        if node.op != "Const" or "value" not in node.proto.attr:
            return None
        from tensorflow.python.framework import tensor_util

        tensor = node.proto.attr["value"].tensor
        size = 1
        for dimension in tensor.tensor_shape.dim:
            size *= max(dimension.size, 0)
        if size > CONSTANT_LIMIT:
            return None
        try:
            array: Array = tensor_util.MakeNdarray(tensor)
        except (TypeError, ValueError, KeyError) as e:
            raise _unreadable(self.path, f"constant {node.name} cannot be decoded: {e}") from e
        return array

    def variable_shape(self, key: str) -> tuple[int, ...]:
        """Shape of a variable by its name in the checkpoint; -1 where the graph leaves it open."""
        shape = self.nodes[self.variables[key]].attr("shape")
        return tuple(dimension.size for dimension in shape.dim) if shape is not None else ()

    def describe(self, node: Node | Tensor) -> str:
        """The place of a node, for a person to look it up."""
        name = node.name if isinstance(node, Node) else node.node
        return f"{name} in {self.path.name}"

    @functools.cached_property
    def keys(self) -> Mapping[str, str]:
        """Name in the checkpoint by variable node."""
        return {node: key for key, node in self.variables.items()}

    @functools.cached_property
    def _uses(self) -> Mapping[Tensor, tuple[Use, ...]]:
        uses: dict[Tensor, list[Use]] = defaultdict(list)
        for node in self.nodes.values():
            for index, tensor in enumerate(node.inputs):
                uses[tensor].append(Use(node, index))
        return {tensor: tuple(found) for tensor, found in uses.items()}


def read_metagraph(path: Path | str) -> Graph:
    """Reads a MetaGraph file, such as `model.ckpt.meta`.

    Raises:
      UnreadableError: The file is missing, too large, cut short, or its nodes do not fit together.
    """
    path = Path(path)
    meta = _parse(path)
    nodes: dict[str, Node] = {}
    for proto in meta.graph_def.node:
        if proto.name in nodes:
            raise _unreadable(path, f"two nodes of the name {proto.name!r}")
        nodes[proto.name] = _node(path, proto)
    if not nodes:
        raise _unreadable(path, "a MetaGraph without nodes")
    for defect in defects(nodes):
        raise _unreadable(path, defect)
    graph = Graph(path, nodes, {}, meta.meta_info_def.tensorflow_version, meta.graph_def)
    restored = list(_restored(graph, meta.saver_def.filename_tensor_name))
    parts = {r.node: Part(r.name, r.ranges) for r in restored if r.ranges}
    return dataclasses.replace(graph, variables=_variables(graph, restored), parts=parts)


def _parse(path: Path) -> Any:
    from tensorflow.core.protobuf import meta_graph_pb2

    try:
        size = path.stat().st_size
        if size > SIZE_LIMIT:
            raise _unreadable(path, f"{size} bytes, more than the limit of {SIZE_LIMIT}")
        return parse(meta_graph_pb2.MetaGraphDef, path.read_bytes())
    except OSError as e:
        raise _unreadable(path, f"no readable file ({e.strerror})") from e
    except ValueError as e:
        raise _unreadable(path, f"bytes that are no MetaGraph ({e})") from e


def _node(path: Path, proto: Any) -> Node:
    data = [name for name in proto.input if not name.startswith("^")]
    controls = tuple(name.removeprefix("^") for name in proto.input if name.startswith("^"))
    return Node(proto.name, proto.op, tuple(_tensor(path, n) for n in data), controls, proto)


def _tensor(path: Path, text: str) -> Tensor:
    name, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit()):
        raise _unreadable(path, f"an input named {text!r}")
    return Tensor(name, int(port) if colon else 0)


class _Restored(NamedTuple):
    """A tensor of the checkpoint, and the variable that gets it, or a part of it."""

    name: str
    node: str
    ranges: tuple[slice, ...]


def _variables(graph: Graph, restored: Iterable[_Restored]) -> dict[str, str]:
    """Variables by the names under which the graph's own Saver restores them.

    A variable that this Saver leaves out, or gives a part of a tensor, goes by its own name.
    """
    whole = {found.name: found.node for found in restored if not found.ranges}
    own = {n.name: n.name for n in graph.nodes.values() if n.op in VARIABLE_OPS}
    taken = set(whole.values())
    return {key: name for key, name in own.items() if name not in taken} | whole


def _restored(graph: Graph, filename: str) -> Iterator[_Restored]:
    """What the Saver that reads a file name restores."""
    for restore in graph.nodes.values():
        if restore.op not in _RESTORE_OPS or filename not in map(str, restore.inputs[:1]):
            continue
        names, slices = (_texts(graph, tensor) for tensor in (*restore.inputs, *_NONE)[1:3])
        for port, name in enumerate(names):
            ranges = _ranges(slices[port]) if port < len(slices) else ()
            for use in _assignments(graph, Tensor(restore.name, port)):
                yield _Restored(name, use.node.inputs[0].node, ranges)


def _texts(graph: Graph, tensor: Tensor | None) -> list[str]:
    """The texts of a constant; none if it is no constant."""
    value = graph.value(graph.producer(tensor)) if tensor else None
    if value is None or value.dtype.kind != "O":
        return []
    return [text.decode("utf-8", "replace") for text in value.reshape(-1)]


def _ranges(text: str) -> tuple[slice, ...]:
    """The ranges of a part, as a Saver writes them: "8 20 0,4:-" is rows 0 to 3 of [8, 20]."""
    axes = text.split(" ")[-1].split(":") if text else []
    if not all(_RANGE.fullmatch(axis) for axis in axes):
        return ()
    numbers = [[int(number) for number in axis.split(",")] if axis != "-" else [] for axis in axes]
    return tuple(slice(n[0], n[0] + n[1]) if n else slice(None) for n in numbers)


def _assignments(graph: Graph, tensor: Tensor) -> Iterator[Use]:
    """The assignments of a restored value; a resource variable takes it through an Identity."""
    uses = graph.consumers(tensor)
    copies = [Tensor(use.node.name) for use in uses if use.node.op == "Identity"]
    for use in (*uses, *(use for copy in copies for use in graph.consumers(copy))):
        if use.node.op in _ASSIGN_OPS and use.position == 1:
            yield use


def _unreadable(path: Path, received: str) -> UnreadableError:
    return UnreadableError(
        Problem(
            where=str(path),
            expected="a whole MetaGraph, as tf.train.Saver writes it beside a checkpoint",
            received=received,
            remedy="copy the .meta again from where the model was trained, or move it away to "
            "convert the checkpoint without it",
        )
    )
