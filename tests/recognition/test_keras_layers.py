"""Layers of Keras files: what becomes of them, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel, Fact, HeadLayer, Origin, RecurrentLayer
from rnn_migrator.errors import Problem, UnsupportedError
from tests.recognition.artifacts import (
    Config,
    Shapes,
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
DENSE = (layer("Dense", "dense_1", units=2, activation="softmax"), {"kernel:0": (UNITS, 2)})


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


def model(parts: tuple[Config, dict[str, Shapes]], *settings: str) -> CanonicalModel:
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
    assert found.forward.source.layout == "keras_lstm"
    assert values(found.forward.cell.facts) == {
        "activation": ("relu", Origin.CONFIG),
        "recurrent_activation": ("hard_sigmoid", Origin.CONFIG),
        "forget_bias": (0.0, Origin.CLASS),
        "cell_clip": (None, Origin.CLASS),
    }
    assert found.forward.cell.facts["activation"].source == "layer 'rnn_1'"


@pytest.mark.parametrize("class_name", ["CuDNNLSTM", "CuDNNGRU"])
def test_a_cudnn_layer_has_no_choice_of_activations(class_name: str) -> None:
    found = recurrent(single(class_name))
    facts = values(found.forward.cell.facts)
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
    assert found.forward.source.layout == layout
    assert values(found.forward.cell.facts)["reset_after"] == (reset_after, origin)


def test_a_gru_whose_bias_contradicts_its_config_is_refused() -> None:
    weights = weight_shapes("GRU", INPUTS, UNITS, reset_after=True)
    [problem] = refused(single("GRU", weights, reset_after=False))
    assert "[2, 15]" in problem.received


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_flags_of_a_layer(class_name: str) -> None:
    config = {"return_sequences": False, "go_backwards": True, "zero_output_for_mask": True}
    found = recurrent(single(class_name, **config, dropout=0.2, trainable=False))
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
    assert found.backward is not None
    assert (found.name, found.merge_mode) == ("both_1", merge_mode)
    assert not found.return_sequences
    for direction, name in ((found.forward, "forward"), (found.backward, "backward")):
        assert all(f"/{name}_rnn_1/" in n for n in direction.source.names.values())
    kernels = [d.source.tensors["kernel"] for d in found.directions.values()]
    assert not np.array_equal(*kernels)


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_weights_are_those_of_the_layer(class_name: str) -> None:
    source = keras_artifact(*single(class_name))
    [found] = model_of(source).recurrent_layers
    assert list(found.forward.source.names) == ["kernel", "recurrent_kernel", "bias"]
    for role, name in found.forward.source.names.items():
        np.testing.assert_array_equal(found.forward.source.tensors[role], source.load(name))


# What the user says


def test_the_user_goes_before_the_config() -> None:
    facts = recurrent(single(), "layer[rnn_1].recurrent_activation=sigmoid").forward.cell.facts
    assert facts["recurrent_activation"].origin is Origin.USER
    assert "against 'hard_sigmoid' of the model config" in facts["recurrent_activation"].source


@pytest.mark.parametrize("name", ["0", "rnn_1"])
def test_a_layer_goes_by_number_or_name(name: str) -> None:
    facts = recurrent(single(), f"layer[{name}].activation=relu").forward.cell.facts
    assert facts["activation"].value == "relu"


@pytest.mark.parametrize("class_name", ["LSTM", "CuDNNLSTM"])
def test_a_forget_bias_cannot_be_added_to_a_bias_that_holds_it(class_name: str) -> None:
    [problem] = refused(single(class_name), "forget_bias=1")
    assert "--set forget_bias=1" in problem.received
    assert recurrent(single(class_name), "forget_bias=0").forward.cell.forget_bias.value == 0.0


@pytest.mark.parametrize(("plain", "cudnn"), [("LSTM", "CuDNNLSTM"), ("GRU", "CuDNNGRU")])
def test_a_cudnn_bias_where_none_is_expected(plain: str, cudnn: str) -> None:
    """The architecture was saved with plain layers, the weights with cuDNN ones."""
    parts = single(plain, weight_shapes(cudnn, INPUTS, UNITS))
    [problem] = refused(parts)
    assert problem.where == "layer 'rnn_1'"
    assert f"as a {cudnn} writes it" in problem.received
    assert f"--set 'layer[rnn_1].class={cudnn}'" in problem.remedy
    found = recurrent(parts, f"layer[rnn_1].class={cudnn}")
    assert found.forward.source.layout == f"keras_{cudnn.lower().replace('cudnn', 'cudnn_')}"
    assert found.forward.cell.recurrent_activation.value == "sigmoid"


def test_a_plain_bias_where_a_cudnn_one_is_expected() -> None:
    [problem] = refused(single("CuDNNLSTM", weight_shapes("LSTM", INPUTS, UNITS)))
    assert "shape [40]" in problem.expected
    assert "shape [20]" in problem.received


def test_a_class_that_is_none_is_refused() -> None:
    [problem] = refused(single(), "class=Transformer")
    assert problem.where == "--set class=Transformer"
    assert "CuDNNLSTM" in problem.expected


# What is refused


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"stateful": True}, "stateful"),
        ({"return_state": True}, "returns its state"),
        ({"time_major": True}, "time-major"),
        ({"use_bias": False}, "without bias"),
    ],
)
@pytest.mark.parametrize("parts", [single, bidirectional])
def test_a_feature_that_cannot_be_converted_is_named(parts: Any, config: Config, told: str) -> None:
    [problem] = refused(parts("LSTM", **config))
    assert told in problem.received
    opposite = {key: not value for key, value in config.items()}
    assert recurrent(parts("LSTM", **opposite))


def test_every_feature_is_told_at_once() -> None:
    problems = refused(single("LSTM", stateful=True, return_state=True))
    assert [p.received for p in problems] == ["a stateful layer", "a layer that returns its state"]


@pytest.mark.parametrize(
    ("outer", "inner", "told"),
    [
        ({"merge_mode": None}, {}, "merge_mode=None"),
        ({"merge_mode": "max"}, {}, "merge_mode='max'"),
        ({"backward_layer": {"class_name": "LSTM", "config": {}}}, {}, "backward layer of its own"),
        ({}, {"go_backwards": True}, "begin backwards"),
    ],
)
def test_a_bidirectional_layer_that_cannot_be_converted_is_named(
    outer: Config, inner: Config, told: str
) -> None:
    [problem] = refused(bidirectional("LSTM", outer, **inner))
    assert problem.where == "layer 'both_1'"
    assert told in problem.received


@pytest.mark.parametrize("activation", [None, "my_own", {"class_name": "PReLU"}, ["tanh"], 3])
@pytest.mark.parametrize("key", ["activation", "recurrent_activation"])
def test_an_activation_that_means_nothing_is_refused(key: str, activation: Any) -> None:
    [problem] = refused(single("LSTM", **{key: activation}))
    assert problem.where == f"layer 'rnn_1', {key}"
    assert f"--set 'layer[rnn_1].{key}=NAME'" in problem.remedy


def test_an_activation_the_config_does_not_state_is_refused() -> None:
    """Its default changed from Keras 2.2 to 2.3, and the weights do not tell."""
    parts = single("LSTM")
    del parts[0]["config"]["layers"][0]["config"]["recurrent_activation"]
    [problem] = refused(parts)
    assert "nothing in the config" in problem.received
    assert recurrent(parts, "recurrent_activation=sigmoid")


@pytest.mark.parametrize("units", [4, None, "5"])
def test_units_that_do_not_fit_are_refused(units: Any) -> None:
    [problem] = refused(single("LSTM", units=units))
    assert f"units {units} of the config" in problem.expected
    assert "[3, 20]" in problem.received


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
    assert f"{len(found)} weight arrays" in problem.expected
    assert problem.received.startswith(f"{len(kept)}: ")


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
    assert found.outputs == ("dense_1",)


@pytest.mark.parametrize("class_name", ["Dense", "Activation", "Dropout"])
def test_time_distributed_is_what_it_distributes(class_name: str) -> None:
    inner = layer(class_name, "inner", units=2, activation="tanh", rate=0.5)
    head = layer("TimeDistributed", "time_distributed_1", layer=inner)
    found = model(with_head(head)).nodes[-1].layer
    assert isinstance(found, HeadLayer)
    assert (found.name, found.class_name) == ("time_distributed_1", class_name)
    assert found.config == inner["config"]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (layer("Attention", "attention_1"), "Attention"),
        (layer("Conv1D", "conv_1", filters=2), "Conv1D"),
        (layer("SimpleRNN", "simple_1", units=2), "SimpleRNN"),
        (layer("RNN", "rnn_2", cell={"class_name": "LSTMCell", "config": {}}), "RNN"),
        (layer("ConvLSTM2D", "conv_1"), "ConvLSTM2D"),
        (layer("Model", "model_2", layers=[]), "Model"),
        (
            layer("TimeDistributed", "td_1", layer=layer("Conv1D", "conv_1")),
            "TimeDistributed of Conv1D",
        ),
        (
            layer("Bidirectional", "bi_1", layer=layer("SimpleRNN", "simple_1")),
            "Bidirectional of SimpleRNN",
        ),
    ],
)
def test_an_unknown_layer_is_named(head: Config, told: str) -> None:
    [problem] = refused(with_head(head))
    assert problem.where == f"layer {head['config']['name']!r}"
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
    [problem] = refused(with_head(head))
    assert problem.where == "layer 'dense_1', activation"
    assert problem.received == repr(activation)


def test_problems_of_all_layers_are_told_at_once() -> None:
    config, weights = with_head(layer("Lambda", "lambda_1"))
    config["config"]["layers"].insert(1, recurrent_config("LSTM", "rnn_2", UNITS, stateful=True))
    config["config"]["layers"].insert(2, recurrent_config("LSTM", "rnn_3", UNITS))
    wrong = weight_shapes("LSTM", INPUTS, UNITS) | {"bias:0": (7,)}
    found = weight_shapes("LSTM", UNITS, UNITS)
    problems = refused((config, {**weights, "rnn_1": wrong, "rnn_2": found, "rnn_3": found}))
    told = [(p.where.split(",")[0], p.received) for p in problems]
    assert told == [
        ("layer 'rnn_1' (LSTM)", "shape [7]"),
        ("layer 'rnn_2'", "a stateful layer"),
        ("layer 'lambda_1'", "Lambda"),
    ]


# Whole models


def test_no_architecture_is_refused_with_what_is_there() -> None:
    _, weights = single()
    [problem] = refused((None, {**weights, "dropout_1": {}}))
    assert problem.received == "weights only, of the layers rnn_1"
    assert "--architecture" in problem.expected


def test_nothing_recurrent_is_refused() -> None:
    first = with_input(layer("Dense", "dense_1", units=2), 3)
    [problem] = refused((sequential(first), {"dense_1": {"kernel:0": (3, 2)}}))
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


def test_sequences_of_both_directions_behind_a_mask_are_refused() -> None:
    """The releases of Keras 2 disagree about their masked outputs."""
    for heads in ((), (layer("Dropout", "dropout_1", rate=0.5),)):
        [problem] = refused(masked(*heads, both=True))
        assert problem.where == "layer 'both_1'"
        assert "behind a mask" in problem.received
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
