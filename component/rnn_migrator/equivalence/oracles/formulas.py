"""The legacy model by the formulas of the frameworks that wrote it.

Runs from the tensors as they lie in the source, layout by layout, in float64 (the reference of
every comparison) or in float32 (an estimate of what rounding alone does to this model).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from rnn_migrator.canonical import (
    Array,
    CanonicalModel,
    HeadLayer,
    LegacyCell,
    Node,
    RecurrentLayer,
    Stack,
    TimeDistributed,
    state_sizes,
)
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.heads import HEADS

Arrays = Mapping[str, Array]
Mask = Array | None


@functools.cache
def _threads() -> ThreadpoolController:
    """Of the library that multiplies matrices.

    A step's are small: where anything else runs too, such as TensorFlow, several threads wait for
    each other several times as long as one takes.
    """
    return ThreadpoolController()


class Formulas:
    """A canonical model that computes, by the definition of its source.

    Args:
      model: The model; its source tensors are cast once.
      dtype: float64 for the reference, float32 for an estimate of rounding.
      disturbed: Whether every recurrent weight is off by one in its last place, for an estimate of
        what other orders of summation may do.
    """

    def __init__(
        self, model: CanonicalModel, dtype: Any = np.float64, *, disturbed: bool = False
    ) -> None:
        self._model = model
        self._dtype = np.dtype(dtype)
        self._disturbed = disturbed
        self._cells: dict[int, dict[str, Array]] = {}
        self._kept: dict[RecurrentLayer, list[Array]] = {}

    def run(self, signature: str, inputs: Arrays, calls: int = 1) -> dict[str, Array]:
        """What a signature of the converted model should give.

        Args:
          signature: `serving_default`, `with_lengths`, `step`, or `examples`.
          inputs: By the names of the signature; for `examples`, of the one that it stands for.
          calls: How often in a row a model with stateful layers is called; the last call counts.

        Returns:
          Outputs by the names of the signature, in the dtype of this instance.
        """
        with _threads().limit(limits=1, user_api="blas"):
            return self._run_signature(signature, inputs, calls)

    def _run_signature(self, signature: str, inputs: Arrays, calls: int) -> dict[str, Array]:
        if not self._model.bare_weights:
            self._kept = {}
            return [self._graph(self._model, inputs) for _ in range(calls)][-1]
        if signature == "step":
            return self._step(inputs)
        x = inputs["inputs"].astype(self._dtype)
        lengths = inputs.get("sequence_length")
        mask = None if lengths is None else np.arange(x.shape[1]) < np.asarray(lengths)[:, None]
        return self._sequences(x, mask)

    def _sequences(self, x: Array, mask: Mask) -> dict[str, Array]:
        finals: list[Array] = []
        for layer in self._model.recurrent_layers:
            [x], states = self._recur(layer, x, mask, ())
            finals += states
        names = state_sizes(self._model.recurrent_layers)
        return {"outputs": x, **dict(zip(names, finals, strict=True))}

    def _step(self, inputs: Arrays) -> dict[str, Array]:
        x = inputs["inputs"].astype(self._dtype)
        names = state_sizes(self._model.recurrent_layers)
        before = iter([inputs[name].astype(self._dtype) for name in names])
        finals: list[Array] = []
        for layer in self._model.recurrent_layers:
            for member in layer.forward:
                after = self._advance(member, x, {s: next(before) for s in member.cell.kind.states})
                x = after["h"]
                finals += [after[state] for state in member.cell.kind.states]
        return {"outputs": x, **dict(zip(names, finals, strict=True))}

    def _graph(self, model: CanonicalModel, inputs: Arrays) -> dict[str, Array]:
        """The outputs of a model by name."""
        values: dict[str, Array] = {}
        masks: dict[str, Mask] = {}
        for source in model.inputs:
            value = inputs[source.name]
            values[source.name] = value.astype(self._dtype) if value.dtype.kind == "f" else value
        for node in model.nodes:
            arguments = [values[name] for name in node.inbound]
            initial = [values[name] for name in node.initial_state]
            among = [masks.get(name) for name in node.inbound]
            outputs, mask = self._call(node, arguments, initial, among)
            for index, output in enumerate(outputs):
                values[f"{node.name}:{index}" if index else node.name] = output
            masks[node.name] = mask
        return {name: values[value] for name, value in model.outputs.items()}

    def _call(
        self, node: Node, inputs: list[Array], initial: list[Array], masks: list[Mask]
    ) -> tuple[list[Array], Mask]:
        """What a node gives, and the mask that goes with its first output."""
        layer = node.layer
        if isinstance(layer, HeadLayer):
            head = HEADS[layer.class_name]
            weights = [weight.astype(self._dtype) for weight in layer.weights.values()]
            output = head.formula(layer.config, weights, inputs, masks)
            return [output], head.mask(layer.config, inputs, masks)
        if isinstance(layer, TimeDistributed):
            return [self._every_step(layer, inputs[0])], masks[0]
        outputs, states = self._recur(
            layer, inputs[0], masks[0], initial or self._kept.get(layer, [])
        )
        if layer.stateful:
            self._kept[layer] = states
        mask = masks[0] if layer.return_sequences else None
        return [*outputs, *states] if layer.return_state else outputs, mask

    def _every_step(self, layer: TimeDistributed, x: Array) -> Array:
        """The inner model on all steps of all rows at once."""
        [source] = layer.inner.inputs
        [output] = self._graph(layer.inner, {source.name: x.reshape(-1, *x.shape[2:])}).values()
        return output.reshape(*x.shape[:2], *output.shape[1:])

    def _recur(
        self, layer: RecurrentLayer, x: Array, mask: Mask, initial: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Outputs of a recurrent layer (one, or two that are not merged), and its states."""
        begins = iter(initial)
        if not layer.backward:
            output, states = self._run(layer, layer.forward, x, mask, layer.go_backwards, begins)
            return [output], states
        forward, fw_states = self._run(layer, layer.forward, x, mask, False, begins)
        backward, bw_states = self._run(layer, layer.backward, x, mask, True, begins)
        if layer.return_sequences:
            backward = backward[:, ::-1]
        states = fw_states + bw_states
        if layer.merge_mode is None:
            return [forward, backward], states
        return [_MERGES[layer.merge_mode](forward, backward)], states

    def _run(
        self,
        layer: RecurrentLayer,
        stack: Stack,
        x: Array,
        mask: Mask,
        backwards: bool,
        initial: Iterator[Array],
    ) -> tuple[Array, list[Array]]:
        """Runs one direction; outputs come in the order in which the steps were taken."""
        states = [self._initial(member, x[:, 0], initial) for member in stack]
        zeros = np.zeros_like(states[-1]["h"])
        output, outputs = zeros, []
        for t in reversed(range(x.shape[1])) if backwards else range(x.shape[1]):
            result, after = self._through(stack, x[:, t], states)
            if mask is None:
                output, states = result, after
            else:
                valid = mask[:, t].reshape(-1, *[1] * (zeros.ndim - 1))
                states = [
                    {name: np.where(valid, new[name], old[name]) for name in old}
                    for old, new in zip(states, after, strict=True)
                ]
                output = np.where(valid, result, zeros if layer.zero_output_for_mask else output)
            outputs.append(output)
        finals = [array for state in states for array in state.values()]
        return np.stack(outputs, axis=1) if layer.return_sequences else output, finals

    def _initial(self, member: LegacyCell, x: Array, given: Iterator[Array]) -> dict[str, Array]:
        """The states to begin with: given ones as long as there are any, else zeros."""
        zeros = get_layout(member.source.layout).zero_states(member.cell, x.astype(self._dtype))
        return {name: next(given, zeros[name]) for name in member.cell.kind.states}

    def _through(
        self, stack: Stack, x: Array, states: list[dict[str, Array]]
    ) -> tuple[Array, list[dict[str, Array]]]:
        """One step through every cell of a stack: the output of the last, and all states."""
        after = []
        for member, before in zip(stack, states, strict=True):
            new = self._advance(member, x, before)
            after.append({name: new[name] for name in before})
            x = new["h"]
        return x, after

    def _advance(self, member: LegacyCell, x: Array, states: Arrays) -> dict[str, Array]:
        source = member.source
        if id(source) not in self._cells:
            cast = {role: self._cast(tensor) for role, tensor in source.tensors.items()}
            self._cells[id(source)] = cast
        tensors = self._cells[id(source)]
        return get_layout(source.layout).step(tensors, source.facts, x, states)

    def _cast(self, tensor: Array) -> Array:
        if self._disturbed:
            ways = np.random.default_rng(tensor.size).choice([-np.inf, np.inf], tensor.shape)
            tensor = np.nextafter(tensor, ways.astype(tensor.dtype))
        return tensor.astype(self._dtype)


_MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda forward, backward: np.concatenate([forward, backward], axis=-1),
    "sum": lambda forward, backward: forward + backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "mul": lambda forward, backward: forward * backward,
}
