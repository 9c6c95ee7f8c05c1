"""The command `rnn-migrate inspect SOURCE`."""

from __future__ import annotations

import argparse
from typing import Any

from rnn_migrator.cli import options, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_source(parser)
    options.add_settings(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints what the artifact holds; the exit status says whether it can be converted."""
    from rnn_migrator import migration
    from rnn_migrator.errors import ExitStatus, MigrationError, UnsupportedError
    from rnn_migrator.readers import open_artifact

    request = options.request(arguments)
    artifact = open_artifact(request.source, request.architecture)
    document: dict[str, Any] = {"source": migration.describe_source(request, artifact)}
    error: MigrationError | None = None
    try:
        recognition = migration.recognise_artifact(artifact, request)
        document["source"]["writer"] = recognition.writer
        document |= migration.describe(recognition)
    except UnsupportedError as e:
        error = e
        document |= {
            "parts": migration.recognised_parts(artifact, request),
            "tensors": _tensors(artifact),
            "problems": report.problems_json(e),
        }
    if arguments.json:
        report.print_json(document)
    else:
        report.print_inspection(document)
        if error is not None:
            report.print_problems(error)
    return error.status if error is not None else ExitStatus.OK


def _tensors(artifact: Any) -> dict[str, list[int]]:
    """Shapes by name, without optimizer slots."""
    from rnn_migrator.recognition.variables import model_variables

    return {name: list(artifact.tensors[name].shape) for name in model_variables(artifact.tensors)}
