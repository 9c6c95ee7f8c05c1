"""tf.keras of TensorFlow 1.15: hard sigmoid gates, a time axis that may come first, cuDNN."""

import functools
from pathlib import Path
from typing import Callable

import tensorflow as tf
from _common import Description, run_writer
from _keras import (
    MODEL,
    Subject,
    dataset_shapes,
    describe,
    layer_facts,
    prepared,
    sequences,
    whole,
)
from _masked import masked_directions
from _tf_keras import KERAS, bidirectional, chain, lstm_stack, object_checkpoint

# Without this each run prints a page of deprecations.
tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)

layers = tf.keras.layers


def gru() -> Subject:
    """GRU of both kinds and SimpleRNN."""
    return chain(
        171,
        layers.GRU(5, return_sequences=True, input_shape=(None, 3)),
        layers.GRU(4, reset_after=True, return_sequences=True),
        layers.SimpleRNN(6),
        layers.Dense(2),
    )


def time_major() -> Subject:
    """LSTM layers with time first, between two Lambdas that turn the axes round."""
    inputs = layers.Input((6, 3), name="inputs")
    turned = layers.Lambda(swap_axes, name="time_first")(inputs)
    hidden = layers.LSTM(5, time_major=True, return_sequences=True, name="lower")(turned)
    hidden = layers.LSTM(4, time_major=True, return_sequences=True, name="upper")(hidden)
    steps = layers.Lambda(swap_axes, name="batch_first")(hidden)
    outputs = layers.Dense(2, name="dense")(steps)
    settings = {
        "layer[{}].replacement".format(name): "SwapBatchTime()"
        for name in ("time_first", "batch_first")
    }
    values = sequences("inputs", (4, 6, 3), 172)
    model = tf.keras.Model(inputs, outputs)
    return Subject(model, values, seed=172, settings=settings)


def swap_axes(x: tf.Tensor) -> tf.Tensor:
    """Swaps batch and time."""
    return tf.keras.backend.permute_dimensions(x, (1, 0, 2))


def time_first() -> Subject:
    """LSTM and GRU fed time first: the golden is laid out as the model wants it."""
    inputs = layers.Input((4, 3), name="inputs")
    options = {"time_major": True, "return_sequences": True}
    hidden = layers.LSTM(5, name="lower", **options)(inputs)
    outputs = layers.GRU(4, name="upper", **options)(hidden)
    return Subject(tf.keras.Model(inputs, outputs), sequences("inputs", (6, 4, 3), 173), seed=173)


def open_session() -> None:
    """Drops all models, and opens a session that may hold layers this machine cannot run."""
    KERAS.start_afresh()
    # Without pruning, placing the cuDNN operations fails although nothing ever runs them.
    config = tf.compat.v1.ConfigProto(
        allow_soft_placement=True, graph_options=tf.compat.v1.GraphOptions(place_pruned_graph=True)
    )
    tf.compat.v1.keras.backend.set_session(tf.compat.v1.Session(config=config))


def stack_of(lstm: Callable[..., tf.keras.layers.Layer]) -> Subject:
    """Returns two layers of a class, one of them both ways, and a head."""
    inputs = layers.Input((None, 3), name="inputs")
    hidden = layers.Bidirectional(lstm(4, return_sequences=True), name="both")(inputs)
    outputs = layers.Dense(2, name="dense")(lstm(5, name="upper")(hidden))
    return Subject(tf.keras.Model(inputs, outputs), sequences("inputs", (4, 6, 3), 174), seed=174)


def cudnn_lstm(folder: Path) -> Description:
    """CuDNNLSTM layers, told by LSTM layers after tf.keras' own conversion of the file."""
    way = KERAS._replace(start_afresh=open_session)
    saved = prepared(way, functools.partial(stack_of, layers.CuDNNLSTM), trained=False).model
    path = folder / MODEL
    saved.save(str(path))
    twin = stack_of(functools.partial(layers.LSTM, recurrent_activation="sigmoid"))
    twin.model.load_weights(str(path))
    described = describe(folder, twin, MODEL, dataset_shapes(path), None)
    return dict(described, facts=layer_facts(saved))


CASES = {
    "tfkeras1_15_lstm": whole(KERAS, lstm_stack, trained=True),
    "tfkeras1_15_gru": whole(KERAS, gru),
    "tfkeras1_15_bidirectional": whole(KERAS, bidirectional),
    "tfkeras1_15_masked_directions": whole(KERAS, functools.partial(masked_directions, tf.keras)),
    "tfkeras1_15_time_major": whole(KERAS, time_major),
    "tfkeras1_15_time_first": whole(KERAS, time_first),
    "tfkeras1_15_lstm_checkpoint": object_checkpoint(lstm_stack),
    "tfkeras1_15_cudnn_lstm": cudnn_lstm,
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
