"""Model configs of Keras 1.0 to 1.2.2 in the spelling of Keras 2.

Keys that only matter for initialisation and training are left out, except dropout rates and
`trainable`. The word dropout of a Keras 1 `Embedding`, which no layer of Keras 2 has, is one of
them. Sources: `get_config` of the layers of Keras 1.2.2, and keras/legacy/interfaces.py of Keras 2.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rnn_migrator.errors import Problem
from rnn_migrator.recognition.keras1_weights import theano_problems

_REBUILD = "build this part in tf.keras and fill its recurrent layers with rnn_migrator.warm_start"
_MALFORMED = (LookupError, TypeError, AttributeError, ValueError, RecursionError)

Keys = Mapping[str, str | tuple[str, ...]]
"""Keras 2 key to the Keras 1 key it comes from, or to those that make a list."""


def _same(*keys: str) -> dict[str, str]:
    return dict(zip(keys, keys, strict=True))


@dataclasses.dataclass(frozen=True)
class _Class:
    """What becomes of a class of Keras 1.

    Attributes:
      name: Its class in Keras 2.
      keys: Config keys that decide what it computes, or how it is trained further.
      fixed: What Keras 1 leaves no choice about and Keras 2 does.
      change: Changes values whose form is another.
    """

    name: str
    keys: Keys = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    change: Callable[[dict[str, Any]], None] | None = None

    @property
    def only_keras1(self) -> set[str]:
        """Keys that the class has in Keras 1 but not in Keras 2."""
        older: set[str] = set()
        for key in self.keys.values():
            older |= {key} if isinstance(key, str) else set(key)
        return older - self.keys.keys()

    @property
    def only_keras2(self) -> set[str]:
        """Keys that the class has in Keras 2 but not in Keras 1."""
        return {key for key, older in self.keys.items() if key != older}


def _sides(config: dict[str, Any]) -> None:
    """A dict of named sides is (before, after) axis by axis; so are four numbers in a row."""
    padding = config.get("padding")
    if isinstance(padding, dict):
        axes = [("top_pad", "bottom_pad"), ("left_pad", "right_pad")]
        pairs = [[padding.get(side, 0) for side in axis] for axis in axes]
        config["padding"] = pairs if "data_format" in config else pairs[1]
    elif isinstance(padding, list | tuple) and len(padding) == 4:
        config["padding"] = [list(padding[:2]), list(padding[2:])]


_BIAS = {"use_bias": "bias"}
_DENSE: Keys = {"units": "output_dim", "activation": "activation", **_BIAS}
_RATE = {"rate": "p"}
_FORMAT = {"data_format": "dim_ordering"}
_RECURRENT: Keys = {
    "units": "output_dim",
    "dropout": "dropout_W",
    "recurrent_dropout": "dropout_U",
    "implementation": "consume_less",
    **_same("activation", "return_sequences", "go_backwards", "stateful", "unroll"),
}
_GATED: Keys = {**_RECURRENT, "recurrent_activation": "inner_activation"}
_FILTERS: Keys = {
    "filters": "nb_filter",
    "padding": "border_mode",
    "activation": "activation",
    **_BIAS,
}
_CONV1D: Keys = {**_FILTERS, "kernel_size": ("filter_length",), "strides": ("subsample_length",)}
_CONV2D: Keys = {
    **_FILTERS,
    **_FORMAT,
    "kernel_size": ("nb_row", "nb_col"),
    "strides": "subsample",
}
_CONV3D: Keys = {**_CONV2D, "kernel_size": ("kernel_dim1", "kernel_dim2", "kernel_dim3")}
_CONV_LSTM: Keys = {
    **{key: older for key, older in _CONV2D.items() if key != "use_bias"},
    **{key: _GATED[key] for key in ("recurrent_activation", "dropout", "recurrent_dropout")},
    **_same("return_sequences", "go_backwards", "stateful"),
}
_POOL1D: Keys = {"pool_size": "pool_length", "strides": "stride", "padding": "border_mode"}
_POOL: Keys = {**_same("pool_size", "strides"), "padding": "border_mode", **_FORMAT}

_CLASSES = {
    "LSTM": _Class("LSTM", _GATED, {"use_bias": True}),
    "GRU": _Class("GRU", _GATED, {"use_bias": True, "reset_after": False}),
    "SimpleRNN": _Class("SimpleRNN", _RECURRENT, {"use_bias": True}),
    "ConvLSTM2D": _Class("ConvLSTM2D", _CONV_LSTM, {"use_bias": True}),
    "InputLayer": _Class("InputLayer", {"dtype": "input_dtype", **_same("sparse")}),
    "Dense": _Class("Dense", _DENSE),
    # Both take every step by itself.
    "TimeDistributedDense": _Class("Dense", _DENSE),
    "MaxoutDense": _Class(
        "MaxoutDense", {"units": "output_dim", "nb_feature": "nb_feature", **_BIAS}
    ),
    "Highway": _Class("Highway", {"activation": "activation", **_BIAS}),
    "Embedding": _Class("Embedding", _same("input_dim", "output_dim", "input_length", "mask_zero")),
    "Masking": _Class("Masking", _same("mask_value")),
    "Activation": _Class("Activation", _same("activation")),
    "Dropout": _Class("Dropout", _RATE),
    "SpatialDropout1D": _Class("SpatialDropout1D", _RATE),
    "SpatialDropout2D": _Class("SpatialDropout2D", _RATE),
    "SpatialDropout3D": _Class("SpatialDropout3D", _RATE),
    "GaussianDropout": _Class("GaussianDropout", _RATE),
    "GaussianNoise": _Class("GaussianNoise", {"stddev": "sigma"}),
    "ActivityRegularization": _Class("ActivityRegularization", _same("l1", "l2")),
    "Flatten": _Class("Flatten"),
    "Reshape": _Class("Reshape", _same("target_shape")),
    "Permute": _Class("Permute", _same("dims")),
    "RepeatVector": _Class("RepeatVector", _same("n")),
    # Keras 1 calls the running variance `running_std`.
    "BatchNormalization": _Class("BatchNormalization", _same("axis", "epsilon", "momentum")),
    "LeakyReLU": _Class("LeakyReLU", _same("alpha")),
    "PReLU": _Class("PReLU"),
    "ELU": _Class("ELU", _same("alpha")),
    "ThresholdedReLU": _Class("ThresholdedReLU", _same("theta")),
    "Convolution1D": _Class("Conv1D", _CONV1D),
    "AtrousConvolution1D": _Class("Conv1D", {**_CONV1D, "dilation_rate": ("atrous_rate",)}),
    "Convolution2D": _Class("Conv2D", _CONV2D),
    "AtrousConvolution2D": _Class("Conv2D", {**_CONV2D, "dilation_rate": "atrous_rate"}),
    "SeparableConvolution2D": _Class("SeparableConv2D", {**_CONV2D, **_same("depth_multiplier")}),
    "Convolution3D": _Class("Conv3D", _CONV3D),
    "LocallyConnected1D": _Class("LocallyConnected1D", _CONV1D),
    "LocallyConnected2D": _Class("LocallyConnected2D", _CONV2D),
    "MaxPooling1D": _Class("MaxPooling1D", _POOL1D),
    "AveragePooling1D": _Class("AveragePooling1D", _POOL1D),
    "MaxPooling2D": _Class("MaxPooling2D", _POOL),
    "AveragePooling2D": _Class("AveragePooling2D", _POOL),
    "MaxPooling3D": _Class("MaxPooling3D", _POOL),
    "AveragePooling3D": _Class("AveragePooling3D", _POOL),
    "GlobalMaxPooling1D": _Class("GlobalMaxPooling1D"),
    "GlobalAveragePooling1D": _Class("GlobalAveragePooling1D"),
    "GlobalMaxPooling2D": _Class("GlobalMaxPooling2D", _FORMAT),
    "GlobalAveragePooling2D": _Class("GlobalAveragePooling2D", _FORMAT),
    "GlobalMaxPooling3D": _Class("GlobalMaxPooling3D", _FORMAT),
    "GlobalAveragePooling3D": _Class("GlobalAveragePooling3D", _FORMAT),
    "UpSampling1D": _Class("UpSampling1D", {"size": "length"}),
    "UpSampling2D": _Class("UpSampling2D", {**_same("size"), **_FORMAT}),
    "UpSampling3D": _Class("UpSampling3D", {**_same("size"), **_FORMAT}),
    "ZeroPadding1D": _Class("ZeroPadding1D", _same("padding"), change=_sides),
    "ZeroPadding2D": _Class("ZeroPadding2D", {**_same("padding"), **_FORMAT}, change=_sides),
    "ZeroPadding3D": _Class("ZeroPadding3D", {**_same("padding"), **_FORMAT}),
    "Cropping1D": _Class("Cropping1D", _same("cropping")),
    "Cropping2D": _Class("Cropping2D", {**_same("cropping"), **_FORMAT}),
    "Cropping3D": _Class("Cropping3D", {**_same("cropping"), **_FORMAT}),
}
"""Classes of Keras 1. Not here: Lambda, Deconvolution2D and classes of the user's own."""

