"""Which layout a stock `tf.keras` layer keeps the weights of a canonical cell in."""

from __future__ import annotations

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.base import Layout, get_layout


def stock_layout(cell: Cell) -> Layout:
    """Layout of the stock layer that computes the cell."""
    if cell.kind is CellKind.LSTM:
        return get_layout("keras_lstm")
    return get_layout("keras_gru_reset_after" if cell.reset_after.value else "keras_gru")


def stock_weights(cell: Cell) -> dict[str, Array]:
    """Kernel, recurrent kernel and bias by role, in the order of the layer's `set_weights`."""
    layout = stock_layout(cell)
    arrays = layout.from_canonical(cell.folded())
    return {role: arrays[role] for role in layout.roles}
