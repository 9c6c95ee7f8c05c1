"""The evaluation as a Beam pipeline, with the verdict and figures of `evaluation.evaluate`.

It keeps to what every runner does right: elements with keys, one ParDo, one combine, one write at
the end; no `finish_bundle` and no tagged outputs, which some runners drop without a word. What
went in is counted against what came out, so that a runner that loses cases gets no blessing.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.equivalence.evaluation import (
    Assumption,
    Evaluation,
    assumptions,
    explain,
)
from rnn_migrator.equivalence.evaluator import Evaluator, Measurement
from rnn_migrator.equivalence.inputs.case import Material
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.equivalence.oracles import Attendance, Oracle, open_oracles
from rnn_migrator.errors import MigrationError, NotEquivalentError, Problem, UsageError
from rnn_migrator.files import read_json, write_json
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage.record import has_examples
from rnn_migrator.migration import read_conversion, source_of
from rnn_migrator.recognition.recognise import Recognition

EVALUATION_FILE = "evaluation.json"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be evaluated, in values that any worker can open by itself.

    Attributes:
      source: Path of the legacy artifact.
      output: Folder that `convert` wrote.
      inputs: What to compare on besides probes.
      thresholds: What counts as equivalent.
    """

    source: str
    output: str
    inputs: Inputs = dataclasses.field(default_factory=Inputs)
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)

    def materials(self, recognition: Recognition) -> list[Material]:
        """What the models are compared on.

        Raises:
          MigrationError: It cannot be read, or does not fit the model.
        """
        document = read_conversion(Path(self.output))
        return self.inputs.materials(recognition.model, has_examples(document))

    def recognise(self) -> Recognition:
        """The source, as it was recognised when it was converted.

        Raises:
          MigrationError: It cannot be read, or is not what was converted.
        """
        document = read_conversion(Path(self.output))
        recognition = source_of(Path(self.source), document)
        found, converted = recognition.artifact.digest, document["source"]["sha256"]
        if found != converted:
            raise UsageError(
                Problem(
                    where=self.source,
                    expected=f"the source of {self.output}, sha256 {converted}",
                    received=f"sha256 {found}",
                    remedy="name the source it was converted from, or convert it again",
                )
            )
        return recognition


def evaluate_on_beam(
    job: Job, file: Path, make_pipeline: Callable[[], beam.Pipeline]
) -> dict[str, Any]:
    """Evaluates a converted model on whatever runner the pipeline has.

    Args:
      job: What is evaluated.
      file: JSON file to be written, whole or not at all; an older one is removed.
      make_pipeline: Gives an empty pipeline.

    Returns:
      What was written: `Evaluation.to_json`.

    Raises:
      MigrationError: Source, model or recordings cannot be read, or do not belong together.
      NotEquivalentError: The runner ended without any result.
    """
    recognition = job.recognise()
    materials = job.materials(recognition)
    verdict = _Verdict(job, len(materials), assumptions(recognition), file)
    file.unlink(missing_ok=True)
    try:
        with make_pipeline() as pipeline:
            _ = (
                pipeline
                | "Inputs" >> beam.Create(list(enumerate(materials)))
                | "Spread" >> beam.Reshuffle()
                | "Compare" >> beam.ParDo(_Compare(job))
                | "Combine" >> beam.CombineGlobally(_Merge())
                | "Judge" >> beam.Map(verdict)
            )
    except MigrationError as e:
        raise as_raised(e) from None
    if not file.is_file():
        raise NotEquivalentError(
            Problem(
                where="the Beam runner of the evaluation",
                expected=f"a result for {len(materials)} cases",
                received="none",
                remedy="use another runner, in beam_pipeline_args of the config",
            )
        )
    document: dict[str, Any] = read_json(file)
    return document


def as_raised(error: MigrationError) -> MigrationError:
    """An error of a worker's, which Beam makes anew from its text, as it was before."""
    while isinstance(error.__context__, MigrationError):
        error = error.__context__
    return error


