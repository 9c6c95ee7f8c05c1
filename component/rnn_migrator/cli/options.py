"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_migrator.recognition.settings import KEYS

if TYPE_CHECKING:
    from rnn_migrator.migration import Request


def add_source(parser: argparse.ArgumentParser) -> None:
    """The legacy artifact and the architecture that may go with it."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        type=Path,
        help="checkpoint prefix or folder, Keras HDF5 file, NPZ file, folder of CSV or NPY files",
    )
    parser.add_argument(
        "--architecture",
        metavar="FILE",
        type=Path,
        help="Keras JSON or YAML file that goes with weights-only HDF5",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """What the artifact cannot say."""
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="settle what the artifact cannot say, e.g. forget_bias=1.0, "
        "'layer[1].forget_bias=0', cell_clip=none, scope=encoder",
    )
    keys = "\n".join(f"  {key:22}{setting.help}" for key, setting in KEYS.items())
    parser.epilog = f"keys of --set:\n{keys}\n\n{parser.epilog}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--strict", action="store_true", help="refuse values that are mere defaults of a class"
    )


def add_golden(parser: argparse.ArgumentParser) -> None:
    """Recorded inputs and outputs."""
    parser.add_argument(
        "--golden",
        metavar="FILE.npz",
        type=Path,
        action="append",
        default=[],
        help="inputs and outputs recorded in the original framework, as arrays in:NAME, out:NAME",
    )


def request(arguments: argparse.Namespace) -> Request:
    """The request that the arguments stand for."""
    from rnn_migrator.keras_model.targets import Target
    from rnn_migrator.migration import Request

    return Request(
        source=arguments.source,
        architecture=arguments.architecture,
        settings=tuple(arguments.settings),
        target=Target(getattr(arguments, "target", None) or Target.PORTABLE),
        strict=arguments.strict,
    )
