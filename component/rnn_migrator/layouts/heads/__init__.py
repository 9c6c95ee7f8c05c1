"""Layers without recurrence that come along with a Keras model, one file a family.

An entry says which config keys matter and what they mean when a file leaves them out, which weights
the layer keeps and in which order, what it computes at inference, and where masks go: all as Keras
2 has it. The formulas serve the float64 reference; Keras builds the layers.
"""

from __future__ import annotations

import importlib
import pkgutil

from rnn_migrator.layouts.heads.base import HEADS, Config, Head, Key
from rnn_migrator.layouts.heads.checks import problems

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

from rnn_migrator.layouts.heads.replacements import REPLACEMENTS  # noqa: E402

__all__ = ["HEADS", "REPLACEMENTS", "Config", "Head", "Key", "problems"]
