from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.keras_model import cudnn
from rnn_migrator.keras_model.activations import legacy_hard_sigmoid
from tests.keras_model import run_cudnn

BATCH, TIME, INPUTS, UNITS = 3, 7, 5, 4
GATES = {"lstm": 4, "gru": 3}
PARAMS = {"lstm": cudnn.lstm_params, "gru": cudnn.gru_params}
LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
both = pytest.mark.parametrize("mode", ["lstm", "gru"])


def random_weights(mode: str) -> list[Any]:
    rng = np.random.default_rng(11)
    width = GATES[mode] * UNITS
    bias = (width,) if mode == "lstm" else (2, width)
    return [rng.normal(0, 0.7, shape) for shape in [(INPUTS, width), (UNITS, width), bias]]


def difference(mode: str, weights: list[Any], params: Any) -> float:
    """Largest difference of Keras' float64 layer from the cuDNN formula over a buffer."""
    rng = np.random.default_rng(12)
    sequences = rng.normal(size=(BATCH, TIME, INPUTS))
    states = [rng.normal(size=(BATCH, UNITS)) for _ in range(2 if mode == "lstm" else 1)]
    layer = LAYERS[mode](
        UNITS, return_sequences=True, return_state=True, use_cudnn=False, dtype="float64"
    )
    layer.build(sequences.shape)
    layer.set_weights(weights)
    expected = layer(sequences, initial_state=[tf.constant(state) for state in states])
    received = run_cudnn(sequences, states, np.asarray(params), np.full(BATCH, TIME), mode)
    pairs = zip(received, expected, strict=True)
    return max(float(np.max(np.abs(got - np.asarray(want)))) for got, want in pairs)


@both
def test_the_buffer_is_what_cudnn_documents(mode: str) -> None:
    weights = random_weights(mode)
    params = PARAMS[mode](*weights)
    assert params.shape == (GATES[mode] * UNITS * (INPUTS + UNITS + 2),)
    assert params.dtype == tf.float64
    assert difference(mode, weights, params) < 1e-12


@both
@pytest.mark.parametrize("gates", [(0, 1), (1, 2), (0, 2)])
def test_swapped_gates_are_noticed(mode: str, gates: tuple[int, int]) -> None:
    def swapped(weight: Any) -> Any:
        blocks = np.split(weight, GATES[mode], axis=-1)
        first, second = gates
        blocks[first], blocks[second] = blocks[second], blocks[first]
        return np.concatenate(blocks, axis=-1)

    weights = random_weights(mode)
    assert difference(mode, weights, PARAMS[mode](*map(swapped, weights))) > 1e-2


@both
def test_blocks_that_are_not_transposed_are_noticed(mode: str) -> None:
    def laid_flat(weight: Any) -> Any:
        """Blocks whose transposes have the memory of the original blocks."""
        blocks = np.split(weight, GATES[mode], axis=-1)
        return np.concatenate([b.reshape(b.shape[::-1]).T for b in blocks], axis=-1)

    weights = random_weights(mode)
    kernel, recurrent, bias = weights
    for wrong in ([laid_flat(kernel), recurrent, bias], [kernel, laid_flat(recurrent), bias]):
        assert difference(mode, weights, PARAMS[mode](*wrong)) > 1e-2


def test_a_dropped_recurrent_bias_is_noticed() -> None:
    kernel, recurrent, (input_bias, recurrent_bias) = weights = random_weights("gru")
    for wrong in ([input_bias, 0 * recurrent_bias], [input_bias + recurrent_bias, 0 * input_bias]):
        params = cudnn.gru_params(kernel, recurrent, np.stack(wrong))
        assert difference("gru", weights, params) > 1e-2


def test_the_emulation_refuses_what_cudnn_refuses() -> None:
    params = np.zeros(4 * UNITS * (INPUTS + UNITS + 2))
    sequences, states = np.zeros((2, TIME, INPUTS)), [np.zeros((2, UNITS))] * 2
    for lengths in ([0, TIME], [1, TIME + 1]):
        with pytest.raises(ValueError, match="lengths from 1 to 7"):
            run_cudnn(sequences, states, params, np.array(lengths), "lstm")
    with pytest.raises(ValueError, match="buffer"):
        run_cudnn(sequences, states, np.append(params, 0), np.array([1, TIME]), "lstm")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["111", "100"], True),
        (["000", "110"], True),
        (["111", "101"], False),
        (["011", "111"], False),
        (["1", "0"], True),
    ],
)
def test_right_padding_is_recognised(rows: list[str], expected: bool) -> None:
    mask = tf.constant([[flag == "1" for flag in row] for row in rows])
    assert bool(cudnn.right_padded(mask)) is expected


@both
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"dropout": 0.5, "activation": tf.tanh, "return_sequences": True}, None),
        ({"activation": "relu"}, "activation is not tanh"),
        ({"recurrent_activation": "hard_sigmoid"}, "recurrent_activation is not sigmoid"),
        ({"recurrent_activation": legacy_hard_sigmoid}, "recurrent_activation is not sigmoid"),
        ({"use_bias": False}, "there is no bias"),
        ({"recurrent_dropout": 0.1}, "recurrent_dropout is not 0"),
        ({"unroll": True}, "the layer is unrolled"),
        ({"dropout": 0.5, "implementation": 1}, "each gate drops out other inputs"),
    ],
)
def test_what_stands_against_cudnn_is_said(
    mode: str, changed: dict[str, Any], reason: str | None
) -> None:
    obstacles = cudnn.cudnn_obstacles(LAYERS[mode](UNITS, **changed))
    assert len(obstacles) == (reason is not None)
    assert all(reason in obstacle for obstacle in obstacles if reason)


def test_all_obstacles_are_listed() -> None:
    layer = keras.layers.GRU(UNITS, reset_after=False, use_bias=False, unroll=True)
    assert cudnn.cudnn_obstacles(layer) == (
        "there is no bias",
        "the layer is unrolled",
        "the reset gate acts before the product (reset_after=False)",
    )
