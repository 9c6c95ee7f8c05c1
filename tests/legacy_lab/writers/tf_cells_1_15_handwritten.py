"""Cells that users of TensorFlow 1.15.5 wrote by hand, run over time by tf.scan.

Tutorials differ in what the update gate keeps, where the reset acts and how the rows lie. No
variable tells; only a graph does.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import tensorflow as tf
from _common import run_writer
from _tf1 import Model, Recurrence, Sizes, model_writer, name_state, sequence_placeholder

LSTMStateTuple = tf.nn.rnn_cell.LSTMStateTuple

SIZES = Sizes(width=4, time=9, lengths=(9,) * 7)
UNITS = 6
STATE_SHAPE = [UNITS, UNITS]
INPUT_SHAPE = [SIZES.width, UNITS]
BOTH_SHAPE = [SIZES.width + UNITS, UNITS]


class Cell:
    """What `write_cell_step` wants of a cell.

    Attributes:
        state_size: Width of the state, or of both.
    """

    state_size: Any = UNITS

    def __call__(self, x: tf.Tensor, state: Any) -> Tuple[tf.Tensor, Any]:
        """Returns the output [batch, units] and the state after one step."""
        raise NotImplementedError


class TutorialGru(Cell):
    """Wz, Uz, bz, …: the update gate lets the candidate in, the reset acts before the product."""

    def __init__(self) -> None:
        with tf.variable_scope("gru"):
            self.w, self.u, self.b = (
                {gate: tf.get_variable(part + gate, shape) for gate in "zrh"}
                for part, shape in (("W", INPUT_SHAPE), ("U", STATE_SHAPE), ("b", [UNITS]))
            )

    def _sum(self, gate: str, x: tf.Tensor, h: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.w[gate]) + tf.matmul(h, self.u[gate]) + self.b[gate]

    def __call__(self, x: tf.Tensor, state: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""
        z = tf.sigmoid(self._sum("z", x, state))
        r = tf.sigmoid(self._sum("r", x, state))
        candidate = tf.tanh(self._sum("h", x, r * state))
        h = (1.0 - z) * state + z * candidate
        return h, h


class GateScopesGru(Cell):
    """A scope for each gate: the update gate keeps the state, the reset acts after the product."""

    def __init__(self) -> None:
        self.gates: Dict[str, List[tf.Variable]] = {}
        for gate in ("update_gate", "reset_gate", "candidate"):
            with tf.variable_scope("encoder/" + gate):
                shapes = {"wx": INPUT_SHAPE, "wh": STATE_SHAPE, "b": [UNITS]}
                self.gates[gate] = [tf.get_variable(name, shapes[name]) for name in shapes]

    def __call__(self, x: tf.Tensor, state: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""

        def gate(name: str) -> tf.Tensor:
            wx, wh, b = self.gates[name]
            return tf.sigmoid(tf.matmul(x, wx) + tf.matmul(state, wh) + b)

        z, r = gate("update_gate"), gate("reset_gate")
        wx, wh, b = self.gates["candidate"]
        candidate = tf.tanh(tf.matmul(x, wx) + r * tf.matmul(state, wh) + b)
        h = z * state + (1.0 - z) * candidate
        return h, h


class LectureLstm(Cell):
    """W · [h, x] + b: one matrix a gate, the state's rows first, or those of the input.

    Args:
        state_first: Which rows come first.
    """

    state_size = LSTMStateTuple(UNITS, UNITS)

    def __init__(self, state_first: bool = True) -> None:
        self.state_first = state_first
        with tf.variable_scope("lstm"):
            self.w = {gate: tf.get_variable("W" + gate, BOTH_SHAPE) for gate in "fico"}
            self.b = {gate: tf.get_variable("b" + gate, [UNITS]) for gate in "fico"}

    def __call__(self, x: tf.Tensor, state: LSTMStateTuple) -> Tuple[tf.Tensor, LSTMStateTuple]:
        """See `Cell`."""
        rows = tf.concat([state.h, x] if self.state_first else [x, state.h], axis=1)
        f, i, g, o = (tf.matmul(rows, self.w[gate]) + self.b[gate] for gate in "fico")
        c = tf.sigmoid(f) * state.c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        return h, LSTMStateTuple(c, h)


class LectureGru(Cell):
    """The same for a GRU: W · [x, h] + b, and W · [x, r * h] + b for the candidate."""

    def __init__(self) -> None:
        with tf.variable_scope("gru"):
            self.w = {gate: tf.get_variable("W" + gate, BOTH_SHAPE) for gate in "zrh"}
            self.b = {gate: tf.get_variable("b" + gate, [UNITS]) for gate in "zrh"}

    def __call__(self, x: tf.Tensor, state: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""

        def gate(name: str, h: tf.Tensor) -> tf.Tensor:
            return tf.matmul(tf.concat([x, h], axis=1), self.w[name]) + self.b[name]

        z, r = tf.sigmoid(gate("z", state)), tf.sigmoid(gate("r", state))
        h = (1.0 - z) * state + z * tf.tanh(gate("h", r * state))
        return h, h


def run_over_time(cell: Cell) -> Recurrence:
    """Runs a cell over a placeholder from zero states."""
    inputs = sequence_placeholder(SIZES.width)
    zeros = tf.zeros([tf.shape(inputs)[0], UNITS])
    states = tf.scan(
        lambda state, x: cell(x, state)[1],
        tf.transpose(inputs, [1, 0, 2]),
        initializer=tf.nest.map_structure(lambda _: zeros, cell.state_size),
    )
    steps = states.h if isinstance(states, LSTMStateTuple) else states
    final = tf.nest.map_structure(lambda state: state[-1], states)
    outputs = tf.transpose(steps, [1, 0, 2], name="outputs")
    return Recurrence(inputs, None, outputs, name_state(final))


def written(
    make: Callable[[], Cell], seed: int, settings: Dict[str, str], has_meta: bool = False
) -> Callable[[], Model]:
    """Returns what makes the graph of a cell; a graph leaves nothing to be said."""

    def build() -> Model:
        cell = make()
        stated = {} if has_meta else settings
        facts = dict(settings, cell=type(cell).__name__, units=UNITS)
        recurrence = run_over_time(cell)
        return Model(recurrence, SIZES, seed, facts, stated, cell=cell, has_meta=has_meta)

    return build


TUTORIAL = {"reset_after": "false", "update_keeps": "candidate"}
GATE_SCOPES = {"reset_after": "true", "update_keeps": "state"}

CASES = {
    "tf1_15_handwritten_gru": written(TutorialGru, 241, TUTORIAL, has_meta=True),
    "tf1_15_handwritten_gru_no_meta": written(TutorialGru, 241, TUTORIAL),
    "tf1_15_handwritten_gru_gate_scopes": written(GateScopesGru, 242, GATE_SCOPES, has_meta=True),
    "tf1_15_handwritten_gru_gate_scopes_no_meta": written(GateScopesGru, 242, GATE_SCOPES),
    "tf1_15_handwritten_lstm_fused": written(
        LectureLstm, 243, {"row_order": "hx", "cell_clip": "none"}
    ),
    "tf1_15_handwritten_lstm_fused_xh": written(
        lambda: LectureLstm(state_first=False), 244, {"row_order": "xh", "cell_clip": "none"}
    ),
    "tf1_15_handwritten_gru_fused_xh": written(LectureGru, 245, {**TUTORIAL, "row_order": "xh"}),
}

if __name__ == "__main__":
    run_writer(
        __file__,
        "tensorflow",
        tf.__version__,
        {name: model_writer(build) for name, build in CASES.items()},
    )
