"""Migrations that tests of several orchestrators run, and what they compare of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from rnn_migrator.readers import array_digest
from tests.legacy_lab.cases import Case

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MANY = "many.yaml"
CONFIGS_OF_ONE = sorted(file.name for file in CONFIGS.glob("*.yaml") if file.name != MANY)
"""Configs of the project: that of many models, and the others."""


def place_files(folder: Path, case: Case) -> None:
    """Copies recurrent weights and their recording into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(case.source, folder / "weights.npz")
    shutil.copy(case.goldens["with_lengths"], folder / "golden.npz")


def write_config(file: Path, **changes: Any) -> Path:
    """Writes the config of a migration of those files, blessed unless changed."""
    content = {
        "name": "weights",
        "source": {"path": "weights.npz", "set": {"forget_bias": 1.0}},
        "evaluation": {"golden": ["golden.npz"]},
        "output": {"root": "run"},
        **changes,
    }
    file.write_text(yaml.safe_dump(content))
    return file


def weights(saved_model: Path) -> dict[str, str]:
    """Digests of the weights of a SavedModel, by name; the seeds of its dropout are chance."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(saved_model / "variables" / "variables"))
    types = reader.get_variable_to_dtype_map()
    names = [name for name, kind in types.items() if kind.is_floating]
    return {name: array_digest(reader.get_tensor(name)) for name in names}
