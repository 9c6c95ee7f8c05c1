"""Two recurrent stacks that know nothing of each other, trained and saved together."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Sequence

import tensorflow as tf
from _common import Description, random_array, run_writer
from _tf1 import (
    Recurrence,
    Sizes,
    add_head,
    ask,
    describe_checkpoint,
    fresh_session,
    name_states,
    pool,
    save_trained,
    sequence_placeholder,
    tensor_names,
)

GRUCell = tf.nn.rnn_cell.GRUCell
LSTMCell = tf.nn.rnn_cell.LSTMCell
MultiRNNCell = tf.nn.rnn_cell.MultiRNNCell

SEED = 12
SIZES = {
    "encoder": Sizes(width=3, time=8, lengths=[8] * 4),
    "decoder": Sizes(width=6, time=10, lengths=[10] * 5),
}
ENCODER_UNITS = (5, 7)
DECODER_UNITS = 9


def unroll_in_scope(scope: str, cells: Sequence[tf.nn.rnn_cell.RNNCell]) -> Recurrence:
    """Runs a stack of cells inside a scope, over that scope's own placeholder."""
    inputs = sequence_placeholder(SIZES[scope].width, scope + "_inputs")
    with tf.variable_scope(scope):
        cell = MultiRNNCell(cells) if len(cells) > 1 else cells[0]
        outputs, state = tf.nn.dynamic_rnn(cell, inputs, dtype=tf.float32)
    return Recurrence(inputs, None, outputs, name_states(state if len(cells) > 1 else [state]))


def write_scope_golden(
    session: tf.Session, folder: Path, scope: str, recurrence: Recurrence
) -> str:
    """Writes the answers of one stack; returns the file's name."""
    sizes = SIZES[scope]
    shape = [len(sizes.lengths), sizes.time, sizes.width]
    inputs = {"inputs": random_array(scope + "/inputs", shape, SEED)}
    path = folder / "golden_{}.npz".format(scope)
    return ask(session, path, recurrence, inputs, sizes.lengths)


def stack_facts() -> Dict[str, object]:
    """Returns what the cells were made with."""
    facts: Dict[str, object] = {"time_major": False}
    for layer, units in enumerate(ENCODER_UNITS):
        prefix = "encoder.layer[{}].".format(layer)
        facts.update({prefix + "cell": "LSTMCell", prefix + "units": units})
        facts[prefix + "forget_bias"] = 1.0
    facts.update({"decoder.layer[0].cell": "GRUCell", "decoder.layer[0].units": DECODER_UNITS})
    return facts


def two_scopes(folder: Path) -> Description:
    """Two LSTM layers under `encoder`, one GRU layer under `decoder`."""
    with fresh_session() as session:
        stacks = {
            "encoder": unroll_in_scope("encoder", [LSTMCell(units) for units in ENCODER_UNITS]),
            "decoder": unroll_in_scope("decoder", [GRUCell(DECODER_UNITS)]),
        }
        tensors = {}
        for scope, stack in stacks.items():
            logits = add_head(pool(stack), scope + "_logits")
            named = tensor_names(stack, logits)
            tensors.update({scope + "." + name: tensor for name, tensor in named.items()})
        save_trained(session, folder, SEED, trainer_meta=False)
        golden = {
            scope: write_scope_golden(session, folder, scope, stack)
            for scope, stack in stacks.items()
        }
        description = describe_checkpoint(folder, stack_facts(), tensors, golden)
        return dict(description, scopes=golden)


CASES = {"tf1_two_scopes": two_scopes}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
