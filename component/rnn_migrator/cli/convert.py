"""The command `rnn-migrate convert SOURCE OUTPUT`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnn_migrator.cli import options, report
from rnn_migrator.errors import ExitStatus, Problem, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_source(parser)
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="folder to be made")
    parser.add_argument(
        "--target",
        choices=["cpu", "gpu", "portable"],
        help="where the model is to run (default: portable, both in one model)",
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="YAML with target, architecture, set, strict"
    )
    for kind in ("input", "output"):
        parser.add_argument(
            f"--{kind}",
            dest=f"{kind}_names",
            metavar="NAME=TENSOR",
            action="append",
            default=[],
            help=f"name of an {kind} of a whole graph",
        )
    options.add_settings(parser)
    parser.add_argument("--force", action="store_true", help="replace OUTPUT where it exists")


def run(arguments: argparse.Namespace) -> int:
    """Converts, checks what was written, and reports."""
    from rnn_migrator import migration
    from rnn_migrator.conversion_config import apply_config

    request = options.request(arguments)
    if arguments.config:
        request = apply_config(request, arguments.config, target_given=arguments.target is not None)
    _refuse_tensor_names(arguments)
    with report.progress() as progress:
        document = migration.convert(request, arguments.output, arguments.force, progress)
    report.print_inspection(document)
    report.print_written(arguments.output)
    return ExitStatus.OK


def _refuse_tensor_names(arguments: argparse.Namespace) -> None:
    """Tensor names belong to whole graphs, which the readers refuse by themselves."""
    from rnn_migrator.readers import open_artifact

    if not (arguments.input_names or arguments.output_names):
        return
    artifact = open_artifact(arguments.source, arguments.architecture)
    raise UsageError(
        Problem(
            where="--input/--output",
            expected="a whole graph as source, whose tensors they name",
            received=f"{arguments.source}, a {artifact.format}",
            remedy="leave them out: the signature of converted weights is fixed, see the README",
        )
    )
