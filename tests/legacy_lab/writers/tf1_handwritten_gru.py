"""Cells written by hand of which only the graph, or the user, says how they compute."""

from __future__ import annotations

from typing import Dict, Tuple

import tensorflow as tf
from _common import run_writer
from _tf1 import (
    Model,
    Recurrence,
    Sizes,
    model_writer,
    name_state,
    sequence_placeholder,
    unroll,
)

LSTMStateTuple = tf.nn.rnn_cell.LSTMStateTuple

UNITS = 6
SIZES = Sizes(width=4, time=8, lengths=[8, 0, 1, 5, 3])
FULL = SIZES._replace(lengths=[SIZES.time] * 5)


class ScopedGru(tf.nn.rnn_cell.RNNCell):
    """A scope for each gate; the reset gate acts on the second product and its bias."""

    state_size = output_size = UNITS

    def __init__(self) -> None:
        super().__init__()
        shapes = {"W": [SIZES.width, UNITS], "U": [UNITS, UNITS], "b": [UNITS]}
        names = [gate + "/" + part for gate in ("update", "reset", "candidate") for part in shapes]
        with tf.variable_scope("gru"):
            self.by_gate = {name: tf.get_variable(name, shapes[name[-1]]) for name in names}
            self.hidden_bias = tf.get_variable("candidate/bh", [UNITS])

    def __call__(
        self, inputs: tf.Tensor, state: tf.Tensor, scope: object = None
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """See `RNNCell`."""

        def on_input(gate: str) -> tf.Tensor:
            return tf.matmul(inputs, self.by_gate[gate + "/W"]) + self.by_gate[gate + "/b"]

        def on_state(gate: str) -> tf.Tensor:
            return tf.matmul(state, self.by_gate[gate + "/U"])

        update = tf.sigmoid(on_input("update") + on_state("update"))
        reset = tf.sigmoid(on_input("reset") + on_state("reset"))
        hidden = on_state("candidate") + self.hidden_bias
        candidate = tf.nn.softsign(on_input("candidate") + reset * hidden)
        state = (1.0 - update) * state + update * candidate
        return state, state


class FusedGru:
    """One matrix a gate, rows [h; x]; biases of one row; the update gate keeps the candidate."""

    state_size = UNITS

    def __init__(self) -> None:
        with tf.variable_scope("model"):
            shape = [UNITS + SIZES.width, UNITS]
            self.weights = {gate: tf.get_variable("W_" + gate, shape) for gate in "zrh"}
            self.biases = {gate: tf.get_variable("b_" + gate, [1, UNITS]) for gate in "zrh"}

    def _sum(self, gate: str, state: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        rows = tf.concat([state, inputs], axis=1)
        return tf.matmul(rows, self.weights[gate]) + self.biases[gate]

    def __call__(self, inputs: tf.Tensor, state: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """Returns the output and the state after one step."""
        update = tf.sigmoid(self._sum("z", state, inputs))
        reset = tf.sigmoid(self._sum("r", state, inputs))
        candidate = tf.tanh(self._sum("h", reset * state, inputs))
        state = (1.0 - update) * state + update * candidate
        return state, state


class SuffixLstm:
    """Wi, Ui, bi, … in one scope; a forget bias that no variable holds."""

    state_size = LSTMStateTuple(UNITS, UNITS)
    forget_bias = 0.7

    def __init__(self) -> None:
        shapes = {"W": [SIZES.width, UNITS], "U": [UNITS, UNITS], "b": [UNITS]}
        with tf.variable_scope("net/lstm"):
            self.weights: Dict[str, tf.Variable] = {
                part + gate: tf.get_variable(part + gate, shape)
                for gate in "ifoc"
                for part, shape in shapes.items()
            }

    def _sum(self, gate: str, inputs: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        w, u, b = (self.weights[part + gate] for part in "WUb")
        return tf.matmul(inputs, w) + tf.matmul(state, u) + b

    def __call__(
        self, inputs: tf.Tensor, state: LSTMStateTuple
    ) -> Tuple[tf.Tensor, LSTMStateTuple]:
        """Returns the output and the state after one step."""
        i, f, o, g = (self._sum(gate, inputs, state.h) for gate in "ifoc")
        c = tf.sigmoid(f + self.forget_bias) * state.c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        return h, LSTMStateTuple(c, h)


def scan(cell: object) -> Recurrence:
    """Runs a cell over a placeholder with tf.scan, from zero states."""
    inputs = sequence_placeholder(SIZES.width)
    zeros = tf.zeros([tf.shape(inputs)[0], UNITS])
    states = tf.scan(
        lambda state, x: cell(x, state)[1],
        tf.transpose(inputs, [1, 0, 2]),
        initializer=tf.nest.map_structure(lambda _: zeros, cell.state_size),
    )
    steps = states.h if isinstance(states, LSTMStateTuple) else states
    final = tf.nest.map_structure(lambda state: state[-1], states)
    return Recurrence(
        inputs, None, tf.transpose(steps, [1, 0, 2], name="outputs"), name_state(final)
    )


def layer_facts(**facts: object) -> Dict[str, object]:
    """Returns how the one layer was made."""
    return {"layer[0]." + name: value for name, value in dict(facts, units=UNITS).items()}


def scoped_gru() -> Model:
    """By dynamic_rnn, with lengths."""
    cell = ScopedGru()
    facts = layer_facts(activation="softsign", reset_after=True, update_keeps="candidate")
    return Model(unroll(cell, SIZES), SIZES, 17, facts, cell=cell, has_meta=True)


def fused_gru() -> Model:
    """By tf.scan."""
    cell = FusedGru()
    facts = layer_facts(activation="tanh", reset_after=False, update_keeps="candidate")
    return Model(scan(cell), FULL, 18, facts, cell=cell, has_meta=True)


def suffix_lstm() -> Model:
    """By tf.scan, saved without the graph."""
    cell = SuffixLstm()
    settings = {
        "forget_bias": str(cell.forget_bias),
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "cell_clip": "none",
    }
    facts = layer_facts(forget_bias=cell.forget_bias, cell_clip=None)
    return Model(scan(cell), FULL, 19, facts, settings, cell)


CASES = {
    "tf1_handwritten_gru": model_writer(scoped_gru),
    "tf1_handwritten_gru_fused": model_writer(fused_gru),
    "tf1_handwritten_lstm_suffix": model_writer(suffix_lstm),
}

if __name__ == "__main__":
    run_writer(__file__, "tensorflow", tf.__version__, CASES)
