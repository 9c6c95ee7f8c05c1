"""SavedModels that tf.keras 2 wrote; only protos and the checkpoint inside are read.

The config of the model stands in `keras_metadata.pb` (TensorFlow 2.5 on), in the object graph of
`saved_model.pb` (2.0 to 2.4), or in `assets/saved_model.json` (`export_saved_model` of 1.12 to
2.0). The weights stand in the object checkpoint `variables/variables`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError, UsageError
from rnn_migrator.readers.architecture import read_architecture
from rnn_migrator.readers.artifact import LegacyArtifact
from rnn_migrator.readers.base import reader
from rnn_migrator.readers.metagraph import SIZE_LIMIT
from rnn_migrator.readers.protobuf import parse
from rnn_migrator.readers.tf1_checkpoint import open_checkpoint
from rnn_migrator.readers.whole_graph import refuse_graph

GRAPH, METADATA, JSON_CONFIG = "saved_model.pb", "keras_metadata.pb", "assets/saved_model.json"
_MODELS = ("_tf_keras_sequential", "_tf_keras_network")
_SUBCLASSED = "_tf_keras_model"
_SEQUENCES = ("__tuple__", "TensorShape")
"""Classes that stand for lists in the JSON of a SavedModel."""


@dataclasses.dataclass(frozen=True)
class _Root:
    """What a SavedModel says of its root object: which kind, and its metadata as JSON."""

    identifier: str
    metadata: str


def _is_saved_model(path: Path) -> bool:
    return (path / GRAPH).is_file() or (path.name == GRAPH and path.is_file())


@reader("Keras SavedModel (TensorFlow 2)", _is_saved_model)
def open_keras_saved_model(path: Path) -> LegacyArtifact:
    """Opens the folder that tf.keras 2 saved a model to.

    Raises:
      UnreadableError: A file is missing, damaged or hostile.
      UnsupportedError: Another SavedModel, or a subclassed model.
    """
    folder = path.parent if path.is_file() else path
    release, objects = _read_graph(folder / GRAPH)
    exported = folder / JSON_CONFIG
    if not objects and not exported.is_file():
        return refuse_graph(path)
    root = _root(folder, objects)
    if root.identifier == _SUBCLASSED:
        raise UnsupportedError(_subclassed(folder, root))
    weights = open_checkpoint(folder / "variables" / "variables")
    if not weights.layers:
        raise UnsupportedError(_no_keras(folder))
    kept = (folder / name for name in (GRAPH, METADATA, JSON_CONFIG))
    artifact = dataclasses.replace(
        weights,
        path=folder,
        format="Keras SavedModel (TensorFlow 2)",
        files=(*(file for file in kept if file.is_file()), *weights.files),
        writer=f"TensorFlow {release}" if release else "",
    )
    config = _config(folder, root) or _exported_config(exported)
    return artifact.with_config(config) if config else artifact


def _read_graph(file: Path) -> tuple[str, list[Any]]:
    """The release of TensorFlow that wrote a SavedModel, and its objects."""
    from tensorflow.core.protobuf import saved_model_pb2

    for graph in _message(file, saved_model_pb2.SavedModel).meta_graphs:
        release = str(graph.meta_info_def.tensorflow_version)
        return release, list(graph.object_graph_def.nodes)
    return "", []


def _root(folder: Path, objects: list[Any]) -> _Root:
    """What is known of the root object; without a name if that is no object of Keras."""
    from tensorflow.python.keras.protobuf import saved_metadata_pb2

    file = folder / METADATA
    if file.is_file():
        for node in _message(file, saved_metadata_pb2.SavedMetadata).nodes:
            if node.node_id == 0:
                return _Root(node.identifier, node.metadata)
    if objects and objects[0].WhichOneof("kind") == "user_object":
        return _Root(objects[0].user_object.identifier, objects[0].user_object.metadata)
    return _Root("", "")


def _message(file: Path, message: Any) -> Any:
    try:
        size = file.stat().st_size
        if size > SIZE_LIMIT:
            raise _unreadable(file, f"{size} bytes, more than the limit of {SIZE_LIMIT}")
        return parse(message, file.read_bytes())
    except OSError as e:
        raise _unreadable(file, f"no readable file ({e.strerror})") from e
    except ValueError as e:
        raise _unreadable(file, f"bytes that are none ({e})") from e


def _config(folder: Path, root: _Root) -> Mapping[str, Any] | None:
    """The model's config as an HDF5 file has it, None where none is stated."""
    if root.identifier not in _MODELS or not root.metadata:
        return None
    try:
        metadata = _plain(json.loads(root.metadata))
        config = {name: metadata[name] for name in ("class_name", "config")}
    except (ValueError, LookupError, TypeError, RecursionError) as e:
        received = f"metadata of the model without a config: {type(e).__name__} {e}"
        raise _unreadable(folder, received) from e
    return config


def _exported_config(file: Path) -> Mapping[str, Any] | None:
    if not file.is_file():
        return None
    try:
        return read_architecture(file)
    except UsageError as e:
        raise _unreadable(file, e.problems[0].received) from e


def _plain(value: Any) -> Any:
    """A value of the metadata with lists for tuples and shapes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in _SEQUENCES and isinstance(value.get("items"), list):
        return _plain(value["items"])
    return {key: _plain(item) for key, item in value.items()}


def _unreadable(where: Path, received: str) -> UnreadableError:
    return UnreadableError(
        Problem(
            where=str(where),
            expected="a whole SavedModel, as tf.keras 2 writes it",
            received=received,
            remedy="copy the whole folder again from where the model was saved",
        )
    )


def _subclassed(folder: Path, root: _Root) -> Problem:
    try:
        class_name = json.loads(root.metadata)["class_name"]
    except (ValueError, LookupError, TypeError, RecursionError):
        class_name = "unknown"
    return Problem(
        where=str(folder),
        expected="a Sequential or functional model",
        received=f"a subclassed model of the class {class_name}",
        remedy="a subclassed model keeps no topology: rebuild it in tf.keras and fill its "
        "recurrent layers with rnn_migrator.warm_start from the checkpoint inside, "
        f"{folder / 'variables' / 'variables'}",
    )


def _no_keras(folder: Path) -> Problem:
    return Problem(
        where=str(folder),
        expected="a SavedModel that tf.keras wrote with model.save",
        received="a SavedModel of TensorFlow 2 without layers of Keras",
        remedy="save the Keras model itself, or dump the recurrent variables with numpy.savez",
    )
