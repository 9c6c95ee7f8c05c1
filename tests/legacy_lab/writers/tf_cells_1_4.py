"""Block cells of TensorFlow 1.4.1, the first that clip only if asked to."""

from typing import Any, List

import tensorflow as tf
from _common import run_writer
from _tf_old import (
    CELLS,
    Run,
    Sizes,
    Subject,
    flat_states,
    sequence_run,
    stacked,
    step_run,
    write,
)
from tensorflow.contrib import rnn as contrib_rnn

SIZES = Sizes(width=4, time=9, lengths=(9, 0, 1, 6, 3, 9, 2))
UNITS = (6, 5)
WRITER = {"writer": "tensorflow-1.4"}


def of_stack(cells: List[Any], seed: int, settings: Any, scale: float) -> Subject:
    """Returns cells on top of each other."""
    cell = stacked(cells)
    facts = {"cell": type(cells[0]).__name__}
    runs = sequence_run(cell, SIZES), step_run(cell, SIZES)
    return Subject(*runs, SIZES, seed, facts, settings, scale)


def block_cell() -> Subject:
    """Two LSTMBlockCells, whose states go far beyond 3.0."""
    cells = [contrib_rnn.LSTMBlockCell(units) for units in UNITS]
    settings = dict(WRITER, scope="rnn", **{"class": "LSTMBlockCell"})
    return of_stack(cells, 431, settings, scale=0.9)


def block_fused() -> Subject:
    """Two LSTMBlockFusedCells with peepholes, each in its own scope, time first inside."""
    inputs = tf.placeholder(tf.float32, [None, None, SIZES.width], name="inputs")
    lengths = tf.placeholder(tf.int32, [None], name="sequence_length")
    outputs, states = tf.transpose(inputs, [1, 0, 2]), []
    for layer, units in enumerate(UNITS):
        with tf.variable_scope("layer_{}".format(layer)):
            cell = contrib_rnn.LSTMBlockFusedCell(units, use_peephole=True)
            outputs, state = cell(outputs, dtype=tf.float32, sequence_length=lengths)
        states.append(CELLS.LSTMStateTuple(*state))
    run = Run(inputs, tf.transpose(outputs, [1, 0, 2]), flat_states(tuple(states)), lengths)
    settings = dict(WRITER, layers="layer_0/lstm_block_wrapper,layer_1/lstm_block_wrapper")
    return Subject(run, None, SIZES, 432, {"cell": "LSTMBlockFusedCell"}, settings, scale=0.9)


def gru_block() -> Subject:
    """Two GRUBlockCells."""
    return of_stack([contrib_rnn.GRUBlockCell(units) for units in UNITS], 403, {}, scale=0.5)


CASES = {
    "tf1_4_block_cell": block_cell,
    "tf1_4_block_fused": block_fused,
    "tf1_4_gru_block": gru_block,
}

if __name__ == "__main__":
    run_writer(
        __file__,
        "tensorflow",
        tf.__version__,
        {name: write(build) for name, build in CASES.items()},
    )
