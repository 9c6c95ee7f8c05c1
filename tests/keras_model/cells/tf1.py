"""What the cells of TensorFlow 1.15 compute, in numpy, from their sources and not from our code.

Variables, layouts and forget biases are TensorFlow's; only the states come h first. A `mistake`
names something that one gets wrong easily; a test must notice it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Array = Any
Variables = Mapping[str, Array]
States = list[Array]
Step = Callable[..., tuple[Array, States]]
"""(inputs, states, mistake="") to output and states."""

MISTAKES: dict[str, list[str]] = {
    "lstm": [
        "input and forget swapped",
        "candidate and output swapped",
        "no input peephole",
        "no forget peephole",
        "no output peephole",
        "output peephole sees the old c",
        "no cell clip",
        "cell clip after the output",
        "no forgetting",
        "no forget bias",
        "no projection clip",
    ],
    "layer_norm_lstm": [
        "input and forget swapped",
        "gates normalised together",
        "state not normalised",
        "output sees c before its normalisation",
        "sample variance",
        "no forget bias",
    ],
    "coupled_lstm": [
        "forget takes in",
        "no forget peephole",
        "no output peephole",
        "output peephole sees the old c",
        "no projection clip",
        "no forget bias",
    ],
    "ugrnn": ["gate and candidate swapped", "gate lets in", "no forget bias"],
}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def clip(x: Array, bound: float | None) -> Array:
    return x if bound is None else np.minimum(np.maximum(x, -bound), bound)


def lstm(
    v: Variables,
    x: Array,
    states: States,
    mistake: str = "",
    *,
    forget_bias: float = 0.0,
    cell_clip: float | None = None,
    proj_clip: float | None = None,
    activation: Callable[[Array], Array] = np.tanh,
    gate: Callable[[Array], Array] = sigmoid,
) -> tuple[Array, States]:
    """`LSTMCell.call`, tensorflow/python/ops/rnn_cell_impl.py."""
    m_prev, c_prev = states
    i, j, f, o = np.split(np.concatenate([x, m_prev], 1) @ v["kernel"] + v["bias"], 4, axis=1)
    w = {
        g: 0.0 if mistake == f"no {g} peephole" else v.get(f"w_{g[0]}_diag", 0.0)
        for g in ("input", "forget", "output")
    }
    if mistake == "input and forget swapped":
        i, f = f, i
    if mistake == "candidate and output swapped":
        j, o = o, j
    if mistake == "no forget bias":
        forget_bias = 0.0
    kept = gate(f + forget_bias + w["forget"] * c_prev)
    if mistake == "no forgetting":
        kept = 1.0
    whole = kept * c_prev + gate(i + w["input"] * c_prev) * activation(j)
    c = whole if mistake == "no cell clip" else clip(whole, cell_clip)
    shown = whole if mistake == "cell clip after the output" else c
    seen = c_prev if mistake == "output peephole sees the old c" else shown
    m = gate(o + w["output"] * seen) * activation(shown)
    if "projection/kernel" in v:
        m = m @ v["projection/kernel"]
        m = m if mistake == "no projection clip" else clip(m, proj_clip)
    return m, [m, c]


def norm(x: Array, gamma: Array, beta: Array, ddof: int = 0) -> Array:
    """`layer_norm`, tensorflow/contrib/layers/python/layers/layers.py."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, ddof=ddof, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * gamma + beta


def layer_norm_lstm(
    v: Variables,
    x: Array,
    states: States,
    mistake: str = "",
    *,
    forget_bias: float = 0.0,
    activation: Callable[[Array], Array] = np.tanh,
) -> tuple[Array, States]:
    """`LayerNormBasicLSTMCell.call`, tensorflow/contrib/rnn/python/ops/rnn_cell.py."""
    h, c = states
    concat = np.concatenate([x, h], 1) @ v["kernel"]
    if mistake == "gates normalised together":
        concat = norm(concat, 1.0, 0.0)
    i, j, f, o = np.split(concat, 4, axis=1)
    if mistake == "input and forget swapped":
        i, f = f, i

    def normal(scope: str, z: Array) -> Array:
        gamma, beta = v[f"{scope}/gamma"], v[f"{scope}/beta"]
        if mistake == "gates normalised together" and scope != "state":
            return z * gamma + beta
        return norm(z, gamma, beta, ddof=int(mistake == "sample variance"))

    i, j, f, o = (
        normal("input", i),
        normal("transform", j),
        normal("forget", f),
        normal("output", o),
    )
    bias = 0.0 if mistake == "no forget bias" else forget_bias
    raw = c * sigmoid(f + bias) + sigmoid(i) * activation(j)
    c = raw if mistake == "state not normalised" else normal("state", raw)
    shown = raw if mistake == "output sees c before its normalisation" else c
    h = activation(shown) * sigmoid(o)
    return h, [h, c]


