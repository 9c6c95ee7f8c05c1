"""Every known mistake of a conversion shows in one step, in every variant of every source."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import Cell, CellKind, Fact, Gate, Norm, Origin
from tests.layouts.weights import (
    BROKEN,
    ROUNDING,
    SIZES,
    SOURCES,
    Variant,
    beginning,
    distance,
    facts_for,
    run_cell,
    run_step,
)


def those_with(has: Callable[[Cell], Any]) -> pytest.MarkDecorator:
    """The variants whose cells have something."""
    found = [variant for variant in SOURCES if has(variant.cell())]
    return pytest.mark.parametrize("variant", found, ids=str)


sources = those_with(lambda cell: True)
PARTS = tuple(field.name for field in dataclasses.fields(Gate))


def cell_of(variant: Variant, **sizes: int) -> Cell:
    tensors = variant.tensors(SIZES | sizes, dtype="f8")
    return variant.layout.to_canonical(tensors, facts_for(variant.layout))


def shows(cell: Cell, wrong: Cell) -> bool:
    """Whether one step of both differs, from the same input and states."""
    begin = beginning(cell)
    right = run_cell(cell, begin)
    assert distance(run_cell(cell, begin), right) < ROUNDING
    return distance(run_cell(wrong, begin), right) > BROKEN


def with_gates(cell: Cell, **gates: Gate) -> Cell:
    return dataclasses.replace(cell, gates={**cell.gates, **gates})


def with_part(cell: Cell, name: str, part: str, value: Any) -> Cell:
    return with_gates(cell, **{name: dataclasses.replace(cell.gates[name], **{part: value})})


def told(**values: Any) -> dict[str, Fact[Any]]:
    return {name: Fact(value, Origin.USER) for name, value in values.items()}


def bounds_of(cell: Cell) -> dict[str, float]:
    facts = {
        name: cell.facts[name].value for name in ("cell_clip", "proj_clip") if name in cell.facts
    }
    return {name: value for name, value in facts.items() if value is not None}


def pairs(cell: Cell) -> Iterator[tuple[str, str]]:
    return itertools.combinations(cell.gates, 2)


@those_with(lambda cell: len(cell.gates) > 1)
@pytest.mark.parametrize("sizes", [{}, {"I": 5, "U": 3}, {"I": 4, "U": 4}], ids=str)
def test_every_swap_of_two_gates_shows(variant: Variant, sizes: dict[str, int]) -> None:
    cell = cell_of(variant, **sizes)
    for one, other in pairs(cell):
        swapped = with_gates(cell, **{one: cell.gates[other], other: cell.gates[one]})
        assert shows(cell, swapped), (one, other)


@those_with(lambda cell: len(cell.gates) > 1)
@pytest.mark.parametrize("part", PARTS)
def test_every_swap_within_one_part_shows(variant: Variant, part: str) -> None:
    """Kernels in the right order and recurrent kernels in the wrong one, say."""
    cell = cell_of(variant)
    for one, other in pairs(cell):
        this, that = (getattr(cell.gates[name], part) for name in (one, other))
        if this is not None and that is not None:
            swapped = with_part(with_part(cell, one, part, that), other, part, this)
            assert shows(cell, swapped), (one, other)


@those_with(lambda cell: len(cell.peepholes) > 1 or cell.norms)
def test_every_swap_of_peepholes_or_norms_shows(variant: Variant) -> None:
    cell = cell_of(variant)
    for field in ("peepholes", "norms"):
        found = getattr(cell, field)
        for one, other in itertools.combinations(found, 2):
            swapped = {**found, one: found[other], other: found[one]}
            assert shows(cell, dataclasses.replace(cell, **{field: swapped})), (one, other)


@sources
@pytest.mark.parametrize("sizes", [{}, {"I": 4, "U": 4}], ids=str)
def test_every_transposed_block_shows(variant: Variant, sizes: dict[str, int]) -> None:
    cell = cell_of(variant, **sizes)
    for name, gate in cell.gates.items():
        # Where the block is not square, this is cuDNN's matrix that only wears the shape.
        refilled = gate.kernel.swapaxes(-1, -2).reshape(gate.kernel.shape)
        assert shows(cell, with_part(cell, name, "kernel", refilled)), name
        turned = gate.recurrent.swapaxes(-1, -2).reshape(gate.recurrent.shape)
        assert shows(cell, with_part(cell, name, "recurrent", turned)), name


@those_with(lambda cell: cell.convolution)
def test_a_flipped_kernel_shows(variant: Variant) -> None:
    """Theano's convolutions turn their kernels around."""
    cell = cell_of(variant)
    for part, name in itertools.product(("kernel", "recurrent"), cell.gates):
        flipped = getattr(cell.gates[name], part)[::-1, ::-1]
        assert shows(cell, with_part(cell, name, part, flipped)), (name, part)


