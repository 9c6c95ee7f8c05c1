"""What the layers that read an input take its values for: the ids of an embedding, padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rnn_migrator.canonical import (
    CanonicalModel,
    HeadLayer,
    ModelInput,
    Node,
    RecurrentLayer,
    TimeDistributed,
)
from rnn_migrator.layouts.heads.base import HEADS
from rnn_migrator.layouts.heads.masking import makes_mask

_EVERY_STEP_ALONE = frozenset(
    (
        "Activation",
        "AlphaDropout",
        "Dense",
        "Dropout",
        "ELU",
        "GaussianDropout",
        "GaussianNoise",
        "LeakyReLU",
        "ReLU",
        "SpatialDropout1D",
        "ThresholdedReLU",
    )
)
"""Layers that give each time step by itself, and hand on the mask."""


def _readers(model: CanonicalModel, source: ModelInput) -> Iterator[HeadLayer]:
    """The layers that read an input, through layers that only spread it over time steps."""
    for node in model.nodes:
        if source.name not in node.inbound:
            continue
        if isinstance(node.layer, HeadLayer):
            yield node.layer
        elif isinstance(node.layer, TimeDistributed):
            yield from _readers(node.layer.inner, node.layer.inner.inputs[0])


def padding_values(model: CanonicalModel, source: ModelInput) -> Iterator[float]:
    """The value of a masked step, where a layer makes a mask of an input."""
    for layer in _readers(model, source):
        if layer.class_name == "Masking":
            yield float(layer.config.get("mask_value", 0.0))
        elif layer.config.get("mask_zero"):
            yield 0.0


def vocabulary_size(model: CanonicalModel, source: ModelInput) -> int | None:
    """How many ids an input may hold, if an embedding reads it."""
    sizes = [
        int(layer.config["input_dim"])
        for layer in _readers(model, source)
        if layer.class_name == "Embedding"
    ]
    return min(sizes, default=None)


def paddings(model: CanonicalModel) -> dict[str, float]:
    """The value of a masked step by input; empty unless every input of sequences has one."""
    found = {}
    for source in model.inputs:
        values = [*padding_values(model, source)]
        if source.shape[:1] != (None,) or not values:
            return {}
        found[source.name] = values[0]
    return found


def unseen_paddings(model: CanonicalModel) -> dict[str, float]:
    """The value of a masked step by input, where no output can tell whether there are such steps.

    More than a mask is asked for: what a masked step comes to may be read by a layer that does not
    look at masks, or may lie in an output that has a time axis. What is not sure to be unseen
    counts as seen.

    Args:
      model: One with a layer that makes masks, or another.

    Returns:
      Values by input, of all inputs that are sequences; empty where padding may be seen.
    """
    values = paddings(model)
    steps: dict[str, bool] = dict.fromkeys(values, False)
    for node in model.nodes:
        if steps.keys().isdisjoint((*node.inbound, *node.initial_state)):
            continue
        if not _hides_padding(node, steps):
            return {}
        if _gives_steps(node):
            steps[node.name] = True
    return {} if steps.keys() & set(model.outputs.values()) else values


def _hides_padding(node: Node, steps: Mapping[str, bool]) -> bool:
    """Whether what a node gives for steps that count is the same with masked ones behind them.

    Args:
      node: One that reads sequences.
      steps: Names of the sequences; whether a mask goes with them.
    """
    layer = node.layer
    if isinstance(layer, HeadLayer) and makes_mask(layer):
        return True
    if not steps.keys().isdisjoint(node.initial_state) or not steps.get(node.inbound[0]):
        return False
    if isinstance(layer, HeadLayer):
        return layer.class_name in _EVERY_STEP_ALONE or HEADS[layer.class_name].masked is not None
    return not isinstance(layer, RecurrentLayer) or _keeps_order(layer)


def _keeps_order(layer: RecurrentLayer) -> bool:
    """Whether what a layer gives is one sequence at most, its steps where they were read.

    Keras turns the sequence of a layer that runs backwards around, and not its mask.
    """
    backwards = layer.go_backwards and layer.return_sequences
    return layer.merge_mode is not None and not backwards


def _gives_steps(node: Node) -> bool:
    layer = node.layer
    if isinstance(layer, HeadLayer):
        return HEADS[layer.class_name].masked is None
    return not isinstance(layer, RecurrentLayer) or layer.return_sequences
