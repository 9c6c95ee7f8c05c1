from __future__ import annotations

from typing import Any

import pytest

from rnn_migrator.canonical import ModelInput
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.recognition.keras_config import Topology, read_topology, rename_inputs
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


def refused(config: Any) -> list[Problem]:
    with pytest.raises(UnsupportedError) as caught:
        read_topology(config)
    problems = list(caught.value.problems)
    assert all(p.where and p.expected and p.received and p.remedy for p in problems)
    return problems


def wiring(found: Topology) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(call.value, call.layer.class_name, call.inbound) for call in found.calls]


@pytest.mark.parametrize("bare_list", [False, True])
def test_sequential(bare_list: bool) -> None:
    """Keras 2.0 to 2.2.2 wrote a bare list of layers."""
    found = read_topology(sequential(LSTM, DENSE, bare_list=bare_list))
    assert found.inputs == (ModelInput("lstm_1_input", (None, 3), "float32"),)
    assert wiring(found) == [
        ("lstm_1", "LSTM", ("lstm_1_input",)),
        ("dense_1", "Dense", ("lstm_1",)),
    ]
    assert found.outputs == {"dense_1": "dense_1"}


def test_sequential_with_an_input_layer() -> None:
    found = read_topology(sequential(X, recurrent_config("LSTM", "lstm_1", 5)))
    assert found.inputs == (ModelInput("x", (9, 3), "float32"),)
    assert wiring(found) == [("lstm_1", "LSTM", ("x",))]


@pytest.mark.parametrize(
    ("config", "shape", "dtype"),
    [
        ({"batch_input_shape": [None, None], "dtype": "int32"}, (None,), "int32"),
        ({"batch_input_shape": [None, 10, 3]}, (10, 3), "float32"),
        ({"input_length": 7, "input_dim": 99}, (7,), "float32"),
        ({}, (None, None), "float32"),
    ],
)
def test_shapes_of_an_input(config: Config, shape: Any, dtype: str) -> None:
    found = read_topology(sequential(layer("Embedding", "embedding_1", **config)))
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
    found = read_topology({**config, "class_name": class_name})
    assert [(source.name, source.dtype) for source in found.inputs] == [
        ("x", "float32"),
        ("ids", "int32"),
    ]
    assert wiring(found) == [
        ("lstm_1", "LSTM", ("x",)),
        ("embedding_1", "Embedding", ("ids",)),
        ("y", "Concatenate", ("lstm_1", "embedding_1")),
    ]
    assert found.outputs == {"y": "y", "lstm_1": "lstm_1"}


def test_a_fixed_batch_is_kept() -> None:
    found = read_topology(sequential(layer("LSTM", "a", batch_input_shape=[32, 10, 3])))
    assert found.inputs == (ModelInput("a_input", (10, 3), "float32", 32),)


GRU = recurrent_config("GRU", "gru_1", 4)
TWO: dict[str, tuple[Config, list[Any]]] = {
    "x": (X, []),
    "y": (layer("InputLayer", "y", batch_input_shape=[None, 9, 3]), []),
}


def called(config: Config, calls: list[Any]) -> tuple[Config, list[Any]]:
    """A layer of `functional` with several calls, each a list of what it reads."""
    return {**config, "calls": calls}, []


def with_calls(config: Config) -> Config:
    """Puts the calls of `called` where Keras has them."""
    for found in config["config"]["layers"]:
        if "calls" in found:
            found["inbound_nodes"] = [[[n, 0, 0, {}] for n in call] for call in found.pop("calls")]
    return config


def test_a_shared_layer_is_called_twice() -> None:
    layers = {
        **TWO,
        "gru_1": called(GRU, [["x"], ["y"]]),
        "both": (layer("Concatenate", "both"), [["gru_1", 0, 0, {}], ["gru_1", 1, 0, {}]]),
    }
    found = read_topology(with_calls(functional(layers, ["x", "y"], ["both"])))
    assert wiring(found) == [
        ("gru_1", "GRU", ("x",)),
        ("gru_1@1", "GRU", ("y",)),
        ("both", "Concatenate", ("gru_1", "gru_1@1")),
    ]
    assert [one.name for one in found.layers] == ["gru_1", "both"]


def test_one_layer_may_give_two_outputs() -> None:
    config = with_calls(
        functional({**TWO, "gru_1": called(GRU, [["x"], ["y"]])}, ["x", "y"], ["gru_1"])
    )
    config["config"]["output_layers"] = [["gru_1", 0, 0], ["gru_1", 1, 0]]
    assert read_topology(config).outputs == {"gru_1": "gru_1", "gru_1_1": "gru_1@1"}


INNER = sequential(with_input(GRU, 9, 3), layer("Dense", "dense_1", units=2))


