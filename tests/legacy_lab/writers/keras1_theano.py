"""Keras 1.2.2 models, Theano backend: weights without `:0`, convolutions with flipped kernels."""

import os

# Both before Keras is imported. No compiler is needed: Theano also runs on numpy alone.
os.environ.update(
    KERAS_BACKEND="theano", THEANO_FLAGS="device=cpu,floatX=float32,cxx=,optimizer=None"
)

import keras
from _common import run_writer
from _keras import JSON, Subject, pad, parts, sequences, tokens, whole
from _keras1 import KERAS, chain
from keras.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    ConvLSTM2D,
    Convolution1D,
    Dense,
    Embedding,
    Flatten,
    MaxPooling1D,
)
from keras.models import Sequential

PADDING = [[1] * 5, [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0] * 5]


def lstm_stack() -> Subject:
    """Two LSTM layers and a head."""
    return chain(
        121,
        LSTM(5, return_sequences=True, input_shape=(6, 3)),
        LSTM(4, consume_less="gpu"),
        Dense(2, activation="softmax"),
    )


def conv_gru() -> Subject:
    """A convolution, which Theano computes with the kernel turned round, before a GRU."""
    return chain(
        122,
        Convolution1D(5, 3, border_mode="same", activation="relu", input_shape=(9, 3)),
        MaxPooling1D(2),
        BatchNormalization(),
        Convolution1D(4, 2, border_mode="valid", input_length=4),
        GRU(3, return_sequences=True),
        GRU(6),
        shape=(4, 9, 3),
    )


def conv_lstm() -> Subject:
    """Maps through two ConvLSTM2D of odd windows, which Theano and TensorFlow pad alike."""
    model = Sequential()
    model.add(
        ConvLSTM2D(
            3,
            3,
            1,
            border_mode="same",
            return_sequences=True,
            dim_ordering="th",
            input_shape=(4, 2, 6, 7),
        )
    )
    model.add(ConvLSTM2D(2, 3, 3, border_mode="valid", activation="relu", dim_ordering="th"))
    model.add(Flatten())
    model.add(Dense(3))
    model.build()
    inputs = sequences(model.input_names[0], (2, 4, 2, 6, 7), 132)
    return Subject(model, inputs, seed=132)


def masked_bidirectional() -> Subject:
    """Padded word numbers, both directions."""
    model = Sequential()
    model.add(Embedding(11, 4, mask_zero=True, input_length=5))
    model.add(Bidirectional(LSTM(3, return_sequences=True)))
    model.add(GRU(5))
    model.build()
    inputs = pad(tokens(model.input_names[0], (4, 5), 11, 123), PADDING)
    return Subject(model, inputs, seed=123)


CASES = {
    "keras1_theano_lstm_stack": whole(KERAS, lstm_stack, trained=True),
    "keras1_theano_conv_gru": whole(KERAS, conv_gru),
    "keras1_theano_conv_lstm": whole(KERAS, conv_lstm),
    "keras1_theano_masked_bidirectional": whole(KERAS, masked_bidirectional),
    "keras1_theano_conv_gru_weights": parts(KERAS, conv_gru, JSON),
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
