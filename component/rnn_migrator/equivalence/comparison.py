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
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.agreement import Agreement, agreement


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
      worst: The worst case of each party, of what is judged.
      drift: Largest error by time step of the float32 formula and of every party, judged or not.
      ranking: The worst few cases of each party, of what is judged.
      agreement: How far the decisions of a classifier agree, by party.
      histogram: How many errors of each size there are, in the bins of `HISTOGRAM`, of the
        converted model.
    """

    elements: int
    scale: float
    rounding: Array
    errors: Mapping[str, Array]
    worst: Mapping[str, Worst]
    drift: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    ranking: Mapping[str, tuple[Worst, ...]] = dataclasses.field(default_factory=dict)
    agreement: Mapping[str, Agreement] = dataclasses.field(default_factory=dict)
    histogram: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    def merge(self, other: OutputErrors) -> OutputErrors:
        """Errors over the cases of both."""
        parties = [*self.errors, *(name for name in other.errors if name not in self.errors)]
        none, nowhere = np.zeros(0), Worst()
        return OutputErrors(
            elements=self.elements + other.elements,
            scale=max(self.scale, other.scale),
            rounding=_longest_max(self.rounding, other.rounding),
            errors={
                name: _longest_max(self.errors.get(name, none), other.errors.get(name, none))
                for name in parties
            },
            worst={
                name: _worse(self.worst.get(name, nowhere), other.worst.get(name, nowhere))
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
            agreement={
                name: self.agreement.get(name, Agreement()).merge(
                    other.agreement.get(name, Agreement())
                )
                for name in dict.fromkeys([*self.agreement, *other.agreement])
            },
            histogram={
                name: self.histogram.get(name, _EMPTY) + other.histogram.get(name, _EMPTY)
                for name in dict.fromkeys([*self.histogram, *other.histogram])
            },
        )

    def bound(self, thresholds: Thresholds) -> Array:
        """Largest error by time step that counts as rounding."""
        floor = thresholds.floor * max(1.0, self.scale)
        return np.maximum(floor, thresholds.factor * np.maximum.accumulate(self.rounding))

    def ratio_to(self, party: str) -> float | None:
        """The converted model's largest error as so many times a party's; None for no error."""
        mine, theirs = self.worst.get(CONVERTED), self.worst.get(party)
        return mine.error / theirs.error if mine and theirs and theirs.error else None

    def excess(self, party: str, thresholds: Thresholds) -> float:
        """How many times its bound a party's error is, at its worst step; above 1 is too much."""
        errors = self.errors[party]
        if not errors.size:
            return 0.0
        ratio = errors / self.bound(thresholds)[: len(errors)]
        return float(np.max(np.where(np.isfinite(ratio), ratio, np.inf)))


HISTOGRAM = np.logspace(-12, 2, 57)
"""Edges of the bins, four to a decade; what is smaller or larger counts in the outermost ones."""

_EMPTY = np.zeros(len(HISTOGRAM) - 1, np.int64)


def _histogram(expected: Array, values: Array) -> Array:
    """How many errors of each size there are, zeros among the smallest."""
    error = np.abs(values.astype(np.float64) - expected)
    counts, _ = np.histogram(np.clip(error, HISTOGRAM[0], HISTOGRAM[-1]), HISTOGRAM)
    return counts.astype(np.int64)


def _longest_max(one: Array, other: Array) -> Array:
    """Elementwise maximum of two vectors, the shorter one padded with zeros."""
    length = max(len(one), len(other))
    padded = [np.pad(vector, (0, length - len(vector))) for vector in (one, other)]
    return np.maximum(*padded)


_RANKED = 5


def _ranked(cases: tuple[Worst, ...]) -> tuple[Worst, ...]:
    """The worst few, NaN first; the key decides between equals, so that no order matters."""
    order = sorted(cases, key=lambda one: (not np.isnan(one.error), -one.error, one.case, one.step))
    return tuple(order[:_RANKED])


def _worse(one: Worst, other: Worst) -> Worst:
    """The larger error; NaN is the largest."""
    return one if np.isnan(one.error) or other.error <= one.error else other


CONVERTED = "converted model"
"""Name of the converted model among the parties."""

ROUNDING = "rounding"
"""Name of the float32 formula in what is shown and not judged."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Everything compared so far.

    Attributes:
      cases: Keys of the cases compared.
      outputs: Errors by signature and output, as "signature/output".
      problems: What made a case incomparable: a missing output, another shape, NaN.
    """

    cases: tuple[str, ...] = ()
    outputs: Mapping[str, OutputErrors] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def merge(self, other: Comparison) -> Comparison:
        """The comparison over the cases of both."""
        outputs = dict(self.outputs)
        for name, errors in other.outputs.items():
            outputs[name] = outputs[name].merge(errors) if name in outputs else errors
        return Comparison(self.cases + other.cases, outputs, self.problems + other.problems)

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
            worst = _worse(worst, errors.worst.get(party, Worst()))
        return worst


