"""Layers of a Keras 2 model to canonical layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import (
    Direction,
    Fact,
    HeadLayer,
    Origin,
    RecurrentLayer,
    SourceCell,
)
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.facts import resolve
from rnn_migrator.recognition.keras_config import LayerConfig
from rnn_migrator.recognition.settings import Settings

_STORED = Fact(0.0, Origin.CLASS, "stands inside the bias of a Keras layer")
_NO_CLIP = Fact(None, Origin.CLASS, "Keras layers have none")
_UNSTATED: Mapping[str, Fact[Any]] = dict.fromkeys(
    ("activation", "recurrent_activation"), Fact(None, Origin.ASSUMED, "the config states none")
)
_CUDNN = {
    "activation": Fact("tanh", Origin.CLASS, "cuDNN computes no other"),
    "recurrent_activation": Fact("sigmoid", Origin.CLASS, "cuDNN computes no other"),
}


@dataclasses.dataclass(frozen=True)
class KerasCell:
    """A recurrent Keras class.

    Attributes:
      layout: Layout of its weights, by whether it resets after the recurrent product.
      fixed: What the class leaves no choice about.
    """

    layout: Mapping[bool, str]
    fixed: Mapping[str, Fact[Any]]

    def layout_for(self, config: Mapping[str, Any]) -> str:
        """The layout for a config."""
        return self.layout[bool(config.get("reset_after", False))]


RECURRENT = {
    "LSTM": KerasCell(
        {False: "keras_lstm", True: "keras_lstm"},
        {"forget_bias": _STORED, "cell_clip": _NO_CLIP},
    ),
    "CuDNNLSTM": KerasCell(
        {False: "keras_cudnn_lstm", True: "keras_cudnn_lstm"},
        {"forget_bias": _STORED, "cell_clip": _NO_CLIP, **_CUDNN},
    ),
    "GRU": KerasCell({False: "keras_gru", True: "keras_gru_reset_after"}, {}),
    "CuDNNGRU": KerasCell({False: "keras_cudnn_gru", True: "keras_cudnn_gru"}, _CUDNN),
}
"""Recurrent classes by name."""

_REFUSED_FLAGS = {
    "stateful": (True, "a stateful layer"),
    "return_state": (True, "a layer that returns its state"),
    "time_major": (True, "a time-major layer"),
    "use_bias": (False, "a layer without bias"),
}
_MERGE_MODES = ("concat", "sum", "ave", "mul")
_TRAINING = ("dropout", "recurrent_dropout", "trainable")


def build_layer(
    artifact: LegacyArtifact, layer: LayerConfig, index: int, settings: Settings
) -> RecurrentLayer | HeadLayer:
    """The canonical layer for a layer of the config.

    Args:
      artifact: Where its weights are.
      layer: As the config states it.
      index: Its place among the recurrent layers, for `layer[N]` settings.
      settings: The user's.

    Raises:
      UnsupportedError: Not a class that can be converted, or weights that do not fit it.
    """
    if is_recurrent(layer):
        return _recurrent(artifact, layer, index, settings)
    return _head(artifact, layer)


def is_recurrent(layer: LayerConfig) -> bool:
    """Whether a layer is one of `RECURRENT`, or both directions of one."""
    return _inner(layer)[0] in RECURRENT


def _inner(layer: LayerConfig) -> tuple[str, Mapping[str, Any]]:
    """Class and config of the recurrent layer, inside Bidirectional if need be."""
    if layer.class_name == "Bidirectional":
        return layer.config["layer"]["class_name"], layer.config["layer"]["config"]
    return layer.class_name, layer.config


def _recurrent(
    artifact: LegacyArtifact, layer: LayerConfig, index: int, settings: Settings
) -> RecurrentLayer:
    class_name, config = _inner(layer)
    bidirectional = layer.class_name == "Bidirectional"
    names = artifact.layers.get(layer.name, ())
    raise_all(UnsupportedError, _flag_problems(layer.name, config, layer.config, names))
    wanted = settings.get("class", str(index), layer.name)
    class_name = _class(wanted, class_name)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]] if bidirectional else [names]
    directions = [
        _direction(
            artifact, layer.name, class_name, config, half, (str(index), layer.name), settings
        )
        for half in halves
    ]
    return RecurrentLayer(
        name=layer.name,
        forward=directions[0],
        backward=directions[1] if bidirectional else None,
        merge_mode=layer.config.get("merge_mode", "concat") if bidirectional else "concat",
        return_sequences=bool(config.get("return_sequences", False)),
        go_backwards=bool(config.get("go_backwards", False)),
        zero_output_for_mask=bool(config.get("zero_output_for_mask", False)),
        training={key: config[key] for key in _TRAINING if key in config},
    )


def _class(wanted: Fact[Any] | None, stated: str) -> str:
    if wanted is None:
        return stated
    if wanted.value not in RECURRENT:
        raise UnsupportedError(
            Problem(
                where=wanted.source,
                expected="one of " + ", ".join(RECURRENT),
                received=repr(wanted.value),
                remedy="name one of these classes",
            )
        )
    return str(wanted.value)


def _direction(
    artifact: LegacyArtifact,
    name: str,
    class_name: str,
    config: Mapping[str, Any],
    names: Sequence[str],
    layer_names: tuple[str, ...],
    settings: Settings,
) -> Direction:
    keras_cell = RECURRENT[class_name]
    layout = get_layout(keras_cell.layout_for(config))
    roles = dict(zip(layout.roles, names, strict=True))
    raise_all(UnsupportedError, _dtype_problems(artifact, names))
    shapes = {role: artifact.tensors[tensor].shape for role, tensor in roles.items()}
    raise_all(UnsupportedError, _shape_problems(name, class_name, config, layout.name, shapes))
    stated = {
        key: Fact(config[key], Origin.CONFIG, f"layer {name!r}")
        for key in ("activation", "recurrent_activation")
        if key in config
    }
    facts = resolve({**_UNSTATED, **stated, **keras_cell.fixed}, {}, settings, *layer_names)
    raise_all(UnsupportedError, _fact_problems(name, facts))
    if class_name == "GRU":
        facts["reset_after"] = _reset_after(name, config)
    tensors = {role: artifact.read(tensor) for role, tensor in roles.items()}
    source = SourceCell(layout.name, tensors, roles, facts)
    return Direction(layout.to_canonical(tensors, facts), source)


def _reset_after(name: str, config: Mapping[str, Any]) -> Fact[bool]:
    if "reset_after" in config:
        return Fact(bool(config["reset_after"]), Origin.CONFIG, f"layer {name!r}")
    return Fact(False, Origin.TENSORS, "one bias of 3U; the config states none")


def _fact_problems(name: str, facts: Mapping[str, Fact[Any]]) -> list[Problem]:
    """Activations must be stated, by names that mean one thing."""
    problems = []
    for key in ("activation", "recurrent_activation"):
        value = facts[key].value
        if not _is_activation(value):
            problems.append(
                Problem(
                    where=f"layer {name!r}, {key}",
                    expected="one of " + ", ".join(ACTIVATIONS),
                    received="nothing in the config" if value is None else repr(value),
                    remedy=f"--set 'layer[{name}].{key}=NAME'",
                )
            )
    if "forget_bias" in facts and facts["forget_bias"].value:
        problems.append(_second_forget_bias(name, facts["forget_bias"]))
    return problems


def _is_activation(value: Any) -> bool:
    return isinstance(value, str) and value in ACTIVATIONS


def _second_forget_bias(name: str, fact: Fact[float]) -> Problem:
    return Problem(
        where=f"layer {name!r}, forget_bias",
        expected="none, since the bias of a Keras layer holds it already",
        received=fact.describe(),
        remedy="leave the setting out",
    )


def _dtype_problems(artifact: LegacyArtifact, names: Sequence[str]) -> list[Problem]:
    return [
        Problem(
            where=name,
            expected="float32 weights",
            received=artifact.tensors[name].dtype,
            remedy="save the weights as float32: set_floatx('float32'), build the model again, "
            "set_weights, save",
        )
        for name in names
        if artifact.tensors[name].dtype != "float32"
    ]


def _flag_problems(
    name: str, config: Mapping[str, Any], outer: Mapping[str, Any], names: Sequence[str]
) -> list[Problem]:
    refused = [
        what for key, (value, what) in _REFUSED_FLAGS.items() if config.get(key, not value) is value
    ]
    if outer.get("backward_layer"):
        refused.append("a backward layer of its own")
    if "layer" in outer:
        refused += _bidirectional_refusals(config, outer.get("merge_mode", "concat"))
    problems = [
        Problem(
            where=f"layer {name!r}",
            expected="a layer without it",
            received=what,
            remedy="this version converts no such layer; use rnn_migrator.warm_start to fill a "
            "layer of your own",
        )
        for what in refused
    ]
    count = 6 if "layer" in outer else 3
    if len(names) != count and not problems:
        problems.append(_weight_count(name, count, names))
    return problems


def _bidirectional_refusals(config: Mapping[str, Any], merge_mode: Any) -> list[str]:
    refused = ["directions that begin backwards"] if config.get("go_backwards") else []
    if merge_mode not in _MERGE_MODES:
        refused.append(f"merge_mode={merge_mode!r}")
    return refused


_KERAS1_ARRAYS = (12, 9)
"""Arrays of an LSTM and of a GRU in a file of Keras 1, three a gate."""


def _weight_count(name: str, count: int, names: Sequence[str]) -> Problem:
    remedy = "name the architecture the weights were saved with: --architecture FILE"
    if len(names) * 3 in [arrays * count for arrays in _KERAS1_ARRAYS]:
        remedy = (
            "a file of Keras 1, which this version does not convert: load it with Keras 2.0 to "
            "2.3 and save it again"
        )
    listed = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    return Problem(
        where=f"layer {name!r}",
        expected=f"{count} weight arrays in the file",
        received=f"{len(names)}: {listed or 'none'}",
        remedy=remedy,
    )


def _shape_problems(
    name: str,
    class_name: str,
    config: Mapping[str, Any],
    layout_name: str,
    shapes: Mapping[str, tuple[int, ...]],
) -> list[Problem]:
    layout = get_layout(layout_name)
    units = config.get("units")
    problems = layout.problems(f"layer {name!r} ({class_name})", shapes)
    if not problems and layout.sizes(shapes["kernel"])[1] != units:  # type: ignore[index]
        problems.append(
            Problem(
                where=f"layer {name!r} ({class_name})",
                expected=f"units {units} of the config",
                received=f"a kernel of shape {list(shapes['kernel'])}",
                remedy="name the architecture the weights were saved with: --architecture FILE",
            )
        )
    other = {"LSTM": "CuDNNLSTM", "GRU": "CuDNNGRU"}.get(class_name)
    if problems and other and _fits(other, shapes):
        return [_cudnn_shaped(name, class_name, other, shapes["bias"])]
    return problems


def _fits(class_name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return not get_layout(RECURRENT[class_name].layout[False]).problems("", shapes)


def _cudnn_shaped(name: str, class_name: str, other: str, bias: tuple[int, ...]) -> Problem:
    return Problem(
        where=f"layer {name!r}",
        expected=f"the weights of a {class_name}, as the architecture says",
        received=f"a bias of shape {list(bias)}, as a {other} writes it",
        remedy=f"if a {other} wrote them: --set 'layer[{name}].class={other}' (its activations are "
        "sigmoid and tanh), else name the architecture the weights were saved with",
    )


def _head(artifact: LegacyArtifact, layer: LayerConfig) -> HeadLayer:
    class_name, config = layer.class_name, layer.config
    if class_name == "TimeDistributed" and config["layer"]["class_name"] in _PER_STEP:
        # Over the last axis these compute the same with and without the wrapper.
        class_name, config = config["layer"]["class_name"], config["layer"]["config"]
    if class_name not in HEADS:
        raise UnsupportedError(_unknown_class(layer))
    if not _is_activation(config.get("activation") or "linear"):
        raise UnsupportedError(_unknown_activation(layer, config["activation"]))
    names = artifact.layers.get(layer.name, ())
    raise_all(UnsupportedError, _dtype_problems(artifact, names))
    return HeadLayer(layer.name, class_name, config, {n: artifact.read(n) for n in names})


_PER_STEP = ("Dense", "Activation", "Dropout")


def _unknown_class(layer: LayerConfig) -> Problem:
    inner = layer.config.get("layer", {})
    inside = f" of {inner['class_name']}" if isinstance(inner, dict) and inner else ""
    return Problem(
        where=f"layer {layer.name!r}",
        expected="one of " + ", ".join([*RECURRENT, "Bidirectional", "TimeDistributed", *HEADS]),
        received=layer.class_name + inside,
        remedy="build this part in tf.keras and fill its recurrent layers with "
        "rnn_migrator.warm_start",
    )


def _unknown_activation(layer: LayerConfig, activation: Any) -> Problem:
    return Problem(
        where=f"layer {layer.name!r}, activation",
        expected="one of " + ", ".join(ACTIVATIONS),
        received=repr(activation),
        remedy="build this part in tf.keras and fill its recurrent layers with "
        "rnn_migrator.warm_start",
    )
