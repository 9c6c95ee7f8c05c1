"""What all tests share: a quiet CPU-only TensorFlow, their order, the lab's cases and the zoo."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.legacy_lab.cases import Case

# TensorFlow reads both when it is imported, so they are set before any test module is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# The first example pays for imports and tracing: a time limit per example would be chance.
settings.register_profile("rnn-migrator", deadline=None)
settings.load_profile("rnn-migrator")

ROOT = Path(__file__).resolve().parents[1]

# Markers of tests, and the package without which they are skipped.
OPTIONAL = {"beam": "apache_beam", "tfx": "tfx"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts slow tests last, and skips those that need TFX or Beam where it is not installed."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
    for marker, package in OPTIONAL.items():
        if importlib.util.find_spec(package) is not None:
            continue
        skip = pytest.mark.skip(reason=f"{package} is not installed")
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """Returns the legacy lab's golden cases by name."""
    from tests.legacy_lab.cases import load_cases

    return load_cases()


@pytest.fixture(scope="session")
def zoo() -> Path:
    """Returns the folder of real legacy models; it is no part of the repository."""
    folder = Path(os.environ.get("RNN_MIGRATOR_ZOO", ROOT.parent / "shared" / "legacy_zoo"))
    if not folder.is_dir():
        pytest.skip(f"no zoo of legacy models at {folder}; RNN_MIGRATOR_ZOO names another folder")
    return folder
