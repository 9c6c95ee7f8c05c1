"""Readers: one file per format, found through one registry."""

from __future__ import annotations

import importlib
import pkgutil

from rnn_migrator.readers.artifact import (
    LegacyArtifact,
    TensorSpec,
    array_digest,
    content_digest,
    file_digest,
)
from rnn_migrator.readers.base import open_artifact

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "LegacyArtifact",
    "TensorSpec",
    "array_digest",
    "content_digest",
    "file_digest",
    "open_artifact",
]
