"""The legacy graph itself, imported and run on CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.equivalence.inputs.case import Case, Material
from rnn_migrator.equivalence.legacy_session import LegacyLoop
from rnn_migrator.equivalence.oracles.base import Oracle, register
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.recognition.recognise import Recognition


@register
class LegacyGraphRun(Oracle):
    """The recurrent part of the graph beside the checkpoint, with the checkpoint's variables."""

    name = "legacy graph"
    rank = 1

    def __init__(self, loop: LegacyLoop) -> None:
        self._loop = loop
        self.covers = f"the recurrent layers: {loop.how}"

    @classmethod
    def open(cls, recognition: Recognition, materials: Sequence[Material]) -> LegacyGraphRun:
        """See `Oracle.open`."""
        found = recognition.legacy_graph
        if found is None:
            raise UnsupportedError(
                Problem(
                    where=str(recognition.artifact.path),
                    expected="a checkpoint with its graph",
                    received="no .meta beside the weights",
                    remedy="put the .meta file beside the checkpoint",
                )
            )
        return cls(LegacyLoop(found.graph, recognition.artifact.read, found.layers))

    def adapt(self, case: Case) -> Case:
        """The case repeated or cut to the batch and time that the graph is made for."""
        shape = case.inputs["inputs"].shape
        batch = self._loop.fixed_batch or shape[0]
        steps = shape[1] if case.signature == "step" else self._loop.fixed_time or shape[1]
        if (batch, steps) == shape[:2]:
            return case
        inputs = {name: _resize(array, batch) for name, array in case.inputs.items()}
        if case.signature != "step":
            inputs["inputs"] = _resize(inputs["inputs"].swapaxes(0, 1), steps).swapaxes(0, 1)
        if "sequence_length" in inputs:
            inputs["sequence_length"] = np.minimum(inputs["sequence_length"], np.int32(steps))
        rows = tuple(case.rows[row % len(case.rows)] for row in range(batch) if case.rows)
        return dataclasses.replace(case, inputs=inputs, expected=None, rows=rows)

    def run(self, case: Case) -> Mapping[str, Array] | None:
        """See `Oracle.run`."""
        inputs = dict(case.inputs)
        x, lengths = inputs.pop("inputs"), inputs.pop("sequence_length", None)
        if case.signature == "step":
            if self._loop.fixed_time not in (None, 1):
                return None
            results = self._loop.run(x[:, None], None, inputs)
            return {**results, "outputs": results["outputs"][:, 0]}
        if lengths is None or self._loop.accepts_lengths:
            return self._loop.run(x, lengths)
        return None if self._loop.fixed_time else self._run_by_length(x, lengths)

    def _run_by_length(self, x: Array, lengths: Array) -> dict[str, Array] | None:
        """What a graph gives that takes no lengths: sequences of each length by themselves.

        Those without a step give zeros, by the definition of lengths; no graph need run on them.
        """
        if not lengths.any():
            return None
        total: dict[str, Array] = {}
        for length in np.unique(lengths[lengths > 0]):
            [rows] = np.nonzero(lengths == length)
            batch = np.resize(rows, self._loop.fixed_batch or len(rows))
            for name, array in self._loop.run(x[batch, :length], None).items():
                shape = x.shape[:2] if name == "outputs" else x.shape[:1]
                whole = total.setdefault(name, np.zeros((*shape, array.shape[-1]), array.dtype))
                place = (rows, slice(length)) if name == "outputs" else (rows,)
                whole[place] = array[: len(rows)]
        return total

    def close(self) -> None:
        """See `Oracle.close`."""
        self._loop.close()


def _resize(array: Array, size: int) -> Array:
    """The first `size` rows of an array, repeated where there are fewer."""
    return np.ascontiguousarray(array[np.arange(size) % len(array)])
