"""The command `rnn-migrate verify SOURCE OUTPUT`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnn_migrator.cli import options, report
from rnn_migrator.errors import ExitStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("source", metavar="SOURCE", type=Path, help="the legacy artifact")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="folder that convert wrote")
    options.add_inputs(parser)
    parser.add_argument(
        "--strict", action="store_true", help="refuse values that are mere defaults of a class"
    )
    parser.add_argument(
        "--only",
        metavar="KEY",
        action="append",
        default=[],
        help="run this case only, by the key that a report gives it (several may be named)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--report", metavar="FILE.html", type=Path, help="write a page with plots, for people"
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluates and prints the verdict."""
    from rnn_migrator import migration

    with report.progress() as progress:
        evaluation = migration.verify(
            arguments.source,
            arguments.output,
            options.inputs(arguments),
            arguments.strict,
            progress,
            arguments.only,
        )
    document = evaluation.to_json()
    if arguments.report is not None:
        from rnn_migrator.equivalence.report import write_report

        write_report(document, migration.read_conversion(arguments.output), arguments.report)
    if arguments.json:
        report.print_json(document)
    else:
        report.print_evaluation(document)
    return ExitStatus.OK if evaluation.equivalent else ExitStatus.NOT_EQUIVALENT
