"""Records grouped into batches of about the same length."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rnn_migrator.canonical import LENGTHS, Array, CanonicalModel
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.inputs.decoding import Row
from rnn_migrator.layouts.heads.inputs import paddings

_SHORTEST = 8
"""Sequences up to this length share a bucket."""

Bucket = tuple[tuple[int, ...], ...]
"""Shapes by input, the time axis rounded up where padding says nothing to the model."""


class Batcher:
    """Puts records together that are about as long.

    Padding is only added where the model does not see it: behind the lengths that bare weights
    take, or as steps that a layer masks. Elsewhere a batch holds sequences of one length.

    Args:
      model: The source.
      size: Records of a batch, at most; a model that is made for one batch size takes its own.
    """

    def __init__(self, model: CanonicalModel, size: int) -> None:
        self._fixed = next((source.batch for source in model.inputs if source.batch), None)
        self._size = self._fixed or size
        self._bare = model.bare_weights
        self._padding = {} if self._bare else paddings(model)

    def batches(self, rows: Iterable[Row], file: str) -> Iterator[Case]:
        """The records of a file in batches, short ones first, in an order that never changes."""
        buckets: dict[Bucket, list[Row]] = {}
        for row in rows:
            buckets.setdefault(self._bucket(row), []).append(row)
        for _, members in sorted(buckets.items()):
            for first in range(0, len(members), self._size):
                yield self._case(members[first : first + self._size], file)

    def only(self, case: Case, key: str) -> Case:
        """One record of a batch, padded as it was there."""
        rows = [case.rows.index(key)] * (self._fixed or 1)
        inputs = {name: array[rows] for name, array in case.inputs.items()}
        return dataclasses.replace(case, key=key, inputs=inputs, rows=(key,) * len(rows))

    def _bucket(self, row: Row) -> Bucket:
        shapes = []
        for name, array in sorted(row.inputs.items()):
            shape = array.shape
            if self._bare or name in self._padding:
                shape = (_rounded_up(shape[0]), *shape[1:])
            shapes.append(shape)
        return tuple(shapes)

    def _case(self, rows: Sequence[Row], file: str) -> Case:
        key = rows[0].key if len(rows) == 1 else f"{rows[0].key} and {len(rows) - 1} more"
        if self._fixed:
            rows = [rows[index % len(rows)] for index in range(self._fixed)]
        keys = tuple(row.key for row in rows)
        inputs = {name: self._stacked(rows, name) for name in rows[0].inputs}
        signature = "serving_default"
        if self._bare:
            lengths = np.array([_length(row) for row in rows], np.int32)
            if lengths.min() < inputs["inputs"].shape[1]:
                signature, inputs = "with_lengths", {**inputs, LENGTHS: lengths}
        return Case(key, signature, inputs, rows=keys, file=file, thorough=False)

    def _stacked(self, rows: Sequence[Row], name: str) -> Array:
        """One input of all rows, padded at the end to the longest."""
        arrays = [row.inputs[name] for row in rows]
        longest = max((len(array) for array in arrays if array.ndim), default=0)
        # Lengths of zero only: the models want one step to look at.
        longest = max(longest, 1) if self._bare else longest
        value = self._padding.get(name, 0.0)
        return np.stack([_padded(array, longest, value) for array in arrays])


def _rounded_up(length: int) -> int:
    """The length of a bucket: a power of two."""
    return max(_SHORTEST, 1 << max(length - 1, 0).bit_length())


def _length(row: Row) -> int:
    return len(row.inputs["inputs"]) if row.length is None else row.length


def _padded(array: Array, steps: int, value: float) -> Array:
    if not array.ndim:
        return array
    missing = [(0, steps - len(array)), *[(0, 0)] * (array.ndim - 1)]
    return np.pad(array, missing, constant_values=value)
