from __future__ import annotations

from typing import Any

import pytest

from rnn_migrator.canonical import Fact, Origin
from rnn_migrator.recognition.releases import Default, Release, Version, always, parse_release

CLIP = Default({(0, 0): 3.0, (1, 4): None}, "why")


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("tensorflow-1.2", Release("tensorflow", (1, 2))),
        ("TensorFlow 1.15.5", Release("tensorflow", (1, 15))),
        ("tensorflow-1.4.0rc1", Release("tensorflow", (1, 4))),
        ("keras-2.2.4", Release("keras", (2, 2))),
        ("tf.keras-1.13", Release("tf.keras", (1, 13))),
    ],
)
def test_a_release_is_read(text: str, release: Release) -> None:
    assert parse_release(text) == release


@pytest.mark.parametrize("text", ["tensorflow-0.12", "keras-2.2", "tf.keras-1.13"])
def test_a_release_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_release(text)) == text


@pytest.mark.parametrize(
    "text", ["", "1.2", "tensorflow", "torch-1.2", "tensorflow-1", "keras-x.y"]
)
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"tensorflow-X\.Y"):
        parse_release(text)


def stated(text: str) -> Fact[Release]:
    return Fact(parse_release(text), Origin.USER, f"--set writer={text}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tensorflow-0.12", 3.0),
        ("tensorflow-1.3.0", 3.0),
        ("tensorflow-1.4", None),
        ("tensorflow-1.15", None),
    ],
)
def test_a_stated_release_decides(text: str, value: Any) -> None:
    fact = CLIP.fact(stated(text))
    assert (fact.value, fact.origin) == (value, Origin.RELEASE)
    assert text in fact.source


@pytest.mark.parametrize(
    ("first", "last", "value", "origin"),
    [
        ((0, 12), (1, 3), 3.0, Origin.ASSUMED),
        ((1, 5), (1, 15), None, Origin.ASSUMED),
        ((1, 0), (1, 15), None, Origin.UNDECIDED),
        ((1, 3), (1, 4), None, Origin.UNDECIDED),
    ],
)
def test_names_that_only_some_releases_give_decide_too(
    first: Version, last: Version, value: Any, origin: Origin
) -> None:
    fact = CLIP.fact(None, first, last)
    assert (fact.value, fact.origin, fact.source) == (value, origin, "why")


@pytest.mark.parametrize("text", ["tensorflow-1.2", "tensorflow-1.4"])
def test_a_stated_release_comes_before_the_names(text: str) -> None:
    fact = CLIP.fact(stated(text), (1, 5), (1, 15))
    assert fact.origin is Origin.RELEASE
    assert fact.value == CLIP.fact(stated(text)).value


def test_minor_versions_are_counted_not_spelt() -> None:
    """As texts, 1.10 comes before 1.4."""
    assert CLIP.fact(stated("tensorflow-1.10")).value is None
    assert CLIP.fact(None, (1, 9), (1, 10)).value is None


def test_a_default_that_never_changed_is_assumed() -> None:
    fact = always(1.0, "always").fact(None)
    assert (fact.value, fact.origin) == (1.0, Origin.ASSUMED)
