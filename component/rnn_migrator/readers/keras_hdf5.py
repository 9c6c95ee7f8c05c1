"""Keras 1 and 2 HDF5 files: whole models, and weights that go with an architecture file.

Keras before 1.0 numbered the layers of a weights file and gave no names; its files are read too.
Optimizer weights and the training config are left alone.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.readers.artifact import Layers, LegacyArtifact
from rnn_migrator.readers.base import reader
from rnn_migrator.readers.hdf5 import (
    DAMAGE,
    first_line,
    follow,
    is_hdf5,
    is_linked,
    loader,
    spec_of,
    unreadable,
)
from rnn_migrator.readers.model_config import MALFORMED, ConfigLayer, config_layers, leaves

_MARKS = ("layer_names", "layer_names0", "nb_layers", "model_config")
"""Attributes of a file's root that only Keras writes."""

_KERAS2_NAMES = frozenset({"kernel", "recurrent_kernel", "bias", "embeddings", "gamma"})
"""Last parts of weight names that Keras 1, which wrote `lstm_1_W_i`, does not know."""

_MOST_NUMBERED = 100_000
"""Layers or weights of a file that numbers them."""


def is_keras(path: Path) -> bool:
    """Whether an HDF5 file is one of Keras, or so damaged that nobody can tell."""
    import h5py

    if not is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            marked = any(mark in file.attrs for mark in _MARKS)
            return marked or is_linked(file, "model_weights")
    except DAMAGE:
        return True


@reader("Keras HDF5 file", is_keras)
def open_keras_hdf5(path: Path) -> LegacyArtifact:
    """Opens a whole model or a weights file of Keras 1 or 2.

    Raises:
      UnreadableError: Cut short, damaged or hostile.
      UnsupportedError: No model of Keras is in it.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            own = is_linked(file, "model_weights")
            weights = follow(path, file, "model_weights") if own else file
            layers = _layers(path, weights)
            names = itertools.chain.from_iterable(layers.values())
            specs = {name: spec_of(path, follow(path, file, name), name) for name in names}
            config = _stored_config(path, file)
            version, backend = _origin(file, weights)
            kept = sorted(file)
    except DAMAGE as e:
        raise unreadable(path, first_line(e)) from e
    if not layers and config is None:
        raise no_model(path, kept)
    artifact = LegacyArtifact(
        path=path,
        format="Keras HDF5 file",
        files=(path,),
        tensors=specs,
        load=loader(path),
        writer=f"Keras {version} ({backend or 'unknown backend'})" if version else "",
        keras_version=version or _release_by_names(layers),
        backend=backend or _backend_by_names(layers),
        layers=layers,
        name_layers=functools.partial(_by_inner_layers, layers),
    )
    return artifact if config is None else artifact.with_config(config)


def no_model(path: Path, kept: Sequence[str]) -> UnsupportedError:
    """The refusal of a file without weights."""
    return UnsupportedError(
        Problem(
            where=str(path),
            expected="an HDF5 file with a Keras model, its weights by layer, or named arrays",
            received="other content: " + (", ".join(kept[:6]) or "nothing"),
            remedy="dump the recurrent variables to an NPZ file under their TensorFlow names, or "
            "name the file that Keras saved",
        )
    )


def _layers(path: Path, weights: Any) -> dict[str, tuple[str, ...]]:
    """Full paths of each layer's datasets, in the order Keras keeps its weights."""
    if "nb_layers" in weights.attrs:
        numbered = [f"layer_{k}" for k in range(_count(weights, "nb_layers"))]
        return {name: tuple(_numbered_paths(path, weights, name)) for name in numbered}
    names = _names(weights, "layer_names")
    return {name: tuple(_weight_paths(path, weights, name)) for name in names}


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
    group = follow(path, weights, layer)
    for name in _names(group, "weight_names"):
        yield f"{group.name}/{name}".lstrip("/")


def _numbered_paths(path: Path, weights: Any, layer: str) -> Iterator[str]:
    group = follow(path, weights, layer)
    for index in range(_count(group, "nb_params")):
        yield f"{group.name}/param_{index}".lstrip("/")


