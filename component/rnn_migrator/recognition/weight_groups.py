"""Recurrent layers that can be taken out of an artifact one by one, by scope or layer name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rnn_migrator.canonical import RecurrentLayer
from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.readers.metagraph import read_metagraph
from rnn_migrator.recognition.graph_facts import all_cells
from rnn_migrator.recognition.keras_config import LayerConfig
from rnn_migrator.recognition.keras_layers import LayerSource, build_layer, is_recurrent
from rnn_migrator.recognition.keras_model import every_layer, keras_topology
from rnn_migrator.recognition.keras_stack import find_layers
from rnn_migrator.recognition.keras_weights import weights_by_layer
from rnn_migrator.recognition.recognise import locate
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_stack import Layers, build_stack, find_stacks
from rnn_migrator.recognition.variables import logical_variables

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
        return _keras_layers(artifact, settings)
    if artifact.layers:
        return _keras_weights(artifact, settings)
    return _tf1_scopes(artifact, settings)


def _tf1_scopes(artifact: LegacyArtifact, settings: Settings) -> dict[str, Take]:
    """Every stack, and every layer of a stack of several, by scope."""
    variables = logical_variables(artifact, settings)
    graph = read_metagraph(variables.graph) if variables.graph else None
    stacks, _ = find_stacks(variables, settings, all_cells(graph) if graph else [])

    def take(layers: Layers) -> Take:
        def build() -> tuple[RecurrentLayer, ...]:
            cells = locate(graph, layers).by_scope if graph else {}
            return build_stack(variables, layers, settings, cells).recurrent_layers

        return build

    groups = {scope: take(layers) for scope, layers in stacks.items()}
    for layers in stacks.values():
        for layer in layers:
            for cell in layer.get("", ()):
                groups.setdefault(cell.scope, take([{"": (cell,)}]))
    return groups


def _keras_layers(artifact: LegacyArtifact, settings: Settings) -> dict[str, Take]:
    """Recurrent layers by name; what else the model holds does not matter here."""
    topology, is_keras1 = keras_topology(artifact)
    weights = weights_by_layer(artifact, topology)
    return {
        layer.name: _taker(
            layer, LayerSource(artifact, weights.get(layer.name, ()), settings, is_keras1)
        )
        for layer in every_layer(topology)
        if is_recurrent(layer)
    }


def _taker(layer: LayerConfig, source: LayerSource) -> Take:
    def take() -> tuple[RecurrentLayer, ...]:
        built = build_layer(layer, source)
        return (built,) if isinstance(built, RecurrentLayer) else ()

    return take


def _keras_weights(artifact: LegacyArtifact, settings: Settings) -> dict[str, Take]:
    """Recurrent layers of a weights file, told by the shapes of their arrays."""
    return {
        name: _taker(layer, LayerSource(artifact, artifact.layers[name], settings))
        for name, layer in find_layers(artifact).items()
    }


def _no_such(artifact: LegacyArtifact, name: str | None, groups: Mapping[str, Any]) -> Problem:
    return Problem(
        where=str(artifact.path),
        expected="one of " + ", ".join(groups) if groups else "a recurrent layer",
        received="no name" if name is None else repr(name),
        remedy="name the scope or layer to take the weights from",
    )
