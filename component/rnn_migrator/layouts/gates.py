"""Gate blocks of a fused matrix, addressed by name.

A layout states its order once, as a string of letters such as `"icfo"`; nothing else in the
project addresses a gate by position.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnn_migrator.canonical import Array

_LETTERS = {
    "i": "input",
    "f": "forget",
    "c": "candidate",
    "o": "output",
    "z": "update",
    "r": "reset",
    "h": "candidate",
}


def gate_names(order: str) -> tuple[str, ...]:
    """Gate names that an order such as `"icfo"` stands for."""
    return tuple(_LETTERS[letter] for letter in order)


def split_gates(fused: Array, order: str) -> dict[str, Array]:
    """Takes a fused array apart along its last axis.

    Args:
      fused: (..., len(order) * units).
      order: Gate letters in the order of the blocks.

    Returns:
      Gate name to a copy of its block, (..., units). Copies, so that no later change to a
      block can reach the source.
    """
    blocks = np.split(fused, len(order), axis=-1)
    return {name: block.copy() for name, block in zip(gate_names(order), blocks, strict=True)}


def join_gates(blocks: Mapping[str, Array], order: str) -> Array:
    """The inverse of `split_gates`."""
    return np.concatenate([blocks[name] for name in gate_names(order)], axis=-1)
