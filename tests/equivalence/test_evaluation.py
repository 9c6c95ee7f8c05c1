"""The verdict: on right conversions, on wrong ones, and on what nobody can vouch for."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence import evaluation as evaluation_module
from rnn_migrator.equivalence.comparison import CONVERTED
from rnn_migrator.equivalence.evaluation import (
    Evaluation,
    Thresholds,
    assumptions,
    evaluate,
)
from rnn_migrator.equivalence.evaluator import Evaluator, Measurement, Tally
from rnn_migrator.equivalence.inputs.examples import Examples
from rnn_migrator.equivalence.inputs.plan import Inputs, chosen
from rnn_migrator.equivalence.inputs.search import SearchSpace
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.equivalence.yardstick import Yardstick
from rnn_migrator.keras_model.build import BuiltModel, build_model
from rnn_migrator.keras_model.export import SAVED_MODEL, save
from rnn_migrator.keras_model.reload import open_saved_model
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.recognition.recognise import Recognition
from tests.equivalence.inputs.records import example, sequences, write
from tests.equivalence.lab import DISTINCT, LAB, exported, judge, materials, recognised
from tests.recognition.artifacts import artifact, lstm, model_of

Arrays = Mapping[str, Any]


def converted(name: str, target: Target = Target.PORTABLE) -> Any:
    return open_saved_model(exported(name, target) / SAVED_MODEL)


def verdict(name: str, model: Any, golden: bool = False) -> Evaluation:
    lab = LAB[name]
    cases = materials(lab.recognition, lab.golden_files if golden else ())
    return evaluate(lab.recognition, model, cases)


# Right conversions


@pytest.mark.parametrize(
    "name",
    [
        "tf1_stacked_lstm",
        "tf1_bidirectional_gru",
        "tf1_handwritten_lstm",
        "keras2_cudnn_lstm",
        "keras2_bidirectional_lstm",
    ],
)
def test_a_right_conversion_is_blessed(name: str) -> None:
    """With its recorded outputs, and whoever else can say what the legacy model computes."""
    found = verdict(name, converted(name), golden=True)
    assert found.objections == []
    assert found.blessed
    assert found.reason.startswith("equivalent: at most ")
    assert "recorded outputs" in found.oracles
    assert found.oracles[-1] != "recorded outputs"
    excesses = [found.controls.excess(c, Thresholds()) for c in found.controls.parties]
    assert (
        min(e for e, c in zip(excesses, found.controls.parties, strict=True) if c != CONVERTED) > 30
    )


def test_the_evaluation_goes_into_json() -> None:
    name = "keras2_gru_cudnn"
    found = verdict(name, converted(name), golden=True)
    text = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert text["verdict"] == "blessed"
    assert text["cases"]["compared"][0] == "recorded in golden.npz"
    assert text["cases"]["sent"] == len(text["cases"]["compared"])
    assert text["thresholds"] == dataclasses.asdict(Thresholds())
    for control in text["controls"].values():
        assert control["error"] > 1e-3
        assert control["excess"] > 30
    for output in text["outputs"].values():
        assert output["parties"][CONVERTED]["excess"] <= 1.0
        assert output["parties"]["recorded outputs"]["excess"] <= 1.0


# Wrong conversions: the converted Keras model itself, broken before it is written

Break = Callable[[BuiltModel], None]
LSTM_GATES = ("input", "forget", "candidate", "output")


def blocks(array: Any) -> dict[str, Any]:
    """Blocks of a Keras LSTM's weight by gate."""
    return dict(zip(LSTM_GATES, np.split(array, 4, axis=-1), strict=True))


def joined(by_gate: Mapping[str, Any]) -> Any:
    return np.concatenate([by_gate[gate] for gate in LSTM_GATES], axis=-1)


