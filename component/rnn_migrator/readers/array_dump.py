"""Array dumps: an NPZ file, or a folder of CSV or NPY files, one a variable.

File names spell the `/` of variable names as `__` or, where there is no `__`, as `.`. Arrays
that need unpickling are refused.
"""

from __future__ import annotations

import functools
import math
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError, raise_all
from rnn_migrator.readers.artifact import LegacyArtifact, TensorSpec
from rnn_migrator.readers.base import reader

MAX_ARRAY_BYTES = 8 << 30
"""An array that claims to be larger is refused before it is read."""

_SUFFIXES = (".csv", ".npy")
_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGE = (
    ValueError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted member, or an unknown compression
    zipfile.BadZipFile,
    zlib.error,
)


def _is_npz(path: Path) -> bool:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except _DAMAGE:
        return False


def _dump_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())


def _is_dump_folder(path: Path) -> bool:
    return path.is_dir() and bool(_dump_files(path))


def _variable_name(stem: str) -> str:
    stem = stem.removesuffix(":0")
    if "/" in stem:
        return stem
    return stem.replace("__", "/") if "__" in stem else stem.replace(".", "/")


def by_variable(where: Path, stems: Mapping[str, str]) -> dict[str, str]:
    """File or member by variable name.

    Raises:
      UnsupportedError: Two of them spell the same name.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for file, stem in stems.items():
        found[_variable_name(stem)].append(file)
    raise_all(
        UnsupportedError,
        (_spelt_twice(where, name, files) for name, files in found.items() if len(files) > 1),
    )
    return {name: files.pop() for name, files in found.items()}


def _spelt_twice(where: Path, name: str, files: list[str]) -> Problem:
    return Problem(
        where=str(where),
        expected=f"one array for the variable {name}",
        received=", ".join(files),
        remedy="move away all but one of them",
    )


def _unreadable(where: str, expected: str, received: str) -> UnreadableError:
    remedy = "write the dump again, e.g. with numpy.savez or numpy.savetxt(delimiter=',')"
    return UnreadableError(Problem(where, expected, received, remedy))


def _npy_header(open_stream: Callable[[], IO[bytes]], size: int, where: str) -> TensorSpec:
    """Shape and dtype of an NPY stream of so many bytes, from its header alone."""
    try:
        with open_stream() as stream:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
            left = size - stream.tell()
    except _DAMAGE as e:
        raise _unreadable(where, "an NPY array", _first_line(e)) from e
    claimed = dtype.itemsize * math.prod(shape)
    received = f"dtype {dtype}, shape {list(shape)}"
    if dtype.kind not in "fiu" or min(shape, default=1) < 0 or claimed > MAX_ARRAY_BYTES:
        raise _unreadable(where, f"numbers, at most {MAX_ARRAY_BYTES} bytes", received)
    if claimed > left:
        raise _unreadable(where, f"{claimed} bytes of {received}", f"{left} bytes: cut short")
    return TensorSpec(where, tuple(shape), dtype.name)


def _read_npy(open_stream: Callable[[], IO[bytes]], where: str) -> Array:
    try:
        with open_stream() as stream:
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGE as e:
        raise _unreadable(where, "an NPY array, whole", _first_line(e)) from e
    return array


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:200]


def load_npz(path: Path) -> dict[str, Array]:
    """Every array of an NPZ file, under its key as it stands.

    Raises:
      UnreadableError: Not an NPZ file, damaged, an array needs unpickling or is too large.
    """
    if not _is_npz(path):
        raise _unreadable(str(path), "an NPZ file", "no such file, or no arrays in it")
    return {member.removesuffix(".npy"): _member(path, member) for member in _members(path)}


def _members(path: Path) -> dict[str, TensorSpec]:
    """Shape and dtype of each member, from the headers alone."""
    with zipfile.ZipFile(path) as archive:
        return {
            member.filename: _npy_header(
                functools.partial(archive.open, member),
                member.file_size,
                f"{path}, {member.filename}",
            )
            for member in sorted(archive.infolist(), key=lambda member: member.filename)
        }


def _member(path: Path, member: str) -> Array:
    with zipfile.ZipFile(path) as archive:
        return _read_npy(lambda: archive.open(member), f"{path}, {member}")


@reader("NPZ file", _is_npz)
def open_npz(path: Path) -> LegacyArtifact:
    """Opens an NPZ file; keys are variable names.

    Raises:
      UnreadableError: Damaged, an array needs unpickling, or claims to be too large.
    """
    specs = _members(path)
    members = by_variable(path, {member: member.removesuffix(".npy") for member in specs})
    tensors = {
        name: TensorSpec(name, specs[member].shape, specs[member].dtype)
        for name, member in members.items()
    }

    def load(name: str) -> Array:
        return _member(path, members[name])

    return LegacyArtifact(path, "NPZ file", (path,), tensors, load)


@reader("folder of CSV or NPY files", _is_dump_folder)
def open_dump_folder(path: Path) -> LegacyArtifact:
    """Opens a folder with one CSV or NPY file a variable.

    Raises:
      UnreadableError: A file is damaged, or not a table of numbers.
    """
    stems = {file.name: file.name[: -len(file.suffix)] for file in _dump_files(path)}
    files = {name: path / file for name, file in by_variable(path, stems).items()}
    # Nothing short of reading a CSV file tells its shape: such tables are kept.
    tables = {name: _read_csv(f) for name, f in files.items() if f.suffix.lower() == ".csv"}
    tensors = {
        name: TensorSpec(name, tables[name].shape) if name in tables else _npy_spec(name, file)
        for name, file in files.items()
    }

    def load(name: str) -> Array:
        if name in tables:
            return tables[name]
        return _read_npy(lambda: files[name].open("rb"), str(files[name]))

    ordered = tuple(sorted(files.values()))
    return LegacyArtifact(path, "folder of CSV or NPY files", ordered, tensors, load)


def _npy_spec(name: str, file: Path) -> TensorSpec:
    spec = _npy_header(lambda: file.open("rb"), file.stat().st_size, str(file))
    return TensorSpec(name, spec.shape, spec.dtype)


def _read_csv(file: Path) -> Array:
    """A table of numbers; one column is a vector, anything else a matrix.

    Numbers are parsed as float64 and rounded once to float32.
    """
    if file.stat().st_size > MAX_ARRAY_BYTES:
        raise _unreadable(str(file), f"at most {MAX_ARRAY_BYTES} bytes", "a larger file")
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = [row for row in text.splitlines() if row.strip() and not row.startswith("#")]
        if not rows:
            raise ValueError("an empty file")
        delimiter = next((d for d in ",;\t" if d in rows[0]), None)
        table = np.loadtxt(rows, delimiter=delimiter, ndmin=2, dtype=np.float64)
    except ValueError as e:
        received = re.sub(r"\s+", " ", str(e))[:200]
        expected = "a table of numbers, as many in each row, without a header"
        raise _unreadable(str(file), expected, received) from e
    table = table.astype(np.float32)
    return table[:, 0] if table.shape[1] == 1 else table
