"""Keras 2 itself (`tf_keras`), for Keras files."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.cases import Case
from rnn_migrator.equivalence.oracles.base import Oracle, register
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.recognition.recognise import Recognition

_CUDNN_ON_CPU = {
    "CuDNNLSTM": ("LSTM", {"recurrent_activation": "sigmoid"}),
    "CuDNNGRU": ("GRU", {"recurrent_activation": "sigmoid", "reset_after": True}),
}
"""What Keras 2 itself loads cuDNN weights into where there is no GPU."""


@register
class Keras2(Oracle):
    """The model rebuilt by `tf_keras` from its config, weights loaded by `tf_keras`.

    Only configs that recognition has accepted get here, so that no Lambda code can run.
    """

    name = "Keras 2 (tf_keras)"
    rank = 2

    def __init__(self, model: Any, recognition: Recognition) -> None:
        self._model = model
        self._recognition = recognition

    @classmethod
    def open(cls, recognition: Recognition, cases: Sequence[Case]) -> Keras2:
        """See `Oracle.open`."""
        artifact = recognition.artifact
        if artifact.model_config is None:
            raise _absent(str(artifact.path), "not a Keras model")
        try:
            import tf_keras
        except ImportError as e:
            raise _absent("tf_keras", "not installed") from e
        try:
            model = tf_keras.models.model_from_config(_on_cpu(artifact.model_config))
            model.build([None, *recognition.model.inputs[0].shape])
            model.load_weights(str(artifact.path))
        except (ValueError, TypeError, KeyError, OSError, NotImplementedError) as e:
            raise _absent(str(artifact.path), f"tf_keras cannot load it: {e}") from e
        return cls(model, recognition)

    def run(self, case: Case) -> Mapping[str, Array] | None:
        """See `Oracle.run`."""
        model = self._recognition.model
        inputs = [case.inputs[source.name] for source in model.inputs]
        results = self._model(inputs if len(inputs) > 1 else inputs[0], training=False)
        results = results if isinstance(results, list | tuple) else [results]
        return {name: r.numpy() for name, r in zip(model.outputs, results, strict=True)}


def _absent(where: str, received: str) -> UnsupportedError:
    remedy = "install the extra rnn-migrator[keras2], or record outputs: --golden FILE.npz"
    return UnsupportedError(Problem(where, "a model that Keras 2 runs", received, remedy))


def _on_cpu(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with cuDNN layers as the plain ones that Keras 2 puts in their place."""
    config = copy.deepcopy(dict(config))
    inner = config["config"]
    layers = inner if isinstance(inner, list) else inner["layers"]
    for layer in layers:
        _replace(layer)
    if isinstance(inner, list):
        config["config"] = {"name": "sequential", "layers": inner}
    if config["class_name"] == "Model":
        config["class_name"] = "Functional"
    return config


def _replace(layer: dict[str, Any]) -> None:
    """Rewrites one layer of a config in place, and the layer it wraps."""
    if isinstance(layer["config"].get("layer"), dict):
        _replace(layer["config"]["layer"])
    if layer["class_name"] in _CUDNN_ON_CPU:
        layer["class_name"], settings = _CUDNN_ON_CPU[layer["class_name"]]
        layer["config"].update(settings)
    elif layer["class_name"] == "GRU":
        layer["config"].setdefault("reset_after", False)
