"""Keras 2.2.5 layers that stand around recurrent ones, cuDNN stacks, and what has to be refused."""

import keras
from _common import Description, run_writer
from _keras import JSON, YAML, Subject, Way, pad, parts, sequences, tokens, whole
from _keras2 import Network, Sizes, layer_facts, save_whole, start_afresh
from keras import backend as K  # The name Lambdas find when they are loaded.
from keras.layers import (
    ELU,
    GRU,
    LSTM,
    Activation,
    Add,
    Average,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Cropping1D,
    CuDNNGRU,
    Dense,
    Dot,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    Lambda,
    Layer,
    LeakyReLU,
    Masking,
    Maximum,
    MaxPooling1D,
    Multiply,
    Permute,
    PReLU,
    RepeatVector,
    Reshape,
    Softmax,
    SpatialDropout1D,
    Subtract,
    ThresholdedReLU,
    TimeDistributed,
    UpSampling1D,
    ZeroPadding1D,
)
from keras.models import Model, Sequential

KERAS = Way(keras, keras.backend.clear_session)


def conv_text() -> Subject:
    """A text classifier: embedding, convolutions, pooling, both directions, normalisation."""
    inputs = Input((16,), dtype="int32", name="words")
    x = SpatialDropout1D(0.2, name="drop")(Embedding(19, 4, name="embedding")(inputs))
    x = ZeroPadding1D((1, 2), name="zero_padding")(x)
    x = Conv1D(5, 3, padding="same", activation="relu", name="same")(x)
    x = MaxPooling1D(2, name="pool")(x)
    x = BatchNormalization(momentum=0.9, epsilon=1e-2, name="norm")(x)
    x = Conv1D(4, 2, dilation_rate=2, padding="causal", use_bias=False, name="causal")(x)
    x = Bidirectional(LSTM(3, return_sequences=True), name="both")(x)
    x = Cropping1D((1, 1), name="crop")(x)
    x = Conv1D(6, 3, strides=2, padding="valid", name="valid")(UpSampling1D(2, name="up")(x))
    x = AveragePooling1D(3, strides=1, padding="same", name="average_pool")(x)
    pooled = [
        GlobalMaxPooling1D(name="global_max")(x),
        GlobalAveragePooling1D(name="global_average")(x),
        GRU(5, name="gru")(x),
    ]
    outputs = Dense(3, activation="softmax", name="label")(Concatenate(name="pooled")(pooled))
    return Subject(Model(inputs, outputs), tokens("words", (3, 16), 19, 71), seed=71)


def merges() -> Subject:
    """Every merge layer on two recurrent branches."""
    inputs = Input((6, 3), name="inputs")
    a = LSTM(4, return_sequences=True, name="a")(inputs)
    b = GRU(4, return_sequences=True, name="b")(inputs)
    outputs = [
        Add(name="add")([a, b, a]),
        Subtract(name="subtract")([a, b]),
        Multiply(name="multiply")([a, b]),
        Average(name="average")([a, b]),
        Maximum(name="maximum")([a, b]),
        Concatenate(axis=1, name="after")([a, b]),
        Dot(axes=-1, name="dot")([a, b]),
        Dot(axes=(1, 1), normalize=True, name="cosine")([a, b]),
    ]
    return Subject(Model(inputs, outputs), sequences("inputs", (3, 6, 3), 72), seed=72)


def soft_attention() -> Subject:
    """Attention as people built it from stock layers."""
    inputs = Input((6, 3), name="inputs")
    hidden = LSTM(4, return_sequences=True, name="hidden")(inputs)
    scores = Flatten(name="flat")(Dense(1, activation="tanh", name="scores")(hidden))
    weights = RepeatVector(4, name="repeat")(Activation("softmax", name="weights")(scores))
    weighted = Multiply(name="weighted")([hidden, Permute((2, 1), name="permute")(weights)])
    outputs = Dense(2, name="answer")(GlobalAveragePooling1D(name="mean")(weighted))
    return Subject(Model(inputs, outputs), sequences("inputs", (3, 6, 3), 73), seed=73)


def activations() -> Subject:
    """Activation layers with their own settings and weights."""
    inputs = Input((6, 3), name="inputs")
    x = LSTM(4, return_sequences=True, activation="linear", name="lstm")(inputs)
    outputs = [
        LeakyReLU(0.2, name="leaky")(x),
        PReLU(name="prelu")(x),
        PReLU(shared_axes=[1], name="shared")(x),
        ELU(0.7, name="elu")(x),
        ThresholdedReLU(0.4, name="threshold")(x),
        Softmax(axis=1, name="softmax")(x),
        Activation("hard_sigmoid", name="hard")(x),
        Activation("relu", name="relu")(x),
        Reshape((3, 8), name="reshape")(x),
    ]
    return Subject(Model(inputs, outputs), sequences("inputs", (3, 6, 3), 74), seed=74)


def dense_over_time() -> Subject:
    """Dense on sequences, and TimeDistributed around convolution and normalisation."""
    model = Sequential()
    model.add(TimeDistributed(Conv1D(3, 2, activation="relu"), input_shape=(4, 5, 2), name="conv"))
    model.add(TimeDistributed(BatchNormalization(), name="norm"))
    model.add(TimeDistributed(GlobalMaxPooling1D(), name="max"))
    model.add(Masking(0.0, name="masking"))
    model.add(LSTM(4, return_sequences=True, name="lstm"))
    model.add(Dense(3, activation="sigmoid", name="dense"))
    return Subject(model, sequences(model.input_names[0], (3, 4, 5, 2), 75), seed=75)


