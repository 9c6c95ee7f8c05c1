"""A model of Keras 2 with everything that readers look at, saved in every format of tf.keras."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import Array


@dataclasses.dataclass(frozen=True)
class SavedKeras:
    """The files of one model, and its weights by layer.

    Attributes:
      folder: Where they are.
      model: The model itself.
      weights: `get_weights()` of every layer that has some, nested ones by `outer/inner`.
    """

    folder: Path
    model: Any
    weights: dict[str, list[Array]]

    @property
    def config(self) -> dict[str, Any]:
        """The content of the architecture file."""
        config: dict[str, Any] = json.loads(self.architecture.read_text())
        return config

    @property
    def architecture(self) -> Path:
        """What `to_json` wrote."""
        return self.folder / "model.json"


def save_everything(folder: Path) -> SavedKeras:
    """Builds the model, gives its optimizer slots, and saves it."""
    tf_keras = pytest.importorskip("tf_keras")
    import tensorflow as tf

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(5)
    source = tf_keras.Input((None, 3), name="inner_source")
    x = layers.BatchNormalization(name="inner_norm")(layers.Dense(4, name="inner_dense")(source))
    x = layers.LSTM(5, return_sequences=True, name="inner_lstm")(x)
    inner = tf_keras.Model(source, x, name="inner")
    each_source = tf_keras.Input((6,), name="each_source")
    each = tf_keras.Model(each_source, layers.Dense(2, name="each_dense")(each_source), name="each")
    x = source = tf_keras.Input((None, 3), name="source")
    for layer in (
        inner,
        layers.Bidirectional(layers.GRU(3, return_sequences=True, name="gru"), name="both"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.5, name="dropout"),
        layers.TimeDistributed(each, name="steps"),
    ):
        x = layer(x)
    model = tf_keras.Model(source, x, name="model")
    optimizer = tf_keras.optimizers.legacy.Adam()
    variables = model.trainable_variables
    optimizer.apply_gradients([(tf.zeros_like(variable), variable) for variable in variables])
    rng = np.random.default_rng(7)
    for name in ("both", "norm"):
        model.get_layer(name).set_weights(_random(model.get_layer(name), rng))
    inner.get_layer("inner_norm").set_weights(_random(inner.get_layer("inner_norm"), rng))

    (folder / "model.json").write_text(model.to_json())
    model.save_weights(str(folder / "weights"), save_format="tf")
    model.save_weights(str(folder / "weights.h5"))
    model.save(str(folder / "model.h5"))
    tf.train.Checkpoint(net=model, adam=optimizer).save(str(folder / "train" / "ckpt"))
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer is not inner}
    weights |= {f"inner/{layer.name}": layer.get_weights() for layer in inner.layers}
    weights |= {f"steps/{layer.name}": layer.get_weights() for layer in each.layers}
    return SavedKeras(folder, model, {name: arrays for name, arrays in weights.items() if arrays})


def save_folder(saved: SavedKeras) -> Path:
    """The same as a SavedModel, which takes a while."""
    folder = saved.folder / "saved"
    if not folder.exists():
        saved.model.save(str(folder), save_format="tf")
    return folder


def _random(layer: Any, rng: np.random.Generator) -> list[Array]:
    return [rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()]
