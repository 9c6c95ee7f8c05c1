from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import Array
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.recognition.keras1_weights import (
    keras1_arrays,
    theano_arrays,
    theano_problems,
)

CONV1D = {"name": "conv", "filters": 5, "kernel_size": [3]}
CONV2D = {"name": "conv", "filters": 5, "kernel_size": [3, 2]}
FIRST = {"data_format": "channels_first"}


def random(*shape: int) -> Array:
    return np.random.default_rng(list(shape)).normal(0, 0.7, size=shape).astype("float32")


def converted(class_name: str, config: dict[str, Any], backend: str, *arrays: Array) -> list[Array]:
    named = {f"array_{index}": array for index, array in enumerate(arrays)}
    return list(keras1_arrays(class_name, config, named, backend).values())


def test_conv1d_loses_its_second_axis() -> None:
    stored, bias = random(3, 1, 4, 5), random(5)
    kernel, same = converted("Conv1D", CONV1D, "tensorflow", stored, bias)
    np.testing.assert_array_equal(kernel, stored[:, 0])
    np.testing.assert_array_equal(same, bias)


def test_conv1d_of_keras_1_0_has_its_filters_first() -> None:
    stored = random(5, 4, 3, 1)
    [kernel] = converted("Conv1D", CONV1D, "tensorflow", stored)
    assert kernel.shape == (3, 4, 5)
    assert all(
        kernel[step, channel, filter_] == stored[filter_, channel, step, 0]
        for step, channel, filter_ in np.ndindex(3, 4, 5)
    )


def test_conv1d_tells_the_two_forms_apart_where_sizes_are_equal() -> None:
    config = {**CONV1D, "filters": 3}
    newer, older = random(3, 1, 1, 3), random(3, 1, 3, 1)
    np.testing.assert_array_equal(converted("Conv1D", config, "tensorflow", newer)[0], newer[:, 0])
    np.testing.assert_array_equal(
        converted("Conv1D", config, "tensorflow", older)[0], older[..., 0].transpose(2, 1, 0)
    )


def test_an_unexpected_shape_stays() -> None:
    for shape in [(3, 2, 4, 5), (3, 4, 5), (2, 1, 4, 5)]:
        assert converted("Conv1D", CONV1D, "tensorflow", random(*shape))[0].shape == shape


def test_theano_convolves_with_the_kernel_turned_round() -> None:
    # numpy.convolve is what Theano computes, numpy.correlate what TensorFlow computes.
    stored, signal = random(3, 1, 1, 1), random(9)
    config = {**CONV1D, "filters": 1}
    [theano] = converted("Conv1D", config, "theano", stored)
    [tensorflow] = converted("Conv1D", config, "tensorflow", stored)
    expected = np.convolve(signal, stored[:, 0, 0, 0], "valid")
    np.testing.assert_allclose(
        np.correlate(signal, theano[:, 0, 0], "valid"), expected, rtol=1e-5, atol=1e-6
    )
    assert np.abs(np.correlate(signal, tensorflow[:, 0, 0], "valid") - expected).max() > 0.1


@pytest.mark.parametrize("class_name", ["Conv2D", "SeparableConv2D"])
def test_kernels_of_channels_first(class_name: str) -> None:
    stored, bias = random(5, 4, 3, 2), random(5)
    kernel, same = converted(class_name, {**CONV2D, **FIRST}, "tensorflow", stored, bias)
    assert kernel.shape == (3, 2, 4, 5)
    assert kernel[2, 1, 3, 4] == stored[4, 3, 2, 1]
    np.testing.assert_array_equal(same, bias)


def test_conv3d_of_channels_first() -> None:
    config = {"name": "conv", "filters": 6, "kernel_size": [2, 3, 4], **FIRST}
    [kernel] = converted("Conv3D", config, "tensorflow", stored := random(6, 5, 2, 3, 4))
    assert kernel.shape == (2, 3, 4, 5, 6)
    assert kernel[1, 2, 3, 4, 5] == stored[5, 4, 1, 2, 3]


def test_channels_last_stay() -> None:
    stored = random(3, 2, 4, 5)
    [kernel] = converted("Conv2D", CONV2D, "tensorflow", stored)
    np.testing.assert_array_equal(kernel, stored)


def test_theano_turns_along_both_axes_of_the_window() -> None:
    stored = random(5, 4, 3, 2)
    [kernel] = converted("Conv2D", {**CONV2D, **FIRST}, "theano", stored)
    assert kernel[0, 0, 1, 2] == stored[2, 1, 2, 1]
    [deep] = converted("SeparableConv2D", {**CONV2D, **FIRST}, "theano", stored)
    assert deep[0, 0, 1, 2] == stored[2, 1, 0, 0]


@pytest.mark.parametrize("first", [False, True])
def test_a_convolutional_lstm_keeps_its_axes(first: bool) -> None:
    config = {"name": "maps", "kernel_size": [3, 2], **(FIRST if first else {})}
    stored = random(5, 4, 3, 2) if first else random(3, 2, 4, 5)
    arrays = [stored, random(5)] * 6
    same = converted("ConvLSTM2D", config, "tensorflow", *arrays)
    np.testing.assert_array_equal(same[0], stored)
    turned = converted("ConvLSTM2D", config, "theano", *arrays)
    assert len(turned) == 12
    window = (slice(None, None, -1),) * 2
    np.testing.assert_array_equal(turned[0], stored[(..., *window)] if first else stored[window])


