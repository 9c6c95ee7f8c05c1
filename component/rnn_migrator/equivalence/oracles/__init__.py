"""Oracles: one file each, found through one registry.

The formulas of the sources in float64 (`formulas`) are not in it: they are the reference against
which both the oracles and the converted model are measured.
"""

from __future__ import annotations

import importlib
import pkgutil

from rnn_migrator.equivalence.oracles.base import Absence, Attendance, Oracle, open_oracles

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Absence", "Attendance", "Oracle", "open_oracles"]
