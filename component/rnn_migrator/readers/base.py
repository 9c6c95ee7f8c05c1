"""The registry of formats: which reader opens a path is decided by what lies there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError, UsageError
from rnn_migrator.readers.architecture import read_architecture
from rnn_migrator.readers.artifact import LegacyArtifact

Opener = Callable[[Path], LegacyArtifact]


@dataclasses.dataclass(frozen=True)
class Reader:
    """A format: how to tell it, and how to open it."""

    format: str
    matches: Callable[[Path], bool]
    open: Opener


_READERS: list[Reader] = []


def reader(format_name: str, matches: Callable[[Path], bool]) -> Callable[[Opener], Opener]:
    """Decorator that registers a function as the reader of a format."""

    def register(opener: Opener) -> Opener:
        _READERS.append(Reader(format_name, matches, opener))
        return opener

    return register


def open_artifact(path: Path | str, architecture: Path | str | None = None) -> LegacyArtifact:
    """Opens a legacy artifact, its format told by content.

    Args:
      path: Checkpoint prefix or folder, SavedModel folder, HDF5 file, NPZ file, or folder of CSV
        or NPY files.
      architecture: Keras JSON or YAML file that goes with weights: HDF5, object checkpoint.

    Raises:
      UsageError: Nothing lies there, or the architecture goes with no such format.
      UnsupportedError: Several artifacts lie there, the format cannot be converted, or the
        architecture is another model's.
      UnreadableError: The content is damaged, or of no known format.
    """
    path = Path(path)
    try:
        matching = [found for found in _READERS if found.matches(path)]
    except OSError as e:
        raise UnreadableError(_not_to_be_opened(path, e)) from e
    if len(matching) == 1:
        artifact = matching[0].open(path)
        if architecture is None:
            return artifact
        if artifact.name_layers is None:
            raise UsageError(_needs_no_architecture(artifact, architecture))
        return artifact.with_config(read_architecture(Path(architecture)))
    if matching:
        raise UnsupportedError(
            Problem(
                where=str(path),
                expected="one artifact",
                received="files of several formats: " + ", ".join(m.format for m in matching),
                remedy="name the checkpoint prefix or the file itself, or move one of them away",
            )
        )
    formats = ", ".join(sorted({known.format for known in _READERS}))
    if not path.exists():
        raise UsageError(
            Problem(
                where=str(path),
                expected="an artifact, or the prefix of a checkpoint (prefix.index beside it)",
                received="nothing at this path",
                remedy="name the file, the folder, or the checkpoint prefix without its suffix",
            )
        )
    raise UnreadableError(
        Problem(
            where=str(path),
            expected=f"one of the formats {formats}",
            received="content that begins like none of them",
            remedy="check that the file is whole and is the one the model was saved to",
        )
    )


def _not_to_be_opened(path: Path, error: OSError) -> Problem:
    return Problem(
        where=str(path),
        expected="a file or folder that can be opened",
        received=str(error),
        remedy="check the path and its permissions",
    )


def _needs_no_architecture(artifact: LegacyArtifact, architecture: Path | str) -> Problem:
    return Problem(
        where=f"--architecture {architecture}",
        expected="a source that goes with an architecture: a Keras HDF5 file, a SavedModel or an "
        "object checkpoint of tf.keras",
        received=f"{artifact.path}, a {artifact.format} without layers of Keras",
        remedy="leave the option out",
    )
