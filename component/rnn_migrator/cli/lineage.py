"""The command `rnn-migrate lineage PATH`."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from rnn_migrator.cli import report
from rnn_migrator.errors import ExitStatus, Problem, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "path", metavar="PATH", type=Path, help="a converted or pushed model, or a part of one"
    )
    parser.add_argument(
        "--metadata",
        metavar="STORE",
        type=Path,
        help="SQLite file of ML Metadata (default: metadata.sqlite in a folder above PATH)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints what ML Metadata says of the model."""
    if importlib.util.find_spec("ml_metadata") is None:
        raise UsageError(
            Problem(
                where="rnn-migrate lineage",
                expected="ML Metadata to be installed",
                received="no module ml_metadata",
                remedy="install the extra rnn-migrator[tfx]",
            )
        )
    from rnn_migrator.lineage.query import lineage

    answer = lineage(arguments.path, arguments.metadata).to_json()
    if arguments.json:
        report.print_json(answer)
    else:
        report.print_lineage(answer)
    return ExitStatus.OK
