"""A built model to files: a SavedModel with its signatures, and a `.keras` file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from rnn_migrator.canonical import RecurrentLayer, state_names
from rnn_migrator.keras_model.build import BuiltModel

SAVED_MODEL = "saved_model"
KERAS_FILE = "model.keras"

Tensors = Mapping[str, Any]
Endpoint = tuple[Callable[[Tensors], Tensors], dict[str, tf.TensorSpec]]


def save(built: BuiltModel, folder: Path) -> None:
    """Writes `saved_model/` and `model.keras` into an existing folder.

    The signatures are, for a Keras model, `serving_default` under the legacy names; for bare
    weights `serving_default` (inputs to outputs and final states), `with_lengths` (the same with
    `sequence_length`, semantics of TensorFlow 1) and, unless a layer runs in both directions,
    `step` (one time step, states in and out).
    """
    module = tf.Module()
    module.model_variables = [variable.value for variable in built.keras_model.weights]
    module.endpoints = {name: _function(endpoint) for name, endpoint in endpoints(built).items()}
    signatures = {name: f.get_concrete_function() for name, f in module.endpoints.items()}
    tf.saved_model.save(module, str(folder / SAVED_MODEL), signatures=signatures)
    built.keras_model.save(folder / KERAS_FILE)


def endpoints(built: BuiltModel) -> dict[str, Endpoint]:
    """Signatures by name: the function on named tensors, and the specs of its inputs."""
    if not built.canonical.bare_weights:
        return {"serving_default": _whole_model(built)}
    found = {"serving_default": _sequences(built), "with_lengths": _with_lengths(built)}
    if all(layer.backward is None for layer in built.canonical.recurrent_layers):
        found["step"] = _step(built)
    return found


def _function(endpoint: Endpoint) -> Any:
    """A `tf.function` that takes its tensors under the names of the specs."""
    call, specs = endpoint

    @tf.function(input_signature=list(specs.values()), autograph=False)
    def signature(*tensors: Any) -> Any:
        return dict(call(dict(zip(specs, tensors, strict=True))))

    return signature


def _whole_model(built: BuiltModel) -> Endpoint:
    sources, outputs = built.canonical.inputs, built.canonical.outputs

    def call(tensors: Tensors) -> Tensors:
        inputs = [tensors[source.name] for source in sources]
        results = built.keras_model(inputs if len(inputs) > 1 else inputs[0], training=False)
        results = results if isinstance(results, list | tuple) else [results]
        return dict(zip(outputs, results, strict=True))

    specs = {
        source.name: tf.TensorSpec([None, *source.shape], source.dtype, name=source.name)
        for source in sources
    }
    return call, specs


def _input_spec(built: BuiltModel) -> tf.TensorSpec:
    [source] = built.canonical.inputs
    return tf.TensorSpec([None, *source.shape], source.dtype, name=source.name)


def _run(built: BuiltModel, x: Any, mask: Any) -> Tensors:
    """Outputs and final states of a stack of recurrent layers."""
    names, finals = state_names(built.canonical.recurrent_layers), []
    for layer in built.layers:
        x, *states = layer(x, mask=mask, training=False)
        finals += states
    return {"outputs": x, **dict(zip(names, finals, strict=True))}


def _sequences(built: BuiltModel) -> Endpoint:
    def call(tensors: Tensors) -> Tensors:
        return _run(built, tensors["inputs"], None)

    return call, {"inputs": _input_spec(built)}


def _with_lengths(built: BuiltModel) -> Endpoint:
    def call(tensors: Tensors) -> Tensors:
        steps = tf.shape(tensors["inputs"])[1]
        mask = tf.sequence_mask(tensors["sequence_length"], steps)
        return _run(built, tensors["inputs"], mask)

    lengths = tf.TensorSpec([None], tf.int32, name="sequence_length")
    return call, {"inputs": _input_spec(built), "sequence_length": lengths}


def _step(built: BuiltModel) -> Endpoint:
    recurrent = built.canonical.recurrent_layers
    names = state_names(recurrent)

    def call(tensors: Tensors) -> Tensors:
        x = tensors["inputs"]
        finals: list[Any] = []
        states = iter([tensors[name] for name in names])
        for layer, keras_layer in zip(recurrent, built.layers, strict=True):
            x, after = keras_layer.cell(x, [next(states) for _ in layer.kind.states])
            finals += after if isinstance(after, list | tuple) else [after]
        return {"outputs": x, **dict(zip(names, finals, strict=True))}

    [source] = built.canonical.inputs
    specs = {"inputs": tf.TensorSpec([None, source.shape[-1]], source.dtype, name="inputs")}
    return call, specs | _state_specs(recurrent)


def _state_specs(recurrent: tuple[RecurrentLayer, ...]) -> dict[str, tf.TensorSpec]:
    widths = [layer.forward.cell.units for layer in recurrent for _ in layer.kind.states]
    return {
        name: tf.TensorSpec([None, width], tf.float32, name=name)
        for name, width in zip(state_names(recurrent), widths, strict=True)
    }
