"""What every layout offers, and the registry through which it is found."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from rnn_migrator.canonical import Array, Cell, CellKind, Fact
from rnn_migrator.errors import Problem

Tensors = Mapping[str, Array]
Facts = Mapping[str, Fact[Any]]
States = Mapping[str, Array]
Shape = tuple[int, ...]


class Layout(abc.ABC):
    """How one family of sources lays the weights of a cell out in tensors.

    `to_canonical` and `from_canonical` are exact inverses. `step` computes one time step from
    the tensors as they lie in the source, by the formula of the framework that wrote them; it
    shares no code with the conversion, so that it can judge it.

    Attributes:
      name: Name in the registry and in reports.
      kind: The recurrence.
      roles: What the tensors are called here.
      sizing_role: The role whose shape alone tells input size and units.
    """

    name: ClassVar[str]
    kind: ClassVar[CellKind]
    roles: ClassVar[tuple[str, ...]]
    sizing_role: ClassVar[str]

    @abc.abstractmethod
    def sizes(self, shape: Shape) -> tuple[int, int] | None:
        """(input_size, units) by the shape of `sizing_role`, None where no such cell exists."""

    @abc.abstractmethod
    def shapes(self, input_size: int, units: int) -> dict[str, Shape]:
        """Shape of every role for the given sizes."""

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
          x: (batch, input_size).
          states: "h" and, for an LSTM, "c", each (batch, units).

        Returns:
          The next states; "h" is also the output.
        """

    def problems(self, where: str, shapes: Mapping[str, Shape]) -> list[Problem]:
        """What is wrong with the shapes of the tensors found for a cell.

        Args:
          where: Scope or layer, for the message.
          shapes: Shape by role.
        """
        sizing = shapes[self.sizing_role]
        sizes = self.sizes(sizing)
        if sizes is None:
            return [self._misfit(where, self.sizing_role, "a matrix of such a cell", sizing)]
        expected = self.shapes(*sizes)
        return [
            self._misfit(where, role, f"shape {list(expected[role])}", shapes[role])
            for role in self.roles
            if shapes[role] != expected[role]
        ]

    def _misfit(self, where: str, role: str, expected: str, shape: Shape) -> Problem:
        return Problem(
            where=f"{where}, {role}",
            expected=f"{expected} ({self.name}: {self.describe_shapes()})",
            received=f"shape {list(shape)}",
            remedy="check that the file is the one the model was saved to, whole and of this cell",
        )

    def describe_shapes(self) -> str:
        """The shapes in symbols, for messages."""
        return ", ".join(f"{role} {shape}" for role, shape in self.symbols().items())

    @abc.abstractmethod
    def symbols(self) -> dict[str, str]:
        """Shape of every role in the letters I (input size) and U (units)."""


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
