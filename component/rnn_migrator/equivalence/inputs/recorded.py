"""Inputs and outputs that the original framework recorded, as NPZ files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from rnn_migrator.canonical import Array, CanonicalModel, ModelInput, state_sizes
from rnn_migrator.equivalence.inputs.case import Case, signature_inputs
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.readers.array_dump import load_npz

_ROWS = 256
"""Rows that are compared at a time, at most."""


def recorded_cases(file: Path, model: CanonicalModel) -> list[Case]:
    """Inputs and outputs that the original framework recorded, in batches.

    Args:
      file: NPZ with arrays `in:NAME` and `out:NAME`, by the names of a signature of the converted
        model. Which signature it is follows from the inputs: `sequence_length` means
        `with_lengths`, states mean `step`.
      model: The model, for the names.

    Raises:
      UsageError: It speaks of names the model does not have, or the inputs have other shapes.
      UnreadableError: It is no NPZ file.
    """
    arrays = load_npz(file)
    inputs = {key[3:]: array for key, array in arrays.items() if key.startswith("in:")}
    expected = {key[4:]: array for key, array in arrays.items() if key.startswith("out:")}
    signature = _signature_of(inputs, model)
    wanted = signature_inputs(model, signature)
    raise_all(UsageError, _name_problems(file, model, wanted, inputs, expected))
    raise_all(UsageError, _shape_problems(file, wanted, inputs))
    fed = {name: array.astype(wanted[name].dtype) for name, array in inputs.items()}
    whole = Case(f"recorded in {file.name}", signature, fed, expected)
    fixed = any(source.batch for source in model.inputs)
    return [whole] if fixed else list(_split(whole))


def _split(case: Case) -> Iterator[Case]:
    """The case as several of fewer rows, where it has many."""
    total = len(next(iter(case.inputs.values())))
    if total <= _ROWS:
        yield case
        return
    for first in range(0, total, _ROWS):
        rows = slice(first, first + _ROWS)
        yield dataclasses.replace(
            case,
            key=f"{case.key}, rows {first} to {min(rows.stop, total) - 1}",
            inputs={name: array[rows] for name, array in case.inputs.items()},
            expected={name: array[rows] for name, array in (case.expected or {}).items()},
        )


def _signature_of(inputs: Mapping[str, Array], model: CanonicalModel) -> str:
    if not model.bare_weights:
        return "serving_default"
    if "sequence_length" in inputs:
        return "with_lengths"
    return "serving_default" if set(inputs) <= {"inputs"} else "step"


def _name_problems(
    file: Path,
    model: CanonicalModel,
    wanted: Mapping[str, ModelInput],
    inputs: Mapping[str, Array],
    expected: Mapping[str, Array],
) -> list[Problem]:
    known = set(model.outputs)
    if model.bare_weights:
        known = {"outputs", *state_sizes(model.recurrent_layers)}
    problems = []
    if set(inputs) != set(wanted):
        problems.append(_names(file, "inputs in:NAME for", set(wanted), inputs))
    if not expected or not set(expected) <= known:
        problems.append(_names(file, "outputs out:NAME among", known, expected))
    return problems


def _shape_problems(
    file: Path, wanted: Mapping[str, ModelInput], inputs: Mapping[str, Array]
) -> list[Problem]:
    batch = {array.shape[:1] for array in inputs.values()}
    return [
        Problem(
            where=f"{file}, in:{name}",
            expected=f"shape {_shape_text(wanted[name])}, one batch size for all inputs",
            received=f"shape {list(array.shape)}",
            remedy="record the inputs batch first, for this model",
        )
        for name, array in inputs.items()
        if len(batch) > 1 or not _fits(array.shape[1:], wanted[name].shape) or not array.ndim
    ]


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, given) for given, size in zip(shape, wanted, strict=True)
    )


def _shape_text(source: ModelInput) -> str:
    return "[" + ", ".join(["batch", *("any" if n is None else str(n) for n in source.shape)]) + "]"


def _names(file: Path, what: str, wanted: set[str], received: Mapping[str, Array]) -> Problem:
    return Problem(
        where=str(file),
        expected=f"{what} {', '.join(sorted(wanted))}",
        received=", ".join(sorted(received)) or "none",
        remedy="write it with numpy.savez(file, **{'in:NAME': array, 'out:NAME': array})",
    )
