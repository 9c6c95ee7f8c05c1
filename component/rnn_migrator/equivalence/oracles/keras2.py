"""Keras 2 itself (`tf_keras`), for Keras files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import Array, CellKind, RecurrentLayer
from rnn_migrator.equivalence.inputs.case import Case, Material
from rnn_migrator.equivalence.oracles.base import Oracle, register
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.layouts.heads.masking import masked_values
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras1_weights import THEANO_TURNS
from rnn_migrator.recognition.keras_cells import RECURRENT
from rnn_migrator.recognition.keras_config import MODELS
from rnn_migrator.recognition.keras_model import every_layer, keras2_config, keras_topology
from rnn_migrator.recognition.recognise import Recognition

_CUDNN_ON_CPU: Mapping[str, Mapping[str, Any]] = {
    "LSTM": {"activation": "tanh", "recurrent_activation": "sigmoid"},
    "GRU": {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True},
}
"""What Keras 2 itself loads cuDNN weights into where there is no GPU."""


@register
class Keras2(Oracle):
    """The model rebuilt by `tf_keras` from its config, weights loaded by `tf_keras`.

    A config with any other class than those recognition knows is left alone, so that no Lambda
    code is ever read.
    """

    name = "Keras 2 (tf_keras)"
    rank = 2

    def __init__(self, model: Any, recognition: Recognition) -> None:
        import tensorflow as tf

        self._model = model
        # Op by op, Keras takes four times as long.
        self._call = tf.function(
            lambda inputs: model(inputs, training=False), reduce_retracing=True
        )
        self._recognition = recognition
        self.covers = f"the whole model, by tf_keras {_version()} from the source's own config"

    @classmethod
    def open(cls, recognition: Recognition, materials: Sequence[Material]) -> Keras2:
        """See `Oracle.open`."""
        artifact = recognition.artifact
        if artifact.model_config is None:
            raise _absent(str(artifact.path), "not a Keras model")
        if reason := _otherwise(recognition):
            raise _absent(str(artifact.path), reason)
        try:
            import tf_keras
        except ImportError as e:
            raise _absent("tf_keras", "not installed") from e
        try:
            config, _ = keras2_config(artifact)
            config = _on_cpu(config, _cudnn_layers(recognition))
            model = tf_keras.models.model_from_config(config)
            if not model.built:
                model.build([None, *recognition.model.inputs[0].shape])
            _load_weights(model, artifact)
        except _UNLOADABLE as e:
            raise _absent(str(artifact.path), f"tf_keras cannot load it: {_first_line(e)}") from e
        return cls(model, recognition)

    def run(self, case: Case) -> Mapping[str, Array] | None:
        """See `Oracle.run`."""
        model = self._recognition.model
        inputs = [case.inputs[source.name] for source in model.inputs]
        self._model.reset_states()
        for _ in range(case.calls):
            results = self._call(inputs if len(inputs) > 1 else inputs[0])
        results = results if isinstance(results, list | tuple) else [results]
        return {name: r.numpy() for name, r in zip(model.outputs, results, strict=True)}


def _version() -> str:
    import tf_keras

    return str(tf_keras.__version__)


_UNLOADABLE = (ValueError, TypeError, KeyError, AttributeError, OSError, NotImplementedError)


def _otherwise(recognition: Recognition) -> str:
    """Why tf_keras, which is of TensorFlow 2, would compute something else; "" if it does not."""
    model = recognition.model
    if foreign := _foreign_classes(recognition.artifact):
        return f"layers of the classes {', '.join(foreign)}, which are never run"
    masked = masked_values(model)
    behind = [node.layer for node in model.nodes if not masked.isdisjoint(node.inbound)]
    both = [layer for layer in behind if isinstance(layer, RecurrentLayer) and layer.backward]
    for layer in both:
        if layer.zero_output_for_mask != layer.return_sequences:
            return f"masked steps of layer {layer.name!r} are those of another release"
    maps = [c.source.layout for _, c in model.cells() if c.cell.kind is CellKind.CONV_LSTM]
    convolves = any(getattr(layer, "class_name", "") in THEANO_TURNS for layer in model.layers)
    if recognition.artifact.backend == "theano" and (convolves or maps):
        return "tf_keras does not turn the kernels that Theano wrote"
    if "keras1_conv_lstm_th" in maps:
        return "tf_keras does not load maps that Keras 1 wrote with their channels first"
    return ""


def _foreign_classes(artifact: LegacyArtifact) -> list[str]:
    """Classes of the config that only a replacement stands for here; their code stays unread."""
    topology, _ = keras_topology(artifact)
    known = {*HEADS, *RECURRENT, "RNN", "Bidirectional", "TimeDistributed"}
    classes = {layer.class_name for layer in every_layer(topology)}
    classes |= {
        str(layer.config["layer"]["class_name"])
        for layer in every_layer(topology)
        if layer.inner is None and isinstance(layer.config.get("layer"), dict)
    }
    return sorted(classes - known)


def _load_weights(model: Any, artifact: LegacyArtifact) -> None:
    """Lets tf_keras load the file; arrays of one that is no HDF5 file go in layer by layer."""
    if artifact.format.startswith("Keras HDF5"):
        model.load_weights(str(artifact.path))
        return
    for layer in model.layers:
        names = artifact.layers.get(layer.name, ())
        layer.set_weights([artifact.read(name) for name in names])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _absent(where: str, received: str) -> UnsupportedError:
    remedy = "install the extra rnn-migrator[keras2], or record outputs: --golden FILE.npz"
    return UnsupportedError(Problem(where, "a model that Keras 2 runs", received, remedy))


def _cudnn_layers(recognition: Recognition) -> list[str]:
    """Layers whose weights are cuDNN's, by their class or because the user says so."""
    layers = recognition.model.recurrent_layers
    return [layer.name for layer in layers if "cudnn" in layer.forward[0].source.layout]


