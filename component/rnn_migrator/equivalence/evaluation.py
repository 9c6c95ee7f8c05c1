"""The verdict on a converted model: run it, measure it, try the controls, and judge."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_migrator.canonical import Array, CanonicalModel
from rnn_migrator.equivalence.agreement import Agreement
from rnn_migrator.equivalence.cases import Case, probe_cases, recorded_case
from rnn_migrator.equivalence.comparison import (
    CONVERTED,
    Comparison,
    Thresholds,
    compare_case,
    to_json,
)
from rnn_migrator.equivalence.controls import broken_models, doubted_models
from rnn_migrator.equivalence.diagnosis import Diagnosis, Evidence, diagnose, telling_cases
from rnn_migrator.equivalence.oracles import Absence, Oracle, open_oracles
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.equivalence.yardstick import Yardstick
from rnn_migrator.recognition.recognise import Recognition

if TYPE_CHECKING:
    from rnn_migrator.keras_model.reload import Signatures

SCHEMA = 1
"""Version of the JSON that `Evaluation.to_json` gives."""


def plan_cases(recognition: Recognition, golden: Sequence[Path] = ()) -> list[Case]:
    """The recorded cases and the probes for a source."""
    recorded = [recorded_case(file, recognition.model) for file in golden]
    return recorded + probe_cases(recognition.model)


Witness = tuple[str, Case, Mapping[str, Array]]
"""An oracle, the case as it saw it, and what it gave."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured in any number of cases.

    Attributes:
      comparison: The converted model and the oracles against float64.
      controls: The broken conversions against float64.
      doubts: Other values of the assumed facts against float64, on what the oracles gave only.
    """

    comparison: Comparison = dataclasses.field(default_factory=Comparison)
    controls: Comparison = dataclasses.field(default_factory=Comparison)
    doubts: Comparison = dataclasses.field(default_factory=Comparison)

    def merge(self, other: Measurement) -> Measurement:
        """What was measured in the cases of both."""
        return Measurement(
            self.comparison.merge(other.comparison),
            self.controls.merge(other.controls),
            self.doubts.merge(other.doubts),
        )


class Evaluator:
    """Compares one converted model with its source, case by case.

    Args:
      recognition: The source.
      model: The converted model.
      oracles: Who else says what the source computes.
      thresholds: What counts as noise.
    """

    def __init__(
        self,
        recognition: Recognition,
        model: Signatures,
        oracles: Sequence[Oracle] = (),
        thresholds: Thresholds | None = None,
    ) -> None:
        self._model = model
        self._thresholds = thresholds or Thresholds()
        self._oracles = oracles
        # A case is compared several times; its yardstick is the same each time.
        self._yardstick = functools.lru_cache(maxsize=4)(Yardstick(recognition.model).measure)
        self._controls = _formulas(broken_models(recognition.model))
        self._doubts = _formulas(doubted_models(recognition.model))

    def measure(self, case: Case) -> Measurement:
        """Runs everybody on a case."""
        witnessed = self._witness(case)
        controls = self._compare(case, self._parties(case, self._controls))
        doubts = Comparison()
        for _, adapted, given in witnessed if self._doubts else ():
            seen = {
                party: {name: outputs[name] for name in given}
                for party, outputs in self._parties(adapted, self._doubts).items()
            }
            doubts = doubts.merge(self._compare(adapted, seen, given))
        return Measurement(self._comparison(case, witnessed), controls, doubts)

    def evidence(self, party: str, cases: Iterable[Case]) -> list[Evidence]:
        """What a party gives in some cases, as far as it can be compared."""
        found = []
        for case in cases:
            if party == CONVERTED:
                found.append(Evidence(case, self._model(case.signature, case.inputs, case.calls)))
            else:
                given = [w for w in self._witness(case) if w[0] == party]
                found += [Evidence(adapted, outputs) for _, adapted, outputs in given]
        return found

    def compare(self, case: Case) -> Comparison:
        """Runs the converted model and the oracles on a case."""
        return self._comparison(case, self._witness(case))

    def _witness(self, case: Case) -> list[Witness]:
        """What the oracles give; one with fixed shapes sees the case cut to them."""
        adapted = [(oracle, oracle.adapt(case)) for oracle in self._oracles]
        runs = [(oracle.name, fitting, oracle.run(fitting)) for oracle, fitting in adapted]
        return [(name, fitting, given) for name, fitting, given in runs if given is not None]

    def _comparison(self, case: Case, witnessed: Sequence[Witness]) -> Comparison:
        comparison = Comparison()
        for seen in dict.fromkeys([case, *(adapted for _, adapted, _ in witnessed)]):
            given = {name: outputs for name, adapted, outputs in witnessed if adapted is seen}
            converted = self._model(seen.signature, seen.inputs, seen.calls)
            comparison = comparison.merge(self._compare(seen, {CONVERTED: converted, **given}))
        return dataclasses.replace(comparison, cases=(case.key,))

    def _parties(
        self, case: Case, models: Mapping[str, Formulas]
    ) -> dict[str, Mapping[str, Array]]:
        """What models give; the reference stands in for the converted model."""
        reference, _ = self._yardstick(case)
        given = {
            name: model.run(case.signature, case.inputs, case.calls)
            for name, model in models.items()
        }
        return {CONVERTED: reference, **given}

    def _compare(
        self,
        case: Case,
        parties: Mapping[str, Mapping[str, Array]],
        outputs: Iterable[str] | None = None,
    ) -> Comparison:
        """Compares outputs with the reference; all of them, or those named."""
        reference, rounded = self._yardstick(case)
        if outputs is not None:
            reference = {name: reference[name] for name in outputs}
        return compare_case(case.key, case.signature, reference, rounded, parties, self._thresholds)


def _formulas(models: Mapping[str, CanonicalModel]) -> dict[str, Formulas]:
    return {name: Formulas(model) for name, model in models.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A judged comparison.

    Attributes:
      measured: What was measured in all cases.
      sent: How many cases were to be compared.
      absent: Oracles that were not to be had, and why.
      assumptions: What `assumptions` gives for the source.
      thresholds: What counts as equivalent.
      diagnoses: The likely cause of each disagreement, where one is known.
    """

    measured: Measurement
    sent: int
    absent: tuple[Absence, ...]
    assumptions: tuple[Assumption, ...]
    thresholds: Thresholds
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
        return self.equivalent and not self.unconfirmed

    @property
    def reason(self) -> str:
        """The verdict in one line."""
        if self.objections:
            likely = f"; likely {self.diagnoses[0]}" if self.diagnoses else ""
            return "not equivalent: " + self.objections[0] + likely
        if self.unconfirmed:
            return (
                f"not proven: {', '.join(self.unconfirmed)} assumed, which no graph, recorded "
                "output or setting confirms; settle it with --set or --golden"
            )
        return f"equivalent: {self._distances()}, {self.sent} cases"

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
        compared = len(self.comparison.cases)
        if compared == self.sent and self.sent:
            return []
        return [f"{compared} cases compared of {self.sent} sent"]

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
            if party != CONVERTED and self.controls.excess(party, self.thresholds) <= 1.0
        ]

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
            "cases": {"sent": self.sent, "compared": list(self.comparison.cases)},
            "thresholds": dataclasses.asdict(self.thresholds),
            "oracles": self.oracles,
            "absent_oracles": [dataclasses.asdict(absence) for absence in self.absent],
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


