"""A part of a legacy graph, cut out and frozen so that it can be run by itself.

Values are fed where the graph is cut, variables become constants with the values of the
checkpoint, dropout is taken out, devices are forgotten. Nothing of the legacy graph is run that
is not on a list of ops known to compute and do nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.readers.metagraph import VARIABLE_OPS, Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import READ_OPS, dropout, skip

Load = Callable[[str], Array]
"""Reads one tensor of the checkpoint by name."""

_HARMLESS = """
    Abs Add AddN AddV2 All Any BatchMatMul BatchMatMulV2 BiasAdd Cast Ceil ClipByValue Cos Div
    DivNoNan Elu Equal Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Inv Less LessEqual Log
    Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max Maximum Mean Min Minimum Mod Mul
    Neg NotEqual Pow Prod RealDiv Reciprocal Relu Relu6 Round Rsqrt Selu Sigmoid Sign Sin Softmax
    Softplus Softsign Sqrt Square SquaredDifference Sub Sum Tanh TruncateDiv

    BroadcastTo Concat ConcatOffset ConcatV2 Const ExpandDims Fill Gather GatherNd GatherV2
    Identity OneHot OnesLike Pack Pad PadV2 PreventGradient Range Rank ReadVariableOp Reshape
    Reverse ReverseSequence ReverseV2 Select SelectV2 Shape ShapeN Size Slice Snapshot Split SplitV
    Squeeze StopGradient StridedSlice Tile Transpose Unpack Where ZerosLike

    BlockLSTM BlockLSTMV2 GRUBlockCell LSTMBlockCell

    TensorArrayV2 TensorArrayGatherV2 TensorArrayReadV2 TensorArrayScatterV2 TensorArraySizeV2
    TensorArrayV3 TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArrayWriteV2 TensorArrayWriteV3

    Assert Enter Exit LoopCond Merge NextIteration NoOp RefEnter RefSwitch Switch