def _on_cpu(config: Mapping[str, Any], cudnn: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """The config of a model with cuDNN layers as the plain ones that Keras 2 puts in their place.

    Of each layer only plain values are kept. Initializers, regularizers and the like play no part
    in what a filled model computes, and a hostile file could name anything in them.
    """
    inner = config["config"]
    named = {"name": "sequential", "layers": inner} if isinstance(inner, list) else inner
    layers = [_layer_on_cpu(layer, cudnn, prefix) for layer in named["layers"]]
    class_name = "Functional" if config["class_name"] == "Model" else config["class_name"]
    return {**config, "class_name": class_name, "config": {**named, "layers": layers}}


_INSIDE = ("layer", "backward_layer", "cell")
"""Keys under which a layer holds another."""


def _layer_on_cpu(layer: Mapping[str, Any], cudnn: Sequence[str], prefix: str) -> dict[str, Any]:
    """One layer of a config, and what is inside it."""
    stated = layer["config"]
    name = f"{prefix}{layer.get('name') or stated['name']}"
    if layer["class_name"] in MODELS:
        return _on_cpu(layer, cudnn, f"{name}/")
    return _plain_layer(layer, cudnn, name)


def _plain_layer(layer: Mapping[str, Any], cudnn: Sequence[str], name: str) -> dict[str, Any]:
    if layer["class_name"] in MODELS:
        return _on_cpu(layer, cudnn, f"{name}/")
    stated = layer["config"]
    config = {key: value for key, value in stated.items() if _is_plain(value)}
    for key in _INSIDE:
        if isinstance(stated.get(key), dict):
            config[key] = _plain_layer(stated[key], cudnn, name)
    if isinstance(stated.get("cells"), list):
        config["cells"] = [_plain_layer(cell, cudnn, name) for cell in stated["cells"]]
    class_name = layer["class_name"].removeprefix("CuDNN")
    if name in cudnn and class_name in _CUDNN_ON_CPU:
        config |= _CUDNN_ON_CPU[class_name]
    elif class_name in ("GRU", "GRUCell"):
        config.setdefault("reset_after", False)
    return {**layer, "class_name": class_name, "config": config}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)
