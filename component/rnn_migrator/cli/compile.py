"""The command `rnn-migrate compile CONFIG`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnn_migrator.cli import report
from rnn_migrator.cli.pipelines import pipelines_module
from rnn_migrator.errors import ExitStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML file, see configs/")
    parser.add_argument(
        "--kubeflow",
        metavar="FILE.yaml",
        type=Path,
        required=True,
        help="spec to write, for Kubeflow Pipelines v2 or Vertex AI; for a config of many models "
        "the folder to write one of each into",
    )
    parser.add_argument(
        "--image",
        metavar="IMAGE",
        required=True,
        help="container image of the steps, built from the project's Dockerfile",
    )
    parser.add_argument(
        "--map",
        dest="places",
        metavar="FOLDER=URI",
        action="append",
        default=[],
        help="where the steps find what the config names in a folder of this machine, e.g. "
        ".=gs://bucket/models (several may be named, the innermost counts)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compiles the pipeline of each model, and says what must lie where before it runs."""
    kubeflow = pipelines_module("compile", "kubeflow", "tfx", "kfp")
    with report.progress() as progress:
        done = kubeflow.compile_pipelines(
            arguments.config, arguments.kubeflow, arguments.image, arguments.places, progress
        )
    for compiled in done.compiled.values():
        report.print_compiled(compiled)
    for model, refusal in done.refused.items():
        report.print_refused(model)
        report.print_problems(refusal)
    return max((int(refusal.status) for refusal in done.refused.values()), default=ExitStatus.OK)
