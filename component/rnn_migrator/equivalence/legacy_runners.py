"""Two ways to run recurrent layers of a legacy graph.

`WholeLoop` runs while loops as they are, with everything between the input sequence and the
outputs: transposes, reversals, masks. `IteratedStep` takes one step of each cell out as a function
and iterates it, with the semantics of dynamic_rnn for lengths: zeros past the end, the state
carried on. Both compute with the graph's own ops and constants and the checkpoint's values.
"""

from __future__ import annotations

import abc
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.legacy_subgraph import Cut, Load, extract, extract_shapes
from rnn_migrator.errors import MigrationError, Problem, UnsupportedError
from rnn_migrator.readers.metagraph import Graph, Tensor
from rnn_migrator.recognition.graph.block_ops import input_positions
from rnn_migrator.recognition.graph.step import Step
from rnn_migrator.recognition.graph.wiring import (
    LoopVariable,
    gathered,
    lengths,
    loop_variable,
    sources,
    swaps_time,
)

Chain = list[dict[str, tuple[Step, ...]]]
"""Steps that feed each other: per layer, by direction ("", or "fw" and "bw"), bottom to top."""

Shape = list[int | None]

REMEDY = "verify against recorded outputs of the legacy model, with --golden"
_MOST_SWAPS = 4
_FLOAT, _INT64 = 1, 9


