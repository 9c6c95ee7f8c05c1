r"""What is between the steps: loops, sequences taken apart and put together, lengths.

A while loop of TensorFlow 1 keeps each of its variables in a ring of nodes,

    initial -> Enter -> Merge -> Switch -> (body) -> NextIteration -> Merge
                                     \-> Exit -> final

and takes its sequences apart with a TensorArray: Scatter outside, Read inside, Write inside,
Gather outside. Without a loop, the states of one step are simply the inputs of the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator
from typing import NamedTuple

from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import (
    BRANCH_OPS,
    COPY_OPS,
    READ_OPS,
    behind,
    constant,
    dropout,
    factors,
    joined,
    joined_axis,
    scalar,
    skip,
)

_SELECTS = ("Select", "SelectV2")
_COMPARISONS = ("GreaterEqual", "Greater", "Less", "LessEqual")
_SHAPE_OPS = frozenset({"Cast", "ExpandDims", "Reshape", "Tile", "Transpose"})
_SLICES = ("Slice", "StridedSlice")
_MOST_STEPS = 64
_MOST_PARTS = 4


@dataclasses.dataclass(frozen=True)
class LoopVariable:
    """A variable of a while loop.

    Attributes:
      enter: The node that brings the initial value in.
      exit: The node that holds the final value.
      following: What the body computes as the next value.
    """

    enter: Node
    exit: Node
    following: Tensor


def loop_variable(graph: Graph, tensor: Tensor) -> LoopVariable | None:
    """The loop variable whose value in the body a tensor is."""
    switch = behind(graph, tensor)
    if switch.op not in BRANCH_OPS:
        return None
    merge = graph.producer(switch.inputs[0])
    ring = {graph.producer(source).op: graph.producer(source) for source in merge.inputs}
    ring |= {use.node.op: use.node for use in graph.consumers(Tensor(switch.name))}
    if merge.op != "Merge" or not {"Enter", "NextIteration", "Exit"} <= ring.keys():
        return None
    return LoopVariable(ring["Enter"], ring["Exit"], ring["NextIteration"].inputs[0])


def following(graph: Graph, state: Tensor) -> Tensor | None:
    """What a state of a loop becomes at the end of the step; None outside of loops."""
    found = _found_in(graph, state)
    if found is None:
        return None
    wholes = carriers(graph, found.variable.following)
    parts = (_same_part(graph, whole, found.path) for whole in wholes)
    return next((part for part in parts if part), None)


def initial(graph: Graph, state: Tensor) -> Tensor:
    """What a state of a loop begins with; outside of loops, the state itself."""
    found = _found_in(graph, state)
    if found is None:
        return skip(graph, state, READ_OPS)
    whole = skip(graph, found.variable.enter.inputs[0])
    return _same_part(graph, whole, found.path) or whole


class _Place(NamedTuple):
    """A loop variable, and the number of a part of it, of a part of that, and so on."""

    variable: LoopVariable
    path: tuple[int, ...] = ()


def _found_in(graph: Graph, state: Tensor) -> _Place | None:
    """Where a loop keeps a state: whole, in a stack, or in a concatenation, perhaps of more."""
    path: tuple[int, ...] = ()
    for _ in range(_MOST_PARTS):
        if variable := loop_variable(graph, state):
            return _Place(variable, path)
        found = _part(graph, state)
        if found is None:
            return None
        state, number = found
        path = (number, *path)
    return None


def _part(graph: Graph, state: Tensor) -> tuple[Tensor, int] | None:
    """What a tensor is a part of, and its number among the parts."""
    tensor = skip(graph, state)
    node = graph.producer(tensor)
    if node.base_op == "Unpack" or node.op == "SplitV":
        return node.inputs[0], tensor.port
    if node.op == "Split":
        return node.inputs[1], tensor.port
    if node.op not in _SLICES:
        return None
    # Cells slice every part off a concatenation, so that the parts count by where they begin.
    slices = (use.node for use in graph.consumers(node.inputs[0]) if use.node.op in _SLICES)
    begins = {_last(graph, other.inputs[1]) for other in slices}
    begin = _last(graph, node.inputs[1])
    if begin is None or None in begins:
        return None
    return node.inputs[0], sum(other < begin for other in begins if other is not None)


def _last(graph: Graph, tensor: Tensor) -> int | None:
    """The last element of a constant vector of numbers."""
    value = constant(graph, tensor)
    return int(value.reshape(-1)[-1]) if value is not None and value.size else None


def _same_part(graph: Graph, whole: Tensor, path: tuple[int, ...]) -> Tensor | None:
    """The part with these numbers of what is packed or concatenated into a whole."""
    for number in path:
        node = behind(graph, whole)
        parts = node.inputs if node.op == "Pack" else joined(graph, whole)
        if not 0 <= number < len(parts) > 1:
            return None
        whole = parts[number]
    return whole


def carriers(graph: Graph, tensor: Tensor) -> Iterator[Tensor]:
    """A tensor, and those whose values it may carry unchanged where it is not masked.

    Goes back through copies, dropout, `where(done, old, new)`, and both branches of `cond`, but
    not round a loop.
    """
    seen: set[Tensor] = set()
    rest = [tensor]
    while rest:
        tensor = rest.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        yield tensor
        rest += reversed(_carried(graph, tensor))


def _carried(graph: Graph, tensor: Tensor) -> tuple[Tensor, ...]:
    node = graph.producer(tensor)
    if node.op in COPY_OPS or node.op in BRANCH_OPS:
        return node.inputs[:1]
    if node.op in _SELECTS:
        return node.inputs[1:3]
    if node.op == "Merge":
        loops = any(graph.producer(source).op == "NextIteration" for source in node.inputs)
        return () if loops else node.inputs
    if masked := masked_sequence(graph, node):
        return (masked.values,)
    before = dropout(graph, tensor)
    return () if before is None else (before,)


class Masked(NamedTuple):
    """A sequence that is zero past the given lengths."""

    values: Tensor
    lengths: Tensor


def masked_sequence(graph: Graph, node: Node) -> Masked | None:
    """Reads `values * sequence_mask(lengths)`, as `LSTMBlockWrapper` masks its outputs."""
    if node.op == "Mul":
        for values, mask in factors(graph, Tensor(node.name)):
            compared = _unshaped(graph, mask)
            if compared.op == "Less" and _unshaped(graph, compared.inputs[0]).op == "Range":
                return Masked(values, Tensor(_unshaped(graph, compared.inputs[1]).name))
    return None


def _unshaped(graph: Graph, tensor: Tensor) -> Node:
    """The node whose values a tensor holds in another shape or type."""
    return graph.producer(skip(graph, tensor, READ_OPS | _SHAPE_OPS))


def carried_to(graph: Graph, tensor: Tensor) -> set[Tensor]:
    """The tensors that may carry a tensor's values unchanged: `carriers` the other way round."""
    seen: set[Tensor] = set()
    rest = [tensor]
    while rest:
        tensor = rest.pop()
        seen.add(tensor)
        for near in graph.consumers(tensor):
            # Dropout takes two nodes, of which the second has the result.
            later = graph.consumers(Tensor(near.node.name))
            for node in (near.node, *(use.node for use in later)):
                result = Tensor(node.name)
                if result not in seen and tensor in _carried(graph, result):
                    rest.append(result)
    return seen


