"""The command `rnn-migrate`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from rnn_migrator.cli import report
from rnn_migrator.errors import MigrationError
from rnn_migrator.files import full_disk_is_refusal
from rnn_migrator.version import converter_version

COMMANDS = {
    "inspect": "say what an artifact holds, and what stands in the way of converting it",
    "convert": "convert an artifact into a SavedModel and a .keras file",
    "verify": "compare a converted model with its source",
    "run": "run the whole TFX pipeline locally: convert, evaluate, push what is blessed",
    "compile": "write the same pipeline as a spec for Kubeflow Pipelines v2 or Vertex AI",
    "lineage": "say where a model came from and what became of it, or where a legacy file went",
    "audit": "say whether a model still is what was recorded of it",
}
"""Commands, each a module of this package, with what it does."""

_INTERNAL_ERROR = 70
"""Exit status of a defect of our own (EX_SOFTWARE), apart from those of the contract."""

_EPILOG = """exit status: 0 done or equivalent, 1 not equivalent, 2 wrong usage or no space,
3 ambiguous or unsupported (every problem listed with its remedy),
4 unreadable or hostile artifact"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      argv: Arguments without the program's name; those of the process if left out.

    Returns:
      The exit status.
    """
    arguments = _parser().parse_args(argv)
    _quieten()
    try:
        with full_disk_is_refusal():
            command = importlib.import_module(f"rnn_migrator.cli.{arguments.command}")
            return int(command.run(arguments))
    except MigrationError as e:
        if getattr(arguments, "json", False):
            report.print_json({"problems": report.problems_json(e)})
        else:
            report.print_problems(e)
        return int(e.status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        traceback.print_exc()
        report.errors.print("This is a defect of rnn-migrate; please report it.", style="bold red")
        return _INTERNAL_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rnn-migrate",
        description="Takes legacy TensorFlow 1 and Keras 1-2 recurrent models into tf.keras, "
        "provably unchanged.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=converter_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, epilog=_EPILOG)
        importlib.import_module(f"rnn_migrator.cli.{name}").add_arguments(command)
    return parser


def _quieten() -> None:
    """Keeps the frameworks' start-up chatter off the terminal, unless the user set a level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")


if __name__ == "__main__":
    sys.exit(main())
