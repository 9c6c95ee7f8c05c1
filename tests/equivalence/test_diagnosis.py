"""Wrong conversions and wrong facts: whether the cause is found, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from rnn_migrator.equivalence.comparison import CONVERTED, Thresholds
from rnn_migrator.equivalence.diagnosis import Evidence, diagnose, telling_cases
from rnn_migrator.equivalence.evaluation import Evaluation, evaluate
from rnn_migrator.equivalence.mistakes import EVERY, known_mistakes
from rnn_migrator.equivalence.oracles.formulas import Formulas
from tests.equivalence.lab import LAB, materials, recognised
from tests.equivalence.mutations import Mutation, mutations
from tests.verdicts import evaluate_alone, names

NAMES = [
    "tf1_stacked_lstm",
    "tf1_bidirectional_gru",
    "tf1_15_peephole_projection",
    "tf1_15_basic_rnn",
    "keras2_3_gru_reset_after",
    "keras2_lstm_hard_sigmoid",
]
MUTATIONS = {
    f"{name}-{mutation.kind}": (name, mutation)
    for name in NAMES
    for mutation in mutations(LAB[name].recognition.model)
}


@pytest.mark.slow
@pytest.mark.parametrize("key", MUTATIONS)
def test_a_wrong_conversion_is_refused_and_its_mistake_named(key: str) -> None:
    name, mutation = MUTATIONS[key]
    found = evaluate_alone(LAB[name], mutation)
    assert not found.equivalent
    assert names(found, mutation), [str(one) for one in found.diagnoses]
    assert f"; likely {found.diagnoses[0]}" in found.reason


def of_recording(name: str, *settings: str) -> Evaluation:
    """The evaluation of a conversion with other facts, against what the original gave."""
    lab = LAB[name]
    wrong = recognised(lab.case, "", *settings)
    model = Formulas(wrong.model, np.float32).run
    return evaluate(wrong, model, materials(wrong, lab.golden_files))


@pytest.mark.parametrize(
    ("name", "setting", "remedy"),
    [
        ("tf1_basic_lstm_fb2", "forget_bias=1", "--set forget_bias=2.0"),
        ("tf1_basic_lstm_fb2", "forget_bias=-0.5", "--set forget_bias=2"),
        ("tf1_15_gru_block", "activation=relu", "--set activation=tanh"),
    ],
)
def test_a_wrong_fact_comes_with_the_setting_that_is_right(
    name: str, setting: str, remedy: str
) -> None:
    found = of_recording(name, setting)
    assert found.diagnoses
    for one in found.diagnoses:
        assert one.party != CONVERTED
        assert one.matches
        assert remedy in one.change


def test_a_right_model_needs_no_diagnosis() -> None:
    found = of_recording("tf1_basic_lstm_fb2")
    assert found.equivalent
    assert found.diagnoses == ()
    assert found.to_json()["diagnosis"] == []


def test_two_mistakes_at_once_are_not_taken_for_one() -> None:
    model = LAB["tf1_stacked_lstm"].recognition.model
    first, *_ = mutations(model)
    last = list(mutations(first.model))[3]
    cases = telling_cases(materials(LAB["tf1_stacked_lstm"].recognition))
    run = Mutation("", "", "", last.model).run()
    evidence = [Evidence(case, run(case.signature, case.inputs)) for case in cases]
    found = diagnose(model, CONVERTED, evidence, Thresholds())
    assert found is None or not found.matches


def test_noise_has_no_cause() -> None:
    lab = LAB["tf1_stacked_lstm"].recognition
    cases, rng = telling_cases(materials(lab)), np.random.default_rng(0)
    formulas = Formulas(lab.model)
    evidence = [
        Evidence(
            c, {n: rng.normal(size=a.shape) for n, a in formulas.run(c.signature, c.inputs).items()}
        )
        for c in cases
    ]
    assert diagnose(lab.model, CONVERTED, evidence, Thresholds()) is None


def test_every_mistake_is_another_model() -> None:
    model = LAB["tf1_stacked_lstm"].recognition.model
    found = [(mistake.cause, mistake.where) for mistake in known_mistakes(model)]
    assert len(found) == len(set(found))
    assert {where for _, where in found} == {"", EVERY, "lstm_0", "lstm_1", "lstm_2"}
    assert len({cause for cause, _ in found if "gate" in cause and "order" in cause}) == 24 - 7


def test_the_telling_cases_are_few_and_of_every_signature() -> None:
    cases = telling_cases(materials(LAB["tf1_stacked_lstm"].recognition))
    assert [case.key for case in cases] == ["ordinary", "states", "ragged", "saturating"]
