"""Which tensor of the source went where, with digests of both ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from rnn_migrator.canonical import CanonicalModel, Cell, HeadLayer, LegacyCell, RecurrentLayer
from rnn_migrator.layouts.keras_weights import keras_weights
from rnn_migrator.readers import LegacyArtifact, array_digest


@dataclasses.dataclass(frozen=True)
class TensorLink:
    """The tensors of one cell or layer, from source to target.

    Attributes:
      layer: Keras layer, with "/fw" or "/bw" for a direction.
      layout: Layout of the source tensors.
      sources: SHA-256 by name in the artifact, of the tensors as they lie in its files.
      targets: SHA-256 by weight of the Keras layer.
      note: The lossy step, where there is one.
    """

    layer: str
    layout: str
    sources: dict[str, str]
    targets: dict[str, str]
    note: str = ""


def tensor_map(model: CanonicalModel, artifact: LegacyArtifact) -> list[TensorLink]:
    """The links of a model, first layer to last.

    Args:
      model: The model.
      artifact: What it was recognised in; read again, for the tensors as they lie in the files.
    """
    return list(_links(model, artifact))


def _links(model: CanonicalModel, artifact: LegacyArtifact) -> Iterator[TensorLink]:
    for layer in model.layers:
        if isinstance(layer, HeadLayer) and layer.weights:
            targets = {name: array_digest(array) for name, array in layer.weights.items()}
            yield TensorLink(layer.name, "as it is", _stored(artifact, layer.weights), targets)
        elif isinstance(layer, RecurrentLayer):
            for place, member in layer.cells.items():
                where = f"{layer.name}/{place}" if place else layer.name
                yield _cell_link(where, member, artifact)


def _cell_link(where: str, member: LegacyCell, artifact: LegacyArtifact) -> TensorLink:
    return TensorLink(
        layer=where,
        layout=member.source.layout,
        sources=_stored(artifact, member.source.names.values()),
        targets={role: array_digest(a) for role, a in keras_weights(member.cell).items()},
        note=_note(member.cell),
    )


def _stored(artifact: LegacyArtifact, names: Iterable[str]) -> dict[str, str]:
    """Digests of the tensors in the files, by their names there."""
    return {
        name: array_digest(array)
        for wanted in names
        for name, array in artifact.stored(wanted).items()
    }


def _note(cell: Cell) -> str:
    sums = []
    if cell.forget_bias.value:
        sums.append(f"forget bias {cell.forget_bias.value} summed into the bias")
    if cell.recurrent_biases and not cell.folded().recurrent_biases:
        sums.append("two biases summed into one")
    if cell.update_keeps.value == "candidate":
        sums.append("update gate negated, so that it keeps the state")
    return "; ".join(sums)
