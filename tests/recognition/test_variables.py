"""What stands beside the variables of a model, and what they may lie in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CellKind
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


@pytest.mark.parametrize("name", ["kernel", "kernel/part_1"])
@pytest.mark.parametrize(
    "slot", ["Adam", "Adam_1", "Momentum", "RMSProp", "RMSProp_1", "Adagrad", "Adadelta", "Ftrl_1"]
)
def test_an_optimizer_leaves_its_slots_beside_every_variable(name: str, slot: str) -> None:
    assert model_variables([f"rnn/lstm_cell/{name}", f"rnn/lstm_cell/{name}/{slot}"]) == [
        f"rnn/lstm_cell/{name}"
    ]


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


def test_a_variable_without_an_average_stands_for_itself() -> None:
    """As `ExponentialMovingAverage.variables_to_restore` takes them."""
    shapes = {**CELL, "embedding": (9, 3), f"embedding/{AVERAGE}": (9, 3)}
    view = variables(artifact(shapes), "use_ema=true")
    assert set(view.tensors) == {*CELL, "embedding"}
    np.testing.assert_array_equal(view.read("embedding"), view.load("embedding"))


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


@pytest.mark.parametrize("settings", [(), ("use_ema=true",)])
def test_averages_and_slots_of_shards(settings: tuple[str, ...]) -> None:
    beside = (f"/{AVERAGE}", "/Adam", "/Adam_1")
    shapes = sharded(12) | {f"{n}{s}": shape for n, shape in sharded(12).items() for s in beside}
    source = artifact(shapes)
    view = variables(source, *settings)
    assert set(view.tensors) == {"rnn/lstm_cell/kernel", "rnn/lstm_cell/bias"}
    taken = f"/{AVERAGE}" if settings else ""
    parts = [source.load(f"rnn/lstm_cell/kernel/part_{i}{taken}") for i in range(12)]
    np.testing.assert_array_equal(view.read("rnn/lstm_cell/kernel"), np.concatenate(parts))


def test_shards_of_a_vector_are_joined() -> None:
    shapes = {f"rnn/lstm_cell/bias/part_{i}": (size,) for i, size in enumerate((12, 8))}
    view = variables(artifact({"rnn/lstm_cell/kernel": (8, 20), **shapes}))
    assert view.read("rnn/lstm_cell/bias").shape == (20,)


def test_shards_of_no_one_matrix_are_refused() -> None:
    shapes = {"rnn/lstm_cell/kernel/part_0": (8, 7), "rnn/lstm_cell/kernel/part_1": (9, 13)}
    with pytest.raises(UnsupportedError, match="along one axis") as caught:
        model_of(artifact({**shapes, "rnn/lstm_cell/bias": (20,)}))
    assert caught.value.problems[0].received == "[8, 7], [9, 13]"


def test_a_lost_last_shard_shows_against_the_input_size() -> None:
    """Shards 0 and 1 of three are two whole shards by their names: only the user knows."""
    shapes = sharded(3)
    del shapes["rnn/lstm_cell/kernel/part_2"]
    with pytest.raises(UnsupportedError, match=r"width 19 \(--set input_size=19\)"):
        model_of(artifact(shapes), "input_size=19")


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


GRU_SIZE = 3 * (5 * (3 + 5) + 2 * 5) + 3 * (5 * (5 + 5) + 2 * 5)
BOTH_SIZE = 2 * 4 * (5 * (3 + 5) + 2 * 5) + 2 * 4 * (5 * (10 + 5) + 2 * 5)


def test_a_buffer_may_hold_a_gru() -> None:
    layers = model_of(opaque(GRU_SIZE), *said("gru", **SIZES)).recurrent_layers
    assert [layer.forward[0].cell.kind for layer in layers] == [CellKind.GRU] * 2
    assert all(layer.forward[0].cell.reset_after.value for layer in layers)


def test_a_buffer_may_run_both_ways() -> None:
    settings = (*said("lstm", **SIZES), "bidirectional=true")
    layers = model_of(opaque(BOTH_SIZE), *settings).recurrent_layers
    assert [(layer.input_size, layer.output_size) for layer in layers] == [(3, 10), (10, 10)]
    assert all(layer.backward for layer in layers)


@pytest.mark.parametrize(
    ("key", "size"), [("num_layers", 1), ("num_units", 4), ("input_size", 4), ("num_layers", 3)]
)
def test_sizes_that_do_not_fill_the_buffer_are_refused(key: str, size: int) -> None:
    with pytest.raises(UnsupportedError, match=f"{key}={size}") as caught:
        model_of(opaque(LSTM_SIZE), *said("lstm", **{**SIZES, key: size}))
    assert f"[{LSTM_SIZE}]" in caught.value.problems[0].received


def test_a_buffer_is_read_once_from_its_start() -> None:
    """The first matrix is that of the input gate of the first layer, units by inputs."""
    source = opaque(LSTM_SIZE)
    view = variables(source, *said("lstm", **SIZES))
    [first, *_] = [name for name in view.tensors if name.endswith("cell_0/cudnn_lstm_pieces/w_i")]
    stored = source.load("cudnn_lstm/opaque_kernel")[: 5 * 3]
    np.testing.assert_array_equal(view.read(first).ravel(), stored)


def test_of_two_buffers_the_user_names_one() -> None:
    names = [f"{scope}/opaque_kernel" for scope in ("decoder", "encoder")]
    source = artifact(dict.fromkeys(names, (LSTM_SIZE,)))
    settings = said("lstm", **SIZES)
    with pytest.raises(UsageError, match="--set scope=VARIABLE") as caught:
        model_of(source, *settings)
    assert caught.value.problems[0].received == ", ".join(names)
    assert len(model_of(source, *settings, "scope=decoder").recurrent_layers) == 2


def test_a_buffer_may_have_any_name() -> None:
    source = artifact({"net/params": (LSTM_SIZE,), "net/dense/kernel": (5, 2)})
    assert len(model_of(source, *said("lstm", **SIZES)).recurrent_layers) == 2


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
