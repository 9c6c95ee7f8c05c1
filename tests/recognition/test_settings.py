from __future__ import annotations

import pytest

from rnn_migrator.canonical import Origin
from rnn_migrator.errors import ExitStatus, UsageError
from rnn_migrator.recognition.settings import KEYS, parse_settings


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("forget_bias=0", "forget_bias", 0.0),
        ("forget_bias=-1.5e0", "forget_bias", -1.5),
        ("forget_bias= 1 ", "forget_bias", 1.0),
        ("cell_clip=3", "cell_clip", 3.0),
        ("cell_clip=none", "cell_clip", None),
        ("cell_clip=Off", "cell_clip", None),
        ("activation=relu", "activation", "relu"),
        ("recurrent_activation=hard_sigmoid", "recurrent_activation", "hard_sigmoid"),
        ("input_size=7", "input_size", 7),
        ("class=CuDNNLSTM", "class", "CuDNNLSTM"),
        ("scope=a/b=c", "scope", "a/b=c"),
        ("kernel_name=wx", "kernel_name", "wx"),
        ("reset_after=true", "reset_after", True),
        ("update_keeps=candidate", "update_keeps", "candidate"),
        ("row_order=hx", "row_order", "hx"),
    ],
)
def test_reads_a_value(text: str, key: str, value: object) -> None:
    fact = parse_settings([text]).get(key)
    assert fact is not None
    assert fact.value == value
    assert fact.origin is Origin.USER
    assert fact.source == f"--set {text}"


def test_says_nothing_of_what_was_not_set() -> None:
    settings = parse_settings(["forget_bias=1"])
    assert settings.get("cell_clip") is None
    assert parse_settings([]).get("forget_bias", "0") is None


def test_none_is_a_value_too() -> None:
    fact = parse_settings(["cell_clip=none"]).get("cell_clip")
    assert fact is not None
    assert fact.value is None


def test_the_narrowest_setting_wins() -> None:
    texts = ["layer[1].forget_bias=2", "forget_bias=1", "layer[lstm_1].forget_bias=3"]
    settings = parse_settings(texts)
    expected = {("0",): 1.0, ("1",): 2.0, ("1", "lstm_1"): 2.0, ("0", "lstm_1"): 3.0, (): 1.0}
    for layers, value in expected.items():
        fact = settings.get("forget_bias", *layers)
        assert fact is not None
        assert fact.value == value, layers


@pytest.mark.parametrize(
    "text",
    [
        "forget_bias",
        "=1",
        "forget_bias=",
        "forget_bias=high",
        "forget_bias=nan",
        "forget_bias=inf",
        "cell_clip=0",
        "cell_clip=-3",
        "cell_clip=inf",
        "activation=Tanh",
        "input_size=0",
        "input_size=1.5",
        "forgetbias=1",
        "layer[].forget_bias=1",
        "layer[0]forget_bias=1",
        "layer[0].forget_bias.x=1",
        "layer[0].scope=rnn",
        "reset_after=after",
        "update_keeps=h",
        "row_order=x",
    ],
)
def test_refuses_what_is_no_setting(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings([text])
    assert caught.value.status == ExitStatus.USAGE
    [problem] = caught.value.problems
    assert problem.where == f"--set {text}"
    assert problem.received
    assert all(key in problem.expected for key in KEYS)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings(["forget_bias=x", "cell_clip=3", "colour=red", "input_size=-1"])
    assert [problem.where for problem in caught.value.problems] == [
        "--set forget_bias=x",
        "--set colour=red",
        "--set input_size=-1",
    ]


def test_layers_that_are_not_there_are_told_at_once() -> None:
    settings = parse_settings(
        ["layer[0].forget_bias=1", "layer[7].forget_bias=1", "layer[x].class=y"]
    )
    settings.check_layers(["0", "7", "x"])
    with pytest.raises(UsageError, match="a layer of this model: 0, 1") as caught:
        settings.check_layers(["0", "1"])
    assert [problem.received for problem in caught.value.problems] == ["layer[7]", "layer[x]"]
