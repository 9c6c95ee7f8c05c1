"""Keras 2.0.9 models, Theano backend."""

import os

# Both before Keras is imported. Theano also runs without a compiler, on numpy alone.
os.environ["KERAS_BACKEND"] = "theano"
os.environ["THEANO_FLAGS"] = "device=cpu,floatX=float32,cxx=,optimizer=None"

import keras
from _common import run_writer
from _keras import Subject, Way, sequences, whole
from keras import backend
from keras.layers import LSTM, Conv1D, Dense, MaxPooling1D
from keras.models import Sequential

KERAS = Way(keras, backend.reset_uids)


def conv_lstm() -> Subject:
    """A convolution, which Theano computes with the kernel turned round, before LSTM layers."""
    model = Sequential()
    model.add(Conv1D(5, 3, padding="same", activation="relu", input_shape=(9, 3)))
    model.add(MaxPooling1D(2))
    model.add(Conv1D(4, 2, padding="valid"))
    model.add(LSTM(4, return_sequences=True))
    model.add(LSTM(3))
    model.add(Dense(2))
    model.build()
    return Subject(model, sequences(model.input_names[0], (4, 9, 3), 141), seed=141)


CASES = {"keras2_0_theano_conv_lstm": whole(KERAS, conv_lstm)}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
