"""A canonical model to a `tf.keras` model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from rnn_migrator.canonical import (
    CanonicalModel,
    HeadLayer,
    Layer,
    ModelInput,
    Node,
    TimeDistributed,
    state_sizes,
)
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.keras_model import cudnn
from rnn_migrator.keras_model.heads import build_head
from rnn_migrator.keras_model.recurrent import build_recurrent
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.layouts.heads.masking import masked_values
from rnn_migrator.layouts.keras_weights import keras_weights


@dataclasses.dataclass(frozen=True)
class KernelChoice:
    """Which kernel a layer uses on a GPU, and why it is not cuDNN where it is not."""

    layer: str
    kernel: str
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class BuiltModel:
    """A Keras model with what its export needs to know.

    Attributes:
      canonical: What it was built from.
      keras_model: The functional model. For bare weights its outputs are a dict with
        "outputs" and the final states.
      layers: The recurrent Keras layers, first to last.
      kernels: One choice a recurrent layer.
    """

    canonical: CanonicalModel
    keras_model: keras.Model
    layers: tuple[Any, ...]
    kernels: tuple[KernelChoice, ...]


def build_model(canonical: CanonicalModel, target: Target) -> BuiltModel:
    """Builds the Keras model and fills it with the weights.

    Args:
      canonical: The model.
      target: Where it is to run.

    Raises:
      UnsupportedError: `tf.keras` does not take a layer, its wiring or its weights.
    """
    builder = _Builder(target, canonical.bare_weights)
    model = builder.model(canonical)
    recurrent = tuple(builder.layers[layer.name] for layer in canonical.recurrent_layers)
    return BuiltModel(
        canonical=canonical,
        keras_model=model,
        layers=recurrent,
        kernels=tuple(_kernel_choice(layer, target) for layer in recurrent),
    )


class _Builder:
    """Builds each layer once, however often it is called.

    Args:
      target: Where the model is to run.
      return_states: Whether every recurrent layer gives its states.
    """

    def __init__(self, target: Target, return_states: bool) -> None:
        self.layers: dict[str, Any] = {}
        self._masked: set[str] = set()
        self._target = target
        self._return_states = return_states

    def model(self, canonical: CanonicalModel, name: str | None = None) -> keras.Model:
        """The functional model, weights included."""
        values = {source.name: _input(source) for source in canonical.inputs}
        inputs = list(values.values())
        self._masked |= _masked_layers(canonical)
        states: list[Any] = []
        for node in canonical.nodes:
            with _refusals_of_keras(f"layer {node.layer.name!r}"):
                results = self._call(node, values)
            kept = 1 if self._return_states else len(results)
            states += results[kept:]
            for index, tensor in enumerate(results[:kept]):
                values[f"{node.name}:{index}" if index else node.name] = tensor
        outputs = [values[value] for value in canonical.outputs.values()]
        if canonical.bare_weights:
            [output] = outputs
            named = dict(zip(state_sizes(canonical.recurrent_layers), states, strict=True))
            return keras.Model(inputs[0], {"outputs": output, **named})
        return keras.Model(_one_or_all(inputs), _one_or_all(outputs), name=name)

    def _call(self, node: Node, values: dict[str, Any]) -> list[Any]:
        """What a node gives; a layer is filled with its weights once it has been called."""
        layer = node.layer
        inputs = _one_or_all([values[name] for name in node.inbound])
        initial = [values[name] for name in node.initial_state]
        arguments = {"initial_state": initial} if initial else {}
        if layer.name in self.layers:
            return _as_list(self.layers[layer.name](inputs, **arguments))
        built = self.layers[layer.name] = self._make(layer)
        results = _as_list(built(inputs, **arguments))
        if not (isinstance(layer, TimeDistributed) and len(layer.inner.nodes) > 1):
            built.set_weights(layer_weights(layer))
        return results

    def _inner(self, canonical: CanonicalModel, name: str) -> Any:
        """What is applied to every step: a model, or the layer itself if it is alone."""
        if len(canonical.nodes) > 1:
            return self.model(canonical, f"{name}_step")
        [only] = canonical.nodes
        inner = self.layers[only.layer.name] = self._make(only.layer)
        return inner

    def _make(self, layer: Layer) -> Any:
        name = keras_name(layer.name)
        if isinstance(layer, HeadLayer):
            return build_head(layer, name, masked=layer.name in self._masked)
        if isinstance(layer, TimeDistributed):
            return keras.layers.TimeDistributed(self._inner(layer.inner, name), name=name)
        return build_recurrent(layer, self._target, name, self._return_states)


def _masked_layers(canonical: CanonicalModel) -> set[str]:
    """Names of the layers that a mask can reach."""
    masked = masked_values(canonical)
    return {node.layer.name for node in canonical.nodes if not masked.isdisjoint(node.inbound)}


@contextlib.contextmanager
def _refusals_of_keras(where: str) -> Iterator[None]:
    """Says which layer Keras refused; its own message names arguments, but no place."""
    try:
        yield
    except (ValueError, TypeError, LookupError) as e:
        raise UnsupportedError(
            Problem(
                where=where,
                expected="a config and weights that tf.keras takes",
                received=str(e).strip().split("\n")[0][:300],
                remedy="check that the architecture is the one the weights were saved with; what "
                "is right there and refused all the same, build in tf.keras and fill with "
                "rnn_migrator.warm_start",
            )
        ) from e


def _input(source: ModelInput) -> Any:
    with _refusals_of_keras(f"input {source.name!r}"):
        return keras.Input(
            source.shape, batch_size=source.batch, dtype=source.dtype, name=keras_name(source.name)
        )


def layer_weights(layer: Layer) -> list[Any]:
    """The arrays for `set_weights` of the Keras layer, in its order."""
    if isinstance(layer, TimeDistributed):
        return [array for inner in layer.inner.layers for array in layer_weights(inner)]
    if isinstance(layer, HeadLayer):
        return list(layer.weights.values())
    members = layer.cells.values()
    return [array for member in members for array in keras_weights(member.cell).values()]


def _one_or_all(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0]


def _as_list(results: Any) -> list[Any]:
    """Outputs and states in one list; the states of a stack of cells come nested."""
    return list(keras.tree.flatten(results))


def keras_name(name: str) -> str:
    """A name that Keras 3 takes: it refuses slashes."""
    return name.replace("/", "_")


def _kernel_choice(layer: Any, target: Target) -> KernelChoice:
    if target is Target.CPU:
        return KernelChoice(layer.name, "generic", "the target is cpu")
    inner = getattr(layer, "forward_layer", layer)
    backward = getattr(layer, "backward_layer", layer)
    reasons = dict.fromkeys([*cudnn.cudnn_obstacles(inner), *cudnn.cudnn_obstacles(backward)])
    if reasons:
        return KernelChoice(layer.name, "generic", "; ".join(reasons))
    return KernelChoice(layer.name, "cuDNN" if target is Target.GPU else "cuDNN or generic")
