"""Keras 2.2.5 models of several layers: shared, nested, with states passed on, several outputs."""

import keras
from _common import run_writer
from _keras import JSON, YAML, Subject, Way, pad, parts, sequences, tokens, whole
from keras.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Input,
    Masking,
    TimeDistributed,
)
from keras.models import Model, Sequential

KERAS = Way(keras, keras.backend.clear_session)


def siamese() -> Subject:
    """One Bidirectional(LSTM) and one Embedding, each called on two sentences."""
    words, time = 13, 6
    left, right = (Input((time,), dtype="int32", name=name) for name in ("left", "right"))
    embedding = Embedding(words, 4, mask_zero=True, name="words")
    encoder = Bidirectional(LSTM(5), name="encoder")
    joined = Concatenate(name="joined")([encoder(embedding(left)), encoder(embedding(right))])
    same = Dense(1, activation="sigmoid", name="same")(joined)
    inputs = pad(tokens("left", (3, time), words, 31), [[1] * 6, [1, 1, 1, 0, 0, 0], [1] * 6])
    inputs.update(
        pad(tokens("right", (3, time), words, 32), [[1] * 6, [1] * 6, [0, 0, 1, 1, 1, 1]])
    )
    return Subject(Model([left, right], same), inputs, seed=31)


def seq2seq() -> Subject:
    """Encoder states start the decoder, which is fed the right words (teacher forcing)."""
    source = Input((None, 4), name="source")
    target = Input((None, 3), name="target")
    _, h, c = LSTM(6, return_state=True, name="encoder")(source)
    decoder = LSTM(6, return_sequences=True, return_state=True, name="decoder")
    decoded, _, _ = decoder(target, initial_state=[h, c])
    answers = Dense(5, activation="softmax", name="answers")(decoded)
    inputs = sequences("source", (3, 7, 4), 33)
    inputs.update(sequences("target", (3, 5, 3), 34))
    return Subject(Model([source, target], answers), inputs, seed=33)


def seq2seq_gru() -> Subject:
    """The same with GRU, the source masked and the states among the outputs."""
    source = Input((None, 3), name="source")
    target = Input((None, 4), name="target")
    _, state = GRU(5, return_state=True, name="encoder")(Masking(name="masking")(source))
    decoder = GRU(5, return_sequences=True, return_state=True, name="decoder")
    decoded, last = decoder(target, initial_state=state)
    inputs = pad(
        sequences("source", (4, 5, 3), 35), [[1] * 5, [1, 1, 0, 0, 0], [0] * 5, [0, 1, 1, 1, 1]]
    )
    inputs.update(sequences("target", (4, 6, 4), 36))
    return Subject(Model([source, target], [decoded, last]), inputs, seed=35)


def nested() -> Subject:
    """A model in a model in a model, with normalisation and frozen layers inside."""
    row = Input((None, 3), name="row")
    features = LSTM(4, return_sequences=True, name="inner_lstm")(row)
    features = BatchNormalization(name="inner_norm")(features)
    inner = Model(row, features, name="inner")
    inner.get_layer("inner_lstm").trainable = False
    block = Sequential(
        [GRU(5, input_shape=(None, 4), name="block_gru"), Dense(6, name="block_dense")],
        name="block",
    )
    block.trainable = False
    inputs = Input((7, 3), name="inputs")
    hidden = block(inner(inputs))
    normal = BatchNormalization(scale=False, name="outer_norm")(hidden)
    outputs = Dense(2, name="outer_dense")(normal)
    return Subject(Model(inputs, outputs), sequences("inputs", (3, 7, 3), 37), seed=37)


def hierarchical() -> Subject:
    """Words to sentences to a document: TimeDistributed around models with LSTM inside."""
    words = Sequential(name="words")
    words.add(Embedding(11, 3, input_length=5, name="embedding"))
    words.add(LSTM(4, name="word_lstm"))
    document = Input((6, 5), dtype="int32", name="document")
    encoded = TimeDistributed(words, name="sentences")(document)
    hidden = LSTM(5, return_sequences=True, name="sentence_lstm")(encoded)
    label = TimeDistributed(Dense(2, activation="softmax", name="label"), name="labels")(hidden)
    return Subject(Model(document, label), tokens("document", (3, 6, 5), 11, 38), seed=38)


def time_distributed_bidirectional() -> Subject:
    """TimeDistributed(Bidirectional(LSTM)): the order of sentences is not that of words."""
    model = Sequential()
    both = Bidirectional(LSTM(4), name="both")
    model.add(TimeDistributed(both, input_shape=(5, 6, 3), name="sentences"))
    model.add(TimeDistributed(Dropout(0.5)))
    model.add(GRU(7, name="document"))
    return Subject(model, sequences(model.input_names[0], (2, 5, 6, 3), 39), seed=39)


def two_in_two_out() -> Subject:
    """Two inputs, two outputs: LSTM over one, its output beside the other."""
    main = Input((8,), dtype="int32", name="main_input")
    extra = Input((5,), name="aux_input")
    embedded = Embedding(17, 6, name="embedding")(main)
    encoded = LSTM(4, name="lstm")(embedded)
    aside = Dense(1, activation="sigmoid", name="aux_output")(encoded)
    joined = Concatenate(name="joined")([encoded, extra])
    hidden = Dense(7, activation="relu", name="hidden")(joined)
    answer = Dense(3, activation="softmax", name="main_output")(hidden)
    inputs = tokens("main_input", (4, 8), 17, 40)
    inputs.update(sequences("aux_input", (4, 5), 40))
    return Subject(Model([main, extra], [answer, aside]), inputs, seed=40)


def distance(truth: object, answer: object) -> object:
    """A metric of the user's own."""
    return keras.backend.max(keras.backend.abs(truth - answer), axis=-1)


def own_metric() -> Subject:
    """A trained stack, measured by a function that no other program knows."""
    model = Sequential()
    model.add(LSTM(5, return_sequences=True, dropout=0.2, input_shape=(None, 3)))
    model.add(Dropout(0.3))
    model.add(LSTM(4, recurrent_dropout=0.1))
    model.add(Dense(2))
    inputs = sequences(model.input_names[0], (3, 6, 3), 41)
    return Subject(model, inputs, seed=41, custom={"distance": distance})


CASES = {
    "keras2_siamese": whole(KERAS, siamese, trained=True),
    "keras2_seq2seq": whole(KERAS, seq2seq, trained=True),
    "keras2_seq2seq_gru": whole(KERAS, seq2seq_gru),
    "keras2_nested": whole(KERAS, nested, trained=True),
    "keras2_nested_weights": parts(KERAS, nested),
    "keras2_hierarchical": whole(KERAS, hierarchical),
    "keras2_time_distributed_bidirectional": whole(KERAS, time_distributed_bidirectional),
    "keras2_two_in_two_out": whole(KERAS, two_in_two_out, trained=True),
    "keras2_own_metric": whole(KERAS._replace(metrics=["mae", distance]), own_metric, trained=True),
    "keras2_seq2seq_yaml_weights": parts(KERAS, seq2seq, YAML, JSON),
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
