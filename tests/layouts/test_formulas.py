"""The formulas of the layouts against others, written from the reference of the weight layouts.

These here share nothing with the package: they take the arrays apart by columns, with a logistic
function of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rnn_migrator.layouts import get_layout
from tests.layouts.weights import (
    BROKEN,
    ROUNDING,
    SOURCES,
    Variant,
    beginning,
    distance,
    facts_for,
    variants_of,
)

Array = Any
Arrays = dict[str, Array]
Formula = Callable[[Arrays, Any, Array, Arrays], Arrays]


def sg(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def bounded(x: Array, bound: float | None) -> Array:
    return x if bound is None else np.minimum(np.maximum(x, -bound), bound)


def columns(matrix: Array, number: int) -> list[Array]:
    width = matrix.shape[-1] // number
    return [matrix[..., k * width : (k + 1) * width] for k in range(number)]


def tf1_lstm(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    i, c, f, o = columns(np.hstack([x, s["h"]]) @ w["kernel"] + w["bias"], 4)
    w_i, w_f, w_o = (w.get(f"w_{gate}_diag", 0.0) for gate in "ifo")
    kept = sg(f + fact("forget_bias") + w_f * s["c"]) * s["c"]
    new = bounded(kept + sg(i + w_i * s["c"]) * np.tanh(c), fact("cell_clip"))
    m = sg(o + w_o * new) * np.tanh(new)
    if "projection" in w:
        m = bounded(m @ w["projection"], fact("proj_clip"))
    return {"h": m, "c": new}


def tf1_coupled_lstm(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    j, f, o = columns(np.hstack([x, s["h"]]) @ w["kernel"] + w["bias"], 3)
    f = sg(f + fact("forget_bias") + w.get("w_f_diag", 0.0) * s["c"])
    c = f * s["c"] + (1 - f) * np.tanh(j)
    m = sg(o + w.get("w_o_diag", 0.0) * c) * np.tanh(c)
    if "projection" in w:
        m = bounded(m @ w["projection"], fact("proj_clip"))
    return {"h": m, "c": c}


def tf1_layer_norm_lstm(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    def norm(value: Array, scope: str) -> Array:
        if "bias" in w:
            return value
        rows = [
            (row - np.mean(row)) / np.sqrt(np.var(row) + 1e-12) * w[f"{scope}/gamma"]
            + w[f"{scope}/beta"]
            for row in value
        ]
        return np.stack(rows)

    i, j, f, o = columns(np.hstack([x, s["h"]]) @ w["kernel"] + w.get("bias", 0.0), 4)
    i, j = norm(i, "input"), norm(j, "transform")
    f, o = norm(f, "forget"), norm(o, "output")
    c = norm(s["c"] * sg(f + fact("forget_bias")) + sg(i) * np.tanh(j), "state")
    return {"h": np.tanh(c) * sg(o), "c": c}


def tf1_ugrnn(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    g, c = columns(np.hstack([x, s["h"]]) @ w["kernel"] + w["bias"], 2)
    g = sg(g + fact("forget_bias"))
    return {"h": g * s["h"] + (1 - g) * np.tanh(c)}


def tf1_rnn(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    return {"h": np.tanh(np.hstack([x, s["h"]]) @ w["kernel"] + w["bias"])}


def tf1_gru(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    h = s["h"]
    r, u = columns(sg(np.hstack([x, h]) @ w["gates_kernel"] + w["gates_bias"]), 2)
    c = np.tanh(np.hstack([x, r * h]) @ w["candidate_kernel"] + w["candidate_bias"])
    return {"h": u * h + (1 - u) * c}


def tf1_cudnn_gru(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    h = s["h"]
    r, u = columns(sg(np.hstack([x, h]) @ w["gates_kernel"] + w["gates_bias"]), 2)
    hidden = h @ w["hidden_kernel"] + w["hidden_bias"]
    c = np.tanh(x @ w["input_kernel"] + w["input_bias"] + r * hidden)
    return {"h": (1 - u) * c + u * h}


def keras_lstm(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    z = x @ w["kernel"] + s["h"] @ w["recurrent_kernel"] + w.get("bias", 0.0)
    i, f, c, o = columns(z, 4)
    new = sg(f) * s["c"] + sg(i) * np.tanh(c)
    return {"h": sg(o) * np.tanh(new), "c": new}


def keras_rnn(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    return {"h": np.tanh(x @ w["kernel"] + s["h"] @ w["recurrent_kernel"] + w.get("bias", 0.0))}


def keras_gru(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    h, (k_z, k_r, k_h) = s["h"], columns(w["kernel"], 3)
    r_z, r_r, r_h = columns(w["recurrent_kernel"], 3)
    b_z, b_r, b_h = columns(w.get("bias", np.zeros(3 * h.shape[1])), 3)
    z, r = sg(x @ k_z + b_z + h @ r_z), sg(x @ k_r + b_r + h @ r_r)
    return {"h": z * h + (1 - z) * np.tanh(x @ k_h + b_h + (r * h) @ r_h)}


def keras_gru_reset_after(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    h, (row0, row1) = s["h"], w.get("bias", np.zeros((2, 3 * s["h"].shape[1])))
    x_z, x_r, x_h = columns(x @ w["kernel"] + row0, 3)
    h_z, h_r, h_h = columns(h @ w["recurrent_kernel"] + row1, 3)
    z, r = sg(x_z + h_z), sg(x_r + h_r)
    return {"h": z * h + (1 - z) * np.tanh(x_h + r * h_h)}


def keras1_lstm(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    i, f, c, o = (x @ w[f"W_{k}"] + s["h"] @ w[f"U_{k}"] + w[f"b_{k}"] for k in "ifco")
    new = sg(f) * s["c"] + sg(i) * np.tanh(c)
    return {"h": sg(o) * np.tanh(new), "c": new}


def keras1_gru(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    h = s["h"]
    z, r = (sg(x @ w[f"W_{k}"] + h @ w[f"U_{k}"] + w[f"b_{k}"]) for k in "zr")
    return {"h": z * h + (1 - z) * np.tanh(x @ w["W_h"] + (r * h) @ w["U_h"] + w["b_h"])}


def cudnn_gate(w: Arrays, x: Array, h: Array, k: str) -> tuple[Array, Array]:
    """W x + b_W and R h + b_R, column vector by column vector as cuDNN's manual writes it."""
    on_input = np.stack([w[f"w_{k}"] @ row + w[f"b_w_{k}"] for row in x])
    return on_input, np.stack([w[f"r_{k}"] @ row + w[f"b_r_{k}"] for row in h])


