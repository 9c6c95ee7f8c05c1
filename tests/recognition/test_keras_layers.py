"""Layers of Keras files: what becomes of them, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel, CellKind, Fact, HeadLayer, Origin, RecurrentLayer
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.recognition.keras_cells import RECURRENT, choose_layout
from tests.recognition.artifacts import (
    Config,
    Shapes,
    functional,
    keras_artifact,
    layer,
    model_of,
    recurrent_config,
    sequential,
    weight_shapes,
    with_input,
)

INPUTS, UNITS = 3, 5
CLASSES = ("LSTM", "CuDNNLSTM", "GRU", "CuDNNGRU")
DENSE = (
    layer("Dense", "dense_1", units=2, activation="softmax"),
    {"kernel:0": (UNITS, 2), "bias:0": (2,)},
)


def single(
    class_name: str = "LSTM", weights: Shapes | None = None, **config: Any
) -> tuple[Config, dict[str, Shapes]]:
    """A Sequential model of one recurrent layer, and its weights."""
    stated = with_input(
        recurrent_config(class_name, "rnn_1", **{"units": UNITS, **config}), None, INPUTS
    )
    found = weight_shapes(class_name, INPUTS, UNITS) if weights is None else weights
    return sequential(stated), {"rnn_1": found}


def bidirectional(
    class_name: str = "LSTM", outer: Config | None = None, **config: Any
) -> tuple[Config, dict[str, Shapes]]:
    inner = recurrent_config(class_name, "rnn_1", UNITS, **config)
    wrapper = layer("Bidirectional", "both_1", layer=inner, **(outer or {"merge_mode": "concat"}))
    weights = weight_shapes(class_name, INPUTS, UNITS)
    both = {f"{way}_rnn_1/{n}": s for way in ("forward", "backward") for n, s in weights.items()}
    return sequential(with_input(wrapper, None, INPUTS)), {"both_1": both}


def model(parts: tuple[Config | None, dict[str, Shapes]], *settings: str) -> CanonicalModel:
    return model_of(keras_artifact(*parts), *settings)


def recurrent(parts: tuple[Config, dict[str, Shapes]], *settings: str) -> RecurrentLayer:
    [found] = model(parts, *settings).recurrent_layers
    return found


def refused(parts: tuple[Config | None, dict[str, Shapes]], *settings: str) -> list[Problem]:
    with pytest.raises(UnsupportedError) as caught:
        model_of(keras_artifact(*parts), *settings)
    problems = list(caught.value.problems)
    assert all(p.where and p.expected and p.received and p.remedy for p in problems)
    return problems


def values(facts: dict[str, Fact[Any]]) -> dict[str, tuple[Any, Origin]]:
    return {name: (fact.value, fact.origin) for name, fact in facts.items()}


# What the config says


def test_an_lstm_takes_its_facts_from_the_config() -> None:
    found = recurrent(single("LSTM", activation="relu"))
    assert found.forward[0].source.layout == "keras_lstm"
    assert values(found.forward[0].cell.facts) == {
        "activation": ("relu", Origin.CONFIG),
        "recurrent_activation": ("hard_sigmoid", Origin.CONFIG),
        "forget_bias": (0.0, Origin.CLASS),
        "cell_clip": (None, Origin.CLASS),
    }
    assert found.forward[0].cell.facts["activation"].source == "layer 'rnn_1'"


@pytest.mark.parametrize("class_name", ["CuDNNLSTM", "CuDNNGRU"])
def test_a_cudnn_layer_has_no_choice_of_activations(class_name: str) -> None:
    found = recurrent(single(class_name))
    facts = values(found.forward[0].cell.facts)
    assert facts["activation"] == ("tanh", Origin.CLASS)
    assert facts["recurrent_activation"] == ("sigmoid", Origin.CLASS)
    if class_name == "CuDNNGRU":
        assert facts["reset_after"] == (True, Origin.CLASS)


@pytest.mark.parametrize(
    ("config", "reset_after", "origin", "layout"),
    [
        ({}, False, Origin.TENSORS, "keras_gru"),  # Keras 2.0 knew no other
        ({"reset_after": False}, False, Origin.CONFIG, "keras_gru"),
        ({"reset_after": True}, True, Origin.CONFIG, "keras_gru_reset_after"),
    ],
)
def test_a_gru_resets_as_the_config_says(
    config: Config, reset_after: bool, origin: Origin, layout: str
) -> None:
    weights = weight_shapes("GRU", INPUTS, UNITS, reset_after)
    found = recurrent(single("GRU", weights, **config))
    assert found.forward[0].source.layout == layout
    assert values(found.forward[0].cell.facts)["reset_after"] == (reset_after, origin)


def test_a_gru_whose_bias_contradicts_its_config_is_refused() -> None:
    weights = weight_shapes("GRU", INPUTS, UNITS, reset_after=True)
    [problem] = refused(single("GRU", weights, reset_after=False))
    assert "[2, 15]" in problem.received


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_flags_of_a_layer(class_name: str) -> None:
    config = {"return_sequences": False, "go_backwards": True, "zero_output_for_mask": True}
    found = recurrent(single(class_name, None, **config, dropout=0.2, trainable=False))
    assert (found.return_sequences, found.go_backwards) == (False, True)
    assert found.zero_output_for_mask
    assert found.training == {"dropout": 0.2, "trainable": False}
    plain = recurrent(single(class_name))
    assert (plain.return_sequences, plain.go_backwards) == (True, False)
    assert not plain.zero_output_for_mask


@pytest.mark.parametrize("class_name", CLASSES)
@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul"])
def test_both_directions(class_name: str, merge_mode: str) -> None:
    parts = bidirectional(class_name, {"merge_mode": merge_mode}, return_sequences=False)
    found = recurrent(parts)
    assert (found.name, found.merge_mode) == ("both_1", merge_mode)
    assert not found.return_sequences
    for direction, name in ((found.forward, "forward"), (found.backward, "backward")):
        assert all(f"/{name}_rnn_1/" in n for n in direction[0].source.names.values())
    one, other = (member.source.tensors["kernel"] for member in found.cells.values())
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_weights_are_those_of_the_layer(class_name: str) -> None:
    source = keras_artifact(*single(class_name))
    [found] = model_of(source).recurrent_layers
    assert list(found.forward[0].source.names) == ["kernel", "recurrent_kernel", "bias"]
    for role, name in found.forward[0].source.names.items():
        np.testing.assert_array_equal(found.forward[0].source.tensors[role], source.load(name))


# Whole layers


@pytest.mark.parametrize("key", ["return_state", "return_sequences", "go_backwards"])
@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_kept(key: str, value: bool) -> None:
    assert getattr(recurrent(single("GRU", None, **{key: value})), key) is value


@pytest.mark.parametrize("class_name", ["LSTM", "GRU"])
@pytest.mark.parametrize("parts", [single, bidirectional])
def test_a_layer_may_have_no_bias(parts: Any, class_name: str) -> None:
    config, weights = parts(class_name, use_bias=False)
    kept = {
        name: {n: shape for n, shape in found.items() if not n.endswith("bias:0")}
        for name, found in weights.items()
    }
    for member in recurrent((config, kept)).cells.values():
        assert not member.cell.has_bias
    [problem] = refused((config, weights))
    assert "2 weight arrays" in problem.expected


def test_a_simple_rnn() -> None:
    weights = {
        "kernel:0": (INPUTS, UNITS),
        "recurrent_kernel:0": (UNITS, UNITS),
        "bias:0": (UNITS,),
    }
    config, found = single("GRU", weights, activation="relu")
    config["config"]["layers"][0]["class_name"] = "SimpleRNN"
    [member] = recurrent((config, found)).forward
    assert member.source.layout == "keras_rnn"
    assert member.cell.kind is CellKind.RNN
    assert member.cell.activation.value == "relu"


def test_no_merge_gives_both() -> None:
    assert recurrent(bidirectional("LSTM", {"merge_mode": None})).merge_mode is None


def test_the_backward_layer_may_have_a_config_of_its_own() -> None:
    own = recurrent_config(
        "LSTM", "other", UNITS, activation="relu", recurrent_activation="sigmoid"
    )
    found = recurrent(bidirectional("LSTM", {"merge_mode": "sum", "backward_layer": own}))
    activations = [stack[0].cell.activation.value for stack in (found.forward, found.backward)]
    assert activations == ["tanh", "relu"]


def test_time_major_is_two_swaps_of_axes() -> None:
    found = model(single("LSTM", time_major=True))
    assert [node.layer.name for node in found.nodes] == [
        "rnn_1/batch_first",
        "rnn_1",
        "rnn_1/time_first",
    ]
    assert found.outputs == {"rnn_1": "rnn_1/time_first"}


def test_the_last_step_has_no_time_axis_to_swap_back() -> None:
    found = model(single("LSTM", time_major=True, return_sequences=False))
    assert [node.name for node in found.nodes] == ["rnn_1/batch_first", "rnn_1"]
    assert found.outputs == {"rnn_1": "rnn_1"}


def shared(*outputs: list[Any], **config: Any) -> CanonicalModel:
    """An LSTM called on `x` and, with the states of that, on what it gave."""
    lstm = recurrent_config("LSTM", "lstm_1", INPUTS, return_state=True, **config)
    source = layer("InputLayer", "x", batch_input_shape=[None, None, INPUTS])
    stated = functional({"x": (source, []), "lstm_1": (lstm, ["x"])}, ["x"], ["lstm_1"])
    stated["config"]["layers"][1]["inbound_nodes"] = [
        [["x", 0, 0, {}]],
        [["lstm_1", 0, 0, {}], ["lstm_1", 0, 1, {}], ["lstm_1", 0, 2, {}]],
    ]
    stated["config"]["output_layers"] = list(outputs)
    return model((stated, {"lstm_1": weight_shapes("LSTM", INPUTS, INPUTS)}))


def test_a_shared_layer_is_built_once() -> None:
    found = shared(["lstm_1", 0, 0], ["lstm_1", 1, 2])
    first, second = found.nodes
    assert first.layer is second.layer
    assert (first.name, first.inbound, first.initial_state) == ("lstm_1", ("x",), ())
    assert (second.name, second.inbound) == ("lstm_1@1", ("lstm_1",))
    assert second.initial_state == ("lstm_1:1", "lstm_1:2")
    assert found.outputs == {"lstm_1": "lstm_1", "lstm_1_1": "lstm_1@1:2"}


def test_states_of_a_time_major_layer_are_not_swapped() -> None:
    found = shared(["lstm_1", 1, 0], ["lstm_1", 1, 1], time_major=True)
    last = next(node for node in found.nodes if node.name == "lstm_1@1")
    assert last.inbound == ("lstm_1/batch_first@1",)
    assert last.initial_state == ("lstm_1:1", "lstm_1:2")
    assert found.outputs == {"lstm_1": "lstm_1/time_first@1", "lstm_1_1": "lstm_1@1:1"}


@pytest.mark.parametrize("node", [0, 1])
def test_weights_of_a_model_in_a_model_go_to_its_layers(node: int) -> None:
    inner, weights = single("GRU")
    source = layer("InputLayer", "x", batch_input_shape=[None, None, INPUTS])
    config = functional({"x": (source, []), "inner": (inner, ["x"])}, ["x"], ["inner"])
    config["config"]["output_layers"] = [["inner", node, 0]]
    found = model((config, {"inner": weights["rnn_1"]}))
    [layer_found] = found.recurrent_layers
    assert layer_found.name == "inner/rnn_1"
    assert layer_found.forward[0].source.names["kernel"] == "inner/kernel:0"
    assert found.outputs == {"inner": "inner/rnn_1"}


@pytest.mark.parametrize("class_name", ["LSTM", "GRU"])
def test_both_directions_may_keep_their_states(class_name: str) -> None:
    config, weights = bidirectional(class_name, stateful=True, return_state=True)
    [problem] = refused((config, weights))
    assert (problem.where, problem.expected[:19]) == ("layer 'both_1'", "a fixed batch size,")
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [4, 9, INPUTS]
    found = recurrent((config, weights))
    assert (found.stateful, found.return_state) == (True, True)


def test_a_batch_size_that_nothing_needs_is_left_open() -> None:
    config, weights = single()
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [4, 9, INPUTS]
    [source] = model((config, weights)).inputs
    assert (source.shape, source.batch) == ((9, INPUTS), None)


def cell(class_name: str, units: int, **config: Any) -> Config:
    stated = recurrent_config(class_name.removesuffix("Cell"), f"cell_{units}", units, **config)
    return {**stated, "class_name": class_name}


def rnn_of(*cells: Config) -> Config:
    inside = cells[0]
    if len(cells) > 1:
        inside = {"class_name": "StackedRNNCells", "config": {"cells": list(cells)}}
    return with_input(layer("RNN", "rnn_1", cell=inside, return_sequences=True), None, INPUTS)


def test_rnn_of_cells_is_one_layer() -> None:
    config = sequential(rnn_of(cell("LSTMCell", 5), cell("GRUCell", 4)))
    weights = {f"a/{n}": s for n, s in weight_shapes("LSTM", INPUTS, 5).items()}
    weights |= {f"b/{n}": s for n, s in weight_shapes("GRU", 5, 4).items()}
    found = recurrent((config, {"rnn_1": weights}))
    kinds = [member.cell.kind for member in found.forward]
    assert kinds == [CellKind.LSTM, CellKind.GRU]
    assert (found.input_size, found.output_size) == (INPUTS, 4)


def test_the_places_of_stacked_cells_in_both_directions() -> None:
    inner = rnn_of(cell("LSTMCell", 5), cell("LSTMCell", 4, use_bias=False))
    stated = with_input(layer("Bidirectional", "both_1", layer=inner), None, INPUTS)
    one = {f"0/{n}": s for n, s in weight_shapes("LSTM", INPUTS, 5).items()}
    one |= {f"1/{n}": s for n, s in weight_shapes("LSTM", 5, 4).items() if n != "bias:0"}
    weights = {f"{way}/{n}": s for way in ("forward", "backward") for n, s in one.items()}
    found = recurrent((sequential(stated), {"both_1": weights}))
    assert list(found.cells) == ["fw/0", "fw/1", "bw/0", "bw/1"]
    assert [member.cell.has_bias for member in found.cells.values()] == [True, False] * 2
    assert found.cells["bw/1"].source.names["kernel"] == "both_1/backward/1/kernel:0"
    assert found.output_size == 8


def test_a_stack_of_too_few_arrays_is_refused() -> None:
    config = sequential(rnn_of(cell("LSTMCell", 5), cell("GRUCell", 4)))
    [problem] = refused((config, {"rnn_1": weight_shapes("LSTM", INPUTS, 5)}))
    assert problem.where == "layer 'rnn_1'"
    assert problem.expected == "6 weight arrays in the file"
    assert problem.received.startswith("3: ")


def test_rnn_of_one_cell() -> None:
    config = sequential(rnn_of(cell("LSTMCell", 5)))
    found = recurrent((config, {"rnn_1": weight_shapes("LSTM", INPUTS, 5)}))
    assert [member.cell.units for member in found.forward] == [5]


def test_rnn_of_a_cell_of_the_users_is_named() -> None:
    config = sequential(rnn_of(cell("LSTMCell", 5), cell("MyCell", 5)))
    [problem] = refused((config, {"rnn_1": weight_shapes("LSTM", INPUTS, 5)}))
    assert problem.received == "MyCell"


def test_a_convolutional_lstm_keeps_its_arguments() -> None:
    arguments = {"strides": [2, 1], "padding": "same", "dilation_rate": [1, 1]}
    stated = layer(
        "ConvLSTM2D",
        "maps",
        filters=UNITS,
        kernel_size=[3, 2],
        activation="tanh",
        recurrent_activation="hard_sigmoid",
        data_format="channels_last",
        **arguments,
    )
    weights = {
        "kernel:0": (3, 2, INPUTS, 4 * UNITS),
        "recurrent_kernel:0": (3, 2, UNITS, 4 * UNITS),
        "bias:0": (4 * UNITS,),
    }
    first = with_input(stated, 4, 6, 7, INPUTS)
    [member] = recurrent((sequential(first), {"maps": weights})).forward
    assert member.cell.kind is CellKind.CONV_LSTM
    expected = {**arguments, "data_format": "channels_last"}
    assert {key: member.cell.convolution[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("order", "layout"),
    [("channels_last", "keras1_conv_lstm"), ("channels_first", "keras1_conv_lstm_th")],
)
def test_keras_1_kept_maps_in_two_orders(order: str, layout: str) -> None:
    twelve = [f"weight_{number}" for number in range(12)]
    found = choose_layout(RECURRENT["ConvLSTM2D"], {"data_format": order}, twelve)
    assert found.name == layout


# What the user says


def test_the_user_goes_before_the_config() -> None:
    facts = recurrent(single(), "layer[rnn_1].recurrent_activation=sigmoid").forward[0].cell.facts
    assert facts["recurrent_activation"].origin is Origin.USER
    assert "against 'hard_sigmoid' of the model config" in facts["recurrent_activation"].source


@pytest.mark.parametrize("name", ["0", "rnn_1"])
def test_a_layer_goes_by_number_or_name(name: str) -> None:
    facts = recurrent(single(), f"layer[{name}].activation=relu").forward[0].cell.facts
    assert facts["activation"].value == "relu"


@pytest.mark.parametrize("class_name", ["LSTM", "CuDNNLSTM"])
def test_a_forget_bias_cannot_be_added_to_a_bias_that_holds_it(class_name: str) -> None:
    [problem] = refused(single(class_name), "forget_bias=1")
    assert "--set forget_bias=1" in problem.received
    assert recurrent(single(class_name), "forget_bias=0").forward[0].cell.forget_bias.value == 0.0


@pytest.mark.parametrize(("plain", "cudnn"), [("LSTM", "CuDNNLSTM"), ("GRU", "CuDNNGRU")])
def test_a_cudnn_bias_where_none_is_expected(plain: str, cudnn: str) -> None:
    """The architecture was saved with plain layers, the weights with cuDNN ones."""
    parts = single(plain, weight_shapes(cudnn, INPUTS, UNITS))
    [problem] = refused(parts)
    assert problem.where == "layer 'rnn_1'"
    assert f"as a {cudnn} writes it" in problem.received
    assert f"--set 'layer[rnn_1].class={cudnn}'" in problem.remedy
    found = recurrent(parts, f"layer[rnn_1].class={cudnn}")
    assert found.forward[0].source.layout == f"keras_{cudnn.lower().replace('cudnn', 'cudnn_')}"
    assert found.forward[0].cell.recurrent_activation.value == "sigmoid"


def test_a_plain_bias_where_a_cudnn_one_is_expected() -> None:
    [problem] = refused(single("CuDNNLSTM", weight_shapes("LSTM", INPUTS, UNITS)))
    assert "shape [40]" in problem.expected
    assert "shape [20]" in problem.received


def test_a_class_that_is_none_is_refused() -> None:
    [problem] = refused(single(), "class=Transformer")
    assert problem.where == "--set class=Transformer"
    assert "CuDNNLSTM" in problem.expected


# What is refused


def test_states_that_are_kept_need_a_fixed_batch() -> None:
    config, weights = single("LSTM", stateful=True)
    [problem] = refused((config, weights))
    assert problem.where == "layer 'rnn_1'"
    assert "rnn_1_input" in problem.received
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [4, 9, INPUTS]
    found = model((config, weights))
    assert found.recurrent_layers[0].stateful
    assert found.inputs[0].batch == 4


@pytest.mark.parametrize(
    ("outer", "inner", "told"),
    [
        ({"merge_mode": "max"}, {}, "merge_mode='max'"),
        ({}, {"go_backwards": True}, "begin backwards"),
        ({}, {"_num_constants": 1}, "constants"),
    ],
)
def test_a_bidirectional_layer_that_cannot_be_converted_is_named(
    outer: Config, inner: Config, told: str
) -> None:
    [problem] = refused(bidirectional("LSTM", outer, **inner))
    assert problem.where == "layer 'both_1'"
    assert told in problem.received


def test_what_stands_in_the_way_is_told_at_once() -> None:
    outer, inner = {"merge_mode": "max"}, {"go_backwards": True, "num_constants": 2}
    assert len(refused(bidirectional("LSTM", outer, **inner))) == 3


@pytest.mark.parametrize("activation", ["my_own", {"class_name": "PReLU"}, ["tanh"], 3])
@pytest.mark.parametrize("key", ["activation", "recurrent_activation"])
def test_an_activation_that_means_nothing_is_refused(key: str, activation: Any) -> None:
    [problem] = refused(single("LSTM", **{key: activation}))
    assert problem.where == f"layer 'rnn_1', {key}"
    assert f"--set 'layer[rnn_1].{key}=NAME'" in problem.remedy


def test_no_activation_is_linear() -> None:
    assert recurrent(single("LSTM", activation=None)).forward[0].cell.activation.value == "linear"


def unstated() -> tuple[Config, dict[str, Shapes]]:
    parts = single("LSTM")
    del parts[0]["config"]["layers"][0]["config"]["recurrent_activation"]
    return parts


def test_an_activation_the_config_does_not_state_is_refused() -> None:
    """Its default changed from Keras 2.2 to 2.3, and the weights do not tell."""
    [problem] = refused(unstated())
    assert "nothing in the config" in problem.received
    assert "--set writer=keras-X.Y" in problem.remedy
    assert recurrent(unstated(), "recurrent_activation=sigmoid")


@pytest.mark.parametrize(
    ("writer", "keras_version", "gate", "origin"),
    [
        ("keras-2.2", "", "hard_sigmoid", Origin.RELEASE),
        ("keras-2.3", "", "sigmoid", Origin.RELEASE),
        ("tf.keras-1.15", "", "hard_sigmoid", Origin.RELEASE),
        ("tf.keras-2.4", "", "sigmoid", Origin.RELEASE),
        ("", "2.2.5", "hard_sigmoid", Origin.RELEASE),
        ("", "2.3.1", "sigmoid", Origin.RELEASE),
        ("", "2.1.6-tf", "hard_sigmoid", Origin.RELEASE),
        ("", "2.4.0", "sigmoid", Origin.RELEASE),
    ],
)
def test_the_release_says_what_the_config_does_not(
    writer: str, keras_version: str, gate: str, origin: Origin
) -> None:
    source = dataclasses.replace(keras_artifact(*unstated()), keras_version=keras_version)
    [found] = model_of(source, *([f"writer={writer}"] if writer else [])).recurrent_layers
    fact = found.forward[0].cell.recurrent_activation
    assert (fact.value, fact.origin) == (gate, origin)


def test_a_version_that_two_releases_gave_does_not_decide() -> None:
    """TensorFlow 1.13 to 2.1 all wrote 2.2.4-tf, and their defaults differ."""
    source = dataclasses.replace(keras_artifact(*unstated()), keras_version="2.2.4-tf")
    with pytest.raises(UnsupportedError, match="recurrent_activation"):
        model_of(source)


@pytest.mark.parametrize("units", [4, None, "5"])
def test_units_that_do_not_fit_are_refused(units: Any) -> None:
    [problem] = refused(single("LSTM", units=units))
    assert f"units {units} of the config" in problem.expected
    assert problem.received == "arrays of 5 units"


def test_a_wrong_shape_is_refused() -> None:
    weights = weight_shapes("LSTM", INPUTS, UNITS) | {"recurrent_kernel:0": (UNITS + 1, 4 * UNITS)}
    [problem] = refused(single("LSTM", weights))
    assert "recurrent_kernel" in problem.where


@pytest.mark.parametrize("lost", ["kernel:0", "bias:0"])
@pytest.mark.parametrize("parts", [single, bidirectional])
def test_a_lost_weight_is_refused(parts: Any, lost: str) -> None:
    config, weights = parts("LSTM")
    [(name, found)] = weights.items()
    kept = {n: s for n, s in found.items() if not n.endswith(lost)}
    [problem] = refused((config, {name: kept}))
    assert "3 weight arrays" in problem.expected
    assert not problem.received.startswith("3: ")


def test_a_layer_of_which_the_file_knows_nothing_is_refused() -> None:
    config, _ = single("LSTM")
    [problem] = refused((config, {"other": weight_shapes("LSTM", INPUTS, UNITS)}))
    assert problem.received == "0: none"


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_numbers_than_float32_are_refused(dtype: str) -> None:
    config, weights = single("LSTM")
    source = keras_artifact(config, weights, dtype)
    with pytest.raises(UnsupportedError, match="float32 weights.*Received: " + dtype):
        model_of(source)


# Layers without recurrence


def with_head(head: Config, weights: Shapes | None = None) -> tuple[Config, dict[str, Shapes]]:
    config, found = single()
    config["config"]["layers"].append(head)
    return config, {**found, head["config"]["name"]: weights or {}}


@pytest.mark.parametrize("activation", ["softmax", "linear", None])
def test_a_dense_head_comes_along(activation: Any) -> None:
    head = layer("Dense", "dense_1", units=2, activation=activation)
    found = model(with_head(head, {"kernel:0": (UNITS, 2), "bias:0": (2,)}))
    dense = found.nodes[-1].layer
    assert isinstance(dense, HeadLayer)
    assert dense.class_name == "Dense"
    assert list(dense.weights) == ["dense_1/kernel:0", "dense_1/bias:0"]
    assert found.outputs == {"dense_1": "dense_1"}


@pytest.mark.parametrize("class_name", ["Dense", "Activation", "Dropout"])
def test_time_distributed_is_what_it_distributes(class_name: str) -> None:
    inner = layer(class_name, "inner", units=2, activation="tanh", rate=0.5)
    head = layer("TimeDistributed", "time_distributed_1", layer=inner)
    weights = {"kernel:0": (UNITS, 2), "bias:0": (2,)} if class_name == "Dense" else {}
    found = model(with_head(head, weights)).nodes[-1].layer
    assert isinstance(found, HeadLayer)
    assert (found.name, found.class_name) == ("time_distributed_1", class_name)
    assert found.config == inner["config"]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (layer("Attention", "attention_1"), "Attention"),
        (layer("MyRNN", "rnn_2", units=2), "MyRNN"),
        (layer("NASCell", "nas_1"), "NASCell"),
        (layer("TimeDistributed", "td_1", layer=layer("Mine", "mine")), "Mine"),
        (layer("Bidirectional", "bi_1", layer=layer("Mine", "mine")), "Bidirectional of Mine"),
    ],
)
def test_an_unknown_layer_is_named(head: Config, told: str) -> None:
    [problem] = refused(with_head(head))
    assert problem.where.startswith(f"layer '{head['config']['name']}")
    assert problem.received == told
    assert "warm_start" in problem.remedy


def test_a_lambda_is_refused_and_its_code_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The config of a Lambda holds marshalled code; nothing may unmarshal it."""
    import marshal

    def fail(*args: Any) -> None:
        raise AssertionError("code was unmarshalled")

    monkeypatch.setattr(marshal, "loads", fail)
    monkeypatch.setattr(marshal, "load", fail)
    code = ["4wEAAAAAAAAAAQAAAAEAAABDAAAAcwQAAAB8AFMA", None, None]
    head = layer("Lambda", "lambda_1", function=code, function_type="lambda")
    [problem] = refused(with_head(head))
    assert problem.received == "Lambda"


