"""Convolutions and what changes the size of their maps: `keras.layers.convolutional`, `local`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.heads.base import (
    ACTIVATION_KEY,
    DATA_FORMAT_KEY,
    TRAINABLE,
    USE_BIAS,
    Config,
    Function,
    Head,
    Key,
    Shapes,
    activate,
    register,
)
from rnn_migrator.layouts.heads.keys import SIZE, choice, integer, optional, repeated
from rnn_migrator.layouts.heads.windows import channels_last, pad, windows


def _activated(convolve: Function) -> Function:
    """Adds bias and activation; the activation sees the axes in the order of the config."""

    def function(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
        return activate(config, channels_last(biased)(config, weights, inputs))

    def biased(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
        count = len(weights) - config["use_bias"]
        return sum(weights[count:], convolve(config, weights[:count], inputs))

    return function


def _windows(config: Config, x: Array) -> Array:
    sizes = (config["kernel_size"], config["strides"], config["dilation_rate"])
    return windows(x, *sizes, config["padding"])


def _convolution(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """Kernel (… window, channels in of a group, filters)."""
    [kernel] = weights
    rank = len(config["kernel_size"])
    groups = zip(
        np.split(_windows(config, inputs[0]), config["groups"], axis=1 + rank),
        np.split(kernel, config["groups"], axis=-1),
        strict=True,
    )
    parts = [np.tensordot(view, np.moveaxis(part, -2, 0), rank + 1) for view, part in groups]
    return np.concatenate(parts, axis=-1)


def _separable(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """Depthwise (… window, channels, multiplier), then pointwise (… 1, channels, filters)."""
    depthwise, pointwise = weights
    channels, multiplier = depthwise.shape[-2:]
    view = _windows(config, inputs[0])
    flat = view.reshape(*view.shape[: -len(config["kernel_size"])], -1)
    kernel = np.moveaxis(depthwise, -2, 0).reshape(channels, -1, multiplier)
    deep = np.einsum("...ck,ckm->...cm", flat, kernel)
    product: Array = deep.reshape(*deep.shape[:-2], -1) @ pointwise.reshape(pointwise.shape[-2:])
    return product


def _transposed(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """The gradient of a convolution: kernel (… window, filters, channels in)."""
    [kernel], [x] = weights, inputs
    lengths, size, strides = x.shape[1:-1], config["kernel_size"], config["strides"]
    steps = list(zip(lengths, strides, strict=True))
    reach = [(n - 1) * s + k for (n, s), k in zip(steps, size, strict=True)]
    after = [_transposed_length(config, axis, n) for axis, n in enumerate(lengths)]
    # Room for what lies beyond the last window, which stays zero.
    room = [r + a for r, a in zip(reach, after, strict=True)]
    full = np.zeros((len(x), *room, kernel.shape[-2]), x.dtype)
    for at in np.ndindex(*size):
        place = tuple(slice(a, a + (n - 1) * s + 1, s) for a, (n, s) in zip(at, steps, strict=True))
        full[(slice(None), *place)] += x @ kernel[at].T
    begins = [
        pad(config["padding"], a, k, s)[0] for a, k, s in zip(after, size, strides, strict=True)
    ]
    kept = tuple(slice(b, b + a) for b, a in zip(begins, after, strict=True))
    cropped: Array = full[(slice(None), *kept)]
    return cropped


def _transposed_length(config: Config, axis: int, length: int) -> int:
    """`conv_utils.deconv_length` of Keras 2.2."""
    stride, size = config["strides"][axis], config["kernel_size"][axis]
    same = config["padding"] == "same"
    if config["output_padding"] is None:
        return int(length * stride + (0 if same else max(size - stride, 0)))
    around = size // 2 if same else 0
    return int((length - 1) * stride + size - 2 * around + config["output_padding"][axis])


def _local(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """Kernel (places, window × channels, filters): a matrix of its own at each place."""
    kernel, *bias = weights
    view = windows(inputs[0], config["kernel_size"], config["strides"], (1,), "valid")
    flat = np.moveaxis(view, -1, -2).reshape(*view.shape[:2], -1)
    return activate(config, sum(bias, np.einsum("boi,oif->bof", flat, kernel)))


def _sides(sides: tuple[Any, ...]) -> tuple[Any, ...]:
    """(before, after) axis by axis, also where there is one axis only."""
    return (sides,) if isinstance(sides[0], int) else sides


@channels_last
def _zero_padding(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    return np.pad(inputs[0], [(0, 0), *_sides(config["padding"]), (0, 0)])


@channels_last
def _cropping(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [x] = inputs
    kept = [
        slice(before, length - after)
        for (before, after), length in zip(_sides(config["cropping"]), x.shape[1:-1], strict=True)
    ]
    cropped: Array = x[(slice(None), *kept)]
    return cropped


@channels_last
def _up_sampling(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    [x] = inputs
    for axis, times in enumerate(np.atleast_1d(config["size"]), start=1):
        x = np.repeat(x, times, axis=axis)
    return x


def _with_bias(config: Config, shapes: Shapes) -> Shapes:
    return {**shapes, "bias": (config["filters"],)} if config["use_bias"] else shapes


def _kernel(config: Config) -> Shapes:
    inputs = "in" if config["groups"] == 1 else "in of a group"
    return _with_bias(config, {"kernel": (*config["kernel_size"], inputs, config["filters"])})


def _separable_kernels(config: Config) -> Shapes:
    multiplier = config["depth_multiplier"]
    deep = "in" if multiplier == 1 else f"in × {multiplier}"
    ones = (1,) * len(config["kernel_size"])
    return _with_bias(
        config,
        {
            "depthwise_kernel": (*config["kernel_size"], "in", multiplier),
            "pointwise_kernel": (*ones, deep, config["filters"]),
        },
    )


def _transposed_kernel(config: Config) -> Shapes:
    return _with_bias(config, {"kernel": (*config["kernel_size"], config["filters"], "in")})


def _local_kernel(config: Config) -> Shapes:
    filters = config["filters"]
    bias: Shapes = {"bias": ("places", filters)} if config["use_bias"] else {}
    return {"kernel": ("places", "window × in", filters), **bias}


def _strides_or_dilation(config: Config) -> str | None:
    """TensorFlow computes no convolution that has both."""
    if max(config["strides"]) > 1 and max(config["dilation_rate"]) > 1:
        return "strides of 1 or a dilation_rate of 1"
    if config["padding"] == "causal" and config["data_format"] != "channels_last":
        return "channels_last, where the padding is causal"
    if config["filters"] % config["groups"]:
        return "filters in equal groups"
    return None


def _equal_strides(config: Config) -> str | None:
    """`tf.nn.separable_conv2d` steps equally along both axes."""
    if len(set(config["strides"])) > 1:
        return "equal strides"
    return _strides_or_dilation(config)


def _small_output_padding(config: Config) -> str | None:
    added = config["output_padding"] or (0,) * len(config["strides"])
    small = all(a < stride for a, stride in zip(added, config["strides"], strict=True))
    return None if small else "an output_padding below the strides"


_ONE = integer(1, 1)
_COMMON = (DATA_FORMAT_KEY, ACTIVATION_KEY, USE_BIAS, TRAINABLE)
_NO_GROUPS = Key("groups", _ONE, 1, argument="")
_SIDES = repeated(integer(0), 2)


def _shape_keys(rank: int, *paddings: str) -> tuple[Key, ...]:
    return (
        Key("filters", SIZE),
        Key("kernel_size", repeated(SIZE, rank)),
        Key("strides", repeated(SIZE, rank), 1),
        Key("padding", choice(*paddings), "valid"),
    )


def _conv(rank: int, *paddings: str) -> Head:
    dilation = Key("dilation_rate", repeated(SIZE, rank), 1)
    return Head(
        f"Conv{rank}D",
        (*_shape_keys(rank, *paddings), dilation, Key("groups", SIZE, 1), *_COMMON),
        _activated(_convolution),
        weights=_kernel,
        rule=_strides_or_dilation,
    )


def _separable_conv(rank: int) -> Head:
    dilation = Key("dilation_rate", repeated(SIZE, rank), 1)
    multiplier = Key("depth_multiplier", SIZE, 1)
    return Head(
        f"SeparableConv{rank}D",
        (*_shape_keys(rank, "valid", "same"), dilation, multiplier, _NO_GROUPS, *_COMMON),
        _activated(_separable),
        weights=_separable_kernels,
        rule=_equal_strides,
    )


register(
    _conv(1, "valid", "same", "causal"),
    _conv(2, "valid", "same"),
    _separable_conv(1),
    _separable_conv(2),
    Head(
        "Conv2DTranspose",
        (
            *_shape_keys(2, "valid", "same"),
            # Keras 3 takes no 0, which is not what null means.
            Key("output_padding", optional(repeated(SIZE, 2)), None),
            Key("dilation_rate", repeated(_ONE, 2), 1),
            _NO_GROUPS,
            *_COMMON,
        ),
        _activated(_transposed),
        weights=_transposed_kernel,
        rule=_small_output_padding,
    ),
    Head(
        "LocallyConnected1D",
        (
            *_shape_keys(1, "valid"),
            Key("data_format", choice("channels_last"), "channels_last", argument=""),
            # tf.keras has others, which lay the kernel out otherwise.
            Key("implementation", _ONE, 1, argument=""),
            ACTIVATION_KEY,
            USE_BIAS,
            TRAINABLE,
        ),
        _local,
        weights=_local_kernel,
    ),
    Head("ZeroPadding1D", (Key("padding", _SIDES, 1),), _zero_padding),
    Head(
        "ZeroPadding2D",
        (Key("padding", repeated(_SIDES, 2), 1), DATA_FORMAT_KEY),
        _zero_padding,
    ),
    Head("Cropping1D", (Key("cropping", _SIDES, 1),), _cropping),
    Head("Cropping2D", (Key("cropping", repeated(_SIDES, 2), 0), DATA_FORMAT_KEY), _cropping),
    Head("UpSampling1D", (Key("size", SIZE, 2),), _up_sampling),
    Head(
        "UpSampling2D",
        (
            Key("size", repeated(SIZE, 2), 2),
            # The releases disagree about where the bilinear one takes its points.
            Key("interpolation", choice("nearest"), "nearest"),
            DATA_FORMAT_KEY,
        ),
        _up_sampling,
    ),
)
