"""Keras 2.2.5 LSTM and CuDNNLSTM: stacks and both directions, whole files and bare weights."""

from __future__ import annotations

from pathlib import Path

import keras
from _common import Description, run_writer
from _keras2 import (
    CLASSES,
    LayerFactory,
    Network,
    Sizes,
    layer_facts,
    save_parts,
    save_whole,
    start_afresh,
)
from keras.layers import LSTM, Bidirectional, CuDNNLSTM, Dense


def sigmoid_lstm(units: int, **arguments: object) -> LSTM:
    """Returns the layer that Keras converts CuDNNLSTM's weights for."""
    return LSTM(units, recurrent_activation="sigmoid", **arguments)


def stack(layer: LayerFactory, units: tuple, sizes: Sizes) -> keras.Sequential:
    """Returns two recurrent layers and a dense one."""
    first, second = units
    return keras.Sequential(
        [
            layer(first, return_sequences=True, input_shape=(None, sizes.width)),
            layer(second),
            Dense(CLASSES, activation="softmax"),
        ]
    )


def stack_both_ways(layer: LayerFactory, units: tuple, sizes: Sizes) -> keras.Sequential:
    """Returns two bidirectional layers and a dense one."""
    first, second = units
    return keras.Sequential(
        [
            Bidirectional(
                layer(first, return_sequences=True),
                merge_mode="concat",
                input_shape=(None, sizes.width),
            ),
            Bidirectional(layer(second), merge_mode="concat"),
            Dense(CLASSES, activation="softmax"),
        ]
    )


def cudnn_network() -> Network:
    """Two CuDNNLSTM layers, told by two LSTM layers."""
    start_afresh()
    sizes, units = Sizes(width=5, time=9, batch=6), (7, 4)
    saved, twin = stack(CuDNNLSTM, units, sizes), stack(sigmoid_lstm, units, sizes)
    return Network(saved, twin, sizes, 13, layer_facts("CuDNNLSTM", units, "sigmoid"))


def hard_sigmoid_network() -> Network:
    """Two LSTM layers with the gates that Keras 2.2 gives by default."""
    start_afresh()
    sizes, units = Sizes(width=6, time=7, batch=4), (5, 8)
    saved, twin = stack(LSTM, units, sizes), stack(LSTM, units, sizes)
    return Network(saved, twin, sizes, 15, layer_facts("LSTM", units, "hard_sigmoid"))


def cudnn_lstm(folder: Path) -> Description:
    """Two CuDNNLSTM layers, one file."""
    return save_whole(folder, cudnn_network())


def cudnn_lstm_weights(folder: Path) -> Description:
    """The same in two files."""
    return save_parts(folder, cudnn_network())


def lstm_hard_sigmoid(folder: Path) -> Description:
    """Two LSTM layers, one file."""
    return save_whole(folder, hard_sigmoid_network())


def lstm_hard_sigmoid_weights(folder: Path) -> Description:
    """The same weights alone, with the architecture in both spellings."""
    return save_parts(folder, hard_sigmoid_network(), as_yaml=True)


def bidirectional_lstm(folder: Path) -> Description:
    """Two LSTM layers in both directions."""
    start_afresh()
    sizes, units = Sizes(width=3, time=8, batch=5), (6, 4)
    saved, twin = stack_both_ways(LSTM, units, sizes), stack_both_ways(LSTM, units, sizes)
    facts = layer_facts("LSTM", units, "hard_sigmoid", bidirectional=True)
    return save_whole(folder, Network(saved, twin, sizes, 17, facts))


def bidirectional_cudnn(folder: Path) -> Description:
    """Two CuDNNLSTM layers in both directions."""
    start_afresh()
    sizes, units = Sizes(width=4, time=6, batch=3), (5, 7)
    saved = stack_both_ways(CuDNNLSTM, units, sizes)
    twin = stack_both_ways(sigmoid_lstm, units, sizes)
    facts = layer_facts("CuDNNLSTM", units, "sigmoid", bidirectional=True)
    return save_whole(folder, Network(saved, twin, sizes, 18, facts))


CASES = {
    "keras2_cudnn_lstm": cudnn_lstm,
    "keras2_cudnn_lstm_weights": cudnn_lstm_weights,
    "keras2_lstm_hard_sigmoid": lstm_hard_sigmoid,
    "keras2_lstm_hard_sigmoid_weights": lstm_hard_sigmoid_weights,
    "keras2_bidirectional_lstm": bidirectional_lstm,
    "keras2_bidirectional_cudnn": bidirectional_cudnn,
}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
