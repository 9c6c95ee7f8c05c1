"""Why a model is not equivalent: the known mistakes, tried one by one on what it gave.

The formulas with a mistake in them, and the outputs of whoever is too far off: where both agree
within the bound of rounding, the mistake is found. Of the converted model it says what is wrong
with the conversion; of an oracle, what the facts taken for the model should have been.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from rnn_migrator.canonical import Array, CanonicalModel, LegacyCell
from rnn_migrator.equivalence.comparison import CONVERTED, Comparison, Thresholds, compare_case
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.mistakes import EVERY, Mistake, known_mistakes, with_cells, with_fact
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.equivalence.yardstick import Yardstick

_ROWS, _LARGEST = 6, 40
"""Rows and time steps of a case that a diagnosis looks at."""


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """The likely cause of a disagreement.

    Attributes:
      party: Who disagrees with the formulas.
      cause: What its outputs fit.
      where: Cell or layer, "every layer", or "" for the whole model.
      change: What would make it match.
      error: How far it is from the formulas with this cause in them.
      excess: The same as a share of the bound; it matches up to 1.
    """

    party: str
    cause: str
    where: str
    change: str
    error: float
    excess: float

    @property
    def matches(self) -> bool:
        """Whether the cause explains all of it."""
        return self.excess <= 1.0

    def __str__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        how = "it then matches" if self.matches else "nearest, yet no match"
        return f"{self.cause}{place}; {self.change} ({how}: {self.excess:.2g} times the bound)"


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What somebody gave in one case."""

    case: Case
    outputs: Mapping[str, Array]


def diagnose(
    model: CanonicalModel, party: str, evidence: Sequence[Evidence], thresholds: Thresholds
) -> Diagnosis | None:
    """Looks for the single known mistake that a party makes.

    Args:
      model: The source.
      party: Who is too far from its formulas.
      evidence: What it gave, in a few cases.
      thresholds: What counts as equivalent.

    Returns:
      The first cause that explains everything, else the nearest one that explains nine tenths of
      it, else None.
    """
    trial = _Trial(model, [_cut(one) for one in evidence], thresholds)
    asis = trial.of(Mistake("", "", "", model))
    best: tuple[Mistake, _Fit] | None = None
    for mistake in known_mistakes(model):
        fit = trial.of(mistake, best[1].excess if best else np.inf)
        if fit.excess <= 1.0:
            return _diagnosis(model, party, mistake, fit)
        if best is None or fit.excess < best[1].excess:
            best = mistake, fit
    for mistake, fit in _fitted(model, trial):
        if fit.excess <= 1.0:
            return _diagnosis(model, party, mistake, fit)
    if best is None or not best[1].excess < asis.excess / 10:
        return None
    return _diagnosis(model, party, *best)


def _diagnosis(model: CanonicalModel, party: str, mistake: Mistake, fit: _Fit) -> Diagnosis:
    change = f"it should be {mistake.change}"
    if party != CONVERTED and mistake.fact:
        name, _, value = mistake.cause.partition(" ")
        setting = f"{_narrowed(model, mistake.where)}{name}={value}"
        change = "--set " + (f"'{setting}'" if "[" in setting else setting)
    return Diagnosis(party, mistake.cause, mistake.where, change, fit.error, fit.excess)


def _narrowed(model: CanonicalModel, where: str) -> str:
    """What a setting begins with that is meant for one place only."""
    places = [place for place, _ in model.cells()]
    if where in ("", EVERY) or len(places) == 1:
        return ""
    layers = [layer.name for layer in model.recurrent_layers]
    found = max((n for n in layers if f"{where}/".startswith(f"{n}/")), key=len)
    return f"layer[{layers.index(found) if model.bare_weights else found}]."


@dataclasses.dataclass(frozen=True)
class _Fit:
    error: float
    excess: float


