"""Keras 2 itself (`tf_keras`), for Keras files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.cases import Case
from rnn_migrator.equivalence.oracles.base import Oracle, register
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.recognition.recognise import Recognition

_CUDNN_ON_CPU: Mapping[str, Mapping[str, Any]] = {
    "LSTM": {"activation": "tanh", "recurrent_activation": "sigmoid"},
    "GRU": {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True},
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
            config = _on_cpu(artifact.model_config, _cudnn_layers(recognition))
            model = tf_keras.models.model_from_config(config)
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


def _cudnn_layers(recognition: Recognition) -> list[str]:
    """Layers whose weights are cuDNN's, by their class or because the user says so."""
    layers = recognition.model.recurrent_layers
    return [layer.name for layer in layers if "cudnn" in layer.forward.source.layout]


def _on_cpu(config: Mapping[str, Any], cudnn: Sequence[str]) -> dict[str, Any]:
    """The config with cuDNN layers as the plain ones that Keras 2 puts in their place.

    Of each layer only plain values are kept. Initializers, regularizers and the like play no part
    in what a filled model computes, and a hostile file could name anything in them.
    """
    inner = config["config"]
    named = {"name": "sequential", "layers": inner} if isinstance(inner, list) else inner
    layers = [_on_cpu_layer(layer, layer["config"]["name"] in cudnn) for layer in named["layers"]]
    class_name = "Functional" if config["class_name"] == "Model" else config["class_name"]
    return {"class_name": class_name, "config": {**named, "layers": layers}}


def _on_cpu_layer(layer: Mapping[str, Any], cudnn: bool) -> dict[str, Any]:
    """One layer of a config, and the layer it wraps."""
    config = {key: value for key, value in layer["config"].items() if _is_plain(value)}
    if isinstance(layer["config"].get("layer"), dict):
        config["layer"] = _on_cpu_layer(layer["config"]["layer"], cudnn)
    class_name = layer["class_name"].removeprefix("CuDNN")
    if cudnn and class_name in _CUDNN_ON_CPU:
        config |= _CUDNN_ON_CPU[class_name]
    elif class_name == "GRU":
        config.setdefault("reset_after", False)
    return {**layer, "class_name": class_name, "config": config}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)
