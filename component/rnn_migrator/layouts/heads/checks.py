"""Whether a layer of a file is one that its class can have: its config, its weights."""

from __future__ import annotations

from collections.abc import Iterator

from rnn_migrator.canonical import HeadLayer
from rnn_migrator.errors import Problem
from rnn_migrator.layouts.heads.base import HEADS, REMEDY, Head, Shape


def problems(layer: HeadLayer) -> list[Problem]:
    """Everything about a layer that its class cannot have.

    Args:
      layer: Of a class in `HEADS`, with its config and weights as the file has them.

    Returns:
      Problems with the config, or, if there are none, with the weights.
    """
    head = HEADS[layer.class_name]
    return list(head.config_problems(layer.config, layer.name)) or list(
        _weight_problems(layer, head)
    )


def _weight_problems(layer: HeadLayer, head: Head) -> Iterator[Problem]:
    shapes = head.weights(head.settings(layer.config))
    where = f"layer {layer.name!r} ({layer.class_name})"
    if len(shapes) != len(layer.weights):
        yield Problem(
            where=where,
            expected=f"{len(shapes)} weight arrays: {', '.join(shapes) or 'none'}",
            received=f"{len(layer.weights)}: {_names(layer)}",
            remedy="name the architecture the weights were saved with: --architecture FILE",
        )
        return
    sizes: dict[str, int] = {}
    for (role, shape), array in zip(shapes.items(), layer.weights.values(), strict=True):
        if shape is not None and not _fits(shape, array.shape, sizes):
            yield Problem(
                where=f"{where}, {role}",
                expected=f"shape ({', '.join(str(sizes.get(str(s), s)) for s in shape)})",
                received=f"shape {array.shape}",
                remedy=REMEDY,
            )


def _fits(shape: Shape, received: tuple[int, ...], sizes: dict[str, int]) -> bool:
    """Whether a shape is as expected; if so, fills in the sizes that the input decides."""
    if len(shape) != len(received):
        return False
    found = dict(sizes)
    known = [
        found.setdefault(expected, size) if isinstance(expected, str) else expected
        for expected, size in zip(shape, received, strict=True)
    ]
    if tuple(known) == received:
        sizes.update(found)
        return True
    return False


def _names(layer: HeadLayer) -> str:
    names = list(layer.weights)
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "") if names else "none"
