"""A Keras 2 model config to its layers and their calls, nothing computed yet.

Nested models are taken apart: their layers are called "outer/inner" and stand in the place of the
call. A layer that is called more than once stays one layer with several calls.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import ModelInput
from rnn_migrator.errors import Problem, UnsupportedError, raise_all

MODELS = ("Sequential", "Model", "Functional")
_DAMAGE = (LookupError, TypeError, AttributeError, ValueError)


@dataclasses.dataclass(frozen=True)
class LayerConfig:
    """A layer as the config states it.

    Attributes:
      name: Name, with those of the models around it.
      class_name: Keras class.
      config: Its config.
      inner: What `TimeDistributed` is wrapped around, if that is a model.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    inner: Topology | None = None


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
      layer: The layer.
      inbound: Values it reads; see `canonical.Node` for their names.
      initial_state: Values that a recurrent layer begins with.
      number: How many calls of the layer came before.
    """

    layer: LayerConfig
    inbound: tuple[str, ...]
    initial_state: tuple[str, ...] = ()
    number: int = 0

    @property
    def value(self) -> str:
        """Name of the value it gives."""
        return f"{self.layer.name}@{self.number}" if self.number else self.layer.name


@dataclasses.dataclass(frozen=True)
class Topology:
    """The calls in an order in which each comes after what it reads.

    Attributes:
      inputs: In the order of the model.
      calls: Every call.
      outputs: Values by the names of the model's outputs.
    """

    inputs: tuple[ModelInput, ...]
    calls: tuple[Call, ...]
    outputs: Mapping[str, str]

    @property
    def layers(self) -> tuple[LayerConfig, ...]:
        """Every layer once, in the order of their first calls."""
        return tuple({call.layer.name: call.layer for call in self.calls}.values())


def read_topology(model_config: Mapping[str, Any]) -> Topology:
    """Takes a Sequential or functional config apart.

    Raises:
      UnsupportedError: It is neither, is malformed, or calls layers in a way that cannot be kept.
    """
    class_name = model_config.get("class_name")
    if class_name not in MODELS or not isinstance(model_config.get("config"), list | dict):
        raise UnsupportedError(_no_topology(class_name))
    try:
        inputs = _inputs(model_config)
        reader = _Reader()
        outputs = reader.model(model_config, "", [source.name for source in inputs])
    except _DAMAGE as e:
        raise UnsupportedError(_malformed(e)) from e
    raise_all(UnsupportedError, dict.fromkeys(reader.problems))
    return Topology(tuple(inputs), tuple(reader.calls), _named(outputs))


def rename_inputs(topology: Topology, names: Mapping[str, str]) -> Topology:
    """The topology with some inputs called otherwise."""
    calls = tuple(
        dataclasses.replace(
            call,
            inbound=tuple(names.get(v, v) for v in call.inbound),
            initial_state=tuple(names.get(v, v) for v in call.initial_state),
        )
        for call in topology.calls
    )
    inputs = tuple(
        dataclasses.replace(source, name=names.get(source.name, source.name))
        for source in topology.inputs
    )
    outputs = {name: names.get(value, value) for name, value in topology.outputs.items()}
    return Topology(inputs, calls, outputs)


def _named(outputs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values by the name of the layer that gives them; a second one of a layer is NAME_1."""
    named: dict[str, str] = {}
    for name, value in outputs:
        spellings = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(1)))
        named[next(spelt for spelt in spellings if spelt not in named)] = value
    return named


