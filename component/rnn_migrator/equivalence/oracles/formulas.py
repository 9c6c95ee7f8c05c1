"""The legacy model by the formulas of the frameworks that wrote it.

Runs from the tensors as they lie in the source, layout by layout, in float64 (the reference of
every comparison) or in float32 (an estimate of what rounding alone does to this model).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import (
    Array,
    CanonicalModel,
    Direction,
    HeadLayer,
    RecurrentLayer,
    SourceCell,
)
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.heads import HEADS

Arrays = Mapping[str, Array]


class Formulas:
    """A canonical model that computes, by the definition of its source.

    Args:
      model: The model; its source tensors are cast once.
      dtype: float64 for the reference, float32 for an estimate of rounding.
    """

    def __init__(self, model: CanonicalModel, dtype: Any = np.float64) -> None:
        self._model = model
        self._dtype = np.dtype(dtype)
        self._cells: dict[int, dict[str, Array]] = {}

    def run(self, signature: str, inputs: Arrays) -> dict[str, Array]:
        """What a signature of the converted model should give.

        Args:
          signature: `serving_default`, `with_lengths` or `step`.
          inputs: By the names of the signature.

        Returns:
          Outputs by the names of the signature, in the dtype of this instance.
        """
        if not self._model.bare_weights:
            return self._whole_model(inputs)
        if signature == "step":
            return self._step(inputs)
        x = inputs["inputs"].astype(self._dtype)
        lengths = inputs.get("sequence_length")
        mask = None if lengths is None else np.arange(x.shape[1]) < np.asarray(lengths)[:, None]
        return self._sequences(x, mask)

    def _sequences(self, x: Array, mask: Array | None) -> dict[str, Array]:
        states: dict[str, Array] = {}
        for index, layer in enumerate(self._model.recurrent_layers):
            x, finals = self._layer(layer, x, mask)
            states |= {f"{name}_{index}": value for name, value in finals.items()}
        return {"outputs": x, **states}

    def _step(self, inputs: Arrays) -> dict[str, Array]:
        x = inputs["inputs"].astype(self._dtype)
        states: dict[str, Array] = {}
        for index, layer in enumerate(self._model.recurrent_layers):
            before = {s: inputs[f"{s}_{index}"].astype(self._dtype) for s in layer.kind.states}
            after = self._advance(layer.forward.source, x, before)
            x = after["h"]
            states |= {f"{name}_{index}": value for name, value in after.items()}
        return {"outputs": x, **states}

    def _whole_model(self, inputs: Arrays) -> dict[str, Array]:
        values: dict[str, Array] = {}
        masks: dict[str, Array | None] = {}
        for source in self._model.inputs:
            value = inputs[source.name]
            values[source.name] = value.astype(self._dtype) if value.dtype.kind == "f" else value
        for node in self._model.nodes:
            layer, name = node.layer, node.layer.name
            arguments = [values[inbound] for inbound in node.inbound]
            mask = _joint_mask([masks.get(inbound) for inbound in node.inbound])
            if isinstance(layer, HeadLayer):
                values[name] = self._head(layer, arguments)
                masks[name] = _head_mask(layer, arguments, mask)
            else:
                values[name], _ = self._layer(layer, arguments[0], mask)
                masks[name] = mask if layer.return_sequences else None
        return {name: values[name] for name in self._model.outputs}

    def _head(self, layer: HeadLayer, inputs: list[Array]) -> Array:
        weights = [weight.astype(self._dtype) for weight in layer.weights.values()]
        return HEADS[layer.class_name].formula(layer.config, weights, inputs)

    def _layer(
        self, layer: RecurrentLayer, x: Array, mask: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        """Output of a layer, and its final states by name without the layer's number."""
        if layer.backward is None:
            return self._direction(layer, layer.forward, x, mask, layer.go_backwards)
        forward, fw_states = self._direction(layer, layer.forward, x, mask, False)
        backward, bw_states = self._direction(layer, layer.backward, x, mask, True)
        if layer.return_sequences:
            backward = backward[:, ::-1]
        states = {f"fw_{name}": value for name, value in fw_states.items()}
        states |= {f"bw_{name}": value for name, value in bw_states.items()}
        return _MERGES[layer.merge_mode](forward, backward), states

    def _direction(
        self,
        layer: RecurrentLayer,
        direction: Direction,
        x: Array,
        mask: Array | None,
        backwards: bool,
    ) -> tuple[Array, dict[str, Array]]:
        """Runs one direction; outputs come in the order in which the steps were taken."""
        batch, steps = x.shape[:2]
        zeros = np.zeros((batch, direction.cell.units), self._dtype)
        states = dict.fromkeys(layer.kind.states, zeros)
        output, outputs = zeros, []
        for t in reversed(range(steps)) if backwards else range(steps):
            after = self._advance(direction.source, x[:, t], states)
            if mask is None:
                states, output = after, after["h"]
            else:
                valid = mask[:, t, None]
                states = {s: np.where(valid, after[s], states[s]) for s in states}
                held = zeros if layer.zero_output_for_mask else output
                output = np.where(valid, after["h"], held)
            outputs.append(output)
        if layer.return_sequences:
            return np.stack(outputs, axis=1), states
        return output, states

    def _advance(self, source: SourceCell, x: Array, states: Arrays) -> dict[str, Array]:
        if id(source) not in self._cells:
            cast = {role: tensor.astype(self._dtype) for role, tensor in source.tensors.items()}
            self._cells[id(source)] = cast
        tensors = self._cells[id(source)]
        return get_layout(source.layout).step(tensors, source.facts, x, states)


_MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda forward, backward: np.concatenate([forward, backward], axis=-1),
    "sum": lambda forward, backward: forward + backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "mul": lambda forward, backward: forward * backward,
}


def _joint_mask(masks: list[Array | None]) -> Array | None:
    """The steps that every masked input keeps."""
    present = [mask for mask in masks if mask is not None]
    return np.logical_and.reduce(present) if present else None


def _head_mask(layer: HeadLayer, inputs: list[Array], mask: Array | None) -> Array | None:
    head = HEADS[layer.class_name]
    if head.make_mask is not None:
        return head.make_mask(layer.config, inputs[0])
    return mask if head.passes_mask else None
