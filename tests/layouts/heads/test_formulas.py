"""Formulas of the layers without recurrence, against the layers of Keras 2 themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnn_migrator.layouts.activations import ACTIVATIONS, sigmoid
from rnn_migrator.layouts.heads import HEADS
from tests.layouts.heads.cases import (
    CASES,
    KERAS_1,
    REPLACEMENTS,
    STEPS,
    VECTORS,
    Array,
    Case,
)
from tests.layouts.heads.weights import keras_2, weights_of


@pytest.mark.parametrize("name", CASES)
def test_computes_what_keras_2_computes(name: str) -> None:
    case = CASES[name]
    weights, expected = keras_2(case)
    received = HEADS[case.class_name].formula(case.config, weights, list(case.inputs))
    assert received.shape == expected.shape
    np.testing.assert_allclose(received, expected, rtol=2e-6, atol=1e-7)


def test_every_class_is_tried() -> None:
    tried = {case.class_name for case in (CASES | KERAS_1 | REPLACEMENTS).values()}
    assert tried | {"BatchNormalizationV1", "BatchNormalizationV2"} == set(HEADS)


@pytest.mark.parametrize("name", [*CASES, *KERAS_1, *REPLACEMENTS])
def test_keeps_the_dtype(name: str) -> None:
    case = (CASES | KERAS_1 | REPLACEMENTS)[name]
    head = HEADS[case.class_name]
    weights = [weight.astype("float32") for weight in weights_of(case)]
    received = head.formula(case.config, weights, [x.astype("float32") for x in case.inputs])
    assert received.dtype == np.float32


WRONG: dict[str, tuple[Case, dict[str, Any]]] = {
    "core: another activation": (CASES["core: Dense 1"], {"activation": "keras3_hard_sigmoid"}),
    "core: another order": (CASES["core: Flatten 21"], {"data_format": "channels_last"}),
    "merge: another axis": (CASES["merge: Dot 12"], {"normalize": False}),
    "convolution: shifted": (CASES["convolution: Conv1D 2"], {"padding": "same"}),
    "convolution: transposed": (
        CASES["convolution: Conv2DTranspose 13"],
        {"padding": "valid", "output_padding": None},
    ),
    "pooling: padding counted": (CASES["pooling: AveragePooling1D 5"], {"padding": "valid"}),
    "normalization: another epsilon": (
        CASES["normalization: BatchNormalization 0"],
        {"epsilon": 0.02},
    ),
    "advanced: the default of Keras 3": (
        CASES["advanced_activations: ReLU 13"],
        {"threshold": 0.0},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_config_is_noticed(name: str) -> None:
    case, change = WRONG[name]
    weights, expected = keras_2(case)
    wrong = {**case.config, **change}
    received = HEADS[case.class_name].formula(wrong, weights, list(case.inputs))
    assert received.shape != expected.shape or np.max(np.abs(received - expected)) > 1e-3


def test_highway_is_that_of_keras_1() -> None:
    """Written out from `Highway.call` of Keras 1.2.2."""
    case = KERAS_1["Highway"]
    kernel, carry, bias, carry_bias = weights = weights_of(case)
    transform = sigmoid(VECTORS @ carry + carry_bias)
    expected = ACTIVATIONS["relu"](VECTORS @ kernel + bias) * transform + (1 - transform) * VECTORS
    received = HEADS["Highway"].formula(case.config, weights, [VECTORS])
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-12)
    swapped = [carry, kernel, carry_bias, bias]
    assert np.abs(HEADS["Highway"].formula(case.config, swapped, [VECTORS]) - expected).max() > 0.1


def test_maxout_is_that_of_keras_1() -> None:
    case = KERAS_1["MaxoutDense"]
    kernel, bias = weights = weights_of(case)
    each = [VECTORS @ k + b for k, b in zip(kernel, bias, strict=True)]
    received = HEADS["MaxoutDense"].formula(case.config, weights, [VECTORS])
    np.testing.assert_allclose(received, np.max(each, axis=0), rtol=0, atol=1e-12)
    assert np.abs(received - np.mean(each, axis=0)).max() > 0.1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("the last step", STEPS[:, -1]),
        ("a place in another axis", STEPS[..., 2]),
        ("a range", STEPS[:, 1:-1:2]),
        ("a range in the last axis", STEPS[..., -3:]),
        ("sum", STEPS.sum(1)),
        ("mean over two axes", STEPS.mean((1, 2), keepdims=True)),
        ("maximum", STEPS.max(-1, keepdims=True)),
        ("length 1", STEPS / np.linalg.norm(STEPS, axis=-1, keepdims=True)),
        ("length 1 of small ones", STEPS / np.linalg.norm(STEPS, axis=(1, 2), keepdims=True)),
        ("a new axis", STEPS[:, None]),
        ("an axis less", STEPS[:, 0]),
        ("backwards", STEPS[:, ::-1]),
        ("scaled", STEPS * 2.5 - 1),
        ("as it is", STEPS),
        ("time first", STEPS.transpose(1, 0, 2)),
    ],
)
def test_replacements_compute_what_they_are_named_for(name: str, expected: Array) -> None:
    case = REPLACEMENTS[name]
    received = HEADS[case.class_name].formula(case.config, [], list(case.inputs))
    if name == "length 1 of small ones":
        expected = (
            1e-7
            * STEPS
            / np.maximum(1e-6, 1e-7 * np.linalg.norm(STEPS, axis=(1, 2)))[:, None, None]
        )
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-12)
