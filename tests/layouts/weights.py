"""Random cells in every registered layout: no two numbers alike, and sizes that all differ."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import Cell, CellKind, Fact, Origin
from rnn_migrator.layouts import Layout, all_layouts, get_layout
from rnn_migrator.layouts.canonical_form import as_source

Array = Any
Arrays = dict[str, Array]

ROUNDING = 1e-12
"""What float64 may be off by in one step."""

BROKEN = 1e-3
"""What a wrong conversion is off by at the least; nine orders above rounding."""

SIZES = {"I": 3, "U": 5, "P": 4, "A": 3, "B": 2}
INPUTS, UNITS = SIZES["I"], SIZES["U"]
SPATIAL = (7, 6)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A layout with one choice of the tensors it may lack."""

    layout: Layout
    roles: tuple[str, ...]

    def __str__(self) -> str:
        lacking = [role for role in self.layout.roles if role not in self.roles]
        return f"{self.layout.name} without {'+'.join(lacking)}" if lacking else self.layout.name

    @property
    def projected(self) -> bool:
        return "projection" in self.roles

    def shapes(self, sizes: Mapping[str, int] = SIZES) -> dict[str, tuple[int, ...]]:
        width = sizes["P"] if self.projected else sizes["U"]
        return self.layout.shapes({**sizes, "H": width}, self.roles)

    def tensors(
        self, sizes: Mapping[str, int] = SIZES, seed: int = 11, dtype: Any = "f4"
    ) -> Arrays:
        """Tensors by role, read-only: a conversion may not alter them."""
        rng = np.random.default_rng(seed)
        tensors = {}
        for role, shape in self.shapes(sizes).items():
            tensors[role] = rng.normal(0, 0.7, size=shape).astype(dtype)
            tensors[role].flags.writeable = False
        return tensors

    def cell(self, dtype: Any = "f8", **facts: Any) -> Cell:
        return self.layout.to_canonical(self.tensors(dtype=dtype), facts_for(self.layout, **facts))


def _groups(layout: Layout) -> list[tuple[str, ...]]:
    """Optional tensors that come and go together."""
    if not layout.name.startswith("canonical_"):
        alone = [(role,) for role in layout.roles if role in layout.optional - layout.together]
        return [tuple(r for r in layout.roles if r in layout.together), *alone]
    parts: dict[str, list[str]] = {}
    for role in layout.roles:
        if role in layout.optional:
            parts.setdefault("norm" if "norm" in role else role.split("/")[-1], []).append(role)
    return [tuple(roles) for roles in parts.values()]


def _exists(layout: Layout, roles: Iterable[str]) -> bool:
    there = {role.split("/")[-1] for role in roles}
    if layout.name == "tf1_layer_norm_lstm":
        return ("bias" in there) is not ("gamma" in there)
    return "recurrent_bias" not in there or "bias" in there


def variants_of(layout: Layout) -> list[Variant]:
    """Every choice of optional tensors, the fullest first."""
    found = []
    groups = [group for group in _groups(layout) if group]
    for kept in itertools.product((True, False), repeat=len(groups)):
        gone = {
            role for group, keep in zip(groups, kept, strict=True) if not keep for role in group
        }
        roles = tuple(role for role in layout.roles if role not in gone)
        if _exists(layout, roles):
            found.append(Variant(layout, roles))
    return found


VARIANTS = [variant for layout in all_layouts() for variant in variants_of(layout)]
SOURCES = [v for v in VARIANTS if not v.layout.name.startswith("canonical_")]
"""What lies in files; the canonical form does not."""


def facts_for(layout: Layout, **values: Any) -> dict[str, Fact[Any]]:
    """Facts away from every default, as far as the layout leaves a choice."""
    chosen: dict[str, Any] = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    chosen["forget_bias"] = 1.7 if layout.adds_forget_bias else 0.0
    chosen["cell_clip"] = 0.6 if "cell_clip" in layout.clips else None
    chosen["proj_clip"] = 0.4 if "proj_clip" in layout.clips else None
    conventions = {"reset_after": True, "update_keeps": "candidate"}
    chosen |= {name: conventions[name] for name in layout.leaves_open}
    if layout.kind is CellKind.CONV_LSTM:
        chosen["convolution"] = convolution(channels_first=layout.name.endswith("_th"))
    return {name: Fact(value, Origin.USER) for name, value in (chosen | values).items()}


def convolution(channels_first: bool = False, **values: Any) -> dict[str, Any]:
    chosen = {
        "strides": (2, 1),
        "padding": "same",
        "data_format": "channels_first" if channels_first else "channels_last",
        "dilation_rate": (1, 1),
    }
    return chosen | values


def beginning(cell: Cell, seed: int = 5) -> tuple[Array, Arrays]:
    """A random input and random states; equal for cells of equal sizes."""
    rng = np.random.default_rng(seed)
    if cell.kind is not CellKind.CONV_LSTM:
        x = rng.normal(size=(6, cell.input_size))
        sizes = cell.state_sizes.items()
        return x, {name: rng.uniform(-1, 1, size=(6, size)) for name, size in sizes}
    shape = [2, *SPATIAL]
    shape.insert(1 if cell.convolution["data_format"] == "channels_first" else 3, cell.input_size)
    x = rng.normal(size=shape)
    zeros = get_layout("keras_conv_lstm").zero_states(cell, x)
    return x, {name: rng.uniform(-1, 1, size=maps.shape) for name, maps in zeros.items()}


def run_step(layout: Layout, tensors: Arrays, facts: Mapping[str, Fact[Any]]) -> Arrays:
    """One step by the formula of a layout, in float64."""
    doubles = {role: array.astype(np.float64) for role, array in tensors.items()}
    x, states = beginning(layout.to_canonical(doubles, facts))
    return layout.step(doubles, facts, x, states)


def run_cell(cell: Cell, begin: tuple[Array, Arrays] | None = None) -> Arrays:
    """One step by the formula of the canonical form."""
    source = as_source(cell).source
    x, states = begin or beginning(cell)
    return get_layout(source.layout).step(source.tensors, source.facts, x, states)


def distance(one: Mapping[str, Array], other: Mapping[str, Array]) -> float:
    """Largest difference between two sets of states."""
    if one.keys() != other.keys():
        raise ValueError(f"states {sorted(one)} against {sorted(other)}")
    if any(one[name].shape != other[name].shape for name in one):
        raise ValueError("states of different shapes")
    return max(float(np.max(np.abs(one[name] - other[name]))) for name in one)


def parts(cell: Cell) -> Arrays:
    """Every array of a cell, by its role in the canonical form."""
    return dict(as_source(cell).source.tensors)