_VALUES: Mapping[str, Mapping[Any, Any]] = {
    "dim_ordering": {"tf": "channels_last", "th": "channels_first"},
    "consume_less": {"cpu": 0, "mem": 1, "gpu": 2},
}
"""Keras 2 values of the keys whose values have other names."""

_MERGES: Mapping[str, tuple[str, Keys]] = {
    "sum": ("Add", {}),
    "mul": ("Multiply", {}),
    "ave": ("Average", {}),
    "max": ("Maximum", {}),
    "concat": ("Concatenate", {"axis": "concat_axis"}),
    "dot": ("Dot", {"axes": "dot_axes"}),
}
"""Class of a `Merge` by its mode, and its keys."""

_REFUSED = {
    "ParametricSoftplus": "a ParametricSoftplus, which Keras 2 no longer has",
    "SReLU": "an SReLU, which Keras 2 no longer has",
}
_NESTED = ("Sequential", "Model")
_WRAPPERS: Mapping[str, Keys] = {"Bidirectional": _same("merge_mode"), "TimeDistributed": {}}
_ALSO_IN_KERAS2 = ("Merge", "Highway", "MaxoutDense")
"""Keras 2.0 to 2.2 kept these with their old keys."""


def is_keras1(model_config: Mapping[str, Any], keras_version: str) -> bool:
    """Whether a model config is one of Keras 1.

    Args:
      model_config: Of a file, or the `to_json()` text.
      keras_version: As the file states it; "" if it does not. What the config itself states
        (`to_json()` writes it there) comes first; where neither does, the keys of its layers tell.
    """
    for version in (model_config.get("keras_version"), keras_version):
        if isinstance(version, str) and (found := re.match(r"\d+", version)):
            return int(found[0]) < 2
    older = newer = False
    for layer in all_layers(model_config):
        known = _CLASSES.get(layer["class_name"])
        if known is not None and layer["class_name"] not in _ALSO_IN_KERAS2:
            older = older or not known.only_keras1.isdisjoint(_keys(layer))
            newer = newer or not known.only_keras2.isdisjoint(_keys(layer))
    return older and not newer


