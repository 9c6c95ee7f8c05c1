"""Weight layouts: one file per source family, found through one registry.

Every module of this package that defines a layout registers it on import.
"""

from __future__ import annotations

import importlib
import pkgutil

from rnn_migrator.layouts.base import Layout, all_layouts, get_layout

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Layout", "all_layouts", "get_layout"]
