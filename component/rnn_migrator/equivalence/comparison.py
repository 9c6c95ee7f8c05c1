"""The comparison of a converted model with its source, as accumulators that can be merged.

The yardstick is the source's own formula in float64. What rounding alone does to a model is
measured by the same formula in float32; a converted model, and the legacy framework itself, may
be off by a small factor of that, at every time step. A fixed tolerance would bless a wrong
conversion of a quiet model and refuse a right one of a model that amplifies noise.

Some models amplify it until rounding alone changes the output visibly. From that step on nothing
can be told from the outputs, and they are shown, not judged; the verdict rests on the steps before
it, on short sequences and on single steps from given states.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.agreement import Agreement, agreement
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.spread import Spread


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What counts as equivalent.

    Attributes:
      factor: How many times the rounding error of the model an error may be.
      floor: Errors up to this are rounding whatever the measure says, relative to the largest
        output (at least 1).
      noisy: Where rounding alone passes this, relative to the largest output (at least 1), outputs
        are shown and not judged.
      argmax: Least share of clear decisions of a classifier that must come out alike.
      outputs: Other values for some outputs, by "signature/output" and by name of the threshold.
    """

    factor: float = 8.0
    floor: float = 1e-6
    noisy: float = 1e-3
    argmax: float = 1.0
    outputs: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def of(self, output: str) -> Thresholds:
        """Those of one output."""
        changed: dict[str, Any] = {"outputs": {}, **self.outputs.get(output, {})}
        return dataclasses.replace(self, **changed)


@dataclasses.dataclass(frozen=True)
class Worst:
    """The largest error of one party: how large, in which case, at which step."""

    error: float = 0.0
    case: str = ""
    step: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class OutputErrors:
    """Errors of one output of one signature against float64, over any number of cases.

    Attributes:
      elements: How many numbers were compared.
      scale: Largest absolute value of the reference.
      rounding: Largest error of the float32 formula by time step, as far as it is judged.
      errors: Largest error by time step as far as it is judged, of the converted model and of
        every oracle.
      drift: Largest error by time step of the float32 formula and of every party, judged or not.
      ranking: The worst few cases of each party, of what is judged.
      agreement: How far the decisions of a classifier agree, by party.
      spread: How the errors of each party are spread, judged or not.
    """

    elements: int
    scale: float
    rounding: Array
    errors: Mapping[str, Array]
    drift: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    ranking: Mapping[str, tuple[Worst, ...]] = dataclasses.field(default_factory=dict)
    agreement: Mapping[str, Agreement] = dataclasses.field(default_factory=dict)
    spread: Mapping[str, Spread] = dataclasses.field(default_factory=dict)

    def merge(self, other: OutputErrors) -> OutputErrors:
        """Errors over the cases of both."""
        parties = [*self.errors, *(name for name in other.errors if name not in self.errors)]
        none = np.zeros(0)
        return OutputErrors(
            elements=self.elements + other.elements,
            scale=max(self.scale, other.scale),
            rounding=_longest_max(self.rounding, other.rounding),
            errors={
                name: _longest_max(self.errors.get(name, none), other.errors.get(name, none))
                for name in parties
            },
            drift={
                name: _longest_max(self.drift.get(name, none), other.drift.get(name, none))
                for name in dict.fromkeys([*self.drift, *other.drift])
            },
            ranking={
                name: _ranked(self.ranking.get(name, ()) + other.ranking.get(name, ()))
                for name in parties
            },
            agreement=merged(self.agreement, other.agreement),
            spread=merged(self.spread, other.spread),
        )

    def bound(self, thresholds: Thresholds) -> Array:
        """Largest error by time step that counts as rounding."""
        floor = thresholds.floor * max(1.0, self.scale)
        return np.maximum(floor, thresholds.factor * np.maximum.accumulate(self.rounding))

    def worst(self, party: str) -> Worst:
        """The largest error of a party, of what is judged."""
        return next(iter(self.ranking.get(party, ())), Worst())

    def ratio_to(self, party: str) -> float | None:
        """The converted model's largest error as so many times a party's; None for no error."""
        mine, theirs = self.worst(CONVERTED).error, self.worst(party).error
        return mine / theirs if theirs else None

    def excess(self, party: str, thresholds: Thresholds) -> float:
        """How many times its bound a party's error is, at its worst step; above 1 is too much."""
        errors = self.errors[party]
        if not errors.size:
            return 0.0
        ratio = errors / self.bound(thresholds)[: len(errors)]
        return float(np.max(np.where(np.isfinite(ratio), ratio, np.inf)))


class _Mergeable(Protocol):
    def merge(self, other: Any) -> Any: ...


_Value = TypeVar("_Value", bound=_Mergeable)


