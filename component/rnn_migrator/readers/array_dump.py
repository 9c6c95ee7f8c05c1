"""Array dumps: an NPZ file, or a folder of CSV or NPY files, one a variable.

File names spell the `/` of variable names as `__` or, where there is no `__`, as `.`. Arrays
that need unpickling are refused.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError
from rnn_migrator.readers.artifact import LegacyArtifact, TensorSpec
from rnn_migrator.readers.base import reader

MAX_ARRAY_BYTES = 8 << 30
"""An array that claims to be larger is refused before it is read."""

_SUFFIXES = (".csv", ".npy")


def _is_npz(path: Path) -> bool:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def _dump_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())


def _is_dump_folder(path: Path) -> bool:
    return path.is_dir() and bool(_dump_files(path))


def _variable_name(stem: str) -> str:
    stem = stem.removesuffix(":0")
    return stem.replace("__", "/") if "__" in stem else stem.replace(".", "/")


def _unreadable(where: str, expected: str, received: str) -> UnreadableError:
    remedy = "write the dump again, e.g. with numpy.savez or numpy.savetxt(delimiter=',')"
    return UnreadableError(Problem(where, expected, received, remedy))


def _npy_header(stream: io.BufferedIOBase, where: str) -> TensorSpec:
    """Shape and dtype of an NPY stream, from its header alone."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(stream)
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as e:
        raise _unreadable(where, "an NPY array", str(e).split("\n")[0]) from e
    if dtype.kind not in "fiu" or dtype.itemsize * int(np.prod(shape)) > MAX_ARRAY_BYTES:
        received = f"dtype {dtype}, shape {list(shape)}"
        raise _unreadable(where, f"numbers, at most {MAX_ARRAY_BYTES} bytes", received)
    return TensorSpec(where, tuple(shape), dtype.name)


def _read_npy(open_stream: Callable[[], io.BufferedIOBase], where: str) -> Array:
    try:
        with open_stream() as stream:
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as e:
        raise _unreadable(where, "an NPY array, whole", str(e).split("\n")[0]) from e
    return array


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
    specs = {}
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.namelist()):
            with archive.open(member) as stream:
                specs[member] = _npy_header(stream, f"{path}, {member}")
    return specs


def _member(path: Path, member: str) -> Array:
    with zipfile.ZipFile(path) as archive:
        return _read_npy(lambda: archive.open(member), f"{path}, {member}")


@reader("NPZ file", _is_npz)
def open_npz(path: Path, architecture: Path | None) -> LegacyArtifact:
    """Opens an NPZ file; keys are variable names.

    Raises:
      UnreadableError: Damaged, an array needs unpickling, or claims to be too large.
    """
    del architecture
    specs = _members(path)
    members = {_variable_name(member.removesuffix(".npy")): member for member in specs}
    tensors = {
        name: TensorSpec(name, specs[member].shape, specs[member].dtype)
        for name, member in members.items()
    }

    def load(name: str) -> Array:
        return _member(path, members[name])

    return LegacyArtifact(path, "NPZ file", (path,), tensors, load)


@reader("folder of CSV or NPY files", _is_dump_folder)
def open_dump_folder(path: Path, architecture: Path | None) -> LegacyArtifact:
    """Opens a folder with one CSV or NPY file a variable.

    Raises:
      UnreadableError: A file is damaged, or not a table of numbers.
    """
    del architecture
    files = {_variable_name(file.name[: -len(file.suffix)]): file for file in _dump_files(path)}
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
    with file.open("rb") as stream:
        spec = _npy_header(stream, str(file))
    return TensorSpec(name, spec.shape, spec.dtype)


def _read_csv(file: Path) -> Array:
    """A table of numbers; one column is a vector, anything else a matrix.

    Numbers are parsed as float64 and rounded once to float32.
    """
    if file.stat().st_size > MAX_ARRAY_BYTES:
        raise _unreadable(str(file), f"at most {MAX_ARRAY_BYTES} bytes", "a larger file")
    try:
        text = file.read_text(encoding="utf-8-sig")
        first = text.lstrip().split("\n", 1)[0]
        delimiter = next((d for d in ",;\t" if d in first), None)
        table = np.loadtxt(io.StringIO(text), delimiter=delimiter, ndmin=2, dtype=np.float64)
    except (ValueError, UnicodeDecodeError) as e:
        received = re.sub(r"\s+", " ", str(e))[:200]
        expected = "a table of numbers, as many in each row, without a header"
        raise _unreadable(str(file), expected, received) from e
    if not table.size:
        raise _unreadable(str(file), "a table of numbers", "an empty file")
    table = table.astype(np.float32)
    return table[:, 0] if table.shape[1] == 1 else table
