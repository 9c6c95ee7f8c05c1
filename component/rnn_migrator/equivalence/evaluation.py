"""The verdict on a converted model: run it, measure it, try the controls, and judge."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_migrator.equivalence.agreement import Agreement
from rnn_migrator.equivalence.comparison import CONVERTED, Comparison, Thresholds, to_json
from rnn_migrator.equivalence.diagnosis import Diagnosis, diagnose, telling_cases
from rnn_migrator.equivalence.evaluator import Evaluator, Measurement
from rnn_migrator.equivalence.inputs.case import Case, Material
from rnn_migrator.equivalence.inputs.plan import find
from rnn_migrator.equivalence.oracles import Attendance, open_oracles
from rnn_migrator.progress import Progress, silent
from rnn_migrator.recognition.recognise import Recognition

if TYPE_CHECKING:
    from rnn_migrator.keras_model.reload import Signatures

SCHEMA = 1
"""Version of the JSON that `Evaluation.to_json` gives."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A judged comparison.

    Attributes:
      measured: What was measured in all cases.
      sent: How many cases, parts of a data set and searches were to be compared.
      attendance: Which oracles took part.
      assumptions: What `assumptions` gives for the source.
      thresholds: What counts as equivalent.
      partial: Whether the user has chosen some cases only, which is no verdict on the model.
      diagnoses: The likely cause of each disagreement, where one is known.
    """

    measured: Measurement
    sent: int
    attendance: Attendance
    assumptions: tuple[Assumption, ...]
    thresholds: Thresholds
    partial: bool = False
    diagnoses: tuple[Diagnosis, ...] = ()

    @property
    def comparison(self) -> Comparison:
        """The converted model and the oracles against float64."""
        return self.measured.comparison

    @property
    def controls(self) -> Comparison:
        """The broken conversions against float64."""
        return self.measured.controls

    @property
    def oracles(self) -> list[str]:
        """The oracles that took part, strongest first."""
        return [party for party in self.comparison.parties if party != CONVERTED]

    @property
    def objections(self) -> list[str]:
        """Why the model is not equivalent; none means it is."""
        return [
            *self.comparison.problems,
            *self._incomplete(),
            *(self._too_far(party) for party in self.failing),
            *self._undecided(),
            *self._unjudged(),
            *self._powerless(),
        ]

    @property
    def equivalent(self) -> bool:
        """Whether the converted model computes what its source says."""
        return not self.objections

    @property
    def unconfirmed(self) -> list[str]:
        """Assumptions that no oracle has confirmed.

        It takes an oracle that agrees with the formulas on outputs which another likely value of
        the fact would have changed.
        """
        return [str(assumed) for assumed in self.assumptions if not self._confirmed(assumed.name)]

    def _confirmed(self, name: str) -> bool:
        return self.equivalent and self.measured.doubts.excess(name, self.thresholds) > 1.0

    @property
    def blessed(self) -> bool:
        """Whether the model may replace the old one: equivalent, on no mere assumption."""
        return self.equivalent and not self.unconfirmed and not self.partial

    @property
    def reason(self) -> str:
        """The verdict in one line."""
        if self.objections:
            likely = f"; likely {self.diagnoses[0]}" if self.diagnoses else ""
            return "not equivalent: " + self.objections[0] + likely
        if self.partial:
            return f"not proven: only the chosen cases ran; {self._distances()}"
        if self.unconfirmed:
            return (
                f"not proven: {', '.join(self.unconfirmed)} assumed, which no graph, recorded "
                "output or setting confirms; settle it with --set or --golden"
            )
        records = sum(tally.compared for tally in self.measured.records.values())
        also = f" and {records} records" if records else ""
        return f"equivalent: {self._distances()}, {self.sent} cases{also}"

    def _distances(self) -> str:
        """How far from float64 the converted model is, and how far others are."""
        rounding = max(np.max(e.rounding, initial=0.0) for e in self.comparison.outputs.values())
        others = {"rounding alone": rounding} | {
            oracle: self.comparison.worst_error(oracle).error for oracle in self.oracles
        }
        text = ", ".join(f"{name} {error:.1e}" for name, error in others.items())
        worst = self.comparison.worst_error(CONVERTED).error
        return f"at most {worst:.1e} from float64 ({text})"

    def _incomplete(self) -> list[str]:
        compared, found = len(self.measured.keys), []
        if compared != self.sent or not self.sent:
            found.append(f"{compared} cases compared of {self.sent} sent")
        return found + [
            f"{file}: {tally.compared} records compared of {tally.sent} sent"
            for file, tally in self.measured.records.items()
            if tally.compared != tally.sent or not tally.sent
        ]

    @property
    def failing(self) -> list[str]:
        """Who is too far from float64, the converted model first."""
        return [
            party
            for party in self.comparison.parties
            if not self.comparison.excess(party, self.thresholds) <= 1.0
        ]

    def _too_far(self, party: str) -> str:
        worst = self.comparison.worst_error(party)
        excess = self.comparison.excess(party, self.thresholds)
        text = (
            f"{party}: {worst.error:.3g} from float64 in case {worst.case!r}, step "
            f"{worst.step}, {excess:.3g} times its bound"
        )
        if party == CONVERTED:
            return text
        return text + "; so the facts taken for the model are not those of the model that ran"

    def _undecided(self) -> list[str]:
        """Outputs whose decisions are not those of the source."""
        found = []
        for name, errors in self.comparison.outputs.items():
            share = errors.agreement.get(CONVERTED, Agreement()).shares().get("argmax", 1.0)
            if share < self.thresholds.of(name).argmax:
                found.append(
                    f"output {name!r}: {share:.4g} of its clear decisions are those of the source, "
                    f"at least {self.thresholds.of(name).argmax:g} should be"
                )
        return found

    def _unjudged(self) -> list[str]:
        return [
            f"output {name!r}: rounding alone passes {self.thresholds.of(name).noisy:g} of its "
            "size at the first step of every case, so that nothing of it can be judged"
            for name, errors in self.comparison.outputs.items()
            if not len(errors.rounding)
        ]

    def _powerless(self) -> list[str]:
        return [
            f"control {party!r} passes, so the cases cannot tell wrong from right"
            for party in self.controls.parties
            if not self.partial
            and party != CONVERTED
            and self.controls.excess(party, self.thresholds) <= 1.0
        ]

    def _coverage(self) -> dict[str, Any]:
        """What each oracle that took part runs, and how many numbers it gave."""
        return {
            name: {"covers": covers, "numbers": self.comparison.numbers(name)}
            for name, covers in self.attendance.covers.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values, the content of `evaluation.json`."""
        return {
            "schema": SCHEMA,
            "verdict": "blessed" if self.blessed else "not blessed",
            "equivalent": self.equivalent,
            "reason": self.reason,
            "objections": self.objections,
            "unconfirmed": self.unconfirmed,
            "diagnosis": [
                {**dataclasses.asdict(found), "matches": found.matches, "text": str(found)}
                for found in self.diagnoses
            ],
            "cases": {"sent": self.sent, "compared": list(self.measured.keys)},
            "records": {
                file: dataclasses.asdict(tally) for file, tally in self.measured.records.items()
            },
            "thresholds": dataclasses.asdict(self.thresholds),
            "oracles": self.oracles,
            "coverage": self._coverage(),
            "absent_oracles": [dataclasses.asdict(one) for one in self.attendance.absent],
            "outputs": to_json(self.comparison, self.thresholds),
            "controls": {
                name: {
                    "error": self.controls.worst_error(name).error,
                    "excess": self.controls.excess(name, self.thresholds),
                }
                for name in self.controls.parties
                if name != CONVERTED
            },
        }


