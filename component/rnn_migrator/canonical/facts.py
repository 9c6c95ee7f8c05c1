"""Inferred values and where each of them came from."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Origin(enum.Enum):
    """How a value became known, from the strongest source to the weakest."""

    USER = "user setting"
    GRAPH = "legacy graph"
    CONFIG = "model config"
    TENSORS = "names and shapes of the tensors"
    CLASS = "fixed by the class in every release"
    RELEASE = "default of the stated release"
    ASSUMED = "assumed: the default of the class"
    UNDECIDED = "unknown: the releases disagree"


@dataclasses.dataclass(frozen=True)
class Fact(Generic[T_co]):
    """A value that the weights alone do not say, with its origin.

    Attributes:
      value: What was found.
      origin: How it was found.
      source: The place, for a person to look it up: a graph node, a config key, an option.
    """

    value: T_co
    origin: Origin
    source: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether something better than a default of the class stands behind the value."""
        return self.origin not in (Origin.ASSUMED, Origin.UNDECIDED)

    def describe(self) -> str:
        """The origin and the place, in one line."""
        return f"{self.origin.value} ({self.source})" if self.source else self.origin.value

    def to_json(self) -> dict[str, Any]:
        """The fact as JSON values, for reports and lineage."""
        return {"value": self.value, "origin": self.origin.name.lower(), "source": self.source}
