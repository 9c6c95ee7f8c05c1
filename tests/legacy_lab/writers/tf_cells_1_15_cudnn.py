"""What a CudnnLSTM or CudnnGRU of TensorFlow 1.15.5 saves: its buffer, and the release's own
conversion of it to cells.

cuDNN itself needs a GPU. The one thing done here in its place is to take the buffer apart and to
join it, as `jax.experimental.rnn` and PyTorch state its layout; the rest is the release's code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf
from _common import CaseWriter, Description, random_weight, run_writer
from _tf1 import (
    PREFIX,
    TRAINED_STEPS,
    Model,
    Recurrence,
    Sizes,
    describe_checkpoint,
    fresh_session,
    length_placeholder,
    name_states,
    sequence_placeholder,
    unroll,
    write_goldens,
)
from tensorflow.contrib import cudnn_rnn as contrib_cudnn
from tensorflow.contrib import rnn as contrib_rnn
from tensorflow.contrib.cudnn_rnn.python.ops import cudnn_rnn_ops

SIZES = Sizes(width=4, time=9, lengths=(9, 0, 1, 6, 3, 9, 2))
UNITS = 5
LAYERS = 2


class Kind(NamedTuple):
    """One kind of cuDNN layer.

    Attributes:
        name: As in `cudnn_lstm`, the layer's scope.
        gates: How many.
        saveable: What the release saves such a layer with.
        cell: The cell that can take its weights.
    """

    name: str
    gates: int
    saveable: type
    cell: Callable[[int], tf.nn.rnn_cell.RNNCell]


def piece_shapes(gates: int, directions: int) -> Iterator[Tuple[int, ...]]:
    """Yields the shapes of the pieces of a buffer: all matrices, then all biases."""
    for layer in range(LAYERS):
        width = directions * UNITS if layer else SIZES.width
        for _ in range(directions):
            yield from [(UNITS, width)] * gates + [(UNITS, UNITS)] * gates
    yield from [(UNITS,)] * (LAYERS * directions * 2 * gates)


def on_cpu(kind: Kind) -> type:
    """Returns the release's saveable, taking its buffer apart without a GPU."""

    class Converter(kind.saveable._format_converter_cls):
        def _opaque_to_cu_canonical(self, opaque_param: tf.Tensor) -> Tuple[List, List]:
            shapes = list(piece_shapes(kind.gates, self._num_dirs))
            flat = tf.split(opaque_param, [int(np.prod(shape)) for shape in shapes])
            pieces = [tf.reshape(piece, shape) for piece, shape in zip(flat, shapes)]
            return pieces[: self._num_params], pieces[self._num_params :]

        def _cu_canonical_to_opaque(self, cu_weights: List, cu_biases: List) -> tf.Tensor:
            return tf.concat([tf.reshape(p, [-1]) for p in [*cu_weights, *cu_biases]], axis=0)

    class Saveable(kind.saveable):
        _format_converter_cls = Converter

    return Saveable


def make_saveable(kind: Kind, buffer: tf.Variable, direction: str) -> Any:
    """Returns what saves a buffer as the weights of cells, under their names."""
    return on_cpu(kind)(
        buffer, LAYERS, UNITS, SIZES.width, direction=direction, scope="cudnn_" + kind.name
    )


def unroll_cells(kind: Kind, is_bidirectional: bool, seed: int) -> Model:
    """Returns the cells that stand for the cuDNN layer."""
    facts = {"cell": "Cudnn" + kind.name.upper(), "units": UNITS}
    if not is_bidirectional:
        cell = tf.nn.rnn_cell.MultiRNNCell([kind.cell(UNITS) for _ in range(LAYERS)])
        return Model(unroll(cell, SIZES), SIZES, seed, facts, cell=cell)
    inputs, lengths = sequence_placeholder(SIZES.width), length_placeholder()
    directions = [[kind.cell(UNITS) for _ in range(LAYERS)] for _ in range(2)]
    outputs, forward, backward = contrib_rnn.stack_bidirectional_dynamic_rnn(
        *directions, inputs, sequence_length=lengths, dtype=tf.float32
    )
    states = dict(name_states(forward, "fw_"), **name_states(backward, "bw_"))
    return Model(Recurrence(inputs, lengths, outputs, states), SIZES, seed, facts)