def test_highway_has_its_matrices_first() -> None:
    kernel, carry, bias, carry_bias = random(4, 4), random(4, 4) + 1, random(4), random(4) + 1
    # As Keras 1.2 and Keras 1.0 wrote them.
    for stored in ([kernel, carry, bias, carry_bias], [kernel, bias, carry, carry_bias]):
        found = converted("Highway", {"name": "highway"}, "tensorflow", *stored)
        for array, expected in zip(found, [kernel, carry, bias, carry_bias], strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("class_name", ["Dense", "Embedding", "BatchNormalization", "PReLU"])
def test_other_layers_keep_their_arrays(class_name: str) -> None:
    arrays = [random(3, 4), random(4)]
    for backend in ("tensorflow", "theano", ""):
        found = converted(class_name, {"name": "layer"}, backend, *arrays)
        assert all(a is b for a, b in zip(found, arrays, strict=True))


def test_names_stay() -> None:
    arrays = {"conv/W:0": random(3, 1, 4, 5), "conv/b:0": random(5)}
    assert list(keras1_arrays("Conv1D", CONV1D, arrays, "tensorflow")) == list(arrays)


def test_the_layer_inside_a_wrapper_counts() -> None:
    wrapper = {"name": "each", "layer": {"class_name": "Conv1D", "config": CONV1D}}
    [kernel] = converted("TimeDistributed", wrapper, "theano", stored := random(3, 1, 4, 5))
    np.testing.assert_array_equal(kernel, stored[::-1, 0])
    [again] = theano_arrays("TimeDistributed", wrapper, {"kernel": kernel}).values()
    np.testing.assert_array_equal(again, stored[:, 0])


def test_a_convolution_of_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UnsupportedError) as error:
        converted("Conv1D", CONV1D, "", random(3, 1, 4, 5))
    [problem] = error.value.problems
    assert "'conv'" in problem.where
    point = {**CONV1D, "kernel_size": [1]}
    assert converted("Conv1D", point, "", random(1, 1, 4, 5))[0].shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("class_name", "shape", "turned"),
    [
        ("Conv1D", (3, 4, 5), (slice(None, None, -1),)),
        ("Conv2D", (3, 2, 4, 5), (slice(None, None, -1),) * 2),
        ("Conv2DTranspose", (3, 2, 5, 4), (slice(None, None, -1),) * 2),
        ("ConvLSTM2D", (3, 2, 4, 20), (slice(None, None, -1),) * 2),
        ("SeparableConv1D", (3, 4, 2), ()),
        ("DepthwiseConv2D", (3, 2, 4, 2), ()),
        ("LocallyConnected1D", (7, 12, 5), ()),
        ("LSTM", (4, 20), ()),
    ],
)
def test_arrays_of_keras_2_on_theano(
    class_name: str, shape: tuple[int, ...], turned: tuple[slice, ...]
) -> None:
    kernel, bias = random(*shape), random(shape[-1])
    found = theano_arrays(class_name, {}, {"kernel": kernel, "bias": bias})
    np.testing.assert_array_equal(found["kernel"], kernel[turned])
    np.testing.assert_array_equal(found["bias"], bias)


def first_windows(size: int, stride: int, length: int, pools: bool) -> tuple[int, int]:
    """Where the first window begins: on Theano (theano_backend.py), on TensorFlow."""
    theano = size // 2
    if pools:
        theano = size - 2 if size > 2 and size % 2 else size - 1
    outputs = math.ceil(length / stride)
    return theano, max((outputs - 1) * stride + size - length, 0) // 2


@pytest.mark.parametrize("pools", [False, True])
def test_same_padding_is_refused_where_the_windows_differ(pools: bool) -> None:
    class_name, key = ("MaxPooling1D", "pool_size") if pools else ("Conv1D", "kernel_size")
    refused = set()
    for size in range(1, 8):
        for stride in range(1, 4):
            pairs = [first_windows(size, stride, length, pools) for length in range(8, 30)]
            config = {"name": "layer", key: [size], "strides": [stride], "padding": "same"}
            problems = theano_problems(class_name, config)
            assert bool(problems) == any(a != b for a, b in pairs), (size, stride)
            refused |= {(size, stride)} if problems else set()
            assert theano_problems(class_name, {**config, "padding": "valid"}) == []
    assert (3, 1) not in refused
    assert (3, 2) in refused


def test_gaps_count_as_part_of_the_window() -> None:
    config = {"name": "layer", "kernel_size": 2, "strides": 1, "padding": "same"}
    assert theano_problems("Conv1D", config)
    assert theano_problems("Conv1D", {**config, "dilation_rate": 2}) == []


def test_the_state_of_a_convolutional_lstm_is_always_padded() -> None:
    config = {"name": "maps", "kernel_size": [3, 2], "strides": [1, 1], "padding": "valid"}
    wrapper = {"layer": {"class_name": "ConvLSTM2D", "config": config}}
    assert theano_problems("Bidirectional", wrapper)
    assert theano_problems("ConvLSTM2D", {**config, "kernel_size": [3, 5]}) == []


def test_other_layers_are_alike() -> None:
    assert theano_problems("Dense", {"units": 3}) == []
    assert theano_problems("ZeroPadding1D", {"padding": [1, 1]}) == []
