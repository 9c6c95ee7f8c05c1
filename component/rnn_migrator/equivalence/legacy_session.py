"""The legacy graph itself as an oracle: its recurrent part, run on CPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.legacy_runners import (
    REMEDY,
    Chain,
    IteratedStep,
    Runner,
    WholeLoop,
    refused,
)
from rnn_migrator.equivalence.legacy_subgraph import Load
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.readers.metagraph import Graph, Tensor
from rnn_migrator.recognition.graph.step import Step
from rnn_migrator.recognition.graph.wiring import sources
from rnn_migrator.recognition.graph_facts import GraphCell

__all__ = ["LegacyLoop"]

Layer = Mapping[str, GraphCell]
"""Cell by direction: "" for an only one, "fw" and "bw" for both."""

_DIRECTIONS = ("", "fw", "bw")
_MOST_CHAINS = 256
_MOST_REASONS = 8


class LegacyLoop:
    """The recurrent layers of a legacy graph, ready to be run many times.

    Example:
      >>> artifact = open_artifact("model.ckpt")
      >>> graph = read_metagraph(artifact.graph)
      >>> cell = find_cells(graph, ["rnn/lstm_cell/kernel"])["rnn/lstm_cell/kernel"]
      >>> with LegacyLoop(graph, artifact.read, [{"": cell}]) as legacy:
      ...     outputs = legacy.run(inputs, sequence_length)["outputs"]

    Attributes:
      how: What is run, in words.
      fixed_batch: Batch size that the graph is made for, None for any.
      fixed_time: Number of time steps that the graph is made for, None for any.
      accepts_lengths: Whether `run` takes lengths that are shorter than the time axis.
    """

    def __init__(self, graph: Graph, load: Load, layers: Sequence[Layer]) -> None:
        """Prepares the run; only the tensors that it needs are read.

        Args:
          graph: The legacy graph.
          load: Reads one tensor of the checkpoint by name.
          layers: The cells, first layer to last.

        Raises:
          UnsupportedError: The graph cannot act as oracle, with the reasons.
          UnreadableError: A tensor of the checkpoint cannot be read.
        """
        ordered = [{d: layer[d] for d in _DIRECTIONS if d in layer} for layer in layers]
        self._runner = _runner(graph, load, ordered)
        self.how = self._runner.how
        self.fixed_batch = self._runner.fixed_batch
        self.fixed_time = self._runner.fixed_time
        self.accepts_lengths = self._runner.accepts_lengths

    def run(
        self,
        inputs: Array,
        sequence_length: Array | None = None,
        initial_states: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Runs all layers over a batch of sequences.

        Args:
          inputs: [batch, time, features] float32.
          sequence_length: [batch], None for the whole time axis.
          initial_states: [batch, width] float32 by name; those left out are zeros.

        Returns:
          "outputs" [batch, time, width of the last layer], both directions joined, zeros past the
          length; and the final states [batch, width] by name: h_0, c_0, h_1, …, or fw_h_0,
          fw_c_0, bw_h_0, … of a layer in both directions.

        Raises:
          UnsupportedError: The graph is not made for such a batch, or fails on it.
        """
        import tensorflow as tf

        batch, time = inputs.shape[:2]
        ends = np.full(batch, time) if sequence_length is None else np.asarray(sequence_length)
        self._check(batch, time, ends)
        zeros = {
            name: np.zeros((batch, width), np.float32)
            for name, width in self._runner.state_widths.items()
        }
        try:
            return self._runner.run(inputs, ends, {**zeros, **(initial_states or {})})
        except tf.errors.OpError as e:
            raise refused(str(e).strip().split("\n")[0]) from e

    def _check(self, batch: int, time: int, ends: Array) -> None:
        if self.fixed_batch not in (None, batch):
            raise refused(f"a batch of {batch}, where the graph is made for {self.fixed_batch}")
        if self.fixed_time not in (None, time):
            raise refused(f"{time} time steps, where the graph is made for {self.fixed_time}")
        if not self.accepts_lengths and (ends != time).any():
            raise refused("sequence lengths, which the graph does not take")

    def close(self) -> None:
        """Ends the session."""
        self._runner.close()

    def __enter__(self) -> LegacyLoop:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _runner(graph: Graph, load: Load, layers: Sequence[Layer]) -> Runner:
    """The whole loops where the layers are some, else their steps."""
    chains = list(itertools.islice(_chains(graph, layers), _MOST_CHAINS))
    reasons = [] if chains else [_unchained(graph, layers)]
    ways: tuple[type[WholeLoop] | type[IteratedStep], ...] = (WholeLoop, IteratedStep)
    for way, chain in itertools.product(ways, chains):
        try:
            return way(graph, load, chain)
        except UnsupportedError as e:
            reasons += e.problems
    raise UnsupportedError(*itertools.islice(dict.fromkeys(reasons), _MOST_REASONS))


def _chains(graph: Graph, layers: Sequence[Layer]) -> Iterator[Chain]:
    """Steps that feed each other, one of each cell; copies of the layers give several chains."""
    steps = _by_output(layers)
    for top in itertools.product(*(cell.steps for cell in layers[-1].values())):
        chain = [dict(zip(layers[-1], top, strict=True))]
        for below in reversed(layers[:-1]):
            feeding = _feeding(graph, chain[0], below, steps)
            if feeding is None:
                break
            chain.insert(0, feeding)
        if len(chain) == len(layers):
            yield chain


def _by_output(layers: Sequence[Layer]) -> dict[Tensor, Step]:
    cells = (cell for layer in layers for cell in layer.values())
    return {step.new_states["h"]: step for cell in cells for step in cell.steps}


def _feeding(
    graph: Graph, above: Mapping[str, Step], below: Layer, steps: Mapping[Tensor, Step]
) -> dict[str, Step] | None:
    """The steps of a layer that feed the steps above; None if something else feeds them."""
    found = {
        tuple(steps.get(source.tensor) for source in sources(graph, step.x, steps))
        for step in above.values()
        if step.x
    }
    feeding = found.pop() if len(found) == 1 else ()
    if len(feeding) != len(below):
        return None
    known = {
        direction: step
        for (direction, cell), step in zip(below.items(), feeding, strict=True)
        if step in cell.steps
    }
    return {d: step for d, step in known.items() if step} if len(known) == len(below) else None


def _unchained(graph: Graph, layers: Sequence[Layer]) -> Problem:
    steps = _by_output(layers)
    firsts = [cell.steps[0] for layer in layers for cell in layer.values()]
    taken = [source for step in firsts if step.x for source in sources(graph, step.x, steps)]
    return Problem(
        where=graph.path.name,
        expected="layers of which each takes the output of the one before as it is",
        received="layers that take " + ", ".join(str(source.tensor) for source in taken),
        remedy=REMEDY,
    )
