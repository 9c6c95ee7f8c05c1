"""A canonical recurrent layer to its Keras layer: stock where that computes the same, else own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from rnn_migrator.canonical import Cell, CellKind, RecurrentLayer, Stack
from rnn_migrator.keras_model import activations, cells, layers
from rnn_migrator.keras_model.bidirectional import LegacyBidirectional
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.layouts.keras_weights import is_stock

Arguments = dict[str, Any]


def build_recurrent(layer: RecurrentLayer, target: Target, name: str, return_state: bool) -> Any:
    """The Keras layer, without weights yet.

    Args:
      layer: The canonical layer.
      target: Where the model is to run.
      name: Name of the Keras layer.
      return_state: Whether it gives its states although the legacy layer did not.
    """
    arguments: Arguments = {
        "return_sequences": layer.return_sequences,
        "return_state": layer.return_state or return_state,
        "stateful": layer.stateful,
    }
    if layer.forward[0].cell.kind is not CellKind.CONV_LSTM:
        arguments["zero_output_for_mask"] = layer.zero_output_for_mask
    if not layer.backward:
        arguments |= {"name": name, "go_backwards": layer.go_backwards}
        return _one_way(layer.forward, target, arguments, dict(layer.training))
    forward, backward = (
        _one_way(
            stack,
            target,
            {**arguments, "name": f"{prefix}_{name}", "go_backwards": prefix == "backward"},
            dict(layer.training),
        )
        for prefix, stack in (("forward", layer.forward), ("backward", layer.backward))
    )
    wrapped: Arguments = {"merge_mode": layer.merge_mode, "backward_layer": backward, "name": name}
    if layer.zero_output_for_mask == layer.return_sequences:
        both = keras.layers.Bidirectional(forward, **wrapped)
    else:
        zeros = layer.zero_output_for_mask
        both = LegacyBidirectional(forward, zero_output_for_mask=zeros, **wrapped)
    # Bidirectional makes its forward layer again from a config that forgets this choice.
    both.forward_layer.use_cudnn = getattr(forward, "use_cudnn", False)
    return both


def _one_way(stack: Stack, target: Target, arguments: Arguments, training: Arguments) -> Any:
    """One direction; what only training needs is kept where the layer has room for it."""
    first, *rest = (member.cell for member in stack)
    stock = _STOCK_LAYERS.get(first.kind)
    if rest or not is_stock(first) or stock is None:
        made = [_cell(member.cell) for member in stack]
        one = keras.layers.StackedRNNCells(made) if rest else made[0]
        return keras.layers.RNN(one, **arguments)
    arguments = arguments | _ARGUMENTS[first.kind](first) | training
    portable = _PORTABLE_LAYERS.get(first.kind)
    if portable is None:
        return stock(**arguments)
    if target is Target.CPU:
        return stock(use_cudnn=False, **arguments)
    return portable(device=target.value, **arguments)


def _cell(cell: Cell) -> Any:
    """The Keras cell that computes a canonical one."""
    if is_stock(cell):
        return _STOCK_CELLS[cell.kind](**_ARGUMENTS[cell.kind](cell))
    if cell.norms:
        return cells.LayerNormLSTMCell(cell.units, activation=_activation(cell))
    return _OWN_CELLS[cell.kind](**_OWN_ARGUMENTS[cell.kind](cell))


def _activation(cell: Cell) -> Any:
    return activations.resolve(cell.activation.value)


def _gated(cell: Cell) -> Arguments:
    return {
        "units": cell.units,
        "activation": _activation(cell),
        "recurrent_activation": activations.resolve(cell.recurrent_activation.value),
        "use_bias": cell.folded().has_bias,
    }


def _gru(cell: Cell) -> Arguments:
    return {**_gated(cell), "reset_after": cell.reset_after.value}


def _simple(cell: Cell) -> Arguments:
    return {"units": cell.units, "activation": _activation(cell), "use_bias": cell.has_bias}


def _convolution(cell: Cell) -> Arguments:
    arguments = _gated(cell)
    kernel = cell.gates["candidate"].kernel
    return {
        "filters": arguments.pop("units"),
        "kernel_size": kernel.shape[:2],
        **arguments,
        **cell.convolution,
    }


def _peepholes(cell: Cell) -> tuple[str, ...]:
    return tuple(gate for gate in cell.kind.gates if gate in cell.peepholes)


def _legacy_lstm(cell: Cell) -> Arguments:
    return {
        **_gated(cell),
        "projection_size": None if cell.projection is None else cell.output_size,
        "peephole": _peepholes(cell),
        "cell_clip": cell.cell_clip.value,
        "projection_clip": None if cell.projection is None else cell.proj_clip.value,
    }


def _coupled_lstm(cell: Cell) -> Arguments:
    wanted = ("units", "activation", "projection_size", "peephole", "projection_clip")
    return {key: value for key, value in _legacy_lstm(cell).items() if key in wanted}


def _ugrnn(cell: Cell) -> Arguments:
    return {"units": cell.units, "activation": _activation(cell)}


_STOCK_LAYERS: Mapping[CellKind, Any] = {
    CellKind.LSTM: keras.layers.LSTM,
    CellKind.GRU: keras.layers.GRU,
    CellKind.RNN: keras.layers.SimpleRNN,
    CellKind.CONV_LSTM: keras.layers.ConvLSTM2D,
}
_PORTABLE_LAYERS: Mapping[CellKind, Any] = {
    CellKind.LSTM: layers.PortableLSTM,
    CellKind.GRU: layers.PortableGRU,
}
_STOCK_CELLS: Mapping[CellKind, Any] = {
    CellKind.LSTM: keras.layers.LSTMCell,
    CellKind.GRU: keras.layers.GRUCell,
    CellKind.RNN: keras.layers.SimpleRNNCell,
}
_ARGUMENTS: Mapping[CellKind, Callable[[Cell], Arguments]] = {
    CellKind.LSTM: _gated,
    CellKind.GRU: _gru,
    CellKind.RNN: _simple,
    CellKind.CONV_LSTM: _convolution,
}
_OWN_CELLS: Mapping[CellKind, Any] = {
    CellKind.LSTM: cells.LegacyLSTMCell,
    CellKind.COUPLED_LSTM: cells.CoupledLSTMCell,
    CellKind.UGRNN: cells.UGRNNCell,
}
_OWN_ARGUMENTS: Mapping[CellKind, Callable[[Cell], Arguments]] = {
    CellKind.LSTM: _legacy_lstm,
    CellKind.COUPLED_LSTM: _coupled_lstm,
    CellKind.UGRNN: _ugrnn,
}
