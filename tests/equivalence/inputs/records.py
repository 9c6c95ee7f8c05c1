"""Records as ExampleGen writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def feature(values: Any) -> Any:
    array = np.asarray(values).ravel()
    if array.dtype.kind in "SU":
        texts = [str(value).encode() for value in array]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    if array.dtype.kind == "i":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=array))
    return tf.train.Feature(float_list=tf.train.FloatList(value=array))


def example(**features: Any) -> bytes:
    named = {name: feature(values) for name, values in features.items()}
    record = tf.train.Example(features=tf.train.Features(feature=named))
    return bytes(record.SerializeToString())


def sequence(context: dict[str, Any] | None = None, **lists: Any) -> bytes:
    named = {
        name: tf.train.FeatureList(feature=[feature(step) for step in steps])
        for name, steps in lists.items()
    }
    record = tf.train.SequenceExample(
        context=tf.train.Features(feature={n: feature(v) for n, v in (context or {}).items()}),
        feature_lists=tf.train.FeatureLists(feature_list=named),
    )
    return bytes(record.SerializeToString())


def write(file: Path, records: Iterable[bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file), "GZIP" if file.suffix == ".gz" else "") as writer:
        for record in records:
            writer.write(record)
    return file


def sequences(count: int, width: int, longest: int = 30, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest + 1, count)
    return [rng.normal(size=(length, width)).astype(np.float32) for length in lengths]