@pytest.mark.parametrize("activation", ["my_own", {"class_name": "PReLU"}])
def test_a_head_of_unknown_activation_is_refused(activation: Any) -> None:
    head = layer("Dense", "dense_1", units=2, activation=activation)
    [problem] = refused(with_head(head, {"kernel:0": (UNITS, 2), "bias:0": (2,)}))
    assert problem.where == "layer 'dense_1' (Dense), activation"
    assert problem.received == repr(activation)


def test_problems_of_all_layers_are_told_at_once() -> None:
    config, weights = with_head(layer("Lambda", "lambda_1"))
    config["config"]["layers"].insert(1, recurrent_config("LSTM", "rnn_2", UNITS, num_constants=1))
    config["config"]["layers"].insert(2, recurrent_config("LSTM", "rnn_3", UNITS))
    wrong = weight_shapes("LSTM", INPUTS, UNITS) | {"bias:0": (7,)}
    found = weight_shapes("LSTM", UNITS, UNITS)
    problems = refused((config, {**weights, "rnn_1": wrong, "rnn_2": found, "rnn_3": found}))
    told = [(p.where.split(",")[0], p.received) for p in problems]
    assert told == [
        ("layer 'rnn_1' (LSTM)", "shape [7]"),
        ("layer 'rnn_2'", "constants that the cell sees at every step"),
        ("layer 'lambda_1'", "Lambda"),
    ]


