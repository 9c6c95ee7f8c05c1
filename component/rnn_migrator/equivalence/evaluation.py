"""The verdict on a converted model: run it, measure it, try the controls, and judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.cases import Case, probe_cases, recorded_case
from rnn_migrator.equivalence.comparison import (
    CONVERTED,
    Comparison,
    Thresholds,
    compare_case,
    to_json,
)
from rnn_migrator.equivalence.controls import broken_models
from rnn_migrator.equivalence.oracles import Absence, Oracle, open_oracles
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.recognition.recognise import Recognition

SCHEMA = 1
"""Version of the JSON that `Evaluation.to_json` gives."""

Signatures = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]
"""A converted model: (signature, inputs by name) to outputs by name."""


def plan_cases(recognition: Recognition, golden: Sequence[Path] = ()) -> list[Case]:
    """The recorded cases and the probes for a source."""
    recorded = [recorded_case(file, recognition.model) for file in golden]
    return recorded + probe_cases(recognition.model)


class Evaluator:
    """Compares one converted model with its source, case by case.

    Args:
      recognition: The source.
      model: The converted model.
      oracles: Who else says what the source computes.
    """

    def __init__(
        self, recognition: Recognition, model: Signatures, oracles: Sequence[Oracle] = ()
    ) -> None:
        self._model = model
        self._oracles = oracles
        self._reference = Formulas(recognition.model)
        self._rounded = Formulas(recognition.model, np.float32)
        self._controls = {
            name: Formulas(mutant) for name, mutant in broken_models(recognition.model).items()
        }

    def compare(self, case: Case) -> Comparison:
        """Runs every party on a case; an oracle with fixed shapes sees the case cut to them."""
        comparison = self._compare(case, {CONVERTED: self._convert(case)})
        for oracle in self._oracles:
            adapted = oracle.adapt(case)
            given = oracle.run(adapted)
            if given is not None:
                parties = {CONVERTED: self._convert(adapted), oracle.name: given}
                comparison = comparison.merge(self._compare(adapted, parties))
        return dataclasses.replace(comparison, cases=(case.key,))

    def _convert(self, case: Case) -> Mapping[str, Array]:
        return self._model(case.signature, case.inputs)

    def _compare(self, case: Case, parties: Mapping[str, Mapping[str, Array]]) -> Comparison:
        reference = self._reference.run(case.signature, case.inputs)
        rounded = self._rounded.run(case.signature, case.inputs)
        return compare_case(case.key, case.signature, reference, rounded, parties)

    def compare_controls(self, case: Case) -> Comparison:
        """The same for the broken conversions."""
        parties = {
            CONVERTED: self._reference.run(case.signature, case.inputs),
            **{
                name: control.run(case.signature, case.inputs)
                for name, control in self._controls.items()
            },
        }
        return self._compare(case, parties)


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A judged comparison.

    Attributes:
      comparison: The converted model and the oracles against float64.
      controls: The broken conversions against float64.
      sent: How many cases were to be compared.
      absent: Oracles that were not to be had, and why.
      assumptions: What `assumptions` gives for the source.
      thresholds: What counts as equivalent.
    """

    comparison: Comparison
    controls: Comparison
    sent: int
    absent: tuple[Absence, ...]
    assumptions: tuple[str, ...]
    thresholds: Thresholds

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
            *(self._too_far(party) for party in self._failing()),
            *self._powerless(),
        ]

    @property
    def equivalent(self) -> bool:
        """Whether the converted model computes what its source says."""
        return not self.objections

    @property
    def unconfirmed(self) -> list[str]:
        """Assumptions that no oracle has confirmed by agreeing with the formulas."""
        return [] if self.oracles and self.equivalent else list(self.assumptions)

    @property
    def blessed(self) -> bool:
        """Whether the model may replace the old one: equivalent, on no mere assumption."""
        return self.equivalent and not self.unconfirmed

    @property
    def reason(self) -> str:
        """The verdict in one line."""
        if self.objections:
            return "not equivalent: " + self.objections[0]
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

    def _failing(self) -> list[str]:
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


def assumptions(recognition: Recognition) -> tuple[str, ...]:
    """Facts that only a default of the class stands behind, as "name=value (layer, layer)"."""
    layers: dict[str, list[str]] = {}
    for where, name, fact in recognition.model.facts():
        if not fact.confirmed:
            value = "none" if fact.value is None else fact.value
            layers.setdefault(f"{name}={value}", []).append(where)
    return tuple(f"{text} ({', '.join(where)})" for text, where in layers.items())


def judge(
    recognition: Recognition,
    comparison: Comparison,
    controls: Comparison,
    sent: int,
    absent: Sequence[Absence],
    thresholds: Thresholds,
) -> Evaluation:
    """Puts a verdict together from what was measured."""
    return Evaluation(
        comparison, controls, sent, tuple(absent), assumptions(recognition), thresholds
    )


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
    oracles, absent = open_oracles(recognition, cases)
    evaluator = Evaluator(recognition, model, oracles)
    comparison, controls = Comparison(), Comparison()
    try:
        for case in cases:
            progress(case.key)
            comparison = comparison.merge(evaluator.compare(case))
            controls = controls.merge(evaluator.compare_controls(case))
    finally:
        for oracle in oracles:
            oracle.close()
    return judge(recognition, comparison, controls, len(cases), absent, thresholds or Thresholds())
