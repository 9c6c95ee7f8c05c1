"""Many models at once: Beam spreads them, and each is migrated in a process of its own.

A legacy artifact may be hostile or too large; what ends its process leaves the others alone. The
processes are forked from one that has loaded TFX already.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.config import MigrationConfig, Migrations
from pipelines.local import RunResult, run_migration
from pipelines.runs import DagRunner
from pipelines.stages import only_stages
from rnn_migrator import pages
from rnn_migrator.errors import ExitStatus, MigrationError, Problem, UsageError
from rnn_migrator.files import full_disk_is_refusal, own_temporary_folder, read_json, write_json
from rnn_migrator.lineage.record import evaluation_properties
from rnn_migrator.progress import Progress, silent

SUMMARY_FILE, PAGE_FILE = "summary.json", "summary.html"
"""What is left in the folder that those of the models lie in."""

OUTCOME_FILE, LOG_FILE = "outcome.json", "run.log"
"""What is left in the folder of each model; the log is what the frameworks had to say."""

REFUSED, FAILED = "refused", "failed"
"""In place of a verdict: not converted for the reasons given; not even that."""

_DEFECT = 70
"""Exit status of a defect of our own, as the command has it."""

_PRELOADED = ["pipelines.many", "pipelines.migration", "tfx.orchestration.local.local_dag_runner"]

_TEMPLATE = "summary.html.j2"

_logger = logging.getLogger("rnn_migrator.many")

Outcome = dict[str, Any]
"""What became of a model, as JSON values: `source`, `status` (exit status of its own), `verdict`,
`reason`, `largest_error`, `oracles`, `problems`, `model`, `pushed`, `report`, `cached`, `log`,
`seconds`."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run of many models came to.

    Attributes:
      file: The summary as JSON; the page lies beside it.
      outcomes: What became of each model, by its name.
      seconds: How long all of it took.
    """

    file: Path
    outcomes: Mapping[str, Outcome]
    seconds: float

    @property
    def status(self) -> int:
        """The exit status of the command: that of the model that is worst off."""
        return max(outcome["status"] for outcome in self.outcomes.values())

    @property
    def tally(self) -> dict[str, int]:
        """How many models have which verdict."""
        verdicts = sorted(outcome["verdict"] for outcome in self.outcomes.values())
        return {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {"seconds": self.seconds, "tally": self.tally, "models": dict(self.outcomes)}


def run_many(
    migrations: Migrations,
    progress: Progress = silent,
    dag_runner: DagRunner = DagRunner.LOCAL,
) -> Summary:
    """Runs the migration of each model; what goes wrong with one does not concern the others.

    Args:
      migrations: Of a config of many.
      progress: Told what each model has come to.
      dag_runner: What goes from component to component of a model.

    Raises:
      UsageError: The summary cannot be written.
    """
    began = time.monotonic()
    file = _emptied(migrations.root) / SUMMARY_FILE
    options = PipelineOptions(list(migrations.fan_out))
    stages = only_stages(_counted(progress, len(migrations.models)))
    with stages, beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Models" >> beam.Create(list(migrations.models.items()))
            | "Spread" >> beam.Reshuffle()
            | "Migrate" >> beam.ParDo(_Migrate(dag_runner))
            | "All" >> beam.combiners.ToDict()
            | "Write" >> beam.Map(functools.partial(write_json, file))
        )
    found = read_json(file) if file.is_file() else {}
    outcomes = {
        name: found.get(name) or _outcome(config, FAILED, _DEFECT, "the Beam runner lost it")
        for name, config in migrations.models.items()
    }
    summary = Summary(file, outcomes, time.monotonic() - began)
    write_json(file, summary.to_json())
    _write_page(summary, migrations.name)
    return summary


def _emptied(root: Path) -> Path:
    """The folder of the summary, without that of an earlier run.

    Raises:
      UsageError: It cannot be written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / SUMMARY_FILE).unlink(missing_ok=True)
    except OSError as e:
        raise UsageError(
            Problem(
                where=f"output.root: {root}",
                expected="a folder that can be written to",
                received=str(e),
                remedy="name another one",
            )
        ) from e
    return root


