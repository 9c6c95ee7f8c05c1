"""Keras 1.2.2 models, TensorFlow backend."""

import keras
from _common import run_writer
from _keras import JSON, YAML, Subject, pad, parts, sequences, tokens, whole
from _keras1 import KERAS, chain
from keras.layers import (
    ELU,
    GRU,
    LSTM,
    Activation,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    ConvLSTM2D,
    Convolution1D,
    Cropping1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    Highway,
    Input,
    Lambda,
    LeakyReLU,
    Masking,
    MaxoutDense,
    MaxPooling1D,
    Merge,
    ParametricSoftplus,
    Permute,
    PReLU,
    RepeatVector,
    Reshape,
    SimpleRNN,
    SReLU,
    ThresholdedReLU,
    TimeDistributed,
    TimeDistributedDense,
    UpSampling1D,
    ZeroPadding1D,
    merge,
)
from keras.models import Model, Sequential

PADDING = [[1] * 6, [1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 0, 1, 1, 0], [0] * 6]


def lstm_stack() -> Subject:
    """Two LSTM layers of twelve arrays each, and a head."""
    return chain(
        101,
        LSTM(5, return_sequences=True, input_shape=(None, 3)),
        Dropout(0.3),
        LSTM(4, dropout_W=0.2, dropout_U=0.1, consume_less="mem"),
        Dense(6, activation="softmax"),
    )


def lstm_gpu() -> Subject:
    """Two LSTM layers of three arrays each."""
    return chain(
        102,
        LSTM(5, consume_less="gpu", return_sequences=True, input_dim=3, input_length=6),
        LSTM(4, consume_less="gpu", inner_activation="sigmoid", activation="relu"),
        Dense(2),
    )


def gru() -> Subject:
    """GRU of nine arrays, then of three."""
    return chain(
        103,
        GRU(5, return_sequences=True, input_shape=(None, 3)),
        GRU(4, consume_less="gpu", return_sequences=True),
        GRU(6, consume_less="mem", inner_activation="sigmoid"),
        Dense(2),
    )


def simple_rnn() -> Subject:
    """Two SimpleRNN layers."""
    return chain(
        104,
        SimpleRNN(5, return_sequences=True, input_shape=(None, 3)),
        SimpleRNN(4, activation="relu"),
        Dense(2),
    )


def bidirectional() -> Subject:
    """Both directions, side by side and summed."""
    return chain(
        105,
        Bidirectional(LSTM(5, return_sequences=True), input_shape=(6, 3)),
        Bidirectional(GRU(4, return_sequences=True, consume_less="gpu"), merge_mode="ave"),
        Bidirectional(LSTM(3, consume_less="gpu"), merge_mode="sum"),
        Dense(2),
    )


def masked_text() -> Subject:
    """Padded word numbers through a stack."""
    model = Sequential()
    model.add(Embedding(11, 4, mask_zero=True, input_length=6))
    model.add(LSTM(5, return_sequences=True))
    model.add(GRU(4))
    model.add(Dense(1, activation="sigmoid"))
    model.build()
    inputs = pad(tokens(model.input_names[0], (5, 6), 11, 106), PADDING)
    return Subject(model, inputs, seed=106)


def masked_sequences() -> Subject:
    """What every recurrent layer answers at masked steps."""
    inputs = Input((6, 3), name="inputs")
    masked = Masking(0.0, name="masking")(inputs)
    outputs = [
        LSTM(4, return_sequences=True, name="lstm")(masked),
        GRU(5, return_sequences=True, consume_less="gpu", name="gru")(masked),
        SimpleRNN(3, return_sequences=True, name="simple")(masked),
        LSTM(3, return_sequences=True, unroll=True, name="unrolled")(masked),
        GRU(4, return_sequences=True, go_backwards=True, name="backwards")(masked),
    ]
    values = pad(sequences("inputs", (5, 6, 3), 107), PADDING)
    return Subject(Model(input=inputs, output=outputs), values, seed=107)


def masked_directions() -> Subject:
    """What Bidirectional answers at masked steps, and the layer after it."""
    inputs = Input((6, 3), name="inputs")
    masked = Masking(0.0, name="masking")(inputs)
    both = Bidirectional(LSTM(4, return_sequences=True), name="both")(masked)
    outputs = [
        both,
        LSTM(5, return_sequences=True, name="on")(both),
        Bidirectional(LSTM(5), name="last")(masked),
    ]
    values = pad(sequences("inputs", (5, 6, 3), 120), PADDING)
    return Subject(Model(input=inputs, output=outputs), values, seed=120)