def _count(group: Any, attribute: str) -> int:
    count = int(group.attrs[attribute])
    if not 0 <= count <= _MOST_NUMBERED:
        raise ValueError(f"{attribute} {count}")
    return count


def _stored_config(path: Path, file: Any) -> Mapping[str, Any] | None:
    if "model_config" not in file.attrs:
        return None
    try:
        config = json.loads(_text(file.attrs["model_config"]))
        config = json.loads(config) if isinstance(config, str) else config
    except (ValueError, RecursionError) as e:
        raise unreadable(path, f"a model_config that is no JSON: {e}") from e
    if not isinstance(config, dict):
        raise unreadable(path, "a model_config that is no JSON object")
    return config


def _origin(file: Any, weights: Any) -> tuple[str, str]:
    """Release and backend as the file states them; Keras 1 wrote the release to the root only."""
    for group in (file, weights):
        if "keras_version" in group.attrs:
            backend = _text(group.attrs.get("backend", ""))
            return _text(group.attrs["keras_version"]), backend
    return "", ""


def _release_by_names(layers: Layers) -> str:
    """Major release of a file that states none, as weights of Keras 1 do; "" if it may be later."""
    names = [_last_part(name) for name in itertools.chain.from_iterable(layers.values())]
    if all(name.startswith("param_") for name in names):
        return "0" if names else ""
    return "" if _KERAS2_NAMES.intersection(names) else "1"


def _backend_by_names(layers: Layers) -> str:
    """The backend of a file that states none: every tensor of TensorFlow's has a name with `:0`.

    Theano's variables have the names that Keras 1 gave them, those of CNTK Keras 1 did not know.
    """
    names = list(itertools.chain.from_iterable(layers.values()))
    if names and all(name.endswith(":0") for name in names):
        return "tensorflow"
    plain = not any(":" in name or _last_part(name).startswith("param_") for name in names)
    return "theano" if names and plain and _release_by_names(layers) == "1" else ""


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(":0")


def _by_inner_layers(layers: Layers, config: Mapping[str, Any]) -> Layers:
    """Layers as a config names them: numbers become names, nested models are taken apart."""
    try:
        stated = config_layers(config)
        numbered = [layer for layer in stated if not layer.is_input]
    except MALFORMED:
        return layers
    if list(layers) == [f"layer_{index}" for index in range(len(numbered))]:
        names = [layer.name for layer in numbered]
        layers = dict(zip(names, layers.values(), strict=True))
    by_name = {layer.name: layer for layer in stated}
    found: dict[str, tuple[str, ...]] = {}
    for name, weights in layers.items():
        found |= _taken_apart(name, weights, by_name.get(name))
    return found


def _taken_apart(
    name: str, weights: tuple[str, ...], layer: ConfigLayer | None
) -> dict[str, tuple[str, ...]]:
    """Weights of a nested model by the inner layers; as they are where names do not tell them."""
    inner = leaves(layer.layers, name) if layer else {}
    if not inner or len({leaf.name for leaf in inner.values()}) < len(inner):
        return {name: weights}
    owners = {weight: _owner(weight.split("/"), inner) for weight in weights}
    if "" in owners.values():
        return {name: weights}
    return {key: tuple(w for w, owner in owners.items() if owner == key) for key in inner}


def _owner(weight: Sequence[str], inner: Mapping[str, ConfigLayer]) -> str:
    """The layer whose name stands in a weight's: `lstm_1/kernel:0`, in Keras 1 `lstm_1_W_i`."""
    scopes, last = weight[:-1], weight[-1]
    for scope in scopes:
        for key, layer in inner.items():
            if scope == layer.name:
                return key
    begins = {start: key for key, layer in inner.items() for start in layer.weight_names}
    for start in sorted(begins, key=len, reverse=True):
        # TensorFlow numbers a scope that it has met before.
        numbered = re.compile(re.escape(start) + r"_\d+")
        if last.startswith(f"{start}_") or any(map(numbered.fullmatch, scopes)):
            return begins[start]
    return ""
