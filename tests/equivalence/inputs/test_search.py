from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.inputs.search import _KINDS, Guess, Hunt, SearchSpace
from rnn_migrator.errors import UsageError
from tests.equivalence.inputs.models import embedded, stack
from tests.equivalence.lab import LAB

STACK = stack()
WORDS = embedded([None])
IDS = WORDS.inputs[0].name
SPACE = SearchSpace({"inputs": (-2.0, 3.0)}, steps=(2, 20))

guesses = st.builds(
    Guess,
    kind=st.sampled_from(_KINDS),
    rows=st.integers(1, 4),
    steps=st.integers(2, 20),
    share=st.integers(0, 1000),
    ragged=st.booleans(),
    seed=st.integers(0, 2**16),
)


def hunt(excess: Any, space: SearchSpace = SPACE, model: CanonicalModel = STACK) -> Case:
    [case] = Hunt("search 1 of 4", space.of(model), 0).cases(model, excess)
    return case


@given(guesses, st.floats(-5, 5), st.floats(0, 5))
def test_every_value_is_within_the_range(guess: Guess, low: float, width: float) -> None:
    space = SearchSpace({"inputs": (low, low + width)})
    values = guess.case(space, STACK).inputs["inputs"]
    assert values.shape == (guess.rows, guess.steps, 3)
    assert low - 1e-6 <= values.min() <= values.max() <= low + width + 1e-6


@given(guesses)
def test_ids_are_those_of_the_embedding(guess: Guess) -> None:
    ids = guess.case(SearchSpace().of(WORDS), WORDS).inputs[IDS]
    assert ids.dtype == WORDS.inputs[0].dtype
    assert set(np.unique(ids)) <= set(range(11))


def test_both_ends_of_a_range_are_reached() -> None:
    seen = Guess("extremes", 4, 20, 1000).case(SPACE, STACK).inputs["inputs"]
    assert set(np.unique(seen)) == {-2.0, 3.0}
    ids = Guess("extremes", 4, 20, 1000).case(SearchSpace().of(WORDS), WORDS).inputs[IDS]
    assert set(np.unique(ids)) == {0, 10}


@pytest.mark.parametrize("name", LAB)
def test_a_guess_fits_every_model_of_the_lab(name: str) -> None:
    model = LAB[name].recognition.model
    space = SearchSpace({source.name: (0.0, 1.0) for source in model.inputs}).of(model)
    for kind in _KINDS:
        inputs = Guess(kind, 2, 5, 1000).case(space, model).inputs
        assert {array.dtype.name for array in inputs.values()} <= {
            source.dtype for source in model.inputs
        }


@given(guesses)
def test_a_key_gives_the_same_input_again(guess: Guess) -> None:
    again = Hunt("search 1 of 4", SPACE, 0).find(str(guess), STACK)
    assert again is not None
    for name, array in guess.case(SPACE, STACK).inputs.items():
        np.testing.assert_array_equal(again.inputs[name], array)
    assert again.key == str(guess)


@pytest.mark.parametrize(
    "key", ["search 1 of 4", "zero", "search: rows=1", "search: kind=x rows=1"]
)
def test_another_key_is_no_input(key: str) -> None:
    assert Hunt("search 1 of 4", SPACE, 0).find(key, STACK) is None


def test_what_fails_somewhere_is_found_and_made_simple() -> None:
    def excess(case: Case) -> float:
        """Off where a sequence is long and a value is near the end of the range."""
        values = case.inputs["inputs"]
        return 5.0 if values.shape[1] > 7 and values.max() > 2.7 else 0.1

    case = hunt(excess)
    assert excess(case) > 1
    assert case.inputs["inputs"].shape[:2] == (1, 8)
    assert "ragged=False" in case.key


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """The negative control; the worst of all guesses is given."""
    seen = []

    def excess(case: Case) -> float:
        seen.append(0.9 * np.abs(case.inputs["inputs"]).mean() / 3)
        return seen[-1]

    case = hunt(excess)
    assert len(seen) > 30
    assert excess(case) == max(seen) < 1


def test_the_search_goes_where_it_is_worst() -> None:
    def excess(case: Case) -> float:
        return float(np.abs(case.inputs["inputs"]).sum()) / 1e3

    aimed = excess(hunt(excess))
    assert aimed > 0.8 * 4 * 20 * 3 * 2.5 / 1e3


def test_the_same_search_gives_the_same() -> None:
    def excess(case: Case) -> float:
        return float(case.inputs["inputs"].sum()) / 1e3

    assert hunt(excess).key == hunt(excess).key


@pytest.mark.parametrize("far", [np.inf, np.nan])
def test_what_is_no_number_fails(far: float) -> None:
    case = hunt(lambda case: far if case.inputs["inputs"].shape[1] > 10 else 0.0)
    assert case.inputs["inputs"].shape[1] == 11


@pytest.mark.parametrize(
    ("model", "ranges", "told"),
    [
        (STACK, {}, "nothing"),
        (STACK, {"inputs": (0, 1), "x": (0, 1)}, "'x'"),
        (STACK, {"inputs": (1, 0)}, "1:0"),
        (STACK, {"inputs": (0, np.inf)}, "0:inf"),
        (STACK, {"inputs": (np.nan, 1)}, "nan:1"),
        (WORDS, {IDS: (0, 11)}, "0:11"),
        (WORDS, {IDS: (-1, 5)}, "-1:5"),
    ],
)
def test_ranges_that_are_none(model: CanonicalModel, ranges: Any, told: str) -> None:
    with pytest.raises(UsageError, match="range to search") as caught:
        SearchSpace(ranges).of(model)
    assert [problem.received for problem in caught.value.problems] == [told]
