"""Which tensor of the source went where, with digests of both ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from rnn_migrator.canonical import CanonicalModel, Direction, HeadLayer
from rnn_migrator.layouts.stock_keras import stock_weights
from rnn_migrator.readers import array_digest


@dataclasses.dataclass(frozen=True)
class TensorLink:
    """The tensors of one cell or layer, from source to target.

    Attributes:
      layer: Keras layer, with "/fw" or "/bw" for a direction.
      layout: Layout of the source tensors.
      sources: SHA-256 by name in the artifact.
      targets: SHA-256 by weight of the Keras layer.
      note: The lossy step, where there is one.
    """

    layer: str
    layout: str
    sources: dict[str, str]
    targets: dict[str, str]
    note: str = ""


def tensor_map(model: CanonicalModel) -> list[TensorLink]:
    """The links of a model, first layer to last."""
    return list(_links(model))


def _links(model: CanonicalModel) -> Iterator[TensorLink]:
    for node in model.nodes:
        layer = node.layer
        if isinstance(layer, HeadLayer):
            if layer.weights:
                digests = {name: array_digest(array) for name, array in layer.weights.items()}
                yield TensorLink(layer.name, "as it is", digests, digests)
            continue
        for prefix, direction in layer.directions.items():
            where = f"{layer.name}/{prefix}" if prefix else layer.name
            yield _link(where, direction)


def _link(where: str, direction: Direction) -> TensorLink:
    source = direction.source
    return TensorLink(
        layer=where,
        layout=source.layout,
        sources={name: array_digest(source.tensors[role]) for role, name in source.names.items()},
        targets={role: array_digest(a) for role, a in stock_weights(direction.cell).items()},
        note=_note(direction),
    )


def _note(direction: Direction) -> str:
    sums = []
    if direction.cell.forget_bias.value:
        sums.append(f"forget bias {direction.cell.forget_bias.value} summed into the bias")
    if direction.cell.recurrent_biases and not direction.cell.folded().recurrent_biases:
        sums.append("two biases summed into one")
    return "; ".join(sums)