@pytest.mark.parametrize("node", [0, 1])
def test_a_model_in_a_model_is_its_layers(node: int) -> None:
    """Keras counts the wiring of a model built beforehand as its call 0, or does not."""
    layers = {**TWO, "inner": called(INNER, [["x"], ["y"]])}
    config = with_calls(functional(layers, ["x", "y"], ["inner"]))
    config["config"]["output_layers"] = [["inner", node, 0], ["inner", node + 1, 0]]
    found = read_topology(config)
    assert wiring(found) == [
        ("inner/gru_1", "GRU", ("x",)),
        ("inner/dense_1", "Dense", ("inner/gru_1",)),
        ("inner/gru_1@1", "GRU", ("y",)),
        ("inner/dense_1@1", "Dense", ("inner/gru_1@1",)),
    ]
    assert list(found.outputs.values()) == ["inner/dense_1", "inner/dense_1@1"]


def test_a_model_may_begin_a_sequential_one() -> None:
    inner = {**INNER, "config": {"name": "inner", "layers": INNER["config"]["layers"]}}
    found = read_topology(sequential(inner, layer("Dense", "last", units=1)))
    assert found.inputs == (ModelInput("inner_input", (9, 3), "float32"),)
    assert [value for value, _, _ in wiring(found)] == ["inner/gru_1", "inner/dense_1", "last"]


def test_a_model_at_every_step_is_a_layer_with_a_topology() -> None:
    each = layer("TimeDistributed", "each", layer=INNER, batch_input_shape=[None, 4, 9, 3])
    [call] = read_topology(sequential(each)).calls
    assert call.layer.inner is not None
    assert [one.name for one in call.layer.inner.layers] == ["gru_1", "dense_1"]


LSTM_STATES = recurrent_config("LSTM", "encoder", 5, return_state=True)


@pytest.mark.parametrize(
    "call",
    [
        [["y", 0, 0, {}], ["encoder", 0, 1, {}], ["encoder", 0, 2, {}]],  # multi-backend Keras
        [["y", 0, 0, {"initial_state": [["encoder", 0, 1], ["encoder", 0, 2]]}]],  # tf.keras
    ],
)
def test_initial_states_are_read_in_both_spellings(call: list[Any]) -> None:
    layers = {**TWO, "encoder": (LSTM_STATES, ["x"]), "lstm_1": (LSTM, call)}
    found = read_topology(functional(layers, ["x", "y"], ["lstm_1"]))
    assert found.calls[-1].inbound == ("y",)
    assert found.calls[-1].initial_state == ("encoder:1", "encoder:2")


def test_a_state_may_be_an_output() -> None:
    config = functional({"x": (X, []), "encoder": (LSTM_STATES, ["x"])}, ["x"], ["encoder"])
    config["config"]["output_layers"] = [["encoder", 0, 0], ["encoder", 0, 2]]
    assert list(read_topology(config).outputs.values()) == ["encoder", "encoder:2"]


@pytest.mark.parametrize("arguments", [{"training": True}, {"mask": ["m", 0, 0]}, {"axis": 1}])
def test_arguments_that_change_a_layer_are_named(arguments: Config) -> None:
    call = [["x", 0, 0, arguments]]
    config = functional(
        {"x": (X, []), "a": (GRU, call), "b": (GRU, call)}, inputs=["x"], outputs=["b"]
    )
    problems = refused(config)
    assert [problem.where for problem in problems] == ["layer 'a'", "layer 'b'"]
    assert all(next(iter(arguments)) in problem.received for problem in problems)


@pytest.mark.parametrize("arguments", [{"training": False}, {"training": None, "mask": None}])
def test_harmless_arguments_are_left_out(arguments: Config) -> None:
    call = [["x", 0, 0, arguments]]
    found = read_topology(functional({"x": (X, []), "a": (GRU, call)}, ["x"], ["a"]))
    assert wiring(found) == [("a", "GRU", ("x",))]


@pytest.mark.parametrize("class_name", ["CuDNNLSTM", "RNN", "Bidirectional", "ConvLSTM2D", "Add"])
def test_only_recurrent_layers_have_initial_states(class_name: str) -> None:
    config = layer(class_name, "a", layer=LSTM)
    found = read_topology(functional({**TWO, "a": (config, ["x", "y"])}, ["x", "y"], ["a"]))
    [call] = found.calls
    expected = (("x", "y"), ()) if class_name == "Add" else (("x",), ("y",))
    assert (call.inbound, call.initial_state) == expected


def test_a_layer_waits_for_the_states_it_begins_with() -> None:
    reads: list[Any] = ["y", ["encoder", 0, 1, {}], ["encoder", 0, 2, {}]]
    layers = {"lstm_1": (LSTM, reads), "encoder": (LSTM_STATES, ["x"]), **TWO}
    found = read_topology(functional(layers, ["x", "y"], ["lstm_1"]))
    assert [call.value for call in found.calls] == ["encoder", "lstm_1"]


def test_a_later_call_gives_states_of_its_own() -> None:
    config = functional({"x": (X, []), "encoder": (LSTM_STATES, ["x"])}, ["x"], ["encoder"])
    again = [["x", 0, 0], ["encoder", 0, 1], ["encoder", 0, 2]]
    config["config"]["layers"][1]["inbound_nodes"].append(again)
    config["config"]["output_layers"] = [["encoder", 1, 2]]
    found = read_topology(config)
    assert found.calls[1].initial_state == ("encoder:1", "encoder:2")
    assert found.outputs == {"encoder": "encoder@1:2"}