# Whole models


def test_no_architecture_is_refused_with_what_is_there() -> None:
    _, weights = single()
    [problem] = refused((None, {**weights, "rnn_2": weight_shapes("LSTM", UNITS, UNITS)}))
    assert "rnn_1" in problem.received
    assert "--architecture" in problem.expected + problem.remedy
    assert "--set layers=" in problem.expected + problem.remedy


def test_a_lone_recurrent_layer_is_known_by_its_arrays() -> None:
    _, weights = single()
    names = [p.where for p in refused((None, {**weights, "dropout_1": {}}))]
    assert names == ["layer 'rnn_1', activation", "layer 'rnn_1', recurrent_activation"]
    assert model((None, weights), "writer=keras-2.2").bare_weights


def test_nothing_recurrent_is_refused() -> None:
    first = with_input(layer("Dense", "dense_1", units=2), 3)
    weights = {"dense_1": {"kernel:0": (3, 2), "bias:0": (2,)}}
    [problem] = refused((sequential(first), weights))
    assert problem.received == "Dense"


def test_an_open_width_is_that_of_the_layer_that_reads_it() -> None:
    config, weights = single()
    del config["config"]["layers"][0]["config"]["batch_input_shape"]
    [source] = model((config, weights)).inputs
    assert (source.name, source.shape) == ("rnn_1_input", (None, INPUTS))


