"""The signature that takes serialized tf.Example protos, against the one that takes tensors."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.canonical import LENGTHS, CanonicalModel
from rnn_migrator.errors import NotEquivalentError, UnsupportedError
from rnn_migrator.keras_model import export
from rnn_migrator.keras_model.build import build_model
from rnn_migrator.keras_model.examples import EXAMPLES, Parser, problems, records
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.migration import Request, convert, recognise_source, verify
from tests.equivalence.inputs.records import example
from tests.equivalence.lab import LAB, check_answers
from tests.keras_model import serve
from tests.layouts.heads.test_inputs import SEEN, UNSEEN

SERVED = (
    "tf1_stacked_lstm",
    "tf1_bidirectional_gru",
    "keras2_3_lstm",
    "keras2_hierarchical",
    "keras2_int_inputs",
    "keras2_lstm_hard_sigmoid",
    "keras2_masked_stack",
    "tfkeras1_15_time_major",
)
OPEN = "keras2_3_lstm"

Call = Callable[..., dict[str, Any]]
CLOSE = 1e-6


def request(name: str) -> Request:
    case = LAB[name].case
    settings = tuple(f"{key}={value}" for key, value in case.settings.items())
    return Request(case.source, case.architecture, settings, examples_signature=True)


@functools.cache
def endpoint(model: CanonicalModel) -> Call:
    call, _ = export.endpoints(build_model(model, Target.CPU), True)[EXAMPLES]
    return call


def served(model: CanonicalModel, sent: Any) -> dict[str, Any]:
    """What the signature gives, before it is written to disk."""
    outputs = endpoint(model)({EXAMPLES: tf.constant(sent)})
    return {name: np.asarray(tensor) for name, tensor in outputs.items()}


@pytest.mark.parametrize("name", SERVED)
def test_records_give_the_goldens(name: str) -> None:
    lab = LAB[name]
    signature = "with_lengths" if "with_lengths" in lab.goldens else "serving_default"
    inputs = lab.goldens[signature]["inputs"]
    lengths = inputs.get(LENGTHS, np.ones(len(next(iter(inputs.values())))))
    sent = records(lab.recognition.model, inputs)
    found = served(lab.recognition.model, sent[lengths > 0])
    answers = {key: np.zeros((len(lengths), *x.shape[1:]), x.dtype) for key, x in found.items()}
    for key, array in found.items():
        answers[key][lengths > 0] = array
    check_answers(lab, answers, signature)


# Several lengths in a batch


def sequences(model: CanonicalModel, *lengths: int) -> list[bytes]:
    rng, [source] = np.random.default_rng(0), model.inputs
    shapes = [(length, *source.shape[1:]) for length in lengths]
    values = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    if not source.shape[1:]:
        values = [rng.integers(1, 11, shape) for shape in shapes]
    return [example(**{source.name: one}) for one in values]


@pytest.mark.parametrize("model", UNSEEN.values(), ids=UNSEEN)
def test_padding_that_is_not_seen_changes_nothing(model: CanonicalModel) -> None:
    sent = sequences(model, 3, 9, 1, 6)
    together = served(model, sent)
    for row, one in enumerate(sent):
        for name, alone in served(model, [one]).items():
            np.testing.assert_allclose(together[name][row], alone[0], atol=CLOSE)


@pytest.mark.parametrize("model", SEEN.values(), ids=SEEN)
def test_padding_that_would_be_seen_is_refused(model: CanonicalModel) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="records of one length in a batch"):
        served(model, sequences(model, 3, 9))
    together = served(model, sequences(model, 6, 6, 6))
    assert {len(array) for array in together.values()} == {3}


def test_bare_weights_take_every_length() -> None:
    model = LAB["tf1_stacked_lstm"].recognition.model
    sent = sequences(model, 5, 2)
    together, alone = served(model, sent), served(model, sent[1:])
    np.testing.assert_allclose(together["outputs"][1, :2], alone["outputs"][0], atol=CLOSE)
    assert not together["outputs"][1, 2:].any()
    np.testing.assert_allclose(together["c_2"][1:], alone["c_2"], atol=CLOSE)


# Records that are wrong


def floats(count: int) -> list[float]:
    return [0.5] * count


@pytest.mark.parametrize(
    ("name", "features", "words"),
    [
        (OPEN, {"lstm_1_input": floats(7)}, "expected 3 values a time step"),
        (OPEN, {"lstm_1_input": floats(0)}, "at least one time step"),
        (OPEN, {"another": floats(6)}, "at least one time step"),
        (OPEN, {"lstm_1_input": [1, 2, 3]}, "Data types don't match"),
        ("keras2_lstm_hard_sigmoid", {"lstm_1_input": floats(41)}, "lstm_1_input"),
        ("keras2_lstm_hard_sigmoid", {"another": floats(42)}, "lstm_1_input"),
        ("keras2_masked_stack", {"embedding_input": floats(6)}, "Data types don't match"),
    ],
)
def test_a_record_that_does_not_fit_is_an_error(
    name: str, features: dict[str, Any], words: str
) -> None:
    model = LAB[name].recognition.model
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        served(model, [example(**features)])


# Models whose inputs no record holds


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("keras2_stateful", "a stateful layer"),
        ("keras2_stateful", "a model for 3 at a time"),
        ("tfkeras1_15_time_first", "the time axis"),
    ],
)
def test_a_model_that_takes_no_records_is_refused(name: str, words: str) -> None:
    with pytest.raises(UnsupportedError, match="--examples-signature") as refused:
        recognise_source(request(name))
    assert words in str(refused.value)
    recognise_source(dataclasses.replace(request(name), examples_signature=False))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (None, None, 3)}, "shape [any, any, 3]"),
        ({"shape": (5, None)}, "shape [5, any]"),
        ({"dtype": "object"}, "object"),
    ],
)
def test_an_input_that_no_feature_holds_is_refused(change: dict[str, Any], words: str) -> None:
    model = LAB[OPEN].recognition.model
    inputs = (dataclasses.replace(model.inputs[0], **change),)
    [problem] = problems(dataclasses.replace(model, inputs=inputs))
    assert words in problem.received
    assert not list(problems(model))


# On disk, and in the evaluation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "out"
    convert(request("tf1_stacked_lstm"), folder)
    return folder


def test_the_other_signatures_stay_what_they_are(folder: Path) -> None:
    signatures = tf.saved_model.load(str(folder / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "with_lengths", "step", EXAMPLES}
    [spec] = signatures[EXAMPLES].structured_input_signature[1].values()
    assert (spec.name, spec.dtype, spec.shape.as_list()) == (EXAMPLES, tf.string, [None])
    outputs = set(signatures["serving_default"].structured_outputs)
    assert set(signatures[EXAMPLES].structured_outputs) == outputs


@pytest.mark.parametrize("way", [serve.eager, serve.session])
def test_a_saved_model_takes_records(folder: Path, way: Callable[[str], serve.Call]) -> None:
    model = LAB["tf1_stacked_lstm"].recognition.model
    sent = sequences(model, 4, 1, 7)
    answers = way(str(folder / "saved_model"))(EXAMPLES, {EXAMPLES: np.array(sent, object)})
    for name, expected in served(model, sent).items():
        np.testing.assert_allclose(answers[name], expected, atol=CLOSE)


@pytest.mark.parametrize("way", [serve.eager, serve.session])
def test_a_saved_model_refuses_what_it_would_see(
    tmp_path: Path, way: Callable[[str], serve.Call]
) -> None:
    model = LAB[OPEN].recognition.model
    export.save(build_model(model, Target.PORTABLE), tmp_path, examples=True)
    call = way(str(tmp_path / "saved_model"))
    sent = sequences(model, 4, 4, 7)
    with pytest.raises(tf.errors.InvalidArgumentError, match="records of one length in a batch"):
        call(EXAMPLES, {EXAMPLES: np.array(sent, object)})
    answers = call(EXAMPLES, {EXAMPLES: np.array(sent[:2], object)})
    np.testing.assert_allclose(answers["dense_1"], served(model, sent[:2])["dense_1"], atol=CLOSE)


def test_a_model_for_gpus_is_compared_where_there_is_none(tmp_path: Path) -> None:
    asked = dataclasses.replace(request(OPEN), target=Target.GPU)
    convert(asked, tmp_path / "out")
    evaluation = verify(asked.source, tmp_path / "out")
    assert evaluation.equivalent
    assert "examples/dense_1" in evaluation.comparison.outputs


def test_the_evaluation_compares_it(folder: Path) -> None:
    evaluation = verify(LAB["tf1_stacked_lstm"].case.source, folder)
    assert evaluation.equivalent
    assert "records" in evaluation.measured.keys
    assert "examples/h_2" in evaluation.comparison.outputs


class Backwards(Parser):
    """Reads sequences from their end."""

    def __call__(self, serialized: Any) -> dict[str, Any]:
        inputs = super().__call__(serialized)
        return {**inputs, "inputs": tf.reverse(inputs["inputs"], [1])}


def test_a_signature_that_reads_records_wrongly_is_not_let_through(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "Parser", Backwards)
    with pytest.raises(NotEquivalentError, match="case 'records'"):
        convert(request("tf1_stacked_lstm"), tmp_path / "out")
    assert not list(tmp_path.iterdir())
    recognition = LAB["tf1_stacked_lstm"].recognition
    broken = tmp_path / "broken"
    broken.mkdir()
    export.save(build_model(recognition.model, Target.PORTABLE), broken, examples=True)
    (broken / "conversion.json").write_text((folder / "conversion.json").read_text())
    evaluation = verify(LAB["tf1_stacked_lstm"].case.source, broken)
    assert not evaluation.equivalent
    assert "case 'records'" in evaluation.reason
