"""Layers of a Keras 2 model to canonical layers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import Array, Fact, HeadLayer, LegacyCell, RecurrentLayer, SourceCell
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.heads import HEADS, REPLACEMENTS
from rnn_migrator.layouts.heads import problems as head_problems
from rnn_migrator.layouts.heads.replacements import PREFIX
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras1_weights import keras1_arrays, theano_arrays, theano_problems
from rnn_migrator.recognition.keras_cells import (
    RECURRENT,
    KerasCell,
    cell_facts,
    cells_of,
    choose_layout,
    written_by,
)
from rnn_migrator.recognition.keras_config import LayerConfig
from rnn_migrator.recognition.keras_weights import array_count
from rnn_migrator.recognition.settings import Settings

_MERGE_MODES = ("concat", "sum", "ave", "mul", None)
_TRAINING = ("dropout", "recurrent_dropout", "trainable")
PER_STEP = ("Dense", "Activation", "Dropout", "Embedding", "LeakyReLU", "ELU", "ReLU")
"""Over the last axis these compute the same with and without `TimeDistributed`."""


@dataclasses.dataclass(frozen=True)
class LayerSource:
    """Where a layer's weights are, and what the user says of it.

    Attributes:
      artifact: The artifact.
      names: Names of the layer's arrays, in file order.
      settings: The user's.
      is_keras1: Whether Keras 1 wrote them.
      index: Place of the layer among the recurrent ones, for `layer[N]` settings.
    """

    artifact: LegacyArtifact
    names: Sequence[str]
    settings: Settings
    is_keras1: bool = False
    index: int = -1


def is_recurrent(layer: LayerConfig) -> bool:
    """Whether a layer runs over time."""
    return _inner(layer)[0] in {*RECURRENT, "RNN"}


def build_layer(layer: LayerConfig, source: LayerSource) -> RecurrentLayer | HeadLayer:
    """The canonical layer for a layer of the config.

    Args:
      layer: As the config states it.
      source: Its weights and settings.

    Raises:
      UnsupportedError: Not a class that can be converted, or weights that do not fit it.
    """
    if is_recurrent(layer):
        return _recurrent(layer, source)
    return build_head_layer(layer, source)


def _inner(layer: LayerConfig) -> tuple[str, Mapping[str, Any]]:
    """Class and config of the recurrent layer, inside Bidirectional if need be."""
    if layer.class_name == "Bidirectional":
        return layer.config["layer"]["class_name"], layer.config["layer"]["config"]
    return layer.class_name, layer.config


def _recurrent(layer: LayerConfig, source: LayerSource) -> RecurrentLayer:
    class_name, config = _inner(layer)
    both = layer.class_name == "Bidirectional"
    own = layer.config.get("backward_layer") if both else None
    configs = [(class_name, config)]
    if both:
        configs.append((own["class_name"], own["config"]) if own else configs[0])
    raise_all(UnsupportedError, _flag_problems(layer, config))
    half = array_count(*configs[0]) if own else len(source.names) // len(configs)
    parts = [source.names[:half], source.names[half:]] if both else [source.names]
    stacks = [
        _stack(layer.name, *stated, dataclasses.replace(source, names=part))
        for stated, part in zip(configs, parts, strict=True)
    ]
    return RecurrentLayer(
        name=layer.name,
        forward=stacks[0],
        backward=stacks[1] if both else (),
        merge_mode=layer.config.get("merge_mode", "concat") if both else "concat",
        return_sequences=bool(config.get("return_sequences", False)),
        return_state=bool(config.get("return_state", False)),
        go_backwards=bool(config.get("go_backwards", False)),
        stateful=bool(config.get("stateful", False)),
        zero_output_for_mask=bool(config.get("zero_output_for_mask", False)),
        training={key: config[key] for key in _TRAINING if key in config},
    )


def _stack(
    name: str, class_name: str, config: Mapping[str, Any], source: LayerSource
) -> tuple[LegacyCell, ...]:
    """The cells of one direction, bottom to top."""
    wanted = source.settings.get("class", str(source.index), name)
    stated = cells_of(name, _class(wanted, class_name), config)
    counts = [3 if cell.get("use_bias", True) else 2 for _, cell in stated]
    if len(stated) == 1:
        counts = [len(source.names)]
    elif sum(counts) != len(source.names):
        raise UnsupportedError(_weight_count(name, sum(counts), source.names))
    rest = iter(source.names)
    return tuple(
        _cell(
            name,
            RECURRENT[cell_class],
            cell,
            dataclasses.replace(source, names=list(itertools.islice(rest, count))),
        )
        for (cell_class, cell), count in zip(stated, counts, strict=True)
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


def _cell(
    name: str, keras_cell: KerasCell, config: Mapping[str, Any], source: LayerSource
) -> LegacyCell:
    layout = choose_layout(keras_cell, config, source.names)
    roles = _roles(layout, config)
    if len(roles) != len(source.names):
        raise UnsupportedError(_weight_count(name, len(roles), source.names))
    names = dict(zip(roles, source.names, strict=True))
    artifact = source.artifact
    raise_all(UnsupportedError, dtype_problems(artifact, source.names))
    shapes = {role: artifact.tensors[tensor].shape for role, tensor in names.items()}
    raise_all(UnsupportedError, _shape_problems(name, keras_cell, config, layout.name, shapes))
    layer_names = (str(source.index), name)
    release = written_by(artifact.keras_version, source.settings)
    facts = cell_facts(name, keras_cell, config, source.settings, release, layer_names)
    arrays = _translated(keras_cell.class_name, config, _arrays(source), source)
    tensors = {role: arrays[tensor] for role, tensor in names.items()}
    legacy = SourceCell(layout.name, tensors, names, facts)
    return LegacyCell(layout.to_canonical(tensors, facts), legacy)


def _roles(layout: Any, config: Mapping[str, Any]) -> list[str]:
    """The roles that arrays of a layer fill, in file order."""
    biased = bool(config.get("use_bias", True))
    return [role for role in layout.roles if biased or role != "bias"]


def dtype_problems(artifact: LegacyArtifact, names: Sequence[str]) -> list[Problem]:
    """What is not float32 among the arrays of a layer."""
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


def _flag_problems(layer: LayerConfig, config: Mapping[str, Any]) -> list[Problem]:
    refused = []
    if layer.class_name == "Bidirectional":
        merge_mode = layer.config.get("merge_mode", "concat")
        refused += ["directions that begin backwards"] if config.get("go_backwards") else []
        refused += [f"merge_mode={merge_mode!r}"] if merge_mode not in _MERGE_MODES else []
    if config.get("_num_constants") or config.get("num_constants"):
        refused.append("constants that the cell sees at every step")
    return [
        Problem(
            where=f"layer {layer.name!r}",
            expected="a layer without it",
            received=what,
            remedy="this version converts no such layer; use rnn_migrator.warm_start to fill a "
            "layer of your own",
        )
        for what in refused
    ]


def _weight_count(name: str, count: int, names: Sequence[str]) -> Problem:
    listed = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    return Problem(
        where=f"layer {name!r}",
        expected=f"{count} weight arrays in the file",
        received=f"{len(names)}: {listed or 'none'}",
        remedy="name the architecture the weights were saved with: --architecture FILE",
    )


def _shape_problems(
    name: str,
    keras_cell: KerasCell,
    config: Mapping[str, Any],
    layout_name: str,
    shapes: Mapping[str, tuple[int, ...]],
) -> list[Problem]:
    layout, class_name = get_layout(layout_name), keras_cell.class_name
    units = config.get("units", config.get("filters"))
    problems = layout.problems(f"layer {name!r} ({class_name})", shapes)
    sizes = layout.sizes(shapes)
    if not problems and sizes is not None and sizes["U"] != units:
        problems.append(
            Problem(
                where=f"layer {name!r} ({class_name})",
                expected=f"units {units} of the config",
                received=f"arrays of {sizes['U']} units",
                remedy="name the architecture the weights were saved with: --architecture FILE",
            )
        )
    other = {"LSTM": "CuDNNLSTM", "GRU": "CuDNNGRU"}.get(class_name)
    if problems and other and _fits(other, shapes):
        return [_cudnn_shaped(name, class_name, other, shapes["bias"])]
    return problems


def _fits(class_name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    layout = get_layout(RECURRENT[class_name].layouts[False])
    return set(shapes) == set(layout.roles) and not layout.problems("", shapes)


def _cudnn_shaped(name: str, class_name: str, other: str, bias: tuple[int, ...]) -> Problem:
    return Problem(
        where=f"layer {name!r}",
        expected=f"the weights of a {class_name}, as the architecture says",
        received=f"a bias of shape {list(bias)}, as a {other} writes it",
        remedy=f"if a {other} wrote them: --set 'layer[{name}].class={other}' (its activations are "
        "sigmoid and tanh), else name the architecture the weights were saved with",
    )


def build_head_layer(layer: LayerConfig, source: LayerSource) -> HeadLayer:
    """The canonical layer for one without recurrence.

    Raises:
      UnsupportedError: Of no known class, or its config or weights do not fit the class.
    """
    class_name, config = layer.class_name, layer.config
    if class_name == "TimeDistributed" and config["layer"]["class_name"] in PER_STEP:
        class_name, config = config["layer"]["class_name"], config["layer"]["config"]
    replacement = source.settings.get("replacement", layer.name)
    if replacement is not None and class_name not in HEADS:
        class_name = replacement.value["class_name"]
        class_name = (
            REPLACEMENTS[class_name].class_name if class_name in REPLACEMENTS else class_name
        )
        config = {"name": layer.name, **replacement.value["config"]}
    if class_name not in HEADS:
        raise UnsupportedError(unknown_class(layer))
    raise_all(UnsupportedError, dtype_problems(source.artifact, source.names))
    arrays = _translated(class_name, config, _arrays(source), source)
    built = HeadLayer(layer.name, class_name, config, arrays)
    raise_all(UnsupportedError, head_problems(built))
    return built


def _arrays(source: LayerSource) -> dict[str, Array]:
    return {name: source.artifact.read(name) for name in source.names}


def _translated(
    class_name: str, config: Mapping[str, Any], arrays: Mapping[str, Array], source: LayerSource
) -> dict[str, Array]:
    """The arrays as Keras 2 with TensorFlow keeps them."""
    artifact = source.artifact
    if source.is_keras1:
        return keras1_arrays(class_name, config, arrays, artifact.backend)
    if artifact.backend == "theano":
        raise_all(UnsupportedError, theano_problems(class_name, config))
        return theano_arrays(class_name, config, arrays)
    return dict(arrays)


def unknown_class(layer: LayerConfig) -> Problem:
    """The refusal of a class that nobody here knows."""
    inner = layer.config.get("layer", {})
    inside = f" of {inner['class_name']}" if isinstance(inner, dict) and inner else ""
    remedy = (
        "build this part in tf.keras and fill its recurrent layers with rnn_migrator.warm_start"
    )
    if not inside:
        known = ", ".join(REPLACEMENTS)
        remedy = (
            f"name a layer that computes the same: --set 'layer[{layer.name}].replacement=CLASS("
            f"ARGUMENT=VALUE, ...)' with a class of Keras or one of {known}; or {remedy}"
        )
    heads = [name for name in HEADS if not name.startswith(PREFIX)]
    wrappers = ["RNN", "Bidirectional", "TimeDistributed"]
    return Problem(
        where=f"layer {layer.name!r}",
        expected="one of " + ", ".join([*RECURRENT, *wrappers, *heads]),
        received=layer.class_name + inside,
        remedy=remedy,
    )
