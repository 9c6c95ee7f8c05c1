"""What is written to ML Metadata: custom properties of artifacts, all of them strings.

Strings, because a store keeps six decimals of a number and some orchestrators turn integers into
doubles. Nested values are JSON. Custom properties and events are what every orchestrator writes
alike, so that lineage rests on them alone. Long ones lie in pieces, since an index of PostgreSQL
takes no row beyond 2,704 bytes.
"""

from __future__ import annotations

import hashlib
import itertools
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

FILES = "files"
"""Custom property of a converted model: SHA-256 of each file in its folder, as JSON."""

SERVING = "Format-Serving"
"""Folder of the SavedModel in that of a converted model, where TFX looks for it."""

EXAMPLES_SIGNATURE = "examples_signature"
"""Key of `conversion.json`: whether the model takes serialized tf.Example protos, too."""

_CONFIG_KEYS = ("settings", "declared", "target")
_NESTED = ("settings", "layers", "facts", "kernels", "tensors", "versions")
CONVERSION_KEYS = ("target", "converter_version", "config_sha256", *_NESTED, FILES)
"""Custom properties of a converted model, besides those on its source."""

VERDICT_KEYS = ("verdict", "reason", "largest_error", "oracles", "figures")
"""Custom properties of an evaluation and of a blessing."""

_JSON = {*_NESTED, FILES, "oracles", "figures"}
"""Properties that hold JSON."""

_PIECE = 2000
"""Bytes of a property at most."""


def source_properties(source: Mapping[str, Any]) -> dict[str, str]:
    """Custom properties of a legacy model.

    Args:
      source: What `describe_source` gives.

    Returns:
      `sha256`, `format`, and as far as they are known `writer`, `architecture`,
      `architecture_sha256`.
    """
    return {key: source[key] for key in SOURCE_KEYS if source[key]}


def conversion_properties(document: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, str]:
    """Custom properties of a converted model.

    Args:
      document: The content of `conversion.json`.
      files: SHA-256 of each file of the model, by its path in the model's folder.

    Returns:
      The source under `legacy_path`, `legacy_sha256`, …; `target`, `converter_version`,
      `config_sha256`; and as JSON `settings`, `layers`, `facts` with their origins, `kernels`,
      `tensors` with digests of both ends, `versions`, `files`.
    """
    source = source_properties(document["source"]) | {"path": document["source"]["path"]}
    return {
        **{LEGACY + key: value for key, value in source.items()},
        "target": document["target"],
        "converter_version": document["versions"]["rnn-migrator"],
        "config_sha256": _config_digest(document),
        **_as_json({**document, FILES: files}),
    }


def _config_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of what the conversion was told, besides the source."""
    told = {key: document[key] for key in _CONFIG_KEYS}
    if has_examples(document):  # what is not asked for leaves older digests as they are
        told[EXAMPLES_SIGNATURE] = True
    told["architecture_sha256"] = document["source"]["architecture_sha256"]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


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


def in_short(properties: Mapping[str, str]) -> str:
    """What tells an artifact from others of its type, in a few words."""
    if PUSHED in properties:
        pushed = properties[PUSHED] == "1"
        return f"version {properties.get(PUSHED_VERSION, '')}" if pushed else "not pushed"
    if SHA256 in properties:
        return f"sha256 {properties[SHA256][:8]}…"
    return properties.get("verdict") or properties.get("target", "")


def is_blessed(document: Mapping[str, Any]) -> bool:
    """Whether an `evaluation.json` blesses the model."""
    return bool(document["verdict"] == _BLESSED)


def has_examples(document: Mapping[str, Any]) -> bool:
    """Whether a converted model has the signature `examples`, by its `conversion.json`."""
    return bool(document.get(EXAMPLES_SIGNATURE))


def _as_json(document: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(document[key]) for key in document if key in _JSON}


def decode(properties: Mapping[str, str]) -> dict[str, Any]:
    """Custom properties, in pieces or whole, with the JSON among them parsed."""
    return {
        key: json.loads(value) if key in _JSON else value
        for key, value in joined(properties).items()
    }


def in_pieces(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties with long values cut up: `facts` goes on in `facts_2`, `facts_3` and so on."""
    return {
        f"{key}_{number}" if number > 1 else key: piece
        for key, value in properties.items()
        for number, piece in enumerate(_pieces(value), 1)
    }


def _pieces(value: str) -> list[str]:
    """A text in pieces of so many bytes at most, no character cut in two."""
    pieces, size = [""], 0
    for character in value:
        size += len(character.encode("utf-8", "surrogatepass"))
        if size > _PIECE:
            pieces.append("")
            size = len(character.encode("utf-8", "surrogatepass"))
        pieces[-1] += character
    return pieces


def joined(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties with long values whole again."""
    whole: dict[str, str] = {}
    for key, value in properties.items():
        first, _, number = key.rpartition("_")
        if not (first in properties and number.isdecimal()):
            following = (f"{key}_{n}" for n in itertools.count(2))
            pieces = itertools.takewhile(properties.__contains__, following)
            whole[key] = value + "".join(properties[piece] for piece in pieces)
    return whole