@those_with(lambda cell: cell.has_bias)
def test_every_lost_bias_shows(variant: Variant) -> None:
    cell = cell_of(variant)
    for name, part in itertools.product(cell.gates, ("bias", "recurrent_bias")):
        if getattr(cell.gates[name], part) is not None:
            assert shows(cell, with_part(cell, name, part, None)), (name, part)


@those_with(lambda cell: cell.peepholes)
def test_every_lost_peephole_shows(variant: Variant) -> None:
    cell = cell_of(variant)
    for lost in cell.peepholes:
        kept = {name: w for name, w in cell.peepholes.items() if name != lost}
        assert shows(cell, dataclasses.replace(cell, peepholes=kept)), lost


@those_with(lambda cell: "output" in cell.peepholes)
def test_a_peephole_of_the_old_state_shows(variant: Variant) -> None:
    """That of the output gate sees the new one."""
    cell = cell_of(variant)
    begin = beginning(cell)
    _, states = begin
    right = run_cell(cell, begin)
    wrong = dict(cell.peepholes)
    sees = wrong.pop("output")
    # As a bias row by row, since it depends on the state.
    gate = cell.gates["output"]
    biased = with_part(
        dataclasses.replace(cell, peepholes=wrong),
        "output",
        "bias",
        (0.0 if gate.bias is None else gate.bias) + sees * states["c"],
    )
    assert distance(run_cell(biased, begin), right) > BROKEN


@those_with(lambda cell: cell.projection is not None)
def test_a_lost_projection_shows(variant: Variant) -> None:
    cell = cell_of(variant)
    assert cell.projection is not None
    first = np.eye(*cell.projection.shape)
    assert shows(cell, dataclasses.replace(cell, projection=first))


@those_with(lambda cell: cell.projection is not None)
def test_a_transposed_projection_shows(variant: Variant) -> None:
    cell = cell_of(variant, P=SIZES["U"])
    assert cell.projection is not None
    assert shows(cell, dataclasses.replace(cell, projection=cell.projection.T))


@those_with(lambda cell: cell.norms)
def test_every_lost_norm_shows(variant: Variant) -> None:
    cell = cell_of(variant)
    for lost, norm in cell.norms.items():
        kept = {name: n for name, n in cell.norms.items() if name != lost}
        assert shows(cell, dataclasses.replace(cell, norms=kept)), lost
        for wrong in (
            Norm(np.ones_like(norm.gamma), norm.beta),
            Norm(norm.gamma, np.zeros_like(norm.beta)),
            Norm(norm.beta, norm.gamma),
        ):
            norms = {**cell.norms, lost: wrong}
            assert shows(cell, dataclasses.replace(cell, norms=norms)), lost


@those_with(lambda cell: bounds_of(cell))
@pytest.mark.parametrize("factor", [None, 0.5, 2.0])
def test_every_wrong_clip_shows(variant: Variant, factor: float | None) -> None:
    cell = cell_of(variant)
    for name, bound in bounds_of(cell).items():
        wrong = told(**{name: None if factor is None else bound * factor})
        assert shows(cell, dataclasses.replace(cell, **wrong)), name


@sources
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "relu"),
        ("activation", "softsign"),
        ("recurrent_activation", "hard_sigmoid"),
        ("recurrent_activation", "tanh"),
    ],
)
def test_every_wrong_activation_shows(variant: Variant, name: str, value: str) -> None:
    cell = cell_of(variant)
    if name in cell.facts:
        assert shows(cell, dataclasses.replace(cell, **told(**{name: value})))
        layout, tensors = variant.layout, variant.tensors()
        right = run_step(layout, tensors, facts_for(layout))
        wrong = run_step(layout, tensors, facts_for(layout, **{name: value}))
        assert distance(wrong, right) > BROKEN


@those_with(lambda cell: "forget_bias" in cell.facts)
@pytest.mark.parametrize("off", [-1.0, 1.0])
def test_a_forget_bias_off_by_one_shows(variant: Variant, off: float) -> None:
    cell = cell_of(variant)
    wrong = dataclasses.replace(cell, **told(forget_bias=cell.forget_bias.value + off))
    assert shows(cell, wrong)
    assert shows(cell, wrong.folded())


@those_with(lambda cell: cell.kind is CellKind.GRU)
def test_a_flipped_update_shows(variant: Variant) -> None:
    cell = cell_of(variant)
    other = "candidate" if cell.update_keeps.value == "state" else "state"
    flipped = dataclasses.replace(cell, **told(update_keeps=other))
    assert shows(cell, flipped)
    assert shows(cell, flipped.folded())


@those_with(lambda cell: cell.kind is CellKind.GRU)
def test_a_flipped_reset_shows(variant: Variant) -> None:
    cell = cell_of(variant)
    flipped = told(reset_after=not cell.reset_after.value)
    assert shows(cell, dataclasses.replace(cell, **flipped))