@dataclasses.dataclass(frozen=True)
class Assumption:
    """A value that only a default of the class stands behind, and the layers that take it."""

    name: str
    value: Any
    layers: tuple[str, ...]

    def __str__(self) -> str:
        value = "none" if self.value is None else self.value
        return f"{self.name}={value} ({', '.join(self.layers)})"


def assumptions(recognition: Recognition) -> tuple[Assumption, ...]:
    """Facts that only a default of the class stands behind."""
    layers: dict[tuple[str, Any], list[str]] = {}
    for where, name, fact in recognition.model.facts():
        if not fact.confirmed:
            layers.setdefault((name, fact.value), []).append(where)
    return tuple(Assumption(*assumed, tuple(where)) for assumed, where in layers.items())


def evaluate(
    recognition: Recognition,
    model: Signatures,
    materials: Sequence[Material],
    thresholds: Thresholds | None = None,
    progress: Progress = silent,
    partial: bool = False,
) -> Evaluation:
    """Evaluates a converted model in this process.

    Args:
      recognition: The source.
      model: The converted model.
      materials: What to compare on.
      thresholds: What counts as equivalent.
      progress: Told the key of each case before it runs.
      partial: Whether that is not all there is.

    Raises:
      MigrationError: Inputs cannot be read, or do not fit the model.
    """
    thresholds = thresholds or Thresholds()
    oracles, attendance = open_oracles(recognition, materials)
    evaluator = Evaluator(recognition, model, oracles, thresholds)
    measured = Measurement()
    try:
        for index, material in enumerate(materials):
            share = index / len(materials)
            measured = measured.merge(
                evaluator.measure(material, functools.partial(progress, share=share))
            )
        assumed = assumptions(recognition)
        verdict = Evaluation(measured, len(materials), attendance, assumed, thresholds, partial)
        return explain(verdict, recognition, evaluator, materials, progress)
    finally:
        for oracle in oracles:
            oracle.close()


def explain(
    verdict: Evaluation,
    recognition: Recognition,
    evaluator: Evaluator,
    materials: Sequence[Material],
    progress: Progress = silent,
) -> Evaluation:
    """The verdict with the likely cause of each disagreement.

    Args:
      verdict: The verdict.
      recognition: The source.
      evaluator: What measured.
      materials: What it was given.
      progress: Told what is looked for.
    """
    found = []
    for party in verdict.failing:
        progress(f"looking for what is wrong with {party}")
        cases = _telling(recognition, materials, verdict.comparison.worst_keys(party))
        evidence = evaluator.evidence(party, cases)
        found.append(diagnose(recognition.model, party, evidence, verdict.thresholds))
    return dataclasses.replace(verdict, diagnoses=tuple(one for one in found if one))


def _telling(
    recognition: Recognition, materials: Sequence[Material], worst: Sequence[str]
) -> list[Case]:
    """The worst record or searched input, and other cases that much can be told from."""
    given = [material for material in materials if isinstance(material, Case)]
    known = {case.key for case in given}
    others = (find(key, materials, recognition.model) for key in worst if key not in known)
    records = [case for case in others if case is not None]
    return telling_cases(records, 1) + telling_cases(given)
