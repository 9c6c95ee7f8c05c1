"""One batch of inputs, and everything that gives such batches."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping

from rnn_migrator.canonical import LENGTHS, Array, CanonicalModel, ModelInput, state_sizes

Excess = Callable[["Case"], float]
"""How many times its bound the converted model's error is in a case."""


class Material(abc.ABC):
    """What models are compared on, as one element of the evaluation; pickled as it goes.

    Attributes:
      key: Name in reports, by which it can be found again.
    """

    key: str

    @abc.abstractmethod
    def cases(self, model: CanonicalModel, excess: Excess) -> Iterator[Case]:
        """The cases, one at a time.

        Args:
          model: The source.
          excess: For a search that wants to see what a case comes to.

        Raises:
          MigrationError: They cannot be read, or do not fit the model.
        """

    @abc.abstractmethod
    def find(self, key: str, model: CanonicalModel) -> Case | None:
        """The case that a report names, None if it is none of these.

        Raises:
          MigrationError: It cannot be read.
        """

    def records(self) -> Mapping[str, int]:
        """How many records of a file must be compared in all, where this is the one to count."""
        return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Case(Material):
    """One batch of inputs for one signature.

    Attributes:
      key: Name in reports, by which it can be found again.
      signature: `serving_default`, `with_lengths`, `step`, or `examples`.
      inputs: By the names of the signature; for `examples`, of the one that it stands for.
      expected: Outputs that the original framework recorded, by the names of the signature.
      calls: How often in a row the signature is called, from zero states; the last call counts.
      rows: Key of each row, where rows are records of a data set; a row may come twice.
      file: The data set's file that the rows come from.
      thorough: Whether controls run too, and rounding is measured whatever the errors.
    """

    key: str
    signature: str
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array] | None = None
    calls: int = 1
    rows: tuple[str, ...] = ()
    file: str = ""
    thorough: bool = True

    def cases(self, model: CanonicalModel, excess: Excess) -> Iterator[Case]:
        """See `Material.cases`."""
        yield self

    def find(self, key: str, model: CanonicalModel) -> Case | None:
        """See `Material.find`."""
        return self if key == self.key else None

    def records(self) -> Mapping[str, int]:
        """See `Material.records`."""
        return {self.file: len(set(self.rows))} if self.rows else {}


def signature_inputs(model: CanonicalModel, signature: str) -> dict[str, ModelInput]:
    """What a signature takes, by name."""
    inputs = {source.name: source for source in model.inputs}
    if signature == "with_lengths":
        inputs[LENGTHS] = ModelInput(LENGTHS, (), "int32")
    if signature == "step":
        layers = model.recurrent_layers
        inputs["inputs"] = ModelInput("inputs", (layers[0].input_size,))
        inputs |= {name: ModelInput(name, (n,)) for name, n in state_sizes(layers).items()}
    return inputs
