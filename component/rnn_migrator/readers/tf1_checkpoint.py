"""TensorFlow checkpoints, by prefix or by folder; variables are read one at a time."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError
from rnn_migrator.readers.artifact import LegacyArtifact, TensorSpec
from rnn_migrator.readers.base import reader

_TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_STATE_FILE_LIMIT = 1 << 20
_DAMAGE = (RuntimeError, ValueError, LookupError, OSError, MemoryError)
"""What TensorFlow's reader raises about damaged files, besides its own errors."""


def _is_v1(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size < len(_TABLE_MAGIC) or path.suffix == ".index":
        return False
    with path.open("rb") as stream:
        stream.seek(-len(_TABLE_MAGIC), 2)
        return stream.read() == _TABLE_MAGIC


def _with_suffix(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(prefix.name + suffix)


def _is_prefix(path: Path) -> bool:
    return _with_suffix(path, ".index").is_file() or _is_v1(path)


def _parts(prefix: Path) -> list[Path]:
    """Index and data files of a prefix, sorted."""
    pattern = re.compile(re.escape(prefix.name) + r"\.(index|data-\d{5}-of-\d{5})")
    return sorted(p for p in prefix.parent.iterdir() if pattern.fullmatch(p.name))


def _folder_prefixes(folder: Path) -> list[Path]:
    return sorted(p.with_name(p.name.removesuffix(".index")) for p in folder.glob("*.index"))


def _is_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return (path / "checkpoint").is_file() or bool(_folder_prefixes(path))
    part = re.fullmatch(r"(.+)\.(index|data-\d{5}-of-\d{5})", path.name)
    return _is_prefix(path) or bool(part and path.is_file()) or _has_data_only(path)


def _has_data_only(path: Path) -> bool:
    """Whether data files of the prefix exist though its index does not."""
    return path.name != "" and path.parent.is_dir() and bool(_parts(path))


def _latest(folder: Path) -> Path:
    """The prefix that a folder's `checkpoint` file names, or the only one there is.

    The path in that file is often absolute and of another machine: only its base name counts.
    """
    prefixes = _folder_prefixes(folder)
    named = _named_in(folder / "checkpoint")
    if named and (_is_prefix(folder / named) or not prefixes):
        return folder / named
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
    text = state.read_text(encoding="utf-8", errors="replace")
    named = re.search(r'^model_checkpoint_path:\s*"(.+)"', text, re.MULTILINE)
    return PureWindowsPath(named.group(1).replace("\\\\", "\\")).name if named else ""


def _unreadable(prefix: Path, received: str) -> UnreadableError:
    return UnreadableError(
        Problem(
            where=str(prefix),
            expected="a whole TensorFlow checkpoint: prefix.index and every prefix.data-* file",
            received=received,
            remedy="copy all files of the checkpoint again from where it was trained",
        )
    )


def _check_shards(prefix: Path, parts: list[Path]) -> None:
    """Refuses a checkpoint of which a shard, or the index, is not there."""
    shards = [match for p in parts if (match := re.search(r"data-(\d{5})-of-(\d{5})$", p.name))]
    if not _with_suffix(prefix, ".index").is_file():
        raise _unreadable(prefix, f"no {prefix.name}.index")
    total = max((int(match.group(2)) for match in shards), default=1)
    present = {int(match.group(1)) for match in shards if int(match.group(2)) == total}
    missing = [
        f"{prefix.name}.data-{i:05d}-of-{total:05d}" for i in range(total) if i not in present
    ]
    if missing:
        raise _unreadable(prefix, "no " + ", ".join(missing[:4]))


@reader("TensorFlow checkpoint", _is_checkpoint)
def open_checkpoint(path: Path, architecture: Path | None) -> LegacyArtifact:
    """Opens a V1 or V2 checkpoint.

    Args:
      path: Prefix, one of its files, or a folder.
      architecture: Not used by this format.

    Raises:
      UnreadableError: A file is missing, cut short or corrupt.
    """
    import tensorflow as tf

    del architecture
    prefix = _latest(path) if path.is_dir() else _strip(path)
    parts = [prefix] if _is_v1(prefix) else _parts(prefix)
    if not _is_v1(prefix):
        _check_shards(prefix, parts)
    try:
        checkpoint = tf.train.load_checkpoint(str(prefix))
        shapes = checkpoint.get_variable_to_shape_map()
        dtypes = checkpoint.get_variable_to_dtype_map()
    except (tf.errors.OpError, *_DAMAGE) as e:
        raise _unreadable(prefix, _first_line(e)) from e
    tensors = {
        name: TensorSpec(name, tuple(shapes[name]), dtypes[name].name) for name in sorted(shapes)
    }

    def load(name: str) -> Array:
        try:
            array: Array = checkpoint.get_tensor(name)
        except (tf.errors.OpError, *_DAMAGE) as e:
            raise _unreadable(prefix, f"variable {name}: {_first_line(e)}") from e
        return array

    meta = _with_suffix(prefix, ".meta")
    graph = meta if meta.is_file() else None
    files = (*parts, meta) if graph else tuple(parts)
    return LegacyArtifact(
        path=prefix,
        format="TensorFlow checkpoint",
        files=files,
        tensors=tensors,
        load=load,
        graph=graph,
    )


def _strip(path: Path) -> Path:
    part = re.fullmatch(r"(.+)\.(index|data-\d{5}-of-\d{5})", path.name)
    return path.with_name(part.group(1)) if part and not _is_prefix(path) else path


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:300]
