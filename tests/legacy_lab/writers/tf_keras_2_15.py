"""tf.keras of TensorFlow 2.15: files, checkpoints of objects and SavedModel folders."""

import functools
from pathlib import Path

import numpy as np
import tensorflow as tf
from _common import Description, random_array, run_writer, write_golden
from _keras import GOLDEN, JSON, describe, fill, prepared, whole
from _masked import masked_directions
from _tf_keras import (
    KERAS,
    PREFIX,
    bidirectional,
    checkpoint_shapes,
    lstm_gru,
    lstm_stack,
    object_checkpoint,
    saved_model,
)


def checkpoint_of_both(folder: Path) -> Description:
    """tf.train.Checkpoint of a trained model and its optimizer, the architecture beside it."""
    subject = prepared(KERAS, lstm_gru, trained=True)
    checkpoint = tf.train.Checkpoint(model=subject.model, optimizer=subject.model.optimizer)
    prefix = Path(checkpoint.save(str(folder / PREFIX)))
    (folder / JSON).write_text(subject.model.to_json() + "\n", encoding="utf-8")
    fill(tf.keras, subject.model, subject.seed + 1)
    checkpoint.restore(str(prefix)).assert_consumed()
    described = describe(folder, subject, prefix.name, checkpoint_shapes(prefix), None)
    return dict(described, architecture=JSON)


class Encoder(tf.keras.Model):
    """A model that only its own code describes."""

    def __init__(self) -> None:
        super().__init__()
        options = {"return_sequences": True, "return_state": True}
        self.lower = tf.keras.layers.LSTM(5, **options)
        self.upper = tf.keras.layers.LSTM(4, **options)
        self.head = tf.keras.layers.Dense(2)

    def call(self, inputs: tf.Tensor) -> dict:
        """Returns the outputs, the states and what the head says."""
        hidden, h_0, c_0 = self.lower(inputs)
        outputs, h_1, c_1 = self.upper(hidden)
        logits = self.head(outputs)
        return {"outputs": outputs, "h_0": h_0, "c_0": c_0, "h_1": h_1, "c_1": c_1, "head": logits}


def subclassed(folder: Path) -> Description:
    """The checkpoint of a subclassed model: names of attributes, and nothing about the layers."""
    KERAS.start_afresh()
    seed, prefix = 165, folder / PREFIX
    inputs = random_array("inputs", (4, 6, 3), seed)
    model = Encoder()
    model(inputs)
    fill(tf.keras, model, seed)
    model.save_weights(str(prefix))
    again = Encoder()
    again.load_weights(str(prefix)).expect_partial()
    answers = {name: values.numpy() for name, values in again(inputs).items() if name != "head"}
    np.testing.assert_array_equal(model(inputs)["outputs"].numpy(), answers["outputs"])
    return {
        "source": PREFIX,
        "settings": {
            "writer": "tensorflow-{}".format(tf.__version__),
            "layers": "lower,upper",
            "activation": "tanh",
            "recurrent_activation": "sigmoid",
        },
        "facts": {"layer[lower].class": "LSTM", "layer[upper].class": "LSTM"},
        "variables": checkpoint_shapes(prefix),
        "tensors": {},
        "golden": {"serving_default": write_golden(folder / GOLDEN, {"inputs": inputs}, answers)},
    }


CASES = {
    "tfkeras2_15_lstm_gru": whole(KERAS, lstm_gru, trained=True),
    "tfkeras2_15_masked_directions": whole(KERAS, functools.partial(masked_directions, tf.keras)),
    "tfkeras2_15_lstm_checkpoint": object_checkpoint(lstm_stack),
    "tfkeras2_15_optimizer_checkpoint": checkpoint_of_both,
    "tfkeras2_15_subclassed_checkpoint": subclassed,
    "tfkeras2_15_lstm_saved_model": saved_model(lstm_stack, trained=True, save_traces=False),
    "tfkeras2_15_bidirectional_saved_model": saved_model(bidirectional, save_traces=False),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
