"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.recognition.settings import KEYS

if TYPE_CHECKING:
    from rnn_migrator.equivalence.inputs.plan import Inputs
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


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """What to compare on besides probes."""
    add_golden(parser)
    parser.add_argument(
        "--examples",
        metavar="PATH",
        action="append",
        default=[],
        help="TFRecord files of tf.Example or tf.SequenceExample: a file, a pattern, a folder",
    )
    parser.add_argument(
        "--feature",
        dest="features",
        metavar="INPUT=FEATURE",
        type=_pair,
        action="append",
        default=[],
        help="feature of the examples that an input of the model is read from; its own name else",
    )
    parser.add_argument(
        "--schema", metavar="FILE", default="", help="schema.pbtxt of TFX that says so too"
    )
    parser.add_argument(
        "--batch", metavar="N", type=_positive, help="compare so many examples at a time"
    )
    parser.add_argument(
        "--search",
        metavar="INPUT=LOW:HIGH",
        type=_range,
        action="append",
        default=[],
        help="search for the worst input between these values",
    )


def add_metadata(parser: argparse.ArgumentParser) -> None:
    """The store that is asked."""
    parser.add_argument(
        "--metadata",
        metavar="STORE",
        help="ML Metadata: a file of SQLite (default: metadata.sqlite in a folder above), or "
        "mysql://user:password@host:port/database, or the same with postgresql; ${NAME} for the "
        "password takes it from the environment",
    )


def need_metadata(command: str) -> None:
    """Refuses a command that asks ML Metadata where that is not installed.

    Raises:
      UsageError: It is not.
    """
    if importlib.util.find_spec("ml_metadata") is None:
        raise UsageError(
            Problem(
                where=f"rnn-migrate {command}",
                expected="ML Metadata to be installed",
                received="no module ml_metadata",
                remedy="install the extra rnn-migrator[tfx]",
            )
        )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, received {text!r}")
    return name, value


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, limits = _pair(text)
    try:
        low, high = map(float, limits.split(":"))
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"expected INPUT=LOW:HIGH, received {text!r}") from e
    return name, (low, high)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, received {text!r}")
    return int(text)


def inputs(arguments: argparse.Namespace) -> Inputs:
    """What to compare on, as the arguments say it."""
    from rnn_migrator.equivalence.inputs.examples import DEFAULT_BATCH, Examples, find_files
    from rnn_migrator.equivalence.inputs.plan import Inputs
    from rnn_migrator.equivalence.inputs.search import SearchSpace

    examples = search = None
    if arguments.examples:
        examples = Examples(
            find_files(arguments.examples),
            dict(arguments.features),
            arguments.schema,
            arguments.batch or DEFAULT_BATCH,
        )
    if arguments.search:
        search = SearchSpace(dict(arguments.search))
    return Inputs(tuple(map(str, arguments.golden)), examples, search)


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
        examples_signature=getattr(arguments, "examples_signature", False),
    )
