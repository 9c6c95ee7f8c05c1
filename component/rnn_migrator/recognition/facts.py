"""Facts about a cell from all who can say something: the user, the graph, the class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rnn_migrator.canonical import Fact
from rnn_migrator.recognition.settings import Settings


def resolve(
    defaults: Mapping[str, Fact[Any]],
    stated: Mapping[str, Fact[Any]],
    settings: Settings,
    *layer_names: str,
) -> dict[str, Fact[Any]]:
    """One fact for each key of `defaults`; the user has the last word, and it shows.

    Args:
      defaults: What the class does by default.
      stated: What the artifact itself states (graph, config).
      settings: The user's.
      *layer_names: What the user may call the layer.
    """
    return {
        key: _loudest(settings.get(key, *layer_names), stated.get(key), default)
        for key, default in defaults.items()
    }


def _loudest(user: Fact[Any] | None, stated: Fact[Any] | None, default: Fact[Any]) -> Fact[Any]:
    known = stated if stated is not None else default
    if user is None:
        return known
    if known.confirmed and known.value != user.value:
        return dataclasses.replace(
            user, source=f"{user.source}, against {known.value!r} of the {known.describe()}"
        )
    return user
