"""TensorFlow checkpoints, by prefix or by folder; variables are read one at a time.

The formats: V2, an index and data files; V1, one file or several shards. What is in them: variables
by name, or an object graph of `tf.train.Checkpoint` and `tf.keras`, which tells layers.
"""

from __future__ import annotations

import dataclasses
import glob
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError
from rnn_migrator.readers.artifact import LegacyArtifact, TensorSpec
from rnn_migrator.readers.base import reader
from rnn_migrator.readers.object_graph import KEY, ObjectGraph, read_object_graph
from rnn_migrator.readers.protobuf import parse

_TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_STATE_FILE_LIMIT = 1 << 20
_MOST_FILES = 10_000
"""Files of a folder among which V1 checkpoints are looked for."""

_V1_COMPRESSION = 32
"""V1 files may be compressed by Snappy, which takes 3 bytes for 64 at best."""

_V2_PART = re.compile(r"(.+)\.(?:index|data-(\d{5})-of-(\d{5}))")
_V1_SHARD = re.compile(r"(.+)-(?:\d{5}|\?{5})-of-(\d{5}|\?{5})")
_DAMAGE = (RuntimeError, ValueError, TypeError, LookupError, OSError, MemoryError)
"""What TensorFlow's reader raises about damaged files, besides its own errors."""


def _is_v1(path: Path) -> bool:
    """Whether a file is a V1 checkpoint, or a shard of one."""
    if path.suffix == ".index" or not path.is_file() or path.stat().st_size < len(_TABLE_MAGIC):
        return False
    with path.open("rb") as stream:
        stream.seek(-len(_TABLE_MAGIC), 2)
        return stream.read() == _TABLE_MAGIC


def _with_suffix(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(prefix.name + suffix)


def _siblings(path: Path) -> list[Path]:
    """What lies where a path does, in order; nothing where that is no folder."""
    return sorted(path.parent.iterdir()) if path.name and path.parent.is_dir() else []


def _v2_parts(prefix: Path) -> list[Path]:
    """Index and data files of a prefix."""
    matches = ((_V2_PART.fullmatch(file.name), file) for file in _siblings(prefix))
    return [file for match, file in matches if match and match.group(1) == prefix.name]


def _v1_shards(path: Path) -> list[Path]:
    """All shards of the V1 checkpoint that a shard, or `prefix-?????-of-NNNNN`, belongs to."""
    named = _V1_SHARD.fullmatch(path.name)
    if named is None:
        return []
    found = []
    for file in _siblings(path):
        match = _V1_SHARD.fullmatch(file.name)
        fits = match and match.group(1) == named.group(1)
        if match and fits and named.group(2) in (match.group(2), "?????") and _is_v1(file):
            found.append(file)
    return found


def _is_prefix(path: Path) -> bool:
    return _with_suffix(path, ".index").is_file() or _is_v1(path) or bool(_v1_shards(path))


def _folder_prefixes(folder: Path) -> list[Path]:
    """Every checkpoint of a folder."""
    indexes = [file.with_name(file.name.removesuffix(".index")) for file in folder.glob("*.index")]
    files = itertools.islice((f for f in folder.iterdir() if f.is_file()), _MOST_FILES)
    return sorted({*indexes, *map(_whole, filter(_is_v1, files))})


def _is_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return (path / "checkpoint").is_file() or bool(_folder_prefixes(path))
    part = _V2_PART.fullmatch(path.name)
    return _is_prefix(path) or bool(part and path.is_file()) or bool(_v2_parts(path))


def _whole(path: Path) -> Path:
    """The prefix that a file of a checkpoint belongs to, spelt as TensorFlow's reader takes it."""
    part = _V2_PART.fullmatch(path.name)
    if part and not _is_prefix(path):
        return path.with_name(part.group(1))
    shard = _V1_SHARD.fullmatch(path.name)
    if shard and _v1_shards(path):
        return path.with_name(f"{shard.group(1)}-?????-of-{shard.group(2)}")
    return path


def _latest(folder: Path) -> Path:
    """The prefix that a folder's `checkpoint` file names, or the only one there is.

    The path in that file is often absolute and of another machine: only its base name counts.
    """
    prefixes = _folder_prefixes(folder)
    named = _named_in(folder / "checkpoint")
    if named and (_is_prefix(folder / named) or not prefixes):
        return _whole(folder / named)
    if not named and len(prefixes) == 1:
        return prefixes[0]
    held = ", ".join(p.name for p in prefixes) or "no *.index file"
    raise UnsupportedError(
        Problem(
            where=str(folder),
            expected="a file `checkpoint` that names a checkpoint of this folder, or only one",
            received=f"{held}; `checkpoint` names {named}" if named else held,
            remedy="name the prefix itself, e.g. " + str(folder / "model.ckpt"),
        )
    )


def _named_in(state: Path) -> str:
    """The checkpoint that a `checkpoint` file names, "" if there is no such file or name."""
    if not state.is_file() or state.stat().st_size > _STATE_FILE_LIMIT:
        return ""
    # TensorFlow writes bytes above ASCII as three octal digits.
    content = re.sub(
        rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match.group(1), 8)]), state.read_bytes()
    )
    text = content.decode("utf-8", errors="replace")
    named = re.search(r'^model_checkpoint_path:\s*"(.+)"', text, re.MULTILINE)
    name = PureWindowsPath(named.group(1).replace("\\\\", "\\")).name if named else ""
    return "" if name == ".." or "\0" in name else name


