"""LSTMCell and BasicLSTMCell: stacks, bare dumps, forget biases, both directions."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np
import tensorflow as tf
from _common import Description, run_writer, write_npz
from _tf1 import (
    PREFIX,
    Sizes,
    Tensors,
    add_head,
    delete_checkpoint,
    describe_checkpoint,
    fresh_session,
    name_states,
    pool,
    recurrent_weights,
    save_trained,
    step_arrays,
    tensor_names,
    unroll,
    unroll_both_ways,
    write_sequence_goldens,
    write_step_golden,
)

BasicLSTMCell = tf.nn.rnn_cell.BasicLSTMCell
LSTMCell = tf.nn.rnn_cell.LSTMCell
LSTMStateTuple = tf.nn.rnn_cell.LSTMStateTuple
MultiRNNCell = tf.nn.rnn_cell.MultiRNNCell
RNNCell = tf.nn.rnn_cell.RNNCell


def layer_facts(cells: Sequence[RNNCell], forget_biases: Sequence[float]) -> Dict[str, object]:
    """Returns what the cells were made with."""
    facts = {}
    for layer, (cell, forget_bias) in enumerate(zip(cells, forget_biases)):
        values = {
            "cell": type(cell).__name__,
            "units": cell.output_size,
            "forget_bias": forget_bias,
            "activation": "tanh",
            "recurrent_activation": "sigmoid",
        }
        facts.update({"layer[{}].{}".format(layer, key): value for key, value in values.items()})
    return facts


def state_placeholders(cells: Sequence[RNNCell]) -> List[LSTMStateTuple]:
    """Returns one placeholder pair for each layer."""
    return [
        LSTMStateTuple(
            *(tf.placeholder(tf.float32, [None, cell.output_size]) for _ in LSTMStateTuple._fields)
        )
        for cell in cells
    ]


def write_step(
    session: tf.Session, folder: Path, cells: Sequence[RNNCell], sizes: Sizes, seed: int
) -> Dict[str, str]:
    """Runs the trained cells for one step, after saving: a trainer's MetaGraph has no such step."""
    inputs = tf.placeholder(tf.float32, [None, sizes.width])
    before = state_placeholders(cells)
    outputs, after = inputs, []
    for cell, state in zip(cells, before):
        outputs, state = cell(outputs, state)
        after.append(state)
    states = name_states(before)
    results: Tensors = dict(name_states(after), outputs=outputs)
    arrays = step_arrays(sizes, states, seed)
    return write_step_golden(session, folder, inputs, states, results, arrays)


def write_unidirectional(
    folder: Path,
    cell_class: Callable[..., RNNCell],
    units: Sequence[int],
    forget_biases: Sequence[float],
    sizes: Sizes,
    seed: int,
    scope: Optional[str] = None,
    plain_time_major: bool = False,
    trainer_meta: bool = False,
) -> Description:
    """Writes one trained stack with its goldens.

    Args:
        folder: Where to write.
        cell_class: Makes a cell from a width and a forget_bias: BasicLSTMCell or LSTMCell.
        units: Each layer's width; one layer goes without MultiRNNCell.
        forget_biases: Each layer's forget bias.
        sizes: Widths and lengths of the golden inputs.
        seed: Seed of weights and inputs.
        scope: The user's own variable scope around the recurrent part.
        plain_time_major: Time first and no sequence_length, instead of the other way round.
        trainer_meta: Whether the .meta has the gradient ops, see `save_trained`.

    Returns:
        The case's description.
    """
    with fresh_session() as session:
        cells = [cell_class(width, forget_bias=bias) for width, bias in zip(units, forget_biases)]
        cell = MultiRNNCell(cells) if len(cells) > 1 else cells[0]
        with tf.variable_scope(scope or tf.get_variable_scope()):
            recurrence = unroll(cell, sizes, not plain_time_major, plain_time_major)
        logits = add_head(pool(recurrence))
        save_trained(session, folder, seed, trainer_meta)
        golden = write_sequence_goldens(session, folder, recurrence, sizes, seed)
        golden.update(write_step(session, folder, cells, sizes, seed))
        facts = dict(layer_facts(cells, forget_biases), time_major=recurrence.time_major)
        return describe_checkpoint(folder, facts, tensor_names(recurrence, logits), golden)


def stacked_lstm(folder: Path) -> Description:
    """Three layers with the default forget bias."""
    sizes = Sizes(width=4, time=9, lengths=[9, 0, 1, 5, 3, 9, 2, 7])
    return write_unidirectional(
        folder, LSTMCell, (7, 5, 6), (1.0, 1.0, 1.0), sizes, seed=1, trainer_meta=True
    )


def without_graph(description: Description) -> Description:
    """Returns the description of the same weights where no graph tells the forget bias."""
    return dict(description, settings={"forget_bias": 1.0}, tensors={})


