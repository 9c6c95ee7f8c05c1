"""Object checkpoints: layers by path, by the names of a config, and graphs that lie."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from rnn_migrator.errors import UnreadableError, UnsupportedError, UsageError
from rnn_migrator.readers import LegacyArtifact, open_artifact
from rnn_migrator.readers.object_graph import KEY, read_object_graph
from tests.readers.keras_models import SavedKeras

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
Objects = dict[str, Any]
"""Children by name; a variable is its array."""

rng = np.random.default_rng(3)


def lstm(units: int = 3) -> Objects:
    """The cell of an LSTM as tf.keras tracks it."""
    shapes = {"kernel": (2, 4 * units), "recurrent_kernel": (units, 4 * units), "bias": 4 * units}
    return {"cell": {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}}


def dense(width: int = 3) -> Objects:
    return {
        "kernel": rng.normal(size=(width, 2)).astype(np.float32),
        "bias": rng.normal(size=2).astype(np.float32),
    }


def model(*layers: Objects) -> Objects:
    """A model of tf.keras; a layer with weights is a child under two names."""
    children: Objects = {}
    for index, layer in enumerate(layers):
        if layer:
            weighted = sum(name.startswith("layer_with") for name in children)
            children[f"layer_with_weights-{weighted}"] = layer
        children[f"layer-{index}"] = layer
    return children


def graph_of(root: Objects) -> tuple[Any, dict[str, Any]]:
    """The proto of objects, and the tensors by their keys."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    ids: dict[int, int] = {}
    arrays: dict[str, Any] = {}

    def add(thing: Any, path: str) -> int:
        if id(thing) in ids:
            return ids[id(thing)]
        ids[id(thing)] = index = len(graph.nodes)
        graph.nodes.add()
        if isinstance(thing, np.ndarray):
            key = path + VALUE
            graph.nodes[index].attributes.add(name="VARIABLE_VALUE", checkpoint_key=key)
            arrays[key] = thing
        else:
            for name, child in thing.items():
                node = add(child, f"{path}/{name}".lstrip("/"))
                graph.nodes[index].children.add(node_id=node, local_name=name)
        return index

    add(root, "")
    return graph, arrays


def save(prefix: Path, root: Objects, graph: bytes | None = None) -> Path:
    """An object checkpoint of these objects."""
    proto, arrays = graph_of(root)
    tensors = {**arrays, KEY: proto.SerializeToString() if graph is None else graph}
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(tensor) for tensor in tensors.values()],
    )
    return prefix


def config(*layers: tuple[str, str], class_name: str = "Sequential") -> dict[str, Any]:
    listed = [{"class_name": kind, "config": {"name": name}} for name, kind in layers]
    return {"class_name": class_name, "config": {"name": "model", "layers": listed}}


STATED = config(("first", "LSTM"), ("drop", "Dropout"), ("last", "Dense"))


def architecture(folder: Path, stated: Mapping[str, Any] = STATED) -> Path:
    file = folder / "model.json"
    file.write_text(json.dumps(stated))
    return file


