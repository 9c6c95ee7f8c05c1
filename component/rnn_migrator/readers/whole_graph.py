"""Graphs as sources of their own: told apart, and refused until whole graphs are converted."""

from __future__ import annotations

from pathlib import Path

from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.readers.artifact import LegacyArtifact
from rnn_migrator.readers.base import reader


def _is_graph(path: Path) -> bool:
    if path.is_dir():
        # Of a binary SavedModel `keras_saved_model` finds out who wrote it.
        return (path / "saved_model.pbtxt").is_file() and not (path / "saved_model.pb").is_file()
    is_graph = path.suffix in (".meta", ".pb", ".pbtxt") and path.name != "saved_model.pb"
    return is_graph and path.is_file()


@reader("TensorFlow graph (.meta, .pb, SavedModel)", _is_graph)
def refuse_graph(path: Path) -> LegacyArtifact:
    """Refuses a MetaGraph, frozen graph or SavedModel.

    Raises:
      UnsupportedError: Always.
    """
    raise UnsupportedError(
        Problem(
            where=str(path),
            expected="recurrent weights: a checkpoint, an HDF5 file or an array dump",
            received="a graph; converting a whole graph is not supported by this version",
            remedy="convert the checkpoint it belongs to (a .meta beside it is read for facts); "
            "from a frozen graph, dump the recurrent variables with numpy.savez",
        )
    )
