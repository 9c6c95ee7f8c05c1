"""What the cuDNN op computes, in numpy, from its documentation and not from our code.

No GPU is needed: tests put `emulate` in the place of the op.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any

ORDERS = {"lstm": "ifgo", "gru": "rzn"}
"""Order of the gates in the flat buffer."""


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def unpack(buffer: Array, mode: str, inputs: int, units: int) -> list[dict[str, Array]]:
    """Input matrices, recurrent matrices, input biases and recurrent biases, by gate."""
    shapes = [(units, inputs), (units, units), (units,), (units,)]
    weights, start = [], 0
    for shape in shapes:
        gates = {}
        for gate in ORDERS[mode]:
            stop = start + int(np.prod(shape))
            gates[gate] = np.reshape(buffer[start:stop], shape)
            start = stop
        weights.append(gates)
    if start != len(buffer):
        raise ValueError(f"expected a buffer of {start} numbers, received {len(buffer)}")
    return weights


def lstm_step(weights: list[dict[str, Array]], x: Array, h: Array, c: Array) -> tuple[Array, ...]:
    w, r, bw, br = weights
    pre = {gate: w[gate] @ x + r[gate] @ h + bw[gate] + br[gate] for gate in w}
    c = sigmoid(pre["f"]) * c + sigmoid(pre["i"]) * np.tanh(pre["g"])
    return sigmoid(pre["o"]) * np.tanh(c), c


def gru_step(weights: list[dict[str, Array]], x: Array, h: Array) -> tuple[Array, ...]:
    w, r, bw, br = weights
    reset = sigmoid(w["r"] @ x + r["r"] @ h + bw["r"] + br["r"])
    update = sigmoid(w["z"] @ x + r["z"] @ h + bw["z"] + br["z"])
    new = np.tanh(w["n"] @ x + bw["n"] + reset * (r["n"] @ h + br["n"]))
    return ((1 - update) * new + update * h,)


STEPS = {"lstm": lstm_step, "gru": gru_step}


def run_cudnn(
    sequences: Array, states: Sequence[Array], buffer: Array, lengths: Array, mode: str
) -> list[Array]:
    """Outputs, zero past the lengths, and final states, as the op documents them."""
    batch, time, inputs = sequences.shape
    if lengths.shape != (batch,) or not np.all((lengths >= 1) & (lengths <= time)):
        raise ValueError(f"expected {batch} lengths from 1 to {time}, received {lengths}")
    units = states[0].shape[-1]
    weights = unpack(buffer, mode, inputs, units)
    outputs = np.zeros((batch, time, units), sequences.dtype)
    finals = [np.array(state) for state in states]
    for row, length in enumerate(lengths):
        state = [final[row] for final in finals]
        for t in range(length):
            state = STEPS[mode](weights, sequences[row, t], *state)
            outputs[row, t] = state[0]
        for final, last in zip(finals, state, strict=True):
            final[row] = last
    return [outputs, *finals]


def emulate(
    sequences: Any, states: list[Any], params: Any, lengths: Any, mode: str
) -> tuple[Any, list[Any]]:
    """Stands in for `cudnn.rnn`, in a graph too."""
    import tensorflow as tf

    def run(x: Array, buffer: Array, steps: Array, *first: Array) -> list[Array]:
        return run_cudnn(x, first, buffer, steps, mode)

    types = [sequences.dtype] * (1 + len(states))
    outputs, *finals = tf.numpy_function(run, [sequences, params, lengths, *states], types)
    outputs.set_shape([*sequences.shape[:2], states[0].shape[-1]])
    for final, state in zip(finals, states, strict=True):
        final.set_shape(state.shape)
    return outputs, finals