def set_first(built: BuiltModel, change: Callable[[list[Any]], list[Any]]) -> None:
    """Changes kernel, recurrent kernel and bias of the first recurrent layer."""
    layer = built.layers[0]
    layer.set_weights(change(layer.get_weights()))


def swap_candidate_and_forget(built: BuiltModel) -> None:
    def swap(array: Any) -> Any:
        found = blocks(array)
        return joined(found | {"forget": found["candidate"], "candidate": found["forget"]})

    set_first(built, lambda weights: [swap(array) for array in weights])


def move_forget_bias(built: BuiltModel) -> None:
    def move(bias: Any) -> Any:
        found = blocks(bias)
        return joined(found | {"forget": found["forget"] - 1.0})

    set_first(built, lambda weights: [*weights[:2], move(weights[2])])


def drop_second_bias(built: BuiltModel) -> None:
    tensors = built.canonical.recurrent_layers[0].forward[0].source.tensors
    on_input, _ = np.split(tensors["bias"], 2)
    set_first(built, lambda weights: [*weights[:2], on_input])


def keep_cudnn_blocks(built: BuiltModel) -> None:
    """As `set_weights` with the arrays of the file does it: every shape fits."""
    tensors = built.canonical.recurrent_layers[0].forward[0].source.tensors
    set_first(built, lambda weights: [tensors["kernel"], *weights[1:]])


def take_keras3_hard_sigmoid(built: BuiltModel) -> None:
    for layer in built.layers:
        layer.cell.recurrent_activation = keras.activations.hard_sigmoid


def repeat_masked_output(built: BuiltModel) -> None:
    for layer in built.layers:
        layer.zero_output_for_mask = False


def swap_layers_of_states(built: BuiltModel) -> None:
    """Rows of the recurrent kernel in another order: the state of another unit."""
    set_first(built, lambda weights: [weights[0], np.roll(weights[1], 1, axis=0), weights[2]])


