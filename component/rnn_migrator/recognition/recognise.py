"""From an artifact to its canonical model, whatever its format."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rnn_migrator.canonical import CanonicalModel, Origin
from rnn_migrator.errors import Problem, UnsupportedError, UsageError, raise_all
from rnn_migrator.layouts.gru_math import CONVENTIONS
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.readers.metagraph import Graph, read_metagraph
from rnn_migrator.recognition.declared import DECLARED, DeclaredLayer, declared_stack
from rnn_migrator.recognition.graph_facts import GraphCell, all_cells, find_cells
from rnn_migrator.recognition.keras1_config import all_layers
from rnn_migrator.recognition.keras_model import recognise_keras
from rnn_migrator.recognition.keras_stack import recognise_weights
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_cells import FoundCell
from rnn_migrator.recognition.tf1_stack import (
    Layers,
    build_stack,
    choose_stack,
    describe_layers,
    find_stacks,
    lies_in,
    stack_problems,
)
from rnn_migrator.recognition.variables import (
    has_unused_averages,
    logical_variables,
    opaque_buffers,
)


@dataclasses.dataclass(frozen=True, eq=False)
class LegacyGraph:
    """The graph beside a checkpoint, and where the cells are in it.

    Attributes:
      graph: The graph.
      layers: The cells of the stack by direction, first layer to last, each from the bottom.
      by_scope: The same cells by the scope of their variables.
    """

    graph: Graph
    layers: tuple[Mapping[str, tuple[GraphCell, ...]], ...]
    by_scope: Mapping[str, GraphCell]


@dataclasses.dataclass(frozen=True, eq=False)
class Recognition:
    """What an artifact means.

    Attributes:
      artifact: The artifact, with the variables of the model only.
      model: Its canonical model.
      stacks: Every recurrent stack in it, described, by scope (bare weights).
      legacy_graph: What its graph says, where it has one (checkpoint with a `.meta`).
      notes: What the user should know, and may want to say otherwise.
    """

    artifact: LegacyArtifact
    model: CanonicalModel
    stacks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    legacy_graph: LegacyGraph | None = None
    notes: tuple[str, ...] = ()

    @property
    def writer(self) -> str:
        """Framework and release that wrote the artifact, "" where nothing says so."""
        if self.legacy_graph and self.legacy_graph.graph.tensorflow_version:
            return f"TensorFlow {self.legacy_graph.graph.tensorflow_version}"
        return self.artifact.writer


def recognise(
    artifact: LegacyArtifact, settings: Settings, declared: Sequence[DeclaredLayer] = ()
) -> Recognition:
    """The meaning of an artifact.

    Args:
      artifact: What a reader opened.
      settings: What the user said.
      declared: The layers as the user declares them, where names do not tell.

    Raises:
      UnsupportedError: Ambiguous, or not convertible; every problem at once.
      UsageError: A setting speaks of a layer that is not there.
    """
    if declared:
        return _recognise_declared(artifact, settings, declared)
    if artifact.layers or artifact.model_config:
        whole = artifact.model_config is not None
        keras_model = (recognise_keras if whole else recognise_weights)(artifact, settings)
        _check_effect(settings, keras_model)
        return Recognition(artifact, keras_model)
    return _recognise_stack(artifact, settings)


def parts(artifact: LegacyArtifact, settings: Settings) -> dict[str, str]:
    """What is recognised of an artifact that is refused: its stacks, or the layers of its config.

    Returns:
      By scope or layer, what it is; nothing where the names tell nothing.
    """
    if artifact.model_config is not None:
        found = (
            (layer["config"], layer["class_name"]) for layer in all_layers(artifact.model_config)
        )
        named = ((config, kind) for config, kind in found if isinstance(config, dict))
        return {str(config["name"]): kind for config, kind in named if "name" in config}
    if artifact.layers:
        return {}
    try:
        stacks, _ = find_stacks(logical_variables(artifact, settings), settings, [])
    except UnsupportedError:
        return {}
    return {scope: describe_layers(layers) for scope, layers in stacks.items()}


def _recognise_declared(
    artifact: LegacyArtifact, settings: Settings, declared: Sequence[DeclaredLayer]
) -> Recognition:
    """A stack that the user declares; no graph is asked."""
    variables, stacks = declared_stack(logical_variables(artifact, settings), declared)
    [layers] = stacks.values()
    model = build_stack(variables, layers, settings, {})
    _check_effect(settings, model)
    return Recognition(variables, model, {DECLARED: describe_layers(layers)})


def _recognise_stack(artifact: LegacyArtifact, settings: Settings) -> Recognition:
    """One recurrent stack among named variables."""
    notes = (_UNUSED_AVERAGES,) if has_unused_averages(artifact, settings) else ()
    variables = logical_variables(artifact, settings)
    graph = read_metagraph(variables.graph) if variables.graph else None
    computed = all_cells(graph) if graph else []
    stacks, problems = find_stacks(variables, settings, computed)
    if not stacks:
        problems += [_opaque(name) for name in opaque_buffers(variables)]
        problems += [problem for cell in computed for problem in cell.problems]
    wanted = settings.get("scope")
    if wanted is None and problems:
        raise_all(UnsupportedError, [*problems, *_misfits(variables, stacks, settings, graph)])
    if wanted is not None and not any(lies_in(scope, wanted.value) for scope in stacks):
        raise_all(UnsupportedError, (p for p in problems if _concerns(p, wanted.value)))
    scope = choose_stack(stacks, settings)
    raise_all(UnsupportedError, (p for p in problems if _concerns(p, scope)))
    raise_all(UsageError, _vain_settings(artifact, stacks[scope], settings))
    legacy = locate(graph, stacks[scope]) if graph else None
    model = build_stack(variables, stacks[scope], settings, legacy.by_scope if legacy else {})
    _check_effect(settings, model)
    described = {name: describe_layers(layers) for name, layers in stacks.items()}
    return Recognition(variables, model, described, legacy, notes)


def _misfits(
    variables: LegacyArtifact,
    stacks: Mapping[str, Layers],
    settings: Settings,
    graph: Graph | None,
) -> Iterator[Problem]:
    """What stands in the way of the stacks that were found, as far as no graph has to be asked."""
    if graph is None:
        for layers in stacks.values():
            yield from stack_problems(variables, layers, settings, {})


def _vain_settings(
    artifact: LegacyArtifact, layers: Layers, settings: Settings
) -> Iterator[Problem]:
    """Classes that no cell of the stack is of, and averages that its variables do not have."""
    cells = [cell for layer in layers for stack in layer.values() for cell in stack]
    classes = {cell.named.cell_class for cell in cells}
    for (layer, key), text in settings.texts.items():
        if key == "class" and str(settings.values[layer, key]) not in classes:
            yield Problem(
                where=f"--set {text}",
                expected="a class of TensorFlow 1, for a cell named by its scope: "
                + " or ".join(f"'layer[{cell.scope}].class=NAME'" for cell in cells),
                received=f"{settings.values[layer, key]}, which none of these cells was taken for",
                remedy="name the scope of the cell, and a class whose variables it has",
            )
    ema = settings.get("use_ema")
    names = [name for cell in cells for name in cell.names.values() if name in artifact.tensors]
    plain = [name for name in names if f"{name}/ExponentialMovingAverage" not in artifact.tensors]
    if ema is not None and ema.value and plain:
        yield Problem(
            where=ema.source,
            expected="a moving average of every variable of the stack: "
            "NAME/ExponentialMovingAverage",
            received="none of " + ", ".join(plain[:4]),
            remedy="leave the setting out, or name the checkpoint of the training job",
        )


_UNUSED_AVERAGES = (
    "there are moving averages of the variables (NAME/ExponentialMovingAverage), which are not "
    "used: --set use_ema=true takes them instead, --set use_ema=false says that this is meant"
)


def _opaque(name: str) -> Problem:
    return Problem(
        where=name,
        expected="variables of a recurrent cell, or a cuDNN buffer whose sizes are known",
        received="an opaque cuDNN buffer, which does not say what it was made for",
        remedy="--set cudnn=lstm (or gru) --set num_layers=N --set num_units=N --set input_size=N, "
        "and --set bidirectional=true where it runs both ways",
    )


_BARE_SETTINGS = frozenset(
    {"scope", "layers", "kernel_name", "recurrent_name", "input_size", "use_ema", "cudnn"}
    | {"num_layers", "num_units", "bidirectional", "row_order"}
)


def _check_effect(settings: Settings, model: CanonicalModel) -> None:
    """Refuses settings that nothing in the model takes; a typing error would go unnoticed."""
    useful = {
        name
        for _, name, fact in model.facts()
        if name not in CONVENTIONS or fact.origin is Origin.USER
    } | {"writer", "class"}
    useful |= _BARE_SETTINGS if model.bare_weights else {"replacement"}
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


def locate(graph: Graph, layers: Layers) -> LegacyGraph:
    """The cells of a stack in the graph beside the checkpoint.

    Raises:
      UnsupportedError: It computes with these weights what cannot be converted, or with others.
    """
    cells = [cell for layer in layers for stack in layer.values() for cell in stack]
    found = find_cells(graph, (cell.main_kernel for cell in cells))
    by_scope = {cell.scope: found[cell.main_kernel] for cell in cells}
    problems = [p for cell in cells for p in _other_variables(cell, by_scope[cell.scope])]
    problems += [p for scope, cell in by_scope.items() for p in _refused(scope, cell)]
    raise_all(UnsupportedError, problems)
    ordered = [
        {prefix: tuple(by_scope[cell.scope] for cell in stack) for prefix, stack in layer.items()}
        for layer in layers
    ]
    return LegacyGraph(graph, tuple(ordered), by_scope)


def _other_variables(cell: FoundCell, computed: GraphCell) -> list[Problem]:
    """Variables that names and graph give different parts, or that only one of them knows."""
    if not computed.names:
        return []
    if dict(computed.names) == dict(cell.names):
        return _other_layout(cell, computed)
    differ = {
        role: (cell.names.get(role), computed.names.get(role))
        for role in {*cell.names, *computed.names}
        if cell.names.get(role) != computed.names.get(role)
    }
    return [
        Problem(
            where=f"{cell.scope}, {role}",
            expected=f"{named or 'no variable'}, as the names in the checkpoint say",
            received=f"{used or 'none'} in the step that the graph computes",
            remedy="check that the .meta belongs to this checkpoint; where the names are right, "
            "move it away and say with --set what the graph would have said",
        )
        for role, (named, used) in sorted(differ.items())
    ]


def _other_layout(cell: FoundCell, computed: GraphCell) -> list[Problem]:
    """A problem where names, or the user, and graph take the same variables for another cell."""
    without_norms = cell.named.layout == "tf1_layer_norm_lstm" and "bias" in cell.names
    if computed.layout == ("tf1_lstm" if without_norms else cell.named.layout):
        return []
    return [
        Problem(
            where=cell.scope,
            expected=f"{computed.layout}, as the graph computes it",
            received=f"{cell.named.layout}, as the names of the variables or a setting say",
            remedy="leave the setting out, or check that the .meta belongs to this checkpoint",
        )
    ]


_PLAIN: Mapping[str, tuple[Any, ...]] = {"output_wiring": ("plain",)}
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
