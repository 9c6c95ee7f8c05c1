"""Small training graphs as TensorFlow 1 wrote them, built in the TensorFlow at hand.

Every knob of a cell stands for one thing that a graph states; the defaults give a plain cell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

BATCH, TIME, WIDTH, UNITS = 4, 6, 3, 5
LENGTHS = (TIME, 0, 3, 1)

Tensors = dict[str, Any]
Build = Callable[[Any, Any], Tensors]
Unary = Callable[[Any], Any]


@dataclass(frozen=True)
class Saved:
    """A checkpoint with its MetaGraph, and what the graph answered.

    Attributes:
        prefix: The checkpoint's prefix.
        inputs: [batch, time, width].
        lengths: [batch].
        answers: Of the tensors that the builder returned.
    """

    prefix: Path
    inputs: np.ndarray
    lengths: np.ndarray
    answers: dict[str, np.ndarray]

    @property
    def meta(self) -> Path:
        """The MetaGraph."""
        return self.prefix.with_name(self.prefix.name + ".meta")


@contextlib.contextmanager
def tensorflow_1() -> Iterator[None]:
    """Gives a new graph with the while loops of TensorFlow 1."""
    modern = v1.control_flow_v2_enabled()
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default():
            yield
    finally:
        if modern:
            v1.enable_control_flow_v2()


def save(
    folder: Path,
    build: Build,
    shape: Sequence[int | None] = (None, None, WIDTH),
    train: bool = True,
    names: Mapping[str, str] | None = None,
) -> Saved:
    """Builds a graph with its training part, and saves it with random weights.

    Args:
        folder: Where to save.
        build: Makes tensors of inputs [batch, time, width] and lengths [batch].
        shape: Of the placeholder for the inputs.
        train: Whether to add gradients and Adam.
        names: Other names of variables in the checkpoint.
    """
    random = np.random.default_rng(3)
    feed_values = random.standard_normal((BATCH, TIME, WIDTH)).astype(np.float32)
    with tensorflow_1():
        inputs = v1.placeholder(tf.float32, shape, name="inputs")
        lengths = v1.placeholder(tf.int32, [None], name="lengths")
        tensors = build(inputs, lengths)
        if train:
            loss = tf.add_n([tf.reduce_sum(tf.square(tensor)) for tensor in tensors.values()])
            v1.train.AdamOptimizer().minimize(loss)
        variables = {variable.op.name: variable for variable in v1.global_variables()}
        # Without names, parts of a variable are saved as one.
        named = {names.get(n, n): v for n, v in variables.items()} if names else None
        saver = v1.train.Saver(named)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for name, variable in variables.items():
                if variable.shape.rank and "Adam" not in name:
                    value = random.standard_normal(variable.shape.as_list()) * 0.7
                    variable.load(value.astype(np.float32), session)
            saver.save(session, str(folder / "model.ckpt"), write_state=False)
            answers = session.run(tensors, {inputs: feed_values, lengths: LENGTHS})
    return Saved(folder / "model.ckpt", feed_values, np.asarray(LENGTHS, np.int32), answers)


def variable(name: str, shape: Sequence[int]) -> Any:
    """Returns a variable as TensorFlow 1 keeps it."""
    return v1.get_variable(name, shape, use_resource=False)


def hard_sigmoid(x: Any) -> Any:
    """Returns the hard sigmoid of Keras 1 and 2."""
    return tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)


def dropout_by_floor(x: Any, keep: Any) -> Any:
    """Returns dropout as TensorFlow 1.0 to 1.12 computes it."""
    return tf.divide(x, keep) * tf.floor(keep + tf.random.uniform(tf.shape(x)))


def dropout_by_cast(x: Any, keep: Any) -> Any:
    """Returns dropout as TensorFlow 1.13 to 1.15 computes it."""
    mask = tf.cast(tf.random.uniform(tf.shape(x)) >= 1.0 - keep, tf.float32)
    return x * (1.0 / keep) * mask


class Cell:
    """What dynamic_rnn wants of a cell."""

    units = UNITS

    @property
    def output_size(self) -> int:
        """Returns the width of the output."""
        return self.units

    @property
    def state_size(self) -> Any:
        """Returns the width of every state."""
        return self.units

    def zero_state(self, batch: Any, dtype: Any) -> Any:
        """Returns states of zeros."""
        return tf.nest.map_structure(lambda size: tf.zeros([batch, size], dtype), self.state_size)

    get_initial_state = None


@dataclass(frozen=True)
class Lstm(Cell):
    """LSTMCell, with knobs that the original has and others that it does not have."""

    units: int = UNITS
    name: str = "lstm_cell"
    order: str = "icfo"
    rows: str = "xh"
    forget_bias: float | None = 1.0
    input_bias: float | None = None
    activation: Unary = tf.tanh
    output_activation: Unary | None = None
    recurrent_activation: Unary = tf.sigmoid
    output_gate_activation: Unary | None = None
    norms: str = ""
    epsilon: float = 1e-12
    moments: Unary | None = None
    clip: tuple[float, float] | None = None
    peepholes: bool = False
    looks_at_new: str = "o"
    projection: int | None = None
    projection_clip: float | None = None
    kept: Unary = tf.identity
    candidate_first: bool = False
    coupled: bool = False
    noise: bool = False
    after: Callable[[Any, Any], Any] | None = None

    @property
    def output_size(self) -> int:
        """Returns the width of the output."""
        return self.projection or self.units

    @property
    def state_size(self) -> Any:
        """Returns the widths of c and h."""
        return (self.units, self.output_size)

    def __call__(self, x: Any, state: Any, scope: object = None) -> Any:
        """Returns the output and the next state."""
        c, h = state
        with v1.variable_scope(self.name, reuse=v1.AUTO_REUSE):
            z = self._gates(x, c, h)
            forget = self.recurrent_activation(z["f"])
            new = 1.0 - forget if self.coupled else self.recurrent_activation(z["i"])
            factors = (new, self.activation(z["c"]))
            first, second = reversed(factors) if self.candidate_first else factors
            c = forget * c + first * second
            if self.clip:
                c = tf.clip_by_value(c, *self.clip)
            if "s" in self.norms:
                c = self._norm(c, "state")
            gate = self.output_gate_activation or self.recurrent_activation
            seen = c if "o" in self.looks_at_new else state[0]
            o = gate(z["o"] + (self._diagonal("o") * seen if self.peepholes else 0.0))
            h = o * (self.output_activation or self.activation)(c)
            if self.projection:
                h = tf.matmul(h, variable("projection/kernel", [self.units, self.projection]))
            if self.projection_clip:
                h = tf.clip_by_value(h, -self.projection_clip, self.projection_clip)
        return (self.after(h, x) if self.after else h), (self.kept(c), h)

    def _gates(self, x: Any, c: Any, h: Any) -> Tensors:
        parts = {"x": x, "h": h}
        joined = tf.concat([parts[row] for row in self.rows], 1)
        columns = len(self.order) * self.units
        whole = tf.matmul(joined, variable("kernel", [joined.shape[1], columns]))
        if not self.norms:
            whole = tf.nn.bias_add(whole, variable("bias", [columns]))
        z = dict(zip(self.order, tf.split(whole, len(self.order), axis=1), strict=True))
        scopes = {"i": "input", "c": "transform", "f": "forget", "o": "output"}
        z |= {gate: self._norm(z[gate], scopes[gate]) for gate in self.norms if gate in z}
        if self.forget_bias is not None:
            z["f"] += self.forget_bias
        if self.input_bias is not None:
            z["i"] += self.input_bias
        if self.noise:
            z["i"] += tf.sin(x[:, :1])
        if self.peepholes:
            z |= {gate: z[gate] + self._diagonal(gate) * c for gate in "if" if gate in z}
        return z

    def _norm(self, x: Any, scope: str) -> Any:
        return layer_norm(x, scope, self.epsilon, self.moments or true_moments)

    def _diagonal(self, gate: str) -> Any:
        return variable(f"w_{gate}_diag", [self.units])


def true_moments(x: Any) -> tuple[Any, Any]:
    """Returns mean and variance as TensorFlow 1.3 and later compute them."""
    mean, variance = v1.nn.moments(x, [1], keep_dims=True)
    return mean, variance


def moments_by_sums(x: Any) -> tuple[Any, Any]:
    """Returns mean and variance as TensorFlow 0.12 computes them."""
    divisor = tf.math.reciprocal(float(x.shape[1]))
    mean = tf.reduce_sum(x, [1], keepdims=True) * divisor
    squares = tf.reduce_sum(tf.square(x), [1], keepdims=True)
    return mean, squares * divisor - tf.square(mean)


def shifted_moments(x: Any) -> tuple[Any, Any]:
    """Returns mean and variance as TensorFlow 1.0 computes them."""
    shift = tf.stop_gradient(tf.reduce_mean(x, [1], keepdims=True))
    divisor = tf.math.reciprocal(float(x.shape[1]))
    mean = tf.reduce_sum(x - shift, [1], keepdims=True) * divisor
    squares = tf.reduce_sum(tf.math.squared_difference(x, shift), [1], keepdims=True)
    shift = tf.reshape(shift, tf.shape(mean))
    return mean + shift, squares * divisor - tf.square(mean)


def wrong_moments(x: Any) -> tuple[Any, Any]:
    """Returns a mean and the square of another thing than the distance from it."""
    mean = tf.reduce_mean(x, [1], keepdims=True)
    return mean, tf.reduce_mean(tf.math.squared_difference(x, 0.5 * mean), [1], keepdims=True)


def layer_norm(x: Any, scope: str, epsilon: float, moments: Unary) -> Any:
    """Returns what `contrib.layers.layer_norm` makes of a matrix."""
    with v1.variable_scope(scope):
        gamma, beta = (variable(name, x.shape[1:]) for name in ("gamma", "beta"))
    mean, variance = moments(x)
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)


@dataclass(frozen=True)
class Rnn(Cell):
    """BasicRNNCell; `returned` may change what comes back as the state."""

    units: int = UNITS
    activation: Unary = tf.tanh
    returned: Unary = tf.identity

    def __call__(self, x: Any, h: Any, scope: object = None) -> Any:
        """Returns the output, which is also the next state."""
        with v1.variable_scope("basic_rnn_cell", reuse=v1.AUTO_REUSE):
            joined = tf.concat([x, h], 1)
            kernel = variable("kernel", [joined.shape[1], self.units])
            bias = variable("bias", [self.units])
            h = self.activation(tf.nn.bias_add(tf.matmul(joined, kernel), bias))
        return h, self.returned(h)


@dataclass(frozen=True)
class Ugrnn(Cell):
    """UGRNNCell, or one that keeps its columns or its gate the other way round."""

    units: int = UNITS
    forget_bias: float = 1.0
    order: str = "zc"
    inverted: bool = False
    activation: Unary = tf.tanh

    def __call__(self, x: Any, h: Any, scope: object = None) -> Any:
        """Returns the output, which is also the next state."""
        with v1.variable_scope("ugrnn_cell", reuse=v1.AUTO_REUSE):
            joined = tf.concat([x, h], 1)
            kernel = variable("kernel", [joined.shape[1], 2 * self.units])
            whole = tf.nn.bias_add(tf.matmul(joined, kernel), variable("bias", [2 * self.units]))
            gates = dict(zip(self.order, tf.split(whole, 2, axis=1), strict=True))
            z, new = tf.sigmoid(gates["z"] + self.forget_bias), self.activation(gates["c"])
            h = (1.0 - z) * h + z * new if self.inverted else z * h + (1.0 - z) * new
        return h, h


@dataclass(frozen=True)
class Gru(Cell):
    """GRUCell, or the cuDNN-compatible one, or one that swaps the meaning of its update gate."""

    units: int = UNITS
    name: str = "gru_cell"
    order: str = "rz"
    reset_after: bool = False
    reset_state: Unary = tf.identity
    complement_of: str = "z"
    inverted: bool = False
    activation: Unary = tf.tanh

    def __call__(self, x: Any, h: Any, scope: object = None) -> Any:
        """Returns the output, which is also the next state."""
        with v1.variable_scope(self.name, reuse=v1.AUTO_REUSE):
            both = tf.sigmoid(_dense("gates", tf.concat([x, h], 1), 2 * self.units))
            gates = dict(zip(self.order, tf.split(both, 2, axis=1), strict=True))
            if self.reset_after:
                hidden = _dense("candidate/hidden_projection", h, self.units)
                inner = _dense("candidate/input_projection", x, self.units)
                inner += gates["r"] * hidden
            else:
                reset = gates["r"] * self.reset_state(h)
                inner = _dense("candidate", tf.concat([x, reset], 1), self.units)
            new, z, rest = self.activation(inner), gates["z"], 1.0 - gates[self.complement_of]
            h = rest * h + z * new if self.inverted else z * h + rest * new
        return h, h


def _dense(name: str, x: Any, units: int) -> Any:
    kernel = variable(f"{name}/kernel", [x.shape[1], units])
    return tf.nn.bias_add(tf.matmul(x, kernel), variable(f"{name}/bias", [units]))


class BlockLstm(Cell):
    """LSTMBlockCell: one op."""

    def __init__(self, peepholes: bool = False, **attributes: object) -> None:
        self._peepholes = peepholes
        self._attributes = attributes | ({"use_peephole": True} if peepholes else {})

    state_size = (UNITS, UNITS)

    def __call__(self, x: Any, state: Any, scope: object = None) -> Any:
        """Returns the output and the next state."""
        c, h = state
        looks = {f"wc{gate}": tf.zeros([UNITS]) for gate in "ifo"}
        with v1.variable_scope("lstm_cell"):
            kernel = variable("kernel", [WIDTH + UNITS, 4 * UNITS])
            bias = variable("bias", [4 * UNITS])
            if self._peepholes:
                looks = {f"wc{gate}": variable(f"w_{gate}_diag", [UNITS]) for gate in "ifo"}
        step = tf.raw_ops.LSTMBlockCell(
            x=x, cs_prev=c, h_prev=h, w=kernel, b=bias, **looks, **self._attributes
        )
        return step.h, (step.cs, step.h)


@dataclass(frozen=True)
class Flat(Cell):
    """A cell with its states in one tensor, as with `state_is_tuple=False`."""

    cell: Any

    @property
    def output_size(self) -> int:
        """Returns the width of the output."""
        return int(self.cell.output_size)

    @property
    def state_size(self) -> int:
        """Returns the width of all states."""
        return sum(self.cell.state_size)

    def __call__(self, x: Any, state: Any, scope: object = None) -> Any:
        """Returns the output and the next states."""
        sizes = self.cell.state_size
        begins = np.cumsum([0, *sizes])
        parts = [tf.slice(state, [0, b], [-1, n]) for b, n in zip(begins, sizes, strict=False)]
        output, after = self.cell(x, tuple(parts))
        return output, tf.concat(after, 1)


@dataclass(frozen=True)
class Stack(Cell):
    """MultiRNNCell; `between` may change what a cell gets from the one below."""

    cells: tuple[Any, ...]
    between: Unary = tf.identity

    @property
    def output_size(self) -> int:
        """Returns the width of the last output."""
        return self.cells[-1].output_size

    @property
    def state_size(self) -> Any:
        """Returns the widths of every state."""
        return tuple(cell.state_size for cell in self.cells)

    def __call__(self, x: Any, states: Any, scope: object = None) -> Any:
        """Returns the last output and the next states."""
        after = []
        for index, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
            with v1.variable_scope(f"cell_{index}"):
                x, state = cell(self.between(x) if index else x, state)
            after.append(state)
        return x, tuple(after)


def name_states(states: Sequence[Any], prefix: str = "") -> Tensors:
    """Returns h_0, c_0, h_1, … of the layers' states."""
    named = {}
    for layer, state in enumerate(states):
        parts = {"c": state[0], "h": state[1]} if isinstance(state, tuple) else {"h": state}
        named |= {f"{prefix}{name}_{layer}": part for name, part in parts.items()}
    return named