MISTAKES: dict[str, tuple[str, Break]] = {
    "candidate and forget gates swapped": ("tf1_stacked_lstm", swap_candidate_and_forget),
    "forget bias off by one": ("tf1_stacked_lstm", move_forget_bias),
    "default mask output": ("tf1_stacked_lstm", repeat_masked_output),
    "states shifted by one unit": ("tf1_basic_lstm_fb1", swap_layers_of_states),
    "one bias of two dropped": ("keras2_cudnn_lstm", drop_second_bias),
    "cuDNN blocks as they lie": ("keras2_cudnn_lstm", keep_cudnn_blocks),
    "hard sigmoid of Keras 3": ("keras2_lstm_hard_sigmoid", take_keras3_hard_sigmoid),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_conversion_is_refused(mistake: str, tmp_path: Path) -> None:
    name, break_it = MISTAKES[mistake]
    built = build_model(LAB[name].recognition.model, Target.CPU)
    break_it(built)
    save(built, tmp_path)
    found = verdict(name, open_saved_model(tmp_path / SAVED_MODEL))
    assert not found.equivalent
    assert not found.blessed
    assert found.reason.startswith(f"not equivalent: {CONVERTED}")
    assert found.comparison.excess(CONVERTED, Thresholds()) > 30
    assert found.controls.problems == ()


def test_a_wrong_fact_is_refused_by_the_oracle_that_knows_better() -> None:
    """Conversion and formulas agree with each other here; only who ran the model can object."""
    lab = LAB["tf1_basic_lstm_fb1"]
    wrong = recognised(lab.case, "", "forget_bias=0")
    model = Formulas(wrong.model, np.float32).run
    found = evaluate(wrong, model, materials(wrong, lab.golden_files))
    assert not found.equivalent
    assert found.comparison.excess(CONVERTED, Thresholds()) <= 1.0
    assert "so the facts taken for the model are not those of the model that ran" in found.reason
    blind = evaluate_without_oracles(wrong, model)
    assert blind.equivalent


# Nobody's word


def evaluate_without_oracles(recognition: Recognition, model: Any) -> Evaluation:
    """As for a bare checkpoint, which nobody can run."""
    bare = dataclasses.replace(
        recognition,
        artifact=dataclasses.replace(recognition.artifact, model_config=None),
        legacy_graph=None,
    )
    return evaluate(bare, model, materials(bare))


def test_an_assumption_that_nobody_confirms_is_not_blessed() -> None:
    name = "tf1_stacked_lstm_no_meta"
    bare = recognised(dataclasses.replace(LAB[name].case, settings={}))
    found = evaluate(bare, Formulas(bare.model, np.float32).run, materials(bare))
    assert found.equivalent
    assert not found.blessed
    assert found.oracles == []
    assert "forget_bias=1.0 (lstm_0, lstm_1, lstm_2)" in found.unconfirmed
    assert found.reason.startswith("not proven: ")
    assert all(text in found.reason for text in found.unconfirmed)


def test_a_recorded_output_confirms_it() -> None:
    name = "tf1_stacked_lstm_no_meta"
    bare = recognised(dataclasses.replace(LAB[name].case, settings={}))
    cases = materials(bare, LAB[name].golden_files)
    found = evaluate(bare, Formulas(bare.model, np.float32).run, cases)
    assert found.oracles == ["recorded outputs"]
    assert found.unconfirmed == []
    assert found.blessed


def test_a_recording_that_cannot_tell_confirms_nothing(tmp_path: Path) -> None:
    """From a state of zeros, the first step is the same with any forget bias."""
    case = dataclasses.replace(LAB["tf1_stacked_lstm_no_meta"].case, settings={})
    trained, bare = recognised(case, "", "forget_bias=0"), recognised(case)
    x = np.random.default_rng(0).normal(size=(4, 1, 4)).astype(np.float32)
    outputs = Formulas(trained.model, np.float32).run("serving_default", {"inputs": x})
    file = tmp_path / "golden.npz"
    np.savez(file, **{"in:inputs": x, "out:outputs": outputs["outputs"]})
    model = Formulas(bare.model, np.float32).run
    found = evaluate(bare, model, materials(bare, [file]))
    assert any(text.startswith("forget_bias=1.0") for text in found.unconfirmed)
    assert not found.blessed


def test_the_user_confirms_it() -> None:
    settings = ("forget_bias=1", "activation=tanh", "cell_clip=none")
    bare = recognised(LAB["tf1_stacked_lstm_npz"].case, "", *settings)
    assert assumptions(bare) == ()
    assert evaluate(bare, Formulas(bare.model, np.float32).run, materials(bare)).blessed


def test_assumptions_are_told_once_with_their_layers() -> None:
    model = model_of(artifact(lstm("basic_lstm_cell", 3, 5)))
    recognition = dataclasses.replace(LAB["tf1_stacked_lstm_npz"].recognition, model=model)
    told = [str(assumption) for assumption in assumptions(recognition)]
    assert told == ["activation=tanh (lstm_0)", "forget_bias=1.0 (lstm_0)"]


# Data sets


LAB_STACK = "tf1_stacked_lstm"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    records = [example(x=array) for array in sequences(200, 4, longest=20)]
    file = write(tmp_path_factory.mktemp("data") / "eval.tfrecord", records)
    return Inputs((), Examples((str(file),), {"inputs": "x"}, batch=16))


def judged(model: Any, data: Inputs, only: Sequence[str] = ()) -> Evaluation:
    """Without a search for what is wrong, which takes its time."""
    recognition = LAB[LAB_STACK].recognition
    evaluator, total = Evaluator(recognition, model), Measurement()
    plan = chosen(only, data.materials(recognition.model), recognition.model)
    for material in plan:
        total = total.merge(evaluator.measure(material))
    return dataclasses.replace(judge(recognition, total, len(plan)), partial=bool(only))


def test_a_right_conversion_on_a_data_set(data: Inputs) -> None:
    found = judged(converted(LAB_STACK), data)
    assert found.blessed
    assert found.measured.records == {"eval.tfrecord": Tally(200, 200)}
    assert "and 200 records" in found.reason


def off_on_some(model: CanonicalModel) -> Any:
    """Right but for sequences that begin with a large number, which no probe does."""
    right = Formulas(model, np.float32)

    def run(signature: str, inputs: Arrays, calls: int = 1) -> Any:
        outputs = right.run(signature, inputs, calls)
        x = inputs["inputs"]
        if x.ndim == 3 and x.shape[1] and signature == "with_lengths":
            rows = (x[:, 0, 0] > 2.2) & (x[:, 0, 0] < 2.6)
            outputs["outputs"] = outputs["outputs"] + 1e-3 * rows[:, np.newaxis, np.newaxis]
        return outputs

    return run


def test_what_only_the_data_set_shows(data: Inputs) -> None:
    recognition = LAB[LAB_STACK].recognition
    model = off_on_some(recognition.model)
    assert evaluate(recognition, model, materials(recognition)).equivalent
    found = judged(model, data)
    assert not found.equivalent
    [key] = found.comparison.worst_keys(CONVERTED)[:1]
    assert re.fullmatch(r"eval\.tfrecord#\d+", key)
    again = judged(model, data, [key])
    worst = again.comparison.worst_error(CONVERTED)
    assert worst.case == key
    assert worst.error == pytest.approx(found.comparison.worst_error(CONVERTED).error, rel=1e-3)
    fine = next(f"eval.tfrecord#{n}" for n in range(200) if f"eval.tfrecord#{n}" != key)
    assert judged(model, data, [fine]).equivalent


def test_chosen_cases_are_no_verdict(data: Inputs) -> None:
    found = judged(converted(LAB_STACK), data, ["eval.tfrecord#3"])
    assert found.equivalent
    assert not found.blessed
    assert found.reason.startswith("not proven: only the chosen cases ran")


def test_the_worst_records_are_five_different_ones(data: Inputs) -> None:
    recognition = LAB[LAB_STACK].recognition
    found = judged(Formulas(recognition.model, np.float32).run, data)
    worst = found.comparison.outputs["with_lengths/outputs"].ranking[CONVERTED]
    errors = [one.error for one in worst]
    assert len({one.case for one in worst}) == len(worst) == 5
    assert errors == sorted(errors, reverse=True)


def test_rounding_is_not_measured_where_it_cannot_matter(
    data: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognition = LAB[LAB_STACK].recognition
    measured = set()
    rounded = Yardstick.rounded
    monkeypatch.setattr(
        Yardstick, "rounded", lambda *given: measured.add(given[1].key) or rounded(*given)
    )
    right = Formulas(recognition.model, np.float32)

    def off(signature: str, inputs: Arrays, calls: int = 1) -> Any:
        outputs = right.run(signature, inputs, calls)
        return {name: array + np.float32(4e-6) for name, array in outputs.items()}

    [part] = data.materials(recognition.model)[-1:]
    excess = {}
    for name, model in {"right": right.run, "off": off}.items():
        measured.clear()
        found = Evaluator(recognition, model).measure(part).comparison
        excess[name] = found.excess(CONVERTED, Thresholds()), len(measured)
    assert excess["right"] == (pytest.approx(0.5, abs=0.5), 1), "the thorough batch"
    assert excess["off"][1] > 5


def test_a_record_that_never_came_back_is_refused(data: Inputs) -> None:
    recognition = LAB[LAB_STACK].recognition
    given = data.materials(recognition.model)
    evaluator = Evaluator(recognition, Formulas(recognition.model, np.float32).run)
    total = Measurement()
    for material in given:
        total = total.merge(evaluator.measure(material))
    assert judge(recognition, total, len(given)).equivalent
    for tally in (Tally(200, 199), Tally(199, 200), Tally(0, 0)):
        lost = dataclasses.replace(total, records={"eval.tfrecord": tally})
        found = judge(recognition, lost, len(given))
        assert not found.equivalent
        text = f"eval.tfrecord: {tally.compared} records compared of {tally.sent} sent"
        assert found.objections == [text]


@pytest.mark.parametrize(
    "name", ["keras2_stateful", "keras2_bidirectional_lstm", "keras2_conv_lstm"]
)
def test_a_keras_model_on_a_data_set(name: str, tmp_path: Path) -> None:
    """With its own batch size, masked padding, maps."""
    recognition = LAB[name].recognition
    [source] = recognition.model.inputs
    rng = np.random.default_rng(0)
    shapes = [[n or int(rng.integers(1, 9)) for n in source.shape] for _ in range(23)]
    file = write(tmp_path / "f", [example(x=rng.uniform(0, 1, shape)) for shape in shapes])
    inputs = Inputs((), Examples((str(file),), {source.name: "x"}, batch=5))
    plan = inputs.materials(recognition.model)
    found = evaluate(recognition, converted(name), plan)
    assert found.equivalent
    assert found.measured.records == {"f": Tally(23, 23)}
    assert "Keras 2 (tf_keras)" in found.oracles


def test_a_search_finds_what_probes_do_not(tmp_path: Path) -> None:
    recognition = LAB[LAB_STACK].recognition
    right = Formulas(recognition.model, np.float32)

    def off(signature: str, inputs: Arrays, calls: int = 1) -> Any:
        """Off where every number is large."""
        outputs = right.run(signature, inputs, calls)
        x = inputs["inputs"]
        flat = bool(x.size and np.abs(x).min() > 1.9)
        return {name: array + np.float32(1e-3 * flat) for name, array in outputs.items()}

    assert evaluate(recognition, off, materials(recognition)).equivalent
    space = Inputs(search=SearchSpace({"inputs": (-2.0, 2.0)}, tries=120))
    found = judged(off, space)
    assert not found.equivalent
    [key] = found.comparison.worst_keys(CONVERTED)[:1]
    assert key.startswith("search: ")
    assert not judged(off, space, [key]).equivalent


# Refusals of the verdict itself


@pytest.fixture(scope="module")
def measured() -> tuple[Recognition, Measurement, int]:
    """A right conversion, measured."""
    recognition = LAB["tf1_basic_lstm_fb2"].recognition
    cases = materials(recognition)
    evaluator = Evaluator(recognition, Formulas(recognition.model, np.float32).run)
    total = Measurement()
    for case in cases:
        total = total.merge(evaluator.measure(case))
    return recognition, total, len(cases)


def test_what_was_measured_is_equivalent(measured: Any) -> None:
    recognition, total, sent = measured
    assert judge(recognition, total, sent).equivalent


@pytest.mark.parametrize("more", [-1, 1, 100])
def test_a_case_that_never_came_back_is_refused(measured: Any, more: int) -> None:
    recognition, total, sent = measured
    found = judge(recognition, total, sent + more)
    assert not found.equivalent
    assert found.reason == f"not equivalent: {sent} cases compared of {sent + more} sent"


def test_no_cases_prove_nothing(measured: Any) -> None:
    recognition, *_ = measured
    found = judge(recognition, Measurement(), 0)
    assert not found.equivalent
    assert "0 cases compared of 0 sent" in found.reason


def test_cases_that_a_control_passes_prove_nothing(measured: Any) -> None:
    """Such cases could not tell a wrong conversion from a right one."""
    recognition, total, sent = measured
    loose = Thresholds(factor=1e9, floor=1e3)
    found = judge(recognition, total, sent, loose)
    assert not found.equivalent
    assert "control 'forget bias off by one' passes" in " ".join(found.objections)


def test_a_model_of_zeros_has_no_power() -> None:
    """Every gate of it is like every other."""
    source = artifact(lstm("basic_lstm_cell", 3, 5))

    def load(name: str) -> Any:
        return np.zeros(source.tensors[name].shape, np.float32)

    model = model_of(dataclasses.replace(source, load=load))
    recognition = dataclasses.replace(LAB["tf1_stacked_lstm_npz"].recognition, model=model)
    found = evaluate(recognition, Formulas(model, np.float32).run, materials(recognition))
    assert not found.equivalent
    assert any("swapped' passes" in objection for objection in found.objections)


@pytest.mark.parametrize("tight", [Thresholds(factor=1e-6, floor=0.0)])
def test_thresholds_are_those_of_the_caller(measured: Any, tight: Thresholds) -> None:
    recognition, total, sent = measured
    found = judge(recognition, total, sent, tight)
    assert not found.equivalent
    assert found.to_json()["thresholds"] == dataclasses.asdict(tight)


def broken_output(model: CanonicalModel, change: Callable[[Arrays], Arrays]) -> Any:
    right = Formulas(model, np.float32).run
    return lambda signature, inputs, calls: change(right(signature, inputs, calls))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda o: {**o, "h_0": o["h_0"] * np.nan}, "NaN or infinity"),
        (lambda o: {**o, "h_0": o["h_0"][:, :-1]}, "instead of"),
        (lambda o: {n: v for n, v in o.items() if n != "c_0"}, "gives no output 'c_0'"),
        (lambda o: {}, "gives no output 'outputs'"),
    ],
)
def test_an_output_that_cannot_be_compared_is_refused(
    change: Callable[[Arrays], Arrays], told: str
) -> None:
    recognition = LAB["tf1_basic_lstm_fb2"].recognition
    found = evaluate(
        recognition, broken_output(recognition.model, change), materials(recognition)[:2]
    )
    assert not found.equivalent
    assert told in found.reason


