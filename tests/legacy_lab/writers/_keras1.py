"""What the writers of Keras 1 models share, whatever the backend."""

import keras
from _keras import Subject, Way, sequences
from keras import backend
from keras.backend import common
from keras.models import Sequential

IS_THEANO = backend.backend() == "theano"
KERAS = Way(keras, common.reset_uids if IS_THEANO else backend.clear_session)


def chain(seed: int, *layers: keras.layers.Layer, shape: tuple = (4, 6, 3)) -> Subject:
    """Returns layers one after another with random inputs; the first has an input shape."""
    model = Sequential(list(layers))
    # Until then it has no names of its inputs.
    model.build()
    return Subject(model, sequences(model.input_names[0], shape, seed), seed)
