"""TensorFlow 1 `GRUCell`.

    gates/kernel (I + U, 2U), rows [x; h], columns r z      gates/bias (2U,), same order
    candidate/kernel (I + U, U), rows [x; r * h]            candidate/bias (U,)
    r, u = split(sigmoid([x, h] @ gates/kernel + gates/bias), 2, axis=1)
    g = act([x, r * h] @ candidate/kernel + candidate/bias)
    h = u * h + (1 - u) * g

Source: `GRUCell.call`, tensorflow/python/ops/rnn_cell_impl.py, 1.15. The reset gate acts before
the matrix product, so that no cuDNN GRU computes the same.
"""

from __future__ import annotations

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Gate, Origin
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts, Layout, Shape, States, Tensors, register
from rnn_migrator.layouts.gates import join_gates, split_gates

_ORDER = "rz"


@register
class Tf1Gru(Layout):
    """Gates r z in one kernel, the candidate in another."""

    name = "tf1_gru"
    kind = CellKind.GRU
    roles = ("gates_kernel", "gates_bias", "candidate_kernel", "candidate_bias")
    sizing_role = "candidate_kernel"

    def symbols(self) -> dict[str, str]:
        """See `Layout.symbols`."""
        shapes = ("[I+U, 2U]", "[2U]", "[I+U, U]", "[U]")
        return dict(zip(self.roles, shapes, strict=True))

    def sizes(self, shape: Shape) -> tuple[int, int] | None:
        """See `Layout.sizes`."""
        if len(shape) != 2 or not shape[1] or shape[0] <= shape[1]:
            return None
        return shape[0] - shape[1], shape[1]

    def shapes(self, input_size: int, units: int) -> dict[str, Shape]:
        """See `Layout.shapes`."""
        rows = input_size + units
        shapes = ((rows, 2 * units), (2 * units,), (rows, units), (units,))
        return dict(zip(self.roles, shapes, strict=True))

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        kernels = split_gates(tensors["gates_kernel"], _ORDER)
        biases = split_gates(tensors["gates_bias"], _ORDER)
        kernels["candidate"] = tensors["candidate_kernel"].copy()
        biases["candidate"] = tensors["candidate_bias"].copy()
        units = biases["candidate"].shape[0]
        gates = {
            name: Gate(kernel[:-units], kernel[-units:], biases[name])
            for name, kernel in kernels.items()
        }
        return Cell(
            self.kind,
            gates,
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=Fact(False, Origin.CLASS, "GRUCell resets before the matrix product"),
        )

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        kernels = {
            name: np.concatenate([gate.kernel, gate.recurrent]) for name, gate in cell.gates.items()
        }
        biases = {name: gate.bias for name, gate in cell.gates.items()}
        return {
            "gates_kernel": join_gates(kernels, _ORDER),
            "gates_bias": join_gates(biases, _ORDER),
            "candidate_kernel": kernels["candidate"],
            "candidate_bias": biases["candidate"],
        }

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        h = states["h"]
        gate = ACTIVATIONS[facts["recurrent_activation"].value]
        activation = ACTIVATIONS[facts["activation"].value]
        z = np.concatenate([x, h], axis=1) @ tensors["gates_kernel"] + tensors["gates_bias"]
        r, u = np.split(gate(z), 2, axis=1)
        reset = np.concatenate([x, r * h], axis=1)
        g = activation(reset @ tensors["candidate_kernel"] + tensors["candidate_bias"])
        return {"h": u * h + (1.0 - u) * g}
