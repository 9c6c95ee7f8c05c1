from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_migrator.equivalence.comparison import (
    CONVERTED,
    Comparison,
    Thresholds,
    Worst,
    compare_case,
    to_json,
)
from rnn_migrator.equivalence.inputs.case import Case

ORACLE = "legacy graph"
LIMITS = Thresholds()
STEPS, UNITS = 6, 3


def sequences(seed: int = 0, batch: int = 2, steps: int = STEPS) -> Any:
    return np.random.default_rng(seed).normal(size=(batch, steps, UNITS))


def case(key: str = "case", signature: str = "serving_default") -> Case:
    return Case(key, signature, {})


def compared(
    reference: Any,
    converted: Any,
    rounded: Any = None,
    oracle: Any = None,
    key: str = "case",
    output: str = "outputs",
) -> Comparison:
    parties = {CONVERTED: {output: converted}}
    if oracle is not None:
        parties[ORACLE] = {output: oracle}
    noise = reference if rounded is None else rounded
    return compare_case(case(key), {output: reference}, {output: noise}, parties)


def figures(comparison: Comparison) -> Any:
    """What must not depend on the order of merging: all but which of equals came first."""
    text = to_json(comparison, LIMITS)
    for output in text.values():
        for party in output["parties"].values():
            del party["case"], party["step"]
    return sorted(comparison.problems), text


def test_equal_outputs_are_no_error() -> None:
    found = compared(sequences(), sequences())
    assert found.excess(CONVERTED, LIMITS) == 0.0
    assert found.worst_error(CONVERTED).error == 0.0
    assert found.parties == [CONVERTED]


def test_an_error_is_told_with_case_and_step() -> None:
    reference = sequences()
    converted = reference.copy()
    converted[1, 4, 2] += 0.25
    found = compared(reference, converted, key="ragged")
    assert found.worst_error(CONVERTED) == Worst(pytest.approx(0.25), "ragged", 4)
    text = to_json(found, LIMITS)["serving_default/outputs"]
    by_step = text["parties"][CONVERTED]["by_step"]
    assert by_step == pytest.approx([0, 0, 0, 0, 0.25, 0])
    assert text["elements"] == reference.size


@pytest.mark.parametrize(("times", "passes"), [(0.5, True), (7.9, True), (8.1, False)])
def test_the_bound_is_a_factor_of_what_rounding_does(times: float, passes: bool) -> None:
    reference = sequences()
    noise = np.full(reference.shape, 1e-3)
    found = compared(reference, reference + times * noise, rounded=reference + noise)
    assert (found.excess(CONVERTED, LIMITS) <= 1.0) == passes
    assert found.excess(CONVERTED, LIMITS) == pytest.approx(times / LIMITS.factor)


@pytest.mark.parametrize(("error", "passes"), [(0.9e-6, True), (1.1e-6, False)])
def test_a_floor_stands_below_which_all_is_rounding(error: float, passes: bool) -> None:
    found = compared(np.full((2, STEPS, UNITS), 0.5), np.full((2, STEPS, UNITS), 0.5 + error))
    assert (found.excess(CONVERTED, LIMITS) <= 1.0) == passes


def test_the_floor_grows_with_the_scale_of_the_outputs() -> None:
    logits = np.full((2, UNITS), 551.0)
    assert compared(logits, logits + 5e-4).excess(CONVERTED, LIMITS) < 1.0
    assert compared(logits, logits + 6e-4).excess(CONVERTED, LIMITS) > 1.0


def test_noise_of_later_steps_excuses_no_error_of_earlier_ones() -> None:
    """A wrong mask or state shows early, long before a model has amplified its noise."""
    reference = sequences()
    noise = np.zeros(reference.shape)
    noise[:, -1] = 1.0
    early, late = reference.copy(), reference.copy()
    early[:, 0] += 1.0
    late[:, -1] += 1.0
    assert compared(reference, early, reference + noise).excess(CONVERTED, LIMITS) > 1e5
    assert compared(reference, late, reference + noise).excess(CONVERTED, LIMITS) < 1.0


def test_noise_once_there_stays() -> None:
    """A state carries it on, even over steps at which it does not show."""
    reference = sequences()
    noise = np.zeros(reference.shape)
    noise[:, 1] = 1.0
    late = reference.copy()
    late[:, 4] += 1.0
    assert compared(reference, late, reference + noise).excess(CONVERTED, LIMITS) < 1.0


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 6, 3), (2, 6, 3, 2), (0, 6, 3), (2, 0, 3)])
def test_outputs_of_any_rank(shape: tuple[int, ...]) -> None:
    reference = np.random.default_rng(0).normal(size=shape)
    found = compared(reference, reference + 0.5)
    steps = shape[1] if len(shape) > 2 else 1
    assert len(found.outputs["serving_default/outputs"].rounding) == steps
    assert found.worst_error(CONVERTED).error == pytest.approx(0.5 if reference.size else 0.0)


