"""The legacy graph itself as an oracle: its recurrent part, run on CPU.

Two ways, both of the graph's own ops and constants and the checkpoint's values. Where the layers
are while loops, the loops are run as they are, with everything between the input sequence and the
outputs: transposes, reversals, masks. Elsewhere (unrolled graphs, states packed by hand) one step
of each cell is taken out as a function and iterated here, with the semantics of dynamic_rnn for
lengths: zeros past the end, the state carried on.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.legacy_subgraph import Cut, Load, extract, extract_shapes
from rnn_migrator.errors import MigrationError, Problem, UnsupportedError
from rnn_migrator.readers.metagraph import Graph, Node, Tensor
from rnn_migrator.recognition.graph.step import Step
from rnn_migrator.recognition.graph.wiring import (
    LoopVariable,
    Source,
    gathered,
    lengths,
    loop_variable,
    sources,
    swaps_time,
)
from rnn_migrator.recognition.graph_facts import GraphCell

__all__ = ["LegacyLoop"]

Layer = Mapping[str, GraphCell]
"""Cell by direction: "" for an only one, "fw" and "bw" for both."""

Chain = list[dict[str, Step]]
"""Steps of one run through all layers, by direction."""

_MOST_CHAINS = 256
_REMEDY = "verify against recorded outputs of the legacy model, with --golden"


class LegacyLoop:
    """The recurrent layers of a legacy graph, ready to be run many times.

    Example:
      >>> artifact = open_artifact("model.ckpt")
      >>> graph = read_metagraph(artifact.graph)
      >>> cells = find_cells(graph, ["rnn/lstm_cell/kernel"])
      >>> with LegacyLoop(graph, artifact.read, [{"": cells["rnn/lstm_cell/kernel"]}]) as legacy:
      ...     outputs = legacy.run(inputs, sequence_length)["outputs"]

    Attributes:
      how: In words, what is run.
      fixed_batch: Batch size that the graph is made for, None for any.
      fixed_time: Number of time steps that the graph is made for, None for any.
      accepts_lengths: Whether `run` takes sequence lengths that differ from the time axis.
    """

    def __init__(self, graph: Graph, load: Load, layers: Sequence[Layer]) -> None:
        """Prepares the run; only the tensors that it needs are read.

        Args:
          graph: The legacy graph.
          load: Reads one tensor of the checkpoint by name.
          layers: The cells, first layer to last.

        Raises:
          UnsupportedError: The graph cannot be run as oracle, with every reason.
        """
        runner = _runner(graph, load, layers)
        self._runner = runner
        self.how = runner.how
        self.fixed_batch = runner.fixed_batch
        self.fixed_time = runner.fixed_time
        self.accepts_lengths = runner.accepts_lengths

    def run(
        self,
        inputs: Array,
        sequence_length: Array | None = None,
        initial_states: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Runs all layers over a batch of sequences.

        Args:
          inputs: [batch, time, features] float32.
          sequence_length: [batch], None for full length.
          initial_states: [batch, width] float32 by name; those left out are zeros.

        Returns:
          "outputs" [batch, time, width of the last layer], and the final states [batch, width] by
          name: h_0, c_0, h_1, …; of a bidirectional layer fw_h_0, fw_c_0, bw_h_0, ….

        Raises:
          UnsupportedError: The graph is not made for such a batch, or refuses to run it.
        """
        import tensorflow as tf

        batch, time = inputs.shape[:2]
        ends = np.full(batch, time) if sequence_length is None else np.asarray(sequence_length)
        self._check(batch, time, ends)
        states = dict(initial_states or {})
        for name, width in self._runner.state_widths.items():
            states.setdefault(name, np.zeros((batch, width), np.float32))
        try:
            return self._runner.run(inputs, ends, states)
        except tf.errors.OpError as e:
            raise _refused(str(e).strip().split("\n")[0]) from e

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

    def _check(self, batch: int, time: int, ends: Array) -> None:
        if self.fixed_batch not in (None, batch):
            raise _refused(f"a batch of {batch}, where the graph is made for {self.fixed_batch}")
        if self.fixed_time not in (None, time):
            raise _refused(f"{time} time steps, where the graph is made for {self.fixed_time}")
        if not self.accepts_lengths and (ends != time).any():
            raise _refused("sequence lengths, which the graph does not take")


def _refused(received: str) -> UnsupportedError:
    return UnsupportedError(
        Problem(
            where="running the legacy graph",
            expected="inputs that it is made for",
            received=received,
            remedy=_REMEDY,
        )
    )


