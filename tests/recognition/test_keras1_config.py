from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import pytest

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem
from rnn_migrator.readers.architecture import read_architecture
from rnn_migrator.recognition.keras1_config import is_keras1, to_keras2
from rnn_migrator.recognition.keras1_weights import keras1_arrays
from tests.legacy_lab.cases import Case, load_cases
from tests.recognition.artifacts import layer, recurrent_config, sequential, with_input

Config = dict[str, Any]

# Layers as Keras 1.2.2 wrote them.
_UNTRAINED = dict.fromkeys(("W_regularizer", "b_regularizer", "U_regularizer"))
_DENSE_EXTRAS = {"init": "glorot_uniform", "W_constraint": None, "b_constraint": None, **_UNTRAINED}
LSTM: Config = {
    "class_name": "LSTM",
    "config": {
        **_UNTRAINED,
        "name": "lstm_1",
        "trainable": True,
        "batch_input_shape": [None, 6, 3],
        "input_dtype": "float32",
        "input_dim": 3,
        "input_length": 6,
        "output_dim": 5,
        "init": "glorot_uniform",
        "inner_init": "orthogonal",
        "forget_bias_init": "one",
        "activation": "tanh",
        "inner_activation": "hard_sigmoid",
        "dropout_W": 0.1,
        "dropout_U": 0.2,
        "return_sequences": True,
        "go_backwards": False,
        "stateful": False,
        "unroll": False,
        "consume_less": "gpu",
    },
}
EMBEDDING: Config = {
    "class_name": "Embedding",
    "config": {
        "name": "embedding_1",
        "trainable": True,
        "batch_input_shape": [None, 7],
        "input_dtype": "int32",
        "input_dim": 11,
        "output_dim": 4,
        "input_length": 7,
        "mask_zero": True,
        "dropout": 0.1,
        "init": "uniform",
        "W_regularizer": None,
        "W_constraint": None,
        "activity_regularizer": None,
    },
}


def other(config: Config, **changes: Any) -> Config:
    return {**config, "config": {**config["config"], **changes}}


def later(config: Config, name: str, **changes: Any) -> Config:
    """The same layer where it is not the first."""
    inner = {k: v for k, v in config["config"].items() if k not in _FIRST}
    return {**config, "config": {**inner, "name": name, **changes}}


_FIRST = ("batch_input_shape", "input_dtype")


def dense(name: str, units: int = 2, **changes: Any) -> Config:
    config = {"output_dim": units, "activation": "linear", "bias": True, "input_dim": None}
    return layer("Dense", name, trainable=True, **_DENSE_EXTRAS, **{**config, **changes})


def merge(name: str = "merge_1", mode: Any = "concat", **changes: Any) -> Config:
    config = {"mode": mode, "mode_type": "raw", "concat_axis": -1, "dot_axes": -1}
    config |= {"output_shape": None, "output_shape_type": "raw", "arguments": {}}
    return layer("Merge", name, **{**config, **changes})


def chain(*layers: Config) -> Config:
    return {"class_name": "Sequential", "config": list(layers)}


def entry(config: Config, *calls: list[Any]) -> Config:
    """A layer of a functional model, with what its calls read."""
    return {**config, "name": config["config"]["name"], "inbound_nodes": list(calls)}


def graph(layers: list[Config], inputs: list[str], outputs: list[str], name: str = "m") -> Config:
    ends: Config = {"input_layers": inputs, "output_layers": outputs}
    config: Config = {"name": name, "layers": layers}
    config |= {key: [[end, 0, 0] for end in found] for key, found in ends.items()}
    return {"class_name": "Model", "config": config}


def source(name: str, *shape: int, dtype: str = "float32") -> Config:
    config = {"batch_input_shape": [None, *shape], "input_dtype": dtype, "sparse": False}
    return entry(layer("InputLayer", name, **config))


def translated(config: Config, **arguments: Any) -> Config:
    before = copy.deepcopy(config)
    found, problems = to_keras2(config, **{"keras_version": "1.2.2", **arguments})
    assert problems == []
    assert config == before
    json.dumps(found)
    return found


