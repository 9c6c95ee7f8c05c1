"""The command `rnn-migrate lineage PATH`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnn_migrator.cli import report
from rnn_migrator.cli.options import add_metadata, need_metadata
from rnn_migrator.errors import ExitStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "path", metavar="PATH", nargs="?", help="a converted or pushed model, or a part of one"
    )
    asked.add_argument("--source", metavar="FILE", help="a legacy artifact: where did it go?")
    add_metadata(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument(
        "--html", metavar="FILE", type=Path, help="write a page with the graph, and print no tree"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints what ML Metadata says of a model or of a legacy artifact."""
    need_metadata("lineage")
    from rnn_migrator.lineage.query import lineage, lineage_of_source

    if arguments.source:
        answer = lineage_of_source(arguments.source, arguments.metadata).to_json()
    else:
        answer = lineage(arguments.path, arguments.metadata).to_json()
    if arguments.json:
        report.print_json(answer)
    elif arguments.html:
        from rnn_migrator.lineage.page import write_page

        write_page(answer, arguments.html)
        report.print_page(arguments.html)
    else:
        report.print_lineage(answer)
    return ExitStatus.OK
