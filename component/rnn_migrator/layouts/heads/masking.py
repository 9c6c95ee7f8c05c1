"""Where masks go in a model, by the rules of Keras 2."""

from __future__ import annotations

from rnn_migrator.canonical import CanonicalModel, HeadLayer, Node, RecurrentLayer
from rnn_migrator.layouts.heads.base import HEADS


def masked_values(model: CanonicalModel) -> set[str]:
    """Names of the values that can carry a mask."""
    masked: set[str] = set()
    for node in model.nodes:
        if _gives_mask(node, masked):
            masked.add(node.name)
    return masked


def _gives_mask(node: Node, masked: set[str]) -> bool:
    layer = node.layer
    if isinstance(layer, HeadLayer):
        head = HEADS[layer.class_name]
        if makes_mask(layer):
            return True
        return head.passes_mask and not masked.isdisjoint(node.inbound)
    reads_mask = node.inbound[0] in masked
    return reads_mask and (not isinstance(layer, RecurrentLayer) or layer.return_sequences)


def makes_mask(layer: HeadLayer) -> bool:
    """Whether a layer computes a mask from its input."""
    makes = HEADS[layer.class_name].make_mask is not None
    return makes and (layer.class_name != "Embedding" or bool(layer.config.get("mask_zero")))
