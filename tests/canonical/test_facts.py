from __future__ import annotations

import dataclasses
import json

import pytest

from rnn_migrator.canonical import Fact, Origin


@pytest.mark.parametrize("origin", Origin)
def test_only_an_assumption_is_unconfirmed(origin: Origin) -> None:
    weak = (Origin.ASSUMED, Origin.UNDECIDED)
    assert Fact(1.0, origin).confirmed == (origin not in weak)


def test_says_where_it_comes_from() -> None:
    assert Fact(1.0, Origin.USER, "--set forget_bias=1").describe() == (
        "user setting (--set forget_bias=1)"
    )
    assert Fact(1.0, Origin.GRAPH).describe() == "legacy graph"


def test_goes_into_json_and_comes_back() -> None:
    fact = Fact(None, Origin.CLASS, "Keras layers have none")
    assert json.loads(json.dumps(fact.to_json())) == {
        "value": None,
        "origin": "class",
        "source": "Keras layers have none",
    }


def test_cannot_be_changed() -> None:
    fact = Fact(1.0, Origin.USER)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fact.value = 2.0  # type: ignore[misc]
