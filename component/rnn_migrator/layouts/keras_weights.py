"""The weights of a canonical cell as the Keras layer or cell that computes it keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from rnn_migrator.canonical import Array, Cell, CellKind
from rnn_migrator.layouts.base import get_layout
from rnn_migrator.layouts.gates import gate_names, joined

_STOCK_LAYOUTS: Mapping[CellKind, str] = {
    CellKind.LSTM: "keras_lstm",
    CellKind.CONV_LSTM: "keras_conv_lstm",
    CellKind.RNN: "keras_rnn",
}
_OWN_ORDERS: Mapping[CellKind, str] = {
    CellKind.LSTM: "ifco",
    CellKind.COUPLED_LSTM: "fco",
    CellKind.UGRNN: "zc",
}
"""Columns of the cells in `keras_model.cells`."""


def is_stock(cell: Cell) -> bool:
    """Whether a stock Keras layer computes the cell."""
    if cell.kind is not CellKind.LSTM:
        return cell.kind not in _OWN_ORDERS
    extras = (cell.peepholes, cell.norms, cell.projection is not None)
    return cell.cell_clip.value is None and not any(extras)


def keras_weights(cell: Cell) -> dict[str, Array]:
    """Arrays by their name in Keras, in the order of `set_weights`.

    Run-time biases are summed into those arrays (see `Cell.folded`).

    Returns:
      For a stock layer `kernel` and `recurrent_kernel`, and `bias` where it has one. For a cell of
      `keras_model.cells` the same, then gamma and beta of each norm, then those there are of
      `input_peephole`, `forget_peephole`, `output_peephole` and `projection_kernel`.
    """
    folded = cell.folded()
    if not is_stock(folded):
        return _own_weights(folded)
    layout = get_layout(_stock_layout(folded))
    arrays = layout.from_canonical(folded)
    return {role: arrays[role] for role in layout.roles if role in arrays}


def _stock_layout(cell: Cell) -> str:
    if cell.kind is CellKind.GRU:
        return "keras_gru_reset_after" if cell.reset_after.value else "keras_gru"
    return _STOCK_LAYOUTS[cell.kind]


def _own_weights(cell: Cell) -> dict[str, Array]:
    order = _OWN_ORDERS[cell.kind]
    arrays = {
        "kernel": joined(cell.gates, "kernel", order),
        "recurrent_kernel": joined(cell.gates, "recurrent", order),
    }
    if cell.has_bias:
        arrays["bias"] = joined(cell.gates, "bias", order)
    for name in (*gate_names(order), "state"):
        if name in cell.norms:
            arrays[f"{name}_gamma"] = cell.norms[name].gamma
            arrays[f"{name}_beta"] = cell.norms[name].beta
    for name in gate_names(order):
        if name in cell.peepholes:
            arrays[f"{name}_peephole"] = cell.peepholes[name]
    if cell.projection is not None:
        arrays["projection_kernel"] = cell.projection
    return arrays
