"""From an artifact to its canonical model, whatever its format."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rnn_migrator.canonical import CanonicalModel, CellKind
from rnn_migrator.errors import Problem, UnsupportedError, UsageError, raise_all
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.readers.metagraph import Graph, read_metagraph
from rnn_migrator.recognition.graph_facts import GraphCell, find_cells
from rnn_migrator.recognition.keras_model import recognise_keras
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_stack import (
    Layers,
    build_stack,
    choose_stack,
    describe_layers,
    find_stacks,
    lies_in,
)


@dataclasses.dataclass(frozen=True, eq=False)
class LegacyGraph:
    """The graph beside a checkpoint, and where the cells are in it.

    Attributes:
      graph: The graph.
      layers: The cells of the stack by direction, first layer to last.
      by_scope: The same cells by the scope of their variables.
    """

    graph: Graph
    layers: tuple[Mapping[str, GraphCell], ...]
    by_scope: Mapping[str, GraphCell]


@dataclasses.dataclass(frozen=True, eq=False)
class Recognition:
    """What an artifact means.

    Attributes:
      artifact: The artifact.
      model: Its canonical model.
      stacks: Every recurrent stack in it, described, by scope (bare weights).
      legacy_graph: What its graph says, where it has one (checkpoint with a `.meta`).
    """

    artifact: LegacyArtifact
    model: CanonicalModel
    stacks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    legacy_graph: LegacyGraph | None = None

    @property
    def writer(self) -> str:
        """Framework and release that wrote the artifact, "" where nothing says so."""
        if self.legacy_graph and self.legacy_graph.graph.tensorflow_version:
            return f"TensorFlow {self.legacy_graph.graph.tensorflow_version}"
        return self.artifact.writer


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
        keras_model = recognise_keras(artifact, settings)
        _check_effect(settings, keras_model)
        return Recognition(artifact, keras_model)
    stacks, problems = find_stacks(artifact, settings)
    described = {scope: describe_layers(layers) for scope, layers in stacks.items()}
    wanted = settings.get("scope")
    if wanted is None:
        raise_all(UnsupportedError, problems)
    elif not any(lies_in(scope, wanted.value) for scope in stacks):
        raise_all(UnsupportedError, (p for p in problems if _concerns(p, wanted.value)))
    scope = choose_stack(stacks, settings)
    raise_all(UnsupportedError, (p for p in problems if _concerns(p, scope)))
    graph = read_legacy_graph(artifact, stacks[scope])
    model = build_stack(artifact, stacks[scope], settings, graph.by_scope if graph else {})
    _check_effect(settings, model)
    return Recognition(artifact, model, described, graph)


def _check_effect(settings: Settings, model: CanonicalModel) -> None:
    """Refuses settings that nothing in the model takes; a typing error would go unnoticed."""
    useful = {"activation", "recurrent_activation"}
    if any(layer.kind is CellKind.LSTM for layer in model.recurrent_layers):
        useful |= {"forget_bias", "cell_clip"}
    bare = {"scope", "kernel_name", "recurrent_name", "input_size"}
    useful |= bare if model.bare_weights else {"class"}
    raise_all(
        UsageError,
        (
            Problem(
                where=f"--set {text}",
                expected=f"a setting that this model takes: {', '.join(sorted(useful))}",
                received=key,
                remedy="leave it out",
            )
            for (_, key), text in settings.texts.items()
            if key not in useful
        ),
    )


def _concerns(problem: Problem, scope: str) -> bool:
    """Whether a problem lies in a scope, or is one of the scope as a whole."""
    return lies_in(problem.where.split(",")[0], scope)


def read_legacy_graph(artifact: LegacyArtifact, layers: Layers) -> LegacyGraph | None:
    """The graph beside a checkpoint, with the given cells found in it; None without a graph.

    Raises:
      UnreadableError: The graph is damaged.
      UnsupportedError: It computes with these weights what cannot be converted.
    """
    if artifact.graph is None:
        return None
    graph = read_metagraph(artifact.graph)
    kernels = {cell.scope: cell.main_kernel for layer in layers for cell in layer.values()}
    cells = find_cells(graph, kernels.values())
    by_scope = {scope: cells[kernel] for scope, kernel in kernels.items()}
    raise_all(UnsupportedError, (p for s, cell in by_scope.items() for p in _refused(s, cell)))
    ordered = [{d: by_scope[cell.scope] for d, cell in layer.items()} for layer in layers]
    return LegacyGraph(graph, tuple(ordered), by_scope)


_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "peephole": (False,),
    "projection": (False,),
    "output_wiring": ("plain",),
}
"""Facts of a graph that only these values can be converted with."""


def _refused(scope: str, cell: GraphCell) -> list[Problem]:
    problems = [
        _not_plain(scope, name, cell.facts[name].value, cell.facts[name].source)
        for name, plain in _PLAIN.items()
        if name in cell.facts and cell.facts[name].value not in plain
    ]
    initial = cell.facts.get("initial_state")
    if initial is not None and str(initial.value).startswith("variable "):
        problems.append(_not_plain(scope, "initial state", initial.value, initial.source))
    return problems


def _not_plain(scope: str, name: str, value: Any, source: str) -> Problem:
    return Problem(
        where=f"{scope}, {name}",
        expected="a plain cell that begins with zeros and whose output leaves as it is",
        received=f"{name} {value} ({source})",
        remedy="this version converts no such cell; keep this part in the legacy model, or fill a "
        "layer of your own with rnn_migrator.warm_start from a dump of the weights",
    )