def merged(one: Mapping[str, _Value], other: Mapping[str, _Value]) -> dict[str, _Value]:
    """What either holds by name, merged where both hold it."""
    both = {name: one[name].merge(other[name]) for name in one if name in other}
    return {**one, **other, **both}


def _longest_max(one: Array, other: Array) -> Array:
    """Elementwise maximum of two vectors, the shorter one padded with zeros."""
    length = max(len(one), len(other))
    padded = [np.pad(vector, (0, length - len(vector))) for vector in (one, other)]
    return np.maximum(*padded)


_RANKED = 5


def _ranked(cases: tuple[Worst, ...]) -> tuple[Worst, ...]:
    """The worst few, NaN first; the key decides between equals, so that no order matters."""
    order = sorted(cases, key=lambda one: (not np.isnan(one.error), -one.error, one.case, one.step))
    first: dict[str, Worst] = {}
    for one in order:
        first.setdefault(one.case, one)
    return tuple(first.values())[:_RANKED]


def _worse(one: Worst, other: Worst) -> Worst:
    """The larger error; NaN is the largest."""
    return one if np.isnan(one.error) or other.error <= one.error else other


CONVERTED = "converted model"
"""Name of the converted model among the parties."""

ROUNDING = "rounding"
"""Name of the float32 formula in what is shown and not judged."""


_MOST_PROBLEMS = 20
"""How many problems are kept; one is enough for a verdict."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Everything compared so far.

    Attributes:
      outputs: Errors by signature and output, as "signature/output".
      problems: What made a case incomparable: a missing output, another shape, NaN; the first ones.
    """

    outputs: Mapping[str, OutputErrors] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def merge(self, other: Comparison) -> Comparison:
        """The comparison over the cases of both."""
        problems = (self.problems + other.problems)[:_MOST_PROBLEMS]
        return Comparison(merged(self.outputs, other.outputs), problems)

    @property
    def parties(self) -> list[str]:
        """The converted model and every oracle that took part."""
        return list(dict.fromkeys(p for errors in self.outputs.values() for p in errors.errors))

    def excess(self, party: str, thresholds: Thresholds) -> float:
        """The largest excess of a party over all outputs."""
        errors = [(name, e) for name, e in self.outputs.items() if party in e.errors]
        return max((e.excess(party, thresholds.of(name)) for name, e in errors), default=0.0)

    def worst_error(self, party: str) -> Worst:
        """The largest error of a party over all outputs."""
        worst = Worst()
        for errors in self.outputs.values():
            worst = _worse(worst, errors.worst(party))
        return worst

    def numbers(self, party: str) -> int:
        """How many numbers of a party were compared."""
        return sum(e.spread[party].count for e in self.outputs.values() if party in e.spread)

    def worst_keys(self, party: str) -> list[str]:
        """The cases or records in which a party is worst, over all outputs."""
        every = [one for errors in self.outputs.values() for one in errors.ranking.get(party, ())]
        return [one.case for one in _ranked(tuple(every))]


def compare_case(
    case: Case,
    reference: Mapping[str, Array],
    rounded: Mapping[str, Array] | None,
    parties: Mapping[str, Mapping[str, Array]],
    thresholds: Thresholds | None = None,
) -> Comparison:
    """Compares one case.

    Args:
      case: Which one it is.
      reference: Outputs in float64.
      rounded: The same formulas in float32; None where it does not matter.
      parties: Outputs by party; an oracle may know fewer outputs than the reference.
      thresholds: What counts as noise.
    """
    outputs, problems, thresholds = {}, [], thresholds or Thresholds()
    for name, expected in reference.items():
        given = {party: values[name] for party, values in parties.items() if name in values}
        for party, values in given.items():
            problems += _incomparable(f"{case.key}, {party}, output {name!r}", expected, values)
        if CONVERTED not in given:
            problems.append(f"{case.key}: the converted model gives no output {name!r}")
        if not problems:
            output = f"{case.signature}/{name}"
            noisy = thresholds.of(output).noisy
            noise = None if rounded is None else rounded[name]
            outputs[output] = _errors(case, expected, noise, given, noisy)
    return Comparison({} if problems else outputs, tuple(problems[:_MOST_PROBLEMS]))


def below_floor(
    case: Case,
    reference: Mapping[str, Array],
    parties: Mapping[str, Mapping[str, Array]],
    thresholds: Thresholds,
) -> bool:
    """Whether all errors are so small that they count as rounding whatever rounding comes to."""
    for name, expected in reference.items():
        floor = thresholds.of(f"{case.signature}/{name}").floor
        limit = floor * max(1.0, float(np.max(np.abs(expected), initial=0.0)))
        for values in (given[name] for given in parties.values() if name in given):
            if values.shape != expected.shape or not np.all(_distance(values, expected) <= limit):
                return False
    return True