class Runner(Protocol):
    """A way to run the layers; what `LegacyLoop` says about its attributes holds here too."""

    how: str
    fixed_batch: int | None
    fixed_time: int | None
    accepts_lengths: bool
    state_widths: dict[str, int]

    def run(self, inputs: Array, ends: Array, states: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs and final states of a batch.

        Args:
          inputs: [batch, time, features].
          ends: Length of each sequence, [batch].
          states: Every initial state by name, [batch, width].
        """

    def close(self) -> None:
        """Ends the session."""


def refused(received: str) -> UnsupportedError:
    """The error for what the legacy graph does not run."""
    return UnsupportedError(
        Problem(
            where="running the legacy graph",
            expected="inputs that it is made for, and ops that this TensorFlow has",
            received=received,
            remedy=REMEDY,
        )
    )


class _Session:
    """A session on a part of the legacy graph."""

    def __init__(self, definition: Any) -> None:
        import tensorflow as tf

        self._graph = tf.Graph()
        with self._graph.as_default():
            try:
                tf.compat.v1.import_graph_def(definition, name="")
            except (ValueError, TypeError, tf.errors.OpError) as e:
                raise refused(str(e).strip().split("\n")[0]) from e
        config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
        # The ops are run as they were written, none rearranged.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)

    def shape(self, tensor: Tensor) -> Shape:
        """The static shape; empty if not even the rank is known."""
        shape = self._graph.get_tensor_by_name(str(tensor)).shape
        return [] if shape.rank is None else shape.as_list()

    def run(self, fetches: Mapping[str, Tensor], feed: Mapping[str, Array]) -> dict[str, Array]:
        """The fetched arrays by name; fed by name of the placeholder."""
        names = {name: str(tensor) for name, tensor in fetches.items()}
        return dict(self._session.run(names, {f"{n}:0": array for n, array in feed.items()}))

    def close(self) -> None:
        self._session.close()


def _static_shape(graph: Graph, tensor: Tensor) -> Shape:
    """The shape that a tensor has in the legacy graph, empty if unknown."""
    stated = graph.producer(tensor).attr("output_shapes")  # what a dataset's iterator gives
    if stated is not None and not stated.shape[tensor.port].unknown_rank:
        return [size.size if size.size >= 0 else None for size in stated.shape[tensor.port].dim]
    definition = extract_shapes(graph, tensor)
    if definition is None:
        return []
    try:
        session = _Session(definition)
    except UnsupportedError:
        return []
    shape = session.shape(tensor)
    session.close()
    return shape


def _states(chain: Chain) -> Iterator[tuple[str, Step, str]]:
    """Every state: its name in the signature, its step, and what the step calls it."""
    below = 0
    for layer in chain:
        for direction, steps in layer.items():
            for index, step in enumerate(steps, below):
                for state in step.kind.states:
                    yield _state_name(direction, state, index), step, state
        below += len(next(iter(layer.values())))


def _state_name(direction: str, state: str, index: int) -> str:
    return "_".join(filter(None, (direction, state, str(index))))


def _widths(graph: Graph, chain: Chain) -> dict[str, int]:
    return {name: step.widths(graph)[state] for name, step, state in _states(chain)}


@dataclasses.dataclass(frozen=True)
class _Sequence:
    """A sequence in the graph, and whether its time axis comes first."""

    tensor: Tensor
    time_major: bool

    def of(self, array: Array) -> Array:
        """A batch-major array as the graph has it, or back."""
        return array.swapaxes(0, 1) if self.time_major else array


class WholeLoop:
    """The while loops of the legacy graph, run as they are.

    Raises:
      UnsupportedError: The layers are no while loops over one sequence.
    """

    how = "the while loops of the legacy graph, as they are"

    def __init__(self, graph: Graph, load: Load, chain: Chain) -> None:
        variables = {n: _plain_variable(graph, step, s) for n, step, s in _states(chain)}
        every = (step for layer in chain for steps in layer.values() for step in steps)
        ends = [_lengths(graph, step) for step in every]
        self._inputs = _common_input(graph, {d: steps[0] for d, steps in chain[0].items()})
        self._lengths = list(dict.fromkeys(end for end in ends if end))
        self._outputs = {
            f"outputs_{direction}": _output(graph, direction, steps[-1])
            for direction, steps in chain[-1].items()
        }
        self._fetches = {name: sequence.tensor for name, sequence in self._outputs.items()}
        self._fetches |= {n: Tensor(variable.exit.name) for n, variable in variables.items()}
        self.accepts_lengths = None not in ends
        self.state_widths = _widths(graph, chain)
        self._read_sizes(graph, variables)
        cuts = self._cuts(graph, variables)
        self._session = _Session(extract(graph, self._fetches.values(), cuts, load))

    def _cuts(self, graph: Graph, variables: Mapping[str, LoopVariable]) -> list[Cut]:
        cuts = [Cut("inputs", self._inputs.tensor, (-1, -1, -1))]
        for index, tensor in enumerate(self._lengths):
            cuts.append(Cut(f"lengths_{index}", tensor, (-1,), dtype=_dtype(graph, tensor)))
        for name, variable in variables.items():
            # Several states may begin with the same zeros, so each gets its own way in.
            shape, enter = (-1, self.state_widths[name]), variable.enter
            cuts.append(Cut(name, enter.inputs[0], shape, into=enter.name))
        return cuts

    def _read_sizes(self, graph: Graph, variables: Mapping[str, LoopVariable]) -> None:
        shape = _static_shape(graph, self._inputs.tensor)[:2] or [None, None]
        batch, self.fixed_time = reversed(shape) if self._inputs.time_major else shape
        others = [*self._lengths, *(variable.enter.inputs[0] for variable in variables.values())]
        sizes = [batch, *(size for t in others for size in _static_shape(graph, t)[:1])]
        self.fixed_batch = next((size for size in sizes if size is not None), None)

    def run(self, inputs: Array, ends: Array, states: Mapping[str, Array]) -> dict[str, Array]:
        """See `Runner.run`."""
        feed = {"inputs": self._inputs.of(inputs), **states}
        feed |= {f"lengths_{index}": ends for index in range(len(self._lengths))}
        results = self._session.run(self._fetches, feed)
        parts = [sequence.of(results.pop(name)) for name, sequence in self._outputs.items()]
        return {"outputs": np.concatenate(parts, axis=-1), **results}

    def close(self) -> None:
        """Ends the session."""
        self._session.close()


def _plain_variable(graph: Graph, step: Step, state: str) -> LoopVariable:
    variable = loop_variable(graph, step.states[state])
    if variable is None:
        raise _no_loop(graph, step, f"a state {state} that is no variable of a while loop")
    return variable


def _lengths(graph: Graph, step: Step) -> Tensor | None:
    """The lengths that a loop takes, None if it takes none."""
    return lengths(graph, step.states["h"])


def _dtype(graph: Graph, tensor: Tensor) -> Any:
    """The type of a tensor, as the op states it that gives it, or else one that takes it."""
    node = graph.producer(tensor)
    takers = (use.node.attr("T") for use in graph.consumers(tensor))
    listed = node.attr("output_types")
    stated = listed.type[tensor.port] if listed is not None else None
    return node.attr("dtype") or node.attr("T") or stated or next(filter(None, takers), None)


def _common_input(graph: Graph, steps: Mapping[str, Step]) -> _Sequence:
    """The sequence that all directions of the first layer read, "bw" of them backwards."""
    found = set()
    for direction, step in steps.items():
        source = sources(graph, step.x, ())[0] if step.x else None
        if source is None or not source.sequence:
            raise _no_loop(graph, step, "an input that no loop takes apart step by step")
        if source.reversed != (direction == "bw"):
            raise _no_loop(graph, step, "a sequence in the wrong direction of time")
        found.add(_Sequence(source.tensor, source.time_major))
    if len(found) > 1:
        raise _no_loop(graph, step, "another sequence for each direction")
    return found.pop()


def _output(graph: Graph, direction: str, step: Step) -> _Sequence:
    """The sequence of a step's outputs, in the order of the inputs."""
    for node in gathered(graph, step.new_states["h"]):
        plain = _Sequence(Tensor(node.name), True)
        found = _reversed_back(graph, plain) if direction == "bw" else plain
        if found:
            return found
    raise _no_loop(graph, step, "outputs that are not gathered, in input order, into a sequence")


def _reversed_back(graph: Graph, sequence: _Sequence, swaps: int = 0) -> _Sequence | None:
    for node in (use.node for use in graph.consumers(sequence.tensor)):
        result = Tensor(node.name)
        if node.base_op in ("Reverse", "ReverseSequence"):
            return _Sequence(result, sequence.time_major)
        if swaps_time(graph, node) and swaps < _MOST_SWAPS:
            swapped = _Sequence(result, not sequence.time_major)
            if found := _reversed_back(graph, swapped, swaps + 1):
                return found
    return None


def _no_loop(graph: Graph, step: Step, received: str) -> UnsupportedError:
    return UnsupportedError(
        Problem(
            where=graph.describe(step.node),
            expected="a while loop over the sequence of the layer's inputs",
            received=received,
            remedy=REMEDY,
        )
    )


class IteratedStep:
    """One step of each cell, taken out of the legacy graph and iterated.

    An op that computes all steps at once is run once instead.

    Raises:
      UnsupportedError: A step is no function of an input and states that can be fed.
    """

    how = "one step of the legacy graph for each cell, iterated"
    fixed_time: int | None = None
    accepts_lengths = True

    def __init__(self, graph: Graph, load: Load, chain: Chain) -> None:
        self.state_widths = _widths(graph, chain)
        names: dict[Step, dict[str, str]] = defaultdict(dict)
        for name, step, state in _states(chain):
            names[step][state] = name
        self._layers: list[dict[str, list[_Function]]] = []
        try:
            for layer in chain:
                self._layers.append({direction: [] for direction in layer})
                for direction, steps in layer.items():
                    functions = self._layers[-1][direction]
                    for step in steps:
                        kind = _SequenceFunction if step.is_whole else _StepFunction
                        functions.append(kind(graph, load, step, names[step]))
        except MigrationError:
            self.close()
            raise
        if all(step.is_whole for step in names):
            self.how = "the ops of the legacy graph that run whole sequences, one after the other"
        sizes = [function.fixed_batch for function in self._functions()]
        self.fixed_batch = next((size for size in sizes if size is not None), None)

    def _functions(self) -> Iterator[_Function]:
        for layer in self._layers:
            for functions in layer.values():
                yield from functions

    def run(self, inputs: Array, ends: Array, states: Mapping[str, Array]) -> dict[str, Array]:
        """See `Runner.run`."""
        results: dict[str, Array] = {}
        for layer in self._layers:
            parts = []
            for direction, functions in layer.items():
                outputs = _reverse(inputs, ends) if direction == "bw" else inputs
                for function in functions:
                    outputs, final = function.iterate(outputs, ends, states)
                    results |= final
                parts.append(_reverse(outputs, ends) if direction == "bw" else outputs)
            inputs = np.concatenate(parts, axis=-1)
        return {"outputs": inputs, **results}

    def close(self) -> None:
        """Ends the sessions."""
        for function in self._functions():
            function.close()


class _Function(abc.ABC):
    """A cell as a function of its input and states.

    Attributes:
      fixed_batch: Batch size that it is made for, None for any.
    """

    def __init__(self, definition: Any, step: Step, names: Mapping[str, str]) -> None:
        self._session = _Session(definition)
        self._fetches = step.new_states
        self._names = names
        self.fixed_batch: int | None = None

    def iterate(
        self, inputs: Array, ends: Array, initial: Mapping[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        """Outputs [batch, time, width], zeros past the end, and the final states by name."""
        states = {state: initial[name] for state, name in self._names.items()}
        outputs, final = self._iterate(inputs, ends, states)
        return outputs, {self._names[state]: array for state, array in final.items()}

    @abc.abstractmethod
    def _iterate(
        self, inputs: Array, ends: Array, states: dict[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        """Outputs, and the final states by the names that the step has for them."""

    def close(self) -> None:
        self._session.close()


class _StepFunction(_Function):
    """One step of a cell, iterated."""

    def __init__(self, graph: Graph, load: Load, step: Step, names: Mapping[str, str]) -> None:
        fed = {"x": step.x, **step.states}
        if step.x is None or len(set(fed.values())) != len(fed):
            raise _no_step(graph, step, "an input and states that are not all different tensors")
        if step.projection and step.new_states["h"] == step.output:
            raise _no_step(graph, step, "an output whose projection is not part of the graph")
        widths = {"x": -1, **step.widths(graph)}
        cuts = [Cut(f"fed_{n}", tensor, (-1, widths[n])) for n, tensor in fed.items() if tensor]
        wanted = step.new_states.values()
        super().__init__(extract(graph, wanted, cuts, load, as_function=True), step, names)
        self.fixed_batch = (self._session.shape(step.new_states["h"]) or [None])[0]

    def _iterate(
        self, inputs: Array, ends: Array, states: dict[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        outputs = []
        for time in range(inputs.shape[1]):
            fed = {f"fed_{state}": array for state, array in states.items()}
            new = self._session.run(self._fetches, {"fed_x": inputs[:, time], **fed})
            going = (time < ends)[:, np.newaxis]
            outputs.append(np.where(going, new["h"], np.float32(0.0)))
            states = {name: np.where(going, new[name], array) for name, array in states.items()}
        return np.stack(outputs, axis=1), states


class _SequenceFunction(_Function):
    """An op that computes all steps of a sequence [time, batch, features] at once."""

    def __init__(self, graph: Graph, load: Load, step: Step, names: Mapping[str, str]) -> None:
        shapes = {"length": (), "x": (-1, -1, -1), "c": (-1, -1), "h": (-1, -1)}
        node, positions = step.node, input_positions(step.node)
        cuts = [
            # States that begin with the same zeros are told apart by their places.
            Cut(
                f"fed_{name}",
                node.inputs[positions[name]],
                shape,
                into=node.name,
                position=positions[name],
                dtype=_INT64 if name == "length" else _FLOAT,
            )
            for name, shape in shapes.items()
        ]
        wanted = step.new_states.values()
        super().__init__(extract(graph, wanted, cuts, load, as_function=True), step, names)

    def _iterate(
        self, inputs: Array, ends: Array, states: dict[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        fed = {f"fed_{state}": array for state, array in states.items()}
        fed |= {"fed_x": inputs.swapaxes(0, 1), "fed_length": np.array(inputs.shape[1], np.int64)}
        new = self._session.run(self._fetches, fed)
        # As LSTMBlockWrapper does: zeros past the end, and the states of the last valid step.
        going = np.arange(inputs.shape[1])[:, np.newaxis] < ends
        outputs = np.where(going[..., np.newaxis], new["h"], np.float32(0.0))
        every = {name: np.concatenate([states[name][np.newaxis], new[name]]) for name in states}
        final = {name: array[ends, np.arange(len(ends))] for name, array in every.items()}
        return outputs.swapaxes(0, 1), final


def _no_step(graph: Graph, step: Step, received: str) -> UnsupportedError:
    return UnsupportedError(
        Problem(
            where=graph.describe(step.node),
            expected="a step of which the input and the states can be fed",
            received=received,
            remedy=REMEDY,
        )
    )


def _reverse(sequences: Array, ends: Array) -> Array:
    """Each sequence backwards up to its end, as tf.reverse_sequence does."""
    steps = np.arange(sequences.shape[1])
    lasts = ends[:, np.newaxis] - 1
    order = np.where(steps <= lasts, lasts - steps, steps)
    return np.take_along_axis(sequences, order[:, :, np.newaxis], axis=1)
