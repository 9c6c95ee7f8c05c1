"""Serves SavedModels as a stranger would: with TensorFlow alone, in a process of its own.

    python serve.py JOBS.json

A job names a SavedModel, a signature, an NPZ file of inputs, how to run it ("eager" or "session")
and the NPZ file for the outputs.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


@functools.cache
def load(folder: str) -> Any:
    return tf.saved_model.load(folder)


def eager(folder: str, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """By `tf.saved_model.load`, the way of TensorFlow 2."""
    tensors = {name: tf.constant(array) for name, array in inputs.items()}
    results = load(folder).signatures[signature](**tensors)
    return {name: tensor.numpy() for name, tensor in results.items()}


def session(folder: str, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """In a session, as programs from the days of TensorFlow 1 still do it."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as running:
        graph = tf.compat.v1.saved_model.load(running, ["serve"], folder)
        ends = graph.signature_def[signature]
        feed = {ends.inputs[name].name: array for name, array in inputs.items()}
        fetch = {name: tensor.name for name, tensor in ends.outputs.items()}
        return dict(running.run(fetch, feed))


def main(jobs: Path) -> None:
    """Runs every job, and makes sure that nothing of the converter was in it."""
    for job in json.loads(jobs.read_text()):
        with np.load(job["inputs"]) as arrays:
            inputs = dict(arrays)
        run = {"eager": eager, "session": session}[job["way"]]
        np.savez(job["outputs"], **run(job["model"], job["signature"], inputs))
    ours = [name for name in sys.modules if name.startswith("rnn_migrator")]
    if ours:
        sys.exit(f"served with the help of {', '.join(ours)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
