"""SavedModels of tf.keras 2, as tf_keras writes them, and as they may be damaged."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.keras.protobuf import saved_metadata_pb2

from rnn_migrator.errors import MigrationError, UnreadableError, UnsupportedError
from rnn_migrator.readers import LegacyArtifact, open_artifact
from tests.readers.keras_models import SavedKeras, save_folder
from tests.readers.test_object_graph import (
    STATED,
    Objects,
    architecture,
    check,
    dense,
    lstm,
    model,
    save,
)

SEQUENTIAL, SUBCLASSED = "_tf_keras_sequential", "_tf_keras_model"
METADATA = {"class_name": "Sequential", "config": STATED["config"], "trainable": True}


def write(
    folder: Path,
    metadata: Any = METADATA,
    identifier: str = SEQUENTIAL,
    recent: bool = True,
    root: Objects | None = None,
) -> Path:
    """A SavedModel with the config beside the graph (recent) or inside of it."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    saved = saved_model_pb2.SavedModel()
    graph = saved.meta_graphs.add()
    graph.meta_info_def.tensorflow_version = "2.11.0" if recent else "2.3.1"
    node = graph.object_graph_def.nodes.add().user_object
    node.identifier = identifier
    if recent:
        beside = saved_metadata_pb2.SavedMetadata()
        beside.nodes.add(node_id=1, identifier="_tf_keras_rnn_layer", metadata="{}")
        beside.nodes.add(node_id=0, node_path="root", identifier=identifier, metadata=text)
        (folder / "keras_metadata.pb").write_bytes(beside.SerializeToString())
    else:
        node.metadata = text
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    (folder / "variables").mkdir(exist_ok=True)
    save(folder / "variables" / "variables", root or model(lstm(), {}, dense()))
    return folder


def refusal(folder: Path, kind: type[MigrationError] = UnreadableError) -> str:
    with pytest.raises(kind) as caught:
        open_artifact(folder)
    [problem] = caught.value.problems
    assert all([problem.where, problem.expected, problem.received, problem.remedy])
    return str(problem)


# What tf.keras itself writes


