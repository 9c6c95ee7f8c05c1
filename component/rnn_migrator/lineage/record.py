"""What is written to ML Metadata: custom properties of artifacts, all of them strings.

Strings, because a store keeps six decimals of a number and some orchestrators turn integers into
doubles. Nested values are JSON. Custom properties and events are what every orchestrator writes
alike, so that lineage rests on them alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from rnn_migrator.equivalence.comparison import CONVERTED

LEGACY_MODEL = "rnn_migrator.LegacyModel"
MODEL = "Model"
BLESSING = "ModelBlessing"
EVALUATION = "ModelEvaluation"
PUSHED_MODEL = "PushedModel"
"""Names of artifact types in the store."""

SHA256 = "sha256"
"""Custom property of a legacy model: digest of its files."""

SOURCE_KEYS = (SHA256, "format", "writer", "architecture", "architecture_sha256")
"""Custom properties of a legacy model, as far as they are known."""

LEGACY = "legacy_"
"""Before the names of these where a converted model repeats them."""

PUSHED = "pushed"
PUSHED_DESTINATION = "pushed_destination"
PUSHED_VERSION = "pushed_version"
"""Custom properties that the standard Pusher writes."""

RUN_ID = "run_id"
PIPELINE = "pipeline"

_BLESSED = "blessed"

_NESTED = ("settings", "layers", "facts", "kernels", "tensors", "versions")
CONVERSION_KEYS = ("target", "converter_version", *_NESTED)
"""Custom properties of a converted model, besides those on its source."""

VERDICT_KEYS = ("verdict", "reason", "largest_error", "oracles", "figures")
"""Custom properties of an evaluation and of a blessing."""

_JSON = {*_NESTED, "oracles", "figures"}
"""Properties that hold JSON."""


def source_properties(source: Mapping[str, Any]) -> dict[str, str]:
    """Custom properties of a legacy model.

    Args:
      source: What `describe_source` gives.

    Returns:
      `sha256`, `format`, and as far as they are known `writer`, `architecture`,
      `architecture_sha256`.
    """
    return {key: source[key] for key in SOURCE_KEYS if source[key]}


def conversion_properties(document: Mapping[str, Any]) -> dict[str, str]:
    """Custom properties of a converted model.

    Args:
      document: The content of `conversion.json`.

    Returns:
      The source under `legacy_path`, `legacy_sha256`, …; `target`, `converter_version`; and as
      JSON `settings`, `layers`, `facts` with their origins, `kernels`, `tensors` with digests of
      both ends, `versions`.
    """
    source = source_properties(document["source"]) | {"path": document["source"]["path"]}
    return {
        **{LEGACY + key: value for key, value in source.items()},
        "target": document["target"],
        "converter_version": document["versions"]["rnn-migrator"],
        **_as_json(document),
    }


def evaluation_properties(document: Mapping[str, Any]) -> dict[str, str]:
    """Custom properties of an evaluation and of the blessing that follows from it.

    Args:
      document: The content of `evaluation.json`.

    Returns:
      `verdict`, `reason`, `largest_error`; and as JSON `oracles` and, by output, `figures`.
    """
    figures = {
        name: {
            "rounding": entry["rounding"],
            "bound": entry["bound"],
            **{party: found["error"] for party, found in entry["parties"].items()},
        }
        for name, entry in document["outputs"].items()
    }
    errors = [entry[CONVERTED] for entry in figures.values() if CONVERTED in entry]
    return {
        "verdict": document["verdict"],
        "reason": document["reason"],
        "largest_error": str(max(errors, key=_size, default="none")),
        **_as_json({"oracles": document["oracles"], "figures": figures}),
    }


def _size(error: float | str) -> float:
    """An error as a number; JSON holds NaN as text, and nothing is worse."""
    return math.inf if math.isnan(float(error)) else float(error)


def is_blessed(document: Mapping[str, Any]) -> bool:
    """Whether an `evaluation.json` blesses the model."""
    return bool(document["verdict"] == _BLESSED)


def _as_json(document: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(document[key]) for key in document if key in _JSON}


def decode(properties: Mapping[str, str]) -> dict[str, Any]:
    """Custom properties with the JSON among them parsed."""
    return {key: json.loads(value) if key in _JSON else value for key, value in properties.items()}