def settings_of(kind: Kind, is_bidirectional: bool) -> Dict[str, str]:
    """Returns what nothing in a buffer tells."""
    return {
        "cudnn": kind.name,
        "num_layers": str(LAYERS),
        "num_units": str(UNITS),
        "input_size": str(SIZES.width),
        "bidirectional": str(is_bidirectional).lower(),
    }


def load_cells(session: tf.Session, saveable: Any, model_variables: Sequence[tf.Variable]) -> None:
    """Gives the cells the weights that the saveable would save.

    Raises:
        ValueError: The names are not those of the cells.
    """
    weights = {spec.name: session.run(spec.tensor) for spec in saveable.specs}
    names = {variable.op.name for variable in model_variables}
    if set(weights) != names:
        raise ValueError("Not the cells' names: {} and {}".format(sorted(weights), sorted(names)))
    for variable in model_variables:
        variable.load(weights[variable.op.name], session)


def cudnn(kind: Kind, seed: int, is_bidirectional: bool = False, both: bool = False) -> CaseWriter:
    """Returns the writer of a checkpoint of a cuDNN layer of two layers.

    Args:
        kind: LSTM or GRU.
        seed: Seed of weights and inputs.
        is_bidirectional: Whether it runs both ways.
        both: Whether the checkpoint has the cells' weights too, as contrib's layers save them.
    """
    names = (cudnn_rnn_ops.CUDNN_RNN_UNIDIRECTION, cudnn_rnn_ops.CUDNN_RNN_BIDIRECTION)

    def write(folder: Path) -> Description:
        with fresh_session() as session:
            scope, directions = "cudnn_" + kind.name, 1 + is_bidirectional
            size = sum(int(np.prod(shape)) for shape in piece_shapes(kind.gates, directions))
            with tf.variable_scope(scope):
                buffer = tf.get_variable("opaque_kernel", [size])
                model = unroll_cells(kind, is_bidirectional, seed)
            saveable = make_saveable(kind, buffer, names[is_bidirectional])
            step = tf.train.get_or_create_global_step()
            step.load(TRAINED_STEPS, session)
            buffer.load(random_weight("opaque_kernel", [size], seed), session)
            kept = [buffer, step, saveable] if both else [buffer, step]
            saver = tf.train.Saver(kept, save_relative_paths=True)
            saver.save(session, str(folder / PREFIX), write_meta_graph=False)
            cells = [v for v in tf.trainable_variables() if v is not buffer]
            load_cells(session, saveable, cells)
            golden = write_goldens(session, folder, model)
            settings = {} if both else settings_of(kind, is_bidirectional)
            description = describe_checkpoint(folder, model.facts, {}, golden)
            return dict(description, settings=settings)

    return write


LSTM = Kind("lstm", 4, cudnn_rnn_ops.CudnnLSTMSaveable, contrib_cudnn.CudnnCompatibleLSTMCell)
GRU = Kind("gru", 3, cudnn_rnn_ops.CudnnGRUSaveable, contrib_cudnn.CudnnCompatibleGRUCell)

CASES = {
    "tf1_15_opaque_lstm": cudnn(LSTM, seed=227),
    "tf1_15_opaque_lstm_bidirectional": cudnn(LSTM, seed=228, is_bidirectional=True),
    "tf1_15_opaque_gru": cudnn(GRU, seed=229),
    "tf1_15_cudnn_lstm": cudnn(LSTM, seed=230, both=True),
    "tf1_15_cudnn_gru_bidirectional": cudnn(GRU, seed=231, is_bidirectional=True, both=True),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
