"""Cells with random weights, each with the numpy step of the TensorFlow 1 cell it stands for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from rnn_migrator.keras_model.activations import legacy_hard_sigmoid
from rnn_migrator.keras_model.cells import (
    CoupledLSTMCell,
    LayerNormLSTMCell,
    LegacyLSTMCell,
    UGRNNCell,
)
from tests.keras_model.cells import tf1

BATCH, TIME, INPUTS, UNITS, PROJECTION = 5, 6, 3, 5, 4
FORGET_BIAS = 0.7
MASKS = {
    "none": None,
    "ragged": np.arange(TIME) < np.array([[6], [2], [0], [1], [4]]),
    "holes": np.array(
        [[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 1], [0] * 6, [0, 1, 0, 0, 0, 0], [1] * 6], bool
    ),
}

Array = Any


@dataclasses.dataclass(frozen=True)
class Example:
    """A cell, what it must compute, and what one could get wrong.

    Attributes:
      inputs: Width of what the cell reads.
      make: Makes the cell, with arguments of `keras.layers.Layer`.
      step: The same in numpy.
      weights: Weights of the cell by name, in its order.
      states: Widths of its states.
      mistakes: Those of `step` that make a difference here.
    """

    inputs: int
    make: Callable[..., Any]
    step: tf1.Step
    weights: dict[str, Array]
    states: tuple[int, ...]
    mistakes: tuple[str, ...]

    def cell(self, **kwargs: Any) -> Any:
        """The cell, built and filled."""
        cell = self.make(**kwargs)
        cell.build((None, self.inputs))
        cell.set_weights(list(self.weights.values()))
        return cell

    def initial_states(self, seed: int = 3) -> list[Array]:
        rng = np.random.default_rng(seed)
        return [rng.normal(0, 0.4, (BATCH, width)) for width in self.states]

    def zero_states(self) -> list[Array]:
        return [np.zeros((BATCH, width)) for width in self.states]


def sequences(inputs: int = INPUTS, seed: int = 5) -> Array:
    return np.random.default_rng(seed).normal(size=(BATCH, TIME, inputs))


def matrices(
    kernel: Array, bias: Array | None, inputs: int, stored: tuple[str, ...], wanted: tuple[str, ...]
) -> dict[str, Array]:
    """TF1's one matrix and bias as Keras keeps them, with the blocks in another order."""

    def ordered(array: Array) -> Array:
        blocks = dict(zip(stored, np.split(array, len(stored), axis=-1), strict=True))
        return np.concatenate([blocks[gate] for gate in wanted], axis=-1)

    found = {"kernel": ordered(kernel[:inputs]), "recurrent_kernel": ordered(kernel[inputs:])}
    return found if bias is None else {**found, "bias": ordered(bias)}


def with_forget_bias(bias: Array, gate: str, stored: tuple[str, ...], amount: float) -> Array:
    """A copy of a TF1 bias with the constant that TF1 adds to the gate at run time."""
    blocks = dict(zip(stored, np.split(np.array(bias), len(stored)), strict=True))
    return np.concatenate([amount * (name == gate) + blocks[name] for name in stored])


def softsign(x: Array) -> Array:
    return x / (1 + np.abs(x))


def hard_sigmoid(x: Array) -> Array:
    return tf1.clip(0.4 * x, 1.0) / 2 + 0.5  # clip(0.2 x + 0.5, 0, 1)


Builder = Callable[[int, int], Example]
"""(seed, inputs) to an example."""

TF1_LSTM = ("input", "candidate", "forget", "output")
KERAS_LSTM = ("input", "forget", "candidate", "output")


def lstm(
    seed: int,
    inputs: int,
    *,
    mistakes: tuple[str, ...],
    peephole: tuple[str, ...] = (),
    projection: int | None = None,
    use_bias: bool = True,
    scale: float = 0.7,
    tf1_options: Mapping[str, Any] = MappingProxyType({}),
    **arguments: Any,
) -> Example:
    rng = np.random.default_rng(seed)
    width = projection or UNITS
    v = {
        "kernel": rng.normal(0, scale, (inputs + width, 4 * UNITS)),
        "bias": rng.normal(0, 0.7, 4 * UNITS) * use_bias,
    }
    amount = FORGET_BIAS * use_bias
    bias = with_forget_bias(v["bias"], "forget", TF1_LSTM, amount) if use_bias else None
    weights = matrices(v["kernel"], bias, inputs, TF1_LSTM, KERAS_LSTM)
    for gate in peephole:
        weights[f"{gate}_peephole"] = v[f"w_{gate[0]}_diag"] = rng.normal(0, 0.8, UNITS)
    if projection:
        weights["projection_kernel"] = v["projection/kernel"] = rng.normal(
            0, 0.9, (UNITS, projection)
        )

    def make(**kwargs: Any) -> LegacyLSTMCell:
        own = {"peephole": peephole, "projection_size": projection, "use_bias": use_bias}
        return LegacyLSTMCell(UNITS, **own, **arguments, **kwargs)

    step = functools.partial(tf1.lstm, v, forget_bias=amount, **tf1_options)
    return Example(inputs, make, step, weights, (width, UNITS), mistakes)


