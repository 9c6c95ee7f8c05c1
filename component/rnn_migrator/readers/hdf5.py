"""HDF5 files that may be hostile: only plain datasets of the file itself are read.

Links out of the file, virtual datasets and external storage are refused, and what claims to be
too large is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError
from rnn_migrator.readers.artifact import TensorSpec

MAX_DATASET_BYTES = 8 << 30
"""A dataset that claims to be larger is refused before it is read."""

DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
"""What h5py raises about a file that is damaged, or not built as it should be."""

_MAGIC = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Whether a file begins like HDF5."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def unreadable(path: Path, received: str) -> UnreadableError:
    """The refusal of a damaged file."""
    return UnreadableError(
        Problem(
            where=str(path),
            expected="a whole HDF5 file, with its arrays inside",
            received=received,
            remedy="copy the file again from where it was saved",
        )
    )


def first_line(error: Exception) -> str:
    """What an error says, short enough for a message."""
    return str(error).strip().split("\n")[0][:300]


def is_linked(group: Any, name: str, kind: int | None = None) -> bool:
    """Whether a group has a link of that name (and kind); the link is not followed."""
    links, key = group.id.links, name.encode("utf-8")
    return links.exists(key) and kind in (None, links.get_info(key).type)


def follow(path: Path, group: Any, name: str) -> Any:
    """The object of that name, reached without soft or external links.

    Raises:
      UnreadableError: There is none.
    """
    import h5py

    node = group
    for part in name.split("/"):
        if not (isinstance(node, h5py.Group) and is_linked(node, part, h5py.h5l.TYPE_HARD)):
            raise unreadable(path, f"{name!r}, where {part!r} is missing or a link elsewhere")
        node = node[part]
    return node


def spec_of(path: Path, node: Any, name: str) -> TensorSpec:
    """What a dataset holds, from its header.

    Raises:
      UnreadableError: It is no plain dataset of numbers, or too large.
    """
    import h5py

    plain = isinstance(node, h5py.Dataset) and not (node.is_virtual or node.external)
    if not plain or node.dtype.kind not in "fiu":
        raise unreadable(path, f"{name!r}, which is not a plain dataset of numbers")
    if node.dtype.itemsize * math.prod(node.shape) > MAX_DATASET_BYTES:
        raise unreadable(path, f"{name!r} of shape {list(node.shape)}, which is too large")
    return TensorSpec(name, tuple(node.shape), node.dtype.name)


def loader(path: Path, places: Callable[[str], str] = str) -> Callable[[str], Array]:
    """Reads one dataset by name.

    Args:
      path: The file.
      places: Path of a dataset in the file by its name.
    """
    import h5py

    def load(name: str) -> Array:
        try:
            with h5py.File(path, "r") as file:
                array: Array = follow(path, file, places(name))[()]
        except DAMAGE as e:
            raise unreadable(path, f"dataset {name}: {first_line(e)}") from e
        return array

    return load
