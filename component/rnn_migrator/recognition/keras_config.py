"""A Keras 2 model config to its layers and their wiring, nothing computed yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rnn_migrator.canonical import ModelInput
from rnn_migrator.errors import Problem


@dataclasses.dataclass(frozen=True)
class LayerConfig:
    """A layer as the config states it: name, class, config, and what it reads."""

    name: str
    class_name: str
    config: Mapping[str, Any]
    inbound: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Topology:
    """The layers in an order in which each comes after what it reads."""

    inputs: tuple[ModelInput, ...]
    layers: tuple[LayerConfig, ...]
    outputs: tuple[str, ...]


def read_topology(model_config: Mapping[str, Any]) -> tuple[Topology | None, list[Problem]]:
    """Takes a Sequential or functional config apart.

    Returns:
      The topology, or None with the problems that stand in the way.
    """
    class_name = model_config.get("class_name")
    config = model_config.get("config")
    try:
        if class_name == "Sequential" and isinstance(config, list | dict):
            # Keras 2.0 to 2.2.2 wrote a bare list.
            return _sequential(config if isinstance(config, list) else config["layers"])
        if class_name in ("Model", "Functional") and isinstance(config, dict):
            return _functional(config)
    except (LookupError, TypeError, AttributeError, ValueError) as e:
        return None, [_malformed(e)]
    return None, [
        Problem(
            where="model config",
            expected="a Sequential or functional model",
            received=f"class_name {class_name!r}",
            remedy="a subclassed model keeps no topology: rebuild it in tf.keras and fill its "
            "recurrent layers with rnn_migrator.warm_start",
        )
    ]


def _malformed(error: Exception) -> Problem:
    return Problem(
        where="model config",
        expected="a config as the to_json() of Keras 2 writes it",
        received=f"{type(error).__name__}: {error}",
        remedy="name the file with the model's to_json() text: --architecture model.json",
    )


def _layer(name: str, layer: Mapping[str, Any], inbound: tuple[str, ...]) -> LayerConfig:
    """A layer of the config; of a wrapper, the layer inside is looked at too.

    Raises:
      LookupError: It has no class or config.
      TypeError: The config is not an object.
    """
    config = layer["config"]
    if not isinstance(config, dict):
        raise TypeError(f"layer {name!r} has {type(config).__name__} for a config")
    if isinstance(config.get("layer"), dict):
        _layer(name, config["layer"], inbound)
    return LayerConfig(str(name), str(layer["class_name"]), config, inbound)


def _sequential(layers: list[Mapping[str, Any]]) -> tuple[Topology | None, list[Problem]]:
    first = layers[0]["config"]
    if layers[0]["class_name"] == "InputLayer":
        source = _input(first["name"], first)
        layers = layers[1:]
    else:
        source = _input(f"{first['name']}_input", first)
    previous, found = source.name, []
    for layer in layers:
        name = layer["config"]["name"]
        found.append(_layer(name, layer, (previous,)))
        previous = name
    return Topology((source,), tuple(found), (previous,)), []


def _input(name: str, config: Mapping[str, Any]) -> ModelInput:
    """An input; its shape is unknown where the config states none."""
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    if shape is None and config.get("input_length") is None:
        return ModelInput(name, (None, None))
    shape = shape or [None, config["input_length"]]
    return ModelInput(name, tuple(shape[1:]), config.get("dtype") or "float32")


def _functional(config: Mapping[str, Any]) -> tuple[Topology | None, list[Problem]]:
    sources: dict[str, ModelInput] = {}
    layers, problems = [], []
    for layer in config["layers"]:
        name, nodes = layer["name"], layer.get("inbound_nodes", [])
        if layer["class_name"] == "InputLayer":
            sources[name] = _input(name, layer["config"])
        elif len(nodes) != 1:
            problems.append(_shared(name, len(nodes)))
        else:
            tensors = nodes[0]
            problems += [_not_plain(name, t) for t in tensors if t[1] or t[2] or (t[3:] or [{}])[0]]
            layers.append(_layer(name, layer, tuple(tensor[0] for tensor in tensors)))
    if problems:
        return None, problems
    inputs = tuple(sources[tensor[0]] for tensor in config["input_layers"])
    outputs = tuple(tensor[0] for tensor in config["output_layers"])
    ordered = _in_order(layers, {source.name for source in inputs})
    if unknown := set(outputs) - {layer.name for layer in ordered}:
        raise LookupError("no layer gives the outputs " + ", ".join(sorted(unknown)))
    return Topology(inputs, tuple(ordered), outputs), []


def _in_order(layers: list[LayerConfig], known: set[str]) -> list[LayerConfig]:
    """Sorts layers so that each comes after what it reads.

    Raises:
      LookupError: A layer reads what nothing gives.
    """
    ordered: list[LayerConfig] = []
    waiting = list(layers)
    while waiting:
        ready = [layer for layer in waiting if known.issuperset(layer.inbound)]
        if not ready:
            raise LookupError(f"nothing gives what the layer {waiting[0].name!r} reads")
        ordered += ready
        known = known | {layer.name for layer in ready}
        waiting = [layer for layer in waiting if layer.name not in known]
    return ordered


def _shared(name: str, count: int) -> Problem:
    return Problem(
        where=f"layer {name!r}",
        expected="a layer called once",
        received=f"{count} calls",
        remedy="this version converts no shared layers; use rnn_migrator.warm_start to fill the "
        "layers of a model of your own",
    )


def _not_plain(name: str, tensor: list[Any]) -> Problem:
    return Problem(
        where=f"layer {name!r}",
        expected="the only output of another layer as input",
        received=f"call {tensor!r}",
        remedy="this version converts no calls with states or further arguments; use "
        "rnn_migrator.warm_start to fill the layers of a model of your own",
    )
