"""LSTM stacks of TensorFlow 1.15.5 that are kept in unusual ways: shards, averages, Estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import tensorflow as tf
from _common import Description, random_array, random_weight, run_writer, write_npz
from _tf1 import (
    Model,
    Sizes,
    describe_checkpoint,
    fill_variables,
    fresh_session,
    model_writer,
    save_variables,
    unroll,
    write_goldens,
)

LSTMCell = tf.nn.rnn_cell.LSTMCell

SIZES = Sizes(width=4, time=9, lengths=(9, 0, 1, 6, 3, 9, 2))
UNITS = (6, 5)
FACTS = {"cell": "LSTMCell"}
# Where the Estimator once lived.
STALE = "/home/trainer/models/tagger"


def lstm_stack() -> tf.nn.rnn_cell.RNNCell:
    """Returns two LSTMCells."""
    return tf.nn.rnn_cell.MultiRNNCell([LSTMCell(units) for units in UNITS])


def partitioned() -> Model:
    """Two LSTMCells in a scope that cuts every variable in two."""
    cell = lstm_stack()
    with tf.variable_scope("encoder", partitioner=tf.fixed_size_partitioner(2)):
        recurrence = unroll(cell, SIZES)
    return Model(recurrence, SIZES, 224, FACTS, cell=cell, scale=0.35)


def sharded(folder: Path) -> Description:
    """The parts as they come out of tf.global_variables(), in one .npz."""
    with fresh_session() as session:
        model = partitioned()
        fill_variables(session, model.seed, model.scale)
        names = [variable.op.name for variable in tf.global_variables()]
        weights = dict(zip(names, session.run(tf.global_variables())))
        write_npz(folder / "weights.npz", weights)
        return {
            "source": "weights.npz",
            "settings": {},
            "facts": model.facts,
            "variables": {name: list(values.shape) for name, values in weights.items()},
            "tensors": {},
            "golden": write_goldens(session, folder, model),
        }


def ema(folder: Path) -> Description:
    """Two LSTMCells and their moving averages, of which the answers are."""
    with fresh_session() as session:
        cell = lstm_stack()
        model = Model(unroll(cell, SIZES), SIZES, 225, FACTS, cell=cell)
        averages = tf.train.ExponentialMovingAverage(0.999)
        averages.apply(tf.trainable_variables())
        tf.train.get_or_create_global_step()
        fill_variables(session, model.seed)
        save_variables(session, folder)
        for variable in tf.trainable_variables():
            variable.load(session.run(averages.average(variable)), session)
        golden = write_goldens(session, folder, model)
        settings = {"use_ema": "true", "cell_clip": "none"}
        return dict(describe_checkpoint(folder, model.facts, {}, golden), settings=settings)


def model_fn(features: Dict[str, tf.Tensor], labels: tf.Tensor, mode: str) -> Any:
    """An Estimator's model, that starts from the lab's own random weights."""
    with tf.variable_scope("tagger"):
        outputs, _ = tf.nn.dynamic_rnn(
            lstm_stack(),
            features["words"],
            sequence_length=features["lengths"],
            dtype=tf.float32,
        )
    loss = tf.losses.mean_squared_error(labels, tf.layers.dense(outputs, 1))
    step = tf.train.get_or_create_global_step()

    def start(_: tf.train.Scaffold, session: tf.Session) -> None:
        for variable in tf.trainable_variables():
            value = random_weight(variable.op.name, variable.shape.as_list(), seed=226)
            variable.load(value, session)

    return tf.estimator.EstimatorSpec(
        mode,
        loss=loss,
        train_op=tf.train.AdamOptimizer(0.05).minimize(loss, global_step=step),
        # An Estimator's own saver writes relative paths since 1.9, a user's absolute ones.
        scaffold=tf.train.Scaffold(init_fn=start, saver=tf.train.Saver()),
    )


def input_fn() -> tf.data.Dataset:
    """Returns the one batch that the Estimator is trained on."""
    batch = len(SIZES.lengths)
    features = {
        "words": random_array("words", [batch, SIZES.time, SIZES.width], seed=226),
        "lengths": np.asarray(SIZES.lengths, np.int32),
    }
    labels = random_array("labels", [batch, SIZES.time, 1], seed=226)
    return tf.data.Dataset.from_tensors((features, labels)).repeat()


def train_estimator(model_dir: Path) -> str:
    """Trains for two steps and moves the folder, so to say; returns the last checkpoint."""
    config = tf.estimator.RunConfig(
        save_checkpoints_steps=1,
        save_summary_steps=None,
        tf_random_seed=226,
        session_config=tf.ConfigProto(intra_op_parallelism_threads=1),
    )
    estimator = tf.estimator.Estimator(model_fn, str(model_dir), config)
    estimator.train(input_fn, steps=2)
    state = model_dir / "checkpoint"
    state.write_text(state.read_text().replace(str(model_dir), STALE))
    # They hold the graph again, and the name of the machine.
    again = ["model.ckpt-0.meta", "model.ckpt-1.meta", "graph.pbtxt"]
    for path in [*model_dir.glob("events.*"), *(model_dir / name for name in again)]:
        path.unlink()
    return str(model_dir / "model.ckpt-2")


def estimator(folder: Path) -> Description:
    """Two LSTMCells as an Estimator leaves them, its state file full of stale paths."""
    latest = train_estimator(folder / "model_dir")
    with fresh_session() as session:
        cell = lstm_stack()
        with tf.variable_scope("tagger"):
            model = Model(unroll(cell, SIZES), SIZES, 226, FACTS, cell=cell)
        tf.train.Saver().restore(session, latest)
        return {
            "source": "model_dir",
            "settings": {},
            "facts": model.facts,
            "variables": dict(sorted(tf.train.list_variables(latest))),
            "tensors": {},
            "golden": write_goldens(session, folder, model),
        }


CASES = {
    "tf1_15_partitioned": model_writer(partitioned),
    "tf1_15_sharded": sharded,
    "tf1_15_ema": ema,
    "tf1_15_estimator": estimator,
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
