"""Keras weights without an architecture: recurrent layers told by the shapes of their arrays."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from rnn_migrator.canonical import CanonicalModel, Fact, ModelInput, Node, RecurrentLayer
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras_config import LayerConfig
from rnn_migrator.recognition.keras_layers import LayerSource, build_layer
from rnn_migrator.recognition.settings import Settings

Shapes = Sequence[tuple[int, ...]]

_GATES_BY_CLASS = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
_KERAS1_ARRAYS = {12: "LSTM", 9: "GRU"}


def find_layers(artifact: LegacyArtifact) -> dict[str, LayerConfig]:
    """The recurrent layers of a weights file by name, in file order.

    Their configs say what the shapes tell; activations only the release or the user knows.
    """
    found = {}
    for name, tensors in artifact.layers.items():
        shapes = [artifact.tensors[tensor].shape for tensor in tensors]
        for directions in (1, 2):
            one = shapes[: len(shapes) // directions]
            class_name = _class_by_shapes(one)
            if class_name is not None and one * directions == shapes:
                found[name] = _config_by_shapes(name, class_name, one, directions)
    return found


def _class_by_shapes(shapes: Shapes) -> str | None:
    """The class that keeps arrays of these shapes: kernel, recurrent kernel and perhaps a bias."""
    if len(shapes) in _KERAS1_ARRAYS and [len(shape) for shape in shapes[:3]] == [2, 2, 1]:
        return _KERAS1_ARRAYS[len(shapes)]
    if len(shapes) not in (2, 3) or len(shapes[0]) != 2 or len(shapes[1]) != 2:
        return None
    (_, wide), (units, width), *biases = shapes
    for class_name, gates in _GATES_BY_CLASS.items():
        if width == gates * units == wide:
            cudnn = gates > 1 and biases == [(2 * width,)]
            return f"CuDNN{class_name}" if cudnn else class_name
    return None


def _config_by_shapes(name: str, class_name: str, shapes: Shapes, directions: int) -> LayerConfig:
    config: dict[str, Any] = {"name": name, "units": shapes[1][0], "return_sequences": True}
    config["use_bias"] = len(shapes) != 2
    if class_name == "GRU" and len(shapes) == 3:
        config["reset_after"] = len(shapes[2]) == 2
    if directions == 1:
        return LayerConfig(name, class_name, config)
    inner = {"class_name": class_name, "config": config}
    return LayerConfig(name, "Bidirectional", {"name": name, "layer": inner})


def recognise_weights(artifact: LegacyArtifact, settings: Settings) -> CanonicalModel:
    """The recurrent layers of a weights file as a stack; see `CanonicalModel.bare_weights`.

    Raises:
      UnsupportedError: There is none, or several of which the user has not said how they stand.
    """
    layers = find_layers(artifact)
    chosen = _chosen(artifact, layers, settings)
    settings.check_layers([*map(str, range(len(chosen))), *chosen])
    built: list[RecurrentLayer] = []
    problems: list[Problem] = []
    for index, name in enumerate(chosen):
        source = LayerSource(artifact, artifact.layers[name], settings, index=index)
        try:
            built.append(_as_bare(build_layer(layers[name], source)))
        except UnsupportedError as e:
            problems += e.problems
    raise_all(UnsupportedError, problems)
    raise_all(UnsupportedError, _chain_problems(built))
    below = ["inputs", *(layer.name for layer in built)]
    nodes = tuple(Node(layer, (read,)) for layer, read in zip(built, below, strict=False))
    inputs = (ModelInput("inputs", (None, built[0].input_size)),)
    return CanonicalModel(inputs, nodes, {"outputs": below[-1]}, bare_weights=True)


def _as_bare(layer: Any) -> RecurrentLayer:
    """The layer with the masked outputs of bare weights, which are zeros."""
    bare: RecurrentLayer = dataclasses.replace(layer, zero_output_for_mask=True)
    return bare


def _chosen(
    artifact: LegacyArtifact, layers: dict[str, LayerConfig], settings: Settings
) -> tuple[str, ...]:
    """Names of the layers to convert, bottom to top."""
    stated, scope = settings.get("layers"), settings.get("scope")
    if stated is None and scope is None and len(layers) == 1:
        return tuple(layers)
    names: tuple[str, ...] = ()
    if stated is not None:
        names = stated.value
    elif scope is not None:
        names = (scope.value,)
    if names and set(names) <= set(layers):
        return names
    raise UnsupportedError(_choice(artifact, layers, stated or scope))


def _choice(
    artifact: LegacyArtifact, layers: dict[str, LayerConfig], stated: Fact[Any] | None
) -> Problem:
    found = ", ".join(f"{name} ({layer.class_name})" for name, layer in layers.items())
    example = (
        f"; or take its recurrent layers alone: --set scope={next(iter(layers))}, or a stack of "
        f"them, bottom to top: --set layers={','.join(layers)}"
        if layers
        else ""
    )
    return Problem(
        where=stated.source if stated else str(artifact.path),
        expected="a model config in the file, or --architecture FILE",
        received=f"weights only, of the layers {', '.join(artifact.layers)}; recurrent by their "
        f"shapes: {found or 'none'}",
        remedy="name the file with the model's to_json() text: --architecture model.json"
        + example
        + ". To fill layers of your own from these weights, use rnn_migrator.warm_start",
    )


def _chain_problems(layers: Sequence[RecurrentLayer]) -> list[Problem]:
    return [
        Problem(
            where=f"layer {above.name!r}",
            expected=f"an input of width {below.output_size}, which {below.name} gives",
            received=f"an input of width {above.input_size}",
            remedy="list layers that lie on each other: --set layers=BOTTOM,...,TOP",
        )
        for below, above in itertools.pairwise(layers)
        if above.input_size != below.output_size
    ]
