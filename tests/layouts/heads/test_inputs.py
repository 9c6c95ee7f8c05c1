"""Where padding is seen: what the rules say, held against the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import Array, CanonicalModel
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.layouts.heads.inputs import unseen_paddings
from tests.equivalence.inputs.models import stack
from tests.recognition.artifacts import (
    Config,
    functional,
    keras_artifact,
    layer,
    model_of,
    recurrent_config,
    sequential,
    weight_shapes,
    with_input,
)

WIDTH, UNITS, PADDING = 4, 5, 7.0
MASKING = with_input(layer("Masking", "mask", mask_value=PADDING), None, WIDTH)
EMBEDDING = with_input(
    layer("Embedding", "emb", input_dim=11, output_dim=WIDTH, mask_zero=True), None
)


def lstm(name: str, sequences: bool = False, **config: Any) -> Config:
    return recurrent_config("LSTM", name, UNITS, return_sequences=sequences, **config)


def dense(name: str, units: int = 3) -> Config:
    return layer("Dense", name, units=units, activation="relu", use_bias=True)


def chain(*layers: Config, **more: Any) -> CanonicalModel:
    """A Sequential model, its weights by layer."""
    weights: dict[str, Any] = {}
    width = WIDTH
    for one in layers:
        name = one["config"]["name"]
        if one["class_name"] == "LSTM":
            weights[name] = weight_shapes("LSTM", width, UNITS)
            width = UNITS
        if one["class_name"] == "Dense":
            weights[name] = {
                "kernel:0": (width, one["config"]["units"]),
                "bias:0": (one["config"]["units"],),
            }
            width = one["config"]["units"]
    return model_of(keras_artifact(sequential(*layers), weights | more))


def activation(name: str, function: str) -> Config:
    return layer("Activation", name, activation=function)


def convolution() -> Config:
    stated = {"filters": 3, "kernel_size": [3], "strides": [1], "padding": "same"}
    return layer("Conv1D", "conv", **stated, activation="linear", use_bias=True)


UNSEEN = {
    "last output": chain(MASKING, lstm("a")),
    "ids": chain(EMBEDDING, lstm("a"), emb={"embeddings:0": (11, WIDTH)}),
    "stack": chain(MASKING, lstm("a", True), activation("t", "tanh"), lstm("b"), dense("d")),
    "each step": chain(MASKING, dense("d", WIDTH), lstm("a")),
    "backwards": chain(MASKING, lstm("a", go_backwards=True)),
    "mean": chain(MASKING, lstm("a", True), layer("GlobalAveragePooling1D", "mean")),
}
SEEN = {
    "no mask": chain(with_input(lstm("a"), None, WIDTH)),
    "sequences": chain(MASKING, lstm("a", True)),
    "convolution": chain(
        MASKING,
        lstm("a", True),
        convolution(),
        layer("GlobalAveragePooling1D", "mean"),
        conv={"kernel:0": (3, UNITS, 3), "bias:0": (3,)},
    ),
    "turned around": chain(MASKING, lstm("a", True, go_backwards=True), lstm("b")),
    "not always masked": model_of(
        keras_artifact(
            functional(
                {
                    "x": (layer("InputLayer", "x", batch_input_shape=[None, None, WIDTH]), []),
                    "mask": (layer("Masking", "mask", mask_value=PADDING), ["x"]),
                    "a": (lstm("a"), ["mask"]),
                    "b": (lstm("b"), ["x"]),
                },
                ["x"],
                ["a", "b"],
            ),
            {name: weight_shapes("LSTM", WIDTH, UNITS) for name in "ab"},
        )
    ),
}


def difference(model: CanonicalModel, padding: float) -> float:
    """How far padding moves any output, in float64."""
    rng, [source] = np.random.default_rng(0), model.inputs
    values = rng.normal(size=(6, 8, *source.shape[1:])) if source.shape[1:] else None
    short: Array = rng.integers(1, 11, (6, 8)) if values is None else values
    steps = [(0, 0), (0, 4), (0, 0)][: short.ndim]
    long = np.pad(short, steps, constant_values=padding)
    formulas = Formulas(model)
    alone, padded = (formulas.run("serving_default", {source.name: x}) for x in (short, long))
    return max(
        np.inf
        if alone[name].shape != padded[name].shape
        else float(np.max(np.abs(alone[name] - padded[name])))
        for name in alone
    )


@pytest.mark.parametrize("model", UNSEEN.values(), ids=UNSEEN)
def test_padding_that_no_output_tells_of(model: CanonicalModel) -> None:
    [(name, value)] = unseen_paddings(model).items()
    assert name == model.inputs[0].name
    assert difference(model, value) < 1e-12


@pytest.mark.parametrize("model", SEEN.values(), ids=SEEN)
def test_padding_that_an_output_may_tell_of(model: CanonicalModel) -> None:
    assert unseen_paddings(model) == {}
    assert difference(model, PADDING) > 1e-3


def test_bare_weights_make_no_mask() -> None:
    assert unseen_paddings(stack()) == {}