def _incomparable(where: str, expected: Array, values: Array) -> list[str]:
    if values.shape != expected.shape:
        return [f"{where}: shape {list(values.shape)} instead of {list(expected.shape)}"]
    if not np.isfinite(values).all():
        return [f"{where}: NaN or infinity in {int((~np.isfinite(values)).sum())} places"]
    return []


def _errors(
    case: Case, expected: Array, rounded: Array | None, given: Mapping[str, Array], noisy: float
) -> OutputErrors:
    errors = {party: _distance(values, expected) for party, values in given.items()}
    by_row = {party: _by_row_and_step(error) for party, error in errors.items()}
    shown = {party: np.max(error, axis=0, initial=0.0) for party, error in by_row.items()}
    noise = expected if rounded is None else rounded
    rounding = np.max(_by_row_and_step(_distance(noise, expected)), axis=0, initial=0.0)
    scale = float(np.max(np.abs(expected), initial=0.0))
    # NaN is not noise: it stays, and is judged.
    quiet = ~(np.maximum.accumulate(rounding) > noisy * max(1.0, scale))
    return OutputErrors(
        elements=expected.size,
        scale=scale,
        rounding=rounding[quiet],
        errors={party: error[quiet] for party, error in shown.items()},
        drift={ROUNDING: rounding[: 0 if rounded is None else None], **shown},
        ranking={party: _worst_rows(case, error[:, quiet]) for party, error in by_row.items()},
        agreement=_agreements(expected, given, int(quiet.sum()), 2 * noisy),
        spread={party: Spread.of(error) for party, error in errors.items()},
    )


def _worst_rows(case: Case, errors: Array) -> tuple[Worst, ...]:
    """The worst few rows of a case, or the case as a whole where its rows have no keys."""
    if not errors.size:
        return ()
    if not case.rows:
        step = int(np.argmax(np.max(errors, axis=0)))
        return (Worst(float(np.max(errors)), case.key, step),)
    largest = np.max(errors, axis=1)
    found = (
        Worst(float(largest[row]), key, int(np.argmax(errors[row])))
        for row, key in enumerate(case.rows)
    )
    return _ranked(tuple(found))


def _agreements(
    expected: Array, given: Mapping[str, Array], steps: int, margin: float
) -> dict[str, Agreement]:
    """How far the decisions agree in the steps that are judged."""
    if expected.ndim < 3 and not steps:
        return {}
    cut = slice(None) if expected.ndim < 3 else (slice(None), slice(steps))
    found = {
        party: agreement(expected[cut], values[cut], margin) for party, values in given.items()
    }
    return {party: counts for party, counts in found.items() if counts is not None}


def _distance(values: Array, expected: Array) -> Array:
    return np.asarray(np.abs(values.astype(np.float64) - expected))


def _by_row_and_step(errors: Array) -> Array:
    """Largest error [row, step]: the step is axis 1 of sequences, one step for anything else."""
    sequences = errors.ndim > 2
    steps = errors.shape[1] if sequences else 1
    rows = errors.reshape(len(errors), steps, -1) if errors.size else np.zeros((0, steps, 1))
    return np.asarray(np.max(rows, axis=2, initial=0.0))


def to_json(comparison: Comparison, thresholds: Thresholds) -> dict[str, Any]:
    """The comparison as JSON values."""
    return {
        name: {
            "elements": errors.elements,
            "scale": errors.scale,
            "rounding": float(np.max(errors.rounding, initial=0.0)),
            "rounding_by_step": _floats(errors.drift.get(ROUNDING, errors.rounding)),
            "bound": float(np.max(errors.bound(thresholds.of(name)), initial=0.0)),
            "bound_by_step": _floats(errors.bound(thresholds.of(name))),
            "judged_steps": len(errors.rounding),
            "parties": {
                party: {
                    "error": errors.worst(party).error,
                    "case": errors.worst(party).case,
                    "step": errors.worst(party).step,
                    "excess": errors.excess(party, thresholds.of(name)),
                    "converted_ratio": errors.ratio_to(party),
                    "by_step": _floats(errors.drift.get(party, errors.errors[party])),
                    "worst": [
                        {"key": one.case, "step": one.step, "error": one.error}
                        for one in errors.ranking.get(party, ())
                    ],
                    "agreement": errors.agreement.get(party, Agreement()).shares(),
                    **errors.spread.get(party, Spread()).to_json(),
                }
                for party in errors.errors
            },
        }
        for name, errors in comparison.outputs.items()
    }


def _floats(vector: Array) -> list[float]:
    return [float(value) for value in vector]
