"""Serialized tf.Example protos as the inputs of a model: what stock tools of TFX send."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from rnn_migrator.canonical import (
    LENGTHS,
    Array,
    CanonicalModel,
    HeadLayer,
    ModelInput,
    RecurrentLayer,
)
from rnn_migrator.errors import Problem
from rnn_migrator.layouts.heads.inputs import unseen_paddings, vocabulary_size
from rnn_migrator.layouts.heads.replacements import REPLACEMENTS

EXAMPLES = "examples"
"""Name of the signature, and of its only input: [batch] serialized tf.Example protos."""

_SWAP = REPLACEMENTS["SwapBatchTime"].class_name


def problems(model: CanonicalModel) -> Iterator[Problem]:
    """Why the inputs of a model cannot be read from tf.Example protos, record by record."""
    for source in model.inputs:
        where = f"input {source.name!r}"
        if source.batch:
            yield _problem(where, "any number of records", f"a model for {source.batch} at a time")
        if None in source.shape[1:]:
            sizes = ", ".join("any" if size is None else str(size) for size in source.shape)
            yield _problem(where, "no open axis but the first, of time", f"shape [{sizes}]")
        if np.dtype(source.dtype).kind not in "iufb":
            yield _problem(where, "numbers", source.dtype)
    for layer in model.recurrent_layers:
        if layer.stateful:
            yield _problem(layer.name, "records that stand for themselves", "a stateful layer")
    if _time_goes_first(model):
        yield _problem("the model", "the batch as the first axis", "the time axis")


def _problem(where: str, expected: str, received: str) -> Problem:
    option = "--examples-signature (examples_signature in a config)"
    return Problem(where, f"{expected}, for {option}", received, "leave the option out")


def _time_goes_first(model: CanonicalModel) -> bool:
    """Whether a model reads or gives sequences with the time axis before that of the batch."""
    swapped: set[str] = set()
    for node in model.nodes:
        layer, is_swapped = node.layer, not swapped.isdisjoint(node.inbound)
        if isinstance(layer, RecurrentLayer) and is_swapped:
            return True
        if is_swapped != (isinstance(layer, HeadLayer) and layer.class_name == _SWAP):
            swapped.add(node.name)
    return not swapped.isdisjoint(model.outputs.values())


class Parser:
    """Takes a batch of serialized tf.Example protos apart, in the graph of a signature.

    Every input is read from the feature of its own name: values row by row, ids as integers. A
    record that has too few values, none, or values of another type is an error of TensorFlow's.
    Records of several lengths are padded where the model does not see it, and are an error
    elsewhere.

    Args:
      model: Whose inputs are filled; one that has no `problems`.
    """

    def __init__(self, model: CanonicalModel) -> None:
        self._inputs = model.inputs
        self._bare = model.bare_weights
        self._paddings = unseen_paddings(model)
        self._features = {source.name: _feature(model, source) for source in model.inputs}

    def __call__(self, serialized: Any) -> dict[str, Any]:
        """The inputs of `with_lengths` for bare weights, of `serving_default` for others.

        Args:
          serialized: [batch] strings.
        """
        parsed, inputs = tf.io.parse_example(serialized, self._features), {}
        for source in self._inputs:
            values = parsed[source.name]
            if isinstance(values, tf.RaggedTensor):
                values, lengths = self._padded(source, values)
                if self._bare:
                    inputs[LENGTHS] = lengths
            inputs[source.name] = tf.cast(values, source.dtype)
        return inputs

    def _padded(self, source: ModelInput, values: Any) -> tuple[Any, Any]:
        """[batch, steps, …] of [batch, any number of values], and the steps of each record."""
        inner = [size for size in source.shape if size is not None]
        width, counts = math.prod(inner), values.row_lengths()
        where = f"feature {source.name!r}: "
        tf.debugging.assert_positive(
            counts,
            where + "expected at least one time step in every record; received one "
            "without values, or without the feature",
        )
        tf.debugging.assert_equal(
            counts % width, tf.zeros_like(counts), where + f"expected {width} values a time step"
        )
        if not self._bare and not self._paddings:
            tf.debugging.assert_equal(
                counts,
                counts[:1],
                where + "expected records of one length in a batch, since "
                "this model would see padding; send records of one length together, or one at "
                "a time",
            )
        padding = tf.cast(self._paddings.get(source.name, 0.0), values.dtype)
        dense = values.to_tensor(padding)
        shape = [tf.shape(dense)[0], tf.shape(dense)[1] // width, *inner]
        return tf.reshape(dense, shape), tf.cast(counts // width, tf.int32)


def _feature(model: CanonicalModel, source: ModelInput) -> Any:
    """How TensorFlow parses the feature of an input."""
    dtype = tf.int64 if _is_whole(model, source) else tf.float32
    if source.shape[:1] == (None,):
        return tf.io.RaggedFeature(dtype)
    return tf.io.FixedLenFeature(source.shape, dtype)


def _is_whole(model: CanonicalModel, source: ModelInput) -> bool:
    """Whether an input holds whole numbers; Keras feeds ids as floats, too."""
    return np.dtype(source.dtype).kind in "iub" or vocabulary_size(model, source) is not None


def records(model: CanonicalModel, inputs: Mapping[str, Array]) -> Array:
    """A batch of inputs as [batch] serialized tf.Example protos.

    Args:
      model: Whose inputs they are.
      inputs: By name, batch first; perhaps with `sequence_length`. Padding at the end that the
        model does not see is left out.
    """
    unseen = unseen_paddings(model)
    found = []
    for row in range(len(inputs[model.inputs[0].name])):
        features = {}
        for source in model.inputs:
            values = inputs[source.name][row]
            if source.name in unseen:
                values = values[: _steps(values, unseen[source.name])]
            if LENGTHS in inputs:
                values = values[: inputs[LENGTHS][row]]
            features[source.name] = _values(values, _is_whole(model, source))
        example = tf.train.Example(features=tf.train.Features(feature=features))
        found.append(example.SerializeToString())
    return np.array(found, object)


def _steps(values: Array, padding: float) -> int:
    """How many steps there are before the padding at the end, at least one."""
    counting = np.flatnonzero((values != padding).reshape(len(values), -1).any(axis=1))
    return int(counting[-1]) + 1 if counting.size else 1


def _values(values: Array, whole: bool) -> Any:
    """Numbers as the feature of a record, row by row."""
    if whole:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values.ravel().astype(int)))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values.ravel()))
