"""The command `rnn-migrate run CONFIG`."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from rnn_migrator.cli import report
from rnn_migrator.errors import Problem, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML file, see configs/")


def run(arguments: argparse.Namespace) -> int:
    """Runs the pipeline and reports what was found, measured, decided and recorded."""
    local = _pipelines()
    with report.progress() as progress:
        result = local.run_local(arguments.config, progress)
    report.print_inspection(result.conversion)
    report.print_evaluation(result.evaluation)
    report.print_run(result)
    report.print_lineage(result.lineage.to_json())
    return int(result.status)


def _pipelines() -> Any:
    """The module that runs pipelines locally; it lies beside the package, not in it.

    Raises:
      UsageError: TFX or the pipelines are not installed.
    """
    wanted = {"tfx": "module tfx", "pipelines": "folder pipelines/ on the path"}
    missing = [what for name, what in wanted.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            Problem(
                where="rnn-migrate run",
                expected="TFX and the folder pipelines/ to be installed",
                received="no " + " and no ".join(missing),
                remedy="run `make setup` in a checkout of the project and use its .venv",
            )
        )
    from pipelines import local

    return local
