from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel, HeadLayer, Node, RecurrentLayer
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.keras_model.build import BuiltModel, build_model, keras_name, layer_weights
from rnn_migrator.keras_model.layers import PortableGRU, PortableLSTM
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.layouts.keras_weights import is_stock
from tests.equivalence.lab import DISTINCT, EXPORTED, LAB, LabModel, check_answers
from tests.recognition.artifacts import (
    Config,
    artifact,
    keras_artifact,
    layer,
    lstm,
    model_of,
    recurrent_config,
    sequential,
    weight_shapes,
    with_input,
)

targets = pytest.mark.parametrize("target", Target)
distinct = pytest.mark.parametrize("lab", DISTINCT.values(), ids=DISTINCT)


def keras_model(*heads: Config, weights: Any = None, **config: Any) -> CanonicalModel:
    """An LSTM and some heads."""
    first = with_input(recurrent_config("LSTM", "lstm_1", 5, **config), None, 3)
    found = {"lstm_1": weight_shapes("LSTM", 3, 5), **(weights or {})}
    return model_of(keras_artifact(sequential(first, *heads), found))


def answers(built: BuiltModel, inputs: Any) -> Any:
    """What the functional model answers."""
    arrays = [inputs[source.name] for source in built.canonical.inputs]
    results = built.keras_model(arrays if len(arrays) > 1 else arrays[0], training=False)
    if isinstance(results, dict):
        return results
    return dict(zip(built.canonical.outputs, keras.tree.flatten(results), strict=True))


def inner_layers(built: BuiltModel) -> list[Any]:
    """Every recurrent layer, both directions of one that has two."""
    return [
        getattr(outer, way, outer)
        for outer in built.layers
        for way in ("forward_layer", "backward_layer")
    ]


@distinct
@targets
def test_weights_are_those_of_the_source_bit_for_bit(lab: LabModel, target: Target) -> None:
    model = lab.recognition.model
    built = build_model(model, target)
    found = {one.name: one for one in built.keras_model._flatten_layers()}
    for source in model.layers:
        weights = found[keras_name(source.name)].get_weights()
        for weight, array in zip(weights, layer_weights(source), strict=True):
            np.testing.assert_array_equal(weight, array)
            assert weight.dtype == np.float32


@distinct
def test_the_functional_model_gives_the_goldens(lab: LabModel) -> None:
    built = build_model(lab.recognition.model, Target.PORTABLE)
    golden = lab.goldens["serving_default"]
    check_answers(lab, answers(built, golden["inputs"]), "serving_default")


@distinct
def test_a_cpu_model_takes_no_kernel_by_device(lab: LabModel) -> None:
    for inner in inner_layers(build_model(lab.recognition.model, Target.CPU)):
        assert not isinstance(inner, PortableLSTM | PortableGRU)
        assert getattr(inner, "use_cudnn", False) is False


@distinct
@targets
def test_layers_are_stock_where_keras_computes_the_same(lab: LabModel, target: Target) -> None:
    model = lab.recognition.model
    built = build_model(model, target)
    for recurrent, outer in zip(model.recurrent_layers, built.layers, strict=True):
        inner = getattr(outer, "forward_layer", outer)
        cells = getattr(inner.cell, "cells", [inner.cell])
        for one, cell in zip(recurrent.forward, cells, strict=True):
            assert is_stock(one.cell) == type(cell).__module__.startswith("keras.")


@distinct
@pytest.mark.parametrize("target", [Target.GPU, Target.PORTABLE])
def test_lstm_and_gru_choose_their_kernel_by_device(lab: LabModel, target: Target) -> None:
    for inner in inner_layers(build_model(lab.recognition.model, target)):
        assert type(inner) not in (keras.layers.LSTM, keras.layers.GRU)
        if isinstance(inner, PortableLSTM | PortableGRU):
            assert inner.device == target.value
            assert inner.use_cudnn is False


def ways(lab: LabModel) -> set[tuple[Any, ...]]:
    """How the recurrent layers of a model are built, and what they are asked."""
    built = build_model(lab.recognition.model, Target.PORTABLE)
    return {
        (
            type(outer),
            type(inner),
            frozenset(type(cell) for cell in getattr(inner.cell, "cells", [inner.cell])),
            inner.stateful,
            lab.recognition.model.bare_weights,
        )
        for outer in built.layers
        for inner in (getattr(outer, "forward_layer", outer),)
    }


def test_each_way_to_build_is_among_those_that_are_exported() -> None:
    exported = set[tuple[Any, ...]]().union(*map(ways, EXPORTED.values()))
    assert set[tuple[Any, ...]]().union(*map(ways, DISTINCT.values())) == exported


KERNELS = {
    "tf1_stacked_lstm": "",
    "keras2_cudnn_lstm": "",
    "keras2_gru_cudnn": "",
    "keras2_lstm_hard_sigmoid": "recurrent_activation is not sigmoid",
    "tf1_bidirectional_gru": "the reset gate acts before the product",
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("target", "kernel"), [(Target.GPU, "cuDNN"), (Target.PORTABLE, "cuDNN or generic")]
)
def test_the_kernel_of_each_layer_and_why(name: str, target: Target, kernel: str) -> None:
    model, reason = LAB[name].recognition.model, KERNELS[name]
    choices = build_model(model, target).kernels
    assert [choice.layer for choice in choices] == [one.name for one in model.recurrent_layers]
    for choice in choices:
        assert choice.kernel == ("generic" if reason else kernel)
        assert reason in choice.reason
        assert bool(choice.reason) == bool(reason)


