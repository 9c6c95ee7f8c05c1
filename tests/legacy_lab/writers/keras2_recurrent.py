"""Keras 2.2.5 recurrent layers in all their ways to run."""

import keras
import numpy as np
from _common import run_writer
from _keras import JSON, YAML, Subject, Way, pad, parts, sequences, tokens, whole
from keras.layers import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    ConvLSTM2D,
    Dense,
    Embedding,
    Flatten,
    GRUCell,
    Input,
    LSTMCell,
    Masking,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
    TimeDistributed,
)
from keras.models import Model, Sequential

KERAS = Way(keras, keras.backend.clear_session)
PADDING = [[1] * 6, [1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 0, 1, 1, 0], [0] * 6]


def chain(seed: int, *layers: keras.layers.Layer, shape: tuple = (4, 6, 3)) -> Subject:
    """Returns layers one after another with random inputs; the first has an input shape."""
    model = Sequential(list(layers))
    return Subject(model, sequences(model.input_names[0], shape, seed), seed)


def branches(seed: int, *layers: keras.layers.Layer, shape: tuple = (4, 6, 3)) -> Subject:
    """Returns layers beside each other, all on the same random inputs."""
    inputs = Input(shape[1:], name="inputs")
    outputs = []
    for layer in layers:
        answers = layer(inputs)
        outputs += answers if isinstance(answers, list) else [answers]
    return Subject(Model(inputs, outputs), sequences("inputs", shape, seed), seed)


def conv_lstm() -> Subject:
    """Two ConvLSTM2D, one of them with strides and no padding."""
    return chain(
        51,
        ConvLSTM2D(
            3, (3, 2), padding="same", return_sequences=True, input_shape=(4, 6, 7, 2), name="first"
        ),
        ConvLSTM2D(2, (2, 3), padding="valid", strides=(2, 1), activation="relu", name="second"),
        Flatten(),
        Dense(3),
        shape=(2, 4, 6, 7, 2),
    )


def cells() -> Subject:
    """RNN over a list of cells of three kinds."""
    stack = [LSTMCell(5), GRUCell(4), SimpleRNNCell(6)]
    return chain(52, RNN(stack, return_sequences=True, input_shape=(None, 3)), Dense(2))


def stacked_cells() -> Subject:
    """RNN over StackedRNNCells, then RNN over one cell, the inputs masked."""
    stack = StackedRNNCells([LSTMCell(4, recurrent_activation="sigmoid"), LSTMCell(7)])
    subject = chain(
        53,
        Masking(input_shape=(6, 3)),
        RNN(stack, return_sequences=True),
        RNN(GRUCell(5, reset_after=True)),
        Dense(2),
        shape=(5, 6, 3),
    )
    return subject._replace(inputs=pad(subject.inputs, PADDING))


def rnn_simple_cell() -> Subject:
    """RNN over a SimpleRNNCell, its states among the outputs."""
    return branches(54, RNN(SimpleRNNCell(5), return_sequences=True, return_state=True, name="rnn"))


def merge_modes() -> Subject:
    """Bidirectional in every merge mode but the default, with sequences and without."""
    return branches(
        55,
        Bidirectional(LSTM(4, return_sequences=True), merge_mode="sum", name="sum"),
        Bidirectional(LSTM(5), merge_mode="ave", name="ave"),
        Bidirectional(GRU(3, return_sequences=True), merge_mode="mul", name="mul"),
        Bidirectional(LSTM(6, return_sequences=True), merge_mode=None, name="none"),
    )


def bidirectional_gru() -> Subject:
    """Two Bidirectional(GRU), the second resets after the product."""
    return chain(
        56,
        Bidirectional(GRU(5, return_sequences=True), input_shape=(None, 3), name="first"),
        Bidirectional(
            GRU(4, reset_after=True, recurrent_activation="sigmoid"),
            merge_mode="ave",
            name="second",
        ),
        Dense(2),
    )


def bidirectional_states() -> Subject:
    """The four states of a Bidirectional(LSTM) start another."""
    source, target = Input((None, 3), name="source"), Input((None, 4), name="target")
    encoder = Bidirectional(LSTM(5, return_state=True), name="encoder")
    _, *states = encoder(source)
    decoder = Bidirectional(LSTM(5, return_sequences=True), merge_mode="sum", name="decoder")
    outputs = decoder(target, initial_state=states)
    inputs = sequences("source", (3, 6, 3), 57)
    inputs.update(sequences("target", (3, 5, 4), 58))
    return Subject(Model([source, target], outputs), inputs, seed=57)


def masked_stack() -> Subject:
    """A mask from Embedding through Bidirectional to LSTM."""
    model = Sequential(
        [
            Embedding(11, 4, mask_zero=True, input_length=6, name="embedding"),
            Bidirectional(LSTM(5, return_sequences=True), name="both"),
            LSTM(3, return_sequences=True, name="lstm"),
            GRU(4, name="gru"),
            Dense(2, name="dense"),
        ]
    )
    inputs = pad(tokens(model.input_names[0], (5, 6), 11, 59), PADDING)
    return Subject(model, inputs, seed=59)