def _counted(progress: Progress, models: int) -> Any:
    """Passes on what is said of each model, with how many of them are done."""
    done = iter(range(1, models + 1))

    def show(text: str) -> None:
        number = next(done, models)
        progress(f"{number} of {models}: {text}", number / models)

    return show


class _Migrate(beam.DoFn):
    """A model, by its name, to what became of it."""

    def __init__(self, dag_runner: DagRunner) -> None:
        self._dag_runner = dag_runner

    def process(self, element: tuple[str, MigrationConfig]) -> Iterator[tuple[str, Outcome]]:
        name, config = element
        outcome = _in_a_process(config, self._dag_runner)
        _logger.info("%s: %s", name, outcome["verdict"])
        yield name, outcome


def _in_a_process(config: MigrationConfig, dag_runner: DagRunner) -> Outcome:
    """Migrates a model, whatever becomes of the process that does it."""
    began, folder = time.monotonic(), config.output.root
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OUTCOME_FILE).unlink(missing_ok=True)
    except OSError as e:
        return _outcome(config, FAILED, int(ExitStatus.USAGE), f"no folder for it: {e}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=_migrate, args=(config, dag_runner))
    process.start()
    process.join()
    if (folder / OUTCOME_FILE).is_file():
        outcome = read_json(folder / OUTCOME_FILE)
    else:
        outcome = _outcome(config, FAILED, _DEFECT, f"its process {_end(process.exitcode)}")
    return {**outcome, "seconds": round(time.monotonic() - began, 2)}


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}"


def _migrate(config: MigrationConfig, dag_runner: DagRunner) -> None:
    """What a process does for a model."""
    folder = config.output.root
    log = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with full_disk_is_refusal(), own_temporary_folder():
            outcome = _result(config, run_migration(config, print, dag_runner))
    except MigrationError as e:
        problems = [dataclasses.asdict(problem) for problem in e.problems]
        reason = "; ".join(map(str, e.problems))
        outcome = _outcome(config, REFUSED, int(e.status), reason, problems=problems)
    except Exception as e:
        traceback.print_exc()
        outcome = _outcome(config, FAILED, _DEFECT, f"a defect of rnn-migrate: {e!r}")
    write_json(folder / OUTCOME_FILE, outcome)


def _end_with_parent() -> None:
    """Leaves no process at work behind a run that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(_DEFECT)


def _result(config: MigrationConfig, result: RunResult) -> Outcome:
    judged = evaluation_properties(result.evaluation)
    return _outcome(
        config,
        judged["verdict"],
        int(result.status),
        judged["reason"],
        largest_error=_in_short(judged["largest_error"]),
        oracles=list(result.evaluation["oracles"]),
        model=str(result.model),
        pushed=str(result.pushed) if result.pushed else None,
        report=str(result.evaluation_file.with_name("report.html")),
        cached=list(result.cached),
    )


def _in_short(error: str) -> str:
    """The largest error of an evaluation, which may have none."""
    try:
        return f"{float(error):.1e}"
    except ValueError:
        return error


def _outcome(
    config: MigrationConfig, verdict: str, status: int, reason: str, **more: Any
) -> Outcome:
    return {
        "source": str(config.source.path),
        "status": status,
        "verdict": verdict,
        "reason": reason,
        "seconds": 0.0,
        "log": str(config.output.root / LOG_FILE),
        **more,
    }


def _write_page(summary: Summary, title: str) -> None:
    """Writes the summary as a page, with links to the reports beside it."""
    root = summary.file.parent
    links = {
        name: os.path.relpath(outcome.get("report") or outcome["log"], root)
        for name, outcome in summary.outcomes.items()
    }
    template = pages.environment(Path(__file__).parent).get_template(_TEMPLATE)
    page = template.render(summary=summary, name=title, links=links)
    pages.write(page, root / PAGE_FILE)
