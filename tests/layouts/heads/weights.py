"""Random weights for the layers of the cases, and what Keras 2 computes with them."""

from __future__ import annotations

import numpy as np
import pytest

from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.layouts.heads.replacements import PREFIX
from tests.layouts.heads.cases import Array, Case, as_given, random_weights


def keras_2(case: Case) -> tuple[list[Array], Array]:
    """Random weights for the layer of Keras 2, and what it computes with them in float64."""
    tf_keras = pytest.importorskip("tf_keras")
    config = {"dtype": "float64", "name": "layer", **case.config}
    inputs = as_given(case.inputs)
    # TensorFlow has no windows over channels_first on a CPU, where Keras 2 moves the axis itself.
    moved = "1D" in case.class_name or "2D" in case.class_name
    moved = moved and config.get("data_format") == "channels_first"
    if moved:
        config["data_format"], inputs = "channels_last", np.moveaxis(inputs, 1, -1)
    layer = getattr(tf_keras.layers, case.class_name).from_config(config)
    layer(inputs)
    weights = random_weights(layer)
    layer.set_weights(weights)
    output = np.asarray(layer(inputs))
    return weights, np.moveaxis(output, -1, 1) if moved else output


def weights_of(case: Case) -> list[Array]:
    if case.class_name in ("Highway", "MaxoutDense"):
        rng = np.random.default_rng(1)
        head = HEADS[case.class_name]
        shapes = head.weights(head.settings(case.config))
        return [
            rng.normal(size=[6 if size == "in" else size for size in shape or ()])
            for shape in shapes.values()
        ]
    return [] if case.class_name.startswith(PREFIX) else keras_2(case)[0]