def _runner(graph: Graph, load: Load, layers: Sequence[Layer]) -> _WholeLoop | _IteratedStep:
    """The whole loop where there is one, else the iterated step."""
    reasons: list[Problem] = []
    chains = list(itertools.islice(_chains(graph, layers), _MOST_CHAINS))
    for make in (_WholeLoop, _IteratedStep):
        for chain in chains:
            try:
                return make(graph, load, chain)
            except UnsupportedError as e:
                reasons += e.problems
    if not chains:
        reasons.append(_unchained(graph, layers))
    raise UnsupportedError(*list(dict.fromkeys(reasons))[:8])


def _chains(graph: Graph, layers: Sequence[Layer]) -> Iterator[Chain]:
    """Steps that feed each other, one for each cell; copies of the layers give several."""
    by_output = {
        step.new_states["h"]: step
        for layer in layers
        for cell in layer.values()
        for step in cell.steps
    }
    for steps in itertools.product(*(cell.steps for cell in layers[-1].values())):
        chain = [dict(zip(layers[-1], steps, strict=True))]
        for below in reversed(layers[:-1]):
            lower = _feeding(graph, chain[0], below, by_output)
            if lower is None:
                break
            chain.insert(0, lower)
        if len(chain) == len(layers):
            yield chain


def _feeding(
    graph: Graph, steps: Mapping[str, Step], below: Layer, by_output: Mapping[Tensor, Step]
) -> dict[str, Step] | None:
    """The steps of the layer below that feed these steps, None if others or nothing does."""
    found = []
    for step in steps.values():
        feeding = sources(graph, step.x, by_output) if step.x else []
        found.append([by_output.get(source.tensor) for source in feeding])
    lower = [step for step in found[0] if step]
    fits = len(lower) == len(below) and all(other == found[0] for other in found)
    cells = zip(lower, below.values(), strict=False)
    if not fits or any(step not in cell.steps for step, cell in cells):
        return None
    return dict(zip(below, lower, strict=True))


def _unchained(graph: Graph, layers: Sequence[Layer]) -> Problem:
    by_output: dict[Tensor, Step] = {}
    found = []
    for layer in layers:
        for cell in layer.values():
            x = cell.steps[0].x
            found += [str(source.tensor) for source in sources(graph, x, by_output)] if x else []
            by_output |= {step.new_states["h"]: step for step in cell.steps}
    return Problem(
        where=graph.path.name,
        expected="layers that take the output of the layer before as it is",
        received="layers that take " + ", ".join(found),
        remedy=_REMEDY,
    )


def _state_names(chain: Chain) -> Iterator[tuple[str, Step, str]]:
    """(name in the signature, step, name of the state) for every state."""
    for index, steps in enumerate(chain):
        for direction, step in steps.items():
            for state in sorted(step.states, reverse=True):
                yield "_".join(filter(None, (direction, state, str(index)))), step, state


def _widths(graph: Graph, chain: Chain) -> dict[str, int]:
    """Width of every state, by name in the signature."""
    return {name: step.widths(graph)[state] for name, step, state in _state_names(chain)}


class _Run:
    """A session on a part of the legacy graph."""

    def __init__(self, definition: Any) -> None:
        import tensorflow as tf

        self.graph = tf.Graph()
        with self.graph.as_default():
            try:
                tf.compat.v1.import_graph_def(definition, name="")
            except (ValueError, TypeError, tf.errors.OpError) as e:
                raise _refused(str(e).strip().split("\n")[0]) from e
        config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
        # The ops are to be run in the order and precision in which they were written.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tf.compat.v1.Session(graph=self.graph, config=config)

    def shape(self, tensor: Tensor) -> list[int | None]:
        """The static shape; empty if not even the rank is known."""
        shape = self.graph.get_tensor_by_name(str(tensor)).shape
        return [] if shape.rank is None else shape.as_list()

    def __call__(self, fetches: Mapping[str, Tensor], feed: Mapping[str, Array]) -> Any:
        """The fetched arrays by name."""
        names = {name: str(tensor) for name, tensor in fetches.items()}
        return self._session.run(names, {f"{name}:0": array for name, array in feed.items()})

    def close(self) -> None:
        self._session.close()


def _static_shape(graph: Graph, tensor: Tensor) -> list[int | None]:
    """The shape that a tensor has in the legacy graph, empty if unknown."""
    definition = extract_shapes(graph, tensor)
    if definition is None:
        return []
    try:
        run = _Run(definition)
    except UnsupportedError:
        return []
    shape = run.shape(tensor)
    run.close()
    return shape


@dataclasses.dataclass(frozen=True)
class _Sequence:
    """A sequence in the graph, and whether its time axis comes first."""

    tensor: Tensor
    time_major: bool

    def of(self, array: Array) -> Array:
        """Batch-major to what the graph has, and back."""
        return array.swapaxes(0, 1) if self.time_major else array


