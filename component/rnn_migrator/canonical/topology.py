"""Layers and models around the canonical cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rnn_migrator.canonical.cells import Array, Cell, CellKind
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
class Direction:
    """One cell run over time: its canonical form, and the source it came from."""

    cell: Cell
    source: SourceCell


@dataclasses.dataclass(frozen=True, eq=False)
class RecurrentLayer:
    """A recurrent layer, in one direction or in both.

    Attributes:
      name: Name of the Keras layer.
      forward: The forward direction, or the only one.
      backward: The backward direction of a bidirectional layer.
      merge_mode: How both directions are joined (Keras' names).
      return_sequences: Whether the output has a time axis.
      go_backwards: Whether an only direction runs from the last step to the first.
      zero_output_for_mask: Whether a masked step gives zeros (TensorFlow 1) or repeats the
        previous output (Keras).
      training: Arguments of the Keras layer that matter in training only, such as `dropout`.
    """

    name: str
    forward: Direction
    backward: Direction | None = None
    merge_mode: str = "concat"
    return_sequences: bool = True
    go_backwards: bool = False
    zero_output_for_mask: bool = True
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def kind(self) -> CellKind:
        """The recurrence of the layer."""
        return self.forward.cell.kind

    @property
    def directions(self) -> dict[str, Direction]:
        """Directions by prefix: "" for an only one, "fw" and "bw" for both."""
        if self.backward is None:
            return {"": self.forward}
        return {"fw": self.forward, "bw": self.backward}

    @property
    def output_size(self) -> int:
        """Width of the output."""
        units = [direction.cell.units for direction in self.directions.values()]
        return sum(units) if self.merge_mode == "concat" else units[0]


@dataclasses.dataclass(frozen=True, eq=False)
class HeadLayer:
    """A layer without recurrence that comes along as it is.

    Attributes:
      name: Name of the Keras layer.
      class_name: Keras class.
      config: Keras config in the legacy spelling.
      weights: Arrays by their name in the artifact, in the order Keras keeps them.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    weights: Mapping[str, Array] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """An input: name, shape without the batch axis (None for unknown) and dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A layer and the names of the inputs or layers it reads."""

    layer: RecurrentLayer | HeadLayer
    inbound: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class CanonicalModel:
    """A whole model, ready to be built, run by formula, or reported.

    Attributes:
      inputs: In the order of the legacy model.
      nodes: In an order in which each comes after what it reads.
      outputs: Names of the layers whose output the model gives.
      bare_weights: Whether the source is recurrent weights only. Such a model gives its states
        too, and accepts sequence lengths with the semantics of TensorFlow 1.
    """

    inputs: tuple[ModelInput, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    bare_weights: bool

    @property
    def recurrent_layers(self) -> tuple[RecurrentLayer, ...]:
        """The recurrent layers, first to last."""
        return tuple(n.layer for n in self.nodes if isinstance(n.layer, RecurrentLayer))

    def facts(self) -> Iterator[tuple[str, str, Fact[Any]]]:
        """(layer with direction, name of the fact, fact) for everything inferred."""
        for layer in self.recurrent_layers:
            for prefix, direction in layer.directions.items():
                where = f"{layer.name}/{prefix}" if prefix else layer.name
                for name, fact in direction.cell.facts.items():
                    yield where, name, fact


def state_names(layers: tuple[RecurrentLayer, ...]) -> list[str]:
    """Names of the final states in the signatures: h_0, c_0, … or fw_h_0, fw_c_0, bw_h_0, ….

    The order is that in which Keras layers return them.
    """
    return [
        "_".join(filter(None, (prefix, state, str(index))))
        for index, layer in enumerate(layers)
        for prefix in layer.directions
        for state in layer.kind.states
    ]
