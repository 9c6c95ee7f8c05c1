"""Layers without recurrence to try, as Keras 2 would have them in a file."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

Array = Any

_RNG = np.random.default_rng(2)

VECTORS = _RNG.normal(size=(4, 6))
STEPS = _RNG.normal(size=(4, 7, 6))
LONG = _RNG.normal(size=(3, 11, 4))
MAPS = _RNG.normal(size=(2, 9, 8, 3))
CUBES = _RNG.normal(size=(2, 3, 4, 5, 2))
ACROSS = _RNG.normal(size=(4, 6, 5))
IDS = np.array([[1, 0, 6, 2], [3, 3, 0, 0]])
MASK = np.arange(7) < np.array([[7], [3], [5], [1]])
OTHER_MASK = np.arange(7) >= np.array([[0], [1], [3], [0]])


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer: its class, its config in the spelling of Keras 2, and what it reads."""

    class_name: str
    config: dict[str, Any]
    inputs: tuple[Array, ...]


def _case(class_name: str, *inputs: Array, **config: Any) -> Case:
    return Case(class_name, config, inputs)


_LISTED = {
    "core": [
        _case("Dense", STEPS, units=3, activation="softsign"),
        _case("Dense", VECTORS, units=3, activation="hard_sigmoid", use_bias=False),
        _case("Dense", VECTORS, units=3, activation=None),
        _case(
            "Dense",
            VECTORS,
            units=3,
            activation={"class_name": "LeakyReLU", "config": {"name": "a", "alpha": 0.25}},
        ),
        _case("Embedding", IDS, input_dim=7, output_dim=3),
        _case("Embedding", IDS * 1.0, input_dim=7, output_dim=3, mask_zero=True),
        _case("Masking", np.where(MASK[..., None], STEPS, 0.0)),
        _case("Masking", np.where(MASK[..., None], STEPS, -1.5), mask_value=-1.5),
        _case("Activation", STEPS, activation="tanh"),
        _case("Activation", STEPS, activation="softmax"),
        _case("Activation", 3 * STEPS, activation="hard_sigmoid"),
        _case("Dropout", STEPS, rate=0.5, noise_shape=None, seed=None),
        _case("AlphaDropout", STEPS, rate=0.5),
        _case("SpatialDropout1D", STEPS, rate=0.5),
        _case("SpatialDropout2D", MAPS, rate=0.5),
        _case("SpatialDropout3D", CUBES, rate=0.5, data_format="channels_first"),
        _case("GaussianNoise", STEPS, stddev=0.5),
        _case("GaussianDropout", STEPS, rate=0.5),
        _case("ActivityRegularization", STEPS, l1=0.1, l2=0.0),
        _case("Flatten", STEPS),
        _case("Flatten", MAPS, data_format="channels_last"),
        _case("Flatten", MAPS, data_format="channels_first"),
        _case("RepeatVector", VECTORS, n=3),
        _case("Reshape", STEPS, target_shape=[6, 7]),
        _case("Reshape", STEPS, target_shape=[-1, 3]),
        _case("Permute", STEPS, dims=[2, 1]),
        _case("Permute", MAPS, dims=[3, 1, 2]),
    ],
    "merge": [
        _case("Add", STEPS, 2 * STEPS, STEPS[:, ::-1]),
        _case("Add", STEPS, VECTORS),
        _case("Subtract", STEPS, STEPS[:, ::-1]),
        _case("Multiply", STEPS, VECTORS[:, None], STEPS[:, ::-1]),
        _case("Average", STEPS, 3 * STEPS[:, ::-1], STEPS + 1),
        _case("Maximum", STEPS, STEPS[:, ::-1]),
        _case("Minimum", STEPS, STEPS[:, ::-1]),
        _case("Concatenate", STEPS, STEPS[..., :2]),
        _case("Concatenate", STEPS, STEPS[:, :3], axis=1),
        _case("Dot", VECTORS, VECTORS[::-1], axes=1),
        _case("Dot", VECTORS, VECTORS[::-1], axes=-1, normalize=True),
        _case("Dot", STEPS, ACROSS, axes=[2, 1]),
        _case("Dot", STEPS, STEPS[:, :5], axes=[2, 2], normalize=True),
        _case("Dot", STEPS, VECTORS, axes=[2, 1]),
        _case("Dot", VECTORS, STEPS, axes=[1, -1]),
        _case("Dot", 1e-7 * VECTORS, VECTORS, axes=1, normalize=True),
    ],
    "convolution": [
        _case("Conv1D", LONG, filters=5, kernel_size=[3], strides=[1], padding="valid"),
        _case("Conv1D", LONG, filters=5, kernel_size=4, strides=3, padding="same"),
        _case("Conv1D", LONG, filters=5, kernel_size=[3], padding="causal", dilation_rate=[2]),
        _case("Conv1D", LONG, filters=6, kernel_size=3, groups=2, activation="relu"),
        _case("Conv1D", LONG, filters=5, kernel_size=3, dilation_rate=3, use_bias=False),
        _case(
            "Conv1D",
            LONG,
            filters=5,
            kernel_size=2,
            padding="same",
            data_format="channels_first",
            activation="tanh",
        ),
        _case("Conv2D", MAPS, filters=4, kernel_size=[3, 2], strides=[2, 3]),
        _case("Conv2D", MAPS, filters=4, kernel_size=[4, 3], strides=[2, 3], padding="same"),
        _case("Conv2D", MAPS, filters=4, kernel_size=2, dilation_rate=[2, 3], padding="same"),
        _case("SeparableConv1D", LONG, filters=5, kernel_size=3, depth_multiplier=2, strides=2),
        _case("SeparableConv1D", LONG, filters=5, kernel_size=4, padding="same", activation="elu"),
        _case("SeparableConv2D", MAPS, filters=4, kernel_size=[3, 2], depth_multiplier=3),
        _case("Conv2DTranspose", MAPS, filters=4, kernel_size=[3, 2], strides=[2, 3]),
        _case("Conv2DTranspose", MAPS, filters=4, kernel_size=[3, 4], strides=2, padding="same"),
        _case("Conv2DTranspose", MAPS, filters=4, kernel_size=3, strides=2, output_padding=1),
        _case(
            "Conv2DTranspose",
            MAPS,
            filters=4,
            kernel_size=[4, 3],
            strides=[2, 3],
            padding="same",
            output_padding=[1, 2],
        ),
        _case("LocallyConnected1D", LONG, filters=5, kernel_size=[3], strides=[2]),
        _case("LocallyConnected1D", LONG, filters=5, kernel_size=4, activation="tanh"),
        _case("LocallyConnected1D", LONG, filters=5, kernel_size=1, use_bias=False),
        _case("ZeroPadding1D", LONG, padding=[1, 3]),
        _case("ZeroPadding1D", LONG, padding=2),
        _case("ZeroPadding2D", MAPS, padding=[[1, 2], [0, 3]]),
        _case("ZeroPadding2D", MAPS, padding=[1, 2], data_format="channels_first"),
        _case("ZeroPadding2D", MAPS),
        _case("Cropping1D", LONG, cropping=[0, 3]),
        _case("Cropping1D", LONG),
        _case("Cropping2D", MAPS, cropping=[[1, 0], [2, 3]]),
        _case("UpSampling1D", LONG, size=3),
        _case("UpSampling2D", MAPS, size=[3, 2]),
        _case("UpSampling2D", MAPS, data_format="channels_first", interpolation="nearest"),
    ],
    "pooling": [
        _case("MaxPooling1D", LONG, pool_size=[3], strides=[2], padding="valid"),
        _case("MaxPooling1D", -np.abs(LONG), pool_size=4, padding="same"),
        _case("MaxPooling1D", LONG, pool_size=2, data_format="channels_first"),
        _case("MaxPooling2D", MAPS, pool_size=[3, 2], strides=[1, 3], padding="same"),
        _case("AveragePooling1D", LONG),
        _case("AveragePooling1D", LONG, pool_size=[4], strides=[3], padding="same"),
        _case("AveragePooling2D", MAPS, pool_size=[4, 3], strides=None, padding="same"),
        _case("AveragePooling2D", MAPS, data_format="channels_first"),
        _case("GlobalMaxPooling1D", LONG),
        _case("GlobalMaxPooling1D", LONG, data_format="channels_first", keepdims=True),
        _case("GlobalMaxPooling2D", MAPS),
        _case("GlobalAveragePooling1D", LONG),
        _case("GlobalAveragePooling1D", LONG, data_format="channels_first"),
        _case("GlobalAveragePooling2D", MAPS, keepdims=True),
    ],
    "normalization": [
        _case("BatchNormalization", STEPS, axis=-1, epsilon=0.01, momentum=0.9),
        _case("BatchNormalization", MAPS, axis=1),
        _case("BatchNormalization", STEPS, axis=[2]),
        _case("BatchNormalization", STEPS, scale=False),
        _case("BatchNormalization", VECTORS, center=False),
        _case("LayerNormalization", STEPS, axis=[2]),
        _case("LayerNormalization", STEPS, axis=-1, epsilon=0.1, scale=False),
        _case("LayerNormalization", STEPS, axis=[1, 2]),
        _case("LayerNormalization", VECTORS, center=False),
    ],
    "advanced_activations": [
        _case("LeakyReLU", STEPS),
        _case("LeakyReLU", STEPS, alpha=0.125),
        _case("PReLU", STEPS),
        _case("PReLU", STEPS, shared_axes=[1]),
        _case("PReLU", MAPS, shared_axes=[1, 2]),
        _case("ELU", STEPS),
        _case("ELU", STEPS, alpha=0.5),
        _case("ThresholdedReLU", 2 * STEPS),
        _case("ThresholdedReLU", STEPS, theta=0.25),
        _case("Softmax", STEPS),
        _case("Softmax", STEPS, axis=1),
        _case("ReLU", 5 * STEPS),
        _case("ReLU", 5 * STEPS, max_value=6.0),
        _case("ReLU", 5 * STEPS, max_value=3.0, negative_slope=0.5, threshold=1.0),
        _case("ReLU", STEPS, negative_slope=0.5),
    ],
}

