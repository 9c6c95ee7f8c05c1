"""Cells of TensorFlow 1.15.5: every class, and every way to put them together."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence

import tensorflow as tf
from _common import run_writer
from _tf1 import (
    Model,
    Recurrence,
    Sizes,
    Tensors,
    length_placeholder,
    model_writer,
    name_states,
    sequence_placeholder,
    unroll,
    unroll_both_ways,
)
from tensorflow.contrib import cudnn_rnn as contrib_cudnn
from tensorflow.contrib import rnn as contrib_rnn

LSTMCell = tf.nn.rnn_cell.LSTMCell
MultiRNNCell = tf.nn.rnn_cell.MultiRNNCell
RNNCell = tf.nn.rnn_cell.RNNCell

SIZES = Sizes(width=4, time=9, lengths=(9, 0, 1, 6, 3, 9, 2))
UNITS = (6, 5)

Build = Callable[[], Model]
Facts = Dict[str, Any]


def stacked(cells: Sequence[RNNCell]) -> RNNCell:
    """Returns cells on top of each other, or a single one."""
    return MultiRNNCell(list(cells)) if len(cells) > 1 else cells[0]


def of_stack(cells: Sequence[RNNCell], seed: int, facts: Facts, **more: Any) -> Model:
    """Returns cells on top of each other, run by dynamic_rnn."""
    cell = stacked(cells)
    facts = dict(facts, cell=type(cells[0]).__name__)
    return Model(unroll(cell, SIZES), SIZES, seed, facts, cell=cell, **more)


def peephole_projection(has_meta: bool) -> Build:
    """Two LSTMCells with peepholes, projection and both clips, which differ."""
    clips = [{"cell_clip": 0.8, "proj_clip": 0.4}, {"cell_clip": 0.5, "proj_clip": 0.3}]
    settings = {"forget_bias": "0.7", "cell_clip": "0.8", "proj_clip": "0.4"}
    settings.update({"layer[1].cell_clip": "0.5", "layer[1].proj_clip": "0.3"})

    def build() -> Model:
        cells = [
            LSTMCell(units, use_peepholes=True, num_proj=width, forget_bias=0.7, **clip)
            for units, width, clip in zip(UNITS, (3, 2), clips)
        ]
        facts = {"forget_bias": 0.7, "clips": clips}
        stated = {} if has_meta else settings
        return of_stack(cells, 201, facts, settings=stated, has_meta=has_meta)

    return build


def bidirectional_peephole() -> Model:
    """An LSTMCell with peepholes in each direction."""
    arguments = {"use_peepholes": True, "forget_bias": 0.7, "cell_clip": 0.6}
    recurrence = unroll_both_ways(*(LSTMCell(5, **arguments) for _ in range(2)), SIZES)
    return Model(recurrence, SIZES, 202, dict(arguments, cell="LSTMCell"), has_meta=True)


def block_cell() -> Model:
    """Two LSTMBlockCells with peepholes and a clip."""
    arguments = {"use_peephole": True, "cell_clip": 0.4}
    cells = [contrib_rnn.LSTMBlockCell(units, **arguments) for units in UNITS]
    return of_stack(cells, 203, arguments, has_meta=True)


def block_fused(has_meta: bool) -> Build:
    """Two LSTMBlockFusedCells with peepholes, one over the other, time first inside."""

    def build() -> Model:
        inputs, lengths = sequence_placeholder(SIZES.width), length_placeholder()
        outputs, states = tf.transpose(inputs, [1, 0, 2]), []
        for units in UNITS:
            cell = contrib_rnn.LSTMBlockFusedCell(units, forget_bias=0.6, use_peephole=True)
            outputs, state = cell(outputs, dtype=tf.float32, sequence_length=lengths)
            states.append(state)
        outputs = tf.transpose(outputs, [1, 0, 2])
        recurrence = Recurrence(inputs, lengths, outputs, name_states(states))
        settings = {"layers": "lstm_fused_cell,lstm_fused_cell_1"}
        if not has_meta:
            settings.update({"forget_bias": "0.6", "cell_clip": "none"})
        facts = {"cell": "LSTMBlockFusedCell", "forget_bias": 0.6}
        return Model(recurrence, SIZES, 204, facts, settings, has_meta=has_meta)

    return build


def layer_norm() -> Model:
    """Two LayerNormBasicLSTMCells."""
    cells = [contrib_rnn.LayerNormBasicLSTMCell(units, forget_bias=0.6) for units in UNITS]
    return of_stack(cells, 205, {"forget_bias": 0.6}, settings={"forget_bias": "0.6"})


def layer_norm_off() -> Model:
    """Two LayerNormBasicLSTMCells that normalise nothing and have a bias instead."""
    arguments = {"forget_bias": 0.6, "layer_norm": False}
    cells = [contrib_rnn.LayerNormBasicLSTMCell(units, **arguments) for units in UNITS]
    return of_stack(cells, 206, arguments, has_meta=True)


def coupled() -> Model:
    """Two CoupledInputForgetGateLSTMCells with peepholes and a clipped projection."""
    arguments = {"use_peepholes": True, "forget_bias": 0.6, "proj_clip": 0.5}
    cells = [
        contrib_rnn.CoupledInputForgetGateLSTMCell(units, num_proj=width, **arguments)
        for units, width in zip(UNITS, (3, 2))
    ]
    return of_stack(cells, 207, arguments, has_meta=True)


def ugrnn() -> Model:
    """Two UGRNNCells."""
    cells = [contrib_rnn.UGRNNCell(units, forget_bias=0.6) for units in UNITS]
    return of_stack(cells, 208, {"forget_bias": 0.6}, has_meta=True, scale=0.3)


def basic_rnn() -> Model:
    """Two BasicRNNCells."""
    cells = [tf.nn.rnn_cell.BasicRNNCell(units) for units in UNITS]
    return of_stack(cells, 209, {"activation": "tanh"}, scale=0.3)


def basic_rnn_relu() -> Model:
    """Two BasicRNNCells with relu."""
    cells = [tf.nn.rnn_cell.BasicRNNCell(units, activation=tf.nn.relu) for units in UNITS]
    return of_stack(cells, 210, {"activation": "relu"}, has_meta=True, scale=0.2)


def gru() -> Model:
    """Two GRUCells."""
    return of_stack([tf.nn.rnn_cell.GRUCell(units) for units in UNITS], 211, {}, has_meta=True)


def gru_block() -> Model:
    """Two GRUBlockCells, in scopes called as a GRUCell's."""
    return of_stack([contrib_rnn.GRUBlockCell(units) for units in UNITS], 232, {})


