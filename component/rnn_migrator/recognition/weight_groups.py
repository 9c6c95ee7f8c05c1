"""Recurrent layers that can be taken out of an artifact one by one, by scope or layer name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import RecurrentLayer
from rnn_migrator.errors import Problem, UnsupportedError, UsageError
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras_config import LayerConfig, read_topology
from rnn_migrator.recognition.keras_layers import build_layer, is_recurrent
from rnn_migrator.recognition.recognise import read_legacy_graph
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_stack import Layers, build_stack, find_stacks

Take = Callable[[], tuple[RecurrentLayer, ...]]


def take_layers(
    artifact: LegacyArtifact, name: str | None, settings: Settings
) -> tuple[RecurrentLayer, ...]:
    """The recurrent layers under a name, read only now.

    Args:
      artifact: The source.
      name: Scope of a stack or of a single cell (TensorFlow 1), or name of a layer (Keras). None
        stands for the only one there is.
      settings: The user's.

    Raises:
      UsageError: Nothing of that name, or no name where there are several.
      UnsupportedError: It is there, but cannot be converted.
    """
    groups = _groups(artifact, settings)
    whole = [n for n in groups if not any(n.startswith(f"{other}/") for other in groups)]
    if name is None and len(whole) == 1:
        [name] = whole
    if name not in groups:
        raise UsageError(_no_such(artifact, name, groups))
    return groups[name]()


def _groups(artifact: LegacyArtifact, settings: Settings) -> dict[str, Take]:
    if artifact.model_config is not None:
        return _keras_layers(artifact, artifact.model_config, settings)
    if artifact.layers:
        return _keras_weights(artifact, settings)
    return _tf1_scopes(artifact, settings)


def _tf1_scopes(artifact: LegacyArtifact, settings: Settings) -> dict[str, Take]:
    """Every stack, and every layer of a stack of several, by scope."""
    stacks, _ = find_stacks(artifact, settings)

    def take(layers: Layers) -> Take:
        def build() -> tuple[RecurrentLayer, ...]:
            graph = read_legacy_graph(artifact, layers)
            cells = graph.by_scope if graph else {}
            return build_stack(artifact, layers, settings, cells).recurrent_layers

        return build

    groups = {scope: take(layers) for scope, layers in stacks.items()}
    for layers in stacks.values():
        for layer in layers:
            if len(layer) == 1:
                [cell] = layer.values()
                groups.setdefault(cell.scope, take([layer]))
    return groups


def _keras_layers(
    artifact: LegacyArtifact, config: Mapping[str, Any], settings: Settings
) -> dict[str, Take]:
    """Recurrent layers by name; what else the model holds does not matter here."""
    topology, problems = read_topology(config)
    if topology is None:
        raise UnsupportedError(*problems)
    return {
        layer.name: _taker(artifact, layer, settings)
        for layer in topology.layers
        if is_recurrent(layer)
    }


def _taker(artifact: LegacyArtifact, layer: LayerConfig, settings: Settings) -> Take:
    def take() -> tuple[RecurrentLayer, ...]:
        built = build_layer(artifact, layer, -1, settings)
        return (built,) if isinstance(built, RecurrentLayer) else ()

    return take


def _keras_weights(artifact: LegacyArtifact, settings: Settings) -> dict[str, Take]:
    """Recurrent layers of a weights file, told by the shapes of their arrays."""
    groups = {}
    for name, tensors in artifact.layers.items():
        shapes = [artifact.tensors[tensor].shape for tensor in tensors]
        class_name = _class_by_shapes(shapes[: len(shapes) // (len(shapes) // 3 or 1)])
        if len(shapes) in (3, 6) and class_name is not None:
            layer = _config_by_shapes(name, class_name, shapes, settings)
            groups[name] = _taker(artifact, layer, settings)
    return groups


_GATES_BY_CLASS = {"LSTM": 4, "GRU": 3}


def _class_by_shapes(shapes: Sequence[tuple[int, ...]]) -> str | None:
    """The class that keeps kernel, recurrent kernel and bias of these shapes."""
    if len(shapes) != 3 or len(shapes[1]) != 2 or len(shapes[0]) != 2:
        return None
    _, (units, width), bias = shapes
    for class_name, gates in _GATES_BY_CLASS.items():
        if width == gates * units == shapes[0][1]:
            return f"CuDNN{class_name}" if bias == (2 * width,) else class_name
    return None


def _config_by_shapes(
    name: str, class_name: str, shapes: Sequence[tuple[int, ...]], settings: Settings
) -> LayerConfig:
    """A config with what the shapes tell; activations only the user or an architecture knows."""
    units, bias = shapes[1][0], shapes[2]
    config: dict[str, Any] = {"name": name, "units": units, "return_sequences": True}
    if class_name == "GRU":
        config["reset_after"] = len(bias) == 2
    for key in ("activation", "recurrent_activation"):
        fact = settings.get(key, name)
        if fact is not None:
            config[key] = fact.value
    if len(shapes) == 3:
        return LayerConfig(name, class_name, config, ())
    inner = {"class_name": class_name, "config": config}
    return LayerConfig(name, "Bidirectional", {"name": name, "layer": inner}, ())


def _no_such(artifact: LegacyArtifact, name: str | None, groups: Mapping[str, Any]) -> Problem:
    return Problem(
        where=str(artifact.path),
        expected="one of " + ", ".join(groups) if groups else "a recurrent layer",
        received="no name" if name is None else repr(name),
        remedy="name the scope or layer to take the weights from",
    )
