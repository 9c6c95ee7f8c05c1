"""Keras 2 as it still lives in `tf_keras`: as oracle, and as writer of models the lab has not."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator.equivalence.controls import broken_models
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.inputs.probes import probe_cases
from rnn_migrator.equivalence.oracles import open_oracles
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.equivalence.oracles.keras2 import Keras2
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.keras_model.build import build_model
from rnn_migrator.keras_model.export import endpoints
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.readers import open_artifact
from rnn_migrator.recognition.recognise import Recognition, recognise
from rnn_migrator.recognition.settings import parse_settings
from tests.equivalence.lab import LAB

tf_keras = pytest.importorskip("tf_keras")
L = tf_keras.layers

ROUNDING = 1e-5
"""What float32 may be off by on the probes, saturating ones and sums of many included."""

WRONG = 1e-3

TIME, INPUTS, UNITS = 6, 3, 5


def chain(*layers: Any, shape: tuple[int | None, ...] = (None, INPUTS)) -> Any:
    return tf_keras.Sequential([L.Input(shape), *layers])


def two_ways() -> Any:
    """Two inputs, two outputs, and layers that join them."""
    x, ids = L.Input((TIME, INPUTS), name="x"), L.Input((TIME,), name="ids")
    embedded = L.Embedding(11, 4, name="embedding")(ids)
    joint = L.Concatenate(name="joint")([embedded, x])
    sequences = L.GRU(UNITS, return_sequences=True, reset_after=False, name="sequences")(joint)
    last = L.LSTM(4, name="last")(sequences)
    return tf_keras.Model([x, ids], [L.Dense(2, name="score")(last), sequences])


def both(layer: Any, **options: Any) -> Any:
    return L.Bidirectional(layer, **options)


MODELS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: chain(L.LSTM(UNITS, return_sequences=True)),
    "LSTM, last output": lambda: chain(L.LSTM(UNITS)),
    "LSTM, hard sigmoid": lambda: chain(L.LSTM(UNITS, recurrent_activation="hard_sigmoid")),
    "LSTM, relu": lambda: chain(L.LSTM(UNITS, activation="relu", recurrent_activation="softsign")),
    "LSTM, fixed shape": lambda: chain(L.LSTM(UNITS), shape=(TIME, INPUTS)),
    "LSTM, backwards": lambda: chain(L.LSTM(UNITS, go_backwards=True)),
    "LSTM, all backwards": lambda: chain(
        L.LSTM(UNITS, go_backwards=True, return_sequences=True), L.LSTM(4)
    ),
    "GRU": lambda: chain(L.GRU(UNITS, return_sequences=True)),
    "GRU, reset before": lambda: chain(L.GRU(UNITS, reset_after=False, return_sequences=True)),
    "GRU, hard sigmoid": lambda: chain(L.GRU(UNITS, recurrent_activation="hard_sigmoid")),
    "stack with dropout": lambda: chain(
        L.LSTM(UNITS, return_sequences=True, dropout=0.3, recurrent_dropout=0.2),
        L.Dropout(0.5),
        L.GRU(4, dropout=0.1),
        L.Dense(2, activation="softmax"),
    ),
    **{
        f"both directions, {mode}": lambda mode=mode: chain(
            both(L.LSTM(UNITS, return_sequences=True), merge_mode=mode)
        )
        for mode in ("concat", "sum", "ave", "mul")
    },
    "both directions, last output": lambda: chain(both(L.GRU(UNITS)), L.Dense(2)),
    "both directions, stacked": lambda: chain(
        both(L.GRU(UNITS, return_sequences=True)), both(L.LSTM(4), merge_mode="sum")
    ),
    "masked": lambda: chain(L.Masking(-1.0), L.LSTM(UNITS, return_sequences=True)),
    "masked, last output": lambda: chain(L.Masking(), L.LSTM(UNITS), L.Dense(2)),
    "masked, zeros": lambda: chain(
        L.Masking(), L.LSTM(UNITS, return_sequences=True, zero_output_for_mask=True)
    ),
    "masked, stacked": lambda: chain(
        L.Masking(), L.GRU(UNITS, return_sequences=True), L.Dropout(0.1), L.LSTM(4)
    ),
    "masked, backwards": lambda: chain(
        L.Masking(), L.LSTM(UNITS, go_backwards=True, return_sequences=True)
    ),
    "masked, reset before": lambda: chain(
        L.Masking(), L.GRU(UNITS, reset_after=False, return_sequences=True)
    ),
    "masked, both directions": lambda: chain(L.Masking(), both(L.LSTM(UNITS))),
    "masked, head over time": lambda: chain(
        L.Masking(), L.LSTM(UNITS, return_sequences=True), L.TimeDistributed(L.Dense(2))
    ),
    "embedding": lambda: chain(L.Embedding(11, 4), L.LSTM(UNITS), shape=(None,)),
    "embedding, masked": lambda: chain(
        L.Embedding(11, 4, mask_zero=True),
        L.SpatialDropout1D(0.2),
        L.LSTM(UNITS),
        L.Dense(2, activation="sigmoid"),
        shape=(None,),
    ),
    "autoencoder": lambda: chain(
        L.LSTM(UNITS, activation="relu"),
        L.RepeatVector(TIME),
        L.LSTM(4, return_sequences=True),
        L.TimeDistributed(L.Dense(INPUTS)),
        shape=(TIME, INPUTS),
    ),
    "heads": lambda: chain(
        L.BatchNormalization(),
        L.GaussianNoise(0.1),
        L.LSTM(UNITS, return_sequences=True),
        L.Activation("relu"),
        L.Flatten(),
        L.Dense(8, use_bias=False),
        L.BatchNormalization(scale=False),
        L.Reshape((4, 2)),
        L.GRU(4),
        shape=(TIME, INPUTS),
    ),
    "two inputs and outputs": two_ways,
}


def randomised(model: Any) -> Any:
    """Random weights everywhere; positive where a variance has to be."""
    rng = np.random.default_rng(9)
    for weight in model.weights:
        values = rng.normal(0, 0.5, weight.shape)
        weight.assign(np.abs(values) + 0.5 if "moving_variance" in weight.name else values)
    return model


@dataclasses.dataclass(frozen=True)
class Saved:
    """A Keras 2 model, what recognition makes of its file, and what it answers to the probes."""

    recognition: Recognition
    cases: list[Case]
    answers: dict[str, dict[str, Any]]


@functools.cache
def saved(name: str) -> Saved:
    model = randomised(MODELS[name]())
    file = Path(_FOLDER.name) / f"{name}.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the format is a legacy: that is why we are here
        model.save(file)
    recognition = recognise(open_artifact(file), parse_settings([]))
    cases = probe_cases(recognition.model)
    return Saved(recognition, cases, {c.key: answer(model, recognition, c) for c in cases})


_FOLDER = tempfile.TemporaryDirectory(prefix="keras2-")
models = pytest.mark.parametrize("name", MODELS)


def answer(model: Any, recognition: Recognition, case: Case) -> dict[str, Any]:
    """What Keras 2 itself gives."""
    inputs = [case.inputs[source.name] for source in recognition.model.inputs]
    results = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    results = results if isinstance(results, list) else [results]
    return {n: r.numpy() for n, r in zip(recognition.model.outputs, results, strict=True)}


def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest error, relative to the largest output where that is above one."""
    assert set(one) == set(other)
    assert all(np.shape(one[name]) == np.shape(other[name]) for name in one)
    return max(
        float(np.max(np.abs(one[n] - other[n]))) / max(1.0, float(np.max(np.abs(one[n]))))
        for n in one
    )