def unroll(cell: Any, with_lengths: bool = True, scope: str = "rnn", **options: Any) -> Build:
    """Returns a builder that runs a cell with dynamic_rnn."""

    def build(inputs: Any, lengths: Any) -> Tensors:
        start = cell.zero_state(tf.shape(inputs)[1 if options.get("time_major") else 0], tf.float32)
        taken = lengths if with_lengths else None
        outputs, state = v1.nn.dynamic_rnn(
            cell, inputs, taken, initial_state=start, scope=scope, **options
        )
        return {"outputs": outputs, **name_states(state if isinstance(cell, Stack) else [state])}

    return build


def unroll_by_hand(cell: Any, steps: int = TIME) -> Build:
    """Returns a builder that repeats the step of a cell, as rnn_decoder does."""

    def build(inputs: Any, lengths: Any) -> Tensors:
        state = cell.zero_state(tf.shape(inputs)[0], tf.float32)
        outputs = []
        with v1.variable_scope("rnn"):
            for x in tf.unstack(tf.reshape(inputs, [-1, TIME, WIDTH]), axis=1)[:steps]:
                output, state = cell(x, state)
                outputs.append(output)
        states = name_states(state if isinstance(cell, Stack) else [state])
        return {"outputs": tf.stack(outputs, 1), **states}

    return build


