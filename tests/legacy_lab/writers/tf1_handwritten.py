"""An LSTM written by hand: two matrices and a bias for each gate, run over time by tf.scan."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, NamedTuple

import tensorflow as tf
from _common import Description, run_writer
from _tf1 import (
    Recurrence,
    Sizes,
    add_head,
    describe_checkpoint,
    fresh_session,
    name_states,
    pool,
    save_trained,
    sequence_placeholder,
    step_arrays,
    tensor_names,
    write_sequence_goldens,
    write_step_golden,
)

LSTMStateTuple = tf.nn.rnn_cell.LSTMStateTuple

UNITS = 6
SIZES = Sizes(width=5, time=7, lengths=[7, 7, 7, 7])
SEED = 11
FACTS = {
    "layer[0].cell": "handwritten LSTM",
    "layer[0].units": UNITS,
    "layer[0].forget_bias": 0.0,
    "layer[0].activation": "tanh",
    "layer[0].recurrent_activation": "sigmoid",
    "time_major": False,
}


class Gate(NamedTuple):
    """One gate's variables."""

    wx: tf.Variable
    wt: tf.Variable
    bi: tf.Variable

    def __call__(self, inputs: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        """Returns the gate before its activation."""
        return tf.matmul(inputs, self.wx) + tf.matmul(hidden, self.wt) + self.bi


def make_gates() -> Dict[str, Gate]:
    """Creates the variables of the four gates."""
    shapes = {"wx": [SIZES.width, UNITS], "wt": [UNITS, UNITS], "bi": [UNITS]}
    gates = {}
    for name in ("input_gate", "forget_gate", "memory_cell", "output_gate"):
        with tf.variable_scope("LSTMcell/" + name):
            gates[name] = Gate(**{key: tf.get_variable(key, shapes[key]) for key in shapes})
    return gates


def run_step(gates: Dict[str, Gate], state: LSTMStateTuple, inputs: tf.Tensor) -> LSTMStateTuple:
    """Returns the state after one time step; its h is the output."""
    input_gate = tf.sigmoid(gates["input_gate"](inputs, state.h))
    forget_gate = tf.sigmoid(gates["forget_gate"](inputs, state.h))
    memory_cell = tf.tanh(gates["memory_cell"](inputs, state.h))
    output_gate = tf.sigmoid(gates["output_gate"](inputs, state.h))
    c = forget_gate * state.c + input_gate * memory_cell
    return LSTMStateTuple(c, output_gate * tf.tanh(c))


def run_over_time(gates: Dict[str, Gate]) -> Recurrence:
    """Runs the gates over a placeholder with tf.scan, from zero states."""
    inputs = sequence_placeholder(SIZES.width)
    zeros = tf.zeros([tf.shape(inputs)[0], UNITS])
    states = tf.scan(
        lambda state, step_inputs: run_step(gates, state, step_inputs),
        tf.transpose(inputs, [1, 0, 2]),
        initializer=LSTMStateTuple(zeros, zeros),
    )
    outputs = tf.transpose(states.h, [1, 0, 2], name="outputs")
    final = LSTMStateTuple(states.c[-1], states.h[-1])
    return Recurrence(inputs, None, outputs, name_states([final]))


def write_step(session: tf.Session, folder: Path, gates: Dict[str, Gate]) -> Dict[str, str]:
    """Runs the trained gates for one step, after saving."""
    inputs = tf.placeholder(tf.float32, [None, SIZES.width])
    before = LSTMStateTuple(*(tf.placeholder(tf.float32, [None, UNITS]) for _ in range(2)))
    after = run_step(gates, before, inputs)
    states = name_states([before])
    results = dict(name_states([after]), outputs=after.h)
    arrays = step_arrays(SIZES, states, SEED)
    return write_step_golden(session, folder, inputs, states, results, arrays)


def handwritten_lstm(folder: Path) -> Description:
    """One layer."""
    with fresh_session() as session:
        gates = make_gates()
        recurrence = run_over_time(gates)
        logits = add_head(pool(recurrence))
        save_trained(session, folder, SEED, trainer_meta=True)
        golden = write_sequence_goldens(session, folder, recurrence, SIZES, SEED)
        golden.update(write_step(session, folder, gates))
        return describe_checkpoint(folder, FACTS, tensor_names(recurrence, logits), golden)


CASES = {"tf1_handwritten_lstm": handwritten_lstm}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