@models
def test_the_formulas_compute_what_keras_2_computes(name: str) -> None:
    formulas = Formulas(saved(name).recognition.model)
    for case in saved(name).cases:
        received = formulas.run(case.signature, case.inputs)
        assert distance(received, saved(name).answers[case.key]) < ROUNDING, case.key


@models
def test_so_does_the_built_model(name: str) -> None:
    built = build_model(saved(name).recognition.model, Target.PORTABLE)
    [(call, _)] = endpoints(built).values()
    for case in saved(name).cases:
        received = {output: np.asarray(value) for output, value in call(case.inputs).items()}
        assert distance(received, saved(name).answers[case.key]) < ROUNDING, case.key


@models
def test_a_broken_conversion_does_not(name: str) -> None:
    mistakes = broken_models(saved(name).recognition.model)
    assert mistakes
    for mistake, broken in mistakes.items():
        formulas = Formulas(broken)
        errors = [
            distance(formulas.run(c.signature, c.inputs), saved(name).answers[c.key])
            for c in saved(name).cases
        ]
        assert max(errors) > WRONG, mistake


@pytest.mark.parametrize(
    "name", ["LSTM", "GRU, reset before", "both directions, stacked", "two inputs and outputs"]
)
def test_the_oracle_gives_what_keras_2_gives(name: str) -> None:
    oracle = Keras2.open(saved(name).recognition, saved(name).cases)
    for case in saved(name).cases:
        given = oracle.run(case)
        assert given is not None
        assert distance(dict(given), saved(name).answers[case.key]) < ROUNDING


ABSENT = {
    "masked_directions": "those of another release",
    "masked_stack": "those of another release",
    "theano_masked": "those of another release",
    "theano_conv": "does not turn the kernels",
    "conv_lstm_channels_first": "with their channels first",
    "lambda": "never run",
    "time_major": "never run",
    "subclassed": "not a Keras model",
    "keras1_nested": "cannot load it",
    "keras1_merged_branches": "cannot load it",
}
"""Where tf_keras computes something else, or would read code, by a part of the case's name."""