class _WholeLoop:
    """The while loops of the legacy graph, run as they are."""

    how = "the while loops of the legacy graph, run as they are"

    def __init__(self, graph: Graph, load: Load, chain: Chain) -> None:
        self._inputs = _common_input(graph, chain[0])
        self._outputs = [_output(graph, d, step) for d, step in chain[-1].items()]
        variables = {
            name: _plain_variable(graph, step, state) for name, step, state in _state_names(chain)
        }
        ends = {lengths(graph, next(iter(step.states.values()))) for s in chain for step in s.values()}
        self._lengths = sorted(end for end in ends if end)
        self.accepts_lengths = bool(ends) and None not in ends
        self.state_widths = _widths(graph, chain)
        cuts = [Cut("inputs", self._inputs.tensor, (-1, -1, -1))]
        cuts += [_length_cut(graph, i, tensor) for i, tensor in enumerate(self._lengths)]
        for name, variable in variables.items():
            shape = (-1, self.state_widths[name])
            cuts.append(Cut(name, variable.enter.inputs[0], shape, variable.enter.name))
        self._fetches = {name: _final(graph, variable) for name, variable in variables.items()}
        self._fetches |= {f"outputs_{i}": s.tensor for i, s in enumerate(self._outputs)}
        self._run = _Run(extract(graph, self._fetches.values(), cuts, load))
        self._read_sizes(graph, [v.enter.inputs[0] for v in variables.values()])

    def _read_sizes(self, graph: Graph, initial: Sequence[Tensor]) -> None:
        shape = _static_shape(graph, self._inputs.tensor)[:2] or [None, None]
        batch, self.fixed_time = reversed(shape) if self._inputs.time_major else shape
        others = [_static_shape(graph, tensor)[:1] for tensor in (*initial, *self._lengths)]
        known = {size for size in (batch, *itertools.chain(*others)) if size is not None}
        self.fixed_batch = known.pop() if len(known) == 1 else None

    def run(self, inputs: Array, ends: Array, states: Mapping[str, Array]) -> dict[str, Array]:
        """See `LegacyLoop.run`."""
        feed = {"inputs": self._inputs.of(inputs), **states}
        feed |= {f"lengths_{i}": ends for i in range(len(self._lengths))}
        results = self._run(self._fetches, feed)
        parts = [s.of(results.pop(f"outputs_{i}")) for i, s in enumerate(self._outputs)]
        return {"outputs": np.concatenate(parts, axis=-1), **results}

    def close(self) -> None:
        """Ends the session."""
        self._run.close()


def _common_input(graph: Graph, steps: Mapping[str, Step]) -> _Sequence:
    """The sequence that all directions of the first layer read, one of them backwards."""
    found: list[Source] = []
    for direction, step in steps.items():
        [source, *more] = sources(graph, step.x, ()) if step.x else [None]
        if source is None or more or not source.sequence:
            raise _no_loop(graph, step, "an input that no loop takes apart step by step")
        if source.reversed != (direction == "bw"):
            raise _no_loop(graph, step, "a sequence reversed before the layer, or not reversed")
        found.append(source)
    ends = {(source.tensor, source.time_major) for source in found}
    if len(ends) != 1:
        raise _no_loop(graph, step, "a different sequence in each direction")
    return _Sequence(found[0].tensor, found[0].time_major)


def _output(graph: Graph, direction: str, step: Step) -> _Sequence:
    """The sequence of a step's outputs, in the order of the inputs."""
    for node in gathered(graph, step.new_states["h"]):
        plain = _Sequence(Tensor(node.name), True)
        found = _reversed_back(graph, plain) if direction == "bw" else plain
        if found:
            return found
    raise _no_loop(graph, step, "outputs that are not gathered, in input order, into a sequence")


def _reversed_back(graph: Graph, sequence: _Sequence) -> _Sequence | None:
    for node in (use.node for use in graph.consumers(sequence.tensor)):
        result = Tensor(node.name)
        if node.base_op in ("Reverse", "ReverseSequence"):
            return _Sequence(result, sequence.time_major)
        if swaps_time(graph, node):
            swapped = _Sequence(result, not sequence.time_major)
            if found := _reversed_back(graph, swapped):
                return found
    return None


def _plain_variable(graph: Graph, step: Step, state: str) -> LoopVariable:
    variable = loop_variable(graph, step.states[state])
    if variable is None or variable.exit(graph) is None:
        raise _no_loop(graph, step, f"a state {state} that is no variable of a while loop")
    return variable


def _final(graph: Graph, variable: LoopVariable) -> Tensor:
    node: Node | None = variable.exit(graph)
    return Tensor(node.name) if node else variable.following


