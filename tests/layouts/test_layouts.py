"""What every registered layout promises, checked on all of them in every variant."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_migrator.canonical import CellKind
from rnn_migrator.layouts import Layout, all_layouts, get_layout
from rnn_migrator.layouts.canonical_form import as_source
from rnn_migrator.layouts.keras_weights import keras_weights
from tests.layouts.weights import (
    BROKEN,
    INPUTS,
    ROUNDING,
    SIZES,
    SOURCES,
    UNITS,
    VARIANTS,
    Variant,
    distance,
    facts_for,
    parts,
    run_cell,
    run_step,
    variants_of,
)

layouts = pytest.mark.parametrize("layout", all_layouts(), ids=lambda layout: layout.name)
variants = pytest.mark.parametrize("variant", VARIANTS, ids=str)
sources = pytest.mark.parametrize("variant", SOURCES, ids=str)
sizes = st.fixed_dictionaries({letter: st.integers(1, 6) for letter in SIZES})
seeds = st.integers(0, 2**32 - 1)


def bits(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


def all_bits(arrays: Any) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {role: bits(array) for role, array in arrays.items()}


def test_the_registry_holds_them_by_name() -> None:
    names = [layout.name for layout in all_layouts()]
    assert len(set(names)) == len(names) >= 28
    assert all(get_layout(layout.name) is layout for layout in all_layouts())


@layouts
def test_a_variant_lacks_optional_tensors_only(layout: Layout) -> None:
    assert layout.together <= layout.optional <= set(layout.roles)
    found = variants_of(layout)
    assert {role for variant in found for role in variant.roles} == set(layout.roles)
    assert set.intersection(*(set(v.roles) for v in found)) == set(layout.roles) - layout.optional


@layouts
@given(data=st.data(), chosen=sizes, seed=seeds, dtype=st.sampled_from(["f4", "f8"]))
def test_there_and_back_is_identity_bit_for_bit(
    layout: Layout, data: Any, chosen: dict[str, int], seed: int, dtype: str
) -> None:
    variant = data.draw(st.sampled_from(variants_of(layout)))
    tensors = variant.tensors(chosen, seed, dtype)
    returned = layout.from_canonical(layout.to_canonical(tensors, facts_for(layout)))
    assert all_bits(returned) == all_bits(tensors)


@variants
def test_there_and_back_keeps_the_odd_floats(variant: Variant) -> None:
    """Minus zero, denormals and extremes are weights like any other."""
    odd = np.array([-0.0, 0.0, 1e-45, -1e-38, 3.4e38, 1.0, np.inf, np.nan], np.float32)
    tensors = {role: np.resize(odd, array.shape) for role, array in variant.tensors().items()}
    layout = variant.layout
    returned = layout.from_canonical(layout.to_canonical(tensors, facts_for(layout)))
    assert all_bits(returned) == all_bits(tensors)


@layouts
@given(data=st.data(), chosen=sizes)
def test_sizes_are_read_off_the_shapes(layout: Layout, data: Any, chosen: dict[str, int]) -> None:
    variant = data.draw(st.sampled_from(variants_of(layout)))
    shapes = variant.shapes(chosen)
    found = layout.sizes(shapes)
    assert found is not None
    assert found["H"] == (chosen["P"] if variant.projected else chosen["U"])
    assert {letter: n for letter, n in found.items() if letter in chosen} == {
        letter: n for letter, n in chosen.items() if letter in found
    }
    assert {"I", "U"} <= set(found)
    assert layout.problems("here", shapes) == []


@variants
def test_canonical_parts_have_the_shapes_they_promise(variant: Variant) -> None:
    cell = variant.cell()
    assert set(cell.gates) == set(variant.layout.kind.gates)
    assert (cell.input_size, cell.units) == (INPUTS, UNITS)
    assert cell.output_size == (SIZES["P"] if variant.projected else UNITS)
    found = parts(cell)
    canonical = get_layout(f"canonical_{cell.kind.name.lower()}")
    width = cell.output_size
    assert {role: array.shape for role, array in found.items()} == canonical.shapes(
        {**SIZES, "H": width}, found
    )


@variants
def test_no_array_of_the_cell_is_a_view_of_the_source(variant: Variant) -> None:
    tensors = {role: array.copy() for role, array in variant.tensors().items()}
    before = all_bits(tensors)
    cell = variant.layout.to_canonical(tensors, facts_for(variant.layout))
    for array in parts(cell).values():
        array += 1.0
    keras_weights(cell)
    assert all_bits(tensors) == before


@variants
def test_no_weight_is_lost_or_doubled(variant: Variant) -> None:
    tensors = variant.tensors()
    cell = variant.layout.to_canonical(tensors, facts_for(variant.layout))
    before = np.concatenate([array.ravel() for array in tensors.values()])
    after = np.concatenate([array.ravel() for array in parts(cell).values()])
    np.testing.assert_array_equal(np.sort(before), np.sort(after))


@variants
@pytest.mark.parametrize("size", [{}, {"I": 5, "U": 3}, {"I": 4, "U": 4, "P": 4, "B": 3}])
def test_the_canonical_form_computes_the_same(variant: Variant, size: dict[str, int]) -> None:
    layout = variant.layout
    tensors, facts = variant.tensors(SIZES | size, dtype="f8"), facts_for(layout)
    cell = layout.to_canonical(tensors, facts)
    expected = run_step(layout, tensors, facts)
    assert distance(run_cell(cell), expected) < ROUNDING
    assert distance(run_cell(cell.folded()), expected) < ROUNDING


@variants
def test_a_cell_in_canonical_form_is_its_own_source(variant: Variant) -> None:
    cell = variant.cell()
    member = as_source(cell)
    assert member.cell is cell
    assert set(member.source.names) == set(member.source.tensors)
    layout = get_layout(member.source.layout)
    again = layout.to_canonical(member.source.tensors, member.source.facts)
    assert again.kind is cell.kind
    assert again.facts == cell.facts
    assert again.convolution == cell.convolution
    assert all_bits(parts(again)) == all_bits(parts(cell))


@variants
def test_float32_stays_float32(variant: Variant) -> None:
    """The float32 formula measures rounding, so nothing in it may widen."""
    layout, facts = variant.layout, facts_for(variant.layout)
    tensors = variant.tensors()
    cell = layout.to_canonical(tensors, facts)
    first = (2, 3, 7, 6) if layout.name.endswith("_th") else (2, 7, 6, 3)
    x = np.ones(first if layout.kind is CellKind.CONV_LSTM else (2, INPUTS), np.float32)
    zeros = layout.zero_states(cell, x)
    assert {array.dtype.name for array in zeros.values()} == {"float32"}
    assert not any(array.any() for array in zeros.values())
    after = layout.step(tensors, facts, x, zeros)
    assert {array.dtype.name for array in after.values()} == {"float32"}
    assert {name: array.shape for name, array in after.items()} == {
        name: array.shape for name, array in zeros.items()
    }


# Nothing else says how wide the input is, or together with the input the projection.
WIDER_IS_ANOTHER_CELL = {
    "tf1_lstm": {"projection"},
    "tf1_coupled_lstm": {"projection"},
    "cudnn_canonical_rnn": {"w_h"},
}


@variants
def test_a_wrong_shape_is_a_problem(variant: Variant) -> None:
    layout, right = variant.layout, variant.shapes()
    for role, shape in right.items():
        wider = (*shape[:-1], shape[-1] + 1)
        for wrong in (wider, (*shape, 2), shape[:-1]):
            if wrong == wider and role in WIDER_IS_ANOTHER_CELL.get(layout.name, ()):
                continue
            problems = layout.problems("rnn/cell", {**right, role: wrong})
            assert problems, (role, wrong)
            for problem in problems:
                assert problem.where.startswith("rnn/cell, ")
                assert problem.received.startswith("shape [")
                assert layout.name in problem.expected
                assert problem.remedy


def test_a_wrong_shape_is_named_with_role_and_both_shapes() -> None:
    right = {"kernel": (8, 20), "bias": (20,), "projection": (5, 4)}
    [problem] = get_layout("tf1_lstm").problems("rnn/cell", {**right, "projection": (6, 4)})
    assert problem.where == "rnn/cell, projection"
    assert "[5, 4]" in problem.expected
    assert "[U, P]" in problem.expected
    assert "[6, 4]" in problem.received


@layouts
@pytest.mark.parametrize("shape", [(), (7,), (0, 0), (2, 0), (3, 2, 2), (1, 1, 1), (2, 2, 2, 2, 2)])
def test_a_matrix_of_no_such_cell_is_refused(layout: Layout, shape: tuple[int, ...]) -> None:
    for variant in variants_of(layout):
        wrong = {
            role: shape if len(right) > 1 else right for role, right in variant.shapes().items()
        }
        assert layout.problems("here", wrong)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("tf1_lstm", {"kernel": (5, 20), "bias": (20,)}),  # as many rows as units: no input
        ("tf1_lstm", {"kernel": (4, 20), "bias": (20,)}),
        ("tf1_lstm", {"kernel": (9, 21), "bias": (21,)}),  # not four gates
        ("tf1_gru", {"candidate_kernel": (5, 5), "candidate_bias": (5,)}),
        ("tf1_coupled_lstm", {"kernel": (8, 20), "bias": (20,)}),
        ("tf1_layer_norm_lstm", {"kernel": (8, 18)}),
        ("tf1_ugrnn", {"kernel": (8, 5), "bias": (5,)}),
        ("tf1_rnn", {"kernel": (5, 5), "bias": (5,)}),
        ("keras_lstm", {"kernel": (3, 18)}),
        ("keras_gru", {"kernel": (3, 16)}),
        ("keras_gru_reset_after", {"kernel": (3, 16)}),
        ("keras_cudnn_lstm", {"kernel": (3, 18)}),
        ("keras_cudnn_gru", {"kernel": (3, 16)}),
        ("keras_conv_lstm", {"kernel": (3, 3, 2, 18)}),
    ],
)
def test_sizes_that_no_cell_has(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    assert get_layout(name).sizes(shapes) is None


@layouts
def test_a_part_of_what_goes_together_is_a_problem(layout: Layout) -> None:
    whole = variants_of(layout)[0]
    shapes = whole.shapes()
    for role in layout.together & set(shapes):
        [problem] = layout.problems("here", {r: s for r, s in shapes.items() if r != role})
        assert problem.where == "here"
        assert role in problem.expected
        assert role not in problem.received


def test_layer_norm_or_bias() -> None:
    layout = get_layout("tf1_layer_norm_lstm")
    everything = layout.shapes({"I": 3, "U": 5})
    [both] = layout.problems("here", everything)
    [neither] = layout.problems("here", {"kernel": everything["kernel"]})
    assert (both.received, neither.received) == ("both", "neither")
    assert variants_of(layout)[0].layout.problems("here", variants_of(layout)[0].shapes()) == []


@layouts
def test_shapes_are_described_for_people(layout: Layout) -> None:
    text = layout.describe_shapes()
    assert all(role in text for role in layout.roles)
    assert "U" in text


def test_who_adds_a_forget_bias_and_who_clips() -> None:
    """As the sources have it: `LSTMCell` clips both, the coupled cell its projection only."""
    stored = [layout for layout in all_layouts() if not layout.name.startswith("canonical_")]
    adds = {layout.name for layout in stored if layout.adds_forget_bias}
    assert adds == {
        "tf1_lstm",
        "tf1_layer_norm_lstm",
        "tf1_coupled_lstm",
        "tf1_ugrnn",
        "per_gate_lstm",
        "per_gate_fused_lstm",
        "per_gate_fused_lstm_hx",
    }
    clips = {layout.name: set(layout.clips) for layout in stored if layout.clips}
    assert clips == {
        "tf1_lstm": {"cell_clip", "proj_clip"},
        "tf1_coupled_lstm": {"proj_clip"},
        "per_gate_lstm": {"cell_clip"},
        "per_gate_fused_lstm": {"cell_clip"},
        "per_gate_fused_lstm_hx": {"cell_clip"},
    }


@sources
def test_a_bound_shows_where_the_cell_can_have_it(variant: Variant) -> None:
    layout = variant.layout
    tensors, facts = variant.tensors(dtype="f8"), facts_for(layout)
    right = run_step(layout, tensors, facts)
    for name in layout.clips:
        unbound = run_step(layout, tensors, facts_for(layout, **{name: None}))
        bites = name == "cell_clip" or variant.projected
        assert (distance(unbound, right) > BROKEN) is bites


def test_the_two_resets_of_a_gru_are_two_functions() -> None:
    after, before = get_layout("keras_gru_reset_after"), get_layout("keras_gru")
    tensors = variants_of(after)[0].tensors()
    as_before = {**tensors, "bias": tensors["bias"].sum(axis=0)}
    facts = facts_for(after)
    assert distance(run_step(after, tensors, facts), run_step(before, as_before, facts)) > BROKEN


def test_every_kind_has_a_canonical_form() -> None:
    for kind in CellKind:
        layout = get_layout(f"canonical_{kind.name.lower()}")
        assert layout.kind is kind
        facts = dataclasses.asdict(kind.value)["facts"]
        assert layout.adds_forget_bias is ("forget_bias" in facts)