def no_bias() -> Subject:
    """Layers without bias."""
    return branches(
        60,
        LSTM(4, use_bias=False, return_sequences=True, name="lstm"),
        GRU(5, use_bias=False, name="gru"),
        GRU(6, use_bias=False, reset_after=True, return_sequences=True, name="gru_after"),
        SimpleRNN(7, use_bias=False, name="simple"),
        Bidirectional(LSTM(3, use_bias=False), name="both"),
    )


def stateful() -> Subject:
    """A stateful stack with its batch fixed."""
    return chain(
        61,
        LSTM(4, stateful=True, return_sequences=True, batch_input_shape=(3, 5, 2)),
        GRU(5, stateful=True, return_sequences=True),
        SimpleRNN(6, stateful=True),
        Dense(2),
        shape=(3, 5, 2),
    )


def unroll() -> Subject:
    """Unrolled layers and the other implementation, the inputs masked."""
    inputs = Input((6, 3), name="inputs")
    masked = Masking(mask_value=0.0, name="masking")(inputs)
    outputs = [
        LSTM(4, unroll=True, implementation=2, return_sequences=True, name="lstm")(masked),
        GRU(5, unroll=True, return_sequences=True, name="gru")(masked),
        GRU(6, implementation=2, reset_after=True, name="gru_after")(masked),
        SimpleRNN(3, unroll=True, name="simple")(masked),
        LSTM(2, unroll=True, return_sequences=True, name="unmasked")(inputs),
    ]
    values = pad(sequences("inputs", (5, 6, 3), 62), PADDING)
    return Subject(Model(inputs, outputs), values, seed=62)


def go_backwards() -> Subject:
    """Layers that read from the end, with sequences and without, the inputs masked."""
    inputs = Input((6, 3), name="inputs")
    masked = Masking(name="masking")(inputs)
    outputs = [
        LSTM(4, go_backwards=True, return_sequences=True, name="lstm")(inputs),
        GRU(5, go_backwards=True, name="gru")(inputs),
        SimpleRNN(3, go_backwards=True, return_sequences=True, name="simple")(inputs),
        GRU(6, go_backwards=True, return_sequences=True, name="masked_gru")(masked),
        LSTM(3, go_backwards=True, name="masked_lstm")(masked),
    ]
    values = pad(sequences("inputs", (5, 6, 3), 63), PADDING)
    return Subject(Model(inputs, outputs), values, seed=63)


def activations() -> Subject:
    """Cells with activations other than the defaults."""
    return branches(
        64,
        LSTM(4, activation="relu", recurrent_activation="sigmoid", name="relu"),
        LSTM(5, activation="softsign", recurrent_activation="softsign", name="softsign"),
        GRU(3, activation="linear", recurrent_activation="tanh", name="linear"),
        GRU(4, activation="elu", reset_after=True, name="elu"),
        SimpleRNN(6, activation="softplus", return_sequences=True, name="softplus"),
        SimpleRNN(5, activation="selu", name="selu"),
    )


def simple_rnn() -> Subject:
    """Two SimpleRNN layers and a head at every step."""
    return chain(
        65,
        SimpleRNN(5, return_sequences=True, input_shape=(None, 3)),
        SimpleRNN(4, activation="relu", return_sequences=True),
        TimeDistributed(Dense(2, activation="sigmoid")),
    )


def ragged_gru() -> Subject:
    """GRU of both kinds under a mask, as weights with a YAML architecture alone."""
    subject = chain(
        66,
        Masking(mask_value=-1.0, input_shape=(6, 3)),
        GRU(5, return_sequences=True),
        GRU(4, reset_after=True),
        shape=(5, 6, 3),
    )
    kept = np.asarray(PADDING)[..., np.newaxis]
    inputs = {name: np.where(kept, values, -1.0) for name, values in subject.inputs.items()}
    inputs = {name: values.astype(np.float32) for name, values in inputs.items()}
    return subject._replace(inputs=inputs)


CASES = {
    "keras2_conv_lstm": whole(KERAS, conv_lstm),
    "keras2_rnn_cells": whole(KERAS, cells),
    "keras2_rnn_stacked_cells": whole(KERAS, stacked_cells),
    "keras2_rnn_simple_cell": whole(KERAS, rnn_simple_cell),
    "keras2_bidirectional_merge_modes": whole(KERAS, merge_modes),
    "keras2_bidirectional_gru": whole(KERAS, bidirectional_gru, trained=True),
    "keras2_bidirectional_states": whole(KERAS, bidirectional_states),
    "keras2_masked_stack": whole(KERAS, masked_stack),
    "keras2_no_bias": whole(KERAS, no_bias),
    "keras2_stateful": whole(KERAS, stateful),
    "keras2_unroll": whole(KERAS, unroll),
    "keras2_go_backwards": whole(KERAS, go_backwards),
    "keras2_cell_activations": whole(KERAS, activations),
    "keras2_simple_rnn": whole(KERAS, simple_rnn, trained=True),
    "keras2_masked_gru_yaml_weights": parts(KERAS, ragged_gru, YAML),
    "keras2_masked_stack_weights": parts(KERAS, masked_stack, JSON),
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
