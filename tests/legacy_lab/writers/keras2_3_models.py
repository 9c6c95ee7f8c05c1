"""Keras 2.3.1 models, whose gates are sigmoids by default."""

import functools

import keras
from _common import run_writer
from _keras import JSON, Subject, Way, parts, sequences, whole
from _masked import masked_directions
from keras.layers import GRU, LSTM, Bidirectional, Dense
from keras.models import Sequential

KERAS = Way(keras, keras.backend.clear_session)


def chain(seed: int, *layers: keras.layers.Layer) -> Subject:
    """Returns layers one after another with random inputs."""
    model = Sequential(list(layers))
    return Subject(model, sequences(model.input_names[0], (4, 6, 3), seed), seed)


def lstm() -> Subject:
    """Two LSTM layers and a head."""
    return chain(
        151,
        LSTM(5, return_sequences=True, input_shape=(None, 3)),
        LSTM(4),
        Dense(6, activation="softmax"),
    )


def gru() -> Subject:
    """Two GRU layers and a head."""
    return chain(152, GRU(5, return_sequences=True, input_shape=(None, 3)), GRU(4), Dense(2))


def gru_reset_after() -> Subject:
    """GRU layers that reset after the product, in one direction and in both."""
    return chain(
        153,
        GRU(5, reset_after=True, return_sequences=True, input_shape=(None, 3)),
        Bidirectional(GRU(4, reset_after=True)),
        Dense(2),
    )


CASES = {
    "keras2_3_lstm": whole(KERAS, lstm, trained=True),
    "keras2_3_gru": whole(KERAS, gru),
    "keras2_3_gru_reset_after": whole(KERAS, gru_reset_after),
    "keras2_3_masked_directions": whole(KERAS, functools.partial(masked_directions, keras)),
    "keras2_3_lstm_weights": parts(KERAS, lstm, JSON),
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