def refused(config: Config, *args: Any, **arguments: Any) -> list[Problem]:
    _, problems = to_keras2(config, *args, **{"keras_version": "1.2.2", **arguments})
    assert problems
    assert all(p.where and p.expected and p.received and p.remedy for p in problems)
    return problems


def one(config: Config, *context: Config) -> Config:
    """A layer, translated where others of the model precede it."""
    found: Config = translated(chain(LSTM, *context, config))["config"]["layers"][-1]
    return found


def wiring(config: Config) -> dict[str, list[Any]]:
    return {
        layer["name"]: [
            [(name, call) for name, call, *_ in node] for node in layer["inbound_nodes"]
        ]
        for layer in config["config"]["layers"]
    }


# Layers


def test_lstm() -> None:
    config = translated(chain(LSTM))
    assert config == {
        "class_name": "Sequential",
        "config": {
            "name": "sequential",
            "layers": [
                {
                    "class_name": "LSTM",
                    "config": {
                        "name": "lstm_1",
                        "trainable": True,
                        "batch_input_shape": [None, 6, 3],
                        "dtype": "float32",
                        "units": 5,
                        "activation": "tanh",
                        "recurrent_activation": "hard_sigmoid",
                        "use_bias": True,
                        "dropout": 0.1,
                        "recurrent_dropout": 0.2,
                        "implementation": 2,
                        "return_sequences": True,
                        "go_backwards": False,
                        "stateful": False,
                        "unroll": False,
                    },
                }
            ],
        },
    }


def test_a_gru_resets_before() -> None:
    gru = later({**LSTM, "class_name": "GRU"}, "gru_1", consume_less="cpu", go_backwards=True)
    config = one(gru)["config"]
    assert config["reset_after"] is False
    assert config["implementation"] == 0
    assert config["go_backwards"] is True
    assert "reset_after" not in one(later(LSTM, "lstm_2"))["config"]


def test_a_simple_rnn_has_one_activation() -> None:
    simple = later({**LSTM, "class_name": "SimpleRNN"}, "simple", activation="relu")
    del simple["config"]["inner_activation"]
    config = one(simple)["config"]
    assert config["activation"] == "relu"
    assert "recurrent_activation" not in config


def test_an_embedding_has_no_type_of_indices() -> None:
    [embedding, _] = translated(chain(EMBEDDING, later(LSTM, "lstm")))["config"]["layers"]
    assert embedding["config"] == {
        "name": "embedding_1",
        "trainable": True,
        "batch_input_shape": [None, 7],
        "input_dim": 11,
        "output_dim": 4,
        "input_length": 7,
        "mask_zero": True,
    }


def test_wrappers() -> None:
    inner = later(LSTM, "lstm_2")
    both = one(layer("Bidirectional", "both", trainable=True, layer=inner, merge_mode="sum"))
    assert both["config"].keys() == {"name", "trainable", "merge_mode", "layer"}
    assert both["config"]["layer"]["config"]["units"] == 5
    each = one(layer("TimeDistributed", "each", trainable=False, layer=dense("inside", 4)))
    assert each["config"]["layer"]["config"]["units"] == 4
    assert each["config"]["trainable"] is False


