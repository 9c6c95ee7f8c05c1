"""One legacy artifact on three orchestrators: what each of them takes, and what comes of it.

python -m tests.orchestrators          runs it on all three: docs/orchestrators.md
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rnn_migrator.files import read_json
from rnn_migrator.lineage.query import LineageAnswer, lineage
from rnn_migrator.lineage.store import METADATA_FILE
from tests.pipelines.migrations import ROOT, digest, place_project, told, weights

FILE = ROOT / "docs" / "orchestrators.md"
DAG_FILE = ROOT / "pipelines" / "airflow.py"
NAME = "stacked-lstm"
HEAD = "| orchestrator | seconds | weights | verdict | largest error | lineage |"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the artifact on one orchestrator.

    Attributes:
      orchestrator: Its name, and how it ran.
      seconds: From the start to the pushed model.
      pushed: The SavedModel that was pushed.
      weights: SHA-256 of each of its variables.
      evaluation: Content of `evaluation.json`.
      answer: What `rnn-migrate lineage` says of it.
      told: That, without what no two runs have in common.
    """

    orchestrator: str
    seconds: float
    pushed: Path
    weights: dict[str, str]
    evaluation: dict[str, Any]
    answer: LineageAnswer
    told: dict[str, Any]

    def row(self) -> str:
        """The outcome as a row of the table."""
        verdict = self.answer.verdict
        assert verdict is not None
        figures = [f"{self.seconds:.0f}", _short(self.weights), verdict.verdict]
        figures += [f"{float(verdict.largest_error):.2g}", _short(self.told)]
        return f"| {self.orchestrator} | {' | '.join(figures)} |"


def _short(value: Any) -> str:
    return f"`{digest(value)[:12]}`"


@dataclasses.dataclass(frozen=True)
class Project:
    """A copy of the project's configs and lab, with room for runs.

    Attributes:
      folder: Where it lies.
    """

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Project:
        """A new one."""
        return cls(place_project(folder))

    @property
    def config(self) -> Path:
        """The config of the artifact: a checkpoint that TensorFlow 1.15.5 wrote."""
        return self.folder / "configs" / "stacked_lstm.yaml"

    @property
    def runs(self) -> Path:
        """Where the config has everything go."""
        return self.folder / "runs" / NAME

    def command(self, *words: str) -> None:
        """Runs a command of `rnn-migrate` in a process of its own."""
        subprocess.run(
            [sys.executable, "-m", "rnn_migrator.cli.main", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=True,
            capture_output=True,
        )

    def outcome(self, orchestrator: str, seconds: float, metadata: Path) -> Outcome:
        """What there is after a run, asked of its store of ML Metadata."""
        [pushed] = (self.runs / "serving").iterdir()
        answer = lineage(pushed, metadata)
        assert answer.verdict is not None
        evaluation = Path(answer.verdict.file.removeprefix("file://")) / "evaluation.json"
        return Outcome(
            orchestrator,
            seconds,
            pushed,
            weights(pushed),
            read_json(evaluation),
            answer,
            told(answer, self.folder),
        )


def on_this_machine(folder: Path) -> Outcome:
    """`rnn-migrate run`."""
    project, start = Project.at(folder), time.monotonic()
    project.command("run", str(project.config))
    seconds = time.monotonic() - start
    return project.outcome("local: one process", seconds, project.runs / METADATA_FILE)


def on_kubeflow(folder: Path) -> Outcome:
    """`rnn-migrate compile`, and what a backend does with the spec."""
    from tests.pipelines.kubeflow_cluster import IMAGE, Cluster

    project = Project.at(folder / "project")
    cluster = Cluster("volume", project.folder, folder)
    spec, start = folder / "pipeline.yaml", time.monotonic()
    options = ("--kubeflow", str(spec), "--image", IMAGE, "--map", cluster.place)
    project.command("compile", str(project.config), *options)
    run = cluster.driver(yaml.safe_load(spec.read_text("utf-8"))).run()
    seconds = time.monotonic() - start
    assert len({*run.pids.values(), os.getpid()}) == 4, "every step a process of its own"
    name = "Kubeflow: the compiled spec, a process a step"
    return project.outcome(name, seconds, cluster.backend.metadata)


def on_airflow(folder: Path) -> Outcome:
    """A run that a real scheduler carries out; skipped where there is none."""
    pytest.importorskip("airflow", reason="the extra airflow is not installed")
    from tests.pipelines.airflow_home import airflow

    project = Project.at(folder / "project")
    with airflow(folder / "home", project.config, {"migrations.py": DAG_FILE}) as started:
        started.trigger(NAME, "first")
        assert started.end(NAME, "first") == "success", started.log()
        [[seconds]] = started.ask(
            "SELECT EXTRACT(EPOCH FROM end_date - queued_at) FROM dag_run WHERE dag_id = %s", NAME
        )
    name = "Airflow: a scheduler, a process a task"
    return project.outcome(name, float(seconds), project.runs / METADATA_FILE)


ORCHESTRATORS: tuple[Callable[[Path], Outcome], ...] = (on_this_machine, on_kubeflow, on_airflow)


def table(rows: Iterable[str]) -> str:
    """The table of the documentation."""
    return "\n".join([HEAD, "|---|---|---|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Runs the artifact everywhere, and writes the table."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="rnn-orchestrators-") as scratch:
        for number, orchestrator in enumerate(ORCHESTRATORS):
            try:
                rows.append(orchestrator(Path(scratch) / str(number)).row())
            except pytest.skip.Exception as e:
                rows.append(f"| {orchestrator.__name__}: not run, {e.msg} | | | | | |")
            print(rows[-1], flush=True)
    before, _, _ = FILE.read_text("utf-8").partition(HEAD)
    FILE.write_text(before + table(rows), "utf-8")


if __name__ == "__main__":
    main()