class _Reader:
    """Collects the calls of a model and of the models in it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.problems: list[Problem] = []
        self._layers: dict[str, LayerConfig] = {}
        self._numbers: dict[str, int] = {}

    def model(
        self, config: Mapping[str, Any], prefix: str, inputs: Sequence[str]
    ) -> list[tuple[str, str]]:
        """Reads one call of a model.

        Args:
          config: Class and config of the model.
          prefix: What its layers' names begin with.
          inputs: The values it is called on.

        Returns:
          (name of the output layer, value) for each output.
        """
        if config["class_name"] == "Sequential":
            return self._sequential(_sequence(config), prefix, inputs)
        return self._functional(config["config"], prefix, inputs)

    def _sequential(
        self, layers: Sequence[Mapping[str, Any]], prefix: str, inputs: Sequence[str]
    ) -> list[tuple[str, str]]:
        values, name = list(inputs), ""
        for layer in layers:
            if layer["class_name"] == "InputLayer":
                continue
            name = layer["config"]["name"] if "name" in layer["config"] else layer["name"]
            values = self._call(layer, f"{prefix}{name}", values, ())[:1]
        return [(name, value) for value in values]

    def _functional(
        self, config: Mapping[str, Any], prefix: str, inputs: Sequence[str]
    ) -> list[tuple[str, str]]:
        known: dict[tuple[str, int], list[str]] = {
            (tensor[0], 0): [value]
            for tensor, value in zip(_tensors(config["input_layers"]), inputs, strict=True)
        }
        offsets = _first_calls(config)
        waiting = [
            (layer, number, node)
            for layer in config["layers"]
            if layer["class_name"] != "InputLayer"
            for number, node in enumerate(_nodes(layer), offsets.get(layer["name"], 0))
        ]
        while waiting:
            ready = [w for w in waiting if all((t[0], t[1]) in known for t in _read_by(w[2]))]
            if not ready:
                raise LookupError(f"nothing gives what the layer {waiting[0][0]['name']!r} reads")
            for layer, number, node in ready:
                known[layer["name"], number] = self._node(layer, prefix, node, known)
            waiting = [w for w in waiting if (w[0]["name"], w[1]) not in known]
        outputs = _tensors(config["output_layers"])
        return [(tensor[0], known[tensor[0], tensor[1]][tensor[2]]) for tensor in outputs]

    def _node(
        self,
        layer: Mapping[str, Any],
        prefix: str,
        node: Sequence[Any],
        known: Mapping[tuple[str, int], list[str]],
    ) -> list[str]:
        """Reads one call of a layer in a functional model."""
        where = f"{prefix}{layer['name']}"
        self.problems += _strange_arguments(where, node)
        values = [known[t[0], t[1]][t[2]] for t in node]
        states = [known[t[0], t[1]][t[2]] for t in _stated_states(node)]
        if _is_recurrent(layer):
            values, states = values[:1], values[1:] + states
        return self._call(layer, where, values, tuple(states))

    def _call(
        self,
        layer: Mapping[str, Any],
        name: str,
        values: Sequence[str],
        states: tuple[str, ...],
    ) -> list[str]:
        """Enters one call; the values it gives."""
        if layer["class_name"] in MODELS:
            return [value for _, value in self.model(layer, f"{name}/", values)]
        if name not in self._layers:
            self._layers[name] = _layer(name, layer)
        number = self._numbers.get(name, 0)
        self._numbers[name] = number + 1
        call = Call(self._layers[name], tuple(values), states, number)
        self.calls.append(call)
        # How many states a layer gives does not matter here: nobody reads one that it does not.
        return [call.value, *(f"{call.value}:{index}" for index in range(1, 64))]


def _layer(name: str, layer: Mapping[str, Any]) -> LayerConfig:
    """A layer of the config; of a wrapper, the layer inside is looked at too.

    Raises:
      LookupError: It has no class or config.
      TypeError: The config is not an object.
    """
    config = layer["config"]
    if not isinstance(config, dict):
        raise TypeError(f"layer {name!r} has {type(config).__name__} for a config")
    inside = config.get("layer")
    topology = None
    if isinstance(inside, dict):
        if inside["class_name"] in MODELS and layer["class_name"] == "TimeDistributed":
            topology = read_topology(inside)
        elif not isinstance(inside["config"], dict):
            raise TypeError(f"layer {name!r} wraps {type(inside['config']).__name__}")
    return LayerConfig(name, str(layer["class_name"]), config, topology)


def _sequence(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers of a Sequential model; Keras 2.0 to 2.2.2 wrote a bare list."""
    config = model["config"]
    layers: list[Mapping[str, Any]] = config if isinstance(config, list) else config["layers"]
    return layers


def _inputs(model: Mapping[str, Any]) -> list[ModelInput]:
    """The inputs of a model."""
    if model["class_name"] != "Sequential":
        layers = {layer["name"]: layer["config"] for layer in model["config"]["layers"]}
        named = _tensors(model["config"]["input_layers"])
        return [_input(tensor[0], layers[tensor[0]]) for tensor in named]
    first = _sequence(model)[0]
    if first["class_name"] in MODELS:
        name = first["config"].get("name") if isinstance(first["config"], dict) else None
        inside = _inputs(first)
        return [dataclasses.replace(i, name=f"{name}_input") for i in inside] if name else inside
    config = first["config"]
    name = config["name"] if first["class_name"] == "InputLayer" else f"{config['name']}_input"
    return [_input(name, _innermost(config))]


