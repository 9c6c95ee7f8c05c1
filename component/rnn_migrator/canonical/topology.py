"""Layers and models around the canonical cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rnn_migrator.canonical.cells import Array, Cell
from rnn_migrator.canonical.facts import Fact


@dataclasses.dataclass(frozen=True, eq=False)
class SourceCell:
    """A cell as it lies in the legacy artifact.

    Attributes:
      layout: Name of the layout in the registry.
      tensors: Raw tensors by role of the layout.
      names: Names of the tensors in the artifact, by role.
      facts: What the layout's own formula needs besides the tensors.
    """

    layout: str
    tensors: Mapping[str, Array]
    names: Mapping[str, str]
    facts: Mapping[str, Fact[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class LegacyCell:
    """A cell in its canonical form, and the source it came from."""

    cell: Cell
    source: SourceCell


Stack = tuple[LegacyCell, ...]
"""Cells that run together in one layer, bottom to top; nearly always a single one."""


@dataclasses.dataclass(frozen=True, eq=False)
class RecurrentLayer:
    """A recurrent layer, in one direction or in both.

    Attributes:
      name: Name of the Keras layer.
      forward: The forward direction, or the only one.
      backward: The backward direction of a bidirectional layer, else empty.
      merge_mode: How both directions are joined (Keras' names); None gives both outputs.
      return_sequences: Whether the output has a time axis.
      return_state: Whether the final states are outputs too.
      go_backwards: Whether an only direction runs from the last step to the first.
      stateful: Whether each batch begins with the states the one before ended with.
      zero_output_for_mask: Whether a masked step gives zeros (TensorFlow 1) or repeats the
        previous output (Keras).
      training: Arguments of the Keras layer that matter in training only, such as `dropout`.
    """

    name: str
    forward: Stack
    backward: Stack = ()
    merge_mode: str | None = "concat"
    return_sequences: bool = True
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    zero_output_for_mask: bool = True
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def directions(self) -> dict[str, Stack]:
        """Directions by prefix: "" for an only one, "fw" and "bw" for both."""
        return {"fw": self.forward, "bw": self.backward} if self.backward else {"": self.forward}

    @property
    def cells(self) -> dict[str, LegacyCell]:
        """Every cell by its place: "", "fw", "bw", of a stack "0", "fw/0", …; see `directions`."""
        found = {}
        for prefix, stack in self.directions.items():
            for index, member in enumerate(stack):
                parts = (prefix, str(index) if len(stack) > 1 else "")
                found["/".join(filter(None, parts))] = member
        return found

    @property
    def input_size(self) -> int:
        """Width of the input."""
        return self.forward[0].cell.input_size

    @property
    def output_size(self) -> int:
        """Width of the output."""
        widths = [stack[-1].cell.output_size for stack in self.directions.values()]
        return sum(widths) if self.merge_mode == "concat" else widths[0]

    @property
    def label(self) -> str:
        """The recurrences of its cells, for people."""
        return ", ".join(dict.fromkeys(member.cell.kind.label for member in self.forward))


@dataclasses.dataclass(frozen=True, eq=False)
class HeadLayer:
    """A layer without recurrence that comes along as it is.

    Attributes:
      name: Name of the Keras layer.
      class_name: Keras class.
      config: Keras config in the spelling of Keras 2.
      weights: Arrays by their name in the artifact, in the order Keras keeps them.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    weights: Mapping[str, Array] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """An input: name, shape without the batch axis (None for unknown), dtype, and batch size.

    The batch size is None unless the legacy model was made for one only.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"
    batch: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class TimeDistributed:
    """A model of one input and one output that is applied to every time step.

    Attributes:
      name: Name of the Keras layer.
      inner: The model.
    """

    name: str
    inner: CanonicalModel


Layer = RecurrentLayer | HeadLayer | TimeDistributed


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer.

    What it gives is a value named like the node; further outputs (states) are "NAME:1", "NAME:2",
    and so on.

    Attributes:
      layer: The layer; a shared one stands in several nodes.
      inbound: Names of the inputs or values it reads.
      initial_state: Names of the values that a recurrent layer begins with, in the order of its
        states; empty for zeros.
      call: How many calls of the same layer came before.
    """

    layer: Layer
    inbound: tuple[str, ...]
    initial_state: tuple[str, ...] = ()
    call: int = 0

    @property
    def name(self) -> str:
        """Name of the value it gives."""
        return f"{self.layer.name}@{self.call}" if self.call else self.layer.name


@dataclasses.dataclass(frozen=True, eq=False)
class CanonicalModel:
    """A whole model, ready to be built, run by formula, or reported.

    Attributes:
      inputs: In the order of the legacy model.
      nodes: In an order in which each comes after what it reads.
      outputs: Values that the model gives, by the names of its outputs.
      bare_weights: Whether the source is recurrent weights only. Such a model gives its states
        too, and accepts sequence lengths with the semantics of TensorFlow 1.
    """

    inputs: tuple[ModelInput, ...]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    bare_weights: bool

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer once, first to last; those inside `TimeDistributed` after it."""
        return tuple(dict.fromkeys(_layers(self.nodes)))

    @property
    def recurrent_layers(self) -> tuple[RecurrentLayer, ...]:
        """The recurrent layers, first to last."""
        return tuple(layer for layer in self.layers if isinstance(layer, RecurrentLayer))

    def cells(self) -> Iterator[tuple[str, LegacyCell]]:
        """(layer with its place in it, cell) for every cell."""
        for layer in self.recurrent_layers:
            for place, member in layer.cells.items():
                yield f"{layer.name}/{place}" if place else layer.name, member

    def facts(self) -> Iterator[tuple[str, str, Fact[Any]]]:
        """(cell, name of the fact, fact) for everything inferred."""
        for where, member in self.cells():
            for name, fact in member.cell.facts.items():
                yield where, name, fact


def _layers(nodes: Iterable[Node]) -> Iterator[Layer]:
    for node in nodes:
        yield node.layer
        if isinstance(node.layer, TimeDistributed):
            yield from _layers(node.layer.inner.nodes)


def map_recurrent(
    model: CanonicalModel, change: Callable[[RecurrentLayer], RecurrentLayer]
) -> CanonicalModel:
    """The model with every recurrent layer changed; shared ones stay shared."""
    changed: dict[Layer, Layer] = {layer: change(layer) for layer in model.recurrent_layers}

    def of(layer: Layer) -> Layer:
        if isinstance(layer, TimeDistributed):
            return dataclasses.replace(layer, inner=within(layer.inner))
        return changed.get(layer, layer)

    def within(part: CanonicalModel) -> CanonicalModel:
        nodes = tuple(dataclasses.replace(node, layer=of(node.layer)) for node in part.nodes)
        return dataclasses.replace(part, nodes=nodes)

    return within(model)


LENGTHS = "sequence_length"
"""Name of the input of bare weights that takes the lengths of sequences."""


def state_sizes(layers: tuple[RecurrentLayer, ...]) -> dict[str, int]:
    """Width of every final state by its name in the signatures.

    The names are h_0, c_0, h_1, … or fw_h_0, fw_c_0, bw_h_0, …, numbered by cell from the bottom
    of the model to its top; the order is that in which Keras layers return them.
    """
    sizes = {}
    below = 0
    for layer in layers:
        for prefix, stack in layer.directions.items():
            for index, member in enumerate(stack, below):
                for state, size in member.cell.state_sizes.items():
                    sizes["_".join(filter(None, (prefix, state, str(index))))] = size
        below += len(layer.forward)
    return sizes
