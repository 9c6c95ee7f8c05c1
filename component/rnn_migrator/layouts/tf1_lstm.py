"""TensorFlow 1 `BasicLSTMCell` and `LSTMCell` without peepholes and projection.

    kernel (I + U, 4U), rows [x; h], columns i c f o        bias (4U,), same order
    i, j, f, o = split(concat([x, h], 1) @ kernel + bias, 4, axis=1)
    c = sigmoid(f + forget_bias) * c + sigmoid(i) * act(j)
    h = sigmoid(o) * act(c)

Source: `BasicLSTMCell.call` and `LSTMCell.call`, tensorflow/python/ops/rnn_cell_impl.py, 1.15.
The forget bias is added at run time and stands in no variable.
"""

from __future__ import annotations

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Gate
from rnn_migrator.layouts.base import Facts, Layout, Shape, States, Tensors, register
from rnn_migrator.layouts.gates import join_gates, split_gates
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update

_ORDER = "icfo"


@register
class Tf1Lstm(Layout):
    """One kernel for input and state, gates in the order i c f o."""

    name = "tf1_lstm"
    kind = CellKind.LSTM
    roles = ("kernel", "bias")
    sizing_role = "kernel"

    def symbols(self) -> dict[str, str]:
        """See `Layout.symbols`."""
        return {"kernel": "[I+U, 4U]", "bias": "[4U]"}

    def sizes(self, shape: Shape) -> tuple[int, int] | None:
        """See `Layout.sizes`."""
        if len(shape) != 2 or not shape[1] or shape[1] % len(_ORDER):
            return None
        units = shape[1] // len(_ORDER)
        return (shape[0] - units, units) if shape[0] > units else None

    def shapes(self, input_size: int, units: int) -> dict[str, Shape]:
        """See `Layout.shapes`."""
        width = len(_ORDER) * units
        return {"kernel": (input_size + units, width), "bias": (width,)}

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        kernels = split_gates(tensors["kernel"], _ORDER)
        biases = split_gates(tensors["bias"], _ORDER)
        units = tensors["bias"].shape[0] // len(_ORDER)
        gates = {
            name: Gate(kernel[:-units], kernel[-units:], biases[name])
            for name, kernel in kernels.items()
        }
        return Cell(self.kind, gates, **facts_of(facts))

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        kernels = {
            name: np.concatenate([gate.kernel, gate.recurrent]) for name, gate in cell.gates.items()
        }
        biases = {name: gate.bias for name, gate in cell.gates.items()}
        return {"kernel": join_gates(kernels, _ORDER), "bias": join_gates(biases, _ORDER)}

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        z = np.concatenate([x, states["h"]], axis=1) @ tensors["kernel"] + tensors["bias"]
        i, j, f, o = np.split(z, 4, axis=1)
        return lstm_update(i, f + facts["forget_bias"].value, j, o, states["c"], facts)