def gru_block_v2() -> Model:
    """Two GRUBlockCells whose variables are called as a GRUCell's."""
    return of_stack([contrib_rnn.GRUBlockCellV2(units) for units in UNITS], 212, {})


def in_scope(scope: str, build: Build) -> Build:
    """Returns the builder of the same graph inside a scope."""

    def build_inside() -> Model:
        with tf.variable_scope(scope):
            return build()

    return build_inside


def cudnn_compatible_lstm() -> Model:
    """Two cells with weights of a CudnnLSTM, in its scopes."""
    cells = [contrib_cudnn.CudnnCompatibleLSTMCell(5) for _ in range(2)]
    return of_stack(cells, 213, {"forget_bias": 0.0})


def cudnn_compatible_gru() -> Model:
    """Two cells with weights of a CudnnGRU, in its scopes."""
    return of_stack([contrib_cudnn.CudnnCompatibleGRUCell(5) for _ in range(2)], 214, {})


def unroll_layers_both_ways(
    forward: Sequence[RNNCell], backward: Sequence[RNNCell], sizes: Sizes = SIZES
) -> Recurrence:
    """Runs cells with stack_bidirectional_dynamic_rnn: each layer eats both directions."""
    inputs, lengths = sequence_placeholder(sizes.width), length_placeholder()
    outputs, forward_states, backward_states = contrib_rnn.stack_bidirectional_dynamic_rnn(
        list(forward), list(backward), inputs, sequence_length=lengths, dtype=tf.float32
    )
    states = dict(name_states(forward_states, "fw_"), **name_states(backward_states, "bw_"))
    return Recurrence(inputs, lengths, outputs, states)


def stack_bidirectional(
    cell_class: Callable[[int], RNNCell],
    units: Sequence[int],
    seed: int,
    settings: Optional[Dict[str, str]] = None,
) -> Build:
    """Two layers, of which the second eats both directions of the first."""

    def build() -> Model:
        directions = [[cell_class(width) for width in units] for _ in range(2)]
        recurrence = unroll_layers_both_ways(*directions)
        facts = {"cell": type(directions[0][0]).__name__, "units": list(units)}
        return Model(recurrence, SIZES, seed, facts, settings or {})

    return build


def bidirectional_stack() -> Model:
    """A MultiRNNCell in each direction, which meet only at the top."""
    forward, backward = (stacked([LSTMCell(units) for units in UNITS]) for _ in range(2))
    recurrence = unroll_both_ways(forward, backward, SIZES)
    return Model(recurrence, SIZES, 217, {"cell": "LSTMCell"}, has_meta=True)


def eleven_layers() -> Model:
    """Eleven LSTMCells, of which all but the first could change places."""
    return of_stack([LSTMCell(3) for _ in range(11)], 218, {"layers": 11}, scale=0.6)


