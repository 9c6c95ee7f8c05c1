"""What stands beside the variables of a model, and what they may lie in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnn_migrator.errors import UnsupportedError, UsageError
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.recognise import recognise
from rnn_migrator.recognition.settings import parse_settings
from rnn_migrator.recognition.variables import logical_variables, model_variables
from tests.recognition.artifacts import Shapes, artifact, lstm, model_of

AVERAGE = "ExponentialMovingAverage"


def variables(source: LegacyArtifact, *settings: str) -> LegacyArtifact:
    return logical_variables(source, parse_settings(settings))


def test_slots_and_counters_are_left_out() -> None:
    names = ["w/Adam", "w", "Adam/w", "global_step", "beta1_power_1", "AdamNet/kernel"]
    assert model_variables(names) == ["Adam/w", "AdamNet/kernel", "w"]


# Moving averages

CELL = lstm("rnn/lstm_cell", 3, 5)
AVERAGED = artifact({**CELL, **{f"{name}/{AVERAGE}": shape for name, shape in CELL.items()}})


def test_moving_averages_stand_for_the_variables_when_asked() -> None:
    [layer] = model_of(AVERAGED, "use_ema=true").recurrent_layers
    kernel = layer.forward[0].source.tensors["kernel"]
    np.testing.assert_array_equal(kernel, AVERAGED.load(f"rnn/lstm_cell/kernel/{AVERAGE}"))


@pytest.mark.parametrize("settings", [(), ("use_ema=false",)])
def test_else_the_variables_do(settings: tuple[str, ...]) -> None:
    recognition = recognise(AVERAGED, parse_settings(settings))
    [layer] = recognition.model.recurrent_layers
    kernel = layer.forward[0].source.tensors["kernel"]
    np.testing.assert_array_equal(kernel, AVERAGED.load("rnn/lstm_cell/kernel"))
    assert any("use_ema" in note for note in recognition.notes) == (settings == ())


def test_averages_that_are_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match=AVERAGE):
        model_of(artifact(CELL), "use_ema=true")


# Shards


def sharded(count: int, name: str = "rnn/lstm_cell/kernel/part_{}") -> Shapes:
    """A kernel of 24 rows in shards of equal size."""
    return {name.format(i): (24 // count, 20) for i in range(count)} | {
        "rnn/lstm_cell/bias": (20,),
    }


@pytest.mark.parametrize("count", [1, 2, 12])
def test_shards_are_joined_in_the_order_of_their_numbers(count: int) -> None:
    """As texts, part_10 comes before part_9."""
    source = artifact(sharded(count))
    [layer] = model_of(source).recurrent_layers
    parts = [source.load(f"rnn/lstm_cell/kernel/part_{i}") for i in range(count)]
    kernel = layer.forward[0].source.tensors["kernel"]
    np.testing.assert_array_equal(kernel, np.concatenate(parts))


def test_shards_of_columns_are_joined_side_by_side() -> None:
    shapes = {"rnn/lstm_cell/kernel/part_0": (8, 8), "rnn/lstm_cell/kernel/part_1": (8, 12)}
    joined = variables(artifact({**shapes, "rnn/lstm_cell/bias": (20,)}))
    assert joined.tensors["rnn/lstm_cell/kernel"].shape == (8, 20)
    assert joined.read("rnn/lstm_cell/kernel").shape == (8, 20)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_lost_shard_is_not_passed_over(missing: int) -> None:
    shapes = sharded(3)
    del shapes[f"rnn/lstm_cell/kernel/part_{missing}"]
    with pytest.raises(UnsupportedError, match="kernel"):
        model_of(artifact(shapes))


def test_the_shards_of_old_cells_are_called_by_number() -> None:
    shapes = {f"RNN/LSTMCell/W_{i}": (4, 20) for i in range(2)} | {"RNN/LSTMCell/B": (20,)}
    joined = variables(artifact(shapes))
    assert joined.tensors["RNN/LSTMCell/W"].shape == (8, 20)


# The opaque buffer of a cuDNN layer

SIZES = {"num_layers": 2, "num_units": 5, "input_size": 3}
LSTM_SIZE = 4 * (5 * (3 + 5) + 2 * 5) + 4 * (5 * (5 + 5) + 2 * 5)


def opaque(size: int) -> LegacyArtifact:
    return artifact({"cudnn_lstm/opaque_kernel": (size,)})


def said(kind: str, **sizes: int) -> tuple[str, ...]:
    return (f"cudnn={kind}", *(f"{key}={value}" for key, value in sizes.items()))


def test_a_buffer_is_taken_apart() -> None:
    layers = model_of(opaque(LSTM_SIZE), *said("lstm", **SIZES)).recurrent_layers
    assert [(layer.input_size, layer.output_size) for layer in layers] == [(3, 5), (5, 5)]


@pytest.mark.parametrize("size", [LSTM_SIZE - 1, LSTM_SIZE + 1, 2 * LSTM_SIZE, 1])
def test_a_buffer_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(UnsupportedError, match=str(LSTM_SIZE)) as caught:
        model_of(opaque(size), *said("lstm", **SIZES))
    assert str(size) in caught.value.problems[0].received


def test_a_buffer_is_not_guessed() -> None:
    with pytest.raises(UnsupportedError, match="cudnn=lstm") as caught:
        model_of(opaque(LSTM_SIZE))
    assert all(key in caught.value.problems[0].remedy for key in SIZES)


@pytest.mark.parametrize("key", SIZES)
def test_a_size_that_is_not_stated_is_asked_for(key: str) -> None:
    sizes: dict[str, Any] = {name: size for name, size in SIZES.items() if name != key}
    with pytest.raises(UsageError, match=key):
        model_of(opaque(LSTM_SIZE), *said("lstm", **sizes))


def test_a_buffer_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="vector"):
        model_of(artifact({"dense/kernel": (3, 4)}), *said("gru", **SIZES))
