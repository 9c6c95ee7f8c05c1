"""Keras 2.2.5 at masked steps."""

import functools

import keras
from _common import run_writer
from _keras import Way, whole
from _masked import masked_directions

KERAS = Way(keras, keras.backend.clear_session)

CASES = {
    "keras2_masked_directions": whole(KERAS, functools.partial(masked_directions, keras)),
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
