"""Cells of TensorFlow 0.12.1 and 1.0.1, whichever runs this: every class in its own dialect."""

from typing import Any, Callable, Dict, List

import tensorflow as tf
from _common import run_writer
from _tf_old import (
    CELLS,
    Run,
    Sizes,
    Subject,
    both_ways,
    contrib_rnn,
    flat_states,
    sequence_run,
    split_state,
    stacked,
    step_run,
    write,
)

IS_0_12 = tf.__version__.startswith("0.12")
PREFIX = "tf0_12_" if IS_0_12 else "tf1_0_"
SIZES = Sizes(width=4, time=9, lengths=(9, 0, 1, 6, 3))


def of_stack(cells: List[Any], seed: int, facts: Dict[str, Any], **more: Any) -> Subject:
    """Returns cells on top of each other, or a single one."""
    cell = stacked(cells) if len(cells) > 1 else cells[0]
    sequences = sequence_run(cell, SIZES)
    return Subject(sequences, step_run(cell, SIZES), SIZES, seed, facts, **more)


def basic_lstm() -> Subject:
    """Two BasicLSTMCells, forget bias 0.3, in the first format of checkpoints."""
    cells = [CELLS.BasicLSTMCell(n, forget_bias=0.3, state_is_tuple=True) for n in (5, 3)]
    facts = {"cell": "BasicLSTMCell", "forget_bias": 0.3}
    return of_stack(cells, 101, facts, settings={"forget_bias": "0.3"}, version=1)


def peephole_projection() -> Subject:
    """Two LSTMCells with peepholes, projection and both clips."""
    arguments = {"cell_clip": 0.8, "proj_clip": 0.4, "forget_bias": 0.7}
    cells = [
        CELLS.LSTMCell(n, use_peepholes=True, num_proj=p, state_is_tuple=True, **arguments)
        for n, p in ((6, 3), (5, 2))
    ]
    settings = {key: str(value) for key, value in arguments.items()}
    return of_stack(cells, 102, {"cell": "LSTMCell", **arguments}, settings=settings)


def sharded() -> Subject:
    """An LSTMCell whose kernel and projection lie in shards."""
    cell = CELLS.LSTMCell(6, num_proj=4, num_unit_shards=2, num_proj_shards=2, state_is_tuple=True)
    settings = {"cell_clip": "none", "proj_clip": "none"}
    return of_stack([cell], 103, {"cell": "LSTMCell", "shards": 2}, settings=settings)


def gru() -> Subject:
    """Two GRUCells."""
    return of_stack([CELLS.GRUCell(n) for n in (5, 3)], 104, {"cell": "GRUCell"})


def basic_rnn() -> Subject:
    """Two BasicRNNCells."""
    return of_stack([CELLS.BasicRNNCell(n) for n in (5, 3)], 105, {"cell": "BasicRNNCell"})


def bidirectional() -> Subject:
    """LSTMCells in both directions."""
    fw, bw = (CELLS.LSTMCell(n, state_is_tuple=True) for n in (5, 5))
    settings = {"cell_clip": "none"}
    return Subject(both_ways(fw, bw, SIZES), None, SIZES, 106, {"cell": "LSTMCell"}, settings)


def bidirectional_stack() -> Subject:
    """A MultiRNNCell of LSTMCells in each direction."""
    fw, bw = (stacked([CELLS.LSTMCell(n, state_is_tuple=True) for n in (5, 3)]) for _ in range(2))
    return Subject(both_ways(fw, bw, SIZES), None, SIZES, 107, {"cell": "LSTMCell"})


def cell_first(state: Any) -> Dict[str, tf.Tensor]:
    """Returns the states of a block cell, a plain pair."""
    return dict(zip(("c_0", "h_0"), state))


def block_cell(**more: Any) -> Callable[[], Subject]:
    """An LSTMBlockCell, which clips at 3.0 without being asked."""

    def build() -> Subject:
        cell = contrib_rnn.LSTMBlockCell(6, **more.get("arguments", {}))
        facts = {"cell": "LSTMBlockCell", "cell_clip": 3.0}
        rest = {key: value for key, value in more.items() if key != "arguments"}
        sequences, step = (run(cell, SIZES, cell_first) for run in (sequence_run, step_run))
        return Subject(sequences, step, SIZES, 108, facts, scale=1.1, **rest)

    return build


def block_fused() -> Subject:
    """An LSTMBlockFusedCell with lengths, which clips at 3.0 without being asked."""
    inputs = tf.placeholder(tf.float32, [None, None, SIZES.width], name="inputs")
    lengths = tf.placeholder(tf.int32, [None], name="sequence_length")
    cell = contrib_rnn.LSTMBlockFusedCell(6)
    outputs, state = cell(
        tf.transpose(inputs, [1, 0, 2]), dtype=tf.float32, sequence_length=lengths
    )
    run = Run(inputs, tf.transpose(outputs, [1, 0, 2]), cell_first(state), lengths)
    facts = {"cell": "LSTMBlockFusedCell", "cell_clip": 3.0}
    return Subject(run, None, SIZES, 409, facts, scale=1.3)


def gru_block() -> Subject:
    """A GRUBlockCell."""
    return of_stack([contrib_rnn.GRUBlockCell(5)], 110, {"cell": "GRUBlockCell"})


def layer_norm() -> Subject:
    """Two LayerNormBasicLSTMCells."""
    cells = [contrib_rnn.LayerNormBasicLSTMCell(n, forget_bias=0.6) for n in (5, 3)]
    facts = {"cell": "LayerNormBasicLSTMCell", "forget_bias": 0.6}
    return of_stack(cells, 111, facts, settings={"forget_bias": "0.6"})


def coupled() -> Subject:
    """A CoupledInputForgetGateLSTMCell, whose state is one tensor unless asked otherwise."""
    cell = contrib_rnn.CoupledInputForgetGateLSTMCell(6, use_peepholes=True)

    def named(state: Any) -> Dict[str, tf.Tensor]:
        return split_state(state, 6) if isinstance(state, tf.Tensor) else flat_states(state)

    facts = {"cell": "CoupledInputForgetGateLSTMCell", "state_is_tuple": False}
    return Subject(sequence_run(cell, SIZES, named), None, SIZES, 112, facts)


CASES = {
    "basic_lstm": basic_lstm,
    "peephole_projection": peephole_projection,
    "gru": gru,
    "basic_rnn": basic_rnn,
    "bidirectional": bidirectional,
    "layer_norm": layer_norm,
    "coupled": coupled,
    "gru_block": gru_block,
    "block_cell": block_cell(has_meta=True),
    "sharded": sharded,
}
if IS_0_12:
    CASES["block_cell_no_meta"] = block_cell(arguments={"use_peephole": True})
    CASES["block_cell_compatible_names"] = block_cell(
        arguments={"use_peephole": True, "use_compatible_names": True},
        settings={"cell_clip": "3.0"},
    )
else:
    CASES["bidirectional_stack"] = bidirectional_stack
    CASES["block_fused"] = block_fused
    CASES["block_cell_no_meta"] = block_cell(
        settings={"class": "LSTMBlockCell", "scope": "rnn", "writer": "tensorflow-1.0"}
    )

if __name__ == "__main__":
    run_writer(
        __file__,
        "tensorflow",
        tf.__version__,
        {PREFIX + name: write(build) for name, build in CASES.items()},
    )