def _innermost(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config that states the input's shape: the wrapper's, or that of the layer inside."""
    inside = config.get("layer")
    if _shape(config) is None and isinstance(inside, dict) and isinstance(inside["config"], dict):
        return _innermost(inside["config"])
    return config


def _shape(config: Mapping[str, Any]) -> Any:
    return config.get("batch_input_shape") or config.get("batch_shape")


def _input(name: str, config: Mapping[str, Any]) -> ModelInput:
    """An input; its shape is unknown where the config states none."""
    shape = _shape(config)
    if shape is None and config.get("input_length") is None:
        return ModelInput(name, (None, None))
    shape = shape or [None, config["input_length"]]
    return ModelInput(name, tuple(shape[1:]), config.get("dtype") or "float32", shape[0])


def _tensors(named: Any) -> list[Any]:
    """[layer, node, tensor] for each; a single one may stand without the list around it."""
    return [named] if named and isinstance(named[0], str) else list(named)


def _nodes(layer: Mapping[str, Any]) -> list[list[Any]]:
    """The calls of a layer, each a list of [layer, node, tensor, arguments]."""
    nodes = layer.get("inbound_nodes", [])
    return [_tensors(node) if isinstance(node, list) else _no_list(layer, node) for node in nodes]


def _first_calls(config: Mapping[str, Any]) -> dict[str, int]:
    """The number of the first call of each inner model; 1 where its own wiring counts as call 0."""
    models = {layer["name"] for layer in config["layers"] if layer["class_name"] in MODELS}
    read = [t for layer in config["layers"] for node in _nodes(layer) for t in _read_by(node)]
    read += _tensors(config["output_layers"])
    from_zero = {tensor[0] for tensor in read if tensor[1] == 0}
    return {name: int(name not in from_zero) for name in models}


def _no_list(layer: Mapping[str, Any], node: Any) -> list[Any]:
    raise TypeError(f"layer {layer['name']!r} is called on {type(node).__name__}")


def _arguments(tensor: Sequence[Any]) -> Mapping[str, Any]:
    return tensor[3] if len(tensor) > 3 and tensor[3] else {}


def _stated_states(node: Sequence[Any]) -> list[Any]:
    """Initial states that are given by name."""
    given = [state for t in node for state in _arguments(t).get("initial_state") or []]
    return _tensors(given) if given else []


def _read_by(node: Sequence[Any]) -> list[Any]:
    return [*node, *_stated_states(node)]


_HARMLESS = {"training": (None, False), "mask": (None,), "initial_state": ()}


def _strange_arguments(where: str, node: Sequence[Any]) -> list[Problem]:
    """Arguments of a call that change what the layer computes."""
    found = {
        key: value
        for tensor in node
        for key, value in _arguments(tensor).items()
        if key not in _HARMLESS or (_HARMLESS[key] and value not in _HARMLESS[key])
    }
    if not found:
        return []
    return [
        Problem(
            where=f"layer {where!r}",
            expected="a call on the outputs of other layers",
            received="also " + ", ".join(f"{key}={value!r}"[:80] for key, value in found.items()),
            remedy="build this part in tf.keras and fill its recurrent layers with "
            "rnn_migrator.warm_start",
        )
    ]


_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM2D", "ConvRNN2D")


def _is_recurrent(layer: Mapping[str, Any]) -> bool:
    return layer["class_name"].removeprefix("CuDNN") in _RECURRENT


def _malformed(error: Exception) -> Problem:
    return Problem(
        where="model config",
        expected="a config as the to_json() of Keras 1 or 2 writes it",
        received=f"{type(error).__name__}: {error}",
        remedy="name the file with the model's to_json() text: --architecture model.json",
    )


def _no_topology(class_name: Any) -> Problem:
    return Problem(
        where="model config",
        expected="a Sequential or functional model",
        received=f"class_name {class_name!r}",
        remedy="a subclassed model keeps no topology: rebuild it in tf.keras and fill its "
        "recurrent layers with rnn_migrator.warm_start",
    )
