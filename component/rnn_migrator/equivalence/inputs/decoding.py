"""Records of tf.Example and tf.SequenceExample, as the inputs of a model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import LENGTHS, Array, CanonicalModel, ModelInput
from rnn_migrator.equivalence.inputs.case import signature_inputs
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.layouts.heads.inputs import vocabulary_size

_SHOWN = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One record.

    Attributes:
      key: Name in reports.
      inputs: By the model's names, without a batch axis.
      length: Time steps that count, where the record says so.
    """

    key: str
    inputs: Mapping[str, Array]
    length: int | None = None


class Decoder:
    """Takes records apart.

    A tf.Example is read as a tf.SequenceExample without feature lists, which it is on the wire.

    Args:
      model: Whose inputs are filled.
      features: Name of the feature by name of the input; an input takes the feature of its own
        name otherwise.

    Raises:
      UsageError: `features` names an input that the model does not have.
    """

    def __init__(self, model: CanonicalModel, features: Mapping[str, str]) -> None:
        self._wanted = signature_inputs(model, "serving_default")
        self._vocabularies = {n: vocabulary_size(model, s) for n, s in self._wanted.items()}
        known = [*self._wanted, LENGTHS] if model.bare_weights else list(self._wanted)
        raise_all(UsageError, (_unknown(name, known) for name in features if name not in known))
        self._features = {**{name: name for name in self._wanted}, **features}

    def __call__(self, record: bytes, key: str) -> Row:
        """The inputs of a record.

        Args:
          record: As it lies in the file.
          key: Its name in reports.

        Raises:
          UsageError: It is no such record, or does not fit the model.
        """
        example = _parse(record, key)
        given = {name: _values(example, self._features[name], key) for name in self._features}
        stated = given.pop(LENGTHS, None)
        inputs = {name: self._fitted(name, values, key) for name, values in given.items()}
        return Row(key, inputs, None if stated is None else _length(stated, inputs, key))

    def _fitted(self, name: str, values: Array, key: str) -> Array:
        """The values in the shape and of the type of an input, checked."""
        source, where = self._wanted[name], f"{key}, feature {self._features[name]!r}"
        shaped = _shaped(values, source, where)
        _check_values(shaped, self._vocabularies[name], where)
        return shaped.astype(source.dtype)


def _unknown(name: str, known: list[str]) -> Problem:
    return Problem(
        where=f"the feature of input {name!r}",
        expected=f"an input of the model: {', '.join(known)}",
        received=repr(name),
        remedy="map these inputs to the features of the records",
    )


def _refused(where: str, expected: str, received: str, remedy: str) -> UsageError:
    return UsageError(Problem(where, expected, received, remedy))


def _parse(record: bytes, key: str) -> Any:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        return tf.train.SequenceExample.FromString(record)
    except DecodeError as e:
        raise _refused(
            key,
            "a tf.Example or tf.SequenceExample",
            "bytes that are neither",
            "name the TFRecord files that an ExampleGen wrote",
        ) from e


def _values(example: Any, feature: str, key: str) -> Array:
    """What a feature holds: [values], or [steps, values] of a feature list."""
    lists, context = example.feature_lists.feature_list, example.context.feature
    where = f"{key}, feature {feature!r}"
    if feature in context:
        return _numbers(context[feature], where)
    if feature not in lists:
        names = sorted({*lists, *context})
        raise _refused(
            where,
            "the feature that an input of the model is read from",
            f"a record of {', '.join(names[:_SHOWN]) or 'nothing'}",
            "say which feature an input is: evaluation.examples.features of a config, or "
            "--feature INPUT=FEATURE",
        )
    steps = [_numbers(step, where) for step in lists[feature].feature]
    if len({len(step) for step in steps}) > 1:
        raise _refused(
            where,
            "as many values in every time step",
            f"{min(map(len, steps))} to {max(map(len, steps))}",
            "write the same number of values at each step",
        )
    return np.stack(steps) if steps else np.zeros((0, 0), np.float32)


def _numbers(feature: Any, where: str) -> Array:
    kind = feature.WhichOneof("kind")
    if kind == "bytes_list":
        raise _refused(
            where,
            "numbers",
            "bytes",
            "write what the model was fed: numbers, or the ids of tokens",
        )
    if kind is None:
        return np.zeros(0, np.float32)
    dtype = np.int64 if kind == "int64_list" else np.float32
    return np.array(getattr(feature, kind).value, dtype)


def _shaped(values: Array, source: ModelInput, where: str) -> Array:
    """Values [n] or [steps, n] in the shape of an input."""
    sequence, sizes = values.ndim > 1, list(source.shape)
    if sequence and sizes[:1] == [None]:
        sizes[0] = len(values)
    if sizes.count(None) == 1:
        known = math.prod(size for size in sizes if size is not None)
        sizes[sizes.index(None)] = values.size // known
    shape = [size for size in sizes if size is not None]
    fits = len(shape) == len(sizes) and math.prod(shape) == values.size
    if not fits or (sequence and shape[:1] != [len(values)]):
        each = f"{len(values)} steps of {values.shape[1]}" if sequence else str(values.size)
        raise _refused(
            where,
            f"values for an input of shape {_text(source.shape)}",
            f"{each} values",
            "write sequences as the model was fed with, padded where it takes a fixed length",
        )
    return values.reshape(shape)


def _text(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def _check_values(values: Array, vocabulary: int | None, where: str) -> None:
    if not np.isfinite(values).all():
        raise _refused(
            where,
            "finite numbers",
            f"NaN or infinity in {int((~np.isfinite(values)).sum())} places",
            "leave such records out: no model says anything about them",
        )
    if vocabulary and values.size and not 0 <= values.min() <= values.max() < vocabulary:
        raise _refused(
            where,
            f"ids from 0 to {vocabulary - 1}, which the embedding has",
            f"ids from {values.min()} to {values.max()}",
            "write the ids that the model was trained with",
        )


def _length(stated: Array, inputs: Mapping[str, Array], key: str) -> int:
    steps = len(inputs["inputs"])
    if stated.size != 1 or not 0 <= stated.flat[0] <= steps:
        raise _refused(
            f"{key}, {LENGTHS}",
            f"one length from 0 to {steps}",
            ", ".join(map(str, stated.ravel()[:_SHOWN])) or "nothing",
            "write how many time steps count",
        )
    return int(stated.flat[0])
