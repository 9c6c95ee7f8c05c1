"""tf.keras of TensorFlow 1.4, the first that was no contribution."""

import functools

import tensorflow as tf
from _common import run_writer
from _keras import JSON, parts, whole
from _masked import masked_directions
from _tf_keras import KERAS, bidirectional, lstm_gru, lstm_stack

CASES = {
    "tfkeras1_4_lstm": whole(KERAS, lstm_stack, trained=True),
    "tfkeras1_4_lstm_gru_weights": parts(KERAS, lstm_gru, JSON),
    "tfkeras1_4_bidirectional": whole(KERAS, bidirectional),
    "tfkeras1_4_masked_directions": whole(KERAS, functools.partial(masked_directions, tf.keras)),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