def compare_case(
    key: str,
    signature: str,
    reference: Mapping[str, Array],
    rounded: Mapping[str, Array],
    parties: Mapping[str, Mapping[str, Array]],
    thresholds: Thresholds | None = None,
) -> Comparison:
    """Compares one case.

    Args:
      key: Its name.
      signature: The signature that was called.
      reference: Outputs in float64.
      rounded: The same formulas in float32.
      parties: Outputs by party; an oracle may know fewer outputs than the reference.
      thresholds: What counts as noise.
    """
    outputs, problems, thresholds = {}, [], thresholds or Thresholds()
    for name, expected in reference.items():
        given = {party: values[name] for party, values in parties.items() if name in values}
        for party, values in given.items():
            problems += _incomparable(f"{key}, {party}, output {name!r}", expected, values)
        if CONVERTED not in given:
            problems.append(f"{key}: the converted model gives no output {name!r}")
        if not problems:
            output = f"{signature}/{name}"
            noisy = thresholds.of(output).noisy
            outputs[output] = _errors(key, expected, rounded[name], given, noisy)
    return Comparison((key,), {} if problems else outputs, tuple(problems))


def _incomparable(where: str, expected: Array, values: Array) -> list[str]:
    if values.shape != expected.shape:
        return [f"{where}: shape {list(values.shape)} instead of {list(expected.shape)}"]
    if not np.isfinite(values).all():
        return [f"{where}: NaN or infinity in {int((~np.isfinite(values)).sum())} places"]
    return []


def _errors(
    key: str, expected: Array, rounded: Array, given: Mapping[str, Array], noisy: float
) -> OutputErrors:
    shown = {party: _by_step(values, expected) for party, values in given.items()}
    rounding, scale = _by_step(rounded, expected), float(np.max(np.abs(expected), initial=0.0))
    # NaN is not noise: it stays, and is judged.
    quiet = ~(np.maximum.accumulate(rounding) > noisy * max(1.0, scale))
    judged = {party: errors[quiet] for party, errors in shown.items()}
    worst = {
        party: Worst(float(np.max(e, initial=0.0)), key, int(np.argmax(e)) if e.size else 0)
        for party, e in judged.items()
    }
    return OutputErrors(
        elements=expected.size,
        scale=scale,
        rounding=rounding[quiet],
        errors=judged,
        worst=worst,
        drift={ROUNDING: rounding, **shown},
        ranking={party: (one,) for party, one in worst.items() if judged[party].size},
        agreement=_agreements(expected, given, int(quiet.sum()), 2 * noisy),
        histogram={CONVERTED: _histogram(expected, given[CONVERTED])},
    )


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


def _by_step(values: Array, expected: Array) -> Array:
    """Largest absolute error by time step: axis 1 of sequences, one step for anything else."""
    error = np.abs(values.astype(np.float64) - expected)
    if error.ndim < 3:
        return np.atleast_1d(np.max(error, initial=0.0))
    axes = (0, *range(2, error.ndim))
    return np.asarray(np.max(error, axis=axes, initial=0.0))


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
                    "error": errors.worst[party].error,
                    "case": errors.worst[party].case,
                    "step": errors.worst[party].step,
                    "excess": errors.excess(party, thresholds.of(name)),
                    "converted_ratio": errors.ratio_to(party),
                    "by_step": _floats(errors.drift.get(party, errors.errors[party])),
                    "worst": [
                        {"key": one.case, "step": one.step, "error": one.error}
                        for one in errors.ranking.get(party, ())
                    ],
                    "agreement": errors.agreement.get(party, Agreement()).shares(),
                    **_histogram_json(errors.histogram.get(party)),
                }
                for party in errors.errors
            },
        }
        for name, errors in comparison.outputs.items()
    }


def _floats(vector: Array) -> list[float]:
    return [float(value) for value in vector]


def _histogram_json(counts: Array | None) -> dict[str, Any]:
    """The bins that are not empty at either end."""
    if counts is None or not counts.any():
        return {}
    first, last = int(np.argmax(counts > 0)), len(counts) - int(np.argmax(counts[::-1] > 0))
    edges = [float(f"{edge:.4g}") for edge in HISTOGRAM[first : last + 1]]
    return {"histogram": {"edges": edges, "counts": [int(n) for n in counts[first:last]]}}