def _unreadable(prefix: Path, received: str) -> UnreadableError:
    return UnreadableError(
        Problem(
            where=str(prefix),
            expected="a whole TensorFlow checkpoint: prefix.index and every prefix.data-* file",
            received=received,
            remedy="copy all files of the checkpoint again from where it was trained",
        )
    )


def _files(prefix: Path) -> tuple[Path, ...]:
    """The files of a checkpoint, none of an older one that had the same name.

    Raises:
      UnreadableError: One of them is missing.
    """
    if _is_v1(prefix):
        return (prefix,)
    if shards := _v1_shards(prefix):
        totals = [int(s.name[-5:]) for s in shards]
        _check_shards(prefix, "-", max(totals), shards)
        return tuple(s for s, total in zip(shards, totals, strict=True) if total == max(totals))
    index = _with_suffix(prefix, ".index")
    if not index.is_file():
        raise _unreadable(prefix, f"no {index.name}")
    total = _shard_count(index)
    _check_shards(prefix, ".data-", total, _v2_parts(prefix))
    data = [_with_suffix(prefix, f".data-{i:05d}-of-{total:05d}") for i in range(total)]
    return (*data, index)


def _check_shards(prefix: Path, mark: str, total: int, present: Iterable[Path]) -> None:
    """Refuses a checkpoint of which a shard is not there."""
    names = {file.name for file in present}
    stem = prefix.name.partition("-?????-of-")[0]
    wanted = (f"{stem}{mark}{index:05d}-of-{total:05d}" for index in range(total))
    missing = list(itertools.islice((name for name in wanted if name not in names), 4))
    if missing:
        raise _unreadable(prefix, "no " + ", ".join(missing))


def _shard_count(index: Path) -> int:
    """Number of data files, as the header says: the value of the first, empty key of the index."""
    from tensorflow.core.protobuf import tensor_bundle_pb2

    with index.open("rb") as stream:
        start = stream.read(3 + 127)
    try:
        shared, key, length = start[:3]
        if shared or key or not 0 < length < 128:
            raise ValueError("a table that does not begin with the header")
        header = parse(tensor_bundle_pb2.BundleHeaderProto, start[3 : 3 + length])
    except ValueError as e:
        raise _unreadable(index, f"no index ({e})") from e
    if not 0 < header.num_shards < 100_000:
        raise _unreadable(index, f"{header.num_shards} data files")
    return int(header.num_shards)


