"""The object graph inside a checkpoint of `tf.train.Checkpoint` or `Model.save_weights`.

It says which variable is which attribute of which object. The layers of a Sequential or functional
model of `tf.keras` are the children `layer-0`, `layer-1`, … of the model; those with weights are
children `layer_with_weights-0`, … once more. Names of layers are not in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError
from rnn_migrator.readers.artifact import Layers
from rnn_migrator.readers.model_config import MALFORMED, ConfigLayer, config_layers
from rnn_migrator.readers.protobuf import parse

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""Name of the object graph among the tensors of a checkpoint."""

_VALUE = "VARIABLE_VALUE"
_FIRST_LAYER = "layer-0"
_LISTED = "variables"
"""In a SavedModel every layer has its weights as such a list, in the order of `get_weights()`."""

_INSIDE = ("cell", "forward_layer", "layer")
"""Children of a recurrent layer, of `Bidirectional`, and of other wrappers."""

_APART = frozenset(
    {"keras_api", "optimizer", "_optimizer", "states", "_states", "_random_generator"}
    | {"signatures", "variables", "trainable_variables"}
)
"""Children that hold no weights of a layer, or all of a model's once more."""

_DEEPEST = 64
"""Steps from the root to the deepest layer that is looked for."""

_LARGEST = 1 << 28
"""Bytes of the largest object graph that is read."""

_OF_OPTIMIZERS = frozenset({"iter", "_iterations"})


