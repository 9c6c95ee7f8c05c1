"""Layer normalisation, read backwards from the sum that gives its result.

    scale = gamma * rsqrt(variance + epsilon)        x * scale + (beta - mean * scale)

Source: `layer_norm`, tensorflow/contrib/layers/python/layers/layers.py, and `moments` and
`batch_normalization`, tensorflow/python/ops/nn_impl.py, 1.0 to 1.15.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.algebra import (
    ADD_OPS,
    COPY_OPS,
    Names,
    behind,
    constant,
    factors,
    scalar,
    skip,
    variables,
)

_INVERSES = ("Inv", "Reciprocal")
_RESHAPED = COPY_OPS | {"Reshape"}

EPSILON = 1e-12
"""What `layer_norm` adds to the variance of float32."""


class LayerNorm(NamedTuple):
    """A tensor normalised over its last axis, scaled and shifted.

    Attributes:
      argument: What is normalised.
      gamma: The variable that scales.
      beta: The variable that is added.
      epsilon: What is added to the variance.
      node: The node that gives the result.
    """

    argument: Tensor
    gamma: Names
    beta: Names
    epsilon: float
    node: Node


def layer_norm(graph: Graph, tensor: Tensor) -> LayerNorm | None:
    """Reads the normalisation whose result a tensor is, None for anything else."""
    for scaled, offset in _pairs(graph, tensor):
        shift = behind(graph, offset)
        beta = variables(graph, shift.inputs[0]) if shift.op == "Sub" else ()
        if not beta:
            continue
        for argument, scale in factors(graph, scaled):
            for mean, other_scale in factors(graph, shift.inputs[1]):
                gamma, variance, epsilon = _scale(graph, scale)
                moments = _Moments(graph, argument, _width(graph, gamma))
                if scale != other_scale or epsilon is None or not moments.is_mean(mean):
                    continue
                if variance and moments.is_variance(variance):
                    return LayerNorm(argument, gamma, beta, epsilon, behind(graph, tensor))
    return None


def _pairs(graph: Graph, tensor: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Both orders of a sum of two."""
    node = behind(graph, tensor)
    if node.op in ADD_OPS and len(node.inputs) == 2:
        yield from itertools.permutations(node.inputs)


def _scale(graph: Graph, tensor: Tensor) -> tuple[Names, Tensor | None, float | None]:
    """gamma, variance and epsilon of a scale; nothing if it is none."""
    for root, gamma in factors(graph, tensor):
        node, names = behind(graph, root), variables(graph, gamma)
        if node.op == "Rsqrt" and names:
            for variance, epsilon in _pairs(graph, node.inputs[0]):
                if (number := scalar(graph, epsilon)) is not None:
                    return names, variance, number
    return (), None, None


def _width(graph: Graph, names: Names) -> int:
    """Number of elements of a vector."""
    return sum(math.prod(graph.variable_shape(name)) for name in names)


@dataclasses.dataclass(frozen=True)
class _Moments:
    """What is a mean and a variance of an argument [batch, width] over its last axis."""

    graph: Graph
    argument: Tensor
    width: int

    def is_mean(self, tensor: Tensor) -> bool:
        """Whether a tensor is the mean, or `mean(argument - mean) + mean`, as in 1.0."""
        return self._is_plain_mean(tensor) or any(
            self._is_distance("Sub", mean)
            and self._is_plain_mean(skip(self.graph, shift, _RESHAPED))
            for mean, shift in _pairs(self.graph, tensor)
        )

    def is_variance(self, tensor: Tensor) -> bool:
        """Whether a tensor is `mean((argument - mean)^2)`, or one of the forms of old releases.

        They are `mean(argument^2) - mean^2` (0.12), and `mean((argument - mean)^2)` less
        `mean(argument - mean)^2` (1.0).
        """
        difference = self._made_by("Sub", tensor)
        if not difference:
            return self._is_distance("SquaredDifference", tensor)
        squares, square = difference
        [root] = self._made_by("Square", square) or [square]
        if root == square:
            return False
        if self._is_distance("Sub", root):
            return self._is_distance("SquaredDifference", squares)
        squared = self._made_by("Square", self._averaged(squares))
        return squared == [self.argument] and self._is_plain_mean(root)

    def _is_plain_mean(self, tensor: Tensor) -> bool:
        return self._averaged(tensor) == self.argument

    def _is_distance(self, op: str, tensor: Tensor) -> bool:
        """Whether a tensor is the mean of the op on the argument and its mean."""
        found = self._made_by(op, self._averaged(tensor))
        return found[:1] == [self.argument] and self._is_plain_mean(found[-1])

    def _made_by(self, op: str, tensor: Tensor | None) -> list[Tensor]:
        """What an op has made a tensor of; nothing if another op has."""
        node = behind(self.graph, tensor) if tensor else None
        found = node.inputs if node and node.op == op else ()
        return [skip(self.graph, operand) for operand in found]

    def _averaged(self, tensor: Tensor) -> Tensor | None:
        """What a tensor is the mean of over the last axis of a matrix, which is kept."""
        node = behind(self.graph, tensor)
        if node.op == "Mul":
            for total, divisor in factors(self.graph, tensor):
                inverse = behind(self.graph, divisor)
                if inverse.op in _INVERSES and self._is_width(inverse.inputs[0]):
                    return self._reduced("Sum", total)
        return self._reduced("Mean", tensor)

    def _is_width(self, tensor: Tensor) -> bool:
        return scalar(self.graph, tensor) == self.width

    def _reduced(self, op: str, tensor: Tensor) -> Tensor | None:
        node = behind(self.graph, tensor)
        if node.op != op or not node.attr("keep_dims"):
            return None
        axes = constant(self.graph, node.inputs[1])
        if axes is None or [int(axis) for axis in axes.reshape(-1)] not in ([1], [-1]):
            return None
        return skip(self.graph, node.inputs[0])
