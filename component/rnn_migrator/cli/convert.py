"""The command `rnn-migrate convert SOURCE OUTPUT`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_migrator.cli import options, report
from rnn_migrator.errors import ExitStatus, Problem, UsageError

if TYPE_CHECKING:
    from rnn_migrator.migration import Request


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
        "--config",
        metavar="FILE",
        type=Path,
        help="YAML with target, architecture, set, strict, layers, examples_signature",
    )
    parser.add_argument(
        "--examples-signature",
        action="store_true",
        help="one more signature, `examples`, that takes serialized tf.Example protos",
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

    request = options.request(arguments)
    if arguments.config:
        request = _configured(request, arguments)
    _refuse_tensor_names(arguments)
    with report.progress() as progress:
        document = migration.convert(request, arguments.output, arguments.force, progress)
    report.print_inspection(document)
    report.print_written(arguments.output)
    return ExitStatus.OK


def _configured(request: Request, arguments: argparse.Namespace) -> Request:
    """The request with what the config file adds; what the command line says goes first."""
    from rnn_migrator.config import ConversionConfig, load

    config = load(arguments.config, ConversionConfig)
    return dataclasses.replace(
        request,
        architecture=request.architecture or config.architecture,
        settings=config.set + request.settings,
        target=request.target if arguments.target else config.target or request.target,
        strict=request.strict or config.strict,
        layers=tuple(layer.declared() for layer in config.layers),
        examples_signature=request.examples_signature or config.examples_signature,
    )


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
