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

Layer = Mapping[str, GraphCell | Sequence[GraphCell]]
"""Cell by direction: "" for an only one, "fw" and "bw" for both; or several, bottom to top."""

_Stacks = dict[str, tuple[GraphCell, ...]]
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
        self._runner = _runner(graph, load, [_stacks(layer) for layer in layers])
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
          fw_c_0, bw_h_0, … of a layer in both directions, numbered by cell from the bottom.

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


def _stacks(layer: Layer) -> _Stacks:
    """Every direction as a stack of cells, forwards first."""
    found = {d: layer[d] for d in _DIRECTIONS if d in layer}
    return {d: (c,) if isinstance(c, GraphCell) else tuple(c) for d, c in found.items()}


def _runner(graph: Graph, load: Load, layers: Sequence[_Stacks]) -> Runner:
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


def _chains(graph: Graph, layers: Sequence[_Stacks]) -> Iterator[Chain]:
    """Steps that feed each other, one of each cell; copies of the layers give several chains."""
    steps = _by_output(layers)
    for tops in itertools.product(*(stack[-1].steps for stack in layers[-1].values())):
        chain = _chain(graph, layers, dict(zip(layers[-1], tops, strict=True)), steps)
        if chain is not None:
            yield chain


def _chain(
    graph: Graph,
    layers: Sequence[_Stacks],
    tops: Mapping[str, Step] | None,
    steps: Mapping[Tensor, Step],
) -> Chain | None:
    """The steps below the last ones; None if something else feeds one of them."""
    chain: Chain = []
    for layer in reversed(layers):
        if chain:
            bottoms = [stack[0] for stack in chain[0].values()]
            tops = _feeding(graph, bottoms, layer, steps)
        if tops is None:
            return None
        found = {d: _stack(graph, cells, tops[d], steps) for d, cells in layer.items()}
        if not all(found.values()):
            return None
        chain.insert(0, found)
    return chain


def _by_output(layers: Sequence[_Stacks]) -> dict[Tensor, Step]:
    cells = (cell for layer in layers for stack in layer.values() for cell in stack)
    return {step.new_states["h"]: step for cell in cells for step in cell.steps}


def _stack(
    graph: Graph, cells: Sequence[GraphCell], top: Step, steps: Mapping[Tensor, Step]
) -> tuple[Step, ...]:
    """The steps of cells that run together, by that of the last; none if others feed one."""
    found = [top]
    for cell in reversed(cells[:-1]):
        feeding = _fed_by(graph, found[0], steps)
        if len(feeding) != 1 or feeding[0] not in cell.steps:
            return ()
        found = [*feeding, *found]
    return tuple(found)


def _fed_by(graph: Graph, step: Step, steps: Mapping[Tensor, Step]) -> tuple[Step, ...]:
    """The steps whose outputs a step reads; none if it reads something else."""
    taken = sources(graph, step.x, steps, step.is_whole) if step.x else []
    found = [steps[source.tensor] for source in taken if source.tensor in steps]
    alike = all(
        source.sequence == source.time_major == feeding.is_whole
        for source, feeding in zip(taken, found, strict=False)
    )
    return tuple(found) if len(found) == len(taken) and alike else ()


def _feeding(
    graph: Graph, bottoms: Sequence[Step], below: _Stacks, steps: Mapping[Tensor, Step]
) -> dict[str, Step] | None:
    """The last steps of a layer that feed the first steps of the one above."""
    found = {_fed_by(graph, step, steps) for step in bottoms}
    feeding = found.pop() if len(found) == 1 else ()
    if len(feeding) != len(below):
        return None
    tops = dict(zip(below, feeding, strict=True))
    return tops if all(tops[d] in stack[-1].steps for d, stack in below.items()) else None


def _unchained(graph: Graph, layers: Sequence[_Stacks]) -> Problem:
    steps = _by_output(layers)
    firsts = [c.steps[0] for layer in layers for stack in layer.values() for c in stack]
    taken = [
        source
        for step in firsts
        if step.x
        for source in sources(graph, step.x, steps, step.is_whole)
    ]
    return Problem(
        where=graph.path.name,
        expected="layers of which each takes the output of the one before as it is",
        received="layers that take " + ", ".join(str(source.tensor) for source in taken),
        remedy=REMEDY,
    )
