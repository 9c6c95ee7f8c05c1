"""Output that is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_migrator.errors import MigrationError, Problem, UsageError


@contextlib.contextmanager
def atomic_folder(target: Path, force: bool = False) -> Iterator[Path]:
    """A scratch folder that takes the place of `target` when the block ends without an error.

    It lies beside the target, on the same file system, so that one rename publishes everything.

    Args:
      target: The folder to be.
      force: Whether an existing target is replaced.

    Raises:
      UsageError: The target exists and is not to be replaced.
    """
    _check_free(target, force)
    scratch = _scratch_beside(target)
    try:
        # mkdtemp is private to the user; the output gets what the umask gives.
        content = scratch / "content"
        content.mkdir()
        yield content
        _check_free(target, force)  # another run may have been faster
        _publish(content, target, scratch / "replaced")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A scratch file that takes the place of `target` when the block ends without an error.

    Args:
      target: The file to be; an older one is replaced. The scratch file has the same name.

    Raises:
      UsageError: There is no folder that it could be written to.
    """
    scratch = _scratch_beside(target)
    try:
        yield scratch / target.name
        (scratch / target.name).replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """A folder that takes the temporary files of this process while the block runs.

    For a forked process that others end: it runs no exit handlers, and TensorFlow leaves the code
    that AutoGraph writes, a file for each function, to those.
    """
    folder_before, variable_before = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="rnn-migrator-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = folder_before
            os.environ.pop("TMPDIR")
            if variable_before is not None:
                os.environ["TMPDIR"] = variable_before


_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
"""What is said of a full file system; TensorFlow and SQLite have no numbers for it."""


@contextlib.contextmanager
def full_disk_is_refusal() -> Iterator[None]:
    """Makes a refusal of the errors that a full file system ends the block with.

    Raises:
      UsageError: There was no space for what the block wrote.
    """
    try:
        yield
    except MigrationError:
        raise
    except Exception as e:
        if not any(words in str(e) for words in _FULL):
            raise
        raise UsageError(
            Problem(
                where="the file system of the output, or of temporary files",
                expected="space for what is written",
                received=str(e),
                remedy="free some, or name an output elsewhere (TMPDIR for temporary files), and "
                "run the same command again; nothing half-written is left in the output's place",
            )
        ) from e


def _check_free(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise UsageError(
            Problem(
                where=str(target),
                expected="an output that does not exist yet",
                received="a folder or file",
                remedy="name another one, or replace it with --force",
            )
        )


def _scratch_beside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as e:
        raise UsageError(
            Problem(
                where=str(target),
                expected="an output in a folder that can be written",
                received=str(e),
                remedy="name another output",
            )
        ) from e


def _publish(content: Path, target: Path, replaced: Path) -> None:
    """Puts the content in the place of the target; if that fails, the target stays."""
    if target.exists():
        target.rename(replaced)
    try:
        content.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise


def write_json(file: Path, value: Any) -> None:
    """Writes JSON so that the file is never seen half written."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    text = json.dumps(plain_json(value), indent=1, allow_nan=False) + "\n"
    try:
        scratch.write_text(text, "utf-8")
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)


def plain_json(value: Any) -> Any:
    """The value with NaN and infinity, which JSON does not know, as strings."""
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    return value


def read_json(file: Path) -> Any:
    """Reads JSON.

    Raises:
      UsageError: It is not there, or not JSON.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(
            Problem(
                where=str(file),
                expected="a JSON file that rnn-migrate wrote",
                received=str(e),
                remedy="name the output folder of `rnn-migrate convert`",
            )
        ) from e
