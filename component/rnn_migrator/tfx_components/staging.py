"""Files that a pipeline names by URI, as paths: that is what readers and writers work on.

A path or a `file://` URI is used where it is. What lies in a bucket is copied from it before, and
to it after, with the file access of TFX's own components: what Pusher can open, ours can too.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
import tempfile
from pathlib import Path
from types import TracebackType

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.readers import content_digest

_logger = logging.getLogger(__name__)


class Staging(contextlib.AbstractContextManager["Staging"]):
    """Paths for the URIs of one executor, for as long as it runs.

    What it wrote is copied to where it belongs when the block ends without an error.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="rnn-migrator-")
        self._sources: dict[Path, str] = {}
        self._outputs: dict[Path, str] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                for folder, uri in self._outputs.items():
                    _logger.info("writing %s", uri)
                    # A bucket knows no links, so what a link names is copied twice.
                    io_utils.copy_dir(str(folder), uri)
        finally:
            self._scratch.cleanup()

    def source(self, uri: str, sha256: str = "") -> Path:
        """A file, a folder, or a checkpoint by the prefix of its files, to be read.

        Args:
          uri: Where it is.
          sha256: Digest that the file should have; "" for any.

        Raises:
          UsageError: There is nothing, or another file.
        """
        path = _path(uri) or self._fetch(uri)
        self._sources[path] = uri
        if sha256:
            check_digest(uri, sha256, content_digest((path,)))
        return path

    def output(self, uri: str) -> Path:
        """The folder of an artifact that is to be written; it is there already."""
        path = _path(uri)
        if path is None:
            path = self._folder()
            self._outputs[path] = uri
        path.mkdir(parents=True, exist_ok=True)
        return path

    def uri_of(self, path: str) -> str:
        """What everybody else calls a source, or a path that begins like one."""
        for source, uri in self._sources.items():
            if path.startswith(str(source)):
                return uri + path[len(str(source)) :]
        return path

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch.name))

    def _fetch(self, uri: str) -> Path:
        _logger.info("reading %s", uri)
        target = self._folder() / posixpath.basename(uri)
        if fileio.isdir(uri):
            io_utils.copy_dir(uri, str(target))
        else:
            _fetch_files(uri, target.parent)
        return target


def _path(uri: str) -> Path | None:
    """The path that a URI stands for; None where it is on no file system of this machine."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri)
    return Path(rest) if scheme == "file" else None


def _fetch_files(uri: str, folder: Path) -> None:
    """Copies a file and those that may belong to it: checkpoints are many files with one stem."""
    parent, name = posixpath.split(uri)
    stem = name.partition(".")[0]
    try:
        listed = [file for file in fileio.listdir(parent) if file.startswith(stem)]
    except fileio.NotFoundError:
        listed = []
    files = [file for file in listed if not fileio.isdir(posixpath.join(parent, file))]
    if not any(file.startswith(name) for file in files):
        raise UsageError(
            Problem(
                where=uri,
                expected="the file or folder that the pipeline names",
                received="nothing there",
                remedy="copy it there, with its name, and run the pipeline again",
            )
        )
    for file in files:
        fileio.copy(posixpath.join(parent, file), str(folder / file))


def check_digest(where: str, imported: str, found: str) -> None:
    """Refuses other bytes than those the pipeline was made for.

    Args:
      where: The source concerned.
      imported: Digest that it had then; "" for any.
      found: Digest that it has now.

    Raises:
      UsageError: They differ.
    """
    if imported and imported != found:
        raise UsageError(
            Problem(
                where=where,
                expected=f"the bytes that were imported, sha256 {imported}",
                received=f"sha256 {found}",
                remedy="put them there and leave them alone while the pipeline runs, or make the "
                "pipeline again",
            )
        )