MASK_ALIKE = [f"tfkeras{release}_masked_directions" for release in ("1_15", "2_4", "2_15")]
"""Releases whose masked steps are those of tf_keras."""


@pytest.mark.parametrize("name", [name for name in LAB if "keras" in name])
def test_the_oracle_gives_the_goldens(name: str) -> None:
    lab = LAB[name]
    reason = next((reason for part, reason in ABSENT.items() if part in name), None)
    if reason is not None and name not in MASK_ALIKE:
        with pytest.raises(UnsupportedError, match=reason):
            Keras2.open(lab.recognition, [])
        return
    oracle = Keras2.open(lab.recognition, [])
    golden = lab.goldens["serving_default"]
    given = oracle.run(Case("golden", "serving_default", golden["inputs"]))
    assert given is not None
    assert distance(dict(given), golden["outputs"]) < ROUNDING


@pytest.mark.parametrize("name", ["keras2_lambda_last", "keras2_lambda_sum"])
def test_the_code_of_a_lambda_is_not_even_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*arguments: Any) -> Any:
        raise AssertionError("code of the file was read")

    monkeypatch.setattr("marshal.loads", read)
    with pytest.raises(UnsupportedError, match="never run"):
        Keras2.open(LAB[name].recognition, [])


def test_the_oracle_goes_by_the_class_the_user_named(tmp_path: Path) -> None:
    """The architecture says LSTM; the weights, and the user, say CuDNNLSTM."""
    lab = LAB["keras2_cudnn_lstm_weights"]
    config = json.loads((lab.case.folder / "architecture.json").read_text())
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "CuDNNLSTM":
            layer["class_name"] = "LSTM"
            layer["config"] |= {"activation": "tanh", "recurrent_activation": "hard_sigmoid"}
    file = tmp_path / "architecture.json"
    file.write_text(json.dumps(config))
    artifact = open_artifact(lab.case.source, file)
    with pytest.raises(UnsupportedError, match="as a CuDNNLSTM writes it"):
        recognise(artifact, parse_settings([]))
    recognition = recognise(artifact, parse_settings(["class=CuDNNLSTM"]))
    golden = lab.goldens["serving_default"]
    case = Case("golden", "serving_default", golden["inputs"])
    given = Keras2.open(recognition, [case]).run(case)
    assert given is not None
    for output, expected in golden["outputs"].items():
        np.testing.assert_allclose(given[output], expected, atol=1e-6)


def test_the_oracle_makes_nothing_but_layers_of_the_config() -> None:
    """Initializers and the like are not needed, and a hostile file could name anything there."""
    lab = LAB["keras2_lstm_hard_sigmoid"]
    config = copy.deepcopy(dict(lab.recognition.artifact.model_config or {}))
    for layer in config["config"]["layers"]:
        layer["config"]["kernel_initializer"] = {"class_name": "Lambda", "config": {}}
        layer["config"]["kernel_regularizer"] = {"class_name": "Missing", "config": {}}
    artifact = dataclasses.replace(lab.recognition.artifact, model_config=config)
    recognition = dataclasses.replace(lab.recognition, artifact=artifact)
    golden = lab.goldens["serving_default"]
    case = Case("golden", "serving_default", golden["inputs"])
    assert distance(dict(Keras2.open(recognition, []).run(case) or {}), golden["outputs"]) < 1e-6


def test_no_keras_model_no_oracle() -> None:
    recognition = LAB["tf1_basic_lstm_fb1"].recognition
    with pytest.raises(UnsupportedError, match="not a Keras model"):
        Keras2.open(recognition, [])
    _, attendance = open_oracles(recognition, [])
    reasons = {absence.name: absence.reason for absence in attendance.absent}
    assert reasons[Keras2.name] == "not a Keras model", "and not where its files lie"


def test_a_file_that_keras_2_cannot_load_is_no_error(tmp_path: Path) -> None:
    lab = LAB["keras2_lstm_hard_sigmoid"]
    gone = dataclasses.replace(lab.recognition.artifact, path=tmp_path / "gone.h5")
    recognition = dataclasses.replace(lab.recognition, artifact=gone)
    with pytest.raises(UnsupportedError, match="tf_keras cannot load it"):
        Keras2.open(recognition, [])


def test_the_config_is_left_as_it_was() -> None:
    artifact = LAB["keras2_cudnn_lstm"].recognition.artifact
    before = repr(artifact.model_config)
    Keras2.open(LAB["keras2_cudnn_lstm"].recognition, [])
    assert repr(artifact.model_config) == before