@distinct
def test_a_cpu_model_has_no_choice(lab: LabModel) -> None:
    for choice in build_model(lab.recognition.model, Target.CPU).kernels:
        assert (choice.kernel, choice.reason) == ("generic", "the target is cpu")


@targets
def test_a_clipped_cell_takes_the_generic_kernel(target: Target) -> None:
    model = model_of(artifact(lstm("lstm_cell", 3, 5)), "cell_clip=0.4")
    built = build_model(model, target)
    assert built.kernels[0].kernel == "generic"
    x = np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)
    expected = Formulas(model).run("serving_default", {"inputs": x})
    free = Formulas(model_of(artifact(lstm("lstm_cell", 3, 5)))).run(
        "serving_default", {"inputs": x}
    )
    for name, value in built.keras_model(x).items():
        np.testing.assert_allclose(np.asarray(value), expected[name], atol=1e-6)
    assert np.max(np.abs(expected["outputs"] - free["outputs"])) > 1e-2


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"dropout": 0.25, "recurrent_dropout": 0.5, "trainable": False}, True),
        ({}, False),
    ],
)
def test_what_matters_in_training_is_kept(settings: Config, kept: bool) -> None:
    [inner] = build_model(keras_model(**settings), Target.PORTABLE).layers
    assert (inner.dropout, inner.recurrent_dropout) == ((0.25, 0.5) if kept else (0.0, 0.0))
    assert inner.trainable != kept


def test_legacy_names_go_through_as_far_as_keras_lets_them() -> None:
    heads = (layer("Dense", "scope/dense", units=2, activation="linear"),)
    weights = {"scope/dense": {"kernel:0": (5, 2), "bias:0": (2,)}}
    built = build_model(keras_model(*heads, weights=weights), Target.CPU)
    names = [found.name for found in built.keras_model.layers]
    assert names == ["lstm_1_input", "lstm_1", "scope_dense"]


def test_the_model_can_be_trained_further() -> None:
    """The point of a Keras model over a graph: its weights are variables, and they learn."""
    built = build_model(LAB["keras2_lstm_hard_sigmoid"].recognition.model, Target.PORTABLE)
    golden = LAB["keras2_lstm_hard_sigmoid"].goldens["serving_default"]
    [x], [y] = golden["inputs"].values(), golden["outputs"].values()
    built.keras_model.compile(keras.optimizers.Adam(0.01), "mse")
    before = built.keras_model.get_weights()
    built.keras_model.fit(x, np.roll(y, 1, axis=-1), epochs=2, verbose=0)
    moved = [np.any(a != b) for a, b in zip(before, built.keras_model.get_weights(), strict=True)]
    assert all(moved)


# Refusals


def refused(model: CanonicalModel) -> str:
    with pytest.raises(UnsupportedError) as caught:
        build_model(model, Target.CPU)
    [problem] = caught.value.problems
    assert all([problem.where, problem.expected, problem.received, problem.remedy])
    return f"{problem.where}: {problem.received}"


def dense(**config: Any) -> Config:
    return layer("Dense", "dense_1", **{"units": 2, "activation": "linear", **config})


@pytest.mark.parametrize(
    ("head", "weights"),
    [
        (dense(), {"kernel:0": (6, 2), "bias:0": (2,)}),  # another architecture's weights
        (layer("RepeatVector", "dense_1", n=3), {}),  # sequences where vectors belong
    ],
)
def test_what_keras_does_not_take_is_refused_with_the_layer(head: Config, weights: Any) -> None:
    text = refused(keras_model(head, weights={"dense_1": weights}))
    assert text.startswith("layer 'dense_1': ")
    assert len(text) > len("layer 'dense_1': ")


def test_an_input_that_keras_does_not_take_is_refused() -> None:
    model = keras_model()
    source = dataclasses.replace(model.inputs[0], dtype="no such type")
    assert refused(dataclasses.replace(model, inputs=(source,))).startswith("input 'lstm_1_input'")


def test_a_width_that_does_not_fit_is_refused() -> None:
    model = keras_model()
    source = dataclasses.replace(model.inputs[0], shape=(None, 4))
    assert refused(dataclasses.replace(model, inputs=(source,))).startswith("layer 'lstm_1'")


def test_a_formula_that_keras_lacks_is_refused() -> None:
    model = keras_model(recurrent_activation="keras3_hard_sigmoid")
    assert "keras3_hard_sigmoid" in refused(model)


def test_layer_weights_of_heads_come_in_the_order_of_the_file() -> None:
    head = HeadLayer("dense", "Dense", {}, {"k": np.ones((2, 3)), "b": np.zeros(3)})
    assert [array.shape for array in layer_weights(head)] == [(2, 3), (3,)]


def test_layer_weights_of_two_directions_come_forward_first() -> None:
    [node] = LAB["tf1_bidirectional_gru"].recognition.model.nodes
    assert isinstance(node, Node)
    recurrent = node.layer
    assert isinstance(recurrent, RecurrentLayer)
    assert recurrent.backward is not None
    one_way = dataclasses.replace(recurrent, backward=None)
    other_way = dataclasses.replace(recurrent, forward=recurrent.backward, backward=None)
    expected = [*layer_weights(one_way), *layer_weights(other_way)]
    for received, array in zip(layer_weights(recurrent), expected, strict=True):
        np.testing.assert_array_equal(received, array)
