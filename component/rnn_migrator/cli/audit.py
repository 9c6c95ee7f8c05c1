"""The command `rnn-migrate audit MODEL`."""

from __future__ import annotations

import argparse

from rnn_migrator.cli import report
from rnn_migrator.cli.options import add_metadata, need_metadata
from rnn_migrator.errors import ExitStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("path", metavar="MODEL", help="a converted or pushed model")
    add_metadata(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Computes digests again, and prints what no longer matches its record."""
    need_metadata("audit")
    from rnn_migrator.lineage.audit import audit

    found = audit(arguments.path, arguments.metadata)
    if arguments.json:
        report.print_json(found.to_json())
    else:
        report.print_audit(found.to_json())
    return ExitStatus.OK if found.matches else ExitStatus.NOT_EQUIVALENT
