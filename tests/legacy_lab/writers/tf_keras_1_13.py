"""tf.keras of TensorFlow 1.13, the only one to write zero_output_for_mask into Bidirectional."""

import functools

import tensorflow as tf
from _common import run_writer
from _keras import whole
from _masked import masked_directions
from _tf_keras import KERAS

CASES = {
    "tfkeras1_13_masked_directions": whole(KERAS, functools.partial(masked_directions, tf.keras)),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