CONV1D = {"nb_filter": 5, "filter_length": 3, "subsample_length": 2, "border_mode": "same"}
CONV2D = {"nb_filter": 5, "nb_row": 3, "nb_col": 2, "subsample": [2, 1], "dim_ordering": "th"}
POOL = {"pool_size": [2, 3], "strides": [1, 2], "border_mode": "same", "dim_ordering": "tf"}
LAYERS: list[tuple[str, Config, str, Config]] = [
    (
        "TimeDistributedDense",
        {"output_dim": 4, "bias": False},
        "Dense",
        {"units": 4, "use_bias": False},
    ),
    (
        "MaxoutDense",
        {"output_dim": 4, "nb_feature": 3, "bias": True, "init": "x"},
        "MaxoutDense",
        {"units": 4, "nb_feature": 3, "use_bias": True},
    ),
    (
        "Highway",
        {"activation": "relu", "bias": True},
        "Highway",
        {"activation": "relu", "use_bias": True},
    ),
    ("Dropout", {"p": 0.3}, "Dropout", {"rate": 0.3}),
    ("SpatialDropout1D", {"p": 0.3}, "SpatialDropout1D", {"rate": 0.3}),
    ("SpatialDropout2D", {"p": 0.3}, "SpatialDropout2D", {"rate": 0.3}),
    ("GaussianDropout", {"p": 0.3}, "GaussianDropout", {"rate": 0.3}),
    ("GaussianNoise", {"sigma": 0.3}, "GaussianNoise", {"stddev": 0.3}),
    ("Activation", {"activation": "hard_sigmoid"}, "Activation", {"activation": "hard_sigmoid"}),
    ("Masking", {"mask_value": -1.0}, "Masking", {"mask_value": -1.0}),
    ("Reshape", {"target_shape": [3, 10]}, "Reshape", {"target_shape": [3, 10]}),
    ("Permute", {"dims": [2, 1]}, "Permute", {"dims": [2, 1]}),
    ("RepeatVector", {"n": 4}, "RepeatVector", {"n": 4}),
    ("Flatten", {}, "Flatten", {}),
    ("PReLU", {"init": "zero"}, "PReLU", {}),
    ("LeakyReLU", {"alpha": 0.2}, "LeakyReLU", {"alpha": 0.2}),
    ("ELU", {"alpha": 0.7}, "ELU", {"alpha": 0.7}),
    ("ThresholdedReLU", {"theta": 0.7}, "ThresholdedReLU", {"theta": 0.7}),
    (
        "ActivityRegularization",
        {"l1": 0.1, "l2": 0.2},
        "ActivityRegularization",
        {"l1": 0.1, "l2": 0.2},
    ),
    (
        "BatchNormalization",
        {"mode": 0, "axis": 2, "epsilon": 0.01, "momentum": 0.9, "gamma_regularizer": None},
        "BatchNormalization",
        {"axis": 2, "epsilon": 0.01, "momentum": 0.9},
    ),
    (
        "Convolution1D",
        {**CONV1D, "bias": True, "input_dim": 3, "input_length": None},
        "Conv1D",
        {"filters": 5, "kernel_size": [3], "strides": [2], "padding": "same", "use_bias": True},
    ),
    (
        "AtrousConvolution1D",
        {**CONV1D, "subsample_length": 1, "atrous_rate": 4},
        "Conv1D",
        {"filters": 5, "kernel_size": [3], "strides": [1], "padding": "same", "dilation_rate": [4]},
    ),
    (
        "LocallyConnected1D",
        {**CONV1D, "border_mode": "valid"},
        "LocallyConnected1D",
        {"filters": 5, "kernel_size": [3], "strides": [2], "padding": "valid"},
    ),
    (
        "Convolution2D",
        CONV2D,
        "Conv2D",
        {"filters": 5, "kernel_size": [3, 2], "strides": [2, 1], "data_format": "channels_first"},
    ),
    (
        "SeparableConvolution2D",
        {**CONV2D, "depth_multiplier": 2},
        "SeparableConv2D",
        {
            "filters": 5,
            "kernel_size": [3, 2],
            "strides": [2, 1],
            "data_format": "channels_first",
            "depth_multiplier": 2,
        },
    ),
    (
        "ConvLSTM2D",
        {**CONV2D, "inner_activation": "sigmoid", "inner_init": "orthogonal", "stateful": False},
        "ConvLSTM2D",
        {
            "filters": 5,
            "kernel_size": [3, 2],
            "strides": [2, 1],
            "data_format": "channels_first",
            "recurrent_activation": "sigmoid",
            "use_bias": True,
            "stateful": False,
        },
    ),
    (
        "MaxPooling1D",
        {"pool_length": 3, "stride": 2, "border_mode": "same"},
        "MaxPooling1D",
        {"pool_size": 3, "strides": 2, "padding": "same"},
    ),
    (
        "AveragePooling2D",
        POOL,
        "AveragePooling2D",
        {"pool_size": [2, 3], "strides": [1, 2], "padding": "same", "data_format": "channels_last"},
    ),
    ("GlobalMaxPooling1D", {}, "GlobalMaxPooling1D", {}),
    (
        "GlobalAveragePooling2D",
        {"dim_ordering": "th"},
        "GlobalAveragePooling2D",
        {"data_format": "channels_first"},
    ),
    ("UpSampling1D", {"length": 3}, "UpSampling1D", {"size": 3}),
    ("ZeroPadding1D", {"padding": 2}, "ZeroPadding1D", {"padding": 2}),
    ("ZeroPadding1D", {"padding": {"right_pad": 3}}, "ZeroPadding1D", {"padding": [0, 3]}),
    ("Cropping1D", {"cropping": [1, 2]}, "Cropping1D", {"cropping": [1, 2]}),
]