def masked(*heads: Config, both: bool = False, **config: Any) -> tuple[Config, dict[str, Shapes]]:
    """Masking, some heads, and a recurrent layer behind them."""
    parts = bidirectional("LSTM", **config) if both else single("LSTM", **config)
    first = with_input(layer("Masking", "masking_1", mask_value=0.0), None, INPUTS)
    layers = [first, *heads, *parts[0]["config"]["layers"]]
    return sequential(*layers), parts[1]


def test_a_mask_reaches_the_layer_behind_it() -> None:
    found = model(masked())
    assert [node.layer.name for node in found.nodes] == ["masking_1", "rnn_1"]
    assert not found.recurrent_layers[0].zero_output_for_mask


@pytest.mark.parametrize("heads", [(), (layer("Dropout", "dropout_1", rate=0.5),)])
def test_what_both_directions_give_behind_a_mask_is_the_releases_to_say(heads: Any) -> None:
    parts = masked(*heads, both=True)
    [problem] = refused(parts)
    assert problem.where == "layer 'both_1'"
    assert "masked steps" in problem.expected
    for writer, gives_zeros in (("keras-2.2", False), ("tf.keras-1.15", True)):
        assert f"--set writer={writer}" in problem.remedy
        assert recurrent(parts, f"writer={writer}").zero_output_for_mask == gives_zeros
    assert model(masked(both=True, return_sequences=False))


