"""Keras layers made from legacy configs, against the formulas and against Keras 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rnn_migrator.canonical import HeadLayer
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.keras_model import heads
from rnn_migrator.keras_model.heads import build_head
from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.layouts.heads.replacements import PREFIX
from tests.keras_model.slopes import worst_gradient_error
from tests.layouts.heads.cases import (
    CASES,
    KERAS_1,
    LONG,
    MASK,
    OTHER_MASK,
    REPLACEMENTS,
    STEPS,
    VECTORS,
    Array,
    Case,
    as_given,
    random_weights,
)
from tests.layouts.heads.weights import keras_2

ALL = CASES | KERAS_1 | REPLACEMENTS


def built(case: Case, masked: bool = True, dtype: str = "float32") -> tuple[Any, list[Array]]:
    """The layer with random weights, and the weights."""
    layer = build_head(HeadLayer("a/b", case.class_name, case.config), "head", masked=masked)
    layer.dtype_policy = keras.dtype_policies.DTypePolicy(dtype)
    layer.build(as_given(tuple(x.shape for x in case.inputs)))  # type: ignore[arg-type]
    weights = random_weights(layer)
    layer.set_weights(weights)
    return layer, weights


def float32(case: Case) -> Any:
    return as_given(tuple(x.astype("float32") for x in case.inputs))


@pytest.mark.parametrize("name", ALL)
def test_computes_the_formula(name: str) -> None:
    case = ALL[name]
    layer, weights = built(case)
    shapes = HEADS[case.class_name].weights(HEADS[case.class_name].settings(case.config))
    assert len(weights) == len(shapes)
    expected = HEADS[case.class_name].formula(case.config, weights, list(case.inputs))
    received = np.asarray(layer(float32(case)))
    assert received.shape == expected.shape
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_computes_what_keras_2_computes(name: str) -> None:
    case = CASES[name]
    weights, expected = keras_2(case)
    layer, _ = built(case, masked=False)
    layer.set_weights(weights)
    np.testing.assert_allclose(np.asarray(layer(float32(case))), expected, rtol=1e-5, atol=1e-5)


WRONG = {
    "core: Dense 1": {"activation": "sigmoid"},
    "merge: Concatenate 7": {"axis": 1},
    "convolution: Conv1D 2": {"padding": "same"},
    "pooling: AveragePooling1D 5": {"strides": [2]},
    "normalization: BatchNormalization 0": {"epsilon": 0.02},
    "advanced_activations: LeakyReLU 0": {"alpha": 0.01},
    "Highway": {"activation": "tanh"},
    "a range": {"start": 2},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_config_is_noticed(name: str) -> None:
    case = ALL[name]
    wrong = Case(case.class_name, {**case.config, **WRONG[name]}, case.inputs)
    if name == "merge: Concatenate 7":
        wrong = Case(case.class_name, wrong.config, (STEPS, STEPS))
    layer, weights = built(wrong)
    expected = HEADS[case.class_name].formula(case.config, weights, list(wrong.inputs))
    received = np.asarray(layer(float32(wrong)))
    assert received.shape != expected.shape or np.abs(received - expected).max() > 1e-3


def test_stock_layers_are_taken_where_they_compute_the_same() -> None:
    own = {
        case.class_name
        for case in ALL.values()
        if type(built(case, masked=False)[0]).__module__ == heads.__name__
    }
    kept = {"ThresholdedReLU", "LocallyConnected1D", "Highway", "MaxoutDense", "Dot"}
    assert own == kept | {name for name in HEADS if name.startswith(PREFIX)}


def test_the_default_slope_is_that_of_keras_2() -> None:
    layer = build_head(HeadLayer("x", "LeakyReLU", {}), "x")
    assert layer.get_config()["negative_slope"] == pytest.approx(0.3)


def test_what_is_no_config_of_the_class_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="target_shape"):
        build_head(HeadLayer("x", "Reshape", {"target_shape": "abc"}), "x")


def test_dot_of_higher_rank_is_refused() -> None:
    layer = build_head(HeadLayer("x", "Dot", {"axes": 1}), "x")
    with pytest.raises(ValueError, match="the releases of Keras 2 disagree"):
        layer([keras.Input((2, 3, 4)), keras.Input((2, 3, 4))])


# Masks. A masked step holds `GAP`, which no other does.

GAP = 9.0
MASKS = [MASK, OTHER_MASK, MASK]


class Kept(keras.layers.Layer):  # type: ignore[misc]
    """2 for a step that the mask keeps, 1 for one that it does not, 0 where there is no mask."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return keras.ops.zeros((1, 1))
        return keras.ops.cast(mask, "float32") + 1

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None


def behind_masks(case: Case, *after: Any) -> Array:
    """What a layer behind a mask an input gives, through a whole model and more layers."""
    inputs = [keras.Input(x.shape[1:]) for x in case.inputs]
    tensor = build_head(HeadLayer("x", case.class_name, case.config), "x")(
        as_given(tuple(keras.layers.Masking(GAP)(tensor) for tensor in inputs))
    )
    for layer in after:
        tensor = layer(tensor)
    arrays = tuple(gapped(x, mask) for x, mask in zip(case.inputs, MASKS, strict=False))
    return np.asarray(keras.Model(as_given(tuple(inputs)), tensor)(as_given(arrays)))