@pytest.mark.parametrize(("class_name", "config", "newer", "expected"), LAYERS)
def test_layers(class_name: str, config: Config, newer: str, expected: Config) -> None:
    found = one(layer(class_name, "it", trainable=False, **config))
    assert found == layer(newer, "it", trainable=False, **expected)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ([1, 2], [1, 2]),
        ([1, 2, 3, 4], [[1, 2], [3, 4]]),
        ({"top_pad": 1, "left_pad": 2, "right_pad": 3}, [[1, 0], [2, 3]]),
    ],
)
def test_padding_of_planes(padding: Any, expected: Any) -> None:
    # Keras 1 writes no order of the axes for this class, but does for the convolution.
    found = one(
        layer("ZeroPadding2D", "pad", padding=padding), layer("Convolution2D", "c", **CONV2D)
    )
    assert found["config"]["padding"] == expected
    assert found["config"]["data_format"] == "channels_first"


@pytest.mark.parametrize("class_name", ["Lambda", "Deconvolution2D", "MyOwnLayer"])
def test_unknown_classes_stay(class_name: str) -> None:
    own = layer(class_name, "own", output_dim=3, inner_activation="tanh")
    assert one(own) == own


# Functional models


@pytest.mark.parametrize(
    ("mode", "class_name", "expected"),
    [
        ("sum", "Add", {}),
        ("mul", "Multiply", {}),
        ("ave", "Average", {}),
        ("max", "Maximum", {}),
        ("concat", "Concatenate", {"axis": 1}),
        ("dot", "Dot", {"axes": [2, 1]}),
    ],
)
def test_merge_layers(mode: str, class_name: str, expected: Config) -> None:
    joined = merge(mode=mode, concat_axis=1, dot_axes=[2, 1])
    config = translated(
        graph([source("x", 6, 3), entry(joined, [["x", 0, 0], ["x", 0, 0]])], ["x"], ["merge_1"])
    )
    assert config["config"]["layers"][1] == {
        "name": "merge_1",
        "class_name": class_name,
        "config": {"name": "merge_1", **expected},
        "inbound_nodes": [[["x", 0, 0, {}], ["x", 0, 0, {}]]],
    }


def test_a_shared_layer_keeps_its_calls() -> None:
    layers = [
        source("x", 6, 3),
        source("y", 6, 3),
        entry(later(LSTM, "lstm"), [["x", 0, 0]], [["y", 0, 0]]),
        entry(merge(), [["lstm", 0, 0], ["lstm", 1, 0]]),
    ]
    config = translated(graph(layers, ["x", "y"], ["merge_1"]))
    assert config["config"]["layers"][0]["config"] == {
        "name": "x",
        "batch_input_shape": [None, 6, 3],
        "dtype": "float32",
        "sparse": False,
    }
    assert wiring(config)["lstm"] == [[("x", 0)], [("y", 0)]]
    assert wiring(config)["merge_1"] == [[("lstm", 0), ("lstm", 1)]]
    assert config["config"]["output_layers"] == [["merge_1", 0, 0]]


def test_models_inside_a_model_stay_nested() -> None:
    encoder = {**chain(LSTM, dense("dense_1")), "name": "encoder"}
    layers = [source("x", 6, 3), {**encoder, "inbound_nodes": [[["x", 0, 0]]]}]
    [_, inner] = translated(graph(layers, ["x"], ["encoder"]))["config"]["layers"]
    assert inner["class_name"] == "Sequential"
    assert inner["config"]["name"] == "encoder"
    assert [layer["config"]["units"] for layer in inner["config"]["layers"]] == [5, 2]


# Sequential models


