"""Formulas of the layers without recurrence, against the layers of Keras in float64."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from rnn_migrator.layouts.heads import HEADS

X = np.random.default_rng(2).normal(size=(4, 5, 3))
IDS = np.array([[1, 0, 6, 2], [3, 3, 0, 0]])

CASES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "Dense": ("Dense", {"units": 7, "activation": "softsign", "use_bias": True}, X),
    "Dense of a matrix": ("Dense", {"units": 2, "activation": "linear"}, X[:, 0]),
    "Dense without bias": ("Dense", {"units": 7, "use_bias": False}, X),
    "Embedding": ("Embedding", {"input_dim": 7, "output_dim": 3}, IDS),
    "Embedding of float ids": ("Embedding", {"input_dim": 7, "output_dim": 3}, IDS * 1.0),
    "Masking": ("Masking", {"mask_value": float(X[1, 2, 0])}, X),
    "BatchNormalization": ("BatchNormalization", {"axis": -1, "epsilon": 0.01}, X),
    "BatchNormalization on axis 1": ("BatchNormalization", {"axis": 1}, X),
    "BatchNormalization as listed": ("BatchNormalization", {"axis": [2]}, X),
    "BatchNormalization unscaled": ("BatchNormalization", {"scale": False}, X),
    "BatchNormalization uncentred": ("BatchNormalization", {"center": False}, X),
    "Activation": ("Activation", {"activation": "tanh"}, X),
    "Activation softmax": ("Activation", {"activation": "softmax"}, X),
    "Dropout": ("Dropout", {"rate": 0.5}, X),
    "SpatialDropout1D": ("SpatialDropout1D", {"rate": 0.5}, X),
    "GaussianNoise": ("GaussianNoise", {"stddev": 0.5}, X),
    "GaussianDropout": ("GaussianDropout", {"rate": 0.5}, X),
    "Flatten": ("Flatten", {}, X),
    "RepeatVector": ("RepeatVector", {"n": 3}, X[:, 0]),
    "Reshape": ("Reshape", {"target_shape": [3, 5]}, X),
    "Reshape with an open size": ("Reshape", {"target_shape": [-1, 1]}, X),
}


def keras_layer(class_name: str, config: dict[str, Any], x: Any) -> Any:
    """A Keras layer with random weights, all of them positive: a variance must be."""
    options = dict(config)
    if isinstance(options.get("axis"), list):
        [options["axis"]] = options["axis"]
    layer = getattr(keras.layers, class_name)(dtype="float64", **options)
    layer.build(x.shape)
    rng = np.random.default_rng(8)
    layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.mark.parametrize("case", CASES)
def test_computes_what_keras_computes(case: str) -> None:
    class_name, config, x = CASES[case]
    layer = keras_layer(class_name, config, x)
    received = HEADS[class_name].formula(config, layer.get_weights(), [x])
    np.testing.assert_allclose(received, np.asarray(layer(x)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("axis", [-1, 1])
def test_concatenate(axis: int) -> None:
    expected = keras.layers.Concatenate(axis=axis, dtype="float64")([X, 2 * X])
    received = HEADS["Concatenate"].formula({"axis": axis}, [], [X, 2 * X])
    np.testing.assert_array_equal(received, np.asarray(expected))


def test_every_class_is_tried() -> None:
    assert {class_name for class_name, _, _ in CASES.values()} | {"Concatenate"} == set(HEADS)


@pytest.mark.parametrize("mask_value", [0.0, -1.5])
def test_masking_makes_the_mask_of_keras(mask_value: float) -> None:
    x = X.copy()
    x[0, 3:], x[1, 1, :2], x[2] = mask_value, mask_value, mask_value
    make_mask = HEADS["Masking"].make_mask
    assert make_mask is not None
    received = make_mask({"mask_value": mask_value}, x)
    expected = keras.layers.Masking(mask_value, dtype="float64").compute_mask(x)
    np.testing.assert_array_equal(received, np.asarray(expected))
    assert 0 < received.sum() < received.size


def test_embedding_masks_zero_only_when_told() -> None:
    make_mask = HEADS["Embedding"].make_mask
    assert make_mask is not None
    assert make_mask({}, IDS) is None
    np.testing.assert_array_equal(make_mask({"mask_zero": True}, IDS), IDS != 0)


@pytest.mark.parametrize("class_name", sorted(set(HEADS) - {"Embedding", "Masking"}))
def test_masks_pass_where_keras_lets_them(class_name: str) -> None:
    """Keras 3 lets masks through some classes at which those of Keras 2 ended."""
    if class_name in ("Flatten", "RepeatVector", "Reshape"):
        assert not HEADS[class_name].passes_mask
        return
    arguments = {
        "Dense": {"units": 2},
        "Activation": {"activation": "tanh"},
        "GaussianNoise": {"stddev": 1.0},
    }
    options = arguments.get(class_name, {"rate": 0.1} if "Drop" in class_name else {})
    layer = getattr(keras.layers, class_name)(**options)
    assert HEADS[class_name].passes_mask == layer.supports_masking
