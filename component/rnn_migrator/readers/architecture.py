"""Architecture files: the JSON or YAML text of a Keras model. Nothing in them is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rnn_migrator.errors import Problem, UsageError

_MAX_ARCHITECTURE_BYTES = 64 << 20
_MAX_ARCHITECTURE_VALUES = 10_000_000


def read_architecture(path: Path) -> Mapping[str, Any]:
    """The model config in a file written from `to_json` or `to_yaml`.

    Raises:
      UsageError: Not there, too large, or neither JSON nor plain YAML with a model in it.
    """
    try:
        if path.stat().st_size > _MAX_ARCHITECTURE_BYTES:
            raise ValueError(f"more than {_MAX_ARCHITECTURE_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        config = _parse(text)
        # Some tools wrote the JSON text once more as JSON.
        config = _parse(config) if isinstance(config, str) else config
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as e:
        raise _no_architecture(path, str(e).replace("\n", " ")[:200]) from e
    if not isinstance(config, dict) or "class_name" not in config:
        raise _no_architecture(path, "a text without class_name")
    return config


def _parse(text: str) -> Any:
    """JSON or YAML; the loader makes plain values only."""
    if text.lstrip().startswith(("{", '"')):
        return json.loads(text)
    value = yaml.load(text, _PlainLoader)  # noqa: S506
    if _written_out(value, {}) > _MAX_ARCHITECTURE_VALUES:
        raise ValueError(f"aliases that stand for more than {_MAX_ARCHITECTURE_VALUES} values")
    return value


def _written_out(value: Any, known: dict[int, int]) -> int:
    """How many values there are when every alias is written out; a few lines can mean billions."""
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        inside = parts if isinstance(value, dict | list) else ()
        known[id(value)] = 1 + sum(_written_out(part, known) for part in inside)
    return known[id(value)]


class _PlainLoader(yaml.SafeLoader):
    """YAML without Python objects; the tuples that Keras wrote become lists."""


def _as_list(loader: Any, node: Any) -> Any:
    return loader.construct_sequence(node, deep=True)


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _as_list)


def _no_architecture(path: Path, received: str) -> UsageError:
    return UsageError(
        Problem(
            where=f"--architecture {path}",
            expected="the JSON or YAML text of a Keras model (model.to_json())",
            received=received,
            remedy="write it with the framework that trained the model: "
            "open('model.json', 'w').write(model.to_json())",
        )
    )
