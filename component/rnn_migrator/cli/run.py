"""The command `rnn-migrate run CONFIG`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rnn_migrator.cli import report
from rnn_migrator.cli.pipelines import pipelines_module

_DAG_RUNNERS = ("local", "beam")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML file, see configs/")
    parser.add_argument(
        "--dag-runner",
        choices=_DAG_RUNNERS,
        default=_DAG_RUNNERS[0],
        help="what goes from component to component: TFX's LocalDagRunner (default) or its "
        "BeamDagRunner",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the pipeline of each model, and reports what was found, measured and recorded."""
    migrations = pipelines_module("run", "config", "tfx").load_migrations(arguments.config)
    dag_runner = pipelines_module("run", "runs").DagRunner(arguments.dag_runner)
    if migrations.only is None:
        return _run_many(migrations, dag_runner)
    local = pipelines_module("run", "local")
    with report.progress() as progress:
        result = local.run_migration(migrations.only, progress, dag_runner)
    report.print_inspection(result.conversion)
    report.print_evaluation(result.evaluation)
    report.print_run(result)
    report.print_lineage(result.lineage.to_json())
    return int(result.status)


def _run_many(migrations: Any, dag_runner: Any) -> int:
    with report.progress() as progress:
        progress("loading TFX, which takes a while")
        many = pipelines_module("run", "many")
        summary = many.run_many(migrations, progress, dag_runner)
    report.print_summary(summary)
    return int(summary.status)
