"""tf.keras models as checkpoints of objects and as SavedModel folders."""

import functools
from pathlib import Path
from typing import Dict, List

import tensorflow as tf
from _common import CaseWriter, Description
from _keras import JSON, Build, Subject, Way, describe, fill, prepared, sequences

PREFIX = "model.ckpt"
SAVED_MODEL = "saved_model"

KERAS = Way(tf.keras, tf.keras.backend.clear_session)


def chain(seed: int, *layers: tf.keras.layers.Layer) -> Subject:
    """Returns layers one after another with random inputs."""
    model = tf.keras.models.Sequential(list(layers))
    if not hasattr(model, "input_names"):
        # TensorFlow 1.4 puts it off.
        model.build()
    return Subject(model, sequences(model.input_names[0], (4, 6, 3), seed), seed)


def lstm_stack() -> Subject:
    """Two LSTM layers and a head, all defaults."""
    layers = tf.keras.layers
    return chain(
        161,
        layers.LSTM(5, return_sequences=True, input_shape=(None, 3)),
        layers.LSTM(4),
        layers.Dense(6, activation="softmax"),
    )


def lstm_gru() -> Subject:
    """LSTM and GRU, all defaults, and a head at every step."""
    layers = tf.keras.layers
    return chain(
        162,
        layers.LSTM(5, return_sequences=True, input_shape=(None, 3)),
        layers.GRU(4, return_sequences=True),
        layers.TimeDistributed(layers.Dense(2)),
    )


def bidirectional() -> Subject:
    """Two layers both ways."""
    layers = tf.keras.layers
    return chain(
        163,
        layers.Bidirectional(layers.LSTM(4, return_sequences=True), input_shape=(None, 3)),
        layers.Bidirectional(layers.GRU(3), merge_mode="sum"),
        layers.Dense(2),
    )


def two_inputs() -> Subject:
    """Two inputs and two outputs."""
    layers = tf.keras.layers
    left = layers.Input((None, 3), name="left")
    right = layers.Input((5,), name="right")
    encoded = layers.LSTM(4, name="encoder")(left)
    joined = layers.concatenate([encoded, right], name="joined")
    outputs = [
        layers.Dense(2, activation="softmax", name="label")(joined),
        layers.Dense(1, name="score")(encoded),
    ]
    inputs = sequences("left", (3, 6, 3), 164)
    inputs.update(sequences("right", (3, 5), 164))
    return Subject(tf.keras.models.Model([left, right], outputs), inputs, seed=164)


def checkpoint_shapes(prefix: Path) -> Dict[str, List[int]]:
    """Returns the shape of every variable in a checkpoint."""
    return {name: list(shape) for name, shape in tf.train.list_variables(str(prefix))}


def save_object_checkpoint(way: Way, build: Build, folder: Path) -> Description:
    """Saves weights in TensorFlow's own format, and the architecture beside them."""
    subject = prepared(way, build, trained=False)
    prefix = folder / PREFIX
    subject.model.save_weights(str(prefix))
    (folder / JSON).write_text(subject.model.to_json() + "\n", encoding="utf-8")
    fill(way.keras, subject.model, subject.seed + 1)
    subject.model.load_weights(str(prefix))
    described = describe(folder, subject, PREFIX, checkpoint_shapes(prefix), None)
    return dict(described, architecture=JSON)


def save_saved_model(
    way: Way, build: Build, trained: bool, options: Dict[str, object], folder: Path
) -> Description:
    """Saves the folder that a model server loads."""
    subject = prepared(way, build, trained)
    path = folder / SAVED_MODEL
    subject.model.save(str(path), save_format="tf", **options)
    variables = checkpoint_shapes(path / "variables" / "variables")
    return describe(folder, subject, SAVED_MODEL, variables, way.keras.models.load_model(str(path)))


def object_checkpoint(build: Build) -> CaseWriter:
    """Returns the writer of bare weights in TensorFlow's own format."""
    return functools.partial(save_object_checkpoint, KERAS, build)


def saved_model(build: Build, trained: bool = False, **options: object) -> CaseWriter:
    """Returns the writer of a SavedModel folder."""
    return functools.partial(save_saved_model, KERAS, build, trained, options)
