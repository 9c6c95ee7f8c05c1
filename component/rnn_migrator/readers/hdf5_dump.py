"""HDF5 files of named arrays that no Keras wrote, such as those of AllenNLP's bilm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.readers.array_dump import by_variable
from rnn_migrator.readers.artifact import LegacyArtifact, TensorSpec
from rnn_migrator.readers.base import reader
from rnn_migrator.readers.hdf5 import (
    DAMAGE,
    first_line,
    is_hdf5,
    is_linked,
    loader,
    spec_of,
    unreadable,
)
from rnn_migrator.readers.keras_hdf5 import is_keras, no_model

MOST_OBJECTS = 100_000
"""Groups and datasets of the largest dump that is read."""


def _is_dump(path: Path) -> bool:
    return is_hdf5(path) and not is_keras(path)


@reader("HDF5 array dump", _is_dump)
def open_hdf5_dump(path: Path) -> LegacyArtifact:
    """Opens an HDF5 file of arrays; paths in the file are variable names.

    Text and records beside the arrays are left alone, and so are soft and external links.

    Raises:
      UnreadableError: Cut short, damaged or hostile.
      UnsupportedError: Nothing but other content is in it, or it is a file of Keras 3.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found = {spec.name: spec for spec in _arrays(path, file)}
            kept = sorted(file)
    except DAMAGE as e:
        raise unreadable(path, first_line(e)) from e
    if not found:
        raise no_model(path, kept)
    if any(re.search(r"(^|/)vars/\d+$", name) for name in found):
        raise _keras3(path)
    places = by_variable(path, {place: place for place in found})
    tensors = {
        name: TensorSpec(name, found[place].shape, found[place].dtype)
        for name, place in sorted(places.items())
    }
    load = loader(path, places.__getitem__)
    return LegacyArtifact(path, "HDF5 array dump", (path,), tensors, load)


def _arrays(path: Path, file: Any) -> Iterator[TensorSpec]:
    """Every array of numbers under a hard link; a group that lies in itself is entered once."""
    import h5py

    waiting = [("", file)]
    entered = {_address(file)}
    count = 0
    while waiting:
        place, group = waiting.pop()
        for name in group:
            count += 1
            if count > MOST_OBJECTS:
                raise unreadable(path, f"more than {MOST_OBJECTS} objects")
            if not is_linked(group, name, h5py.h5l.TYPE_HARD):
                continue
            node, key = group[name], f"{place}/{name}".lstrip("/")
            if isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu":
                yield spec_of(path, node, key)
            elif isinstance(node, h5py.Group) and _address(node) not in entered:
                entered.add(_address(node))
                waiting.append((key, node))


def _address(node: Any) -> int:
    import h5py

    return int(h5py.h5o.get_info(node.id).addr)


def _keras3(path: Path) -> UnsupportedError:
    return UnsupportedError(
        Problem(
            where=str(path),
            expected="a legacy file",
            received="weights of Keras 3, which numbers them under `vars`",
            remedy="load it with Keras 3 itself: it needs no migration",
        )
    )
