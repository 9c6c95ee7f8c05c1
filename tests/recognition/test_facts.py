from __future__ import annotations

import pytest

from rnn_migrator.canonical import Fact, Origin
from rnn_migrator.recognition.facts import resolve
from rnn_migrator.recognition.settings import parse_settings

ASSUMED = Fact(1.0, Origin.ASSUMED, "default of the class")
STATED = Fact(0.0, Origin.GRAPH, "rnn/while/add/y")


def resolved(*texts: str, stated: bool = True, default: Fact[float] = ASSUMED) -> Fact[float]:
    found = {"forget_bias": STATED} if stated else {}
    facts = resolve({"forget_bias": default}, found, parse_settings(texts), "0", "lstm")
    assert list(facts) == ["forget_bias"]
    return facts["forget_bias"]


def test_a_default_is_the_last_resort() -> None:
    assert resolved(stated=False) is ASSUMED


def test_what_the_artifact_states_goes_before_a_default() -> None:
    assert resolved() is STATED


@pytest.mark.parametrize(
    "text", ["forget_bias=2", "layer[0].forget_bias=2", "layer[lstm].forget_bias=2"]
)
def test_the_user_goes_before_all(text: str) -> None:
    fact = resolved(text)
    assert (fact.value, fact.origin) == (2.0, Origin.USER)


def test_a_user_against_the_artifact_is_told_so() -> None:
    assert resolved("forget_bias=2").source == (
        "--set forget_bias=2, against 0.0 of the legacy graph (rnn/while/add/y)"
    )


def test_a_user_against_what_the_class_fixes_is_told_so() -> None:
    fixed = Fact(0.0, Origin.CLASS, "it has none")
    assert (
        "against 0.0 of the fixed by the class"
        in resolved("forget_bias=2", stated=False, default=fixed).source
    )


@pytest.mark.parametrize("stated", [True, False])
def test_a_user_who_agrees_or_only_settles_an_assumption_is_not(stated: bool) -> None:
    fact = resolved("forget_bias=0", stated=stated)
    assert fact.source == "--set forget_bias=0"
    assert fact.confirmed


def test_another_layer_is_another_matter() -> None:
    assert resolved("layer[1].forget_bias=2") is STATED


def test_only_facts_of_the_class_count() -> None:
    stated = {"projection": Fact(4, Origin.GRAPH)}
    facts = resolve({"forget_bias": ASSUMED}, stated, parse_settings(["cell_clip=3"]))
    assert facts == {"forget_bias": ASSUMED}