def test_models_without_a_name_take_those_of_the_file() -> None:
    innermost = chain(later(LSTM, "lstm_0"))
    inner = chain(LSTM, innermost, dense("dense_1"))
    config = chain(inner, dense("dense_2"), chain(dense("dense_3", input_dim=2)))
    names = ["encoder", "dense_2", "decoder"]
    groups = ["encoder/lstm_1", "encoder/dense_1", "dense_2", "decoder"]
    found = translated(config, layer_names=groups)["config"]["layers"]
    assert [layer["config"]["name"] for layer in found] == names
    assert found[0]["config"]["layers"][1]["config"]["name"] == "sequential_1"
    unnamed = translated(config)["config"]["layers"]
    assert [layer["config"]["name"] for layer in unnamed] == [
        "sequential_1",
        "dense_2",
        "sequential_2",
    ]


def test_branches_become_one_functional_model() -> None:
    left = chain(LSTM, dense("dense_1", 4))
    right = chain(EMBEDDING, later(LSTM, "lstm_2", return_sequences=False))
    config = translated(chain(merge(layers=[left, right]), dense("dense_2")))
    assert config["class_name"] == "Model"
    assert wiring(config) == {
        "lstm_1_input": [],
        "lstm_1": [[("lstm_1_input", 0)]],
        "dense_1": [[("lstm_1", 0)]],
        "embedding_1_input": [],
        "embedding_1": [[("embedding_1_input", 0)]],
        "lstm_2": [[("embedding_1", 0)]],
        "merge_1": [[("dense_1", 0), ("lstm_2", 0)]],
        "dense_2": [[("merge_1", 0)]],
    }
    inputs = [config["config"]["layers"][index]["config"] for index in (0, 3)]
    assert [(i["batch_input_shape"], i["dtype"]) for i in inputs] == [
        ([None, 6, 3], "float32"),
        ([None, 7], "int32"),
    ]
    assert config["config"]["input_layers"] == [["lstm_1_input", 0, 0], ["embedding_1_input", 0, 0]]
    assert config["config"]["output_layers"] == [["dense_2", 0, 0]]


def test_functional_branches() -> None:
    branch = graph(
        [source("x", 6, 3), entry(later(LSTM, "inner"), [["x", 0, 0]])], ["x"], ["inner"]
    )
    config = translated(chain(merge(layers=[branch, chain(LSTM)], mode="sum")))
    assert wiring(config)["merge_1"] == [[("inner", 0), ("lstm_1", 0)]]
    assert [name for name, *_ in config["config"]["input_layers"]] == ["x", "lstm_1_input"]


def test_a_layer_of_two_branches_is_called_twice() -> None:
    shared = later(LSTM, "shared")
    left, right = chain(LSTM, shared), chain(EMBEDDING, shared)
    config = translated(chain(merge(layers=[left, right])))
    assert wiring(config)["shared"] == [[("lstm_1", 0)], [("embedding_1", 0)]]
    assert wiring(config)["merge_1"] == [[("shared", 0), ("shared", 1)]]


def test_the_first_layer_of_two_branches_is_called_once() -> None:
    config = translated(
        chain(merge(layers=[chain(LSTM, dense("a")), chain(LSTM, dense("b"))], mode="sum"))
    )
    assert wiring(config)["lstm_1"] == [[("lstm_1_input", 0)]]
    assert wiring(config)["b"] == [[("lstm_1", 0)]]


def test_branches_in_a_model_in_a_model() -> None:
    inner = chain(merge(layers=[chain(LSTM), chain(EMBEDDING, later(LSTM, "l2"))]), dense("d1"))
    config = translated(chain(inner, dense("d2")), layer_names=["both", "d2"])
    assert wiring(config)["both"] == [[("lstm_1_input", 0), ("embedding_1_input", 0)]]
    # A model counts the call that made it.
    assert wiring(config)["d2"] == [[("both", 1)]]


# Refusals