def layer_norm_lstm(seed: int, inputs: int) -> Example:
    rng = np.random.default_rng(seed)
    scopes = {"input": "input", "forget": "forget", "candidate": "transform"}
    scopes |= {"output": "output", "state": "state"}
    v = {"kernel": rng.normal(0, 0.7, (inputs + UNITS, 4 * UNITS))}
    weights = matrices(v["kernel"], None, inputs, TF1_LSTM, KERAS_LSTM)
    for ours, theirs in scopes.items():
        v[f"{theirs}/gamma"] = rng.normal(1, 0.3, UNITS)
        v[f"{theirs}/beta"] = rng.normal(0, 0.5, UNITS)
        weights[f"{ours}_gamma"] = v[f"{theirs}/gamma"]
        weights[f"{ours}_beta"] = v[f"{theirs}/beta"] + FORGET_BIAS * (ours == "forget")
    step = functools.partial(tf1.layer_norm_lstm, v, forget_bias=FORGET_BIAS, activation=softsign)
    make = functools.partial(LayerNormLSTMCell, UNITS, activation="softsign")
    mistakes = tuple(tf1.MISTAKES["layer_norm_lstm"])
    return Example(inputs, make, step, weights, (UNITS, UNITS), mistakes)


def coupled_lstm(
    seed: int,
    inputs: int,
    *,
    mistakes: tuple[str, ...],
    peephole: tuple[str, ...] = (),
    projection: int | None = None,
    clip: float | None = None,
) -> Example:
    rng = np.random.default_rng(seed)
    stored, wanted = ("candidate", "forget", "output"), ("forget", "candidate", "output")
    width = projection or UNITS
    v = {
        "W_0": rng.normal(0, 0.7, (inputs + width, 3 * UNITS)),
        "B": rng.normal(0, 0.7, 3 * UNITS),
    }
    bias = with_forget_bias(v["B"], "forget", stored, FORGET_BIAS)
    weights = matrices(v["W_0"], bias, inputs, stored, wanted)
    for gate in peephole:
        diagonal = rng.normal(0, 0.8, UNITS)
        weights[f"{gate}_peephole"] = v[f"W_{gate[0].upper()}_diag"] = diagonal
    if projection:
        weights["projection_kernel"] = v["W_P_0"] = rng.normal(0, 0.9, (UNITS, projection))

    def make(**kwargs: Any) -> CoupledLSTMCell:
        own = {"peephole": peephole, "projection_size": projection, "projection_clip": clip}
        return CoupledLSTMCell(UNITS, **own, **kwargs)

    step = functools.partial(tf1.coupled_lstm, v, forget_bias=FORGET_BIAS, proj_clip=clip)
    return Example(inputs, make, step, weights, (width, UNITS), mistakes)


def ugrnn(seed: int, inputs: int) -> Example:
    rng = np.random.default_rng(seed)
    columns = ("gate", "candidate")
    v = {
        "kernel": rng.normal(0, 0.7, (inputs + UNITS, 2 * UNITS)),
        "bias": rng.normal(0, 0.7, 2 * UNITS),
    }
    bias = with_forget_bias(v["bias"], "gate", columns, FORGET_BIAS)
    weights = matrices(v["kernel"], bias, inputs, columns, columns)
    step = functools.partial(tf1.ugrnn, v, forget_bias=FORGET_BIAS)
    make = functools.partial(UGRNNCell, UNITS)
    return Example(inputs, make, step, weights, (UNITS,), tuple(tf1.MISTAKES["ugrnn"]))


BUILDERS: dict[str, Builder] = {
    "lstm": functools.partial(lstm, mistakes=("no forgetting", "no forget bias")),
    "lstm_full": functools.partial(
        lstm,
        peephole=("input", "forget", "output"),
        projection=PROJECTION,
        cell_clip=0.35,
        projection_clip=0.4,
        mistakes=tuple(tf1.MISTAKES["lstm"]),
        tf1_options={"cell_clip": 0.35, "proj_clip": 0.4},
    ),
    "lstm_hard_sigmoid": functools.partial(
        lstm,
        peephole=("forget", "output"),
        use_bias=False,
        scale=1.6,  # some gates are saturated
        activation="softsign",
        recurrent_activation=legacy_hard_sigmoid,
        mistakes=("no forget peephole", "output peephole sees the old c"),
        tf1_options={"activation": softsign, "gate": hard_sigmoid},
    ),
    "layer_norm_lstm": layer_norm_lstm,
    "coupled_lstm": functools.partial(coupled_lstm, mistakes=("forget takes in",)),
    "coupled_lstm_full": functools.partial(
        coupled_lstm,
        peephole=("forget", "output"),
        projection=PROJECTION,
        clip=0.4,
        mistakes=tuple(tf1.MISTAKES["coupled_lstm"]),
    ),
    "ugrnn": ugrnn,
}
EXAMPLES = {name: build(11, INPUTS) for name, build in BUILDERS.items()}
