"""Where the steps of a pipeline, each in a container, find what lies in folders of this machine."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnn_migrator.errors import Problem, UsageError, raise_all

_URI = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/]*)(?P<path>/?.*)")
_FILE = "file"
_OPTION = "--map FOLDER=URI"


@dataclasses.dataclass(frozen=True)
class Places:
    """URIs by the folder of this machine that they stand for.

    Attributes:
      uris: URI by folder; what lies below a folder lies below its URI.
    """

    uris: Mapping[Path, str]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Places:
        """Places from `FOLDER=URI` texts.

        Raises:
          UsageError: Every one that is not so, or whose URI the steps could not open.
        """
        problems, uris = [], {}
        for text in texts:
            folder, _, uri = text.partition("=")
            if problem := _problem(text, folder, uri):
                problems.append(problem)
            else:
                uris[Path(os.path.normpath(Path(folder).expanduser().absolute()))] = uri.rstrip("/")
        raise_all(UsageError, problems)
        return cls(uris)

    def __call__(self, path: Path) -> str:
        """The URI of a file or folder, by the innermost folder around it that has one.

        Raises:
          UsageError: No folder around it has.
        """
        for folder in (path, *path.parents):
            if folder in self.uris:
                return "/".join((self.uris[folder], *path.relative_to(folder).parts))
        raise UsageError(
            Problem(
                where=str(path),
                expected="a URI with a scheme, by which a container reaches it",
                received="a path of this machine",
                remedy=f"copy it to where containers reach it, and say so: --map "
                f"{path.parent}=gs://BUCKET/FOLDER",
            )
        )

    def check(self, *paths: Path) -> None:
        """Refuses, all at once, the paths that have no URI.

        Raises:
          UsageError: Those.
        """
        problems: list[Problem] = []
        for path in dict.fromkeys(paths):
            try:
                self(path)
            except UsageError as e:
                problems += e.problems
        raise_all(UsageError, problems)


def _problem(text: str, folder: str, uri: str) -> Problem | None:
    found = _URI.fullmatch(uri)
    expected = received = ""
    if not folder or not found:
        expected, received = "a folder of this machine and a URI with a scheme", repr(text)
    elif found["scheme"] not in (schemes := _schemes()):
        expected = f"a URI that TensorFlow opens here: {', '.join(schemes)}"
        received = f"the scheme {found['scheme']}"
    elif not (found["path"] if found["scheme"] == _FILE else found["host"]):
        expected, received = "a URI with a folder", repr(uri)
    elif found["scheme"] == _FILE and found["host"]:
        expected, received = "no host in a file URI: file:///folder", repr(uri)
    if not expected:
        return None
    remedy = f"{_OPTION}, such as --map models=gs://bucket/models or --map .=file:///mnt/volume"
    return Problem(f"--map {text}", expected, received, remedy)


def _schemes() -> list[str]:
    """Schemes that a container of the same lock can open, with no more than TensorFlow."""
    import tensorflow as tf

    # Memory is not shared between containers, and a path has no scheme.
    return sorted(set(tf.io.gfile.get_registered_schemes()) - {"", "ram"})
