"""Arrays of Keras 1, and of Theano, as those of the same layers in Keras 2 on TensorFlow.

Everything here is a permutation of the values. Recurrent layers keep their arrays, which have
layouts of their own; only the kernels of a `ConvLSTM2D` are turned round where Theano wrote them.
Sources: the layers of Keras 1.0.5 and 1.2.2, `preprocess_weights_for_loading` in
keras/engine/saving.py and `convert_kernel` in keras/utils/conv_utils.py of Keras 2.2, and
`conv2d` and `pool2d` of keras/backend/theano_backend.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnsupportedError

Config = Mapping[str, Any]
Arrays = Mapping[str, Array]

THEANO_TURNS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D")
"""Theano turns the kernels of these round; for depthwise ones Keras turns them back."""

_WRAPPERS = ("TimeDistributed", "Bidirectional")


def keras1_arrays(
    class_name: str, config: Config, arrays: Arrays, backend: str
) -> dict[str, Array]:
    """Arrays of a Keras 1 layer as Keras 2 keeps them.

    Args:
      class_name: Class of the layer in Keras 2.
      config: Its config in the spelling of Keras 2.
      arrays: By name, in the order of the file.
      backend: "tensorflow" or "theano"; "" where it is not known.

    Returns:
      The same names, in the order in which Keras 2 keeps the weights. Arrays of an unexpected
      shape are left as they are.

    Raises:
      UnsupportedError: A convolution whose backend is not known: Theano's kernels are reversed.
    """
    if class_name in _WRAPPERS:
        inner = config["layer"]
        return keras1_arrays(inner["class_name"], inner["config"], arrays, backend)
    if class_name in THEANO_TURNS and backend not in ("tensorflow", "theano"):
        _refuse_unknown_backend(config, arrays, backend)
    if class_name == "ConvLSTM2D":
        axes = (-2, -1) if _channels_first(config) else (0, 1)
        return _turned(arrays, axes) if backend == "theano" else dict(arrays)
    convert = _CONVERSIONS.get(class_name)
    converted = dict(arrays) if convert is None else convert(config, arrays)
    return theano_arrays(class_name, config, converted) if backend == "theano" else converted


def theano_arrays(class_name: str, config: Config, arrays: Arrays) -> dict[str, Array]:
    """Arrays of a Keras 2 layer that Theano computed with, as TensorFlow needs them.

    Theano computes true convolutions: its kernels are reversed along the window. Kernels are
    (… window, channels, filters) on every backend of Keras 2, so that this is its own inverse.

    Args:
      class_name: Class of the layer in Keras 2.
      config: Its config.
      arrays: By name, in the order of the file.
    """
    if class_name in _WRAPPERS:
        return theano_arrays(config["layer"]["class_name"], config["layer"]["config"], arrays)
    if class_name not in THEANO_TURNS:
        return dict(arrays)
    rank = max((array.ndim for array in arrays.values()), default=0) - 2
    return _turned(arrays, range(rank))


def theano_problems(class_name: str, config: Config) -> list[Problem]:
    """Where Theano pads otherwise than TensorFlow, so that no arrays give the same outputs.

    Theano pads "same" equally on both sides: half the window in a convolution, nearly all of it in
    a pooling. TensorFlow pads as little as it can, the lesser part first.

    Args:
      class_name: Class of a layer in Keras 2.
      config: Its config in the spelling of Keras 2, with values of the right kind.
    """
    if class_name in _WRAPPERS:
        inner = config["layer"]
        return theano_problems(inner["class_name"], inner["config"])
    windows = list(_same_windows(class_name, config))
    pools = class_name.startswith(_POOLS)
    if all(_alike(size, stride, pools) for size, stride in windows):
        return []
    sizes, strides = zip(*windows, strict=True)
    return [
        Problem(
            where=f"layer {config.get('name')!r}",
            expected="a padding that Theano and TensorFlow place alike",
            received=f"padding 'same' with a window of {list(sizes)} and steps of {list(strides)}, "
            "computed by Theano",
            remedy="build this part in tf.keras with the padding as a layer of its own, and fill "
            "its recurrent layers with rnn_migrator.warm_start",
        )
    ]


def _same_windows(class_name: str, config: Config) -> Iterator[tuple[int, int]]:
    """Window with its gaps, and step, along each axis that is padded to stay "same"."""
    pools = class_name.startswith(_POOLS)
    if class_name == "ConvLSTM2D":
        # So the state is padded, whatever the padding of the input is.
        yield from zip(config["kernel_size"], (1, 1), strict=True)
    if config.get("padding") != "same" or not (pools or "kernel_size" in config):
        return
    size = _listed(config["pool_size" if pools else "kernel_size"])
    steps = _listed(config.get("strides") or (size if pools else 1), len(size))
    gaps = _listed(config.get("dilation_rate") or 1, len(size))
    for width, step, gap in zip(size, steps, gaps, strict=True):
        yield (width - 1) * gap + 1, step


def _alike(size: int, stride: int, pools: bool) -> bool:
    """Whether both place windows alike, whatever the length of the axis."""
    if pools:
        return size == 1 or (size, stride) == (3, 1)
    return size == 1 or (size % 2 == 1 and stride == 1)


def _listed(value: Any, count: int = 1) -> list[int]:
    return list(value) if isinstance(value, list | tuple) else [value] * count


def _turned(arrays: Arrays, axes: Iterable[int]) -> dict[str, Array]:
    """Kernels reversed along the axes of their window; biases have none."""
    return {
        name: np.flip(array, tuple(axes)) if array.ndim > _BIAS_NDIM else array
        for name, array in arrays.items()
    }


def _channels_first(config: Config) -> bool:
    return config.get("data_format") == "channels_first"


def _conv1d(config: Config, arrays: Arrays) -> dict[str, Array]:
    """(size, 1, channels, filters), or up to Keras 1.1 (filters, channels, size, 1)."""
    window, filters = (*_listed(config.get("kernel_size")), 1), config.get("filters")

    def convert(array: Array) -> Array:
        if array.ndim == 4 and array.shape[0] == filters and array.shape[2:] == window:
            return array[..., 0].transpose(2, 1, 0)
        if array.ndim == 4 and array.shape[:2] == window and array.shape[3] == filters:
            return array[:, 0]
        return array

    return {name: convert(array) for name, array in arrays.items()}


def _window_first(config: Config, arrays: Arrays) -> dict[str, Array]:
    """(filters, channels, … window) with channels first, else as in Keras 2."""
    if not _channels_first(config):
        return dict(arrays)
    return {
        name: array.transpose(*range(2, array.ndim), 1, 0) if array.ndim > _BIAS_NDIM else array
        for name, array in arrays.items()
    }


def _matrices_first(config: Config, arrays: Arrays) -> dict[str, Array]:
    """W, W_carry, b, b_carry as of Keras 1.2; before, each bias followed its matrix."""
    return {name: arrays[name] for name in sorted(arrays, key=lambda name: -arrays[name].ndim)}


_POOLS = ("MaxPooling", "AveragePooling")
_BIAS_NDIM = 1

_CONVERSIONS: Mapping[str, Callable[[Config, Arrays], dict[str, Array]]] = {
    "Conv1D": _conv1d,
    "Conv2D": _window_first,
    "Conv3D": _window_first,
    "SeparableConv2D": _window_first,
    "Highway": _matrices_first,
}
"""Layers whose arrays Keras 2 keeps in another form; those of all others are the same."""


def _refuse_unknown_backend(config: Config, arrays: Arrays, backend: str) -> None:
    if all(size == 1 for size in _listed(config.get("kernel_size"))):
        return
    raise UnsupportedError(
        Problem(
            where=f"layer {config.get('name')!r}",
            expected="weights that TensorFlow or Theano wrote, whose kernels are each other's "
            "reverse",
            received=f"the backend {backend!r} and arrays " + ", ".join(arrays),
            remedy="load the file with Keras 1 on the backend that trained it and save it again: "
            "TensorFlow gives every array a name that ends in ':0'",
        )
    )
