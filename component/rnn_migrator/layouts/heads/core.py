"""Layers of `keras.layers.core`, of the embeddings and of the noise of Keras 2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import (
    ACTIVATION,
    ACTIVATION_KEY,
    DATA_FORMAT_KEY,
    TRAINABLE,
    USE_BIAS,
    Config,
    Head,
    Key,
    Shapes,
    activate,
    identity,
    register,
)
from rnn_migrator.layouts.heads.keys import (
    FLAG,
    SIZE,
    either,
    integer,
    listed,
    number,
    optional,
)


def _dense(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    kernel, *bias = weights
    return activate(config, sum(bias, inputs[0] @ kernel))


def _dense_weights(config: Config) -> Shapes:
    bias: Shapes = {"bias": (config["units"],)} if config["use_bias"] else {}
    return {"kernel": ("in", config["units"]), **bias}


def _embedding(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [table] = weights
    looked_up: Array = table[inputs[0].astype(np.int64)]
    return looked_up


def _embedding_weights(config: Config) -> Shapes:
    return {"embeddings": (config["input_dim"], config["output_dim"])}


def _embedding_mask(config: Config, x: Array) -> Array | None:
    return x != 0 if config.get("mask_zero") else None


def _masking(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    kept: Array = inputs[0] * _masking_mask(config, inputs[0])[..., None]
    return kept


def _masking_mask(config: Config, x: Array) -> Array:
    mask: Array = np.any(x != config.get("mask_value", 0.0), axis=-1)
    return mask


def _activation(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return activate(config, inputs[0])


def _flatten(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """Row by row; `channels_first` is brought to `channels_last` before."""
    [x] = inputs
    if config["data_format"] == "channels_first" and x.ndim > 1:
        x = np.moveaxis(x, 1, -1)
    return x.reshape(len(x), -1)


def _repeat_vector(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return np.repeat(inputs[0][:, None], config["n"], axis=1)


def _reshape(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return inputs[0].reshape(len(inputs[0]), *config["target_shape"])


def _one_open_size(config: Config) -> str | None:
    few = config["target_shape"].count(-1) <= 1
    return None if few else "at most one -1 in target_shape"


def _permute(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return np.transpose(inputs[0], (0, *config["dims"]))


def _permutation(config: Config) -> str | None:
    dims = sorted(config["dims"])
    return None if dims == list(range(1, len(dims) + 1)) else "each axis once in dims, from 1 on"


_RATE = Key("rate", number(0, 1))
_NOISE = (
    Key("noise_shape", optional(listed(optional(SIZE))), None),
    Key("seed", optional(integer(0)), None),
)

register(
    Head(
        "Dense",
        (Key("units", SIZE), ACTIVATION_KEY, USE_BIAS, TRAINABLE),
        _dense,
        passes_mask=True,
        weights=_dense_weights,
    ),
    Head(
        "Embedding",
        (
            Key("input_dim", SIZE),
            Key("output_dim", SIZE),
            Key("mask_zero", FLAG, False),
            TRAINABLE,
        ),
        _embedding,
        make_mask=_embedding_mask,
        weights=_embedding_weights,
    ),
    Head("Masking", (Key("mask_value", number(), 0.0),), _masking, make_mask=_masking_mask),
    Head("Activation", (Key("activation", ACTIVATION),), _activation, passes_mask=True),
    Head("Dropout", (_RATE, *_NOISE), identity, passes_mask=True),
    Head("AlphaDropout", (_RATE, *_NOISE), identity, passes_mask=True),
    Head("SpatialDropout1D", (_RATE,), identity, passes_mask=True),
    Head("SpatialDropout2D", (_RATE, DATA_FORMAT_KEY), identity, passes_mask=True),
    Head("SpatialDropout3D", (_RATE, DATA_FORMAT_KEY), identity, passes_mask=True),
    Head("GaussianNoise", (Key("stddev", number(0)),), identity, passes_mask=True),
    Head("GaussianDropout", (_RATE,), identity, passes_mask=True),
    Head(
        "ActivityRegularization",
        (Key("l1", number(0), 0.0), Key("l2", number(0), 0.0)),
        identity,
        passes_mask=True,
    ),
    Head("Flatten", (DATA_FORMAT_KEY,), _flatten),
    Head("RepeatVector", (Key("n", SIZE),), _repeat_vector),
    Head(
        "Reshape",
        (Key("target_shape", listed(either(SIZE, integer(-1, -1)))),),
        _reshape,
        rule=_one_open_size,
    ),
    Head("Permute", (Key("dims", listed(integer(1, 32))),), _permute, rule=_permutation),
)