def test_recorded_outputs_of_another_shape_are_refused(tmp_path: Path) -> None:
    lab = LAB["tf1_basic_lstm_fb2"]
    golden = lab.goldens["serving_default"]
    file = tmp_path / "golden.npz"
    wrong = golden["outputs"]["outputs"][:, :, :-1]
    np.savez(file, **{"in:inputs": golden["inputs"]["inputs"], "out:outputs": wrong})
    recognition = lab.recognition
    model = Formulas(recognition.model, np.float32).run
    found = evaluate(recognition, model, materials(recognition, [file]))
    assert "recorded outputs" in found.reason
    assert not found.equivalent


def test_oracles_are_closed_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Oracle:
        name = "test"

        def adapt(self, case: Any) -> Any:
            return case

        def run(self, case: Any) -> None:
            raise RuntimeError("broken oracle")

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(evaluation_module, "open_oracles", lambda *args: ([Oracle()], []))
    recognition = LAB["tf1_basic_lstm_fb2"].recognition
    model = Formulas(recognition.model, np.float32).run
    with pytest.raises(RuntimeError, match="broken oracle"):
        evaluate(recognition, model, materials(recognition))
    assert closed == [True]


def test_progress_names_every_case() -> None:
    recognition = LAB["tf1_basic_lstm_fb2"].recognition
    told: list[tuple[str, float | None]] = []
    model = Formulas(recognition.model, np.float32).run
    cases = materials(recognition)
    evaluate(
        recognition, model, cases, progress=lambda text, share=None: told.append((text, share))
    )
    assert [text for text, _ in told] == [case.key for case in cases]
    assert [share for _, share in told] == [index / len(cases) for index in range(len(cases))]


@pytest.mark.parametrize("name", DISTINCT)
def test_recorded_cases_come_before_probes(name: str) -> None:
    lab = LAB[name]
    cases = materials(lab.recognition, lab.golden_files)
    recorded = [case.expected is not None for case in cases]
    assert recorded == sorted(recorded, reverse=True)
    assert sum(recorded) == len(lab.golden_files)
