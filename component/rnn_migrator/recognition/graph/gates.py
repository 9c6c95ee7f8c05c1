"""One gate: an activation of a sum of matrix products, biases and constants."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import (
    Names,
    activation,
    behind,
    dropout,
    factors,
    scalar,
    skip,
    summands,
    variables,
)
from rnn_migrator.recognition.graph.norms import LayerNorm, layer_norm


class Product(NamedTuple):
    """`left @ matrix`."""

    left: Tensor
    matrix: Names


class Block(NamedTuple):
    """One of the equal blocks of columns that a split makes of a fused product."""

    split: str
    number: int


class Peephole(NamedTuple):
    """`variable * state`, added before the activation."""

    variable: Names
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
      recurrent_biases: Variables that are added to the product with the state alone, where a
        reset gate acts on that sum.
      norm: Normalisation of the products; what else is added, is added after it.
      constants: Numbers that are added.
      peepholes: Products with the cell state.
      others: Terms of the sum that are none of these.
    """

    node: Node
    activation: str
    block: Block | None = None
    products: list[Product] = dataclasses.field(default_factory=list)
    biases: list[Names] = dataclasses.field(default_factory=list)
    recurrent_biases: list[Names] = dataclasses.field(default_factory=list)
    norm: LayerNorm | None = None
    constants: list[Constant] = dataclasses.field(default_factory=list)
    peepholes: list[Peephole] = dataclasses.field(default_factory=list)
    others: list[Tensor] = dataclasses.field(default_factory=list)

    @property
    def matrices(self) -> tuple[Names, ...]:
        """The matrices that the input and the state are multiplied with."""
        return tuple(product.matrix for product in self.products)

    @property
    def lefts(self) -> tuple[Tensor, ...]:
        """What those matrices are multiplied with."""
        return tuple(product.left for product in self.products)

    @property
    def added(self) -> float:
        """Sum of the constants."""
        return float(sum(found.value for found in self.constants))


def read_gate(graph: Graph, tensor: Tensor) -> Gate | None:
    """Reads the gate whose value a tensor is, None if no matrix of variables is multiplied in it.

    The split into gates may come before the activation (LSTMCell) or after it (GRUCell). Dropout
    of the value is none of the gate's business.
    """
    tensor = dropout(graph, skip(graph, tensor)) or tensor
    whole, block = _unsplit(graph, tensor)
    name, argument = activation(graph, whole)
    gate = Gate(behind(graph, whole), name, block)
    terms = summands(graph, argument, lambda term: layer_norm(graph, term) is not None)
    gate.norm = next(filter(None, (layer_norm(graph, term) for term in terms)), None)
    for term in terms:
        if gate.norm and layer_norm(graph, term) == gate.norm:
            for part in _parts(graph, gate, gate.norm.argument):
                _add_term(graph, gate, part, after_norm=False)
        else:
            for part in _parts(graph, gate, term):
                _add_term(graph, gate, part, before_norm=not gate.norm)
    return gate if gate.products else None


def _parts(graph: Graph, gate: Gate, term: Tensor) -> tuple[Tensor, ...]:
    """The terms of a sum of which a term is the gate's block of columns, or the term alone."""
    fused, block = _unsplit(graph, term)
    if block is None or gate.block is not None:
        return (term,)
    gate.block = block
    return summands(graph, fused)


def _add_term(
    graph: Graph, gate: Gate, term: Tensor, before_norm: bool = True, after_norm: bool = True
) -> None:
    """Adds a term of what a normalisation takes, of what is added to its result, or of both."""
    if before_norm and (product := read_product(graph, term)):
        gate.products.append(product)
    elif before_norm and (bias := variables(graph, term)):
        gate.biases.append(bias)
    elif after_norm and (number := scalar(graph, term)) is not None:
        gate.constants.append(Constant(number, behind(graph, term)))
    elif after_norm and (peephole := _peephole(graph, term)):
        gate.peepholes.append(peephole)
    else:
        gate.others.append(term)


def read_product(graph: Graph, tensor: Tensor) -> Product | None:
    """Reads `left @ matrix`; a transposed product, which gradients use, is none."""
    node = behind(graph, tensor)
    if node.op != "MatMul" or node.attr("transpose_a") or node.attr("transpose_b"):
        return None
    left, right, *_ = node.inputs
    names = variables(graph, right)
    return Product(skip(graph, left), names) if names else None


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
        if names := variables(graph, diagonal):
            return Peephole(names, state)
    return None
