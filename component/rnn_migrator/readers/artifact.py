"""What a reader hands on: the tensors of a legacy artifact, read only when asked for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError

_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of a stored tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclasses.dataclass(frozen=True, eq=False)
class LegacyArtifact:
    """A legacy artifact: what is in it, and nothing about what it will become.

    Attributes:
      path: As the user named it.
      format: Which reader opened it.
      files: Every file that belongs to it, in a fixed order.
      tensors: Specs by name; nothing is read yet.
      load: Reads one tensor by name.
      writer: Framework and release that wrote it, as far as it says so ("" if it does not).
      graph: MetaGraph file beside a checkpoint.
      model_config: Keras model config, for Keras files.
      layers: Names of the tensors by layer, in file order, for formats that know layers.
    """

    path: Path
    format: str
    files: tuple[Path, ...]
    tensors: Mapping[str, TensorSpec]
    load: Callable[[str], Array]
    writer: str = ""
    graph: Path | None = None
    model_config: Mapping[str, Any] | None = None
    layers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def read(self, name: str) -> Array:
        """The tensor of that name.

        Raises:
          UnreadableError: It cannot be read, or holds NaN or infinity.
        """
        array = self.load(name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(np.size(array) - np.isfinite(array).sum())
            raise UnreadableError(
                Problem(
                    where=f"{self.path}, tensor {name!r}",
                    expected="finite numbers",
                    received=f"{bad} NaN or infinite values of {array.size}",
                    remedy="export the weights again from a model that trained without NaN",
                )
            )
        return array

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the names and bytes of all files."""
        return content_digest(self.files)


def content_digest(files: tuple[Path, ...]) -> str:
    """SHA-256 over base names and contents of files, in the order given."""
    total = hashlib.sha256()
    for file in files:
        one = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                one.update(chunk)
        total.update(f"{file.name}\0{one.hexdigest()}\n".encode())
    return total.hexdigest()


def array_digest(array: Array) -> str:
    """SHA-256 over dtype, shape and little-endian bytes of an array."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    head = f"{array.dtype.name}{list(array.shape)}".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()