def cudnn_lstm(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    i, f, c, o = (sum(cudnn_gate(w, x, s["h"], k)) for k in "ifco")
    new = sg(f) * s["c"] + sg(i) * np.tanh(c)
    return {"h": sg(o) * np.tanh(new), "c": new}


def cudnn_gru(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    h = s["h"]
    r, z = (sg(sum(cudnn_gate(w, x, h, k))) for k in "rz")
    on_input, on_state = cudnn_gate(w, x, h, "h")
    return {"h": (1 - z) * np.tanh(on_input + r * on_state) + z * h}


def cudnn_rnn(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    return {"h": np.tanh(sum(cudnn_gate(w, x, s["h"], "h")))}


def as_cudnn(w: Arrays, gates: str) -> Arrays:
    """The matrices in the arrays of Keras' CuDNN layers, each of which only wears its shape."""
    number = len(gates)
    found = {}
    for index, k in enumerate(gates):
        recurrent = columns(w["recurrent_kernel"], number)[index]
        found[f"w_{k}"] = (
            columns(w["kernel"], number)[index].reshape(-1).reshape(len(recurrent), -1)
        )
        found[f"r_{k}"] = recurrent
        for prefix, half in zip(("b_w", "b_r"), columns(w["bias"], 2), strict=True):
            found[f"{prefix}_{k}"] = columns(half, number)[index]
    return found


def keras_cudnn_lstm(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    return cudnn_lstm(as_cudnn(w, "ifco"), fact, x, s)


def keras_cudnn_gru(w: Arrays, fact: Any, x: Array, s: Arrays) -> Arrays:
    return cudnn_gru(as_cudnn(w, "zrh"), fact, x, s)


FORMULAS: dict[str, Formula] = {
    "tf1_lstm": tf1_lstm,
    "tf1_coupled_lstm": tf1_coupled_lstm,
    "tf1_layer_norm_lstm": tf1_layer_norm_lstm,
    "tf1_ugrnn": tf1_ugrnn,
    "tf1_rnn": tf1_rnn,
    "tf1_gru": tf1_gru,
    "tf1_cudnn_gru": tf1_cudnn_gru,
    "keras_lstm": keras_lstm,
    "keras_rnn": keras_rnn,
    "keras_gru": keras_gru,
    "keras_gru_reset_after": keras_gru_reset_after,
    "keras_cudnn_lstm": keras_cudnn_lstm,
    "keras_cudnn_gru": keras_cudnn_gru,
    "keras1_lstm": keras1_lstm,
    "keras1_gru": keras1_gru,
    "cudnn_canonical_lstm": cudnn_lstm,
    "cudnn_canonical_gru": cudnn_gru,
    "cudnn_canonical_rnn": cudnn_rnn,
}
VARIANTS = [variant for variant in SOURCES if variant.layout.name in FORMULAS]


def both(variant: Variant, formula: Formula) -> tuple[Arrays, Arrays]:
    """Three steps of the layout's formula and of another one."""
    layout, tensors = variant.layout, variant.tensors(dtype="f8")
    facts = facts_for(layout)
    x, begin = beginning(layout.to_canonical(tensors, facts))
    one, other = begin, begin
    for _ in range(3):
        one = layout.step(tensors, facts, x, one)
        other = formula(tensors, lambda name: facts[name].value, x, other)
        x = x[::-1] + 0.1
    return one, other


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_step_is_that_of_the_reference(variant: Variant) -> None:
    one, other = both(variant, FORMULAS[variant.layout.name])
    assert distance(one, other) < ROUNDING


def test_all_sources_but_the_hand_written_and_the_convolutions_are_here() -> None:
    """Those are checked against Keras, which computes the same from its own arrays."""
    others = {v.layout.name for v in SOURCES} - set(FORMULAS)
    assert all("conv" in name or name.startswith("per_gate") for name in others)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("keras_cudnn_lstm", lambda w, *rest: cudnn_lstm(as_cudnn(w, "icfo"), *rest)),
        ("keras_cudnn_gru", lambda w, *rest: cudnn_gru(as_cudnn(w, "rzh"), *rest)),
        ("tf1_cudnn_gru", lambda w, f, x, s: tf1_cudnn_gru({**w, "hidden_bias": 0.0}, f, x, s)),
        ("tf1_ugrnn", lambda w, f, x, s: tf1_ugrnn(w, lambda _: 0.0, x, s)),
    ],
)
def test_another_formula_is_told_apart(name: str, formula: Formula) -> None:
    one, other = both(variants_of(get_layout(name))[0], formula)
    assert distance(one, other) > BROKEN
