"""Keras 2 HDF5 files: whole models, and weights that go with an architecture file.

Only plain datasets of the file itself are read. Links out of the file, virtual datasets and
external storage are refused, as are Python tags in YAML.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError, UsageError
from rnn_migrator.readers.artifact import LegacyArtifact, TensorSpec
from rnn_migrator.readers.base import reader

MAX_DATASET_BYTES = 8 << 30
"""A dataset that claims to be larger is refused before it is read."""

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_ARCHITECTURE_BYTES = 64 << 20
_MAX_ARCHITECTURE_VALUES = 10_000_000
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
"""What h5py raises about a file that is damaged, or not built as Keras builds it."""


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


@reader("Keras HDF5 file", _is_hdf5)
def open_keras_hdf5(path: Path, architecture: Path | None) -> LegacyArtifact:
    """Opens a whole model or a weights file of Keras 2.

    Args:
      path: The HDF5 file.
      architecture: The model's `to_json` or `to_yaml` text, for a weights file.

    Raises:
      UnreadableError: Cut short, damaged or hostile.
      UnsupportedError: No model of Keras is in it.
      UsageError: The architecture file is not one.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            own = _is_linked(file, "model_weights")
            weights = _follow(path, file, "model_weights") if own else file
            layers = {
                name: tuple(_weight_paths(path, weights, name))
                for name in _names(weights, "layer_names")
            }
            names = itertools.chain.from_iterable(layers.values())
            specs = {name: _spec(path, _follow(path, file, name), name) for name in names}
            config = _stored_config(path, file)
            writer = _writer(file, weights)
            kept = sorted(file)
    except _DAMAGE as e:
        raise _unreadable(path, _first_line(e)) from e
    if not layers and config is None:
        raise _no_model(path, kept)

    def load(name: str) -> Array:
        try:
            with h5py.File(path, "r") as file:
                array: Array = file[name][()]
        except _DAMAGE as e:
            raise _unreadable(path, f"dataset {name}: {_first_line(e)}") from e
        return array

    return LegacyArtifact(
        path=path,
        format="Keras HDF5 file",
        files=(path,),
        tensors=specs,
        load=load,
        writer=writer,
        model_config=read_architecture(architecture) if architecture else config,
        layers=layers,
    )


def read_architecture(path: Path) -> Mapping[str, Any]:
    """The model config in a file written from `to_json` or `to_yaml`.

    Raises:
      UsageError: Not there, too large, or neither JSON nor plain YAML with a model in it.
    """
    try:
        if path.stat().st_size > _MAX_ARCHITECTURE_BYTES:
            raise ValueError(f"more than {_MAX_ARCHITECTURE_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        config = _parse(text)
        # Some tools wrote the JSON text once more as JSON.
        config = _parse(config) if isinstance(config, str) else config
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as e:
        raise _no_architecture(path, str(e).replace("\n", " ")[:200]) from e
    if not isinstance(config, dict) or "class_name" not in config:
        raise _no_architecture(path, "a text without class_name")
    return config


def _parse(text: str) -> Any:
    """JSON or YAML; the loader makes plain values only."""
    if text.lstrip().startswith(("{", '"')):
        return json.loads(text)
    value = yaml.load(text, _PlainLoader)  # noqa: S506
    if _written_out(value, {}) > _MAX_ARCHITECTURE_VALUES:
        raise ValueError(f"aliases that stand for more than {_MAX_ARCHITECTURE_VALUES} values")
    return value


def _written_out(value: Any, known: dict[int, int]) -> int:
    """How many values there are when every alias is written out; a few lines can mean billions."""
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        inside = parts if isinstance(value, dict | list) else ()
        known[id(value)] = 1 + sum(_written_out(part, known) for part in inside)
    return known[id(value)]


class _PlainLoader(yaml.SafeLoader):
    """YAML without Python objects; the tuples that Keras wrote become lists."""


def _as_list(loader: Any, node: Any) -> Any:
    return loader.construct_sequence(node, deep=True)


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _as_list)


def _no_architecture(path: Path, received: str) -> UsageError:
    return UsageError(
        Problem(
            where=f"--architecture {path}",
            expected="the JSON or YAML text of a Keras model (model.to_json())",
            received=received,
            remedy="write it with the framework that trained the model: "
            "open('model.json', 'w').write(model.to_json())",
        )
    )


def _unreadable(path: Path, received: str) -> UnreadableError:
    return UnreadableError(
        Problem(
            where=str(path),
            expected="a whole HDF5 file as Keras writes it",
            received=received,
            remedy="copy the file again from where it was saved",
        )
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]


def _no_model(path: Path, kept: Sequence[str]) -> UnsupportedError:
    return UnsupportedError(
        Problem(
            where=str(path),
            expected="an HDF5 file with a Keras model, or its weights by layer",
            received="other content: " + (", ".join(kept[:6]) or "nothing"),
            remedy="dump the recurrent variables to an NPZ file under their TensorFlow names, or "
            "name the file that Keras saved",
        )
    )


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names in an attribute, or in `attribute0`, `attribute1`, … if it was long."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    chunks = itertools.takewhile(
        lambda key: key in group.attrs, (f"{attribute}{index}" for index in itertools.count())
    )
    return [_text(name) for key in chunks for name in group.attrs[key]]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _weight_paths(path: Path, weights: Any, layer: str) -> Iterator[str]:
    """Full paths of a layer's datasets, in the order Keras keeps its weights."""
    group = _follow(path, weights, layer)
    for name in _names(group, "weight_names"):
        yield f"{group.name}/{name}".lstrip("/")


def _follow(path: Path, group: Any, name: str) -> Any:
    """The object of that name, reached without soft or external links."""
    import h5py

    node = group
    for part in name.split("/"):
        if not (isinstance(node, h5py.Group) and _is_linked(node, part, h5py.h5l.TYPE_HARD)):
            raise _unreadable(path, f"{name!r}, where {part!r} is missing or a link elsewhere")
        node = node[part]
    return node


def _is_linked(group: Any, name: str, kind: int | None = None) -> bool:
    """Whether a group has a link of that name (and kind); the link is not followed."""
    links, key = group.id.links, name.encode("utf-8")
    return links.exists(key) and kind in (None, links.get_info(key).type)


def _spec(path: Path, node: Any, name: str) -> TensorSpec:
    import h5py

    plain = isinstance(node, h5py.Dataset) and not (node.is_virtual or node.external)
    if not plain or node.dtype.kind not in "fiu":
        raise _unreadable(path, f"{name!r}, which is not a plain dataset of numbers")
    if node.dtype.itemsize * math.prod(node.shape) > MAX_DATASET_BYTES:
        raise _unreadable(path, f"{name!r} of shape {list(node.shape)}, which is too large")
    return TensorSpec(name, tuple(node.shape), node.dtype.name)


def _stored_config(path: Path, file: Any) -> Mapping[str, Any] | None:
    if "model_config" not in file.attrs:
        return None
    try:
        config = json.loads(_text(file.attrs["model_config"]))
        config = json.loads(config) if isinstance(config, str) else config
    except (ValueError, RecursionError) as e:
        raise _unreadable(path, f"a model_config that is no JSON: {e}") from e
    if not isinstance(config, dict):
        raise _unreadable(path, "a model_config that is no JSON object")
    return config


def _writer(file: Any, weights: Any) -> str:
    for group in (file, weights):
        if "keras_version" in group.attrs:
            version = _text(group.attrs["keras_version"])
            backend = _text(group.attrs.get("backend", "unknown backend"))
            return f"Keras {version} ({backend})"
    return ""
