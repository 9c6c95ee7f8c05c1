"""The command `rnn-migrate run CONFIG`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnn_migrator.cli import report
from rnn_migrator.cli.pipelines import pipelines_module


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML file, see configs/")


def run(arguments: argparse.Namespace) -> int:
    """Runs the pipeline and reports what was found, measured, decided and recorded."""
    local = pipelines_module("run", "local", "tfx")
    with report.progress() as progress:
        result = local.run_local(arguments.config, progress)
    report.print_inspection(result.conversion)
    report.print_evaluation(result.evaluation)
    report.print_run(result)
    report.print_lineage(result.lineage.to_json())
    return int(result.status)
