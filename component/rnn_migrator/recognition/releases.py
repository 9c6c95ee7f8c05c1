"""Releases of the legacy frameworks, and defaults that changed from one to another."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from rnn_migrator.canonical import Fact, Origin

Version = tuple[int, int]

_FIRST, _LAST = (0, 0), (1, 15)


@dataclasses.dataclass(frozen=True)
class Release:
    """A framework ("tensorflow", "keras" or "tf.keras") and its version."""

    framework: str
    version: Version

    def __str__(self) -> str:
        return f"{self.framework}-{'.'.join(map(str, self.version))}"


def parse_release(text: str) -> Release:
    """A release such as `tensorflow-1.2` or `keras-2.2.4`.

    Raises:
      ValueError: It is none.
    """
    match = re.fullmatch(r"(tensorflow|keras|tf\.keras)[- ](\d+)\.(\d+)(?:\.\w+)*", text.lower())
    if match is None:
        raise ValueError("a release is tensorflow-X.Y, keras-X.Y or tf.keras-X.Y")
    return Release(match[1], (int(match[2]), int(match[3])))


@dataclasses.dataclass(frozen=True)
class Default:
    """What a class does unless its author said otherwise.

    Attributes:
      since: Value by the first version that has it.
      why: Where it stands, for a person to look up.
    """

    since: Mapping[Version, Any]
    why: str

    def fact(
        self, stated: Fact[Release] | None, first: Version = _FIRST, last: Version = _LAST
    ) -> Fact[Any]:
        """The default as a fact.

        Args:
          stated: The release that the user says wrote the artifact.
          first: Earliest version that the names in the artifact allow.
          last: Latest one.
        """
        if stated is not None:
            value = self._at(stated.value.version)
            return Fact(value, Origin.RELEASE, f"{self.why}; {stated.source}")
        starts = [first, *(v for v in self.since if first < v <= last)]
        values = [self._at(version) for version in starts]
        if all(value == values[0] for value in values):
            return Fact(values[0], Origin.ASSUMED, self.why)
        return Fact(None, Origin.UNDECIDED, self.why)

    def _at(self, version: Version) -> Any:
        return self.since[max(v for v in self.since if v <= version)]


def always(value: Any, why: str) -> Default:
    """A default that never changed."""
    return Default({_FIRST: value}, why)
