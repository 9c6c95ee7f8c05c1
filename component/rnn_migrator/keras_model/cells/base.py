"""What the cells share: matrices with columns by gate, states, peepholes, a projection."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import keras

from rnn_migrator.errors import Problem, UsageError, raise_all

Tensor = Any


class GatedCell(keras.layers.Layer):
    """One step of a recurrence whose matrices hold a block of columns for each gate.

    Subclasses name the gates in `columns`, in the order of the blocks. The first state is the
    output, as in the cells of Keras. The values that weights start with are those of Keras; a
    forget bias is part of the bias that the converter sets.

    Args:
      units: Width of each block.
      activation: Activation of the candidate and of the output, anything that
        `keras.activations.get` takes.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    columns: ClassVar[tuple[str, ...]]

    def __init__(self, units: int, activation: Any = "tanh", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = int(units)
        self.activation = keras.activations.get(activation)
        self.output_size = self.units
        self.state_size = [self.units]

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """Zeros, (batch_size, width) for each state."""
        return [
            keras.ops.zeros((batch_size, width), dtype=self.compute_dtype)
            for width in self.state_size
        ]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal cell."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}

    def _add_matrices(self, inputs: int, use_bias: bool = True) -> None:
        width = len(self.columns) * self.units
        self.kernel = self.add_weight(
            shape=(inputs, width), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.output_size, width), initializer="orthogonal", name="recurrent_kernel"
        )
        self.bias = None
        if use_bias:
            self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")

    def _blocks(self, inputs: Tensor, h: Tensor) -> dict[str, Tensor]:
        """What each gate gets, (batch, units), before its activation."""
        z = keras.ops.matmul(inputs, self.kernel) + keras.ops.matmul(h, self.recurrent_kernel)
        z = z if self.bias is None else z + self.bias
        blocks = keras.ops.split(z, len(self.columns), axis=-1)
        return dict(zip(self.columns, blocks, strict=True))


class PeepholeCell(GatedCell):
    """An LSTM that may have peepholes and a projection of its output.

    Subclasses name in `gates_with_peephole` the gates that can see the cell state. The states are
    h (batch, projection_size or units), then c (batch, units).

    Args:
      units: Width of the cell state.
      projection_size: Width of h after the projection; None for no projection.
      peephole: Whether all those gates have a peephole, or the names of those that have one.
      clips: Bounds by the name of their argument, `projection_clip` among them.
      activation: Activation of the candidate and of the output.
      **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
      UsageError: A size or a bound is not positive, a gate has no peephole in this cell, or a
        bound is given for a projection that is not there.
    """

    gates_with_peephole: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        units: int,
        projection_size: int | None,
        peephole: bool | Iterable[str],
        clips: Mapping[str, float | None],
        activation: Any,
        **kwargs: Any,
    ) -> None:
        chosen = self._chosen_gates(peephole)
        where = type(self).__name__
        raise_all(
            UsageError,
            [
                *wrong_sizes(where, {"units": units, "projection_size": projection_size}),
                *wrong_bounds(where, clips),
                *self._wrong_choices(chosen, projection_size, clips["projection_clip"]),
            ],
        )
        super().__init__(units, activation, **kwargs)
        self.projection_size = None if projection_size is None else int(projection_size)
        self.projection_clip = plain(clips["projection_clip"])
        self.peephole = tuple(gate for gate in self.gates_with_peephole if gate in chosen)
        self.output_size = self.projection_size or self.units
        self.state_size = [self.output_size, self.units]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal cell."""
        return {
            **super().get_config(),
            "projection_size": self.projection_size,
            "peephole": list(self.peephole),
            "projection_clip": self.projection_clip,
        }

    def _chosen_gates(self, peephole: bool | Iterable[str]) -> tuple[str, ...]:
        if isinstance(peephole, bool):
            return self.gates_with_peephole if peephole else ()
        return tuple(peephole)

    def _wrong_choices(
        self, gates: tuple[str, ...], projection_size: int | None, projection_clip: float | None
    ) -> Iterator[Problem]:
        where = type(self).__name__
        if not set(gates) <= set(self.gates_with_peephole):
            yield Problem(
                where=f"peephole of {where}",
                expected=f"True, False or some of {', '.join(self.gates_with_peephole)}",
                received=repr(gates),
                remedy="name gates of this cell",
            )
        if projection_clip is not None and projection_size is None:
            yield Problem(
                where=f"projection_clip of {where}",
                expected="a projection_size with it",
                received=f"{projection_clip!r} without a projection",
                remedy="leave it out: TensorFlow 1 clips nothing where nothing is projected",
            )

    def _add_peepholes_and_projection(self) -> None:
        self.peephole_weights = {
            gate: self.add_weight(
                shape=(self.units,), initializer="glorot_uniform", name=f"{gate}_peephole"
            )
            for gate in self.peephole
        }
        self.projection_kernel = None
        if self.projection_size is not None:
            self.projection_kernel = self.add_weight(
                shape=(self.units, self.projection_size),
                initializer="glorot_uniform",
                name="projection_kernel",
            )

    def _peek(self, gate: str, z: Tensor, c: Tensor) -> Tensor:
        """What a gate gets, with what it sees of a cell state."""
        return z + self.peephole_weights[gate] * c if gate in self.peephole else z

    def _project(self, h: Tensor) -> Tensor:
        if self.projection_kernel is None:
            return h
        return clipped(keras.ops.matmul(h, self.projection_kernel), self.projection_clip)


def clipped(x: Tensor, bound: float | None) -> Tensor:
    """A tensor with its values brought within -bound and bound, or as it is without a bound."""
    return x if bound is None else keras.ops.clip(x, -bound, bound)


def plain(bound: float | None) -> float | None:
    """A bound as a config can hold it: not NumPy's number."""
    return None if bound is None else float(bound)


def wrong_sizes(where: str, sizes: Mapping[str, Any]) -> Iterator[Problem]:
    """What is neither a positive integer nor, except for `units`, None."""
    for name, size in sizes.items():
        optional = name != "units"
        integer = isinstance(size, numbers.Integral) and positive(size)
        if not integer and not (optional and size is None):
            yield Problem(
                where=f"{name} of {where}",
                expected="a positive integer" + (" or None" if optional else ""),
                received=repr(size),
                remedy="give the width that the weights have",
            )


def wrong_bounds(where: str, bounds: Mapping[str, Any]) -> Iterator[Problem]:
    """What is neither a positive finite number nor None."""
    for name, bound in bounds.items():
        if bound is not None and not positive(bound):
            yield Problem(
                where=f"{name} of {where}",
                expected="a positive number or None",
                received=repr(bound),
                remedy="leave it out where the legacy cell did not clip",
            )


def positive(value: Any) -> bool:
    """Whether something is a positive finite number."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return bool(number and 0 < value < math.inf)