def test_an_oracle_is_measured_by_the_same_yardstick() -> None:
    reference = sequences()
    found = compared(reference, reference, oracle=reference + 0.1)
    assert found.parties == [CONVERTED, ORACLE]
    assert found.excess(CONVERTED, LIMITS) == 0.0
    assert found.excess(ORACLE, LIMITS) > 1e4


def test_an_oracle_may_know_fewer_outputs() -> None:
    reference = {"outputs": sequences(), "h_0": sequences()[:, 0]}
    parties = {CONVERTED: reference, ORACLE: {"h_0": reference["h_0"]}}
    found = compare_case(case("case", "step"), reference, reference, parties)
    assert not found.problems
    assert set(found.outputs["step/outputs"].errors) == {CONVERTED}
    assert set(found.outputs["step/h_0"].errors) == {CONVERTED, ORACLE}


# What cannot be compared


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_a_problem(number: float) -> None:
    broken = sequences()
    broken[1, 2, 0] = number
    found = compared(sequences(), broken)
    assert found.problems == (
        "case, converted model, output 'outputs': NaN or infinity in 1 places",
    )


@pytest.mark.parametrize("shape", [(2, STEPS), (2, STEPS, UNITS + 1), (1, STEPS, UNITS), (1,)])
def test_another_shape_is_a_problem(shape: tuple[int, ...]) -> None:
    """Broadcasting would compare some of these without a word."""
    [problem] = compared(sequences(), np.zeros(shape)).problems
    assert f"shape {list(shape)} instead of [2, 6, 3]" in problem


def test_a_missing_output_is_a_problem() -> None:
    reference = {"outputs": sequences(), "h_0": sequences()[:, 0]}
    parties = {CONVERTED: {"outputs": reference["outputs"]}, ORACLE: reference}
    found = compare_case(case("case", "step"), reference, reference, parties)
    assert found.problems == ("case: the converted model gives no output 'h_0'",)
    assert found.outputs == {}


def test_a_broken_oracle_is_a_problem_too() -> None:
    [problem] = compared(sequences(), sequences(), oracle=sequences()[:, :2]).problems
    assert ORACLE in problem


def test_all_problems_of_a_case_are_told() -> None:
    reference = {"a": sequences(), "b": sequences(), "c": sequences()}
    parties = {CONVERTED: {"a": sequences()[:1], "b": np.full(sequences().shape, np.nan)}}
    assert len(compare_case(case("case", "step"), reference, reference, parties).problems) == 3


def test_a_reference_that_overflows_blesses_nothing() -> None:
    reference = sequences()
    reference[0, 0, 0] = np.nan
    assert compared(reference, sequences()).excess(CONVERTED, LIMITS) == np.inf


def test_a_rounding_that_overflows_blesses_nothing() -> None:
    noise = sequences()
    noise[0, 0, 0] = np.nan
    assert not compared(sequences(), sequences() + 0.1, noise).excess(CONVERTED, LIMITS) <= 1.0


# Merging


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """Cases of several lengths, outputs and parties; some fail, some cannot be compared."""
    found = Comparison()
    for _ in range(draw(st.integers(0, 3))):
        reference = sequences(draw(st.integers(0, 9)), batch=1, steps=draw(st.integers(1, 4)))
        error = draw(st.sampled_from([0.0, 1e-7, 1e-3, 2.0, np.nan]))
        oracle = reference + 1e-4 if draw(st.booleans()) else None
        found = found.merge(
            compared(
                reference,
                reference + error,
                reference + draw(st.sampled_from([0.0, 1e-6, 1e-2])),
                oracle,
                key=draw(st.sampled_from("abc")),
                output=draw(st.sampled_from(["outputs", "h_0"])),
            )
        )
    return found


@given(comparisons(), comparisons())
def test_merging_is_commutative_in_its_figures(one: Comparison, other: Comparison) -> None:
    assert figures(one.merge(other)) == figures(other.merge(one))


@given(comparisons(), comparisons(), comparisons())
def test_merging_is_associative(one: Comparison, other: Comparison, third: Comparison) -> None:
    left, right = one.merge(other).merge(third), one.merge(other.merge(third))
    assert figures(left) == figures(right)
    assert to_json(left, LIMITS) == to_json(right, LIMITS)


@given(comparisons())
def test_nothing_is_neutral(one: Comparison) -> None:
    assert figures(Comparison().merge(one)) == figures(one) == figures(one.merge(Comparison()))