def test_a_mask_ends_where_keras_ends_it() -> None:
    heads = (layer("Flatten", "flatten_1"), layer("Reshape", "reshape_1", target_shape=[-1, 3]))
    assert model(masked(*heads, both=True))


def test_weights_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = keras_artifact(*with_head(*DENSE))
    read: list[str] = []

    def load(name: str) -> Any:
        read.append(name)
        return source.load(name)

    model_of(dataclasses.replace(source, load=load))
    assert sorted(read) == sorted(source.tensors)


# What a wrapper hides


def test_time_major_inside_bidirectional_is_swapped_too() -> None:
    found = model(bidirectional("LSTM", time_major=True))
    names = [node.layer.name for node in found.nodes]
    assert names == ["both_1/batch_first", "both_1", "both_1/time_first"]


def every_step(class_name: str = "LSTM", **config: Any) -> tuple[Config, dict[str, Shapes]]:
    inner = recurrent_config(class_name, "inner", UNITS, **config)
    wrapper = with_input(layer("TimeDistributed", "td", layer=inner), None, 4, INPUTS)
    return sequential(wrapper), {"td": weight_shapes("LSTM", INPUTS, UNITS)}


def test_a_layer_at_every_step_may_be_the_only_recurrent_one() -> None:
    [(name, _)] = model(every_step()).cells()
    assert name.startswith("td/step")