def stacked_lstm_no_meta(folder: Path) -> Description:
    """The same checkpoint, its MetaGraph lost."""
    description = stacked_lstm(folder)
    (folder / (PREFIX + ".meta")).unlink()
    return dict(without_graph(description), source=".")


def stacked_lstm_csv(folder: Path) -> Description:
    """The same weights, each variable a CSV file."""
    description = without_graph(stacked_lstm(folder))
    weights = recurrent_weights(folder, "rnn")
    delete_checkpoint(folder)
    dump = folder / "dump_csv"
    dump.mkdir()
    for name, values in weights.items():
        path = dump / (name.replace("/", "__") + ".csv")
        np.savetxt(str(path), values, fmt="%.9g", delimiter=",")
        read = np.loadtxt(str(path), np.float32, delimiter=",")
        np.testing.assert_array_equal(read, values)
    shapes = {name: list(values.shape) for name, values in weights.items()}
    return dict(description, source=dump.name, variables=shapes)


def stacked_lstm_npz(folder: Path) -> Description:
    """The same weights in one .npz."""
    description = without_graph(stacked_lstm(folder))
    weights = recurrent_weights(folder, "rnn")
    delete_checkpoint(folder)
    write_npz(folder / "weights.npz", weights)
    shapes = {name: list(values.shape) for name, values in weights.items()}
    return dict(description, source="weights.npz", variables=shapes)


def stacked_lstm_forget_bias(folder: Path) -> Description:
    """Two layers that disagree about the forget bias; time first, no lengths."""
    sizes = Sizes(width=5, time=8, lengths=[8, 8, 8, 8])
    return write_unidirectional(
        folder, LSTMCell, (6, 9), (0.0, 2.5), sizes, seed=5, plain_time_major=True
    )


def stacked_lstm_cell_clip(folder: Path) -> Description:
    """Two layers that clip their cell state, tightly enough to show."""
    sizes = Sizes(width=6, time=7, lengths=[7, 2, 0, 5, 1])
    clipped = functools.partial(LSTMCell, cell_clip=0.5)
    description = write_unidirectional(folder, clipped, (4, 8), (1.0, 1.0), sizes, seed=12)
    clips = {"layer[{}].cell_clip".format(layer): 0.5 for layer in range(2)}
    return dict(description, facts=dict(description["facts"], **clips))


def basic_lstm_fb1(folder: Path) -> Description:
    """One layer, the default forget bias."""
    sizes = Sizes(width=3, time=7, lengths=[7, 0, 1, 4])
    return write_unidirectional(folder, BasicLSTMCell, [5], [1.0], sizes, seed=6)


def basic_lstm_fb0(folder: Path) -> Description:
    """One layer without forget bias, inside the user's own scope."""
    sizes = Sizes(width=6, time=8, lengths=[3, 8, 0, 1, 6])
    return write_unidirectional(
        folder, BasicLSTMCell, [4], [0.0], sizes, seed=7, scope="encoder", trainer_meta=True
    )


def basic_lstm_fb2(folder: Path) -> Description:
    """One layer with a forget bias that no default gives."""
    sizes = Sizes(width=5, time=6, lengths=[1, 6, 4, 0, 6, 2, 3])
    return write_unidirectional(folder, BasicLSTMCell, [8], [2.0], sizes, seed=8)


def bidirectional_lstm(folder: Path) -> Description:
    """One layer in both directions."""
    sizes, seed = Sizes(width=3, time=8, lengths=[8, 0, 5, 1, 8]), 10
    with fresh_session() as session:
        cells = [LSTMCell(7), LSTMCell(7)]
        recurrence = unroll_both_ways(cells[0], cells[1], sizes)
        logits = add_head(pool(recurrence))
        save_trained(session, folder, seed, trainer_meta=False)
        golden = write_sequence_goldens(session, folder, recurrence, sizes, seed)
        facts = dict(layer_facts(cells[:1], [1.0]), bidirectional=True, time_major=False)
        return describe_checkpoint(folder, facts, tensor_names(recurrence, logits), golden)


CASES = {
    "tf1_stacked_lstm": stacked_lstm,
    "tf1_stacked_lstm_no_meta": stacked_lstm_no_meta,
    "tf1_stacked_lstm_csv": stacked_lstm_csv,
    "tf1_stacked_lstm_npz": stacked_lstm_npz,
    "tf1_stacked_lstm_forget_bias": stacked_lstm_forget_bias,
    "tf1_stacked_lstm_cell_clip": stacked_lstm_cell_clip,
    "tf1_basic_lstm_fb1": basic_lstm_fb1,
    "tf1_basic_lstm_fb0": basic_lstm_fb0,
    "tf1_basic_lstm_fb2": basic_lstm_fb2,
    "tf1_bidirectional_lstm": bidirectional_lstm,
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
