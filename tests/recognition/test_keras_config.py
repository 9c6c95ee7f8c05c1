from __future__ import annotations

from typing import Any

import pytest

from rnn_migrator.canonical import ModelInput
from rnn_migrator.errors import Problem
from rnn_migrator.recognition.keras_config import Topology, read_topology
from tests.recognition.artifacts import (
    Config,
    functional,
    layer,
    recurrent_config,
    sequential,
    with_input,
)

LSTM = with_input(recurrent_config("LSTM", "lstm_1", 5), None, 3)
DENSE = layer("Dense", "dense_1", units=2)
X = layer("InputLayer", "x", batch_input_shape=[None, 9, 3], dtype="float32")
IDS = layer("InputLayer", "ids", batch_input_shape=[None, None], dtype="int32")


def topology(config: Config) -> Topology:
    found, problems = read_topology(config)
    assert problems == []
    assert found is not None
    return found


def refused(config: Any) -> list[Problem]:
    found, problems = read_topology(config)
    assert found is None
    assert problems
    assert all(p.where and p.expected and p.received and p.remedy for p in problems)
    return problems


def wiring(found: Topology) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.name, one.class_name, one.inbound) for one in found.layers]


@pytest.mark.parametrize("bare_list", [False, True])
def test_sequential(bare_list: bool) -> None:
    """Keras 2.0 to 2.2.2 wrote a bare list of layers."""
    found = topology(sequential(LSTM, DENSE, bare_list=bare_list))
    assert found.inputs == (ModelInput("lstm_1_input", (None, 3), "float32"),)
    assert wiring(found) == [
        ("lstm_1", "LSTM", ("lstm_1_input",)),
        ("dense_1", "Dense", ("lstm_1",)),
    ]
    assert found.outputs == ("dense_1",)


def test_sequential_with_an_input_layer() -> None:
    found = topology(sequential(X, recurrent_config("LSTM", "lstm_1", 5)))
    assert found.inputs == (ModelInput("x", (9, 3), "float32"),)
    assert wiring(found) == [("lstm_1", "LSTM", ("x",))]


@pytest.mark.parametrize(
    ("config", "shape", "dtype"),
    [
        ({"batch_input_shape": [None, None], "dtype": "int32"}, (None,), "int32"),
        ({"batch_input_shape": [32, 10, 3]}, (10, 3), "float32"),
        ({"input_length": 7, "input_dim": 99}, (7,), "float32"),
        ({}, (None, None), "float32"),
    ],
)
def test_shapes_of_an_input(config: Config, shape: Any, dtype: str) -> None:
    found = topology(sequential(layer("Embedding", "embedding_1", **config)))
    assert found.inputs == (ModelInput("embedding_1_input", shape, dtype),)


@pytest.mark.parametrize("class_name", ["Model", "Functional"])
def test_functional(class_name: str) -> None:
    """Inputs in the order of the model, layers in an order in which they can be called."""
    config = functional(
        {
            "y": (layer("Concatenate", "y"), ["lstm_1", "embedding_1"]),
            "lstm_1": (recurrent_config("LSTM", "lstm_1", 5), ["x"]),
            "ids": (IDS, []),
            "embedding_1": (layer("Embedding", "embedding_1"), ["ids"]),
            "x": (X, []),
        },
        inputs=["x", "ids"],
        outputs=["y", "lstm_1"],
    )
    found = topology({**config, "class_name": class_name})
    assert [(source.name, source.dtype) for source in found.inputs] == [
        ("x", "float32"),
        ("ids", "int32"),
    ]
    assert wiring(found) == [
        ("lstm_1", "LSTM", ("x",)),
        ("embedding_1", "Embedding", ("ids",)),
        ("y", "Concatenate", ("lstm_1", "embedding_1")),
    ]
    assert found.outputs == ("y", "lstm_1")


def test_a_shared_layer_is_named() -> None:
    config = functional(
        {"x": (X, []), "lstm_1": (recurrent_config("LSTM", "lstm_1", 5), ["x"])}, ["x"], ["lstm_1"]
    )
    shared = config["config"]["layers"][1]
    shared["inbound_nodes"] *= 2
    [problem] = refused(config)
    assert problem.where == "layer 'lstm_1'"
    assert problem.received == "2 calls"


@pytest.mark.parametrize(
    "call",
    [["x", 1, 0, {}], ["x", 0, 1, {}], ["x", 0, 0, {"initial_state": [["h", 0, 0]]}]],
)
def test_a_call_with_more_than_one_tensor_is_named(call: list[Any]) -> None:
    config = functional(
        {"x": (X, []), "lstm_1": (recurrent_config("LSTM", "lstm_1", 5), [call])},
        ["x"],
        ["lstm_1"],
    )
    [problem] = refused(config)
    assert problem.where == "layer 'lstm_1'"
    assert repr(call) in problem.received


def test_all_bad_calls_are_told_at_once() -> None:
    bad = [["x", 1, 0, {}]]
    config = functional(
        {
            "x": (X, []),
            "a": (recurrent_config("LSTM", "a", 5), bad),
            "b": (recurrent_config("LSTM", "b", 5), bad),
        },
        ["x"],
        ["b"],
    )
    assert [p.where for p in refused(config)] == ["layer 'a'", "layer 'b'"]


@pytest.mark.parametrize("class_name", ["MyModel", "Lambda", None, 3])
def test_a_model_of_another_class_is_refused(class_name: Any) -> None:
    [problem] = refused({"class_name": class_name, "config": {"layers": []}})
    assert repr(class_name) in problem.received


def broken(**changes: Any) -> Config:
    """A functional config of one layer, with a mistake in it."""
    config = functional({"x": (X, []), "d": (DENSE, ["x"])}, ["x"], ["d"])
    config["config"].update(changes)
    return config


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"class_name": "Sequential"},
        {"class_name": "Sequential", "config": None},
        {"class_name": "Sequential", "config": []},
        {"class_name": "Sequential", "config": {}},
        {"class_name": "Sequential", "config": [3]},
        {"class_name": "Sequential", "config": ["LSTM"]},
        {"class_name": "Sequential", "config": [{"class_name": "LSTM"}]},
        {"class_name": "Sequential", "config": [{"class_name": "LSTM", "config": []}]},
        {"class_name": "Sequential", "config": [{"config": {"name": "lstm_1"}}]},
        {"class_name": "Sequential", "config": [layer("LSTM", "a", batch_input_shape=3)]},
        sequential(LSTM, layer("Bidirectional", "b", layer={"class_name": "LSTM"})),
        sequential(LSTM, layer("Bidirectional", "b", layer={"config": {}})),
        {"class_name": "Model", "config": []},
        {"class_name": "Model", "config": {}},
        broken(layers=None),
        broken(layers=[3]),
        broken(input_layers=[["y", 0, 0]]),
        broken(output_layers=[["y", 0, 0]]),
        broken(output_layers=None),
        broken(layers=[{"class_name": "Dense", "name": "d", "inbound_nodes": [[["x"]]]}]),
    ],
    ids=range(21),
)
def test_junk_is_refused(config: Any) -> None:
    [problem] = refused(config)
    assert problem.where == "model config"


def test_a_circle_is_refused() -> None:
    config = functional(
        {"x": (X, []), "a": (DENSE, ["b"]), "b": (DENSE, ["a"])}, inputs=["x"], outputs=["b"]
    )
    [problem] = refused(config)
    assert "nothing gives what the layer 'a' reads" in problem.received
