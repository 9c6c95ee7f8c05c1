from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.errors import UnsupportedError
from rnn_migrator.keras_model import activations

VALUES = np.concatenate([np.random.default_rng(3).normal(0, 4, 61), [-2.5, 0.0, 2.5, 30.0, -30.0]])


def legacy(name: str) -> Any:
    tf_keras = pytest.importorskip("tf_keras")
    return getattr(tf_keras.activations, name, None) or getattr(tf.nn, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", activations.LEGACY_NAMES)
def test_a_legacy_name_means_what_keras_2_computes(name: str, dtype: str) -> None:
    x = tf.constant(VALUES.reshape(6, 11), dtype)
    received = activations.resolve(name)(x)
    assert received.dtype == x.dtype
    np.testing.assert_array_equal(received, legacy(name)(x))


def test_the_hard_sigmoid_of_keras_3_is_another_function() -> None:
    x = tf.constant(VALUES, "float32")
    ours = activations.legacy_hard_sigmoid(x)
    np.testing.assert_allclose(ours, np.clip(0.2 * VALUES + 0.5, 0, 1), atol=1e-6)
    assert np.max(np.abs(ours - keras.activations.hard_sigmoid(x))) > 0.05


@pytest.mark.parametrize("name", activations.LEGACY_NAMES)
def test_keras_layers_keep_the_function_in_their_config(name: str) -> None:
    activation = activations.resolve(name)
    layer = keras.layers.LSTM(3, activation=activation, recurrent_activation=activation)
    clone = keras.layers.LSTM.from_config(layer.get_config())
    assert clone.activation is activation
    assert clone.recurrent_activation is activation


@pytest.mark.parametrize("name", ["crelu", "Tanh", "", "legacy_hard_sigmoid"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        activations.resolve(name)
    (problem,) = caught.value.problems
    assert repr(name) in problem.received
    assert "hard_sigmoid" in problem.expected