def gapped(x: Array, mask: Array) -> Array:
    return np.where(mask[..., None], x, GAP).astype("float32")


MASKED = [
    *(
        Case(class_name, {}, (STEPS, STEPS))
        for class_name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    ),
    Case("Concatenate", {"axis": -1}, (STEPS, STEPS)),
    Case("Concatenate", {"axis": 1}, (STEPS, STEPS)),
    Case("Dot", {"axes": 2}, (STEPS, STEPS)),
    *(
        case
        for case in ALL.values()
        if [x.shape for x in case.inputs] == [STEPS.shape] and case.class_name != "Masking"
    ),
]


@pytest.mark.parametrize("case", MASKED, ids=lambda case: case.class_name)
def test_masks_go_where_keras_2_lets_them(case: Case) -> None:
    masks = MASKS[: len(case.inputs)]
    expected = HEADS[case.class_name].mask(case.config, case.inputs, masks)
    received = behind_masks(case, Kept())
    np.testing.assert_array_equal(received, np.zeros((1, 1)) if expected is None else expected + 1)


def test_stock_merging_keeps_other_steps() -> None:
    """So that it cannot stand where a mask goes through."""
    inputs = [keras.Input(STEPS.shape[1:]) for _ in range(2)]
    merged = keras.layers.Add()([keras.layers.Masking(GAP)(x) for x in inputs])
    model = keras.Model(inputs, Kept()(merged))
    received = np.asarray(model([gapped(STEPS, MASK), gapped(STEPS, OTHER_MASK)]))
    np.testing.assert_array_equal(received, (MASK | OTHER_MASK) + 1)
    assert not np.array_equal(received, (MASK & OTHER_MASK) + 1)


def test_global_average_is_that_of_the_valid_steps() -> None:
    head = HEADS["GlobalAveragePooling1D"]
    case = Case("GlobalAveragePooling1D", {}, (STEPS,))
    expected = head.formula({}, [], [STEPS], [MASK])
    np.testing.assert_allclose(behind_masks(case), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(head.formula({}, [], [STEPS]) - expected).max() > 0.01


def test_a_mask_does_not_change_a_softmax() -> None:
    x = STEPS * MASK[..., None]
    expected = HEADS["Softmax"].formula({}, [], [x], [MASK])
    received = behind_masks(Case("Softmax", {}, (STEPS,)))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


# Our own layers: saved and loaded, in models of open batch size, trained.

OWN = {
    **KERAS_1,
    **REPLACEMENTS,
    **{
        name: case
        for name, case in CASES.items()
        if case.class_name in ("ThresholdedReLU", "LocallyConnected1D", "Dot", "Softmax")
        or case.class_name in ("Add", "Concatenate", "Average", "Maximum")
        or isinstance(case.config.get("activation"), dict)
    },
}


@pytest.mark.parametrize("name", OWN)
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    case = OWN[name]
    layer, _ = built(case)
    inputs = [keras.Input(x.shape[1:]) for x in case.inputs]
    model = keras.Model(as_given(tuple(inputs)), layer(as_given(tuple(inputs))))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is type(layer)
    expected = np.asarray(model(float32(case)))
    np.testing.assert_array_equal(np.asarray(loaded(float32(case))), expected)


class _WithoutMask:
    """A layer as `worst_gradient_error` calls it."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.trainable_weights = layer.trainable_weights

    def __call__(self, x: Any, mask: None) -> Any:
        return self._layer(x)


@pytest.mark.parametrize(
    "case",
    [
        Case("LocallyConnected1D", {"filters": 3, "kernel_size": 2, "strides": 3}, (LONG,)),
        Case(
            "LocallyConnected1D",
            {"filters": 3, "kernel_size": 3, "activation": "tanh"},
            (LONG[:2, :5],),
        ),
        Case("Highway", {"activation": "tanh"}, (VECTORS,)),
        KERAS_1["MaxoutDense"],
        Case("Dot", {"axes": [2, 1], "normalize": True}, (STEPS, VECTORS)),
        REPLACEMENTS["length 1"],
    ],
    ids=lambda case: case.class_name,
)
def test_gradients_are_slopes(case: Case) -> None:
    layer, _ = built(case, dtype="float64")
    if len(case.inputs) > 1:
        other = case.inputs[1]
        product = layer
        layer = keras.layers.Lambda(lambda x: product([x, other]), dtype="float64")
    assert worst_gradient_error(_WithoutMask(layer), case.inputs[0], None) < 1e-6


def test_a_lost_gradient_is_noticed() -> None:
    layer, _ = built(KERAS_1["MaxoutDense"], dtype="float64")
    stopped = keras.layers.Lambda(lambda x: layer(keras.ops.stop_gradient(x)), dtype="float64")
    assert worst_gradient_error(_WithoutMask(stopped), VECTORS, None) > 0.5


def test_locally_connected_needs_to_know_its_steps() -> None:
    layer = build_head(HeadLayer("x", "LocallyConnected1D", {"filters": 3, "kernel_size": 2}), "x")
    with pytest.raises(ValueError, match="a known number of steps, at least 2"):
        layer(keras.Input((None, 4)))
