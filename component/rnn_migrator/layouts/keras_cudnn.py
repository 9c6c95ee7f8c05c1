"""Keras 2 `CuDNNLSTM` and `CuDNNGRU` as they lie in an HDF5 file.

    LSTM: kernel (I, 4U)  recurrent_kernel (U, 4U)  bias (8U,) = [4U on input | 4U on state]
    GRU:  kernel (I, 3U)  recurrent_kernel (U, 3U)  bias (6U,) = [3U on input | 3U on state]
    columns i f c o / z r h

The memory of each U-wide block is the row-major (U, I) matrix of cuDNN, which merely wears the
shape (I, U): `cudnn = block.reshape(-1).reshape(U, I)` and gate = x @ cudnn.T. The recurrent
block is (U, U), so there the same reading is a transposition. Activations are always sigmoid and
tanh; the GRU resets after the recurrent product.

Source: `_convert_rnn_weights` and `CuDNNLSTM._process_batch`, Keras 2.2.5. Where I == U a plain
transposition of the kernel block would look right as well: tests must not be square.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact, Gate, Origin
from rnn_migrator.layouts.base import Facts, Layout, States, Tensors, register
from rnn_migrator.layouts.gates import join_gates, joined, split_gates
from rnn_migrator.layouts.keras_gru import reset_after_step
from rnn_migrator.layouts.lstm_math import facts_of, lstm_update


def _from_memory(block: Array) -> Array:
    """The (rows, U) matrix whose transpose fills the memory of a (rows, U) block."""
    rows, units = block.shape
    return np.ascontiguousarray(block).reshape(units, rows).T.copy()


def _to_memory(matrix: Array) -> Array:
    """The inverse of `_from_memory`."""
    return np.ascontiguousarray(matrix.T).reshape(matrix.shape)


class _KerasCudnn(Layout):
    order: str

    def _gates(self, tensors: Tensors) -> dict[str, Gate]:
        kernels = split_gates(tensors["kernel"], self.order)
        recurrents = split_gates(tensors["recurrent_kernel"], self.order)
        on_input, on_state = (
            split_gates(half, self.order) for half in np.split(tensors["bias"], 2)
        )
        return {
            name: Gate(
                _from_memory(kernels[name]),
                _from_memory(recurrents[name]),
                on_input[name],
                on_state[name],
            )
            for name in kernels
        }

    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """See `Layout.from_canonical`."""
        gates = cell.gates.items()
        on_input = joined(cell.gates, "bias", self.order)
        on_state = joined(cell.gates, "recurrent_bias", self.order)
        kernels = {name: _to_memory(gate.kernel) for name, gate in gates}
        recurrents = {name: _to_memory(gate.recurrent) for name, gate in gates}
        return {
            "kernel": join_gates(kernels, self.order),
            "recurrent_kernel": join_gates(recurrents, self.order),
            "bias": np.concatenate([on_input, on_state]),
        }


def _cudnn_products(tensors: Tensors, x: Array, h: Array, gates: int) -> tuple[Array, Array]:
    """cuDNN's own reading of the buffers: `W x + b_W` and `R h + b_R`, gates side by side."""

    def product(role: str, value: Array) -> Array:
        blocks = np.split(tensors[role], gates, axis=1)
        matrices = [block.flatten().reshape(block.shape[1], block.shape[0]) for block in blocks]
        return np.concatenate([value @ matrix.T for matrix in matrices], axis=1)

    input_bias, recurrent_bias = np.split(tensors["bias"], 2)
    return product("kernel", x) + input_bias, product("recurrent_kernel", h) + recurrent_bias


@register
class KerasCudnnLstm(_KerasCudnn):
    """`CuDNNLSTM`: transposed blocks and two biases."""

    name = "keras_cudnn_lstm"
    kind = CellKind.LSTM
    order = "ifco"
    symbols: ClassVar = {"kernel": "[I, 4U]", "recurrent_kernel": "[U, 4U]", "bias": "[8U]"}

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(self.kind, self._gates(tensors), **facts_of(facts))

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        on_input, on_state = _cudnn_products(tensors, x, states["h"], gates=4)
        i, f, g, o = np.split(on_input + on_state, 4, axis=1)
        return lstm_update(i, f, g, o, states["c"], facts)


@register
class KerasCudnnGru(_KerasCudnn):
    """`CuDNNGRU`: transposed blocks and two biases."""

    name = "keras_cudnn_gru"
    kind = CellKind.GRU
    order = "zrh"
    symbols: ClassVar = {"kernel": "[I, 3U]", "recurrent_kernel": "[U, 3U]", "bias": "[6U]"}

    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """See `Layout.to_canonical`."""
        return Cell(
            self.kind,
            self._gates(tensors),
            activation=facts["activation"],
            recurrent_activation=facts["recurrent_activation"],
            reset_after=Fact(True, Origin.CLASS, "cuDNN resets after the recurrent product"),
        )

    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """See `Layout.step`."""
        on_input, on_state = _cudnn_products(tensors, x, states["h"], gates=3)
        return reset_after_step(on_input, on_state, states["h"], facts)
