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

Layers = Mapping[str, tuple[str, ...]]

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
      keras_version: Release of Keras that wrote it, as it says so itself ("2.2.4-tf"); only the
        major release ("1", "2", "0") where nothing but the format tells it; "" where nothing does.
      backend: Backend of Keras, "tensorflow", "theano" or "cntk"; "" where nothing says so.
      graph: MetaGraph file beside a checkpoint.
      model_config: Keras model config, for Keras files.
      layers: Names of the tensors by layer, for formats that know layers; layers in file order,
        tensors as `get_weights()` of the layer gave them. The layers of a nested model stand under
        `outer/inner` in the place of the outer one, so that an order between them plays no part.
        Without a config they cannot be told apart: an HDF5 file then has all of them under
        `outer`. A checkpoint has no names of layers: without a config they go by their paths from
        the root of what was saved (`layer_with_weights-0`, `decoder/cell`).
      name_layers: `layers` as a config names them, for formats that take an architecture.
      made_of: Of tensors that do not lie in the files like this (joined, transposed, moving
        averages): the names of those they were made of.
      load_stored: Reads a tensor as it lies in the files, where `load` does more.
    """

    path: Path
    format: str
    files: tuple[Path, ...]
    tensors: Mapping[str, TensorSpec]
    load: Callable[[str], Array]
    writer: str = ""
    keras_version: str = ""
    backend: str = ""
    graph: Path | None = None
    model_config: Mapping[str, Any] | None = None
    layers: Layers = dataclasses.field(default_factory=dict)
    name_layers: Callable[[Mapping[str, Any]], Layers] | None = None
    made_of: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    load_stored: Callable[[str], Array] | None = None

    def stored(self, name: str) -> dict[str, Array]:
        """The tensors in the files that one of `tensors` was made of, as they lie there."""
        load = self.load_stored or self.load
        return {part: load(part) for part in self.made_of.get(name, (name,))}

    def view(
        self,
        tensors: Mapping[str, TensorSpec],
        load: Callable[[str], Array],
        made_of: Mapping[str, tuple[str, ...]],
    ) -> LegacyArtifact:
        """The artifact with other tensors, some of them made of those in the files.

        Args:
          tensors: Specs of all tensors of the view.
          load: Reads one of them.
          made_of: For those that are new or changed, the tensors of this artifact they come from.
        """
        origins = {
            name: tuple(o for part in parts for o in self.made_of.get(part, (part,)))
            for name, parts in made_of.items()
        }
        return dataclasses.replace(
            self,
            tensors=tensors,
            load=load,
            made_of={**self.made_of, **origins},
            load_stored=self.load_stored or self.load,
        )

    def with_config(self, config: Mapping[str, Any]) -> LegacyArtifact:
        """The same artifact with another Keras model config, and its layers as that names them.

        Release and backend that the config states stand in for what the artifact leaves open.

        Raises:
          UnsupportedError: The config is not that of the model in the artifact.
        """
        version, backend = (str(config.get(key) or "") for key in ("keras_version", "backend"))
        return dataclasses.replace(
            self,
            model_config=config,
            layers=self.name_layers(config) if self.name_layers else self.layers,
            keras_version=version if version.startswith(self.keras_version) else self.keras_version,
            backend=self.backend or backend,
        )

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
        total.update(f"{file.name}\0{file_digest(file)}\n".encode())
    return total.hexdigest()


def file_digest(file: Path) -> str:
    """SHA-256 of the content of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def array_digest(array: Array) -> str:
    """SHA-256 over dtype, shape and little-endian bytes of an array."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    head = f"{array.dtype.name}{list(array.shape)}".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()
