"""Keras 2 (and tf.keras, Keras 3) `GRU`, in both variants.

    kernel (I, 3U)  recurrent_kernel (U, 3U)      columns z r h
    reset_after=False: bias (3U,)       g = a(x @ K + b + (r * h) @ R)
    reset_after=True:  bias (2, 3U)     g = a(x @ K + b_input + r * (h @ R + b_recurrent))
    h = z * h + (1 - z) * g

Source: `GRUCell.call`, keras/layers/recurrent.py of Keras 2.2.5.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Gate, Origin
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import join_gates, joined, separate_gates, split_gates

_ORDER = "zrh"


class _KerasGru(Layout):
    kind = CellKind.GRU
    optional = frozenset({"bias"})

    def _cell(self, gates: dict[str, Gate], facts: Facts, reset_after: bool) -> Cell:
        return Cell(
            self.kind,
            gates,
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=facts.get("reset_after", Fact(reset_after, Origin.TENSORS, "bias shape")),
        )

    def _kernels(self, cell: Cell) -> dict[str, Array]:
        return {
            "kernel": joined(cell.gates, "kernel", _ORDER),
            "recurrent_kernel": joined(cell.gates, "recurrent", _ORDER),
        }


@register
class KerasGru(_KerasGru):
    """`reset_after=False`: one bias, the reset gate acts before the recurrent product."""

    name = "keras_gru"
    symbols: ClassVar = {"kernel": "[I, 3U]", "recurrent_kernel": "[U, 3U]", "bias": "[3U]"}

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        bias = tensors.get("bias")
        gates = separate_gates(tensors["kernel"], tensors["recurrent_kernel"], bias, _ORDER)
        return self._cell(gates, facts, reset_after=False)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        biases = {"bias": joined(cell.gates, "bias", _ORDER)} if cell.has_bias else {}
        return {**self._kernels(cell), **biases}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        gate = ACTIVATIONS[facts["recurrent_activation"].value]
        activation = ACTIVATIONS[facts["activation"].value]
        on_input = x @ tensors["kernel"]
        on_input = on_input + tensors["bias"] if "bias" in tensors else on_input
        x_z, x_r, x_h = np.split(on_input, 3, axis=1)
        r_z, r_r, r_h = np.split(tensors["recurrent_kernel"], 3, axis=1)
        z, r = gate(x_z + h @ r_z), gate(x_r + h @ r_r)
        g = activation(x_h + (r * h) @ r_h)
        return {"h": z * h + (1.0 - z) * g}


@register
class KerasGruResetAfter(_KerasGru):
    """`reset_after=True`: an input and a recurrent bias, the form cuDNN computes."""

    name = "keras_gru_reset_after"
    symbols: ClassVar = {"kernel": "[I, 3U]", "recurrent_kernel": "[U, 3U]", "bias": "[2, 3U]"}

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        on_input, on_state = tensors.get("bias", (None, None))
        gates = separate_gates(tensors["kernel"], tensors["recurrent_kernel"], on_input, _ORDER)
        if on_state is not None:
            biases = split_gates(on_state, _ORDER)
            gates = {
                name: dataclasses.replace(gate, recurrent_bias=biases[name])
                for name, gate in gates.items()
            }
        return self._cell(gates, facts, reset_after=True)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        if not cell.has_bias:
            return self._kernels(cell)
        on_input = joined(cell.gates, "bias", _ORDER)
        on_state = join_gates(_second_biases(cell), _ORDER)
        return {**self._kernels(cell), "bias": np.stack([on_input, on_state])}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        input_bias, recurrent_bias = tensors.get("bias", (0.0, 0.0))
        return reset_after_step(
            x @ tensors["kernel"] + input_bias,
            h @ tensors["recurrent_kernel"] + recurrent_bias,
            h,
            facts,
        )


def _second_biases(cell: Cell) -> dict[str, Array]:
    """The recurrent biases; zeros where a source keeps the sum of both for some gates."""
    zeros = {name: np.zeros_like(gate.bias) for name, gate in cell.gates.items()}
    return zeros | cell.recurrent_biases


def reset_after_step(on_input: Array, on_state: Array, h: Array, facts: Facts) -> dict[str, Array]:
    """One step of a GRU whose reset gate acts after the recurrent product.

    Args:
      on_input: (batch, 3U), blocks z r h: x @ K + input bias.
      on_state: (batch, 3U), blocks z r h: h @ R + recurrent bias.
      h: (batch, U).
      facts: `activation` and `recurrent_activation`.
    """
    gate = ACTIVATIONS[facts["recurrent_activation"].value]
    activation = ACTIVATIONS[facts["activation"].value]
    x_z, x_r, x_h = np.split(on_input, 3, axis=1)
    h_z, h_r, h_h = np.split(on_state, 3, axis=1)
    z, r = gate(x_z + h_z), gate(x_r + h_r)
    g = activation(x_h + r * h_h)
    return {"h": z * h + (1.0 - z) * g}
