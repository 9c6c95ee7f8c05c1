"""Everything the migrator refuses, as values that say what to do about it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable


class ExitStatus(enum.IntEnum):
    """Exit status of `rnn-migrate`, a contract with scripts."""

    OK = 0
    NOT_EQUIVALENT = 1
    USAGE = 2
    UNSUPPORTED = 3
    UNREADABLE = 4


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that stands in the way.

    Attributes:
      where: The argument, file, variable or layer concerned.
      expected: What would have been right.
      received: What was there instead.
      remedy: What the user can do.
    """

    where: str
    expected: str
    received: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.where}: expected {self.expected}. Received: {self.received}. "
            f"Remedy: {self.remedy}"
        )


class MigrationError(Exception):
    """A refusal, with all problems found and the exit status that goes with them."""

    status = ExitStatus.UNSUPPORTED

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[type[MigrationError], tuple[Problem, ...]]:
        return type(self), self.problems


class UsageError(MigrationError):
    """The arguments or the configuration are wrong."""

    status = ExitStatus.USAGE


class UnsupportedError(MigrationError):
    """The artifact is ambiguous, or holds something that cannot be converted."""

    status = ExitStatus.UNSUPPORTED


class UnreadableError(MigrationError):
    """The artifact is damaged, cut short or hostile."""

    status = ExitStatus.UNREADABLE


class NotEquivalentError(MigrationError):
    """The converted model does not compute what the legacy model computes."""

    status = ExitStatus.NOT_EQUIVALENT


def raise_all(error: type[MigrationError], problems: Iterable[Problem]) -> None:
    """Raises one error that carries all problems, if there are any."""
    found = tuple(problems)
    if found:
        raise error(*found)