def short(layers: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {
        name: [n.removesuffix(VALUE).rsplit("/", 1)[-1] for n in tensors]
        for name, tensors in layers.items()
    }


def check(artifact: LegacyArtifact, saved: SavedKeras) -> None:
    """Every layer holds its weights, in the order that `get_weights` gives them."""
    held = {name: tensors for name, tensors in artifact.layers.items() if tensors}
    assert list(held) == [
        "inner/inner_dense",
        "inner/inner_norm",
        "inner/inner_lstm",
        "both",
        "norm",
        "steps/each_dense",
    ]
    assert set(held) < set(saved.weights) | {"steps"}
    for name, tensors in held.items():
        assert len(tensors) == len(saved.weights[name])
        for tensor, array in zip(tensors, saved.weights[name], strict=True):
            np.testing.assert_array_equal(artifact.read(tensor), array)


# What tf.keras itself writes


@pytest.mark.parametrize("name", ["weights", "train"])
def test_a_checkpoint_of_keras_with_its_architecture(saved: SavedKeras, name: str) -> None:
    artifact = open_artifact(saved.folder / name, saved.architecture)
    assert artifact.format == "TensorFlow checkpoint"
    assert artifact.model_config == saved.config
    assert artifact.keras_version == saved.config["keras_version"]
    assert artifact.backend == "tensorflow"
    check(artifact, saved)


@pytest.mark.parametrize(("name", "prefix"), [("weights", ""), ("train", "net/")])
def test_a_checkpoint_of_keras_without_one(saved: SavedKeras, name: str, prefix: str) -> None:
    """Layers go by their paths, so that single ones can be taken out."""
    artifact = open_artifact(saved.folder / name)
    assert artifact.model_config is None
    assert artifact.keras_version == "2"
    layers = ["inner/inner_dense", "inner/inner_norm", "inner/inner_lstm", "both", "norm"]
    paths = ["0/layer_with_weights-0", "0/layer_with_weights-1", "0/layer_with_weights-2", "1", "2"]
    for path, layer in zip(paths, layers, strict=True):
        tensors = artifact.layers[f"{prefix}layer_with_weights-{path}"]
        for tensor, array in zip(tensors, saved.weights[layer], strict=True):
            np.testing.assert_array_equal(artifact.read(tensor), array)
    assert len(artifact.layers) == 6


def test_the_slots_of_an_optimizer_are_no_weights(saved: SavedKeras) -> None:
    artifact = open_artifact(saved.folder / "train")
    assert any(".OPTIMIZER_SLOT" in name for name in artifact.tensors)
    held = [tensor for tensors in artifact.layers.values() for tensor in tensors]
    assert len(held) == len(set(held)) == 21
    assert not any("OPTIMIZER" in name or "adam" in name for name in held)


def test_the_architecture_of_another_model(saved: SavedKeras, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="first, drop, last") as caught:
        open_artifact(saved.folder / "weights", architecture(tmp_path))
    assert "warm_start" in caught.value.problems[0].remedy


# Structure


def test_layers_take_the_names_of_the_config(tmp_path: Path) -> None:
    prefix = save(tmp_path / "ckpt", model(lstm(), {}, dense()))
    artifact = open_artifact(prefix, architecture(tmp_path))
    weights = {
        "first": ["kernel", "recurrent_kernel", "bias"],
        "drop": [],
        "last": ["kernel", "bias"],
    }
    assert short(artifact.layers) == weights


@pytest.mark.parametrize("saved_input", [False, True])
@pytest.mark.parametrize("stated_input", [False, True])
def test_the_input_of_a_sequential_model_may_count_or_not(
    tmp_path: Path, saved_input: bool, stated_input: bool
) -> None:
    """TensorFlow 1.15 counts it in the checkpoint, later releases in the config."""
    layers = [lstm(), {}, dense()]
    prefix = save(tmp_path / "ckpt", model(*([{}] if saved_input else []), *layers))
    stated = [("first", "LSTM"), ("drop", "Dropout"), ("last", "Dense")]
    stated = [("source", "InputLayer"), *stated] if stated_input else stated
    artifact = open_artifact(prefix, architecture(tmp_path, config(*stated)))
    held = {name: names for name, names in short(artifact.layers).items() if names}
    assert held == {
        "first": ["kernel", "recurrent_kernel", "bias"],
        "last": ["kernel", "bias"],
    }
    assert artifact.layers["first"][0].startswith("layer_with_weights-0/")


@pytest.mark.parametrize("layers", [[lstm(), dense()], [lstm(), {}, dense(), dense(2)], [dense()]])
def test_another_number_of_layers_is_refused(tmp_path: Path, layers: list[Objects]) -> None:
    prefix = save(tmp_path / "ckpt", model(*layers))
    with pytest.raises(UnsupportedError, match="one model of the 3 layers"):
        open_artifact(prefix, architecture(tmp_path))


def test_the_model_may_lie_deeper(tmp_path: Path) -> None:
    root = {"step": np.array(3), "trainer": {"net": model(lstm(), {}, dense())}}
    prefix = save(tmp_path / "ckpt", root)
    artifact = open_artifact(prefix, architecture(tmp_path))
    assert artifact.layers["last"][0] == f"trainer/net/layer_with_weights-1/kernel{VALUE}"


def test_of_several_models_the_config_names_one(tmp_path: Path) -> None:
    encoder, decoder = model(lstm(), dense()), model(lstm(), {}, dense())
    prefix = save(tmp_path / "ckpt", {"encoder": encoder, "decoder": decoder})
    artifact = open_artifact(prefix, architecture(tmp_path))
    assert all(n.startswith("decoder/") for names in artifact.layers.values() for n in names)


def test_of_several_alike_none_is_chosen(tmp_path: Path) -> None:
    root = {name: model(lstm(), {}, dense()) for name in ("encoder", "decoder")}
    prefix = save(tmp_path / "ckpt", root)
    with pytest.raises(UnsupportedError, match="2 such models"):
        open_artifact(prefix, architecture(tmp_path))
    assert "encoder/layer_with_weights-0" in open_artifact(prefix).layers


def test_a_subclassed_model_has_layers_by_attribute(tmp_path: Path) -> None:
    root = {"model": {"rnn": lstm(), "heads": {"0": dense(), "1": dense(4)}}}
    artifact = open_artifact(save(tmp_path / "ckpt", root))
    assert list(artifact.layers) == ["model/rnn", "model/heads/0", "model/heads/1"]
    with pytest.raises(UnsupportedError, match="no such models"):
        open_artifact(tmp_path / "ckpt", architecture(tmp_path))


def test_variables_that_no_keras_layer_owns(tmp_path: Path) -> None:
    """A plain `tf.train.Checkpoint` is a checkpoint of variables by name."""
    root = {"net": {"w": np.ones((2, 3), np.float32), "b": np.ones(3, np.float32)}}
    prefix = save(tmp_path / "ckpt", root)
    artifact = open_artifact(prefix)
    assert artifact.layers == {}
    assert artifact.keras_version == artifact.backend == ""
    with pytest.raises(UsageError, match="leave the option out"):
        open_artifact(prefix, architecture(tmp_path))


def test_optimizers_are_passed_over_whatever_their_names(tmp_path: Path) -> None:
    state = {"iter": np.array(3), "beta": np.array(0.9)}
    newer = {"_iterations": np.array(3), "_variables": {"0": np.ones(3)}}
    root = {"net": model(lstm()), "opt": state, "other": newer}
    artifact = open_artifact(save(tmp_path / "ckpt", root))
    assert list(artifact.layers) == ["net/layer_with_weights-0"]


def test_own_weights_go_before_those_of_parts(tmp_path: Path) -> None:
    layer = {"layer": dense(), "scale": np.ones(1, np.float32)}
    artifact = open_artifact(save(tmp_path / "ckpt", model(layer)))
    assert short(artifact.layers) == {"layer_with_weights-0": ["scale", "kernel", "bias"]}


def test_a_list_of_variables_settles_their_order(tmp_path: Path) -> None:
    """A SavedModel has it."""
    layer = dense()
    listed = {"0": layer["bias"], "1": layer["kernel"]}
    artifact = open_artifact(save(tmp_path / "ckpt", model({**layer, "variables": listed})))
    assert short(artifact.layers) == {"layer_with_weights-0": ["bias", "kernel"]}


def test_states_are_no_weights(tmp_path: Path) -> None:
    stateful = {**lstm(), "states": {"0": np.ones((1, 3)), "1": np.ones((1, 3))}}
    artifact = open_artifact(save(tmp_path / "ckpt", model(stateful)))
    assert len(artifact.layers["layer_with_weights-0"]) == 3


@pytest.mark.parametrize(
    "stated",
    [
        {"class_name": "Sequential"},
        {"class_name": "Model", "config": 3},
        {"class_name": "Model", "config": {"layers": [3]}},
        {"class_name": "Model", "config": {"layers": [{"class_name": "LSTM", "config": None}]}},
    ],
)
def test_a_malformed_config_is_left_to_the_recognition(tmp_path: Path, stated: Any) -> None:
    prefix = save(tmp_path / "ckpt", model(lstm()))
    artifact = open_artifact(prefix, architecture(tmp_path, stated))
    assert artifact.model_config == stated
    assert list(artifact.layers) == ["layer_with_weights-0"]


# Damage


def refusal(root: Objects, change: Any, folder: Path) -> str:
    graph, _ = graph_of(root)
    change(graph)
    prefix = save(folder / "ckpt", root, graph.SerializeToString())
    with pytest.raises(UnreadableError) as caught:
        open_artifact(prefix)
    [problem] = caught.value.problems
    assert problem.where == f"{prefix}, {KEY}"
    assert all([problem.expected, problem.received, problem.remedy])
    return problem.received


@pytest.mark.parametrize("node", [99, -1, 2**31 - 1])
def test_a_child_that_does_not_exist(tmp_path: Path, node: int) -> None:
    def change(graph: Any) -> None:
        graph.nodes[0].children[0].node_id = node

    assert f"object {node}" in refusal(model(lstm()), change, tmp_path)


def test_a_tensor_that_does_not_exist(tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        attribute = next(node for node in graph.nodes if node.attributes).attributes[0]
        attribute.checkpoint_key = "../../etc/passwd"

    assert "not in the checkpoint" in refusal(model(lstm()), change, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, b"\x0a\xff\xff\xff\xff\x07", b"a text"])
def test_bytes_that_are_no_graph(tmp_path: Path, content: bytes) -> None:
    prefix = save(tmp_path / "ckpt", model(lstm()), content)
    with pytest.raises(UnreadableError):
        open_artifact(prefix)


def test_a_graph_that_is_no_scalar(tmp_path: Path) -> None:
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "ckpt"),
        tensor_names=[KEY],
        shape_and_slices=[""],
        tensors=[tf.constant([b"a", b"b"])],
    )
    with pytest.raises(UnreadableError, match="of shape"):
        open_artifact(tmp_path / "ckpt")


