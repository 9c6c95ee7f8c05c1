"""A TFX schema, for which feature an input of the model is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rnn_migrator.canonical import LENGTHS, CanonicalModel, ModelInput
from rnn_migrator.equivalence.inputs.case import signature_inputs
from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError, UsageError, raise_all

_SUFFIX = ".pbtxt"


def schema_features(path: str, model: CanonicalModel, stated: Mapping[str, str]) -> dict[str, str]:
    """The feature of every input, by the tensor representations and the features of a schema.

    An input is the tensor of its own name, else the feature of its own name.

    Args:
      path: `schema.pbtxt`, or the folder of a TFX artifact that holds it.
      model: Whose inputs are filled.
      stated: Features that the user names, by input; they need no other word for it.

    Raises:
      UsageError: An input is in neither, or the schema says that it does not fit.
      UnreadableError: It is no schema.
      UnsupportedError: Nothing here reads one.
    """
    schema = _read(path)
    columns, known = dict(_columns(schema)), dict(_features(schema.feature))
    wanted = signature_inputs(model, "serving_default")
    found = {name: columns.get(name, name) for name in wanted} | dict(stated)
    if model.bare_weights and {*columns, *known} & {LENGTHS}:
        found.setdefault(LENGTHS, columns.get(LENGTHS, LENGTHS))
    problems = (_problems(path, name, known.get(found[name]), wanted[name]) for name in wanted)
    raise_all(UsageError, (problem for several in problems for problem in several))
    return found


def _read(path: str) -> Any:
    try:
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0 import schema_pb2
    except ImportError as e:
        raise UnsupportedError(
            Problem(
                where=path,
                expected="tensorflow-metadata, which knows what a schema is",
                received="not installed",
                remedy="install rnn-migrator[tfx], or map inputs to features: --feature",
            )
        ) from e
    import tensorflow as tf

    if tf.io.gfile.isdir(path):
        [path] = tf.io.gfile.glob(f"{path}/*{_SUFFIX}") or [f"{path}/schema{_SUFFIX}"]
    try:
        with tf.io.gfile.GFile(path, "r") as file:
            return text_format.Parse(file.read(), schema_pb2.Schema())
    except (text_format.ParseError, tf.errors.OpError, UnicodeError) as e:
        raise UnreadableError(
            Problem(
                where=path,
                expected="a schema of TensorFlow Metadata as text (schema.pbtxt)",
                received=str(e).split("\n")[0],
                remedy="name the schema that goes with the examples",
            )
        ) from e


def _columns(schema: Any) -> Iterator[tuple[str, str]]:
    """Feature by name of the tensor, as the tensor representations say."""
    for group in schema.tensor_representation_group.values():
        for name, tensor in group.tensor_representation.items():
            if tensor.HasField("ragged_tensor"):
                yield name, tensor.ragged_tensor.feature_path.step[-1]
            elif tensor.HasField("dense_tensor"):
                yield name, tensor.dense_tensor.column_name
            elif tensor.HasField("varlen_sparse_tensor"):
                yield name, tensor.varlen_sparse_tensor.column_name


def _features(features: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Every feature by name, those of the steps of a tf.SequenceExample too."""
    for feature in features:
        yield feature.name, feature
        yield from _features(feature.struct_domain.feature)


def _problems(path: str, name: str, feature: Any, source: ModelInput) -> Iterator[Problem]:
    """What the schema has against reading an input from a feature."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    numbers = (schema_pb2.INT, schema_pb2.FLOAT)
    if feature is None:
        received, remedy = "no such feature", "--feature INPUT=FEATURE, or `features` in a config"
    elif feature.type not in numbers:
        received = f"type {schema_pb2.FeatureType.Name(feature.type)}"
        remedy = "write numbers, or the ids of tokens"
    elif not _fits([dim.size for dim in feature.shape.dim], source.shape):
        received = f"shape {[dim.size for dim in feature.shape.dim]}"
        remedy = "map the input to the feature it is made for, or correct the schema"
    else:
        return
    text = ", ".join("any" if size is None else str(size) for size in source.shape)
    yield Problem(f"{path}, input {name!r}", f"numbers of shape [{text}]", received, remedy)


def _fits(stated: list[int], shape: tuple[int | None, ...]) -> bool:
    """Whether so many values can be the input's; a schema need not state a shape."""
    known = math.prod(size for size in shape if size is not None)
    total = math.prod(stated)
    return not stated or (total == known if None not in shape else total % known == 0)