@dataclasses.dataclass(frozen=True, eq=False)
class Stretch:
    """What was measured in consecutive materials.

    Attributes:
      first: Index of the first one.
      stop: One more than the index of the last.
      measured: What it was.
      attendance: Which oracles took part.
    """

    first: int = 0
    stop: int = 0
    measured: Measurement = dataclasses.field(default_factory=Measurement)
    attendance: Attendance = dataclasses.field(default_factory=Attendance)

    def merge(self, later: Stretch) -> Stretch:
        """The stretch that begins with this one and ends with the later one."""
        return Stretch(
            self.first,
            later.stop,
            self.measured.merge(later.measured),
            self.attendance.merge(later.attendance),
        )


class _Parties:
    """Everybody who computes, made once in a process and never pickled."""

    def __init__(self, job: Job) -> None:
        from rnn_migrator.keras_model.reload import open_converted

        self._recognition = job.recognise()
        self._materials = job.materials(self._recognition)
        target = Target(read_conversion(Path(job.output))["target"])
        model = open_converted(Path(job.output), target, self._recognition.model)
        oracles, self._attendance = open_oracles(self._recognition, self._materials)
        self._evaluator = Evaluator(self._recognition, model, oracles, job.thresholds)
        # Runners call from several threads; nobody promises that an oracle stands that.
        self._lock = threading.Lock()
        weakref.finalize(self, _close, oracles)

    def compare(self, index: int, material: Material) -> Stretch:
        with self._lock:
            measured = self._evaluator.measure(material)
        return Stretch(index, index + 1, measured, self._attendance)

    def explain(self, verdict: Evaluation) -> Evaluation:
        with self._lock:
            return explain(verdict, self._recognition, self._evaluator, self._materials)


def _close(oracles: Sequence[Oracle]) -> None:
    for oracle in oracles:
        oracle.close()


class _Compare(beam.DoFn):
    """One material, by index, to what was measured in it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shared = Shared()

    def setup(self) -> None:
        self._parties: _Parties = self._shared.acquire(lambda: _Parties(self._job))

    def process(self, element: tuple[int, Material]) -> Iterator[Stretch]:
        yield self._parties.compare(*element)


class _Merge(beam.CombineFn):
    """Stretches into one, in the order of the materials, whatever order they come in.

    The order matters to what a report says first, though not to the figures. Adjacent ones
    are merged at once, so that little is carried about.
    """

    def create_accumulator(self) -> list[Stretch]:
        return []

    def add_input(self, accumulator: list[Stretch], stretch: Stretch) -> list[Stretch]:
        return _join([*accumulator, stretch])

    def merge_accumulators(self, accumulators: Iterable[list[Stretch]]) -> list[Stretch]:
        return _join([stretch for stretches in accumulators for stretch in stretches])

    def extract_output(self, accumulator: list[Stretch]) -> Stretch:
        total = Stretch()
        for stretch in accumulator:
            total = total.merge(stretch)
        return total


def _join(stretches: list[Stretch]) -> list[Stretch]:
    """The same stretches in order; adjacent ones are merged, what came twice counts once."""
    joined: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.first):
        if joined and stretch.first < joined[-1].stop:
            continue
        if joined and stretch.first == joined[-1].stop:
            joined[-1] = joined[-1].merge(stretch)
        else:
            joined.append(stretch)
    return joined


@dataclasses.dataclass(frozen=True)
class _Verdict:
    """Judges all that was measured, and writes it down."""

    job: Job
    sent: int
    assumptions: tuple[Assumption, ...]
    file: Path

    def __call__(self, stretch: Stretch) -> str:
        evaluation = Evaluation(
            stretch.measured,
            self.sent,
            stretch.attendance,
            self.assumptions,
            self.job.thresholds,
        )
        if evaluation.failing:
            evaluation = _Parties(self.job).explain(evaluation)
        write_json(self.file, evaluation.to_json())
        return evaluation.reason
