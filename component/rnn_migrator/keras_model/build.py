"""A canonical model to a `tf.keras` model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from rnn_migrator.canonical import (
    CanonicalModel,
    Cell,
    CellKind,
    HeadLayer,
    ModelInput,
    Node,
    RecurrentLayer,
    state_names,
)
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.keras_model import activations, cudnn, layers
from rnn_migrator.keras_model.clipped import ClippedLSTMCell
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.layouts.stock_keras import stock_weights


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
    tensors = {source.name: _input(source) for source in canonical.inputs}
    inputs = list(tensors.values())
    states: list[Any] = []
    built: dict[str, Any] = {}
    for node in canonical.nodes:
        name = node.layer.name
        with _refusals_of_keras(f"layer {name!r}"):
            built[name] = _make(node, target, canonical.bare_weights)
            results = _call(built[name], [tensors[inbound] for inbound in node.inbound])
            built[name].set_weights(layer_weights(node.layer))
        tensors[name], *finals = results
        states += finals
    recurrent = tuple(built[layer.name] for layer in canonical.recurrent_layers)
    return BuiltModel(
        canonical=canonical,
        keras_model=keras.Model(
            inputs if len(inputs) > 1 else inputs[0], _outputs(canonical, tensors, states)
        ),
        layers=recurrent,
        kernels=tuple(_kernel_choice(layer, target) for layer in recurrent),
    )


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
        return keras.Input(source.shape, dtype=source.dtype, name=_keras_name(source.name))


def layer_weights(layer: RecurrentLayer | HeadLayer) -> list[Any]:
    """The arrays for `set_weights` of the Keras layer, in its order."""
    if isinstance(layer, HeadLayer):
        return list(layer.weights.values())
    cells = [direction.cell for direction in layer.directions.values()]
    return [array for cell in cells for array in stock_weights(cell).values()]


def _outputs(canonical: CanonicalModel, tensors: Mapping[str, Any], states: list[Any]) -> Any:
    if canonical.bare_weights:
        [output] = canonical.outputs
        names = state_names(canonical.recurrent_layers)
        return {"outputs": tensors[output], **dict(zip(names, states, strict=True))}
    outputs = [tensors[name] for name in canonical.outputs]
    return outputs if len(outputs) > 1 else outputs[0]


def _call(layer: Any, inputs: list[Any]) -> list[Any]:
    results = layer(inputs if len(inputs) > 1 else inputs[0])
    return list(results) if isinstance(results, list | tuple) else [results]


def _make(node: Node, target: Target, return_state: bool) -> Any:
    layer = node.layer
    if isinstance(layer, HeadLayer):
        return _head(layer)
    if layer.backward is None:
        return _recurrent(
            layer,
            layer.forward.cell,
            target,
            _keras_name(layer.name),
            return_state,
            layer.go_backwards,
        )
    forward, backward = (
        _recurrent(layer, cell, target, f"{prefix}_{_keras_name(layer.name)}", return_state, back)
        for cell, prefix, back in (
            (layer.forward.cell, "forward", False),
            (layer.backward.cell, "backward", True),
        )
    )
    both = keras.layers.Bidirectional(
        forward, merge_mode=layer.merge_mode, backward_layer=backward, name=_keras_name(layer.name)
    )
    # Bidirectional makes its forward layer again from a config that forgets this choice.
    both.forward_layer.use_cudnn = getattr(forward, "use_cudnn", False)
    return both


def _recurrent(
    layer: RecurrentLayer,
    cell: Cell,
    target: Target,
    name: str,
    return_state: bool,
    go_backwards: bool,
) -> Any:
    arguments: dict[str, Any] = {
        "return_sequences": layer.return_sequences,
        "return_state": return_state,
        "go_backwards": go_backwards,
        "zero_output_for_mask": layer.zero_output_for_mask,
        "name": name,
    }
    if cell.cell_clip.value is not None:
        clipped_cell = ClippedLSTMCell(cell_clip=cell.cell_clip.value, **_cell_arguments(cell))
        return keras.layers.RNN(clipped_cell, **arguments)
    arguments |= _cell_arguments(cell) | dict(layer.training)
    if target is Target.CPU:
        stock = keras.layers.LSTM if cell.kind is CellKind.LSTM else keras.layers.GRU
        return stock(use_cudnn=False, **arguments)
    own = layers.PortableLSTM if cell.kind is CellKind.LSTM else layers.PortableGRU
    return own(device=target.value, **arguments)


def _cell_arguments(cell: Cell) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "units": cell.units,
        "activation": activations.resolve(cell.activation.value),
        "recurrent_activation": activations.resolve(cell.recurrent_activation.value),
    }
    if cell.kind is CellKind.GRU:
        arguments["reset_after"] = cell.reset_after.value
    return arguments


def _head(layer: HeadLayer) -> Any:
    config = {key: layer.config[key] for key in HEADS[layer.class_name].keys if key in layer.config}
    if "activation" in config:
        config["activation"] = activations.resolve(config["activation"] or "linear")
    if isinstance(config.get("axis"), list):
        [config["axis"]] = config["axis"]
    return getattr(keras.layers, layer.class_name)(name=_keras_name(layer.name), **config)


def _keras_name(name: str) -> str:
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
