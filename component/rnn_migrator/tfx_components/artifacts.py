"""Artifact types of the pipeline that TFX does not have."""

from __future__ import annotations

from tfx.types.artifact import Artifact


class LegacyModel(Artifact):
    """A legacy model as it came: a checkpoint prefix, an HDF5 file, a folder of arrays.

    Its custom properties, `rnn_migrator.lineage.record.source_properties`, hold the digest of its
    files. A pipeline that imports it with these takes earlier results for the same bytes, and
    never for other bytes under the same path.

    The type has no typed properties, and its name is where the class is found: the compiler for
    Kubeflow wants both.
    """

    TYPE_NAME = "rnn_migrator.LegacyModel"