def test_merges_that_keras_2_lacks_are_refused() -> None:
    for changes in (
        {"mode": "cos"},
        {"mode": "cov"},
        {"mode": ["code", None], "mode_type": "lambda"},
        {"mode": "average", "mode_type": "function"},
    ):
        layers = [source("x", 3), entry(merge("joint", **changes), [["x", 0, 0], ["x", 0, 0]])]
        [problem] = refused(graph(layers, ["x"], ["joint"]))
        assert "'joint'" in problem.where
        assert "warm_start" in problem.remedy


def test_branches_that_share_a_layer_of_functional_models_are_refused() -> None:
    branches = [
        graph([source(x, 6, 3), entry(later(LSTM, "both"), [[x, 0, 0]])], [x], ["both"])
        for x in ("x", "y")
    ]
    [problem] = refused(chain(merge(layers=branches)))
    assert "'both'" in problem.where


@pytest.mark.parametrize("mode", [1, 2])
def test_normalisation_by_the_batch_itself_is_refused(mode: int) -> None:
    [problem] = refused(chain(LSTM, layer("BatchNormalization", "norm", mode=mode)))
    assert f"mode {mode}" in problem.received


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("1.2.2", True), ("1.0.6", True), ("1.1", True), ("1.0.5", False), ("1", False), ("", False)],
)
def test_the_running_std_was_a_deviation_up_to_1_0_5(version: str, accepted: bool) -> None:
    config = chain(LSTM, layer("BatchNormalization", "norm", mode=0))
    for problems in (
        to_keras2(config, keras_version=version)[1],
        to_keras2({**config, "keras_version": version})[1],
    ):
        assert (problems == []) == accepted


@pytest.mark.parametrize("class_name", ["ParametricSoftplus", "SReLU"])
def test_activations_that_keras_2_lacks_are_refused(class_name: str) -> None:
    [problem] = refused(chain(LSTM, layer(class_name, "gone")))
    assert class_name in problem.received


def test_full_convolutions_are_refused() -> None:
    conv = layer("Convolution1D", "conv", **{**CONV1D, "border_mode": "full"})
    [problem] = refused(chain(LSTM, conv))
    assert "full" in problem.received


@pytest.mark.parametrize("orderings", [(), ("tf", "th")])
def test_an_order_of_axes_that_nothing_states_is_refused(orderings: tuple[str, ...]) -> None:
    stated = [
        layer("Convolution2D", f"conv_{ordering}", **{**CONV2D, "dim_ordering": ordering})
        for ordering in orderings
    ]
    crop = layer("Cropping2D", "crop", cropping=[[1, 1], [0, 2]])
    [problem] = refused(chain(LSTM, *stated, crop))
    assert "'crop'" in problem.where
    # As the remedy says.
    crop["config"]["dim_ordering"] = "th"
    assert one(crop, *stated)["config"]["data_format"] == "channels_first"


def test_padding_that_theano_places_elsewhere_is_refused() -> None:
    conv = layer("Convolution1D", "conv", **CONV1D)
    wrapped = layer("TimeDistributed", "each", layer=conv)
    for config in (chain(LSTM, conv), chain(LSTM, wrapped), chain(LSTM, chain(conv))):
        [problem] = refused(config, "theano")
        assert "'conv'" in problem.where
        assert to_keras2(config, "tensorflow")[1] == []


def test_all_problems_are_found_at_once() -> None:
    gone = layer("SReLU", "gone"), layer("ParametricSoftplus", "gone_too")
    assert len(refused(chain(LSTM, *gone))) == 2


# Which Keras


def test_the_release_decides_where_it_is_stated() -> None:
    keras2 = sequential(recurrent_config("LSTM", "lstm", 5))
    assert is_keras1(keras2, "1.2.2")
    assert not is_keras1(chain(LSTM), "2.2.4-tf")
    assert is_keras1({**chain(LSTM), "keras_version": "1.0.8"}, "2.1.6")
    assert not is_keras1({**keras2, "keras_version": "2.1.6"}, "1.2.2")


def test_else_the_keys_of_the_layers_tell() -> None:
    for older in (chain(LSTM), chain(EMBEDDING, later(LSTM, "b")), chain(chain(LSTM))):
        assert is_keras1(older, "")
        assert not is_keras1(translated(older), "")
    both = layer("Bidirectional", "both", layer=later(LSTM, "inside"))
    assert is_keras1(chain(EMBEDDING, both), "unknown")


