from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_migrator.equivalence.spread import QUANTILES, Spread

rng = np.random.default_rng(0)
ERRORS = {
    "ordinary": np.abs(rng.normal(size=(20, 30, 7))) * 1e-7,
    "of every size": 10 ** rng.uniform(-14, 3, 9000),
    "half zeros": np.where(rng.random(5000) < 0.5, 0.0, rng.random(5000)),
    "one": np.array(0.25),
}


def quantiles(found: Spread) -> Any:
    return [found.to_json()["quantiles"][f"{share:g}"] for share in QUANTILES]


@pytest.mark.parametrize("name", ERRORS)
def test_quantiles_are_near(name: str) -> None:
    errors = ERRORS[name]
    expected = np.quantile(errors, QUANTILES, method="lower")
    np.testing.assert_allclose(quantiles(Spread.of(errors)), expected, rtol=0.06, atol=1e-300)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_in_the_histogram(name: str) -> None:
    found = Spread.of(ERRORS[name]).to_json()["histogram"]
    assert sum(found["counts"]) == ERRORS[name].size
    assert len(found["edges"]) == len(found["counts"]) + 1


@given(st.lists(st.lists(st.floats(0, 1e3), max_size=20), min_size=1, max_size=6), st.randoms())
def test_parts_in_any_order_make_up_the_whole(parts: list[list[float]], random: Any) -> None:
    whole = Spread.of(np.array([error for part in parts for error in part], float))
    random.shuffle(parts)
    merged = functools.reduce(Spread.merge, (Spread.of(np.array(part, float)) for part in parts))
    assert json.dumps(merged.to_json()) == json.dumps(whole.to_json())


def test_what_is_not_finite_is_among_the_largest() -> None:
    found = Spread.of(np.array([1e-7, np.nan, np.inf, -np.nan])).to_json()
    assert found["histogram"]["counts"][-1] == 3
    assert found["quantiles"]["0.9"] > 9e299


def test_no_errors_no_spread() -> None:
    assert Spread().to_json() == Spread.of(np.zeros(0)).to_json() == {}


def test_merging_changes_neither() -> None:
    one, other = Spread.of(np.array([1.0])), Spread.of(np.array([1e-3]))
    before = one.to_json(), other.to_json()
    one.merge(other)
    assert (one.to_json(), other.to_json()) == before