def fuse(
    layers: Sequence[int] = (UNITS,),
    reversing: bool = False,
    with_lengths: bool = True,
    **options: Any,
) -> Build:
    """Returns a builder of LSTMBlockFusedCell layers, in both directions if reversing."""

    def build(inputs: Any, lengths: Any) -> Tensors:
        x, answers = tf.transpose(inputs, [1, 0, 2]), {}
        for layer, units in enumerate(layers):
            parts = []
            for prefix in ("fw_", "bw_") if reversing else ("",):
                back = prefix == "bw_"
                taken = tf.reverse_sequence(x, lengths, 0, 1) if back else x
                with v1.variable_scope(f"{prefix}{layer}"):
                    y, c, h = _fused(taken, lengths if with_lengths else None, units, options)
                parts.append(tf.reverse_sequence(y, lengths, 0, 1) if back else y)
                answers |= {f"{prefix}c_{layer}": c, f"{prefix}h_{layer}": h}
            x = tf.concat(parts, 2)
        return {"outputs": tf.transpose(x, [1, 0, 2]), **answers}

    return build


def _fused(x: Any, lengths: Any, units: int, options: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Returns outputs and final states, as LSTMBlockWrapper of TensorFlow 1.15 computes them."""
    time, batch = tf.shape(x)[0], tf.shape(x)[1]
    zeros, none = tf.zeros([batch, units]), tf.zeros([units])
    shape = [x.shape[2] + units, 4 * units]
    peepholes = {
        f"wc{g}": variable(f"w_{g}_diag", [units]) for g in "ifo" if "use_peephole" in options
    }
    longest = time if lengths is None else tf.reduce_max(lengths)
    op = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(longest, tf.int64),
        x=x,
        cs_prev=zeros,
        h_prev=zeros,
        w=variable("kernel", shape),
        b=variable("bias", shape[1:]),
        **({"wci": none, "wcf": none, "wco": none} | peepholes),
        **options,
    )
    if lengths is None:
        return op.h, op.cs[-1], op.h[-1]
    mask = tf.transpose(tf.sequence_mask(lengths, time, tf.float32), [1, 0])
    outputs = op.h * tf.tile(tf.expand_dims(mask, [-1]), [1, 1, units])
    last = tf.stack([lengths, tf.range(batch)], axis=1)
    states = (tf.concat([zeros[None], states], 0) for states in (op.cs, outputs))
    c, h = (tf.gather_nd(every, last) for every in states)
    return outputs, c, h


def scan_by_hand(
    state_first: bool = False, packed: bool = False, gate: Unary = tf.sigmoid
) -> Build:
    """Returns a builder of an LSTM with two matrices and a bias for each gate, in tf.scan."""

    def weights(name: str) -> tuple[Any, Any, Any]:
        with v1.variable_scope(f"LSTMcell/{name}"):
            shapes = {"wx": [WIDTH, UNITS], "wt": [UNITS, UNITS], "bi": [UNITS]}
            return tuple(variable(key, shape) for key, shape in shapes.items())

    def build(inputs: Any, lengths: Any) -> Tensors:
        names = ("input_gate", "forget_gate", "memory_cell", "output_gate")
        gates = {name: weights(name) for name in names}

        def step(state: Any, x: Any) -> Any:
            h, c = tf.unstack(state) if packed else state
            z = {}
            for name, (wx, wt, bi) in gates.items():
                products = [tf.matmul(x, wx), tf.matmul(h, wt)]
                first, second = reversed(products) if state_first else products
                z[name] = first + second + bi
            c = gate(z["forget_gate"]) * c + gate(z["input_gate"]) * tf.tanh(z["memory_cell"])
            h = gate(z["output_gate"]) * tf.tanh(c)
            return tf.stack([h, c]) if packed else (h, c)

        zeros = tf.zeros([tf.shape(inputs)[0], UNITS])
        start = tf.stack([zeros, zeros]) if packed else (zeros, zeros)
        states = tf.scan(step, tf.transpose(inputs, [1, 0, 2]), initializer=start)
        h, c = (states[:, 0], states[:, 1]) if packed else states
        return {"outputs": tf.transpose(h, [1, 0, 2]), "h_0": h[-1], "c_0": c[-1]}

    return build
