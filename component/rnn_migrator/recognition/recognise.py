"""From an artifact to its canonical model, whatever its format."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rnn_migrator.canonical import CanonicalModel, Fact
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras_model import recognise_keras
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_stack import (
    Layers,
    build_stack,
    choose_stack,
    describe_layers,
    find_stacks,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Recognition:
    """What an artifact means.

    Attributes:
      artifact: The artifact.
      model: Its canonical model.
      stacks: Every recurrent stack in it, described, by scope (bare weights).
      graph_cells: What its graph says of each cell, by scope (checkpoint with a `.meta`).
      layers: The cells of the chosen stack (bare weights).
    """

    artifact: LegacyArtifact
    model: CanonicalModel
    stacks: Mapping[str, str] = dataclasses.field(default_factory=dict)


def graph_facts(artifact: LegacyArtifact, layers: Layers) -> GraphFacts:
    """What the graph beside a checkpoint states of each cell, by scope; nothing without one."""
    del artifact, layers
    return {}


def recognise(artifact: LegacyArtifact, settings: Settings) -> Recognition:
    """The meaning of an artifact.

    Args:
      artifact: What a reader opened.
      settings: What the user said.

    Raises:
      UnsupportedError: Ambiguous, or not convertible; every problem at once.
      UsageError: A setting speaks of a layer that is not there.
    """
    if artifact.layers or artifact.model_config:
        return Recognition(artifact, recognise_keras(artifact, settings))
    stacks, problems = find_stacks(artifact, settings)
    described = {scope: describe_layers(layers) for scope, layers in stacks.items()}
    if problems and settings.get("scope") is None:
        raise UnsupportedError(*problems, *_mention(described))
    scope = choose_stack(stacks, settings)
    raise_all(UnsupportedError, (p for p in problems if p.where.startswith(scope)))
    layers = stacks[scope]
    model = build_stack(artifact, layers, settings, graph_facts(artifact, layers))
    return Recognition(artifact, model, described)