def int_inputs() -> Subject:
    """Inputs of two types, their batch fixed; the mask ends at the Concatenate."""
    words = Input(batch_shape=(3, 6), dtype="int32", name="words")
    numbers = Input(batch_shape=(3, 6, 2), dtype="float32", name="numbers")
    embedded = Embedding(13, 4, mask_zero=True, name="embedding")(words)
    x = Concatenate(name="joined")([LSTM(3, return_sequences=True)(embedded), numbers])
    inputs = pad(tokens("words", (3, 6), 13, 76), [[1] * 6, [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    inputs.update(sequences("numbers", (3, 6, 2), 76))
    return Subject(Model([words, numbers], GRU(5, name="gru")(x)), inputs, seed=76)


def last_step() -> Subject:
    """A Lambda that takes the last step."""
    model = Sequential()
    model.add(LSTM(4, return_sequences=True, input_shape=(6, 3), name="lstm"))
    model.add(Lambda(lambda x: x[:, -1, :], name="last"))
    model.add(Dense(2, name="dense"))
    settings = {"layer[last].replacement": "Slice(axis=1, index=-1)"}
    inputs = sequences(model.input_names[0], (3, 6, 3), 77)
    return Subject(model, inputs, seed=77, settings=settings)


def sum_over_time() -> Subject:
    """Two Lambdas, a sum over time and a scale, one of them a named function."""
    inputs = Input((6, 3), name="inputs")
    hidden = GRU(5, return_sequences=True, name="gru")(inputs)
    summed = Lambda(time_sum, output_shape=(5,), name="sum")(hidden)
    scaled = Lambda(lambda x: x * 0.5, name="half")(summed)
    settings = {
        "layer[sum].replacement": "ReduceSum(axis=1)",
        "layer[half].replacement": "Scale(factor=0.5)",
    }
    values = sequences("inputs", (3, 6, 3), 78)
    custom = {"time_sum": time_sum}
    return Subject(Model(inputs, scaled), values, seed=78, settings=settings, custom=custom)


def time_sum(x: object) -> object:
    """Sums over time."""
    return K.sum(x, axis=1)


class Attention(Layer):
    """The attention layer that went round: a weighted sum of the steps."""

    def __init__(self, units: int, **arguments: object) -> None:
        super().__init__(**arguments)
        self.units = units

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        width = input_shape[-1]
        self.W = self.add_weight("W", (width, self.units), initializer="normal")
        self.b = self.add_weight("b", (self.units,), initializer="zeros")
        self.u = self.add_weight("u", (self.units, 1), initializer="normal")
        super().build(input_shape)

    def call(self, x: object) -> object:
        """Returns [batch, width]."""
        scores = K.dot(K.tanh(K.dot(x, self.W) + self.b), self.u)
        return K.sum(x * K.softmax(scores, axis=1), axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the shape without the time."""
        return input_shape[0], input_shape[-1]

    def get_config(self) -> dict:
        """Returns what the layer was made with."""
        return dict(super().get_config(), units=self.units)


def own_layer() -> Subject:
    """A layer of the user's own, which only a refusal can answer."""
    model = Sequential()
    model.add(LSTM(4, return_sequences=True, input_shape=(6, 3), name="lstm"))
    model.add(Attention(5, name="attention"))
    model.add(Dense(2, name="dense"))
    inputs = sequences(model.input_names[0], (3, 6, 3), 79)
    return Subject(model, inputs, seed=79, custom={"Attention": Attention})


def tagger(layer: object, options: dict) -> Sequential:
    """Returns two layers both ways and a head at every step."""
    shape = {"input_shape": (None, 4)}
    first = Bidirectional(layer(3, return_sequences=True, **options), **shape, name="first")
    second = Bidirectional(
        layer(5, return_sequences=True, **options), merge_mode="sum", name="second"
    )
    return Sequential([first, second, TimeDistributed(Dense(2), name="head")])


def bidirectional_cudnn_gru(folder: object) -> Description:
    """Two Bidirectional(CuDNNGRU), told by the GRU that resets after the matrix product."""
    start_afresh()
    saved = tagger(CuDNNGRU, {})
    twin = tagger(GRU, {"reset_after": True, "recurrent_activation": "sigmoid"})
    facts = layer_facts("CuDNNGRU", (3, 5), "sigmoid", bidirectional=True, reset_after=True)
    return save_whole(folder, Network(saved, twin, Sizes(width=4, time=6, batch=3), 80, facts))


CASES = {
    "keras2_conv_text": whole(KERAS, conv_text),
    "keras2_merges": whole(KERAS, merges),
    "keras2_soft_attention": whole(KERAS, soft_attention),
    "keras2_activation_layers": whole(KERAS, activations),
    "keras2_dense_over_time": whole(KERAS, dense_over_time),
    "keras2_int_inputs": whole(KERAS, int_inputs),
    "keras2_lambda_last": whole(KERAS, last_step),
    "keras2_lambda_sum": whole(KERAS, sum_over_time),
    "keras2_own_layer": whole(KERAS, own_layer),
    "keras2_conv_text_yaml_weights": parts(KERAS, conv_text, YAML, JSON),
    "keras2_bidirectional_cudnn_gru": bidirectional_cudnn_gru,
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
