"""What every layout offers, and the registry through which it is found."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from rnn_migrator.canonical import Array, Cell, CellKind, Fact
from rnn_migrator.errors import Problem
from rnn_migrator.layouts.shapes import Shape, Sizes, evaluate, solve

Tensors = Mapping[str, Array]
Facts = Mapping[str, Fact[Any]]
States = Mapping[str, Array]


class Layout(abc.ABC):
    """How one family of sources lays the weights of a cell out in tensors.

    `to_canonical` and `from_canonical` are exact inverses. `step` computes one time step from
    the tensors as they lie in the source, by the formula of the framework that wrote them; it
    shares no code with the conversion, so that it can judge it.

    Attributes:
      name: Name in the registry and in reports.
      kind: The recurrence.
      symbols: Shape of each tensor in letters (see `shapes`), by what it is called here. The first
        tensors are those by which the sizes are told.
      optional: Tensors that not every such cell has.
      together: Optional tensors of which a cell has all or none.
      adds_forget_bias: Whether the cell adds a forget bias at run time.
      clips: The bounds such a cell can put on its states, by the names of `Cell`'s attributes.
      leaves_open: What else neither tensors nor class decide, by the names of `Cell`'s attributes.
    """

    name: ClassVar[str]
    kind: ClassVar[CellKind]
    symbols: ClassVar[Mapping[str, str]]
    optional: ClassVar[frozenset[str]] = frozenset()
    together: ClassVar[frozenset[str]] = frozenset()
    adds_forget_bias: ClassVar[bool] = False
    clips: ClassVar[frozenset[str]] = frozenset()
    leaves_open: ClassVar[frozenset[str]] = frozenset()

    @property
    def roles(self) -> tuple[str, ...]:
        """What the tensors are called here."""
        return tuple(self.symbols)

    def sizes(self, shapes: Mapping[str, Shape]) -> dict[str, int] | None:
        """Sizes by letter, told by the shapes of the tensors; None where no such cell exists."""
        return solve({role: self.symbols[role] for role in self.roles if role in shapes}, shapes)

    def shapes(self, sizes: Sizes, roles: Iterable[str] | None = None) -> dict[str, Shape]:
        """Shape of every role, or of the given ones, for the given sizes."""
        wanted = self.roles if roles is None else roles
        return {role: evaluate(self.symbols[role], sizes) for role in wanted}

    @abc.abstractmethod
    def to_canonical(self, tensors: Tensors, facts: Facts) -> Cell:
        """The canonical cell; tensors by role, facts by the names of `Cell`'s attributes."""

    @abc.abstractmethod
    def from_canonical(self, cell: Cell) -> dict[str, Array]:
        """The tensors by role, bit for bit those that `to_canonical` was given."""

    @abc.abstractmethod
    def step(self, tensors: Tensors, facts: Facts, x: Array, states: States) -> dict[str, Array]:
        """One time step in the dtype of the tensors.

        Args:
          tensors: By role, as they lie in the source.
          facts: By the names of `Cell`'s attributes.
          x: (batch, input_size), of a convolution the maps of one step.
          states: "h" (batch, output_size) and, for the LSTM family, "c" (batch, units).

        Returns:
          The next states; "h" is also the output.
        """

    def zero_states(self, cell: Cell, x: Array) -> dict[str, Array]:
        """The states a sequence begins with; x is one step of the input."""
        return {name: np.zeros((len(x), n), x.dtype) for name, n in cell.state_sizes.items()}

    def problems(self, where: str, shapes: Mapping[str, Shape]) -> list[Problem]:
        """What is wrong with the tensors found for a cell, by their shapes.

        Args:
          where: Scope or layer, for the message.
          shapes: Shape by role.
        """
        some = self.together & set(shapes)
        if some and some != self.together:
            return [self._torn(where, some)]
        sizes = self.sizes(shapes)
        if sizes is None:
            role = next(role for role in self.roles if role in shapes)
            return [self._misfit(where, role, "a matrix of such a cell", shapes[role])]
        expected = self.shapes(sizes, shapes)
        return [
            self._misfit(where, role, f"shape {list(expected[role])}", shape)
            for role, shape in shapes.items()
            if shape != expected[role]
        ]

    def _torn(self, where: str, some: frozenset[str]) -> Problem:
        return Problem(
            where=where,
            expected=f"all or none of {self._listed(self.together)}",
            received=f"only {self._listed(some)}",
            remedy="check that the file is the one the model was saved to, whole and of this cell",
        )

    def _listed(self, roles: frozenset[str]) -> str:
        return ", ".join(role for role in self.roles if role in roles)

    def _misfit(self, where: str, role: str, expected: str, shape: Shape) -> Problem:
        return Problem(
            where=f"{where}, {role}",
            expected=f"{expected} ({self.name}: {self.describe_shapes()})",
            received=f"shape {list(shape)}",
            remedy="check that the file is the one the model was saved to, whole and of this cell",
        )

    def describe_shapes(self) -> str:
        """The shapes in letters, for messages."""
        return ", ".join(f"{role} {shape}" for role, shape in self.symbols.items())


_REGISTRY: dict[str, Layout] = {}

LayoutClass = TypeVar("LayoutClass", bound=type[Layout])


def register(cls: LayoutClass) -> LayoutClass:
    """Class decorator that enters a layout into the registry."""
    _REGISTRY[cls.name] = cls()
    return cls


def get_layout(name: str) -> Layout:
    """The layout of that name."""
    return _REGISTRY[name]


def all_layouts() -> tuple[Layout, ...]:
    """Every registered layout."""
    return tuple(_REGISTRY.values())
