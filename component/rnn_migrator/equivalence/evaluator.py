"""Everybody who computes, on the same cases: the converted model, oracles, broken conversions."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnn_migrator.canonical import Array, CanonicalModel
from rnn_migrator.equivalence.comparison import (
    CONVERTED,
    Comparison,
    Thresholds,
    below_floor,
    compare_case,
    merged,
)
from rnn_migrator.equivalence.controls import broken_models, doubted_models
from rnn_migrator.equivalence.diagnosis import Evidence
from rnn_migrator.equivalence.inputs.case import Case, Material
from rnn_migrator.equivalence.oracles import Oracle
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.equivalence.yardstick import Yardstick
from rnn_migrator.recognition.recognise import Recognition

if TYPE_CHECKING:
    from rnn_migrator.keras_model.reload import Signatures

Answers = tuple[Case, Mapping[str, Mapping[str, Array]]]
"""A case as some parties saw it, and what they gave."""


@dataclasses.dataclass(frozen=True)
class Tally:
    """Records of one file of a data set.

    Attributes:
      sent: How many it holds.
      compared: How many were compared.
    """

    sent: int = 0
    compared: int = 0

    def merge(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.sent + other.sent, self.compared + other.compared)


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured in any number of cases.

    Attributes:
      keys: Of the materials that were compared.
      records: Of data sets, by file.
      comparison: The converted model and the oracles against float64.
      controls: The broken conversions against float64.
      doubts: Other values of the assumed facts against float64, on what the oracles gave only.
    """

    keys: tuple[str, ...] = ()
    records: Mapping[str, Tally] = dataclasses.field(default_factory=dict)
    comparison: Comparison = dataclasses.field(default_factory=Comparison)
    controls: Comparison = dataclasses.field(default_factory=Comparison)
    doubts: Comparison = dataclasses.field(default_factory=Comparison)

    def merge(self, other: Measurement) -> Measurement:
        """What was measured in the cases of both."""
        return Measurement(
            self.keys + other.keys,
            merged(self.records, other.records),
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
        yardstick = Yardstick(recognition.model)
        # A case is compared several times; its yardstick is the same each time.
        self._exact = functools.lru_cache(maxsize=4)(yardstick.exact)
        self._rounded = functools.lru_cache(maxsize=4)(
            lambda case: yardstick.rounded(case, self._exact(case))
        )
        self._aside = concurrent.futures.ThreadPoolExecutor(1)
        self._source = recognition.model
        self._controls = _formulas(broken_models(recognition.model))
        self._doubts = _formulas(doubted_models(recognition.model))

    def measure(
        self, material: Material, progress: Callable[[str], None] = lambda text: None
    ) -> Measurement:
        """Runs everybody on all that a material gives.

        Args:
          material: A case, a part of a data set, or a search.
          progress: Told the key of each case before it runs.

        Raises:
          MigrationError: It cannot be read, or does not fit the model.
        """
        sent = {file: Tally(sent=count) for file, count in material.records().items()}
        measured = Measurement((material.key,), sent)
        for case in material.cases(self._source, self._excess):
            progress(case.key)
            measured = measured.merge(self._measure(case))
        return measured

    def _measure(self, case: Case) -> Measurement:
        # The formulas leave a core to TensorFlow, and both let go of Python's lock.
        reference = self._aside.submit(self._exact, case)
        answers = self._answers(case)
        reference.result()
        controls = doubts = Comparison()
        if case.thorough:
            controls = self._compare(case, self._parties(case, self._controls))
            doubts = self._doubted(answers)
        records = {case.file: Tally(compared=len(set(case.rows)))} if case.rows else {}
        return Measurement((), records, self._comparison(answers), controls, doubts)

    def _answers(self, case: Case) -> list[Answers]:
        """What everybody gives; an oracle with fixed shapes sees the case cut to them."""
        found: dict[Case, dict[str, Mapping[str, Array]]] = {case: {}}
        for oracle in self._oracles:
            seen = oracle.adapt(case)
            given = oracle.run(seen)
            if given is not None:
                found.setdefault(seen, {})[oracle.name] = given
        return [
            (seen, {CONVERTED: self._model(seen.signature, seen.inputs, seen.calls), **given})
            for seen, given in found.items()
        ]

    def _comparison(self, answers: Iterable[Answers]) -> Comparison:
        comparison = Comparison()
        for seen, given in answers:
            comparison = comparison.merge(self._compare(seen, given))
        return comparison

    def _doubted(self, answers: Iterable[Answers]) -> Comparison:
        """Other values of the assumed facts, on what the oracles gave."""
        doubts = Comparison()
        witnessed = (
            (seen, outputs)
            for seen, given in answers
            for party, outputs in given.items()
            if party != CONVERTED
        )
        for seen, outputs in witnessed if self._doubts else ():
            parties = {
                party: {name: values[name] for name in outputs}
                for party, values in self._parties(seen, self._doubts).items()
            }
            doubts = doubts.merge(self._compare(seen, parties, outputs))
        return doubts

    def _excess(self, case: Case) -> float:
        """How many times its bound the converted model's error is in one case."""
        converted = self._model(case.signature, case.inputs, case.calls)
        found = self._compare(case, {CONVERTED: converted})
        return np.inf if found.problems else found.excess(CONVERTED, self._thresholds)

    def evidence(self, party: str, cases: Iterable[Case]) -> list[Evidence]:
        """What a party gives in some cases, as far as it can be compared."""
        return [
            Evidence(seen, given[party])
            for case in cases
            for seen, given in self._answers(case)
            if party in given and (party != CONVERTED or seen is case)
        ]

    def compare(self, case: Case) -> Comparison:
        """Runs the converted model and the oracles on a case."""
        return self._comparison(self._answers(case))

    def _parties(
        self, case: Case, models: Mapping[str, Formulas]
    ) -> dict[str, Mapping[str, Array]]:
        """What models give; the reference stands in for the converted model."""
        given = {
            name: model.run(case.signature, case.inputs, case.calls)
            for name, model in models.items()
        }
        return {CONVERTED: self._exact(case), **given}

    def _compare(
        self,
        case: Case,
        parties: Mapping[str, Mapping[str, Array]],
        outputs: Iterable[str] | None = None,
    ) -> Comparison:
        """Compares outputs with the reference; all of them, or those named."""
        reference = self._exact(case)
        if outputs is not None:
            reference = {name: reference[name] for name in outputs}
        # What is below the floor is rounding in any case: the measure of it can be spared.
        spared = not case.thorough and below_floor(case, reference, parties, self._thresholds)
        rounded = None if spared else self._rounded(case)
        return compare_case(case, reference, rounded, parties, self._thresholds)


def _formulas(models: Mapping[str, CanonicalModel]) -> dict[str, Formulas]:
    return {name: Formulas(model) for name, model in models.items()}
