"""Layers without recurrence that come along with a Keras model, one entry a class.

An entry says which config keys matter, which weights the layer keeps and in which order, and what
it computes at inference. The formulas serve the float64 reference; Keras builds the layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.activations import ACTIVATIONS

Config = Mapping[str, Any]
Formula = Callable[[Config, Sequence[Array], list[Array]], Array]
"""(config, weights in file order, inputs) to the output."""


@dataclasses.dataclass(frozen=True)
class Head:
    """A Keras class without recurrence.

    Attributes:
      class_name: Keras class, the same name in Keras 2 and 3.
      keys: Config keys that decide what the layer computes, or how it is trained further.
      formula: The layer at inference.
      passes_mask: Whether a mask goes through it.
      make_mask: Computes a mask from the input, where the layer is a source of masks.
    """

    class_name: str
    keys: tuple[str, ...]
    formula: Formula
    passes_mask: bool = False
    make_mask: Callable[[Config, Array], Array | None] | None = None


def _activate(config: Config, x: Array) -> Array:
    return ACTIVATIONS[config.get("activation") or "linear"](x)


def _dense(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    kernel, *bias = weights
    return _activate(config, sum(bias, inputs[0] @ kernel))


def _embedding(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [table] = weights
    looked_up: Array = table[inputs[0].astype(np.int64)]
    return looked_up


def _embedding_mask(config: Config, x: Array) -> Array | None:
    return x != 0 if config.get("mask_zero") else None


def _masking(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    kept: Array = inputs[0] * _masking_mask(config, inputs[0])[..., None]
    return kept


def _masking_mask(config: Config, x: Array) -> Array:
    mask: Array = np.any(x != config.get("mask_value", 0.0), axis=-1)
    return mask


def _batch_normalization(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta along the axis of the features."""
    [x] = inputs
    axis = np.atleast_1d(config.get("axis", -1)).item()
    along = [size if i == axis % x.ndim else 1 for i, size in enumerate(x.shape)]
    parts = iter([weight.reshape(along) for weight in weights])
    gamma = next(parts) if config.get("scale", True) else 1.0
    beta = next(parts) if config.get("center", True) else 0.0
    mean, variance = parts
    scaled: Array = (x - mean) / np.sqrt(variance + config.get("epsilon", 1e-3)) * gamma + beta
    return scaled


def _identity(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return inputs[0]


def _activation(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return _activate(config, inputs[0])


def _flatten(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return inputs[0].reshape(len(inputs[0]), -1)


def _repeat_vector(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return np.repeat(inputs[0][:, None], config["n"], axis=1)


def _reshape(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return inputs[0].reshape(len(inputs[0]), *config["target_shape"])


def _concatenate(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return np.concatenate(inputs, axis=config.get("axis", -1))


_TRAINING = ("trainable",)
_DENSE = ("units", "activation", "use_bias", *_TRAINING)

HEADS: dict[str, Head] = {
    head.class_name: head
    for head in (
        Head("Dense", _DENSE, _dense, passes_mask=True),
        Head(
            "Embedding",
            ("input_dim", "output_dim", "mask_zero", *_TRAINING),
            _embedding,
            make_mask=_embedding_mask,
        ),
        Head("Masking", ("mask_value",), _masking, make_mask=_masking_mask),
        Head(
            "BatchNormalization",
            ("axis", "momentum", "epsilon", "center", "scale", *_TRAINING),
            _batch_normalization,
            passes_mask=True,
        ),
        Head("Activation", ("activation",), _activation, passes_mask=True),
        Head("Dropout", ("rate",), _identity, passes_mask=True),
        Head("SpatialDropout1D", ("rate",), _identity, passes_mask=True),
        Head("GaussianNoise", ("stddev",), _identity, passes_mask=True),
        Head("GaussianDropout", ("rate",), _identity, passes_mask=True),
        Head("Flatten", (), _flatten),
        Head("RepeatVector", ("n",), _repeat_vector),
        Head("Reshape", ("target_shape",), _reshape),
        Head("Concatenate", ("axis",), _concatenate, passes_mask=True),
    )
}
"""Every class that comes along, by name. `TimeDistributed(Dense)` is a `Dense`."""
