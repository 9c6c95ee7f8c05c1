"""Recurrent layers one by one, for a model of the user's own."""

from __future__ import annotations

import pytest

from rnn_migrator.canonical import CellKind, RecurrentLayer
from rnn_migrator.errors import UnsupportedError, UsageError
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.settings import parse_settings
from rnn_migrator.recognition.weight_groups import take_layers
from tests.recognition.artifacts import (
    Shapes,
    artifact,
    gru,
    keras_artifact,
    layer,
    lstm,
    recurrent_config,
    sequential,
    weight_shapes,
    with_input,
)

STACK = lstm("rnn/multi_rnn_cell/cell_0/lstm_cell", 3, 5) | lstm(
    "rnn/multi_rnn_cell/cell_1/lstm_cell", 5, 4
)
KERAS = keras_artifact(
    sequential(
        with_input(recurrent_config("LSTM", "lstm_1", 5), None, 3),
        layer("Lambda", "lambda_1"),
        recurrent_config("GRU", "gru_1", 4),
    ),
    {"lstm_1": weight_shapes("LSTM", 3, 5), "gru_1": weight_shapes("GRU", 5, 4)},
)


def take(
    source: LegacyArtifact, name: str | None = None, *settings: str
) -> tuple[RecurrentLayer, ...]:
    return take_layers(source, name, parse_settings(settings))


def weights_only(class_name: str, both: bool = False, reset_after: bool = False) -> LegacyArtifact:
    weights = weight_shapes(class_name, 3, 5, reset_after)
    ways = ("forward", "backward") if both else ("only",)
    shapes: Shapes = {f"{way}/{n}": s for way in ways for n, s in weights.items()}
    return keras_artifact(None, {"rnn_1": shapes, "dense_1": {"kernel:0": (5, 2), "bias:0": (2,)}})


def test_an_only_stack_needs_no_name() -> None:
    source = artifact(lstm("rnn/lstm_cell", 3, 5))
    assert len(take(source)) == len(take(source, "rnn")) == 1


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("rnn", [5, 4]),
        ("rnn/multi_rnn_cell/cell_0/lstm_cell", [5]),
        ("rnn/multi_rnn_cell/cell_1/lstm_cell", [4]),
    ],
)
def test_a_stack_or_one_of_its_cells(name: str, units: list[int]) -> None:
    layers = take(artifact(STACK), name, "forget_bias=0")
    assert [found.forward[0].cell.units for found in layers] == units


def test_what_else_is_in_the_checkpoint_does_not_matter() -> None:
    source = artifact(STACK | {"critic/rnn/my_own_cell/kernel": (8, 5)})
    assert len(take(source, "rnn")) == 2


def test_unknown_names_are_told_the_known_ones() -> None:
    source = artifact(STACK | gru("decoder/gru_cell", 3, 5))
    for name in (None, "encoder"):
        with pytest.raises(UsageError, match=r"one of decoder, rnn, .*gru_cell") as caught:
            take(source, name)
        assert caught.value.problems[0].received == ("no name" if name is None else "'encoder'")


def test_nothing_recurrent_is_told() -> None:
    with pytest.raises(UsageError, match="a recurrent layer"):
        take(artifact({"dense/kernel": (3, 4)}))


@pytest.mark.parametrize(("name", "kind"), [("lstm_1", CellKind.LSTM), ("gru_1", CellKind.GRU)])
def test_a_keras_layer_by_name_whatever_the_others_are(name: str, kind: CellKind) -> None:
    [found] = take(KERAS, name)
    assert (found.name, found.forward[0].cell.kind) == (name, kind)


def test_a_keras_layer_that_cannot_be_converted_is_refused_when_taken() -> None:
    first = recurrent_config("LSTM", "lstm_1", 5, recurrent_activation="my_own")
    config = sequential(with_input(first, None, 3))
    source = keras_artifact(config, {"lstm_1": weight_shapes("LSTM", 3, 5)})
    with pytest.raises(UnsupportedError, match="my_own"):
        take(source)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(
    ("class_name", "reset_after", "layout"),
    [
        ("LSTM", False, "keras_lstm"),
        ("CuDNNLSTM", False, "keras_cudnn_lstm"),
        ("GRU", False, "keras_gru"),
        ("GRU", True, "keras_gru_reset_after"),
        ("CuDNNGRU", False, "keras_cudnn_gru"),
    ],
)
def test_shapes_tell_the_class_of_bare_weights(
    class_name: str, reset_after: bool, layout: str, both: bool
) -> None:
    source = weights_only(class_name, both, reset_after)
    [found] = take(source, None, "activation=tanh", "recurrent_activation=sigmoid")
    assert {member.source.layout for member in found.cells.values()} == {layout}
    assert bool(found.backward) == both


@pytest.mark.parametrize("class_name", ["LSTM", "GRU"])
def test_bare_weights_do_not_tell_activations(class_name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"recurrent_activation: expected .* nothing in"):
        take(weights_only(class_name))