@reader("TensorFlow checkpoint", _is_checkpoint)
def open_checkpoint(path: Path) -> LegacyArtifact:
    """Opens a V1 or V2 checkpoint.

    Args:
      path: Prefix, one of its files, or a folder.

    Raises:
      UnreadableError: A file is missing, cut short or corrupt.
      UnsupportedError: Several checkpoints, and none of them is named.
    """
    prefix = _latest(path) if path.is_dir() else _whole(path)
    parts = _files(prefix)
    checkpoint = _Reader(prefix, parts)
    tensors = checkpoint.tensors
    meta = prefix.with_name(prefix.name.partition("-?????-of-")[0] + ".meta")
    graph = meta if meta.is_file() else None
    artifact = LegacyArtifact(
        path=prefix,
        format="TensorFlow checkpoint",
        files=(*parts, meta) if graph else parts,
        tensors=tensors,
        load=checkpoint.load,
        graph=graph,
    )
    objects = checkpoint.object_graph()
    return _with_objects(artifact, objects) if objects else artifact


class _Reader:
    """TensorFlow's own reader of one checkpoint, its errors turned into refusals.

    Attributes:
      tensors: What is in it, by name.
    """

    def __init__(self, prefix: Path, parts: Sequence[Path]) -> None:
        import tensorflow as tf

        self._prefix = prefix
        self._held = sum(file.stat().st_size for file in parts)
        self._held *= _V1_COMPRESSION if parts[-1].suffix != ".index" else 1
        self._errors = (tf.errors.OpError, *_DAMAGE)
        try:
            self._reader = tf.compat.v1.train.NewCheckpointReader(_as_pattern(prefix))
            shapes = self._reader.get_variable_to_shape_map()
            dtypes = self._reader.get_variable_to_dtype_map()
            self.tensors = {
                name: TensorSpec(name, tuple(shapes[name]), dtypes[name].name)
                for name in sorted(shapes)
            }
        except self._errors as e:
            raise _unreadable(prefix, _first_line(e)) from e

    def load(self, name: str) -> Array:
        """The value of one variable."""
        array: Array = self._tensor(name)
        return array

    def object_graph(self) -> ObjectGraph | None:
        """The object graph, None in a checkpoint of variables by name."""
        if KEY not in self.tensors:
            return None
        content = self._tensor(KEY)
        if not isinstance(content, bytes):
            raise _unreadable(self._prefix, f"{KEY} of shape {list(self.tensors[KEY].shape)}")
        return read_object_graph(self._prefix, content, self.tensors.keys())

    def _tensor(self, name: str) -> Any:
        import tensorflow as tf

        spec = self.tensors.get(name)
        if spec is None:
            raise _unreadable(self._prefix, f"no variable {name}")
        # TensorFlow takes the memory before it looks whether the file holds as much.
        if max(1, tf.as_dtype(spec.dtype).size) * math.prod(spec.shape) > self._held:
            raise _unreadable(self._prefix, f"variable {name} of shape {list(spec.shape)}, cut off")
        try:
            return self._reader.get_tensor(name)
        except self._errors as e:
            raise _unreadable(self._prefix, f"variable {name}: {_first_line(e)}") from e


def _as_pattern(prefix: Path) -> str:
    """A prefix as TensorFlow's reader takes it: of a V1 checkpoint, a pattern of file names."""
    if _with_suffix(prefix, ".index").is_file():
        return str(prefix)
    stem, mark, total = str(prefix).partition("-?????-of-")
    return glob.escape(stem) + mark + total


def _with_objects(artifact: LegacyArtifact, objects: ObjectGraph) -> LegacyArtifact:
    """A checkpoint with the layers that its object graph tells, if Keras wrote it."""
    layers = objects.layers_by_path()
    if not layers:
        return artifact
    return dataclasses.replace(
        artifact,
        keras_version="2",
        backend="tensorflow",
        layers=layers,
        name_layers=objects.layers_by_config,
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:300]