@pytest.mark.slow
def test_a_model_that_keras_saved(saved: SavedKeras) -> None:
    folder = save_folder(saved)
    artifact = open_artifact(folder)
    assert artifact.format == "Keras SavedModel (TensorFlow 2)"
    assert artifact.path == folder
    assert artifact.writer.startswith("TensorFlow 2.")
    assert (artifact.keras_version, artifact.backend) == ("2", "tensorflow")
    assert [file.name for file in artifact.files] == [
        "saved_model.pb",
        "keras_metadata.pb",
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    check(artifact, saved)
    assert artifact.model_config is not None
    assert artifact.model_config["class_name"] == saved.config["class_name"]
    assert without_marks(artifact.model_config["config"]) == without_marks(saved.config["config"])


def without_marks(config: Any) -> Any:
    """A config without what only a SavedModel has, or only `to_json` writes."""
    if isinstance(config, list):
        return [without_marks(item) for item in config]
    if not isinstance(config, dict):
        return config
    marks = ("shared_object_id", "registered_name", "module", "build_config")
    return {key: without_marks(item) for key, item in config.items() if key not in marks}


@pytest.mark.slow
def test_a_model_that_tensorflow_saved(saved: SavedKeras, tmp_path: Path) -> None:
    """`tf.saved_model.save` keeps no config; an architecture stands in for it."""
    folder = shutil.copytree(save_folder(saved), tmp_path / "saved")
    (folder / "keras_metadata.pb").unlink()
    bare = open_artifact(folder)
    assert bare.model_config is None
    assert list(bare.layers)[3:] == [f"layer_with_weights-{index}" for index in (1, 2, 3)]
    check(open_artifact(folder, saved.architecture), saved)


@pytest.mark.slow
def test_nothing_of_it_is_executed(saved: SavedKeras, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a graph was loaded")

    monkeypatch.setattr(tf.saved_model, "load", fail)
    monkeypatch.setattr(tf, "import_graph_def", fail)
    assert open_artifact(save_folder(saved)).layers


def test_a_model_people_left_with_stale_shards(zoo: Path) -> None:
    artifact = open_artifact(zoo / "sm_giaan")
    assert artifact.writer == "TensorFlow 2.3.1"
    assert list(artifact.layers) == ["lstm", "dropout", "lstm_1", "dropout_1", "dense", "dense_1"]
    assert [f.name for f in artifact.files][1:] == [
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    shapes = [artifact.tensors[name].shape for name in artifact.layers["lstm"]]
    assert shapes == [(5, 128), (32, 128), (128,)]
    for tensors in artifact.layers.values():
        for name in tensors:
            assert artifact.read(name).size
    assert artifact.model_config is not None
    first = artifact.model_config["config"]["layers"][0]
    assert first["config"]["batch_input_shape"] == [None, 10, 5]


# Where the config stands


def layers_of(artifact: LegacyArtifact) -> Mapping[str, int]:
    return {name: len(tensors) for name, tensors in artifact.layers.items()}


@pytest.mark.parametrize("recent", [True, False])
def test_the_config_stands_beside_the_graph_or_in_it(tmp_path: Path, recent: bool) -> None:
    artifact = open_artifact(write(tmp_path, recent=recent))
    assert artifact.model_config == STATED
    assert layers_of(artifact) == {"first": 3, "drop": 0, "last": 2}
    assert artifact.writer == ("TensorFlow 2.11.0" if recent else "TensorFlow 2.3.1")


def test_the_config_of_an_export(tmp_path: Path) -> None:
    """`tf.keras.experimental.export_saved_model` wrote `to_json` into the assets."""
    write(tmp_path, metadata="", recent=False)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "assets").mkdir()
    exported = {**STATED, "keras_version": "2.2.4-tf", "backend": "tensorflow"}
    (tmp_path / "assets" / "saved_model.json").write_text(json.dumps(exported))
    artifact = open_artifact(tmp_path)
    assert artifact.model_config == exported
    assert artifact.keras_version == "2.2.4-tf"
    assert layers_of(artifact) == {"first": 3, "drop": 0, "last": 2}
    (tmp_path / "assets" / "saved_model.json").write_text("{")
    assert "saved_model.json" in refusal(tmp_path)


def test_tuples_and_shapes_become_lists(tmp_path: Path) -> None:
    shape = {
        "class_name": "__tuple__",
        "items": [None, {"class_name": "TensorShape", "items": [3]}],
    }
    layers = [{"class_name": "LSTM", "config": {"name": "first", "batch_input_shape": shape}}]
    metadata = {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    artifact = open_artifact(write(tmp_path, metadata, root=model(lstm())))
    assert artifact.model_config is not None
    [layer] = artifact.model_config["config"]["layers"]
    assert layer["config"]["batch_input_shape"] == [None, [3]]


def test_the_file_inside_names_the_folder(tmp_path: Path) -> None:
    write(tmp_path)
    assert open_artifact(tmp_path / "saved_model.pb").layers == open_artifact(tmp_path).layers


def test_the_checkpoint_inside_opens_by_itself(tmp_path: Path) -> None:
    write(tmp_path)
    artifact = open_artifact(tmp_path / "variables" / "variables")
    assert list(artifact.layers) == ["layer_with_weights-0", "layer_with_weights-1"]


def test_an_architecture_goes_before_the_config_inside(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    other = {"class_name": "Sequential", "config": STATED["config"]["layers"]}
    artifact = open_artifact(write(tmp_path / "saved"), architecture(tmp_path, other))
    assert artifact.model_config == other


def test_the_digest_sees_config_and_weights(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    root = model(lstm(), {}, dense())
    other = {**METADATA, "trainable": False}
    folders = [
        write(tmp_path / "one", root=root),
        write(tmp_path / "two", other, root=root),
        write(tmp_path / "three"),
    ]
    assert len({open_artifact(folder).digest for folder in folders}) == 3


# Refusals


@pytest.mark.parametrize("recent", [True, False])
def test_a_subclassed_model(tmp_path: Path, recent: bool) -> None:
    metadata = {"class_name": "MyTagger", "config": {}}
    root = {"rnn": lstm(), "head": dense()}
    folder = write(tmp_path, metadata, SUBCLASSED, recent, root)
    text = refusal(folder, UnsupportedError)
    assert "MyTagger" in text
    assert "warm_start" in text
    inside = tmp_path / "variables" / "variables"
    assert str(inside) in text
    assert list(open_artifact(inside).layers) == ["rnn", "head"]


def test_a_module_without_keras(tmp_path: Path) -> None:
    root = {"w": np.ones((2, 3), np.float32)}
    folder = write(tmp_path, "", "_generic_user_object", recent=False, root=root)
    assert "without layers of Keras" in refusal(folder, UnsupportedError)


def test_a_model_of_tensorflow_1(tmp_path: Path) -> None:
    """It has no object graph; the reader of whole graphs says what to do."""
    saved = saved_model_pb2.SavedModel()
    saved.meta_graphs.add().meta_info_def.tensorflow_version = "1.12.0"
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert "a graph" in refusal(tmp_path, UnsupportedError)


@pytest.mark.parametrize(
    "metadata",
    [
        "no JSON",
        "{",
        "[]",
        "3",
        '"text"',
        "null",
        "{}",
        '{"class_name": "Sequential"}',
        "[" * 100_000,
        '{"config":' * 20_000,
        json.dumps({"class_name": "Sequential", "config": 1})[:-1],
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("recent", [True, False])
def test_junk_for_metadata(tmp_path: Path, metadata: str, recent: bool) -> None:
    assert "without a config" in refusal(write(tmp_path, metadata, recent=recent))


@pytest.mark.parametrize("name", ["saved_model.pb", "keras_metadata.pb"])
@pytest.mark.parametrize("content", [b"\xff" * 20, b"\x12\xff\xff\xff\xff\x07", b"junk"])
def test_junk_for_a_file(tmp_path: Path, name: str, content: bytes) -> None:
    (write(tmp_path) / name).write_bytes(content)
    assert name in refusal(tmp_path)


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_a_missing_part_of_the_weights(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / "variables" / name).unlink()
    assert f"no {name}" in refusal(tmp_path)


def test_missing_weights(tmp_path: Path) -> None:
    shutil.rmtree(write(tmp_path) / "variables")
    assert "no variables.index" in refusal(tmp_path)


def test_no_damage_raises_another_error(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    write(tmp_path)
    files = [tmp_path / "saved_model.pb", tmp_path / "keras_metadata.pb"]
    contents = [file.read_bytes() for file in files]
    for _ in range(100):
        for file, content in zip(files, contents, strict=True):
            damaged = bytearray(content)
            damaged[chance.integers(len(content))] = chance.integers(256)
            file.write_bytes(damaged)
        with contextlib.suppress(UnreadableError, UnsupportedError):
            open_artifact(tmp_path)
