"""tf.keras of TensorFlow 2.4, whose SavedModel folders keep Keras' metadata in the graph file."""

import functools

import tensorflow as tf
from _common import run_writer
from _keras import JSON, parts, whole
from _masked import masked_directions
from _tf_keras import KERAS, bidirectional, lstm_gru, lstm_stack, saved_model, two_inputs

CASES = {
    "tfkeras2_4_lstm_gru": whole(KERAS, lstm_gru, trained=True),
    "tfkeras2_4_lstm_gru_weights": parts(KERAS, lstm_gru, JSON),
    "tfkeras2_4_bidirectional": whole(KERAS, bidirectional),
    "tfkeras2_4_masked_directions": whole(KERAS, functools.partial(masked_directions, tf.keras)),
    "tfkeras2_4_lstm_saved_model": saved_model(lstm_stack, save_traces=False),
    "tfkeras2_4_two_inputs_saved_model": saved_model(two_inputs, trained=True, save_traces=False),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
