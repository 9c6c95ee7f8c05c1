from __future__ import annotations

import numpy as np
import pytest

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.agreement import Agreement, agreement
from rnn_migrator.equivalence.comparison import CONVERTED, compare_case
from rnn_migrator.equivalence.inputs.case import Case


def softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


PROBABILITIES = softmax(3 * np.random.default_rng(0).normal(size=(40, 9)))


def test_a_classifier_agrees_with_itself() -> None:
    found = agreement(PROBABILITIES, PROBABILITIES, 1e-3)
    assert found is not None
    assert found.decided > 30
    assert found.shares() == {"argmax": 1.0, "top_5": 1.0}


def test_every_other_decision_is_counted() -> None:
    wrong = PROBABILITIES.copy()
    best = PROBABILITIES.argmax(axis=-1)
    for row in range(0, 40, 2):
        wrong[row, best[row]] = 0.0
    found = agreement(PROBABILITIES, wrong, 0.0)
    assert found is not None
    assert (found.decided, found.same) == (40, 20)
    assert found.same_top < found.decided_top


def test_a_tie_is_no_decision() -> None:
    tied = np.array([[0.5, 0.5 - 1e-6, 1e-6], [0.9, 0.05, 0.05]])
    found = agreement(tied, tied[:, [1, 0, 2]], 1e-3)
    assert found == Agreement(decided=1, same=0)


@pytest.mark.parametrize(
    "outputs",
    [np.ones((3, 1)), np.full(3, 0.5), -PROBABILITIES, 2 * PROBABILITIES, np.zeros((0, 4))],
)
def test_other_outputs_decide_nothing(outputs: Array) -> None:
    assert agreement(outputs, outputs, 1e-3) is None


def test_counts_merge() -> None:
    whole = agreement(PROBABILITIES, PROBABILITIES[::-1], 0.0)
    one = agreement(PROBABILITIES[:15], PROBABILITIES[::-1][:15], 0.0)
    other = agreement(PROBABILITIES[15:], PROBABILITIES[::-1][15:], 0.0)
    assert one is not None
    assert other is not None
    assert one.merge(other) == other.merge(one) == whole


def test_a_comparison_counts_the_steps_that_are_judged() -> None:
    """From the third step on rounding alone decides otherwise."""
    steps = np.repeat(PROBABILITIES[:, None], 4, axis=1)
    noise = steps.copy()
    noise[:, 2:] = noise[::-1, 2:]
    parties = {CONVERTED: {"y": noise}}
    found = compare_case(Case("case", "serving_default", {}), {"y": steps}, {"y": noise}, parties)
    counts = found.outputs["serving_default/y"].agreement[CONVERTED]
    assert counts.shares()["argmax"] == 1.0
    assert counts.decided <= 80
