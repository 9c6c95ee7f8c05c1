"""What the cells refuse to be."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from rnn_migrator.errors import ExitStatus, UsageError
from rnn_migrator.keras_model.cells import (
    CoupledLSTMCell,
    LayerNormLSTMCell,
    LegacyLSTMCell,
    UGRNNCell,
)

CELLS = [CoupledLSTMCell, LayerNormLSTMCell, LegacyLSTMCell, UGRNNCell]
cells = pytest.mark.parametrize("cell", CELLS)


@cells
def test_cells_are_registered(cell: Any) -> None:
    assert keras.saving.get_registered_name(cell) == f"rnn_migrator>{cell.__name__}"


@cells
@pytest.mark.parametrize("units", [0, -3, 2.5, True, "4", None])
def test_units_are_a_positive_integer(cell: Any, units: Any) -> None:
    with pytest.raises(UsageError, match=f"units of {cell.__name__}: expected a positive integer"):
        cell(units)
    cell(4)


@pytest.mark.parametrize(
    ("cell", "argument"),
    [
        (LegacyLSTMCell, "cell_clip"),
        (LegacyLSTMCell, "projection_clip"),
        (CoupledLSTMCell, "projection_clip"),
    ],
)
@pytest.mark.parametrize("bound", [0, -1.0, float("inf"), float("nan"), True, "3"])
def test_bounds_are_positive_numbers(cell: Any, argument: str, bound: Any) -> None:
    with pytest.raises(UsageError, match=f"{argument} of {cell.__name__}"):
        cell(4, projection_size=3, **{argument: bound})
    cell(4, projection_size=3, **{argument: 0.5})
    cell(4, projection_size=3, **{argument: None})


@pytest.mark.parametrize("epsilon", [0.0, -1e-12, None])
def test_epsilon_is_positive(epsilon: Any) -> None:
    with pytest.raises(UsageError, match="epsilon of LayerNormLSTMCell"):
        LayerNormLSTMCell(4, epsilon=epsilon)


@pytest.mark.parametrize(
    ("cell", "peephole", "gates"),
    [
        (LegacyLSTMCell, True, ("input", "forget", "output")),
        (LegacyLSTMCell, ["output", "input"], ("input", "output")),
        (LegacyLSTMCell, False, ()),
        (CoupledLSTMCell, True, ("forget", "output")),
    ],
)
def test_peepholes_are_chosen_by_name(cell: Any, peephole: Any, gates: tuple[str, ...]) -> None:
    made = cell(4, peephole=peephole)
    made.build((None, 3))
    names = [weight.name for weight in made.weights]
    assert made.peephole == gates
    assert names == ["kernel", "recurrent_kernel", "bias", *(f"{gate}_peephole" for gate in gates)]


@pytest.mark.parametrize(
    ("cell", "peephole"),
    [
        (LegacyLSTMCell, ("candidate",)),
        (CoupledLSTMCell, ("input",)),
        (CoupledLSTMCell, "forget"),
    ],
)
def test_a_gate_that_has_no_peephole_is_refused(cell: Any, peephole: Any) -> None:
    with pytest.raises(UsageError, match=f"peephole of {cell.__name__}: expected True, False or"):
        cell(4, peephole=peephole)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(UsageError) as refusal:
        LegacyLSTMCell(0, peephole=("reset",), cell_clip=-1, projection_clip=2.0)
    places = [problem.where.split()[0] for problem in refusal.value.problems]
    assert places == ["units", "cell_clip", "peephole", "projection_clip"]
    assert refusal.value.status is ExitStatus.USAGE
