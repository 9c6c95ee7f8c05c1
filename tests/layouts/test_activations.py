from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest

from rnn_migrator.layouts.activations import ACTIVATIONS

# Both knees of each hard sigmoid lie inside, and their values differ everywhere but at the middle.
POINTS = np.linspace(-4, 4, 33).reshape(3, 11)
# In these two Keras keeps a constant in float32, whatever the dtype.
ROUGH = {"gelu": 1e-8, "leaky_relu": 1e-7}
RENAMED = {"hard_sigmoid": None, "keras3_hard_sigmoid": "hard_sigmoid"}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_computes_what_keras_computes(name: str) -> None:
    keras_name = RENAMED.get(name, name)
    if keras_name is None:
        expected = np.clip(0.2 * POINTS + 0.5, 0, 1)
    else:
        expected = np.asarray(keras.activations.get(keras_name)(keras.ops.array(POINTS, "float64")))
    np.testing.assert_allclose(
        ACTIVATIONS[name](POINTS), expected, rtol=0, atol=ROUGH.get(name, 1e-14)
    )


def test_no_two_names_are_one_function() -> None:
    """Relu and relu6 part at 6 only, so the points reach further here."""
    points = 2 * POINTS
    values = {name: ACTIVATIONS[name](points).tobytes() for name in ACTIVATIONS}
    assert len(set(values.values())) == len(ACTIVATIONS)


def test_hard_sigmoid_is_the_legacy_one() -> None:
    difference = ACTIVATIONS["hard_sigmoid"](POINTS) - ACTIVATIONS["keras3_hard_sigmoid"](POINTS)
    assert np.max(np.abs(difference)) > 0.05


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype(name: str, dtype: Any) -> None:
    assert ACTIVATIONS[name](POINTS.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"exponential"}))
def test_far_out_nothing_overflows(name: str) -> None:
    far = np.array([[-1e4, -800.0, 0.0, 800.0, 1e4]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(ACTIVATIONS[name](far)).all()