def test_keras_2_is_never_taken_for_keras_1() -> None:
    lstm = with_input(recurrent_config("LSTM", "lstm", 5), 6, 3)
    embedding = layer("Embedding", "e", input_dim=9, output_dim=3, input_length=6, mask_zero=True)
    gone = layer("Highway", "h", init="one", bias=True, input_dim=None)
    own = layer("MyAttention", "own", output_dim=3, init="one", p=0.1)
    maxout = layer("MaxoutDense", "m", output_dim=3, bias=True)
    for layers in ((lstm,), (embedding, lstm), (lstm, gone), (lstm, own), (lstm, maxout)):
        assert not is_keras1(sequential(*layers), "")
    # Not even where a layer of the same class has a key of the user's own.
    assert not is_keras1(sequential(lstm, layer("Dropout", "d", rate=0.1, p=0.1)), "")


# Damage


def damaged(value: Any) -> Iterator[Any]:
    """The value with one part of it missing, or replaced by something else."""
    yield from (None, "x", -1, [], {}, [[]], {"name": "x"})
    if isinstance(value, dict):
        for key, part in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: other} for other in damaged(part))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield value[:index] + value[index + 1 :]
            yield from ([*value[:index], other, *value[index + 1 :]] for other in damaged(part))


def test_damaged_configs_are_refused_and_raise_nothing() -> None:
    conv = layer("Convolution2D", "conv", **CONV2D)
    pad = layer("ZeroPadding2D", "pad", padding=[1, 2, 3, 4])
    branch = graph([source("x", 3), entry(dense("d"), [["x", 0, 0]])], ["x"], ["d"])
    merged = merge(layers=[chain(EMBEDDING, dense("e")), branch])
    norm = layer("BatchNormalization", "norm", mode=0)
    count = 0
    for config in damaged(chain(merged, layer("TimeDistributed", "t", layer=conv), pad, norm)):
        if isinstance(config, dict):
            _, problems = to_keras2(config, "theano", keras_version="1.2.2")
            is_keras1(config, "")
            count += bool(problems)
    assert count > 300


def test_deep_configs_are_refused() -> None:
    config = chain(LSTM)
    for _ in range(5000):
        config = chain(config)
    refused(config)


# The lab

CASES = {name: case for name, case in load_cases().items() if name.startswith("keras1_")}
REFUSED = {
    "keras1_gone_layers": {"srelu", "softplus", "by_sample"},
    "keras1_merge_lambda": {"apart"},
    "keras1_merge_cosine": {"cosine"},
}
MASKED = {"keras1_masked_directions": "both"}
"""Outputs for which tf_keras has other values than Keras 1 at masked steps."""
_PER_GATE = {12: (0, 2, 1, 3), 9: (0, 1, 2)}
"""Order of the gates in Keras 2: those of an LSTM are i c f o in the file, i f c o there."""


class LabFile:
    """A Keras 1 file of the lab, read without the package."""

    def __init__(self, case: Case) -> None:
        with h5py.File(case.source) as file:
            weights = file.get("model_weights", file)
            self.groups = [name.decode() for name in weights.attrs["layer_names"]]
            self.arrays: dict[str, Array] = {
                f"{group}/{name.decode()}": weights[group][name][()]
                for group in self.groups
                for name in weights[group].attrs["weight_names"]
            }
            version = file.attrs.get("keras_version", "")
            text = file.attrs.get("model_config")
        self.version = version if isinstance(version, str) else version.decode()
        self.backend = "tensorflow" if all(n.endswith(":0") for n in self.arrays) else "theano"
        self.config: Mapping[str, Any] = (
            read_architecture(case.architecture) if case.architecture else json.loads(text)
        )


def leaves(model: Any) -> Iterator[Any]:
    for part in model.layers:
        inner = getattr(part, "layer", None)
        if hasattr(part, "layers"):
            yield from leaves(part)
        elif hasattr(inner, "layers"):
            yield from leaves(inner)
        else:
            yield part


def own_names(layer: Any) -> list[str]:
    """What the names of a layer's arrays begin with."""
    if type(layer).__name__ == "Bidirectional":
        inner = layer.get_config()["layer"]["config"]["name"]
        return [f"forward_{inner}", f"backward_{inner}"]
    return [layer.name, layer.layer.name] if hasattr(layer, "layer") else [layer.name]