"""
HARMLESS_OPS = frozenset(_HARMLESS.split())
"""Ops that compute, and touch no file, network, Python or variable."""

_LOOP_OPS = frozenset({"Exit", "LoopCond", "Merge", "NextIteration"})
_VALUE_OPS = {"RefEnter": "Enter", "RefSwitch": "Switch", "ReadVariableOp": "Identity"}
_PASSING_OPS = frozenset({"Enter", "RefEnter", "Switch", "RefSwitch"})
_FLOAT = 1


@dataclasses.dataclass(frozen=True)
class Cut:
    """Where a value is fed into the graph.

    Attributes:
      name: Of the placeholder.
      tensor: What the fed value stands for.
      shape: Of what will be fed, -1 for any size.
      into: The one node that gets the fed value; None for every use of the tensor.
      position: Which input of that node gets it; None for every one that is the tensor.
      dtype: TensorFlow's number of the type.
    """

    name: str
    tensor: Tensor
    shape: tuple[int, ...]
    into: str | None = None
    position: int | None = None
    dtype: int = _FLOAT


def extract(
    graph: Graph,
    fetches: Iterable[Tensor],
    cuts: Sequence[Cut],
    load: Load,
    as_function: bool = False,
) -> Any:
    """Cuts out what is needed to compute tensors.

    Args:
      graph: The legacy graph.
      fetches: What will be asked for; the nodes keep their names.
      cuts: What will be fed.
      load: Reads the values of the variables that are needed, and of no others.
      as_function: Whether to take the body of a loop, or a branch, out as a function: what
        brings values in hands them on, and nothing waits for anything.

    Returns:
      A GraphDef, with placeholders of the cuts' names.

    Raises:
      UnsupportedError: Something on the way is not known to be harmless, is random, or, in a
        function, goes round a loop.
    """
    cutting = _Cutting(graph, cuts, as_function)
    nodes = list(cutting.needed(fetches))
    allowed = HARMLESS_OPS - _LOOP_OPS if as_function else HARMLESS_OPS
    foreign = [node for node in nodes if node.op not in allowed | VARIABLE_OPS]
    raise_all(UnsupportedError, [_harmful(graph, node) for node in foreign[:8]])
    definition = _definition(graph)
    for cut in cuts:
        placeholder = definition.node.add(name=cut.name, op="Placeholder")
        placeholder.attr["dtype"].type = cut.dtype
        for size in cut.shape:
            placeholder.attr["shape"].shape.dim.add(size=size)
    for node in nodes:
        if node.op in VARIABLE_OPS:
            _write_value(graph, node, definition.node.add(), _value(graph, node, load))
        else:
            cutting.write(node, definition.node.add())
    return definition


def extract_shapes(graph: Graph, tensor: Tensor) -> Any | None:
    """What a tensor is computed of, without values, to infer its shape; None if not harmless."""
    cutting = _Cutting(graph, (), False)
    nodes = list(cutting.needed([tensor]))
    if any(node.op not in HARMLESS_OPS | VARIABLE_OPS | {"Placeholder"} for node in nodes):
        return None
    definition = _definition(graph)
    for node in nodes:
        cutting.write(node, definition.node.add())
    return definition


def _definition(graph: Graph) -> Any:
    definition = type(graph.definition)()
    # Some ops compute something else for the producers of old graphs.
    definition.versions.CopyFrom(graph.definition.versions)
    return definition


class _Cutting:
    """The graph as it is once it has been cut."""

    def __init__(self, graph: Graph, cuts: Sequence[Cut], as_function: bool) -> None:
        self._graph = graph
        self._as_function = as_function
        self._names = {(cut.tensor, cut.into, cut.position): cut.name for cut in cuts}

    def needed(self, fetches: Iterable[Tensor]) -> Iterator[Node]:
        """Every node that has to run, each once."""
        seen: set[str] = set()
        rest = [tensor.node for tensor in fetches]
        while rest:
            name = rest.pop()
            if name not in seen:
                seen.add(name)
                node = self._graph.nodes[name]
                yield node
                inputs = enumerate(self._inputs(node))
                rest += [tensor.node for i, tensor in inputs if not self._fed(tensor, node, i)]
                rest += self._controls(node)

    def write(self, node: Node, proto: Any) -> None:
        """Writes a node as it is in the cut graph, without device and notes of other tools."""
        proto.name = node.name
        proto.op = "Identity" if self._passes(node) else _VALUE_OPS.get(node.op, node.op)
        inputs = enumerate(self._inputs(node))
        proto.input.extend(self._reference(tensor, node, i) for i, tensor in inputs)
        proto.input.extend(f"^{name}" for name in self._controls(node))
        if proto.op in ("Identity", "Enter", "Switch"):
            proto.attr["T"].type = self._type(node)
        if proto.op != "Identity":
            for name, value in node.proto.attr.items():
                if not name.startswith("_") and name not in proto.attr:
                    proto.attr[name].CopyFrom(value)

    def _inputs(self, node: Node) -> tuple[Tensor, ...]:
        undropped = dropout(self._graph, Tensor(node.name))
        if undropped is not None:
            return (undropped,)
        return node.inputs[:1] if self._passes(node) else node.inputs

    def _passes(self, node: Node) -> bool:
        """Whether a node hands its input on as it is: dropout, and the way into a body."""
        if self._as_function and node.op in _PASSING_OPS:
            return True
        return dropout(self._graph, Tensor(node.name)) is not None

    def _controls(self, node: Node) -> tuple[str, ...]:
        return () if self._as_function else node.controls

    def _fed(self, tensor: Tensor, user: Node, position: int) -> str | None:
        places = ((user.name, position), (user.name, None), (None, None))
        names = (self._names.get((tensor, *place)) for place in places)
        return next(filter(None, names), None)

    def _reference(self, tensor: Tensor, user: Node, position: int) -> str:
        if name := self._fed(tensor, user, position):
            return name
        return tensor.node if self._passes(self._graph.producer(tensor)) else tensor.as_input

    def _type(self, node: Node) -> int:
        """Type of what a node hands on: of a variable, the type of its value."""
        source = self._graph.producer(skip(self._graph, Tensor(node.name), READ_OPS))
        return int(source.attr("dtype") if source.op in VARIABLE_OPS else node.attr("T"))


def _value(graph: Graph, variable: Node, load: Load) -> Array:
    """The value of a variable in the checkpoint."""
    part = graph.parts.get(variable.name)
    return load(part.name)[part.ranges] if part else load(graph.keys[variable.name])


def _write_value(graph: Graph, node: Node, proto: Any, value: Array) -> None:
    """Writes a variable as a constant."""
    from tensorflow.python.framework import tensor_util

    shape = node.attr("shape")
    expected = [d.size for d in shape.dim] if shape is not None else list(value.shape)
    if expected != list(value.shape):
        raise UnsupportedError(
            Problem(
                where=graph.describe(node),
                expected=f"a variable of shape {expected}, as the graph says",
                received=f"shape {list(value.shape)} in the checkpoint",
                remedy="put the .meta beside the checkpoint that was saved with it",
            )
        )
    proto.name, proto.op = node.name, "Const"
    proto.attr["dtype"].type = node.attr("dtype")
    proto.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))


def _harmful(graph: Graph, node: Node) -> Problem:
    received = f"the op {node.op}"
    if node.op.startswith("Placeholder"):
        received = "a placeholder that would have to be fed"
    elif node.op in _LOOP_OPS:
        received = f"{node.op}, so that a step depends on another variable of its loop"
    return Problem(
        where=graph.describe(node),
        expected="ops that compute and do nothing else (no file, no network, no Python, no chance) "
        "between inputs and outputs of the recurrent part",
        received=received,
        remedy="verify against recorded outputs of the legacy model, with --golden",
    )