def to_keras2(
    model_config: Mapping[str, Any],
    backend: str = "",
    *,
    keras_version: str = "",
    layer_names: Sequence[str] = (),
) -> tuple[dict[str, Any], list[Problem]]:
    """A model config of Keras 1 as Keras 2 spells it.

    A Sequential model that begins with a `Merge` becomes a functional one, with the layers of the
    branches in it, since the file keeps their weights side by side. Other models inside the model
    stay nested. Classes that are not known stay as they are.

    Args:
      model_config: `{"class_name": ..., "config": ...}`.
      backend: "tensorflow" or "theano", as far as it is known.
      keras_version: As the file states it, where the config does not.
      layer_names: Groups of the weights file, in its order. Keras 1 writes no name for a
        Sequential model inside a Sequential model but there.

    Returns:
      The config without `keras_version`, and what cannot be converted.
    """
    try:
        translation = _translation(model_config, keras_version, layer_names)
        class_name, config = model_config["class_name"], model_config["config"]
        if class_name in _NESTED:
            class_name, config = translation.model(class_name, config, "sequential")
        translated = {"class_name": class_name, "config": config}
        problems = translation.problems
        if backend == "theano":
            for layer in all_layers(translated):
                # What a wrapper holds is a layer of its own here.
                wraps = "layer" in _keys(layer)
                problems += [] if wraps else theano_problems(layer["class_name"], _keys(layer))
    except _MALFORMED as e:
        return dict(model_config), [_malformed(e)]
    return translated, problems