def by_layer(model: Any, arrays: Mapping[str, Array]) -> list[tuple[Any, dict[str, Array]]]:
    layers = list(leaves(model))
    names = [name for layer in layers for name in own_names(layer)]
    found: list[tuple[Any, dict[str, Array]]] = [(layer, {}) for layer in layers]
    for path, array in arrays.items():
        matching = [n for n in names if path.split("/")[-1].startswith(f"{n}_")]
        [own] = [f for layer, f in found if max(matching, key=len) in own_names(layer)]
        own[path] = array
    return found


def joined(arrays: list[Array]) -> list[Array]:
    """The arrays of the gates side by side, as Keras 2 has them."""
    if len(arrays) not in _PER_GATE:
        return arrays
    gates = _PER_GATE[len(arrays)]
    return [np.concatenate([arrays[3 * g + part] for g in gates], axis=-1) for part in range(3)]


def filled(config: Config, file: LabFile) -> Any:
    """The model of tf_keras with the weights of the file."""
    import tf_keras

    model = tf_keras.models.model_from_config(config)
    if not model.built:
        first = config["config"]["layers"][0]["config"]
        model.build(first["batch_input_shape"])
    for part, arrays in by_layer(model, file.arrays):
        class_name = type(part).__name__
        found = list(keras1_arrays(class_name, part.get_config(), arrays, file.backend).values())
        if class_name == "ConvLSTM2D" and part.data_format == "channels_first":
            found = [a.transpose(2, 3, 1, 0) if a.ndim > 1 else a for a in found]  # as its layout
        half = len(found) // 2
        both = class_name == "Bidirectional"
        part.set_weights(joined(found[:half]) + joined(found[half:]) if both else joined(found))
    return model


def difference(config: Config, case: Case, file: LabFile) -> float:
    """Largest difference, as a share of the largest output where that is more than 1."""
    golden = case.golden()
    inputs = list(golden["inputs"].values())
    outputs = filled(config, file)(inputs if len(inputs) > 1 else inputs[0], training=False)
    found = outputs if isinstance(outputs, list) else [outputs]
    largest = max(1.0, *(np.abs(values).max() for values in golden["outputs"].values()))
    differences = []
    for (name, expected), values in zip(golden["outputs"].items(), found, strict=True):
        apart = np.abs(values.numpy() - expected)
        if MASKED.get(case.name) == name:
            apart = apart[np.any(golden["inputs"]["inputs"], axis=-1)]
        differences.append(apart.max() / largest)
    return float(max(differences))


@pytest.mark.parametrize("name", sorted(CASES.keys() - REFUSED.keys()))
def test_the_lab_answers_the_same(name: str) -> None:
    case, file = CASES[name], LabFile(CASES[name])
    assert is_keras1(file.config, file.version)
    unstated = {key: value for key, value in file.config.items() if key != "keras_version"}
    assert is_keras1(unstated, "")
    config, problems = to_keras2(
        file.config, file.backend, keras_version=file.version, layer_names=file.groups
    )
    assert problems == []
    assert not is_keras1(config, "")
    assert difference(config, case, file) <= 1e-6


@pytest.mark.parametrize("name", sorted(REFUSED.keys() & CASES.keys()))
def test_the_lab_is_refused(name: str) -> None:
    file = LabFile(CASES[name])
    problems = refused(dict(file.config), file.backend, keras_version=file.version)
    assert {p.where for p in problems} == {f"layer {layer!r}" for layer in REFUSED[name]}


@pytest.mark.skipif("keras1_lstm_stack" not in CASES, reason="the lab has no such case")
def test_another_activation_of_the_gates_would_be_noticed() -> None:
    case, file = CASES["keras1_lstm_stack"], LabFile(CASES["keras1_lstm_stack"])
    config, _ = to_keras2(file.config)
    assert difference(config, case, file) <= 1e-6
    config["config"]["layers"][0]["config"]["recurrent_activation"] = "sigmoid"
    assert difference(config, case, file) > 1e-3
