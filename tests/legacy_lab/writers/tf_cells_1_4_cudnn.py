"""What CudnnLSTM and CudnnGRU of TensorFlow 1.4.1 save, told by the cells that restore it.

cuDNN itself needs a GPU. The one thing done here in its place is to take the buffer apart and to
join it, as `jax.experimental.rnn` and PyTorch state its layout; names and conversion are the
release's code.
"""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
import tensorflow as tf
from _common import CaseWriter, Description, random_weight, run_writer
from _tf_old import (
    PREFIX,
    Run,
    Sizes,
    Subject,
    flat_states,
    fresh_session,
    sequence_run,
    stacked,
    step_run,
    write_goldens,
)
from tensorflow.contrib import cudnn_rnn as contrib_cudnn
from tensorflow.contrib import rnn as contrib_rnn
from tensorflow.contrib.cudnn_rnn.python.ops import cudnn_rnn_ops

SIZES = Sizes(width=4, time=9, lengths=(9, 0, 1, 6, 3, 9, 2))
UNITS, LAYERS = 5, 2


def piece_shapes(gates: int, directions: int) -> Iterator[Tuple[int, ...]]:
    """Yields the shapes of the pieces of a buffer: all matrices, then all biases."""
    for layer in range(LAYERS):
        width = directions * UNITS if layer else SIZES.width
        for _ in range(directions):
            yield from [(UNITS, width)] * gates + [(UNITS, UNITS)] * gates
    yield from [(UNITS,)] * (LAYERS * directions * 2 * gates)


def on_cpu(saveable: type, shapes: List[Tuple[int, ...]]) -> type:
    """Returns the release's saveable, taking its buffer apart and joining it without a GPU."""

    class Saveable(saveable):
        def _OpaqueParamsToCanonical(self) -> Tuple[List, List]:
            flat = tf.split(self._variables, [int(np.prod(shape)) for shape in shapes])
            pieces = [tf.reshape(piece, shape) for piece, shape in zip(flat, shapes)]
            return pieces[: self._num_params], pieces[self._num_params :]

        def _CanonicalToOpaqueParams(self, cu_weights: List, cu_biases: List) -> tf.Tensor:
            return tf.concat([tf.reshape(p, [-1]) for p in [*cu_weights, *cu_biases]], axis=0)

    return Saveable


def save(saveable: type, scope: str, is_bidirectional: bool, seed: int, folder: Path) -> None:
    """Saves a layer's buffer and, by the release's saveable, the weights of cells."""
    directions = 1 + is_bidirectional
    names = (cudnn_rnn_ops.CUDNN_RNN_UNIDIRECTION, cudnn_rnn_ops.CUDNN_RNN_BIDIRECTION)
    shapes = list(piece_shapes(saveable._num_params_per_layer // 2, directions))
    with fresh_session() as session:
        name = scope + "/opaque_kernel"
        size = sum(int(np.prod(shape)) for shape in shapes)
        buffer = tf.Variable(random_weight(name, [size], seed), name=name)
        tf.Variable(1000, trainable=False, name="global_step")
        kept = on_cpu(saveable, shapes)(
            buffer, LAYERS, UNITS, SIZES.width, direction=names[is_bidirectional], scope=scope
        )
        tf.add_to_collection(tf.GraphKeys.SAVEABLE_OBJECTS, kept)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / PREFIX), write_meta_graph=False)
    (folder / "checkpoint").write_text('model_checkpoint_path: "{}"\n'.format(PREFIX))


def cells_of(cell_class: Any, is_bidirectional: bool, seed: int) -> Subject:
    """Returns the cells that stand for the layer."""
    if not is_bidirectional:
        cell = stacked([cell_class(UNITS) for _ in range(LAYERS)])
        return Subject(sequence_run(cell, SIZES), step_run(cell, SIZES), SIZES, seed, {})
    inputs = tf.placeholder(tf.float32, [None, None, SIZES.width])
    lengths = tf.placeholder(tf.int32, [None])
    forward, backward = ([cell_class(UNITS) for _ in range(LAYERS)] for _ in range(2))
    outputs, fw_states, bw_states = contrib_rnn.stack_bidirectional_dynamic_rnn(
        forward, backward, inputs, sequence_length=lengths, dtype=tf.float32
    )
    states = flat_states(tuple(fw_states), "fw_")
    states.update(flat_states(tuple(bw_states), "bw_"))
    return Subject(Run(inputs, outputs, states, lengths), None, SIZES, seed, {})


def ask_cells(folder: Path, scope: str, *arguments: Any) -> Dict[str, str]:
    """Writes what the cells answer that restore the checkpoint."""
    with fresh_session() as session:
        with tf.variable_scope(scope):
            subject = cells_of(*arguments)
        tf.train.Saver(tf.trainable_variables()).restore(session, str(folder / PREFIX))
        return write_goldens(session, subject, folder)


def cudnn(kind: str, seed: int, is_bidirectional: bool = False) -> CaseWriter:
    """Returns the writer of the checkpoint of a layer, `lstm` or `gru`, of two layers."""
    saveables = {"lstm": cudnn_rnn_ops.CudnnLSTMSaveable, "gru": cudnn_rnn_ops.CudnnGRUSaveable}
    cells = {
        "lstm": contrib_cudnn.CudnnCompatibleLSTMCell,
        "gru": contrib_cudnn.CudnnCompatibleGRUCell,
    }

    def write_it(folder: Path) -> Description:
        scope = "cudnn_" + kind
        save(saveables[kind], scope, is_bidirectional, seed, folder)
        golden = ask_cells(folder, scope, cells[kind], is_bidirectional, seed)
        shapes = tf.contrib.framework.list_variables(str(folder / PREFIX))
        return {
            "source": PREFIX,
            "settings": {},
            "facts": {"cell": "Cudnn" + kind.upper(), "units": UNITS},
            "variables": dict(sorted(shapes)),
            "tensors": {},
            "golden": golden,
        }

    return write_it


CASES = {
    "tf1_4_cudnn_lstm": cudnn("lstm", 441),
    "tf1_4_cudnn_gru_bidirectional": cudnn("gru", 442, is_bidirectional=True),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
