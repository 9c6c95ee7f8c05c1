"""Keras 2.2.5 CuDNNGRU."""

from __future__ import annotations

from pathlib import Path

import keras
from _common import Description, run_writer
from _keras2 import CLASSES, Network, Sizes, layer_facts, save_whole, start_afresh
from keras.layers import GRU, CuDNNGRU, Dense, TimeDistributed

SIZES = Sizes(width=5, time=8, batch=4)
UNITS = 6


def tag_each_step(layer: keras.layers.Layer) -> keras.Sequential:
    """Returns a recurrent layer and a dense one at every step."""
    return keras.Sequential([layer, TimeDistributed(Dense(CLASSES, activation="softmax"))])


def gru_cudnn(folder: Path) -> Description:
    """One CuDNNGRU layer, told by the GRU that resets after the matrix product."""
    start_afresh()
    common = {"return_sequences": True, "input_shape": (None, SIZES.width)}
    saved = tag_each_step(CuDNNGRU(UNITS, **common))
    twin = tag_each_step(GRU(UNITS, recurrent_activation="sigmoid", reset_after=True, **common))
    facts = dict(layer_facts("CuDNNGRU", [UNITS], "sigmoid"), reset_after=True)
    return save_whole(folder, Network(saved, twin, SIZES, 19, facts))


CASES = {"keras2_gru_cudnn": gru_cudnn}

if __name__ == "__main__":
    run_writer(__file__, "keras", keras.__version__, CASES)
