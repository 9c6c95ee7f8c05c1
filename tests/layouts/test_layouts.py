"""What every registered layout promises, checked on all of them."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_migrator.canonical import Cell, Gate
from rnn_migrator.layouts import Layout, all_layouts, get_layout
from rnn_migrator.layouts.stock_keras import stock_layout, stock_weights
from tests.layouts.weights import (
    BROKEN,
    ROUNDING,
    distance,
    facts_for,
    random_tensors,
    run_step,
)

INPUTS, UNITS = 3, 5
layouts = pytest.mark.parametrize("layout", all_layouts(), ids=lambda layout: layout.name)
sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)


def converted(layout: Layout, inputs: int = INPUTS, units: int = UNITS) -> Cell:
    return layout.to_canonical(random_tensors(layout, inputs, units), facts_for(layout))


def parts(cell: Cell) -> dict[str, Any]:
    """Every array of a cell."""
    found = {
        f"{name}/{field.name}": getattr(gate, field.name)
        for name, gate in cell.gates.items()
        for field in dataclasses.fields(Gate)
    }
    return {name: array for name, array in found.items() if array is not None}


def with_gates(cell: Cell, **gates: Gate) -> Cell:
    return dataclasses.replace(cell, gates={**cell.gates, **gates})


def step_of(layout: Layout, cell: Cell) -> dict[str, Any]:
    return run_step(layout, layout.from_canonical(cell), facts_for(layout))


def bits(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


def test_the_registry_holds_them_by_name() -> None:
    names = [layout.name for layout in all_layouts()]
    assert len(set(names)) == len(names) >= 8
    assert all(get_layout(layout.name) is layout for layout in all_layouts())


@layouts
@given(inputs=sizes, units=sizes, seed=seeds)
def test_there_and_back_is_identity_bit_for_bit(
    layout: Layout, inputs: int, units: int, seed: int
) -> None:
    tensors = random_tensors(layout, inputs, units, seed)
    returned = layout.from_canonical(layout.to_canonical(tensors, facts_for(layout)))
    assert {role: bits(array) for role, array in returned.items()} == {
        role: bits(array) for role, array in tensors.items()
    }


@layouts
def test_there_and_back_keeps_the_odd_floats(layout: Layout) -> None:
    """Minus zero, denormals and extremes are weights like any other."""
    odd = np.array([-0.0, 0.0, 1e-45, -1e-38, 3.4e38, 1.0], np.float32)
    tensors = {
        role: np.resize(odd, array.shape)
        for role, array in random_tensors(layout, INPUTS, UNITS).items()
    }
    returned = layout.from_canonical(layout.to_canonical(tensors, facts_for(layout)))
    assert all(bits(returned[role]) == bits(array) for role, array in tensors.items())


@layouts
@given(inputs=sizes, units=sizes)
def test_sizes_are_read_off_one_shape(layout: Layout, inputs: int, units: int) -> None:
    shapes = layout.shapes(inputs, units)
    assert tuple(shapes) == layout.roles
    assert layout.sizes(shapes[layout.sizing_role]) == (inputs, units)
    assert layout.problems("here", shapes) == []


@layouts
def test_canonical_gates_have_the_shapes_they_promise(layout: Layout) -> None:
    cell = converted(layout)
    assert set(cell.gates) == set(layout.kind.gates)
    assert (cell.input_size, cell.units) == (INPUTS, UNITS)
    shapes = {
        "kernel": (INPUTS, UNITS),
        "recurrent": (UNITS, UNITS),
        "bias": (UNITS,),
        "recurrent_bias": (UNITS,),
    }
    for name, array in parts(cell).items():
        assert array.shape == shapes[name.split("/")[1]], name


@layouts
def test_no_array_of_the_cell_is_a_view_of_the_source(layout: Layout) -> None:
    tensors = {role: array.copy() for role, array in random_tensors(layout, INPUTS, UNITS).items()}
    before = {role: bits(array) for role, array in tensors.items()}
    cell = layout.to_canonical(tensors, facts_for(layout))
    for array in parts(cell).values():
        array += 1.0
    stock_weights(cell)
    assert {role: bits(array) for role, array in tensors.items()} == before


@layouts
def test_no_weight_is_lost_or_doubled(layout: Layout) -> None:
    tensors = random_tensors(layout, INPUTS, UNITS)
    cell = layout.to_canonical(tensors, facts_for(layout))
    before = np.concatenate([array.ravel() for array in tensors.values()])
    after = np.concatenate([array.ravel() for array in parts(cell).values()])
    np.testing.assert_array_equal(np.sort(before), np.sort(after))


@layouts
@given(inputs=sizes, units=sizes, seed=seeds)
def test_the_stock_keras_layout_computes_the_same(
    layout: Layout, inputs: int, units: int, seed: int
) -> None:
    """In float64 the sums are exact enough to see the conversion and nothing else."""
    tensors = {
        role: array.astype(np.float64)
        for role, array in random_tensors(layout, inputs, units, seed).items()
    }
    facts = facts_for(layout)
    cell = layout.to_canonical(tensors, facts)
    stock = run_step(stock_layout(cell), stock_weights(cell), cell.folded().facts)
    assert distance(stock, run_step(layout, tensors, facts)) < ROUNDING


@layouts
@pytest.mark.parametrize(("inputs", "units"), [(3, 5), (5, 3), (4, 4)])
def test_every_swap_of_two_gates_shows(layout: Layout, inputs: int, units: int) -> None:
    cell = converted(layout, inputs, units)
    right = step_of(layout, cell)
    for one, other in itertools.combinations(layout.kind.gates, 2):
        swapped = with_gates(cell, **{one: cell.gates[other], other: cell.gates[one]})
        assert distance(step_of(layout, swapped), right) > BROKEN, (one, other)


@layouts
@pytest.mark.parametrize("part", ["kernel", "recurrent", "bias"])
def test_every_swap_within_one_part_shows(layout: Layout, part: str) -> None:
    """Kernels in the right order and recurrent kernels in the wrong one, say."""
    cell = converted(layout)
    right = step_of(layout, cell)
    for one, other in itertools.combinations(layout.kind.gates, 2):
        swapped = with_gates(
            cell,
            **{
                name: dataclasses.replace(cell.gates[name], **{part: getattr(cell.gates[of], part)})
                for name, of in ((one, other), (other, one))
            },
        )
        assert distance(step_of(layout, swapped), right) > BROKEN, (part, one, other)


@layouts
@pytest.mark.parametrize(("inputs", "units"), [(3, 5), (4, 4)])
def test_every_transposed_block_shows(layout: Layout, inputs: int, units: int) -> None:
    cell = converted(layout, inputs, units)
    right = step_of(layout, cell)
    for name, gate in cell.gates.items():
        # Where the block is not square, this is cuDNN's matrix that only wears the shape.
        refilled = dataclasses.replace(gate, kernel=gate.kernel.T.reshape(gate.kernel.shape))
        transposed = dataclasses.replace(gate, recurrent=gate.recurrent.T.copy())
        for wrong in (refilled, transposed):
            assert distance(step_of(layout, with_gates(cell, **{name: wrong})), right) > BROKEN


@layouts
def test_every_lost_bias_shows(layout: Layout) -> None:
    cell = converted(layout)
    right = step_of(layout, cell)
    for name, gate in cell.gates.items():
        for part in ("bias", "recurrent_bias"):
            if getattr(gate, part) is None:
                continue
            without = dataclasses.replace(gate, **{part: np.zeros_like(gate.bias)})
            assert distance(step_of(layout, with_gates(cell, **{name: without})), right) > BROKEN


@layouts
def test_every_wrong_fact_shows(layout: Layout) -> None:
    tensors = random_tensors(layout, INPUTS, UNITS)
    right = run_step(layout, tensors, facts_for(layout))
    wrong = {"recurrent_activation": "hard_sigmoid", "activation": "relu"}
    if layout.kind.name == "LSTM":
        wrong |= {"cell_clip": None}
    if layout.name in ("tf1_lstm", "per_gate_lstm"):
        wrong |= {"forget_bias": 0.7}
    for name, value in wrong.items():
        other = run_step(layout, tensors, facts_for(layout, **{name: value}))
        assert distance(other, right) > BROKEN, name


def test_the_two_resets_of_a_gru_are_two_functions() -> None:
    after, before = get_layout("keras_gru_reset_after"), get_layout("keras_gru")
    tensors = random_tensors(after, INPUTS, UNITS)
    on_input, on_state = tensors["bias"]
    as_before = {**tensors, "bias": on_input + on_state}
    facts = facts_for(after)
    assert distance(run_step(after, tensors, facts), run_step(before, as_before, facts)) > BROKEN


@layouts
def test_float32_stays_float32(layout: Layout) -> None:
    """The float32 formula measures rounding, so nothing in it may widen."""
    tensors, facts = random_tensors(layout, INPUTS, UNITS), facts_for(layout)
    x = np.ones((2, INPUTS), np.float32)
    states = {name: np.ones((2, UNITS), np.float32) for name in layout.kind.states}
    after = layout.step(tensors, facts, x, states)
    assert {array.dtype.name for array in after.values()} == {"float32"}


@layouts
def test_a_wrong_shape_is_named_with_role_and_both_shapes(layout: Layout) -> None:
    right = layout.shapes(INPUTS, UNITS)
    for role in layout.roles:
        if role == layout.sizing_role:
            continue
        wrong = (*right[role][:-1], right[role][-1] + 1)
        [problem] = layout.problems("rnn/cell", {**right, role: wrong})
        assert problem.where == f"rnn/cell, {role}"
        assert str(list(right[role])) in problem.expected
        assert str(list(wrong)) in problem.received
        assert problem.remedy


@layouts
@pytest.mark.parametrize("shape", [(), (7,), (0, 0), (2, 0), (3, 2, 2), (1, 1, 1)])
def test_a_matrix_of_no_such_cell_is_refused(layout: Layout, shape: tuple[int, ...]) -> None:
    assert layout.sizes(shape) is None
    shapes = {**layout.shapes(INPUTS, UNITS), layout.sizing_role: shape}
    [problem] = layout.problems("here", shapes)
    assert layout.sizing_role in problem.where
    assert str(list(shape)) in problem.received


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tf1_lstm", (5, 20)),  # as many rows as units: no input
        ("tf1_lstm", (4, 20)),
        ("tf1_lstm", (9, 21)),  # not four gates
        ("tf1_gru", (5, 5)),
        ("tf1_gru", (4, 5)),
        ("keras_lstm", (3, 18)),
        ("keras_gru", (3, 16)),
        ("keras_gru_reset_after", (3, 16)),
        ("keras_cudnn_lstm", (3, 18)),
        ("keras_cudnn_gru", (3, 16)),
    ],
)
def test_sizes_that_no_cell_has(name: str, shape: tuple[int, int]) -> None:
    assert get_layout(name).sizes(shape) is None


@layouts
def test_shapes_are_described_for_people(layout: Layout) -> None:
    text = layout.describe_shapes()
    assert "I" in text
    assert "U" in text
