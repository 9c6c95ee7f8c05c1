"""Artifacts in memory: names, shapes and configs as the old frameworks write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.readers import LegacyArtifact, TensorSpec
from rnn_migrator.recognition.recognise import recognise
from rnn_migrator.recognition.settings import parse_settings

Shapes = dict[str, tuple[int, ...]]
Config = dict[str, Any]


def artifact(
    shapes: Mapping[str, tuple[int, ...]], dtype: str = "float32", **fields: Any
) -> LegacyArtifact:
    """An artifact of random tensors."""
    specs = {name: TensorSpec(name, shape, dtype) for name, shape in shapes.items()}

    def load(name: str) -> Any:
        rng = np.random.default_rng(list(name.encode()))
        return rng.normal(0, 0.7, size=specs[name].shape).astype(dtype)

    return LegacyArtifact(Path("memory"), "test", (), specs, load, **fields)


def model_of(source: LegacyArtifact, *settings: str) -> CanonicalModel:
    return recognise(source, parse_settings(settings)).model


# TensorFlow 1


def lstm(scope: str, inputs: int, units: int, kernel: str = "kernel", bias: str = "bias") -> Shapes:
    return {
        f"{scope}/{kernel}": (inputs + units, 4 * units),
        f"{scope}/{bias}": (4 * units,),
    }


def gru(scope: str, inputs: int, units: int, kernel: str = "kernel", bias: str = "bias") -> Shapes:
    return {
        f"{scope}/gates/{kernel}": (inputs + units, 2 * units),
        f"{scope}/gates/{bias}": (2 * units,),
        f"{scope}/candidate/{kernel}": (inputs + units, units),
        f"{scope}/candidate/{bias}": (units,),
    }


GATES = ("input_gate", "forget_gate", "memory_cell", "output_gate")


def hand_written(
    scope: str,
    inputs: int,
    units: int,
    gates: tuple[str, ...] = GATES,
    parts: tuple[str, ...] = ("wx", "wt", "bi"),
) -> Shapes:
    shapes = ((inputs, units), (units, units), (units,))
    prefix = f"{scope}/" if scope else ""
    return {
        f"{prefix}{gate}/{part}": shape
        for gate in gates
        for part, shape in zip(parts, shapes, strict=True)
    }


# Keras 2

GATE_COUNTS = {"LSTM": 4, "CuDNNLSTM": 4, "GRU": 3, "CuDNNGRU": 3}


def weight_shapes(class_name: str, inputs: int, units: int, reset_after: bool = False) -> Shapes:
    width = GATE_COUNTS[class_name] * units
    bias = (2 * width,) if class_name.startswith("CuDNN") else (width,)
    bias = (2, width) if reset_after else bias
    return {
        "kernel:0": (inputs, width),
        "recurrent_kernel:0": (units, width),
        "bias:0": bias,
    }


def recurrent_config(class_name: str, name: str, units: int, **config: Any) -> Config:
    """A config with what recognition looks at, as Keras 2.2 states it."""
    stated: Config = {"name": name, "units": units, "return_sequences": True}
    if not class_name.startswith("CuDNN"):
        stated |= {"activation": "tanh", "recurrent_activation": "hard_sigmoid", "use_bias": True}
    return {"class_name": class_name, "config": {**stated, **config}}


def layer(class_name: str, name: str, **config: Any) -> Config:
    return {"class_name": class_name, "config": {"name": name, **config}}


def with_input(config: Config, *shape: int | None) -> Config:
    """The layer as the first of a Sequential model."""
    stated = {"batch_input_shape": [None, *shape], "dtype": "float32", **config["config"]}
    return {**config, "config": stated}


def sequential(*layers: Config, bare_list: bool = False) -> Config:
    config = list(layers) if bare_list else {"name": "sequential_1", "layers": list(layers)}
    return {"class_name": "Sequential", "config": config}


def functional(
    layers: Mapping[str, tuple[Config, list[Any]]], inputs: list[str], outputs: list[str]
) -> Config:
    """Layers by name, each with what it reads: names, or calls as the config spells them."""
    spelt = []
    for name, (config, inbound) in layers.items():
        calls = [[[n, 0, 0, {}] if isinstance(n, str) else n for n in inbound]] if inbound else []
        spelt.append({**config, "name": name, "inbound_nodes": calls})
    ends = {"input_layers": inputs, "output_layers": outputs}
    config = {"name": "model_1", "layers": spelt}
    config |= {key: [[name, 0, 0] for name in names] for key, names in ends.items()}
    return {"class_name": "Model", "config": config}


def keras_artifact(
    config: Config | None, weights: Mapping[str, Shapes], dtype: str = "float32"
) -> LegacyArtifact:
    """A Keras file: weights by layer and name."""
    layers = {name: tuple(f"{name}/{w}" for w in found) for name, found in weights.items()}
    shapes = {f"{name}/{w}": s for name, found in weights.items() for w, s in found.items()}
    return artifact(shapes, dtype, model_config=config, layers=layers)