def inner_of_two() -> Config:
    """A functional model of two inputs and two outputs."""
    layers = {
        **TWO,
        "sum": (layer("Add", "sum"), ["x", "y"]),
        "gru_1": (GRU, ["sum"]),
    }
    return functional(layers, ["x", "y"], ["gru_1", "sum"])


@pytest.mark.parametrize("node", [0, 1])
def test_inputs_and_outputs_of_a_model_in_a_model_keep_their_order(node: int) -> None:
    """The names inside say nothing: what is called x there is y here."""
    layers = {
        **TWO,
        "inner": (inner_of_two(), ["y", "x"]),
        "last": (DENSE, [["inner", node, 1, {}]]),
    }
    config = functional(layers, ["x", "y"], ["last", "inner"])
    config["config"]["output_layers"][1] = ["inner", node, 0]
    found = read_topology(config)
    assert wiring(found) == [
        ("inner/sum", "Add", ("y", "x")),
        ("inner/gru_1", "GRU", ("inner/sum",)),
        ("last", "Dense", ("inner/sum",)),
    ]
    assert found.outputs == {"last": "last", "inner": "inner/gru_1"}


def test_a_model_called_on_too_few_inputs_is_refused() -> None:
    [problem] = refused(functional({**TWO, "inner": (inner_of_two(), ["x"])}, ["x"], ["inner"]))
    assert (problem.where, problem.received.split(":")[0]) == ("model config", "ValueError")


def test_a_bad_call_in_a_model_is_named_with_the_model() -> None:
    inner = inner_of_two()
    inner["config"]["layers"][-1]["inbound_nodes"] = [[["sum", 0, 0, {"training": True}]]]
    config = functional({**TWO, "inner": (inner, ["x", "y"])}, ["x", "y"], ["inner"])
    [problem] = refused(config)
    assert (problem.where, problem.received) == ("layer 'inner/gru_1'", "also training=True")


def test_models_in_models_in_models() -> None:
    middle = sequential({**INNER, "config": {**INNER["config"], "name": "inner"}})
    middle["config"]["name"] = "middle"
    found = read_topology(sequential(middle))
    assert [one.name for one in found.layers] == ["middle/inner/gru_1", "middle/inner/dense_1"]
    assert found.outputs == {"middle": "middle/inner/dense_1"}


@pytest.mark.parametrize("wrapper", ["Bidirectional", "TimeDistributed"])
@pytest.mark.parametrize("outside", [False, True])
def test_the_shape_of_a_wrapped_input(wrapper: str, outside: bool) -> None:
    wrapped = layer(wrapper, "w_1", layer=GRU if outside else with_input(GRU, 9, 3))
    found = read_topology(sequential(with_input(wrapped, 9, 3) if outside else wrapped))
    assert found.inputs == (ModelInput("w_1_input", (9, 3)),)
    assert found.layers[0].inner is None


def test_a_single_tensor_may_stand_without_the_list_around_it() -> None:
    config = functional({"x": (X, []), "d": (DENSE, ["x"])}, ["x"], ["d"])
    config["config"] |= {"input_layers": ["x", 0, 0], "output_layers": ["d", 0, 0]}
    config["config"]["layers"][1]["inbound_nodes"] = [["x", 0, 0, {}]]
    found = read_topology(config)
    assert wiring(found) == [("d", "Dense", ("x",))]
    assert found.outputs == {"d": "d"}


@pytest.mark.parametrize("call", [["x", 1, 0, {}], ["x", 0, 1, {}], ["z", 0, 0, {}]])
def test_a_call_on_what_nothing_gives_is_refused(call: list[Any]) -> None:
    [problem] = refused(functional({"x": (X, []), "a": (GRU, [call])}, ["x"], ["a"]))
    assert problem.where == "model config"
    assert "--architecture" in problem.remedy


def test_inputs_can_be_called_otherwise() -> None:
    config = functional({"x": (X, []), "d": (DENSE, ["x"])}, ["x"], ["x", "d"])
    found = rename_inputs(read_topology(config), {"x": "lstm_input_1"})
    assert found.inputs == (ModelInput("lstm_input_1", (9, 3)),)
    assert wiring(found) == [("d", "Dense", ("lstm_input_1",))]
    assert found.outputs == {"x": "lstm_input_1", "d": "d"}


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


def test_no_two_outputs_get_one_name() -> None:
    """A layer called `d_1` beside the second call of `d`."""
    layers = {**TWO, "d": called(DENSE, [["x"], ["y"]]), "d_1": (DENSE, ["x"])}
    config = with_calls(functional(layers, ["x", "y"], ["d"]))
    config["config"]["output_layers"] = [["d", 0, 0], ["d_1", 0, 0], ["d", 1, 0]]
    assert read_topology(config).outputs == {"d": "d", "d_1": "d_1", "d_2": "d@1"}