CASES = {
    f"{family}: {case.class_name} {index}": case
    for family, cases in _LISTED.items()
    for index, case in enumerate(cases)
}
"""Cases by family, class and number: what tf.keras of Keras 2 has as well."""

KERAS_1 = {
    "Highway": _case("Highway", VECTORS, activation="relu", use_bias=True),
    "Highway without bias": _case("Highway", VECTORS, activation="hard_sigmoid", bias=False),
    "MaxoutDense": _case("MaxoutDense", VECTORS, output_dim=3, nb_feature=5, bias=True),
    "MaxoutDense without bias": _case("MaxoutDense", VECTORS, units=3, use_bias=False),
}

REPLACEMENTS = {
    "the last step": _case("rnn_migrator>Slice", STEPS, index=-1),
    "a place in another axis": _case("rnn_migrator>Slice", STEPS, axis=-1, index=2),
    "a range": _case("rnn_migrator>Slice", STEPS, start=1, stop=-1, step=2),
    "a range in the last axis": _case("rnn_migrator>Slice", STEPS, axis=2, start=-3),
    "sum": _case("rnn_migrator>ReduceSum", STEPS, axis=1),
    "mean over two axes": _case("rnn_migrator>ReduceMean", STEPS, axis=[1, 2], keepdims=True),
    "maximum": _case("rnn_migrator>ReduceMax", STEPS, axis=-1, keepdims=True),
    "length 1": _case("rnn_migrator>L2Normalize", STEPS, axis=-1),
    "length 1 of small ones": _case("rnn_migrator>L2Normalize", 1e-7 * STEPS, axis=[1, 2]),
    "a new axis": _case("rnn_migrator>ExpandDims", STEPS, axis=1),
    "an axis less": _case("rnn_migrator>Squeeze", STEPS[:, :1], axis=1),
    "backwards": _case("rnn_migrator>Reverse", STEPS, axis=1),
    "scaled": _case("rnn_migrator>Scale", STEPS, factor=2.5, offset=-1.0),
    "as it is": _case("rnn_migrator>Identity", STEPS),
    "time first": _case("rnn_migrator>SwapBatchTime", STEPS),
}


def random_weights(layer: Any) -> list[Array]:
    """Weights for a built Keras layer; the last of a BatchNormalization is a variance."""
    rng = np.random.default_rng(8)
    weights = [rng.normal(size=weight.shape) for weight in layer.get_weights()]
    if type(layer).__name__ == "BatchNormalization":
        weights[-1] = np.abs(weights[-1]) + 0.1
    return weights


def as_given(inputs: tuple[Array, ...]) -> Any:
    """What a Keras layer is called with."""
    return list(inputs) if len(inputs) > 1 else inputs[0]