def coupled_lstm(
    v: Variables,
    x: Array,
    states: States,
    mistake: str = "",
    *,
    forget_bias: float = 0.0,
    proj_clip: float | None = None,
    activation: Callable[[Array], Array] = np.tanh,
) -> tuple[Array, States]:
    """`CoupledInputForgetGateLSTMCell.call`, the same file, without layer_norm."""
    m_prev, c_prev = states
    j, f, o = np.split(np.concatenate([x, m_prev], 1) @ v["W_0"] + v["B"], 3, axis=1)
    w_f = 0.0 if mistake == "no forget peephole" else v.get("W_F_diag", 0.0)
    w_o = 0.0 if mistake == "no output peephole" else v.get("W_O_diag", 0.0)
    bias = 0.0 if mistake == "no forget bias" else forget_bias
    f_act = sigmoid(f + bias + w_f * c_prev)
    if mistake == "forget takes in":
        f_act = 1 - f_act
    c = f_act * c_prev + (1 - f_act) * activation(j)
    seen = c_prev if mistake == "output peephole sees the old c" else c
    m = sigmoid(o + w_o * seen) * activation(c)
    if "W_P_0" in v:
        m = m @ v["W_P_0"]
        m = m if mistake == "no projection clip" else clip(m, proj_clip)
    return m, [m, c]


def ugrnn(
    v: Variables,
    x: Array,
    states: States,
    mistake: str = "",
    *,
    forget_bias: float = 0.0,
    activation: Callable[[Array], Array] = np.tanh,
) -> tuple[Array, States]:
    """`UGRNNCell.call`, the same file."""
    [h] = states
    g, c = np.split(np.concatenate([x, h], 1) @ v["kernel"] + v["bias"], 2, axis=1)
    if mistake == "gate and candidate swapped":
        g, c = c, g
    g = sigmoid(g + (0.0 if mistake == "no forget bias" else forget_bias))
    if mistake == "gate lets in":
        g = 1 - g
    h = g * h + (1 - g) * activation(c)
    return h, [h]


def stacked(cells: Sequence[tuple[Step, int]]) -> Step:
    """Cells one on another, as `MultiRNNCell`, each with the number of its states."""

    def step(x: Array, states: States, mistake: str = "") -> tuple[Array, States]:
        rest, finals = list(states), []
        for each, count in cells:
            own, rest = rest[:count], rest[count:]
            x, after = each(x, own, mistake=mistake)
            finals += after
        return x, finals

    return step


def unroll(
    step: Step,
    x: Array,
    states: States,
    mask: Array | None = None,
    *,
    zeros: bool = True,
    go_backwards: bool = False,
    mistake: str = "",
) -> list[Array]:
    """Outputs (batch, time, width) in the order they were computed, then final states.

    Where the mask is False the states stay, and the output is zero as in `dynamic_rnn`
    (`zeros`) or, as in Keras without `zero_output_for_mask`, the one before.
    """
    batch, time, _ = x.shape
    flags = np.ones((batch, time), bool) if mask is None else mask
    outputs: list[Array] = []
    for t in reversed(range(time)) if go_backwards else range(time):
        output, after = step(x[:, t], states, mistake=mistake)
        flag = flags[:, t, np.newaxis]
        otherwise = outputs[-1] if outputs and not zeros else np.zeros_like(output)
        outputs.append(np.where(flag, output, otherwise))
        states = [np.where(flag, new, old) for new, old in zip(after, states, strict=True)]
    return [np.stack(outputs, axis=1), *states]
