"""Legacy recurrent weights in layers of the user's own `tf.keras` model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_migrator.canonical import Array, Cell, Fact, LegacyCell, RecurrentLayer
from rnn_migrator.errors import (
    MigrationError,
    NotEquivalentError,
    Problem,
    UnsupportedError,
    UsageError,
    raise_all,
)
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.keras_weights import keras_weights as weights_of
from rnn_migrator.readers import LegacyArtifact, open_artifact
from rnn_migrator.recognition.settings import parse_settings
from rnn_migrator.recognition.weight_groups import take_layers

if TYPE_CHECKING:
    import keras

_TOLERANCE = 1e-5
"""One step of a cell in float32, from states within ±1, is far closer to float64 than this."""


class AssumptionWarning(UserWarning):
    """A value was taken from the default of a class, since neither artifact nor user gives it."""


def keras_weights(
    source: Path | str,
    name: str | None = None,
    *,
    settings: Iterable[str] = (),
    architecture: Path | str | None = None,
) -> list[Array]:
    """Legacy recurrent weights as the plain list that `set_weights` takes.

    Args:
      source: Checkpoint, HDF5 file or array dump.
      name: Scope of a stack or cell (TensorFlow 1) or name of a layer (Keras); may be left out
        where there is only one.
      settings: `KEY=VALUE` texts, as for `rnn-migrate convert --set`.
      architecture: Keras JSON or YAML file that goes with weights-only HDF5.

    Returns:
      Kernel (input, gates * units), recurrent kernel (units, gates * units) and bias of a
      `keras.layers.LSTM` or `GRU`; forward then backward for `Bidirectional`; cell after cell for
      a stack, as `RNN(StackedRNNCells(...))` keeps them. float32.

    Raises:
      MigrationError: Unreadable, ambiguous or unsupported.

    Warns:
      AssumptionWarning: The forget bias that is summed in is an assumption.
    """
    layers = _take(open_artifact(source, architecture), name, settings)
    _warn_of_assumptions(layers, ("forget_bias",))
    return [array for cell in _cells(layers) for array in weights_of(cell).values()]


def warm_start(
    model: keras.Model,
    source: Path | str,
    layers: Mapping[str, str],
    *,
    settings: Iterable[str] = (),
    architecture: Path | str | None = None,
    strict: bool = False,
) -> dict[str, dict[str, Fact[Any]]]:
    """Puts legacy recurrent weights into layers of a `tf.keras` model.

    Each cell is then run for one step from random states and compared with the formula of its
    source in float64, so that a layer with another activation, reset order or bias is refused. On
    any refusal all layers keep the weights they had.

    Args:
      model: Built, with layers of the classes LSTM, GRU, `Bidirectional` of these, or
        `RNN` of `LSTMCell`, `GRUCell` or `StackedRNNCells` of them.
      source: Checkpoint, HDF5 file or array dump.
      layers: Name of a layer of the model to scope or layer in the source.
      settings: `KEY=VALUE` texts, as for `rnn-migrate convert --set`.
      architecture: Keras JSON or YAML file that goes with weights-only HDF5.
      strict: Whether a mere assumption is refused.

    Returns:
      What was taken for each cell, with origins: name of the layer and cell to facts.

    Raises:
      MigrationError: A layer is missing or does not fit; the weights are not changed.

    Warns:
      AssumptionWarning: A fact is an assumption.
    """
    artifact = open_artifact(source, architecture)
    taken = {target: _take(artifact, name, settings) for target, name in layers.items()}
    for legacy in taken.values():
        _warn_of_assumptions(legacy, None, strict)
    pairs = {
        f"{target}, cell {index}": pair
        for target, legacy in taken.items()
        for index, pair in enumerate(_pair(model, target, legacy))
    }
    raise_all(
        UnsupportedError, (p for where, pair in pairs.items() for p in _misfits(where, *pair))
    )
    _set_all(pairs)
    return {where: member.cell.facts for where, (_, member) in pairs.items()}


def _set_all(pairs: Mapping[str, tuple[Any, LegacyCell]]) -> None:
    """Sets the weights of all cells, or, if a check fails, of none."""
    before = [(cell, cell.get_weights()) for cell, _ in pairs.values()]
    try:
        for cell, member in pairs.values():
            cell.set_weights(list(weights_of(member.cell).values()))
        raise_all(
            NotEquivalentError,
            (p for where, (cell, d) in pairs.items() for p in _deviations(where, cell, d)),
        )
    except MigrationError:
        for cell, weights in before:
            cell.set_weights(weights)
        raise


def _take(
    artifact: LegacyArtifact, name: str | None, settings: Iterable[str]
) -> tuple[RecurrentLayer, ...]:
    return take_layers(artifact, name, parse_settings(settings))


def _members(layers: tuple[RecurrentLayer, ...]) -> list[LegacyCell]:
    return [member for layer in layers for member in layer.cells.values()]


def _cells(layers: tuple[RecurrentLayer, ...]) -> list[Cell]:
    return [member.cell for member in _members(layers)]


def _warn_of_assumptions(
    layers: tuple[RecurrentLayer, ...], names: tuple[str, ...] | None, strict: bool = False
) -> None:
    assumed = {
        f"{name}={fact.value} ({fact.source})"
        for cell in _cells(layers)
        for name, fact in cell.facts.items()
        if not fact.confirmed and (names is None or name in names)
    }
    if assumed and strict:
        raise UnsupportedError(_assumption(sorted(assumed)))
    if assumed:
        text = "assumed, since the source does not say: " + "; ".join(sorted(assumed))
        warnings.warn(text + ". Settle it with settings=[...]", AssumptionWarning, stacklevel=4)


def _assumption(assumed: list[str]) -> Problem:
    return Problem(
        where="strict",
        expected="values from the artifact or from the settings",
        received="; ".join(assumed),
        remedy="name the values the model was trained with: settings=['forget_bias=1.0', ...]",
    )


def _pair(
    model: keras.Model, target: str, legacy: tuple[RecurrentLayer, ...]
) -> list[tuple[Any, LegacyCell]]:
    """The Keras cells of a layer, each with the legacy cell whose weights it takes."""
    layer = _find_layer(model, target)
    cells = _keras_cells(layer)
    members = _members(legacy)
    both_ways = hasattr(layer, "forward_layer")
    bidirectional = any(part.backward for part in legacy)
    if len(cells) != len(members) or both_ways != bidirectional:
        raise UnsupportedError(_other_structure(target, layer, len(cells), legacy))
    return list(zip(cells, members, strict=True))


def _find_layer(model: keras.Model, name: str) -> Any:
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if layer.name == name:
            return layer
    names = ", ".join(layer.name for layer in model.layers)
    raise UsageError(
        Problem(
            where="layers",
            expected=f"names of layers of the model: {names}",
            received=repr(name),
            remedy="name a layer of the model",
        )
    )


def _keras_cells(layer: Any) -> list[Any]:
    """The cells of a recurrent Keras layer: forward then backward, or bottom to top."""
    if hasattr(layer, "forward_layer"):
        return [*_keras_cells(layer.forward_layer), *_keras_cells(layer.backward_layer)]
    cell = getattr(layer, "cell", None)
    if cell is None:
        return []
    return list(getattr(cell, "cells", [cell]))


def _other_structure(
    target: str, layer: Any, cells: int, legacy: tuple[RecurrentLayer, ...]
) -> Problem:
    kinds = ", ".join(
        f"{part.label} of {part.forward[-1].cell.units} units"
        + (" in both directions" if part.backward else "")
        for part in legacy
    )
    return Problem(
        where=f"layer {target!r}",
        expected=f"a layer for {kinds}: LSTM or GRU, Bidirectional for both directions, "
        "RNN(StackedRNNCells([...])) for a stack",
        received=f"{type(layer).__name__} with {cells} cells",
        remedy="use such a layer, or name a single cell of the source by its own scope",
    )


def _misfits(where: str, cell: Any, member: LegacyCell) -> list[Problem]:
    """Shapes that differ, which also betray another cell, a missing bias, another reset order."""
    if not cell.built:
        return [_problem(where, "a built model", "a layer without weights", "call it once first")]
    expected = {role: array.shape for role, array in weights_of(member.cell).items()}
    received = [tuple(weight.shape) for weight in cell.weights]
    if received == list(expected.values()):
        return []
    wanted = ", ".join(f"{role} {list(shape)}" for role, shape in expected.items())
    return [
        _problem(
            where,
            f"weights {wanted} for a {member.cell.kind.label} ({_describe(member.cell)})",
            f"{type(cell).__name__} with " + ", ".join(str(list(shape)) for shape in received),
            "give the layer this class, input width, units and reset_after, with bias",
        )
    ]


def _describe(cell: Cell) -> str:
    return ", ".join(f"{name}={fact.value}" for name, fact in cell.facts.items())


def _problem(where: str, expected: str, received: str, remedy: str) -> Problem:
    return Problem(f"layer {where}", expected, received, remedy)


def _deviations(where: str, cell: Any, member: LegacyCell) -> list[Problem]:
    """Compares one step of the filled cell with the formula of the source in float64."""
    source, legacy = member.source, member.cell
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, legacy.input_size)).astype(np.float32)
    states = {
        name: rng.uniform(-1, 1, size=(8, size)).astype(np.float32)
        for name, size in legacy.state_sizes.items()
    }
    tensors = {role: array.astype(np.float64) for role, array in source.tensors.items()}
    doubles = {name: state.astype(np.float64) for name, state in states.items()}
    expected = get_layout(source.layout).step(tensors, source.facts, x.astype(np.float64), doubles)
    output, _ = cell(x, list(states.values()), training=False)
    error = float(np.max(np.abs(np.asarray(output) - expected["h"])))
    if error <= _TOLERANCE * max(1.0, float(np.max(np.abs(expected["h"])))):
        return []
    return [
        _problem(
            where,
            f"the legacy cell's output: {_describe(legacy)}",
            f"an output that differs by {error:.3g}, of a cell with "
            f"activation={_name(cell.activation)}, "
            f"recurrent_activation={_name(cell.recurrent_activation)}",
            "give the layer the activations of the legacy cell; for the hard_sigmoid of Keras 1 "
            "and 2 that is rnn_migrator.legacy_hard_sigmoid",
        )
    ]


def _name(activation: Any) -> str:
    return getattr(activation, "__name__", repr(activation))
