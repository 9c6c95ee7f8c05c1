"""Random cells in every registered layout: no two numbers alike, and sizes that all differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_migrator.canonical import CellKind, Fact, Origin
from rnn_migrator.layouts import Layout

Array = Any

ROUNDING = 1e-12
"""What float64 may be off by in one step."""

BROKEN = 1e-3
"""What a wrong conversion is off by at the least; nine orders above rounding."""


def random_tensors(layout: Layout, inputs: int, units: int, seed: int = 11) -> dict[str, Array]:
    """Tensors by role, float32 as in the files, and read-only: a conversion may not alter them."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for role, shape in layout.shapes(inputs, units).items():
        tensors[role] = rng.normal(0, 0.7, size=shape).astype(np.float32)
        tensors[role].flags.writeable = False
    return tensors


def facts_for(layout: Layout, **values: Any) -> dict[str, Fact[Any]]:
    """Facts away from every default, as far as the layout leaves a choice."""
    chosen = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    if layout.kind is CellKind.LSTM:
        adds = layout.name in ("tf1_lstm", "per_gate_lstm")
        chosen |= {"forget_bias": 1.7 if adds else 0.0, "cell_clip": 0.9}
    return {name: Fact(value, Origin.USER) for name, value in (chosen | values).items()}


def run_step(
    layout: Layout, tensors: dict[str, Array], facts: dict[str, Fact[Any]]
) -> dict[str, Array]:
    """One step in float64 from a random input and state; equal for equal sizes."""
    doubles = {role: array.astype(np.float64) for role, array in tensors.items()}
    sizes = layout.sizes(tensors[layout.sizing_role].shape)
    if sizes is None:
        raise ValueError(f"no {layout.name} has such a {layout.sizing_role}")
    inputs, units = sizes
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6, inputs))
    states = {name: rng.uniform(-1, 1, size=(6, units)) for name in layout.kind.states}
    return layout.step(doubles, facts, x, states)


def distance(one: dict[str, Array], other: dict[str, Array]) -> float:
    """Largest difference between two sets of states."""
    if one.keys() != other.keys():
        raise ValueError(f"states {sorted(one)} against {sorted(other)}")
    return max(float(np.max(np.abs(one[name] - other[name]))) for name in one)