@pytest.mark.parametrize("name", ["0", "td/step"])
def test_a_layer_at_every_step_can_be_named(name: str) -> None:
    found = model(every_step(), f"layer[{name}].recurrent_activation=sigmoid")
    [(_, member)] = found.cells()
    assert member.cell.recurrent_activation.origin is Origin.USER


def test_the_backward_layer_alone_may_have_no_bias() -> None:
    own = recurrent_config("LSTM", "other", UNITS, use_bias=False)
    config, weights = bidirectional("LSTM", {"merge_mode": "sum", "backward_layer": own})
    both = {n: s for n, s in weights["both_1"].items() if n != "backward_rnn_1/bias:0"}
    found = recurrent((config, {"both_1": both}))
    assert [s[0].cell.has_bias for s in (found.forward, found.backward)] == [True, False]


def test_rnn_without_cells_is_refused() -> None:
    config = sequential(with_input(layer("RNN", "rnn_1"), None, INPUTS))
    [problem] = refused((config, {"rnn_1": weight_shapes("LSTM", INPUTS, UNITS)}))
    assert problem.where == "layer 'rnn_1'"


@pytest.mark.parametrize(
    ("writer", "reversed_order", "known"),
    [
        ("keras-2.2", False, False),
        ("keras-2.3", False, True),
        ("keras-2.3", True, False),
        ("tf.keras-1.12", False, False),
        ("tf.keras-2.4", False, True),
    ],
)
def test_the_order_of_a_stacks_states_is_not_guessed(
    writer: str, reversed_order: bool, known: bool
) -> None:
    stack = rnn_of(cell("LSTMCell", 5), cell("GRUCell", 4))
    stack["config"]["return_state"] = True
    stack["config"]["cell"]["config"]["reverse_state_order"] = reversed_order
    weights = {f"a/{n}": s for n, s in weight_shapes("LSTM", INPUTS, 5).items()}
    weights |= {f"b/{n}": s for n, s in weight_shapes("GRU", 5, 4).items()}
    parts = (sequential(stack), {"rnn_1": weights})
    if known:
        assert recurrent(parts, f"writer={writer}").return_state
    else:
        [problem] = refused(parts, f"writer={writer}")
        assert "bottom cell first" in problem.expected
