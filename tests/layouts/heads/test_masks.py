"""Where masks go, as in Keras 2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.layouts.heads.replacements import PREFIX
from tests.layouts.heads.cases import (
    CASES,
    IDS,
    MASK,
    OTHER_MASK,
    STEPS,
    Array,
    Case,
)

PASSING = {
    name: case
    for name, case in CASES.items()
    if case.inputs[0].shape[:2] == MASK.shape
    and case.class_name not in ("Dot", "Masking")
    and case.config.get("axis") != 1
}
"""Layers that read sequences of as many steps as the mask has."""


def masks_of(case: Case) -> list[Array | None]:
    """A mask for each input that has its steps; they differ."""
    choices = [MASK, OTHER_MASK, None]
    return [
        choices[index % 3] if x.shape[:2] == MASK.shape else None
        for index, x in enumerate(case.inputs)
    ]


def keras_2_mask(case: Case, masks: list[Array | None]) -> Any:
    """The mask that tf.keras of Keras 2 hands on."""
    tf_keras = pytest.importorskip("tf_keras")
    layer = getattr(tf_keras.layers, case.class_name).from_config({"name": "x", **case.config})
    if not layer.supports_masking:
        return None
    inputs = [tf.convert_to_tensor(x) for x in case.inputs]
    marks = [None if mask is None else tf.convert_to_tensor(mask) for mask in masks]
    several = len(inputs) > 1
    return layer.compute_mask(*((inputs, marks) if several else (inputs[0], marks[0])))


@pytest.mark.parametrize("name", PASSING)
def test_masks_pass_where_keras_2_lets_them(name: str) -> None:
    case = PASSING[name]
    masks = masks_of(case)
    expected = keras_2_mask(case, masks)
    received = HEADS[case.class_name].mask(case.config, case.inputs, masks)
    assert (received is None) == (expected is None)
    if received is not None:
        np.testing.assert_array_equal(received, np.asarray(expected))


def test_masked_steps_beside_unmasked_ones_are_no_more_a_model_than_in_keras_2() -> None:
    case = Case("Concatenate", {"axis": 1}, (STEPS, STEPS))
    with pytest.raises(tf.errors.InvalidArgumentError):
        keras_2_mask(case, [MASK, None])
    with pytest.raises(ValueError, match="must match"):
        HEADS["Concatenate"].mask(case.config, case.inputs, [MASK, None])


@pytest.mark.parametrize("class_name", sorted(HEADS))
def test_no_mask_comes_from_nowhere(class_name: str) -> None:
    config = {case.class_name: case.config for case in CASES.values()}
    if class_name in config and class_name not in ("Masking", "Embedding"):
        assert HEADS[class_name].mask(config[class_name], [STEPS], [None]) is None


def test_masks_end_at_replacements() -> None:
    assert not any(head.passes_mask for name, head in HEADS.items() if name.startswith(PREFIX))


def test_merging_keeps_the_steps_that_all_keep() -> None:
    joint = HEADS["Add"].mask({}, [STEPS, STEPS, STEPS], [MASK, None, OTHER_MASK])
    np.testing.assert_array_equal(joint, MASK & OTHER_MASK)
    assert not np.array_equal(joint, MASK | OTHER_MASK)


def test_concatenated_steps_keep_their_masks() -> None:
    head = HEADS["Concatenate"]
    joint = head.mask({"axis": 1}, [STEPS, STEPS], [MASK, OTHER_MASK])
    np.testing.assert_array_equal(joint, np.concatenate([MASK, OTHER_MASK], axis=1))
    joint = head.mask({"axis": -1}, [STEPS, STEPS], [MASK, OTHER_MASK])
    np.testing.assert_array_equal(joint, MASK & OTHER_MASK)
    joint = head.mask({}, [STEPS, STEPS], [None, OTHER_MASK])
    np.testing.assert_array_equal(joint, OTHER_MASK)


@pytest.mark.parametrize("mask_value", [0.0, -1.5])
def test_masking_makes_the_mask_of_keras(mask_value: float) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    x = STEPS.copy()
    x[0, 3:], x[1, 1, :2], x[2] = mask_value, mask_value, mask_value
    received = HEADS["Masking"].mask({"mask_value": mask_value}, [x], [None])
    expected = tf_keras.layers.Masking(mask_value, dtype="float64").compute_mask(x)
    assert received is not None
    np.testing.assert_array_equal(received, np.asarray(expected))
    assert 0 < received.sum() < received.size


def test_embedding_masks_zero_only_when_told() -> None:
    config = {"input_dim": 7, "output_dim": 3}
    assert HEADS["Embedding"].mask(config, [IDS], [None]) is None
    received = HEADS["Embedding"].mask({**config, "mask_zero": True}, [IDS], [None])
    np.testing.assert_array_equal(received, IDS != 0)


@pytest.mark.parametrize("config", [{}, {"data_format": "channels_first"}, {"keepdims": True}])
def test_global_average_is_that_of_the_valid_steps(config: dict[str, Any]) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    x = np.moveaxis(STEPS, 1, 2) if "data_format" in config else STEPS
    layer = tf_keras.layers.GlobalAveragePooling1D(dtype="float64", **config)
    expected = np.asarray(layer(x, mask=MASK))
    head = HEADS["GlobalAveragePooling1D"]
    received = head.formula(config, [], [x], [MASK])
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-12)
    assert np.abs(head.formula(config, [], [x]) - expected).max() > 0.01
    assert head.mask(config, [x], [MASK]) is None


def test_the_average_of_no_steps_is_none() -> None:
    received = HEADS["GlobalAveragePooling1D"].formula({}, [], [STEPS], [MASK & (MASK[:, 6:])])
    assert np.isfinite(received[0]).all()
    assert np.isnan(received[1:]).all()


def test_a_mask_does_not_change_a_softmax() -> None:
    head = HEADS["Softmax"]
    np.testing.assert_array_equal(
        head.formula({}, [], [STEPS], [MASK]), head.formula({}, [], [STEPS])
    )