def lengths(graph: Graph, state: Tensor) -> Tensor | None:
    """The lengths past which a state is kept as it is, as they are before any cast.

    Args:
      graph: The graph.
      state: A state before a step.
    """
    found = _found_in(graph, state)
    for tensor in carriers(graph, found.variable.following if found else state):
        node = graph.producer(tensor)
        condition = skip(graph, node.inputs[0], READ_OPS) if node.op in _SELECTS else tensor
        compared = graph.producer(condition)
        if compared.op in _COMPARISONS:
            for operand in compared.inputs:
                # The other operand is the time: a loop variable, or a constant if unrolled.
                if not loop_variable(graph, operand) and scalar(graph, operand) is None:
                    return skip(graph, operand, READ_OPS | {"Cast"})
    return None


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the input of a step comes from.

    Attributes:
      tensor: The output of another step, or else the first tensor that is computed otherwise.
      time_major: Whether the tensor has its time axis first, of a sequence.
      reversed: Whether time runs backwards between tensor and step.
      sequence: Whether the tensor is a sequence, taken apart by a loop; else one time step.
    """

    tensor: Tensor
    time_major: bool = False
    reversed: bool = False
    sequence: bool = False


def sources(
    graph: Graph, x: Tensor, outputs: Container[Tensor], is_whole: bool = False
) -> list[Source]:
    """Follows the input of a step back, to outputs of other steps or to what is outside.

    Args:
      graph: The graph.
      x: Input of a step.
      outputs: Where to stop: the outputs of all known steps.
      is_whole: Whether the input is a whole sequence, time first, and not one time step.

    Returns:
      One source, or one for each part where outputs of several steps are joined.
    """
    source = _follow(graph, Source(x, time_major=is_whole, sequence=is_whole), outputs)
    parts = joined(graph, source.tensor)
    if len(parts) > 1 and _joins_features(graph, source.tensor):
        found = [_follow(graph, dataclasses.replace(source, tensor=p), outputs) for p in parts]
        if all(part.tensor in outputs for part in found):
            return found
    return [source]


def _follow(graph: Graph, source: Source, outputs: Container[Tensor]) -> Source:
    for _ in range(_MOST_STEPS):
        output = next((t for t in carriers(graph, source.tensor) if t in outputs), None)
        if output is not None:
            return dataclasses.replace(source, tensor=output)
        before = _before(graph, source)
        if before is None:
            break
        source = before
    return source


def _before(graph: Graph, source: Source) -> Source | None:
    """One move back through what leaves the values of a sequence as they are."""
    tensor = skip(graph, source.tensor)
    if (undropped := dropout(graph, tensor)) is not None:
        return dataclasses.replace(source, tensor=undropped)
    node = graph.producer(tensor)
    if node.base_op == "TensorArrayRead":
        scatter = behind(graph, node.inputs[2])
        if scatter.base_op == "TensorArrayScatter":
            return Source(scatter.inputs[2], True, source.reversed, True)
    if node.base_op == "TensorArrayGather" and source.time_major:
        write = written(graph, node)
        return Source(write, False, source.reversed) if write else None
    if swaps_time(graph, node):
        return dataclasses.replace(source, tensor=node.inputs[0], time_major=not source.time_major)
    if node.base_op in ("Reverse", "ReverseSequence"):
        return dataclasses.replace(source, tensor=node.inputs[0], reversed=not source.reversed)
    return None if tensor == source.tensor else dataclasses.replace(source, tensor=tensor)


def swaps_time(graph: Graph, node: Node) -> bool:
    """Whether a node exchanges the first two axes of a sequence."""
    if node.op != "Transpose":
        return False
    order = constant(graph, node.inputs[1])
    return order is not None and [int(axis) for axis in order.reshape(-1)] == [1, 0, 2]


def _joins_features(graph: Graph, tensor: Tensor) -> bool:
    return joined_axis(graph, tensor) in (2, -1)


def written(graph: Graph, gather: Node) -> Tensor | None:
    """What a loop writes, step by step, into the sequence that a node gathers."""
    array = behind(graph, gather.inputs[0])
    for write in graph.with_op("TensorArrayWrite"):
        if behind(graph, write.inputs[0]) is array:
            return write.inputs[2]
    return None


def gathered(graph: Graph, output: Tensor) -> list[Node]:
    """The nodes that gather the outputs of a step into a sequence."""
    return [
        node
        for node in graph.with_op("TensorArrayGather")
        if (write := written(graph, node)) and output in carriers(graph, write)
    ]
