"""Keras 2.0.9 models, TensorFlow backend; a Sequential's config is a bare list."""

import functools

import keras
from _common import run_writer
from _keras import JSON, JSON_TWICE, YAML, Subject, Way, parts, sequences, tokens, whole
from _masked import masked_directions
from keras.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Input,
    MaxPooling1D,
    SimpleRNN,
    TimeDistributed,
    concatenate,
)
from keras.models import Model, Sequential

KERAS = Way(keras, keras.backend.clear_session)


def chain(seed: int, *layers: keras.layers.Layer) -> Subject:
    """Returns layers one after another with random inputs."""
    model = Sequential(list(layers))
    model.build()
    return Subject(model, sequences(model.input_names[0], (4, 6, 3), seed), seed)


def lstm() -> Subject:
    """Two LSTM layers and a head."""
    return chain(
        131,
        LSTM(5, return_sequences=True, dropout=0.2, recurrent_dropout=0.1, input_shape=(None, 3)),
        Dropout(0.5),
        LSTM(4, implementation=2, unit_forget_bias=False),
        Dense(6, activation="softmax"),
    )


def gru() -> Subject:
    """Two GRU layers, the second unrolled; there is no reset_after yet."""
    return chain(
        132,
        GRU(5, return_sequences=True, input_shape=(6, 3)),
        GRU(4, implementation=1, recurrent_activation="sigmoid", return_sequences=True),
        SimpleRNN(7, return_sequences=True),
        TimeDistributed(Dense(2)),
    )


def bidirectional() -> Subject:
    """Two layers both ways."""
    return chain(
        133,
        Bidirectional(LSTM(4, return_sequences=True), input_shape=(None, 3)),
        Bidirectional(GRU(5), merge_mode="sum"),
        Dense(2),
    )


def two_in_two_out() -> Subject:
    """Two inputs, two outputs, a convolution and a shared LSTM."""
    words = Input((9,), dtype="int32", name="words")
    series = Input((4, 5), name="series")
    x = Conv1D(5, 2, padding="same", activation="relu", name="conv")(
        Embedding(13, 4, name="embedding")(words)
    )
    x = BatchNormalization(name="norm")(MaxPooling1D(2, name="pool")(x))
    shared = LSTM(3, name="shared")
    joined = concatenate([shared(x), shared(series)], name="joined")
    outputs = [
        Dense(2, activation="softmax", name="label")(joined),
        GRU(4, return_sequences=True, go_backwards=True, name="steps")(series),
    ]
    inputs = tokens("words", (3, 9), 13, 134)
    inputs.update(sequences("series", (3, 4, 5), 134))
    return Subject(Model([words, series], outputs), inputs, seed=134)


CASES = {
    "keras2_0_lstm": whole(KERAS, lstm, trained=True),
    "keras2_0_gru": whole(KERAS, gru),
    "keras2_0_bidirectional": whole(KERAS, bidirectional),
    "keras2_0_two_in_two_out": whole(KERAS, two_in_two_out, trained=True),
    "keras2_0_masked_directions": whole(KERAS, functools.partial(masked_directions, keras)),
    "keras2_0_lstm_weights": parts(KERAS, lstm, JSON, YAML),
    "keras2_0_bidirectional_twice_weights": parts(KERAS, bidirectional, JSON_TWICE),
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