def _translation(
    model_config: Mapping[str, Any], keras_version: str, layer_names: Sequence[str]
) -> _Translation:
    layers = list(all_layers(model_config))
    named = {_name(layer) for layer in layers}
    # A file may list the layers of a model as "outer/inner".
    groups = dict.fromkeys(name.split("/")[0] for name in layer_names)
    stated = {_keys(layer).get("dim_ordering") for layer in layers}
    orderings = stated & _VALUES["dim_ordering"].keys()
    return _Translation(
        keras_version=str(model_config.get("keras_version") or keras_version),
        ordering=orderings.pop() if len(orderings) == 1 else None,
        names=(name for name in itertools.chain(groups, _numbered()) if name not in named),
    )


def _numbered() -> Iterator[str]:
    return (f"sequential_{number}" for number in itertools.count(1))


@dataclasses.dataclass
class _Translation:
    """The translation of one model: what all its layers have in common, and the problems.

    Attributes:
      keras_version: The release that wrote the weights, "" if it is not known.
      ordering: The `dim_ordering` of all layers that state one; None without agreement.
      names: For models that the config gives no name.
      problems: What cannot be translated.
    """

    keras_version: str
    ordering: str | None
    names: Iterator[str]
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def model(self, class_name: str, config: Any, name: str) -> tuple[str, dict[str, Any]]:
        """Class and config of a model; the name is for one whose config has none."""
        if class_name == "Model":
            return class_name, self._functional(config)
        listed = _listed(config)
        if _joins(listed[0]):
            graph = _Graph()
            return "Model", graph.config(name, self._chain(graph, listed))
        return class_name, {"name": name, "layers": [self.layer(layer) for layer in listed]}

    def layer(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """A layer, or a model inside the model, as Keras 2 spells it."""
        class_name, config = str(layer["class_name"]), layer["config"]
        if class_name in _NESTED:
            name = _name(layer) or next(self.names)
            class_name, config = self._inside().model(class_name, config, name)
        elif class_name == "Merge":
            class_name, config = self._merge(config)
        elif class_name in _WRAPPERS:
            inner = self._inside().layer(config["layer"])
            config = {**_common(config), **_taken(_WRAPPERS[class_name], config), "layer": inner}
        elif class_name in _REFUSED:
            self._refuse(config, "a layer that Keras 2 has", _REFUSED[class_name])
        elif class_name in _CLASSES:
            class_name, config = _CLASSES[class_name].name, self._plain(class_name, config)
        return {"class_name": class_name, "config": config}

    def _inside(self) -> _Translation:
        """For what is inside a layer, where names are of no account outside."""
        return dataclasses.replace(self, names=_numbered())

    def _plain(self, class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        known = _CLASSES[class_name]
        translated = {**_common(config), **_taken(known.keys, config), **known.fixed}
        if "data_format" in known.keys and "dim_ordering" not in config:
            translated["data_format"] = self._data_format(class_name, config)
        if known.change is not None:
            known.change(translated)
        if class_name == "BatchNormalization":
            self._check_batch_normalization(config)
        if config.get("border_mode") == "full":
            self._refuse(config, "border_mode 'valid' or 'same'", "border_mode 'full'")
        return translated

    def _data_format(self, class_name: str, config: Mapping[str, Any]) -> str | None:
        """Keras 1 leaves the order out of some configs; the other layers of the model state it."""
        if self.ordering is None:
            self._refuse(
                config,
                "the order of the axes, which Keras 1 does not write for its class",
                f"a {class_name} in a model whose layers do not agree on one dim_ordering",
                'write the config to a file, add "dim_ordering": "tf" or "th" to this layer as its '
                "program had it, and name the file: --architecture FILE",
            )
            return None
        return str(_VALUES["dim_ordering"][self.ordering])

    def _check_batch_normalization(self, config: Mapping[str, Any]) -> None:
        mode = config.get("mode", 0)
        if mode != 0:
            what = {1: "each sample", 2: "each batch"}.get(mode, "something else")
            self._refuse(
                config,
                "mode 0, which uses the moments of the training",
                f"mode {mode!r}, which uses those of {what}",
            )
        release = [int(part) for part in re.findall(r"\d+", self.keras_version)[:3]]
        if len(release) < 2 or release < [1, 0, 6]:
            self._refuse(
                config,
                "a file of Keras 1.0.6 or later, where running_std is the variance",
                f"Keras {self.keras_version or 'of an unknown release'}; up to 1.0.5 it is the "
                "standard deviation",
                "of a later release, name the to_json() text of the model, which states it: "
                "--architecture FILE; else " + _REBUILD,
            )

    def _merge(self, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        raw, name = config.get("mode_type", "raw") == "raw", {"name": config["name"]}
        if raw and config["mode"] in _MERGES:
            class_name, keys = _MERGES[config["mode"]]
            return class_name, {**name, **_taken(keys, config)}
        received = f"mode {config['mode']!r}" if raw else "a function of its own"
        self._refuse(config, "one of the modes " + ", ".join(_MERGES), received)
        return "Merge", name

    def _functional(self, config: Mapping[str, Any]) -> dict[str, Any]:
        layers = []
        for layer in config["layers"]:
            calls = [[_call(tensor) for tensor in node] for node in layer["inbound_nodes"]]
            layers.append({"name": layer["name"], **self.layer(layer), "inbound_nodes": calls})
        return {**config, "layers": layers}

    def _chain(self, graph: _Graph, layers: Sequence[Mapping[str, Any]]) -> _Tensor:
        """Adds layers one after the other; gives the output of the last."""
        tensor = self._first(graph, layers[0])
        for layer in layers[1:]:
            tensor = graph.call(self.layer(layer), [tensor])
        return tensor

    def _first(self, graph: _Graph, layer: Mapping[str, Any]) -> _Tensor:
        """Adds the first layer of a chain, with the inputs it brings along."""
        translated = self.layer(layer)
        if layer["class_name"] == "Merge":
            branches = [self._branch(graph, branch) for branch in layer["config"]["layers"]]
            return graph.call(translated, branches)
        if layer["class_name"] == "InputLayer":
            return graph.input(translated)
        if graph.layers.get(_name(translated), {}).get("config") == translated["config"]:
            # The first layer of two branches: called once, since it brings its input along.
            return _name(translated), _first_call(translated), 0
        return graph.call(
            translated, [graph.input(entry) for entry in _inputs_of(translated, layer)]
        )

    def _branch(self, graph: _Graph, branch: Mapping[str, Any]) -> _Tensor:
        """Adds what a `Merge` joins: a model, whose layers come in one by one, or a layer."""
        if branch["class_name"] == "Sequential":
            return self._chain(graph, _listed(branch["config"]))
        if branch["class_name"] != "Model":
            return self._first(graph, branch)
        inner = self._functional(branch["config"])
        if len(inner["output_layers"]) != 1:
            self._refuse(inner, "branches of one output each", f"{len(inner['output_layers'])}")
        for layer in inner["layers"]:
            if not graph.adopt(layer):
                self._refuse(layer, "layers of one branch each", "a layer that branches share")
        graph.inputs += [name for name, *_ in inner["input_layers"] if name not in graph.inputs]
        name, call, index = inner["output_layers"][0]
        return name, call, index

    def _refuse(
        self, config: Mapping[str, Any], expected: str, received: str, remedy: str = _REBUILD
    ) -> None:
        where = f"layer {config.get('name')!r}"
        self.problems.append(Problem(where, expected, received, remedy))


_Tensor = tuple[str, int, int]
"""Layer, which of its calls, and which of the outputs."""


class _Graph:
    """A functional model that grows layer by layer."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, Any]] = {}
        self.inputs: list[str] = []

    def input(self, layer: Mapping[str, Any]) -> _Tensor:
        """Adds an input."""
        name = _name(layer)
        if name not in self.inputs:
            self.layers[name] = {"name": name, **layer, "inbound_nodes": []}
            self.inputs.append(name)
        return name, 0, 0

    def call(self, layer: Mapping[str, Any], tensors: Iterable[_Tensor]) -> _Tensor:
        """Adds a layer, or one more call of it: in a file no two layers have one name."""
        name = _name(layer)
        known = self.layers.setdefault(name, {"name": name, **layer, "inbound_nodes": []})
        if known["config"] != layer["config"]:
            raise ValueError(f"two layers named {name!r}")
        known["inbound_nodes"].append([_call(tensor) for tensor in tensors])
        return name, len(known["inbound_nodes"]) - 1 + _first_call(layer), 0

    def adopt(self, layer: dict[str, Any]) -> bool:
        """Adds a layer of another functional model; False where its name means something else."""
        return self.layers.setdefault(layer["name"], layer) == layer

    def config(self, name: str, output: _Tensor) -> dict[str, Any]:
        """The config of the model that ends here."""
        return {
            "name": name,
            "layers": list(self.layers.values()),
            "input_layers": [[source, 0, 0] for source in self.inputs],
            "output_layers": [list(output)],
        }


def _first_call(layer: Mapping[str, Any]) -> int:
    """Number of the first call; of a model, Keras also counts the one that made it."""
    return int(layer["class_name"] in _NESTED)


def _joins(first: Mapping[str, Any]) -> bool:
    """Whether a Sequential model that begins with this layer has several inputs."""
    class_name, config = first["class_name"], first["config"]
    if class_name == "Sequential":
        return _joins(_listed(config)[0])
    return class_name == "Merge" or (class_name == "Model" and len(config["input_layers"]) > 1)


def _inputs_of(translated: Mapping[str, Any], layer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Inputs for a first layer, or for a model in its place, under the names Keras 2 gives them.

    Args:
      translated: The layer as Keras 2 spells it.
      layer: As Keras 1 does, which states the type of its inputs.
    """
    config = translated["config"]
    if translated["class_name"] == "Model":
        by_name = {inner["name"]: inner["config"] for inner in config["layers"]}
        configs = [dict(by_name[name]) for name, *_ in config["input_layers"]]
    elif translated["class_name"] == "Sequential":
        return _inputs_of(config["layers"][0], _listed(layer["config"])[0])
    elif translated["class_name"] == "InputLayer":
        configs = [dict(config)]
    else:
        shape, dtype = config["batch_input_shape"], layer["config"].get("input_dtype")
        name = f"{_name(translated)}_input"
        configs = [
            {"name": name, "batch_input_shape": shape, "dtype": dtype or "float32", "sparse": False}
        ]
    return [{"class_name": "InputLayer", "config": config} for config in configs]


def _taken(keys: Keys, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says under its old keys, under the new ones."""
    taken = {}
    for key, older in keys.items():
        if isinstance(older, tuple):
            if config.keys() >= set(older):
                taken[key] = [config[part] for part in older]
        elif older in config:
            values = _VALUES.get(older)
            taken[key] = config[older] if values is None else values[config[older]]
    return taken


def _common(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that every layer may have.

    Keras 1 states the type of the inputs, Keras 2 that of the layer: indices are not among them.
    """
    common = _taken(_same("name", "trainable", "batch_input_shape"), config)
    dtype = config.get("input_dtype")
    return {**common, "dtype": dtype} if str(dtype).startswith("float") else common


def all_layers(model_config: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in a config that has a class and a config, however deep, itself not."""
    waiting = [model_config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed(list(value.values()))
        elif isinstance(value, list | tuple):
            waiting += reversed(value)
        if value is not model_config and _is_layer(value):
            yield value


def _is_layer(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("class_name"), str)
        and isinstance(value.get("config"), dict | list)
    )


def _keys(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a layer; none of a Sequential model, which has a list of layers."""
    return layer["config"] if isinstance(layer["config"], dict) else {}


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer.get("name") or _keys(layer).get("name", ""))


def _listed(config: Any) -> Sequence[Mapping[str, Any]]:
    """The layers of a Sequential model."""
    listed: Sequence[Mapping[str, Any]] = config if isinstance(config, list) else config["layers"]
    return listed


def _call(tensor: Sequence[Any]) -> list[Any]:
    """[layer, call, output] with the arguments that Keras 2 adds."""
    name, node, index = tensor
    return [name, node, index, {}]


def _malformed(error: Exception) -> Problem:
    return Problem(
        where="model config",
        expected="a config as the to_json() of Keras 1 writes it",
        received=f"{type(error).__name__}: {error}"[:300],
        remedy="name the file with the model's to_json() text: --architecture model.json",
    )
