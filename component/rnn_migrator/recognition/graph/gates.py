"""One gate: an activation of a sum of matrix products, biases and constants."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import (
    activation,
    behind,
    factors,
    scalar,
    skip,
    summands,
    variable,
)


class Product(NamedTuple):
    """`left @ variable`."""

    left: Tensor
    variable: str


class Block(NamedTuple):
    """One of the equal blocks of columns that a split makes of a fused product."""

    split: str
    number: int


class Peephole(NamedTuple):
    """`variable * state`, added before the activation."""

    variable: str
    state: Tensor


class Constant(NamedTuple):
    """A number that is added before the activation, and the node that states it."""

    value: float
    node: Node


@dataclasses.dataclass(eq=False)
class Gate:
    """A gate as the graph computes it.

    Attributes:
      node: What computes the gate's value: its activation.
      activation: Its name, "linear" for none.
      block: Which columns of the products are the gate's, None for all of them.
      products: Products with variables; one for a kernel of [x, h], two for one kernel each.
      biases: Variables that are added.
      constants: Numbers that are added.
      peepholes: Products with the cell state.
      others: Terms of the sum that are none of these.
    """

    node: Node
    activation: str
    block: Block | None = None
    products: list[Product] = dataclasses.field(default_factory=list)
    biases: list[str] = dataclasses.field(default_factory=list)
    constants: list[Constant] = dataclasses.field(default_factory=list)
    peepholes: list[Peephole] = dataclasses.field(default_factory=list)
    others: list[Tensor] = dataclasses.field(default_factory=list)

    @property
    def matrices(self) -> tuple[str, ...]:
        """The variables that are multiplied with the input and the state."""
        return tuple(product.variable for product in self.products)

    @property
    def lefts(self) -> tuple[Tensor, ...]:
        """What those variables are multiplied with."""
        return tuple(product.left for product in self.products)

    @property
    def added(self) -> float:
        """Sum of the constants."""
        return float(sum(found.value for found in self.constants))


def read_gate(graph: Graph, tensor: Tensor) -> Gate | None:
    """Reads the gate whose value a tensor is, None if no matrix of variables is multiplied in it.

    The split into gates may come before the activation (LSTMCell) or after it (GRUCell).
    """
    whole, block = _unsplit(graph, tensor)
    name, argument = activation(graph, whole)
    gate = Gate(behind(graph, whole), name, block)
    for term in summands(graph, argument):
        fused, inner = _unsplit(graph, term)
        if inner and gate.block is None:
            gate.block = inner
            for part in summands(graph, fused):
                _add_term(graph, gate, part)
        else:
            _add_term(graph, gate, term)
    return gate if gate.products else None


def _add_term(graph: Graph, gate: Gate, term: Tensor) -> None:
    if product := read_product(graph, term):
        gate.products.append(product)
    elif bias := variable(graph, term):
        gate.biases.append(bias)
    elif (number := scalar(graph, term)) is not None:
        gate.constants.append(Constant(number, behind(graph, term)))
    elif peephole := _peephole(graph, term):
        gate.peepholes.append(peephole)
    else:
        gate.others.append(term)


def read_product(graph: Graph, tensor: Tensor) -> Product | None:
    """Reads `left @ variable`; a transposed product, which gradients use, is none."""
    node = behind(graph, tensor)
    if node.op != "MatMul" or node.attr("transpose_a") or node.attr("transpose_b"):
        return None
    left, right, *_ = node.inputs
    name = variable(graph, right)
    return Product(skip(graph, left), name) if name else None


def joined(graph: Graph, tensor: Tensor) -> tuple[Tensor, ...]:
    """The parts of a concatenation, or the tensor alone."""
    node = behind(graph, tensor)
    if node.op == "ConcatV2":
        *parts, _axis = node.inputs
    elif node.op == "Concat":
        _axis, *parts = node.inputs
    else:
        parts = [tensor]
    return tuple(skip(graph, part) for part in parts)


def _unsplit(graph: Graph, tensor: Tensor) -> tuple[Tensor, Block | None]:
    """The tensor of which this one is a block of columns, and which block."""
    tensor = skip(graph, tensor)
    node = graph.producer(tensor)
    if node.op == "Split":
        axis, fused, *_ = node.inputs
    elif node.op == "SplitV":
        fused, sizes, axis, *_ = node.inputs
        if scalar(graph, sizes) is None:
            return tensor, None
    else:
        return tensor, None
    if scalar(graph, axis) not in (1, -1):
        return tensor, None
    return skip(graph, fused), Block(node.name, tensor.port)


def _peephole(graph: Graph, term: Tensor) -> Peephole | None:
    for diagonal, state in factors(graph, term):
        if name := variable(graph, diagonal):
            return Peephole(name, state)
    return None