def test_circles_end() -> None:
    """Objects do refer to each other; the walk and the weights of a layer must end."""
    graph, arrays = graph_of(model(lstm(), dense()))
    for index, node in enumerate(graph.nodes):
        if node.children:
            node.children.add(local_name="root", node_id=0)
            node.children.add(local_name="self", node_id=index)
    objects = read_object_graph(Path("ckpt"), graph.SerializeToString(), arrays)
    assert "layer_with_weights-0" in objects.layers_by_path()


def test_a_deep_chain_ends() -> None:
    graph, arrays = graph_of(model(lstm()))
    for _ in range(50_000):
        graph.nodes.add()
        graph.nodes[len(graph.nodes) - 2].children.add(
            local_name="next", node_id=len(graph.nodes) - 1
        )
    graph.nodes[0].children.add(local_name="chain", node_id=len(graph.nodes) - 50_000)
    objects = read_object_graph(Path("ckpt"), graph.SerializeToString(), arrays)
    assert list(objects.layers_by_path()) == ["layer_with_weights-0"]


def test_no_damage_raises_another_error() -> None:
    graph, arrays = graph_of({"net": model(lstm(), {}, dense()), "opt": {"iter": np.array(1)}})
    content, chance = graph.SerializeToString(), np.random.default_rng(8)
    survived = 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in chance.integers(0, len(content), size=2):
            damaged[place] = chance.integers(256)
        with contextlib.suppress(UnreadableError, UnsupportedError):
            objects = read_object_graph(Path("ckpt"), bytes(damaged), arrays)
            objects.layers_by_path()
            objects.layers_by_config(STATED)
            survived += 1
    assert survived
