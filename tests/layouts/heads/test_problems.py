"""What a file says about a layer and its class cannot have is refused, not run into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import HeadLayer
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.layouts.heads import HEADS, problems
from tests.layouts.heads.cases import CASES, KERAS_1, REPLACEMENTS
from tests.layouts.heads.weights import weights_of

ALL = CASES | KERAS_1 | REPLACEMENTS


def layer_of(name: str, **changes: Any) -> HeadLayer:
    case = ALL[name]
    weights = {f"x/{index}": weight for index, weight in enumerate(weights_of(case))}
    return HeadLayer("x", case.class_name, {**case.config, **changes}, weights)


@pytest.mark.parametrize("name", ALL)
def test_what_keras_2_has_is_right(name: str) -> None:
    assert problems(layer_of(name)) == []


@pytest.mark.parametrize("name", ALL)
def test_missing_and_extra_weights_are_refused(name: str) -> None:
    layer = layer_of(name)
    more = HeadLayer("x", layer.class_name, layer.config, {**layer.weights, "y": np.ones(2)})
    [problem] = problems(more)
    assert problem.received.startswith(f"{len(layer.weights) + 1}: ")
    if layer.weights:
        fewer = dict(list(layer.weights.items())[1:])
        [problem] = problems(HeadLayer("x", layer.class_name, layer.config, fewer))
        assert problem.expected.startswith(f"{len(layer.weights)} weight arrays")


@pytest.mark.parametrize(
    ("name", "role", "shape", "expected"),
    [
        ("core: Dense 0", "kernel", (6, 4), "(in, 3)"),
        ("core: Dense 0", "bias", (4,), "(3)"),
        ("core: Embedding 4", "embeddings", (3, 7), "(7, 3)"),
        ("convolution: Conv1D 0", "kernel", (4, 3, 5), "(3, in, 5)"),
        ("convolution: SeparableConv1D 9", "pointwise_kernel", (8, 5), "(1, in × 2, 5)"),
        ("convolution: Conv2DTranspose 12", "kernel", (3, 2, 3, 5), "(3, 2, 4, in)"),
        ("convolution: LocallyConnected1D 16", "bias", (4, 5), "(5, 5)"),
        ("normalization: BatchNormalization 0", "moving_variance", (5,), "(6)"),
        ("normalization: LayerNormalization 7", "beta", (7, 5), "(7, 6)"),
        ("Highway", "W_carry", (7, 7), "(6, 6)"),
        ("MaxoutDense", "b", (3, 5), "(5, 3)"),
    ],
)
def test_weights_of_another_shape_are_refused(
    name: str, role: str, shape: tuple[int, ...], expected: str
) -> None:
    layer = layer_of(name)
    head = HEADS[layer.class_name]
    place = list(head.weights(head.settings(layer.config))).index(role)
    weights = dict(layer.weights)
    weights[f"x/{place}"] = np.zeros(shape)
    [problem] = problems(HeadLayer("x", layer.class_name, layer.config, weights))
    assert problem.where == f"layer 'x' ({layer.class_name}), {role}"
    assert problem.expected == f"shape {expected}"
    assert problem.received == f"shape {shape}"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("core: Reshape 23", {"target_shape": "abc"}),
        ("core: Reshape 23", {"target_shape": [-1, -1]}),
        ("core: Reshape 23", {"target_shape": []}),
        ("core: RepeatVector 22", {"n": -1}),
        ("core: Permute 25", {"dims": [1, 1]}),
        ("core: Permute 25", {"dims": [0, 1]}),
        ("core: Dense 0", {"units": True}),
        ("core: Dense 0", {"units": 3.5}),
        ("core: Dense 0", {"activation": "no such"}),
        ("core: Dense 0", {"activation": {"class_name": "PReLU", "config": {}}}),
        ("core: Dense 0", {"activation": {"class_name": "LeakyReLU", "config": {"alpha": "x"}}}),
        ("core: Dense 0", {"activation": {"class_name": ["LeakyReLU"]}}),
        ("core: Dropout 11", {"rate": float("nan")}),
        ("core: Masking 7", {"mask_value": float("inf")}),
        ("merge: Dot 11", {"axes": [1, 1, 1]}),
        ("convolution: Conv1D 2", {"data_format": "channels_first"}),
        ("convolution: Conv1D 1", {"dilation_rate": 2}),
        ("convolution: Conv1D 3", {"groups": 4}),
        ("convolution: SeparableConv2D 11", {"strides": [1, 2]}),
        ("convolution: Conv2DTranspose 14", {"output_padding": 2}),
        ("convolution: Conv2DTranspose 15", {"output_padding": [1, 0]}),
        ("convolution: LocallyConnected1D 16", {"padding": "same"}),
        ("convolution: LocallyConnected1D 16", {"implementation": 2}),
        ("convolution: UpSampling2D 28", {"interpolation": "bilinear"}),
        ("normalization: BatchNormalization 0", {"axis": [1, 2]}),
        ("advanced_activations: ReLU 13", {"threshold": -1.0}),
        ("a range", {"index": 2}),
    ],
)
def test_what_the_class_cannot_have_is_refused(name: str, changes: dict[str, Any]) -> None:
    layer = layer_of(name, **changes)
    [problem] = problems(layer)
    assert problem.where.startswith(f"layer 'x' ({layer.class_name})")
    with pytest.raises(UnsupportedError):
        HEADS[layer.class_name].settings(layer.config)


def test_missing_keys_are_refused_together() -> None:
    missing = problems(HeadLayer("x", "Embedding", {}, {}))
    assert [problem.where for problem in missing] == [
        "layer 'x' (Embedding), input_dim",
        "layer 'x' (Embedding), output_dim",
    ]
    assert {problem.received for problem in missing} == {"nothing in the config"}


JUNK = [
    None,
    "abc",
    "",
    -1,
    0,
    10**30,
    10**400,
    1.5,
    float("nan"),
    float("-inf"),
    True,
    [],
    [None],
    [-1, "a"],
    [[[]]],
    {},
    {"class_name": "ReLU"},
    {"class_name": "Softmax", "config": {"axis": {}}},
]


@pytest.mark.parametrize("class_name", sorted(HEADS))
def test_junk_is_refused_and_nothing_else_happens(class_name: str) -> None:
    """A key of junk is either refused, or taken by the class in the end."""
    config = next(case.config for case in ALL.values() if case.class_name in class_name)
    refused = 0
    for key in HEADS[class_name].keys:
        for value in JUNK:
            found = problems(HeadLayer("x", class_name, {**config, key: value}, {}))
            refused += bool(found)
            assert all(len(problem.received) < 300 for problem in found)
    assert refused > 0 or not HEADS[class_name].keys


@pytest.mark.parametrize(
    ("class_name", "defaults"),
    [
        ("LeakyReLU", {"alpha": 0.3}),
        ("ELU", {"alpha": 1.0}),
        ("ThresholdedReLU", {"theta": 1.0}),
        ("BatchNormalization", {"axis": -1, "epsilon": 1e-3, "momentum": 0.99}),
        ("LayerNormalization", {"axis": -1, "epsilon": 1e-3}),
        ("MaxPooling1D", {"pool_size": (2,), "strides": None, "padding": "valid"}),
        ("UpSampling2D", {"size": (2, 2), "interpolation": "nearest"}),
        ("Softmax", {"axis": -1}),
        ("Concatenate", {"axis": -1}),
        ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
    ],
)
def test_defaults_are_those_of_keras_2(class_name: str, defaults: dict[str, Any]) -> None:
    settings = HEADS[class_name].settings({})
    assert {key: settings[key] for key in defaults} == defaults
