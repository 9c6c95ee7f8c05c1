"""Everything that a converted model is compared on, and how a key of a report is found again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence.inputs.case import Case, Material
from rnn_migrator.equivalence.inputs.examples import Examples
from rnn_migrator.equivalence.inputs.probes import probe_cases
from rnn_migrator.equivalence.inputs.recorded import recorded_cases
from rnn_migrator.equivalence.inputs.search import SearchSpace
from rnn_migrator.errors import Problem, UsageError, raise_all


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the user gives to compare on; probes come by themselves.

    Attributes:
      golden: NPZ files of recorded inputs and outputs.
      examples: A data set.
      search: Where to search for the worst input.
    """

    golden: tuple[str, ...] = ()
    examples: Examples | None = None
    search: SearchSpace | None = None

    def materials(self, model: CanonicalModel, records: bool = False) -> list[Material]:
        """Recorded cases, probes, the parts of the data set and of the search, in this order.

        Args:
          model: The source.
          records: Whether the converted model has the signature `examples`.

        Raises:
          MigrationError: They cannot be read, or do not fit the model.
        """
        recorded = [case for file in self.golden for case in recorded_cases(Path(file), model)]
        return [
            *recorded,
            *probe_cases(model, records),
            *(self.examples.of(model).parts() if self.examples else ()),
            *(self.search.of(model).hunts() if self.search else ()),
        ]


def find(key: str, materials: Sequence[Material], model: CanonicalModel) -> Case | None:
    """The case that a report names, None if it is none of these.

    Raises:
      MigrationError: It cannot be read.
    """
    found = (material.find(key, model) for material in materials)
    return next((case for case in found if case is not None), None)


def chosen(
    keys: Sequence[str], materials: Sequence[Material], model: CanonicalModel
) -> Sequence[Material]:
    """What some keys of a report stand for, everything where none is named.

    Raises:
      UsageError: A key stands for nothing.
    """
    if not keys:
        return materials
    known: dict[str, Material] = {material.key: material for material in materials}
    found = {key: known.get(key) or find(key, materials, model) for key in keys}
    raise_all(UsageError, (_unknown(key, known) for key, one in found.items() if one is None))
    return [one for one in found.values() if one is not None]


def _unknown(key: str, known: Iterable[str]) -> Problem:
    return Problem(
        where=f"--only {key}",
        expected="the key of a case: " + ", ".join(known),
        received=repr(key),
        remedy="name one of these, or a worst case of a report, with the --examples or the "
        "--search that it was found with",
    )
