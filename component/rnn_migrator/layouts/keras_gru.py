"""Keras 2 (and tf.keras, Keras 3) `GRU`, in both variants.

    kernel (I, 3U)  recurrent_kernel (U, 3U)      columns z r h
    reset_after=False: bias (3U,)       g = a(x @ K + b + (r * h) @ R)
    reset_after=True:  bias (2, 3U)     g = a(x @ K + b_input + r * (h @ R + b_recurrent))
    h = z * h + (1 - z) * g

Source: `GRUCell.call`, keras/layers/recurrent.py of Keras 2.2.5.
"""

from __future__ import annotations

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Gate, Origin
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, Shape, States, Tensors, register
from rnn_migrator.layouts.gates import join_gates, split_gates

_ORDER = "zrh"


class _KerasGru(Layout):
    kind = CellKind.GRU
    roles = ("kernel", "recurrent_kernel", "bias")
    sizing_role = "kernel"

    def sizes(self, shape: Shape) -> tuple[int, int] | None:
        """See `Layout.sizes`."""
        if len(shape) != 2 or not min(shape) or shape[1] % len(_ORDER):
            return None
        return shape[0], shape[1] // len(_ORDER)

    def _cell(
        self, tensors: Tensors, facts: Facts, biases: tuple[Array, ...], reset_after: bool
    ) -> Cell:
        kernels = split_gates(tensors["kernel"], _ORDER)
        recurrents = split_gates(tensors["recurrent_kernel"], _ORDER)
        by_gate = [split_gates(bias, _ORDER) for bias in biases]
        gates = {
            name: Gate(kernels[name], recurrents[name], *(bias[name] for bias in by_gate))
            for name in kernels
        }
        return Cell(
            self.kind,
            gates,
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=facts.get("reset_after", Fact(reset_after, Origin.TENSORS, "bias shape")),
        )

    def _kernels(self, cell: Cell) -> dict[str, Array]:
        gates = cell.gates.items()
        return {
            "kernel": join_gates({name: gate.kernel for name, gate in gates}, _ORDER),
            "recurrent_kernel": join_gates({name: gate.recurrent for name, gate in gates}, _ORDER),
        }


@register
class KerasGru(_KerasGru):
    """`reset_after=False`: one bias, the reset gate acts before the recurrent product."""

    name = "keras_gru"

    def symbols(self) -> dict[str, str]:
        """See `Layout.symbols`."""
        return {"kernel": "[I, 3U]", "recurrent_kernel": "[U, 3U]", "bias": "[3U]"}

    def shapes(self, input_size: int, units: int) -> dict[str, Shape]:
        """See `Layout.shapes`."""
        width = len(_ORDER) * units
        return dict(zip(self.roles, ((input_size, width), (units, width), (width,)), strict=True))

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return self._cell(tensors, facts, (tensors["bias"],), reset_after=False)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        biases = {name: gate.bias for name, gate in cell.gates.items()}
        return {**self._kernels(cell), "bias": join_gates(biases, _ORDER)}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        gate = ACTIVATIONS[facts["recurrent_activation"].value]
        activation = ACTIVATIONS[facts["activation"].value]
        x_z, x_r, x_h = np.split(x @ tensors["kernel"] + tensors["bias"], 3, axis=1)
        r_z, r_r, r_h = np.split(tensors["recurrent_kernel"], 3, axis=1)
        z, r = gate(x_z + h @ r_z), gate(x_r + h @ r_r)
        g = activation(x_h + (r * h) @ r_h)
        return {"h": z * h + (1.0 - z) * g}


@register
class KerasGruResetAfter(_KerasGru):
    """`reset_after=True`: an input and a recurrent bias, the form cuDNN computes."""

    name = "keras_gru_reset_after"

    def symbols(self) -> dict[str, str]:
        """See `Layout.symbols`."""
        return {"kernel": "[I, 3U]", "recurrent_kernel": "[U, 3U]", "bias": "[2, 3U]"}

    def shapes(self, input_size: int, units: int) -> dict[str, Shape]:
        """See `Layout.shapes`."""
        width = len(_ORDER) * units
        return dict(zip(self.roles, ((input_size, width), (units, width), (2, width)), strict=True))

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return self._cell(tensors, facts, tuple(tensors["bias"]), reset_after=True)

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        gates = cell.gates.items()
        on_input = join_gates({name: gate.bias for name, gate in gates}, _ORDER)
        on_state = join_gates(cell.recurrent_biases, _ORDER)
        return {**self._kernels(cell), "bias": np.stack([on_input, on_state])}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        input_bias, recurrent_bias = tensors["bias"]
        return reset_after_step(
            x @ tensors["kernel"] + input_bias,
            h @ tensors["recurrent_kernel"] + recurrent_bias,
            h,
            facts,
        )


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
