"""The pipelines, which lie beside the package and not in it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from rnn_migrator.errors import Problem, UsageError


def pipelines_module(command: str, name: str, *needed: str) -> Any:
    """A module of the pipelines.

    Args:
      command: Who asks for it.
      name: Name of the module in `pipelines`.
      *needed: Packages that it cannot do without.

    Raises:
      UsageError: One of these, or the pipelines, are not installed.
    """
    wanted = {package: f"module {package}" for package in needed}
    wanted["pipelines"] = "folder pipelines/ on the path"
    missing = [what for name, what in wanted.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            Problem(
                where=f"rnn-migrate {command}",
                expected=f"{', '.join(needed)} and the folder pipelines/ to be installed",
                received="no " + " and no ".join(missing),
                remedy="run `make setup` in a checkout of the project and use its .venv",
            )
        )
    return importlib.import_module(f"pipelines.{name}")