def merge_layers() -> Subject:
    """The modes of merge on two recurrent branches."""
    inputs = Input((6, 3), name="inputs")
    a = LSTM(4, return_sequences=True, name="a")(inputs)
    b = GRU(4, return_sequences=True, name="b")(inputs)
    last = LSTM(4, name="last")(b)
    other = SimpleRNN(4, name="other")(a)
    outputs = [
        merge([a, b, a], mode="sum", name="sum"),
        merge([a, b], mode="mul", name="mul"),
        merge([a, b], mode="ave", name="ave"),
        merge([a, b], mode="max", name="max"),
        merge([a, b], mode="concat", name="concat"),
        merge([a, b], mode="concat", concat_axis=1, name="after"),
        merge([a, b], mode="dot", dot_axes=(2, 2), name="dot"),
        merge([last, other], mode="dot", name="dot_vectors"),
    ]
    values = sequences("inputs", (3, 6, 3), 108)
    return Subject(Model(input=inputs, output=outputs), values, seed=108)


def merge_cosine() -> Subject:
    """The cosine of two vectors, which has an axis more than the other modes give."""
    left, right = Input((6, 3), name="left"), Input((6, 3), name="right")
    encoder = LSTM(4, name="encoder")
    cosine = merge([encoder(left), encoder(right)], mode="cos", name="cosine")
    inputs = sequences("left", (3, 6, 3), 128)
    inputs.update(sequences("right", (3, 6, 3), 129))
    return Subject(Model(input=[left, right], output=cosine), inputs, seed=128)


def merged_branches() -> Subject:
    """A Sequential that begins with a Merge of two others."""
    left = Sequential([LSTM(4, input_shape=(6, 3))])
    right = Sequential([Embedding(11, 5, input_length=7), GRU(3)])
    model = Sequential([Merge([left, right], mode="concat"), Dense(5, activation="relu"), Dense(2)])
    model.build()
    first, second = model.input_names
    inputs = sequences(first, (3, 6, 3), 109)
    inputs.update(tokens(second, (3, 7), 11, 109))
    return Subject(model, inputs, seed=109)


def time_distributed() -> Subject:
    """Dense at every step in the three spellings of Keras 1."""
    return chain(
        110,
        TimeDistributed(Dense(4, activation="tanh"), input_shape=(6, 3)),
        LSTM(5, return_sequences=True),
        TimeDistributedDense(3, activation="relu"),
        GRU(4, return_sequences=True),
        TimeDistributed(Dense(2, bias=False)),
        Activation("softmax"),
    )


def conv() -> Subject:
    """Convolutions with both borders and steps, pooling and normalisation before an LSTM."""
    model = Sequential()
    model.add(Embedding(19, 4, input_length=16, dropout=0.1))
    model.add(ZeroPadding1D(1))
    model.add(Convolution1D(nb_filter=5, filter_length=3, border_mode="same", activation="relu"))
    model.add(MaxPooling1D(pool_length=2))
    model.add(BatchNormalization(mode=0))
    model.add(Convolution1D(4, 2, border_mode="valid", subsample_length=2, bias=False))
    model.add(UpSampling1D(2))
    model.add(Cropping1D((1, 0)))
    model.add(AveragePooling1D(pool_length=2, stride=1, border_mode="same"))
    model.add(LSTM(3))
    model.add(BatchNormalization(momentum=0.9, epsilon=1e-2))
    model.add(Dense(2))
    model.build()
    return Subject(model, tokens(model.input_names[0], (3, 16), 19, 111), seed=111)


def conv_lstm() -> Subject:
    """Two ConvLSTM2D, one of them without padding; the config of Keras 1 holds no subsample."""
    order = {"dim_ordering": "tf"}
    return chain(
        130,
        ConvLSTM2D(
            3, 3, 2, border_mode="same", return_sequences=True, input_shape=(4, 6, 7, 2), **order
        ),
        ConvLSTM2D(2, 2, 3, border_mode="valid", activation="relu", **order),
        GlobalAveragePooling2D(**order),
        Dense(3),
        shape=(2, 4, 6, 7, 2),
    )


def conv_lstm_channels_first() -> Subject:
    """The kernels of Theano's order, which TensorFlow turns at every step."""
    order = {"dim_ordering": "th"}
    return chain(
        131,
        ConvLSTM2D(
            3, 3, 2, border_mode="same", return_sequences=True, input_shape=(4, 2, 6, 7), **order
        ),
        ConvLSTM2D(2, 2, 3, border_mode="valid", activation="relu", **order),
        GlobalAveragePooling2D(**order),
        Dense(3),
        shape=(2, 4, 2, 6, 7),
    )


def core_layers() -> Subject:
    """Layers that move values about, and the activations with settings."""
    return chain(
        112,
        Masking(-1.0, input_shape=(4, 3)),
        LSTM(5),
        RepeatVector(6),
        Permute((2, 1)),
        Reshape((10, 3)),
        GRU(4, return_sequences=True),
        LeakyReLU(0.2),
        PReLU(),
        ELU(0.7),
        Flatten(),
        Dropout(0.5),
        Dense(3),
        ThresholdedReLU(0.1),
        shape=(3, 4, 3),
    )


