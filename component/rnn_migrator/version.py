"""The version of the converter, recorded with everything it converts."""

from __future__ import annotations

import importlib.metadata
import platform


def converter_version() -> str:
    """Version of the distribution `rnn-migrator`."""
    try:
        return importlib.metadata.version("rnn-migrator")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def environment() -> dict[str, str]:
    """Versions of what a conversion depends on, by name."""
    versions = {"python": platform.python_version(), "rnn-migrator": converter_version()}
    for name in ("tensorflow", "keras", "numpy", "h5py"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