def concatenated_state() -> Model:
    """Two LSTMCells whose states are one tensor: c, h, c, h."""
    cell = MultiRNNCell(
        [LSTMCell(units, state_is_tuple=False) for units in UNITS], state_is_tuple=False
    )
    parts = ["c_0", "h_0", "c_1", "h_1"]

    def split(state: tf.Tensor) -> Tensors:
        return dict(zip(parts, tf.split(state, [UNITS[0]] * 2 + [UNITS[1]] * 2, axis=1)))

    recurrence = unroll(cell, SIZES, name=split)
    facts = {"cell": "LSTMCell", "state_is_tuple": False}
    return Model(recurrence, SIZES, 219, facts, cell=cell, has_meta=True, split_state=split)


def time_major() -> Model:
    """Two LSTMCells that are fed and answer time first, with lengths."""
    cell = stacked([LSTMCell(units) for units in UNITS])
    recurrence = unroll(cell, SIZES, time_major=True)
    facts = {"cell": "LSTMCell", "time_major": True}
    return Model(recurrence, SIZES, 220, facts, cell=cell, has_meta=True)


def custom_scope() -> Model:
    """Two LSTMCells with peepholes whose names say nothing of their class."""
    cells = [
        LSTMCell(units, use_peepholes=True, name=name)
        for units, name in zip(UNITS, ("words", "sentences"))
    ]
    return of_stack(cells, 221, {"use_peepholes": True}, has_meta=True, scale=0.3)


def suffix() -> Model:
    """Two LSTMCells called by hand in one scope, step after step."""
    cells = [LSTMCell(units) for units in UNITS]
    inputs = tf.placeholder(tf.float32, [None, SIZES.time, SIZES.width], name="inputs")
    states = [cell.zero_state(tf.shape(inputs)[0], tf.float32) for cell in cells]
    steps = []
    for outputs in tf.unstack(inputs, axis=1):
        for layer, cell in enumerate(cells):
            outputs, states[layer] = cell(outputs, states[layer])
        steps.append(outputs)
    recurrence = Recurrence(inputs, None, tf.stack(steps, axis=1), name_states(states))
    settings = {"layers": "tagger/lstm_cell,tagger/lstm_cell_1", "cell_clip": "none"}
    return Model(recurrence, SIZES, 222, {"cell": "LSTMCell"}, settings, cell=stacked(cells))


def mixed() -> Model:
    """Cells that are not converted, beside a stack of two LSTMCells."""
    inputs = sequence_placeholder(SIZES.width, "others")
    others = {
        "nas": contrib_rnn.NASCell(3),
        "sru": contrib_rnn.SRUCell(SIZES.width),
        "attention": contrib_rnn.AttentionCellWrapper(LSTMCell(3), attn_length=2),
    }
    for scope, cell in others.items():
        tf.nn.dynamic_rnn(cell, inputs, dtype=tf.float32, scope=scope)
    cells = [LSTMCell(units) for units in UNITS]
    with tf.variable_scope("tagger"):
        return of_stack(cells, 223, {}, settings={"scope": "tagger", "cell_clip": "none"})


CASES = {
    "tf1_15_peephole_projection": peephole_projection(has_meta=True),
    "tf1_15_peephole_projection_no_meta": peephole_projection(has_meta=False),
    "tf1_15_bidirectional_peephole": bidirectional_peephole,
    "tf1_15_block_cell": block_cell,
    "tf1_15_block_fused": block_fused(has_meta=True),
    "tf1_15_block_fused_no_meta": block_fused(has_meta=False),
    "tf1_15_layer_norm": layer_norm,
    "tf1_15_layer_norm_off": layer_norm_off,
    "tf1_15_coupled": coupled,
    "tf1_15_ugrnn": ugrnn,
    "tf1_15_basic_rnn": basic_rnn,
    "tf1_15_basic_rnn_relu": basic_rnn_relu,
    "tf1_15_gru": gru,
    "tf1_15_gru_block": gru_block,
    "tf1_15_gru_block_v2": gru_block_v2,
    "tf1_15_cudnn_compatible_lstm": in_scope("cudnn_lstm", cudnn_compatible_lstm),
    "tf1_15_cudnn_compatible_gru": in_scope("cudnn_gru", cudnn_compatible_gru),
    "tf1_15_cudnn_compatible_gru_bidirectional": in_scope(
        "cudnn_gru", stack_bidirectional(contrib_cudnn.CudnnCompatibleGRUCell, (5, 5), seed=215)
    ),
    "tf1_15_stack_bidirectional": stack_bidirectional(
        LSTMCell, UNITS, seed=216, settings={"cell_clip": "none"}
    ),
    "tf1_15_bidirectional_stack": bidirectional_stack,
    "tf1_15_eleven_layers": eleven_layers,
    "tf1_15_concatenated_state": concatenated_state,
    "tf1_15_time_major": time_major,
    "tf1_15_custom_scope": in_scope("reader", custom_scope),
    "tf1_15_suffix": in_scope("tagger", suffix),
    "tf1_15_mixed": mixed,
}

if __name__ == "__main__":
    run_writer(
        __file__,
        "tensorflow",
        tf.__version__,
        {name: model_writer(build) for name, build in CASES.items()},
    )