@given(comparisons(), comparisons())
def test_merging_forgives_nothing(one: Comparison, other: Comparison) -> None:
    both = one.merge(other)
    for party in both.parties:
        worst = max(one.worst_error(party).error, other.worst_error(party).error)
        assert both.worst_error(party).error == worst
    assert len(both.problems) == len(one.problems) + len(other.problems)


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_the_worst_case_is_found_in_any_order(order: tuple[int, ...]) -> None:
    errors = {"mild": 1e-3, "bad": 0.5, "fine": 0.0}
    found = [compared(sequences(), sequences() + error, key=key) for key, error in errors.items()]
    merged = functools.reduce(Comparison.merge, (found[index] for index in order))
    assert merged.worst_error(CONVERTED).case == "bad"
    assert merged.outputs["serving_default/outputs"].elements == 3 * sequences().size


def test_not_a_number_is_the_worst_in_any_order() -> None:
    """An overflow in a formula reaches the errors without being a problem of a party."""
    fine = compared(sequences(), sequences() + 0.5)
    output = "serving_default/outputs"
    lost = dataclasses.replace(
        fine.outputs[output], ranking={CONVERTED: (Worst(float("nan"), "lost", 0),)}
    )
    other = Comparison({output: lost})
    for merged in (fine.merge(other), other.merge(fine)):
        assert merged.worst_error(CONVERTED).case == "lost"


def test_a_short_case_is_padded_not_stretched() -> None:
    short, long = sequences(steps=2), sequences(steps=5)
    merged = compared(short, short + 0.5).merge(compared(long, long))
    by_step = merged.outputs["serving_default/outputs"].errors[CONVERTED]
    assert by_step.tolist() == pytest.approx([0.5, 0.5, 0, 0, 0])


def test_an_oracle_that_saw_some_cases_only_is_kept() -> None:
    short, long = sequences(steps=2), sequences(steps=5)
    merged = compared(short, short, oracle=short + 0.1).merge(compared(long, long))
    assert merged.parties == [CONVERTED, ORACLE]
    assert merged.worst_error(ORACLE).error == pytest.approx(0.1)


def test_it_goes_into_json() -> None:
    reference = sequences()
    found = compared(reference, reference + 0.1, oracle=reference)
    text = json.loads(json.dumps(to_json(found, LIMITS)))["serving_default/outputs"]
    assert text["parties"][CONVERTED]["excess"] > 1.0
    assert text["scale"] == pytest.approx(np.max(np.abs(reference)))


# Outputs of their own


def test_an_output_may_have_thresholds_of_its_own() -> None:
    reference = sequences()
    found = compared(reference, reference + 5e-4)
    [output] = found.outputs
    assert found.excess(CONVERTED, LIMITS) > 1.0
    loose = dataclasses.replace(LIMITS, outputs={output: {"floor": 1e-2}})
    assert found.excess(CONVERTED, loose) <= 1.0
    other = dataclasses.replace(LIMITS, outputs={"step/outputs": {"floor": 1e-2}})
    assert found.excess(CONVERTED, other) > 1.0
    assert to_json(found, loose)[output]["bound"] > to_json(found, LIMITS)[output]["bound"]


def test_the_worst_few_cases_are_kept_in_any_order() -> None:
    reference = sequences()
    found = [
        compared(reference, reference + n * 1e-3, key=f"case {n}") for n in (3, 1, 7, 2, 5, 6, 4)
    ]
    one, other = Comparison(), Comparison()
    for comparison in found:
        one, other = one.merge(comparison), comparison.merge(other)
    for merged in (one, other):
        [errors] = merged.outputs.values()
        assert [w.case for w in errors.ranking[CONVERTED]] == [f"case {n}" for n in (7, 6, 5, 4, 3)]


def test_the_error_is_told_beside_that_of_the_legacy_run() -> None:
    reference = sequences()
    found = compared(reference, reference + 3e-7, oracle=reference + 2e-7)
    [output] = to_json(found, LIMITS).values()
    assert output["parties"][ORACLE]["converted_ratio"] == pytest.approx(1.5, rel=1e-3)
    [exact] = to_json(compared(reference, reference, oracle=reference), LIMITS).values()
    assert exact["parties"][ORACLE]["converted_ratio"] is None


def test_every_error_is_in_the_histogram() -> None:
    reference = sequences()
    noisy = reference + np.random.default_rng(1).normal(0, 1e-7, reference.shape)
    noisy[0, 0, 0] = reference[0, 0, 0]
    whole = compared(reference, noisy).merge(compared(reference, reference + 1e6, key="far"))
    [output] = to_json(whole, LIMITS).values()
    found = output["parties"][CONVERTED]["histogram"]
    assert sum(found["counts"]) == 2 * reference.size == output["elements"]
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert found["counts"][0] >= 1
    assert found["counts"][-1] == reference.size
    middle = np.array(found["edges"][:-1])[np.array(found["counts"]) > 0][1:-1]
    assert 1e-10 < middle.min() < middle.max() < 1e-6
