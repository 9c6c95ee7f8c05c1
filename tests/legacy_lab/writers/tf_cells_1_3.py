"""Cells of TensorFlow 1.3.0: block cells that clip unasked, and what CudnnLSTM and CudnnGRU save.

cuDNN itself needs a GPU. The release's saveable asks for two functions that take its buffer apart
and join it; the ones here keep the pieces in a row. All after that is the release's code.
"""

from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import tensorflow as tf
from _common import CaseWriter, Description, random_weight, run_writer
from _tf_old import (
    CELLS,
    PREFIX,
    Run,
    Sizes,
    Subject,
    flat_states,
    fresh_session,
    sequence_run,
    stacked,
    step_run,
    write,
    write_goldens,
)
from tensorflow.contrib import rnn as contrib_rnn
from tensorflow.contrib.cudnn_rnn.python.ops import cudnn_rnn_ops

SIZES = Sizes(width=4, time=9, lengths=(9, 0, 1, 6, 3, 9, 2))
UNITS = (6, 5)
CUDNN_UNITS, LAYERS = 5, 2


def block_cell(seed: int, settings: Dict[str, str], **arguments: Any) -> Callable[[], Subject]:
    """Returns the builder of two LSTMBlockCells."""

    def build() -> Subject:
        cell = stacked([contrib_rnn.LSTMBlockCell(units, **arguments) for units in UNITS])
        facts = {"cell": "LSTMBlockCell", "cell_clip": 3.0 if not arguments else None}
        runs = sequence_run(cell, SIZES), step_run(cell, SIZES)
        return Subject(*runs, SIZES, seed, facts, settings, scale=0.9)

    return build


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
    settings = {
        "layers": "layer_0/lstm_block_wrapper,layer_1/lstm_block_wrapper",
        "writer": "tensorflow-1.3",
    }
    facts = {"cell": "LSTMBlockFusedCell", "cell_clip": 3.0}
    return Subject(run, None, SIZES, 304, facts, settings, scale=0.9)


def piece_sizes(params_per_layer: int) -> List[int]:
    """Returns the lengths of the pieces of a buffer: all matrices, then all biases."""
    gates, sizes = params_per_layer // 2, []
    for layer in range(LAYERS):
        width = CUDNN_UNITS if layer else SIZES.width
        sizes += [CUDNN_UNITS * width] * gates + [CUDNN_UNITS * CUDNN_UNITS] * gates
    return sizes + [CUDNN_UNITS] * (LAYERS * params_per_layer)


def make_saveable(cudnn: Any, buffer: tf.Variable, scope: str) -> Any:
    """Returns the release's saveable of a buffer."""
    sizes = piece_sizes(cudnn._NUM_PARAMS_PER_LAYER)

    def to_canonical(params: tf.Tensor) -> Tuple[List, List]:
        pieces = tf.split(params, sizes)
        return pieces[: len(sizes) // 2], pieces[len(sizes) // 2 :]

    def to_params(weights: List, biases: List) -> tf.Tensor:
        return tf.concat(list(weights) + list(biases), axis=0)

    return cudnn_rnn_ops.RNNParamsSaveable(cudnn, to_canonical, to_params, [buffer], scope)


def cudnn_canonical(layer_class: Any, cell_class: Any, seed: int, scope: str) -> CaseWriter:
    """Returns the writer of what a cuDNN layer of two layers saves without its buffer.

    Args:
        layer_class: CudnnLSTM or CudnnGRU.
        cell_class: The cell that can take its weights.
        seed: Seed of weights and inputs.
        scope: What the user has the names begin with.
    """

    def write_it(folder: Path) -> Description:
        with fresh_session() as session:
            layer = layer_class(LAYERS, CUDNN_UNITS, SIZES.width)
            size = sum(piece_sizes(layer._NUM_PARAMS_PER_LAYER))
            value = random_weight("buffer", [size], seed)
            buffer = tf.Variable(value, name="buffer")
            step = tf.Variable(1000, trainable=False, name="global_step")
            session.run([buffer.initializer, step.initializer])
            saveable = make_saveable(layer, buffer, scope)
            saver = tf.train.Saver([step, saveable])
            saver.save(session, str(folder / PREFIX), write_meta_graph=False)
            (folder / "checkpoint").write_text('model_checkpoint_path: "{}"\n'.format(PREFIX))
            weights = {spec.name: session.run(spec.tensor) for spec in saveable.specs}
            facts = {"cell": layer_class.__name__, "units": CUDNN_UNITS}
            shapes = {name: list(values.shape) for name, values in weights.items()}
            return {
                "source": PREFIX,
                "settings": {},
                "facts": facts,
                "golden": ask_cells(cell_class, weights, scope, seed, folder),
                "variables": dict(shapes, global_step=[]),
                "tensors": {},
            }

    return write_it


def ask_cells(
    cell_class: Any, weights: Dict[str, np.ndarray], scope: str, seed: int, folder: Path
) -> Dict[str, str]:
    """Writes what the cells answer that restore such a checkpoint."""
    with fresh_session() as session:
        cell = stacked([cell_class(CUDNN_UNITS) for _ in range(LAYERS)])
        subject = Subject(sequence_run(cell, SIZES), step_run(cell, SIZES), SIZES, seed, {})
        for variable in tf.trainable_variables():
            # dynamic_rnn's own scope, of which the saveable knows nothing.
            name = variable.op.name.replace("rnn/", scope + "/" if scope else "", 1)
            session.run(variable.initializer, {variable.initializer.inputs[1]: weights[name]})
        return write_goldens(session, subject, folder)


BLOCK_CELL = {"class": "LSTMBlockCell", "scope": "rnn"}
CASES = {
    "tf1_3_block_cell": write(block_cell(301, dict(BLOCK_CELL, writer="tensorflow-1.3"))),
    "tf1_3_block_cell_unclipped": write(
        block_cell(302, dict(BLOCK_CELL, cell_clip="none"), clip_cell=False)
    ),
    "tf1_3_block_fused": write(block_fused),
    "tf1_3_cudnn_canonical_lstm": cudnn_canonical(
        cudnn_rnn_ops.CudnnLSTM, cudnn_rnn_ops.CudnnCompatibleLSTMCell, 305, scope=""
    ),
    "tf1_3_cudnn_canonical_gru": cudnn_canonical(
        cudnn_rnn_ops.CudnnGRU, cudnn_rnn_ops.CudnnCompatibleGRUCell, 306, scope="tagger/rnn"
    ),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