@dataclasses.dataclass(frozen=True, eq=False)
class ObjectGraph:
    """The objects of a checkpoint; object 0 is what was saved.

    Attributes:
      path: The checkpoint.
      children: Ids of the children by name, in the order they were attached, by object.
      variables: Name of the tensor in the checkpoint by object, for objects that are variables.
      optimizers: Objects that hold the state of an optimizer.
    """

    path: Path
    children: tuple[Mapping[str, int], ...]
    variables: Mapping[int, str]
    optimizers: frozenset[int]

    def layers_by_path(self) -> Layers:
        """Weights of every Keras layer by its path from the root; none if Keras wrote no part."""
        models = any(_FIRST_LAYER in children for children in self.children)
        recurrent = any("recurrent_kernel" in children for children in self.children)
        if not (models or recurrent):
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for path, node in self._walk():
            if node and self._is_layer(node):
                found["/".join(path)] = self._weights(node)
        return found

    def layers_by_config(self, config: Mapping[str, Any]) -> Layers:
        """Weights of the layers that a config names.

        Raises:
          UnsupportedError: No model, or several, that the config may be that of.
        """
        try:
            stated = config_layers(config)
        except MALFORMED:
            return self.layers_by_path()  # The recognition says what is wrong with it.
        fitting = [node for node in self._models() if self._pairs(node, stated) is not None]
        if len(fitting) != 1:
            raise UnsupportedError(self._no_model(stated, len(fitting)))
        return dict(self._named(fitting[0], stated, ""))

    def _named(
        self, model: int, stated: Iterable[ConfigLayer], prefix: str
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        pairs = self._pairs(model, tuple(stated))
        if pairs is None:
            raise UnsupportedError(self._no_model(tuple(stated), 0))
        for node, layer in pairs:
            inner = self.children[node].get("layer", node) if layer.wrapped else node
            if layer.layers:
                yield from self._named(inner, layer.layers, f"{prefix}{layer.name}/")
            else:
                yield f"{prefix}{layer.name}", self._weights(node)

    def _pairs(
        self, model: int, stated: tuple[ConfigLayer, ...]
    ) -> list[tuple[int, ConfigLayer]] | None:
        """The model's layers with those of a config, None if they are not as many.

        Releases disagree about whether the input layer of a Sequential model counts.
        """
        numbered = (self.children[model].get(f"layer-{i}") for i in range(len(stated) + 2))
        nodes = [node for node in numbered if node is not None]
        if len(nodes) != len(stated):
            stated = stated[1:] if stated and stated[0].is_input else stated
            nodes = nodes[1:] if len(nodes) > len(stated) and not self._weights(nodes[0]) else nodes
        return list(zip(nodes, stated, strict=True)) if len(nodes) == len(stated) else None

    def _models(self) -> list[int]:
        """The outermost Sequential or functional models."""
        models = {path: node for path, node in self._walk() if _FIRST_LAYER in self.children[node]}
        return [
            node
            for path, node in models.items()
            if not any(path[:length] in models for length in range(len(path)))
        ]

    def _walk(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Every object that is no part of a layer or optimizer, once, with a path to it."""
        waiting: list[tuple[tuple[str, ...], int]] = [((), 0)]
        seen = {0, *self.variables, *self.optimizers}
        while waiting:
            path, node = waiting.pop()
            yield path, node
            if (node and self._is_layer(node)) or len(path) == _DEEPEST:
                continue
            # A layer with weights has two names; this puts the one that counts those first.
            children = sorted(self.children[node].items(), key=lambda c: c[0].startswith("layer-"))
            found = {c: n for n, c in reversed(children) if n not in _APART and c not in seen}
            seen.update(found)
            waiting += [((*path, name), child) for child, name in found.items()]

    def _is_layer(self, node: int) -> bool:
        children = self.children[node]
        if _FIRST_LAYER in children:
            return False
        return any(name in children for name in _INSIDE) or any(
            child in self.variables for child in children.values()
        )

    def _weights(self, layer: int) -> tuple[str, ...]:
        """Tensors of a layer, as `get_weights()` orders them: its own, then those of its parts."""
        found: dict[str, None] = {}
        waiting, seen = [layer], set[int]()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in self.variables:
                found[self.variables[node]] = None
            children = self.children[node]
            parts = [children[_LISTED]] if _LISTED in children else self._parts(children)
            waiting += reversed(parts)
        return tuple(found)

    def _parts(self, children: Mapping[str, int]) -> list[int]:
        parts = [child for name, child in children.items() if name not in _APART]
        return sorted(parts, key=lambda child: child not in self.variables)

    def _no_model(self, stated: tuple[ConfigLayer, ...], fitting: int) -> Problem:
        names = ", ".join(layer.name for layer in stated[:6]) + (", …" if stated[6:] else "")
        held = ", ".join(list(self.layers_by_path())[:6]) or "no layers of Keras"
        return Problem(
            where=str(self.path),
            expected=f"one model of the {len(stated)} layers of the config: {names}",
            received=f"{fitting or 'no'} such models among the objects {held}",
            remedy="name the architecture of the very model whose weights were saved; to fill "
            "layers of your own from this checkpoint, use rnn_migrator.warm_start",
        )


def read_object_graph(path: Path, content: bytes, tensors: Collection[str]) -> ObjectGraph:
    """The object graph of a checkpoint.

    Args:
      path: The checkpoint, for messages.
      content: The serialized graph.
      tensors: Names of all tensors of the checkpoint.

    Raises:
      UnreadableError: It is none, or speaks of objects or tensors that do not exist.
    """
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    if len(content) > _LARGEST:
        raise _unreadable(path, f"{len(content)} bytes, more than the limit of {_LARGEST}")
    try:
        nodes = parse(trackable_object_graph_pb2.TrackableObjectGraph, content).nodes
    except ValueError as e:
        raise _unreadable(path, f"bytes that are none ({e})") from e
    children = tuple({child.local_name: child.node_id for child in node.children} for node in nodes)
    variables = {
        index: attribute.checkpoint_key
        for index, node in enumerate(nodes)
        for attribute in node.attributes
        if attribute.name == _VALUE
    }
    for child in {child for named in children for child in named.values()}:
        if not 0 <= child < len(children):
            raise _unreadable(path, f"object {child}, which does not exist")
    for name in variables.values():
        if name not in tensors:
            raise _unreadable(path, f"tensor {name!r}, which is not in the checkpoint")
    if not children:
        raise _unreadable(path, "one without objects")
    optimizers = frozenset(
        index
        for index, node in enumerate(nodes)
        if node.slot_variables or _OF_OPTIMIZERS.intersection(children[index])
    )
    return ObjectGraph(path, children, variables, optimizers)


def _unreadable(path: Path, received: str) -> UnreadableError:
    return UnreadableError(
        Problem(
            where=f"{path}, {KEY}",
            expected="a whole object graph",
            received=received,
            remedy="copy all files of the checkpoint again from where it was trained",
        )
    )