class _Trial:
    """Compares what somebody gave with the formulas of any mistake."""

    def __init__(
        self, model: CanonicalModel, evidence: Sequence[Evidence], thresholds: Thresholds
    ) -> None:
        self._evidence = evidence
        self._thresholds = thresholds
        yardstick = Yardstick(model)
        self._noise = [_noise(yardstick, one.case) for one in evidence]

    def of(self, mistake: Mistake, hopeless: float = np.inf) -> _Fit:
        """How far the evidence is from a model with a mistake in it.

        Args:
          mistake: The mistake.
          hopeless: An excess from which on it need not be known more exactly.
        """
        formulas, total = Formulas(mistake.model), Comparison()
        for one, noise in zip(self._evidence, self._noise, strict=True):
            given = formulas.run(one.case.signature, one.case.inputs, one.case.calls)
            expected = {n: a for n, a in mistake.outputs(given).items() if n in one.outputs}
            if any(expected[name].shape != noise[name].shape for name in expected):
                return _Fit(np.inf, np.inf)
            rounded = {name: array + noise[name] for name, array in expected.items()}
            parties = {CONVERTED: one.outputs}
            total = total.merge(
                compare_case(one.case, expected, rounded, parties, self._thresholds)
            )
            if total.problems:
                return _Fit(np.inf, np.inf)
            if total.excess(CONVERTED, self._thresholds) > max(1.0, hopeless):
                break
        excess = total.excess(CONVERTED, self._thresholds)
        return _Fit(total.worst_error(CONVERTED).error, excess)


def _noise(yardstick: Yardstick, case: Case) -> dict[str, Array]:
    """What rounding alone does to the outputs of a case."""
    exact = yardstick.exact(case)
    rounded = yardstick.rounded(case, exact)
    return {name: rounded[name] - exact[name] for name in exact}


def _cut(evidence: Evidence) -> Evidence:
    """A few rows of it: they are independent of each other."""
    case = evidence.case

    def rows(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: array[:_ROWS] for name, array in arrays.items()}

    return Evidence(
        dataclasses.replace(case, inputs=rows(case.inputs), rows=()), rows(evidence.outputs)
    )


def telling_cases(cases: Iterable[Case], count: int = 4) -> list[Case]:
    """A few cases that a diagnosis can tell the most from: of every signature, not too long."""
    short = [case for case in cases if _steps(case) <= _LARGEST]
    chosen: dict[str, Case] = {}
    for kinds in (("recorded", "ordinary", "states", "ragged", "padded", "saturating"), ("",)):
        for kind in kinds:
            for case in short:
                if case.key.startswith(kind) and len(chosen) < count:
                    chosen.setdefault(case.key, case)
    return list(chosen.values())


def _steps(case: Case) -> int:
    return max((a.shape[1] for a in case.inputs.values() if a.ndim > 1), default=1)


# Values that nobody would guess


_RANGES: Mapping[str, Array] = {
    "forget_bias": np.linspace(-10, 10, 41),
    "cell_clip": np.geomspace(0.02, 100, 41),
    "proj_clip": np.geomspace(0.02, 100, 41),
}


def _fitted(model: CanonicalModel, trial: _Trial) -> Iterator[tuple[Mistake, _Fit]]:
    """The value of a number that fits best, for each number that a cell is made with."""
    places = dict(model.cells())
    for name, grid in _RANGES.items():
        having = {where: [member] for where, member in places.items() if name in member.cell.facts}
        groups = {EVERY: [m for [m] in having.values()]} if len(having) > 1 else {}
        for where, members in {**groups, **having}.items():
            guess = functools.partial(_guess, model, name, where, members)
            found = guess(_minimum(functools.partial(_error, trial, guess), grid))
            yield found, trial.of(found)


def _error(trial: _Trial, guess: Callable[[float], Mistake], value: float) -> float:
    return trial.of(guess(value)).error


def _guess(
    model: CanonicalModel, name: str, where: str, members: Sequence[LegacyCell], value: float
) -> Mistake:
    cells = {member: with_fact(member.cell, name, value) for member in members}
    right = members[0].cell.facts[name].value
    changed = with_cells(model, cells)
    return Mistake(f"{name} {value:.4g}", where, f"{name} {right}", changed, name)


def _minimum(error: Callable[[float], float], grid: Array) -> float:
    """Where an error is least: on a grid, then by golden section around its best point."""
    values = [error(float(point)) for point in grid]
    best = int(np.argmin(values))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(40):
        one, other = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, other) if error(one) < error(other) else (one, high)
    return float(np.round((low + high) / 2, 6))