def _length_cut(graph: Graph, index: int, tensor: Tensor) -> Cut:
    node = graph.producer(tensor)
    return Cut(f"lengths_{index}", tensor, (-1,), dtype=node.attr("dtype") or node.attr("T"))


def _no_loop(graph: Graph, step: Step, received: str) -> UnsupportedError:
    return UnsupportedError(
        Problem(
            where=graph.describe(step.node),
            expected="layers that are while loops over one sequence",
            received=received,
            remedy=_REMEDY,
        )
    )


class _IteratedStep:
    """One step of each cell, taken out of the legacy graph and iterated."""

    how = "one step of the legacy graph for each cell, iterated over time"
    fixed_time: int | None = None
    accepts_lengths = True

    def __init__(self, graph: Graph, load: Load, chain: Chain) -> None:
        self._layers: list[dict[str, _StepFunction]] = []
        try:
            for index, steps in enumerate(chain):
                self._layers.append({})
                for direction, step in steps.items():
                    function = _StepFunction(graph, load, step, direction, index)
                    self._layers[-1][direction] = function
        except MigrationError:
            self.close()
            raise
        self.state_widths = _widths(graph, chain)
        sizes = {f.fixed_batch for layer in self._layers for f in layer.values()} - {None}
        self.fixed_batch = sizes.pop() if sizes else None

    def run(self, inputs: Array, ends: Array, states: Mapping[str, Array]) -> dict[str, Array]:
        """See `LegacyLoop.run`."""
        results: dict[str, Array] = {}
        for layer in self._layers:
            outputs = []
            for direction, function in layer.items():
                ordered = _reverse(inputs, ends) if direction == "bw" else inputs
                output, final = function.iterate(ordered, ends, states)
                outputs.append(_reverse(output, ends) if direction == "bw" else output)
                results |= final
            inputs = np.concatenate(outputs, axis=-1)
        return {"outputs": inputs, **results}

    def close(self) -> None:
        """Ends the sessions."""
        for layer in self._layers:
            for function in layer.values():
                function.close()


class _StepFunction:
    """One step of a cell: its input and states to its next states."""

    def __init__(
        self, graph: Graph, load: Load, step: Step, direction: str, index: int
    ) -> None:
        fed = {"x": step.x, **step.states}
        if step.x is None or len(set(fed.values())) != len(fed):
            raise _no_step(graph, step, "an input and states that are not tensors of their own")
        if step.projection and step.new_states["h"] == step.output:
            raise _no_step(graph, step, "an output of which the projection is not known")
        if step.node.op.startswith("BlockLSTM"):
            raise _no_step(graph, step, "an op that runs over the whole sequence")
        self._names = {
            state: "_".join(filter(None, (direction, state, str(index)))) for state in step.states
        }
        self._fetches = step.new_states
        widths = {"x": -1, **step.widths(graph)}
        cuts = [Cut(f"fed_{n}", tensor, (-1, widths[n])) for n, tensor in fed.items() if tensor]
        self._run = _Run(extract(graph, step.new_states.values(), cuts, load, as_function=True))
        self.fixed_batch = (self._run.shape(step.new_states["h"]) or [None])[0]

    def iterate(
        self, inputs: Array, ends: Array, initial: Mapping[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        """Outputs [batch, time, width], zeros past the end, and the final states by name."""
        states = {state: initial[name] for state, name in self._names.items()}
        outputs = []
        for time in range(inputs.shape[1]):
            going = (time < ends)[:, np.newaxis]
            fed = {f"fed_{state}": array for state, array in states.items()}
            new = self._run(self._fetches, {"fed_x": inputs[:, time], **fed})
            outputs.append(np.where(going, new["h"], np.float32(0)))
            states = {name: np.where(going, new[name], array) for name, array in states.items()}
        return np.stack(outputs, axis=1), {self._names[s]: array for s, array in states.items()}

    def close(self) -> None:
        """Ends the session."""
        self._run.close()


def _no_step(graph: Graph, step: Step, received: str) -> UnsupportedError:
    return UnsupportedError(
        Problem(
            where=graph.describe(step.node),
            expected="a step of which x and the states can be fed",
            received=received,
            remedy=_REMEDY,
        )
    )


def _reverse(sequences: Array, ends: Array) -> Array:
    """Each sequence backwards up to its end, as tf.reverse_sequence."""
    steps = np.arange(sequences.shape[1])
    order = np.where(steps < ends[:, np.newaxis], ends[:, np.newaxis] - 1 - steps, steps)
    return np.take_along_axis(sequences, order[:, :, np.newaxis], axis=1)
