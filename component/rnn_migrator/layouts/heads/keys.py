"""Kinds of values in a config: what is right, and the value in the form that Keras 3 takes.

Configs come from untrusted files, so a value is looked at before anything computes with it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

_LARGEST = 2**31 - 1
"""No size or axis of a tensor is larger."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of value.

    Attributes:
      expected: What is right, in words.
      parse: The value in the form that Keras 3 takes; raises ValueError where it is wrong.
    """

    expected: str
    parse: Callable[[Any], Any]


def integer(low: int = 1, high: int = _LARGEST) -> Kind:
    """A whole number within bounds, by default a size."""
    return Kind(f"a whole number from {low} to {high}", lambda value: _integer(value, low, high))


def number(low: float = -math.inf, high: float = math.inf) -> Kind:
    """A finite number within bounds."""

    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(value)
        if not (low <= value <= high and abs(value) < math.inf):
            raise ValueError(value)
        return float(value)

    return Kind("a finite number" + _bounds(low, high), parse)


def choice(*values: str) -> Kind:
    """One of some words."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise ValueError(value)
        return value

    return Kind("one of " + ", ".join(values), parse)


def optional(kind: Kind) -> Kind:
    """Null, or a value of a kind."""
    return Kind(
        f"null or {kind.expected}", lambda value: None if value is None else kind.parse(value)
    )


def listed(kind: Kind, count: int | None = None) -> Kind:
    """Values of a kind as a tuple, `count` of them or at least one."""

    def parse(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) != (count or max(len(value), 1)):
            raise ValueError(value)
        return tuple(kind.parse(entry) for entry in value)

    return Kind(f"a list of {count or 'values, each'} {kind.expected}", parse)


def repeated(kind: Kind, count: int) -> Kind:
    """Values of a kind as a tuple of `count`; a single one stands for all."""
    several = listed(kind, count)

    def parse(value: Any) -> tuple[Any, ...]:
        if isinstance(value, list | tuple):
            return tuple(several.parse(value))
        return (kind.parse(value),) * count

    return Kind(f"{kind.expected}, or a list of {count} such", parse)


def either(*kinds: Kind) -> Kind:
    """A value of the first kind that takes it."""

    def parse(value: Any) -> Any:
        for kind in kinds:
            try:
                return kind.parse(value)
            except ValueError:
                continue
        raise ValueError(value)

    return Kind(", or ".join(kind.expected for kind in kinds), parse)


def _flag(value: Any) -> bool:
    if not isinstance(value, int) or value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _only_axis(value: Any) -> Any:
    """tf.keras writes the axis of a BatchNormalization as a list of one."""
    [axis] = value if isinstance(value, list | tuple) else [value]
    return AXIS.parse(axis)


def _integer(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(value)
    return value


def _bounds(low: float, high: float) -> str:
    return "".join(
        f" {word} {bound}" for word, bound in (("from", low), ("to", high)) if math.isfinite(bound)
    )


SIZE = integer()
AXIS = integer(-32, 32)
FLAG = Kind("true or false", _flag)
ONE_AXIS = Kind("one axis", _only_axis)
AXES = either(AXIS, listed(AXIS))
DATA_FORMAT = choice("channels_last", "channels_first")