def judge(
    recognition: Recognition,
    measured: Measurement,
    sent: int,
    absent: Sequence[Absence],
    thresholds: Thresholds,
) -> Evaluation:
    """Puts a verdict together from what was measured."""
    return Evaluation(measured, sent, tuple(absent), assumptions(recognition), thresholds)


def evaluate(
    recognition: Recognition,
    model: Signatures,
    cases: Sequence[Case],
    thresholds: Thresholds | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Evaluation:
    """Evaluates a converted model in this process.

    Args:
      recognition: The source.
      model: The converted model.
      cases: What to compare on.
      thresholds: What counts as equivalent.
      progress: Told the key of each case before it runs.
    """
    thresholds = thresholds or Thresholds()
    oracles, absent = open_oracles(recognition, cases)
    evaluator = Evaluator(recognition, model, oracles, thresholds)
    measured = Measurement()
    try:
        for case in cases:
            progress(case.key)
            measured = measured.merge(evaluator.measure(case))
        verdict = judge(recognition, measured, len(cases), absent, thresholds)
        return explain(verdict, recognition, evaluator, cases, progress)
    finally:
        for oracle in oracles:
            oracle.close()


def explain(
    verdict: Evaluation,
    recognition: Recognition,
    evaluator: Evaluator,
    cases: Sequence[Case],
    progress: Callable[[str], None] = lambda text: None,
) -> Evaluation:
    """The verdict with the likely cause of each disagreement."""
    found = []
    for party in verdict.failing:
        progress(f"looking for what is wrong with {party}")
        evidence = evaluator.evidence(party, telling_cases(cases))
        found.append(diagnose(recognition.model, party, evidence, verdict.thresholds))
    return dataclasses.replace(verdict, diagnoses=tuple(one for one in found if one))
