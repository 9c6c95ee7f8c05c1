"""Which arrays of a Keras file belong to which layer, models in models included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.recognition.keras_cells import cells_of
from rnn_migrator.recognition.keras_config import LayerConfig, Topology

Names = tuple[str, ...]


def weights_by_layer(artifact: LegacyArtifact, topology: Topology) -> dict[str, Names]:
    """Names of the arrays by layer, in the order Keras keeps them.

    Readers tell the arrays of inner layers apart by their names ("outer/inner"). Where names do
    not tell, the arrays of a model inside the model stand under its outermost name: first those
    that train, layer by layer, then the others (`Container.weights` of Keras 1 and 2).

    Raises:
      UnsupportedError: The arrays of an inner model cannot be told apart.
    """
    found: dict[str, Names] = {}
    for outer, layers in _by_outermost(topology.layers).items():
        every = _with_inner(layers)
        if outer in artifact.layers and [name for name, _ in every] != [outer]:
            found |= _divided(outer, every, artifact.layers[outer])
        else:
            found |= {name: artifact.layers.get(name, ()) for name, _ in every}
    return found


def _by_outermost(layers: Iterable[LayerConfig]) -> dict[str, list[LayerConfig]]:
    groups: dict[str, list[LayerConfig]] = {}
    for layer in layers:
        groups.setdefault(layer.name.split("/")[0], []).append(layer)
    return groups


def _with_inner(layers: Iterable[LayerConfig]) -> list[tuple[str, LayerConfig]]:
    """Layers with their names here; those that `TimeDistributed` applies stand in its place."""
    every: list[tuple[str, LayerConfig]] = []
    for layer in layers:
        if layer.inner is None:
            every.append((layer.name, layer))
        else:
            inside = _with_inner(layer.inner.layers)
            every += [(f"{layer.name}/{name}", inner) for name, inner in inside]
    return every


def _divided(
    outer: str, layers: Sequence[tuple[str, LayerConfig]], names: Names
) -> dict[str, Names]:
    """Divides the arrays of an inner model among its layers, in their order."""
    in_order = _in_order(layers, names)
    if in_order is None:
        raise UnsupportedError(_not_told_apart(outer, layers, names))
    return in_order


def _in_order(layers: Sequence[tuple[str, LayerConfig]], names: Names) -> dict[str, Names] | None:
    counts = {where: _counts(layer) for where, layer in layers}
    if sum(map(sum, counts.values())) != len(names):
        return None
    rest = iter(names)
    found: dict[str, Names] = dict.fromkeys(counts, ())
    for part in range(2):
        for where, parts in counts.items():
            found[where] += tuple(next(rest) for _ in range(parts[part]))
    return found


_MOMENTS = 2


def _counts(layer: LayerConfig) -> tuple[int, int]:
    """How many arrays of a layer train, and how many do not."""
    total = array_count(layer.class_name, layer.config)
    if layer.config.get("trainable") is False:
        return 0, total
    head = HEADS.get(layer.class_name)
    fixed = _MOMENTS if head and head.keras_class == "BatchNormalization" else 0
    return total - fixed, fixed


def array_count(class_name: str, config: Mapping[str, object]) -> int:
    """How many arrays a layer of Keras 2 has in a file."""
    inside = config.get("layer")
    if isinstance(inside, dict):
        directions = 2 if class_name == "Bidirectional" else 1
        return directions * array_count(inside["class_name"], inside["config"])
    if class_name in HEADS:
        head = HEADS[class_name]
        return len(head.weights(head.settings(config)))
    cells = cells_of("", class_name, config)
    return sum(3 if cell.get("use_bias", True) else 2 for _, cell in cells)


def _not_told_apart(outer: str, layers: Sequence[tuple[str, LayerConfig]], names: Names) -> Problem:
    return Problem(
        where=f"model {outer!r}",
        expected="arrays named by the layers " + ", ".join(where for where, _ in layers),
        received=f"{len(names)} arrays: " + ", ".join(names[:6]),
        remedy="name the architecture the weights were saved with: --architecture FILE",
    )
