"""What can say how the legacy model computes, and the registry through which it is found."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.inputs.case import Case, Material
from rnn_migrator.errors import MigrationError
from rnn_migrator.recognition.recognise import Recognition


class Oracle(abc.ABC):
    """The legacy model as somebody else than the converter computes it, in float32.

    Attributes:
      name: Name in reports.
      rank: Strongest first.
      covers: What of the legacy model it runs, in words.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    covers: str

    @classmethod
    @abc.abstractmethod
    def open(cls, recognition: Recognition, materials: Sequence[Material]) -> Oracle:
        """Makes the oracle ready for a source.

        Raises:
          MigrationError: It is not to be had for this source; the text says why.
        """

    def adapt(self, case: Case) -> Case:
        """The case as this oracle can take it; fixed shapes of a legacy graph may force one."""
        return case

    @abc.abstractmethod
    def run(self, case: Case) -> Mapping[str, Array] | None:
        """Outputs by the names of the signature, or None where it cannot run this case."""

    def close(self) -> None:  # noqa: B027 - most oracles take nothing
        """Frees what `open` took."""


@dataclasses.dataclass(frozen=True)
class Absence:
    """An oracle that is not to be had, and why."""

    name: str
    reason: str


_REGISTRY: list[type[Oracle]] = []

OracleClass = TypeVar("OracleClass", bound=type[Oracle])


def register(cls: OracleClass) -> OracleClass:
    """Class decorator that enters an oracle into the registry."""
    _REGISTRY.append(cls)
    return cls


@dataclasses.dataclass(frozen=True)
class Attendance:
    """Which oracles took part.

    Attributes:
      covers: What each runs of the legacy model, by name, strongest first.
      absent: Those that were not to be had, and why.
    """

    covers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    absent: tuple[Absence, ...] = ()

    def merge(self, other: Attendance) -> Attendance:
        """Of several workers."""
        absent = dict.fromkeys(self.absent + other.absent)
        return Attendance({**self.covers, **other.covers}, tuple(absent))


def open_oracles(
    recognition: Recognition, materials: Sequence[Material]
) -> tuple[list[Oracle], Attendance]:
    """Every oracle that is to be had for a source, strongest first, and who they are."""
    opened: list[Oracle] = []
    absent: list[Absence] = []
    for oracle in sorted(_REGISTRY, key=lambda cls: cls.rank):
        try:
            opened.append(oracle.open(recognition, materials))
        except MigrationError as e:
            problem = e.problems[0]
            # A report is about one artifact, wherever its files lie.
            itself = problem.where == str(recognition.artifact.path)
            where = "" if itself else f" ({problem.where})"
            absent.append(Absence(oracle.name, problem.received + where))
    return opened, Attendance({one.name: one.covers for one in opened}, tuple(absent))
