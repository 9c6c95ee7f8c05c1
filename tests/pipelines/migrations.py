"""Migrations that tests of several orchestrators run, and what they compare of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from rnn_migrator.lineage import record
from rnn_migrator.lineage.query import LineageAnswer
from rnn_migrator.readers import array_digest
from tests.legacy_lab.cases import Case

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
MANY = "many.yaml"
CONFIGS_OF_ONE = sorted(file.name for file in CONFIGS.glob("*.yaml") if file.name != MANY)
"""Configs of the project: that of many models, and the others."""


def place_project(folder: Path) -> Path:
    """Copies the project's configs into a folder, with the lab beside them and room for runs."""
    shutil.copytree(CONFIGS, folder / "configs")
    (folder / "tests").symlink_to(ROOT / "tests")
    return folder


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


def told(answer: LineageAnswer, folder: Path) -> dict[str, Any]:
    """A lineage without what no two runs have in common.

    That is when and in which run things were made, their numbers, and where the orchestrator put
    what goes from step to step. What the config names is there, whatever its folder is called.

    Args:
      answer: The lineage.
      folder: What the config's paths lie in, here and, as `file://`, in a spec for Kubeflow.
    """
    assert all(one.finished for one in (*answer.steps, *answer.pushes))
    text = json.dumps(answer.to_json())
    for named in (f"file://{folder}", str(folder)):
        text = text.replace(named, "FOLDER")
    for push in answer.pushes:
        text = text.replace(push.version, "VERSION")
    content = json.loads(text)
    conversion, graph = content["conversion"], content["graph"]
    return {
        "source": content["source"],
        # The seeds of dropout are drawn anew in every SavedModel, and with them goes its digest.
        "conversion": {**conversion, "files": sorted(conversion["files"])},
        "verdict": {key: content["verdict"][key] for key in record.VERDICT_KEYS},
        "pushes": [
            {key: value for key, value in push.items() if key != "finished"}
            for push in content["pushes"]
        ],
        "steps": [step["component"] for step in content["steps"]],
        "artifacts": sorted(node["type"] for node in graph["artifacts"]),
        "executions": [node["component"] for node in graph["executions"]],
        "besides": [*content["made"], *content["siblings"]],
    }


def digest(value: Any) -> str:
    """SHA-256 of JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
