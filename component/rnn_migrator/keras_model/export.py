"""A built model to files: a SavedModel with its signatures, and a `.keras` file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from rnn_migrator.canonical import LENGTHS, state_sizes
from rnn_migrator.keras_model.build import BuiltModel
from rnn_migrator.keras_model.examples import EXAMPLES, Parser

SAVED_MODEL = "saved_model"
KERAS_FILE = "model.keras"
RESET = "reset_states"
"""Signature of stateful models: no inputs; begins with zeros again."""

Tensors = Mapping[str, Any]
Endpoint = tuple[Callable[[Tensors], Tensors], dict[str, tf.TensorSpec]]


def save(built: BuiltModel, folder: Path, examples: bool = False) -> None:
    """Writes `saved_model/` and `model.keras` into an existing folder.

    The signatures are, for a Keras model, `serving_default` under the legacy names and, if it keeps
    its states from call to call, `reset_states`; for bare
    weights `serving_default` (inputs to outputs and final states), `with_lengths` (the same with
    `sequence_length`, semantics of TensorFlow 1) and, unless a layer runs in both directions,
    `step` (one time step, states in and out).

    Args:
      built: The model.
      folder: Where to.
      examples: Whether there is a signature `examples` besides, which takes serialized tf.Example
        protos and gives what `with_lengths` gives for bare weights, `serving_default` for others.
    """
    module = tf.Module()
    module.model_variables = [variable.value for variable in built.keras_model.weights]
    # Dropout's random states too: inference does not use them, but its graph mentions them.
    module.other_variables = [variable.value for variable in built.keras_model.variables]
    module.states = [variable.value for variable in kept_states(built)]
    found = endpoints(built, examples)
    module.endpoints = {name: _function(endpoint) for name, endpoint in found.items()}
    signatures = {name: f.get_concrete_function() for name, f in module.endpoints.items()}
    tf.saved_model.save(module, str(folder / SAVED_MODEL), signatures=signatures)
    built.keras_model.save(folder / KERAS_FILE)


def endpoints(built: BuiltModel, examples: bool = False) -> dict[str, Endpoint]:
    """Signatures by name: the function on named tensors, and the specs of its inputs."""
    found = _plain_endpoints(built)
    if examples:
        served = found["with_lengths" if built.canonical.bare_weights else "serving_default"]
        found[EXAMPLES] = _examples(built, served)
    return found


def _plain_endpoints(built: BuiltModel) -> dict[str, Endpoint]:
    if not built.canonical.bare_weights:
        found = {"serving_default": _whole_model(built)}
        return {**found, RESET: _reset(built)} if kept_states(built) else found
    found = {"serving_default": _sequences(built), "with_lengths": _with_lengths(built)}
    if not any(layer.backward for layer in built.canonical.recurrent_layers):
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
        return dict(zip(outputs, tf.nest.flatten(results), strict=True))

    specs = {
        source.name: tf.TensorSpec([source.batch, *source.shape], source.dtype, name=source.name)
        for source in sources
    }
    return call, specs


def kept_states(built: BuiltModel) -> list[Any]:
    """The variables in which stateful layers keep their states from call to call."""
    parts = [
        getattr(layer, direction, layer)
        for layer in built.layers
        for direction in ("forward_layer", "backward_layer")
    ]
    kept = [s for part in parts if part.stateful for s in tf.nest.flatten(part.states)]
    return list({id(state): state for state in kept}.values())


def _reset(built: BuiltModel) -> Endpoint:
    states = kept_states(built)

    def call(tensors: Tensors) -> Tensors:
        del tensors
        for state in states:
            state.assign(tf.zeros_like(state))
        return {"states": tf.constant(len(states))}

    return call, {}


def _examples(built: BuiltModel, served: Endpoint) -> Endpoint:
    parse, (serve, _) = Parser(built.canonical), served

    def call(tensors: Tensors) -> Tensors:
        return serve(parse(tensors[EXAMPLES]))

    return call, {EXAMPLES: tf.TensorSpec([None], tf.string, name=EXAMPLES)}


def _input_spec(built: BuiltModel) -> tf.TensorSpec:
    [source] = built.canonical.inputs
    return tf.TensorSpec([None, *source.shape], source.dtype, name=source.name)


def _run(built: BuiltModel, x: Any, mask: Any) -> Tensors:
    """Outputs and final states of a stack of recurrent layers."""
    names, finals = state_sizes(built.canonical.recurrent_layers), []
    for layer in built.layers:
        x, *states = tf.nest.flatten(layer(x, mask=mask, training=False))
        finals += states
    return {"outputs": x, **dict(zip(names, finals, strict=True))}


def _sequences(built: BuiltModel) -> Endpoint:
    def call(tensors: Tensors) -> Tensors:
        return _run(built, tensors["inputs"], None)

    return call, {"inputs": _input_spec(built)}


def _with_lengths(built: BuiltModel) -> Endpoint:
    def call(tensors: Tensors) -> Tensors:
        steps = tf.shape(tensors["inputs"])[1]
        mask = tf.sequence_mask(tensors[LENGTHS], steps)
        return _run(built, tensors["inputs"], mask)

    lengths = tf.TensorSpec([None], tf.int32, name=LENGTHS)
    return call, {"inputs": _input_spec(built), LENGTHS: lengths}


def _step(built: BuiltModel) -> Endpoint:
    sizes = state_sizes(built.canonical.recurrent_layers)

    def call(tensors: Tensors) -> Tensors:
        x = tensors["inputs"]
        finals: list[Any] = []
        states = iter([tensors[name] for name in sizes])
        for layer in built.layers:
            for cell in getattr(layer.cell, "cells", [layer.cell]):
                x, after = cell(x, [next(states) for _ in tf.nest.flatten(cell.state_size)])
                finals += tf.nest.flatten(after)
        return {"outputs": x, **dict(zip(sizes, finals, strict=True))}

    [source] = built.canonical.inputs
    specs = {"inputs": tf.TensorSpec([None, source.shape[-1]], source.dtype, name="inputs")}
    states = {n: tf.TensorSpec([None, w], tf.float32, name=n) for n, w in sizes.items()}
    return call, specs | states
