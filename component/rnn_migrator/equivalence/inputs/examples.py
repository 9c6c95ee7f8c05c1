"""Data sets: TFRecord files of tf.Example or tf.SequenceExample, as TFX calls `Examples`."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import gzip
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence.inputs.batches import Batcher
from rnn_migrator.equivalence.inputs.case import Case, Excess, Material
from rnn_migrator.equivalence.inputs.decoding import Decoder
from rnn_migrator.equivalence.inputs.schema import schema_features
from rnn_migrator.errors import Problem, UnreadableError, UsageError

_BLOCK = 8
"""Batches that are in memory at a time: enough to find records of about the same length."""

_HIDDEN = (".", "_")
"""What names of files begin with that other programs leave beside data."""

_PART_BYTES = 8 << 20
_MOST_PARTS = 64

DEFAULT_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Examples:
    """A data set.

    Attributes:
      files: TFRecord files, plain or compressed by gzip, in an order that never changes.
      features: Name of the feature by name of the model's input, where they differ.
      schema: A TFX schema that says so too, "" for none.
      batch: Records that are compared at a time, at most.
    """

    files: tuple[str, ...]
    features: Mapping[str, str] = dataclasses.field(default_factory=dict)
    schema: str = ""
    batch: int = DEFAULT_BATCH

    def of(self, model: CanonicalModel) -> Examples:
        """The same with what the schema says of the model's inputs among the features.

        Raises:
          MigrationError: The schema does not fit the model.
        """
        if not self.schema:
            return self
        features = schema_features(self.schema, model, self.features)
        return dataclasses.replace(self, features=features, schema="")

    def parts(self) -> list[Part]:
        """The data set in parts that can be compared apart from each other.

        How many follows from the sizes of the files alone, so that the figures do not depend on
        the machine.
        """
        named = zip(self.files, _labels(self.files), strict=True)
        return [part for file, label in named for part in Part.all_of(file, label, self)]


def find_files(paths: Iterable[str]) -> tuple[str, ...]:
    """The TFRecord files that paths stand for.

    Args:
      paths: Files, patterns such as "data/eval-*.gz", or folders, which are searched through, as
        TFX lays them out: `Split-eval/data_tfrecord-00000-of-00001.gz`. URIs that TensorFlow opens
        will do too.

    Raises:
      UsageError: A path stands for none.
    """
    found: list[str] = []
    for path in paths:
        files = _remote(path) if "://" in path else _local(path)
        if not files:
            raise UsageError(
                Problem(
                    where=path,
                    expected="TFRecord files, a pattern of theirs, or a folder that holds some",
                    received="none",
                    remedy="name what an ExampleGen wrote",
                )
            )
        found += files
    return tuple(dict.fromkeys(found))


def split_paths(path: str, splits: Iterable[str]) -> list[str]:
    """The folders of some splits of an `Examples` artifact, the whole of it for none."""
    return [f"{path}/Split-{split}" for split in splits] or [path]


def _local(path: str) -> list[str]:
    """The files of a path on this machine; TensorFlow, which is slow to import, is not asked."""
    files: list[Path] = []
    for match in map(Path, sorted(glob.glob(path))):  # noqa: PTH207 - it may be absolute
        files += sorted(filter(Path.is_file, match.rglob("*"))) if match.is_dir() else [match]
    return [str(file) for file in files if not file.name.startswith(_HIDDEN)]


def _remote(path: str) -> list[str]:
    import tensorflow as tf

    files: list[str] = []
    for match in sorted(tf.io.gfile.glob(path)):
        walk = tf.io.gfile.walk(match) if tf.io.gfile.isdir(match) else ()
        below = [f"{folder}/{name}" for folder, _, names in walk for name in names]
        files += sorted(below) or [match]
    return [file for file in files if not PurePath(file).name.startswith(_HIDDEN)]


@dataclasses.dataclass(frozen=True)
class Part(Material):
    """Every n-th block of a file's records.

    All parts read the whole file, which costs little beside running models and needs no seeking in
    compressed ones, and each takes the blocks that are its own. So no record travels between
    workers, and no more than a block is in memory.

    Attributes:
      key: Name in reports.
      file: The TFRecord file.
      label: Its name in reports.
      examples: The data set.
      part: Which part this is, from 0.
      parts: How many there are.
    """

    key: str
    file: str
    label: str
    examples: Examples
    part: int = 0
    parts: int = 1

    @classmethod
    def all_of(cls, file: str, label: str, examples: Examples) -> list[Part]:
        """Every part of a file."""
        parts = _count_parts(file)
        keys = [f"{label}, part {n + 1} of {parts}" if parts > 1 else label for n in range(parts)]
        return [cls(key, file, label, examples, n, parts) for n, key in enumerate(keys)]

    def records(self) -> Mapping[str, int]:
        """The number of records of the file; the first part counts."""
        return {self.label: _count_records(self.file)} if self.part == 0 else {}

    def cases(self, model: CanonicalModel, excess: Excess) -> Iterator[Case]:
        """See `Material.cases`; controls run on the first batch."""
        thorough = True
        for case in self._cases(model, range(self.part, sys.maxsize, self.parts)):
            yield dataclasses.replace(case, thorough=thorough)
            thorough = False

    def find(self, key: str, model: CanonicalModel) -> Case | None:
        """See `Material.find`; the record comes as in its batch: padded, for the same signature."""
        label, _, index = key.rpartition("#")
        if label != self.label or not index.isdecimal():
            return None
        number = int(index) // self._block_size
        for case in self._cases(model, range(number, number + 1)):
            if key in case.rows:
                return dataclasses.replace(Batcher(model, 1).only(case, key), thorough=True)
        raise UsageError(
            Problem(
                where=key,
                expected=f"one of the {_count_records(self.file)} records of {self.file}",
                received=f"number {index}, counted from 0",
                remedy="take the key from a report on these files",
            )
        )

    @property
    def _block_size(self) -> int:
        return _BLOCK * self.examples.batch

    def _cases(self, model: CanonicalModel, blocks: range) -> Iterator[Case]:
        """The batches of some blocks."""
        decode = Decoder(model, self.examples.features)
        batcher = Batcher(model, self.examples.batch)
        for number, records in zip(blocks, self._read(blocks), strict=False):
            first = number * self._block_size
            rows = (decode(record, f"{self.label}#{n}") for n, record in enumerate(records, first))
            yield from batcher.batches(rows, self.label)

    def _read(self, blocks: range) -> Iterator[Sequence[bytes]]:
        with _reading(self.file):
            every = _open(self.file).batch(self._block_size).skip(blocks.start)
            yield from every.shard(blocks.step, 0).take(len(blocks)).as_numpy_iterator()


def _labels(files: Sequence[str]) -> list[str]:
    """The files without the folder that all have in common."""
    paths = [PurePath(file) for file in files]
    shared = set.intersection(*(set(path.parents) for path in paths))
    common = max(shared, key=lambda folder: len(folder.parts), default=PurePath())
    return [str(path.relative_to(common)) for path in paths]


def _count_parts(file: str) -> int:
    import tensorflow as tf

    return min(_MOST_PARTS, 1 + tf.io.gfile.stat(file).length // _PART_BYTES)


def _open(file: str) -> Any:
    """The records of a file, as a tf.data.Dataset."""
    import tensorflow as tf

    plain = tf.data.Options()  # nothing is gained by tuning what only reads
    plain.autotune.enabled = False
    plain.experimental_optimization.apply_default_optimizations = False
    plain.threading.private_threadpool_size = 1
    compression = "GZIP" if _is_compressed(file) else ""
    return tf.data.TFRecordDataset(file, compression).with_options(plain)


def _is_compressed(file: str) -> bool:
    import tensorflow as tf

    with tf.io.gfile.GFile(file, "rb") as start:
        return bool(start.read(2) == b"\x1f\x8b")


@contextlib.contextmanager
def _reading(file: str) -> Iterator[None]:
    """Says what is wrong with a file that is damaged, or no TFRecord file."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.OpError, OSError, EOFError, zlib.error) as e:
        text = _OPS.sub("", str(getattr(e, "message", e))).strip()
        raise UnreadableError(
            Problem(
                where=file,
                expected="a whole TFRecord file, plain or compressed by gzip",
                received=text.split("\n")[0],
                remedy="write it again, or name the files of the data set only",
            )
        ) from e


_OPS = re.compile(r"\{\{.*?\}\}|\[Op:.*")
"""What TensorFlow puts around a message."""

_HEADER = struct.Struct("<QI")
"""Size of a record, and a checksum of it; the record follows, and four bytes more."""


def _count_records(file: str) -> int:
    """How many records a file holds, by their sizes alone.

    TensorFlow's reader takes a file that is cut within the header of a record for a whole one; so
    it is not asked.
    """
    import tensorflow as tf

    count = 0
    with _reading(file), tf.io.gfile.GFile(file, "rb") as plain:
        stream = gzip.GzipFile(fileobj=plain) if _is_compressed(file) else plain
        while header := stream.read(_HEADER.size):
            whole = len(header) == _HEADER.size
            if whole:
                size, _ = _HEADER.unpack(header)
                stream.seek(size + 3, os.SEEK_CUR)
            if not whole or not stream.read(1):
                raise EOFError(f"the file ends within record {count}")
            count += 1
    return count