def pooled() -> Subject:
    """Pooling over time on two recurrent layers."""
    inputs = Input((6, 3), name="inputs")
    hidden = LSTM(4, return_sequences=True, name="lstm")(inputs)
    pools = [GlobalMaxPooling1D(name="max")(hidden), GlobalAveragePooling1D(name="mean")(hidden)]
    outputs = Dense(2, name="answer")(merge(pools, mode="concat", name="joined"))
    values = sequences("inputs", (3, 6, 3), 113)
    return Subject(Model(input=inputs, output=outputs), values, seed=113)


def gone_layers() -> Subject:
    """Layers that no later Keras has."""
    inputs = Input((6, 3), name="inputs")
    hidden = LSTM(4, name="lstm")(inputs)
    steps = GRU(5, return_sequences=True, name="gru")(inputs)
    outputs = [
        Highway(activation="relu", name="highway")(hidden),
        MaxoutDense(3, nb_feature=2, name="maxout")(hidden),
        SReLU(name="srelu")(steps),
        ParametricSoftplus(name="softplus")(steps),
        BatchNormalization(mode=1, name="by_sample")(hidden),
    ]
    values = sequences("inputs", (3, 6, 3), 114)
    return Subject(Model(input=inputs, output=outputs), values, seed=114)


def merge_lambda() -> Subject:
    """A merge by a function of the user's, which only a refusal can answer."""
    inputs = Input((6, 3), name="inputs")
    a, b = LSTM(4, name="a")(inputs), GRU(4, name="b")(inputs)
    apart = merge([a, b], mode=lambda both: both[0] - both[1], output_shape=(4,), name="apart")
    half = Lambda(lambda x: x * 0.5, name="half")(apart)
    values = sequences("inputs", (3, 6, 3), 115)
    return Subject(Model(input=inputs, output=half), values, seed=115)


def go_backwards() -> Subject:
    """Layers that read from the end, with sequences and without."""
    inputs = Input((6, 3), name="inputs")
    outputs = [
        LSTM(4, go_backwards=True, return_sequences=True, name="lstm")(inputs),
        GRU(5, go_backwards=True, consume_less="gpu", name="gru")(inputs),
        SimpleRNN(3, go_backwards=True, return_sequences=True, name="simple")(inputs),
    ]
    values = sequences("inputs", (3, 6, 3), 116)
    return Subject(Model(input=inputs, output=outputs), values, seed=116)


def stateful() -> Subject:
    """A stateful stack with its batch fixed."""
    return chain(
        117,
        LSTM(4, stateful=True, return_sequences=True, batch_input_shape=(3, 5, 2)),
        GRU(5, stateful=True),
        Dense(2),
        shape=(3, 5, 2),
    )


def nested() -> Subject:
    """A Sequential in a functional model, called on two inputs, and a model at every step."""
    encoder = Sequential([LSTM(4, input_shape=(6, 3)), Dense(5, activation="tanh")], name="encoder")
    left, right = Input((6, 3), name="left"), Input((6, 3), name="right")
    joined = merge([encoder(left), encoder(right)], mode="concat", name="joined")
    aside = Dense(1, activation="sigmoid", name="aside")(joined)
    same = Dense(3, name="same")(BatchNormalization(name="norm")(joined))
    inputs = sequences("left", (3, 6, 3), 118)
    inputs.update(sequences("right", (3, 6, 3), 119))
    return Subject(Model(input=[left, right], output=[same, aside]), inputs, seed=118)


CASES = {
    "keras1_lstm_stack": whole(KERAS, lstm_stack, trained=True),
    "keras1_lstm_gpu": whole(KERAS, lstm_gpu),
    "keras1_gru": whole(KERAS, gru),
    "keras1_simple_rnn": whole(KERAS, simple_rnn),
    "keras1_bidirectional": whole(KERAS, bidirectional),
    "keras1_masked_text": whole(KERAS, masked_text, trained=True),
    "keras1_masked_sequences": whole(KERAS, masked_sequences),
    "keras1_masked_directions": whole(KERAS, masked_directions),
    "keras1_merge_layers": whole(KERAS, merge_layers),
    "keras1_merge_cosine": whole(KERAS, merge_cosine),
    "keras1_merged_branches": whole(KERAS, merged_branches),
    "keras1_time_distributed": whole(KERAS, time_distributed),
    "keras1_conv": whole(KERAS, conv),
    "keras1_conv_lstm": whole(KERAS, conv_lstm),
    "keras1_conv_lstm_channels_first": whole(KERAS, conv_lstm_channels_first),
    "keras1_core_layers": whole(KERAS, core_layers),
    "keras1_pooled": whole(KERAS, pooled),
    "keras1_gone_layers": whole(KERAS, gone_layers),
    "keras1_merge_lambda": whole(KERAS, merge_lambda),
    "keras1_go_backwards": whole(KERAS, go_backwards),
    "keras1_stateful": whole(KERAS, stateful),
    "keras1_nested": whole(KERAS, nested, trained=True),
    "keras1_lstm_stack_weights": parts(KERAS, lstm_stack, JSON, YAML),
    "keras1_bidirectional_yaml_weights": parts(KERAS, bidirectional, YAML),
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
