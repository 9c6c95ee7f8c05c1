"""Gate blocks of a fused matrix, addressed by name.

A layout states its order once, as a string of letters such as `"icfo"`; nothing else in the
project addresses a gate by position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rnn_migrator.canonical import Array, Gate

Gates = dict[str, Gate]
Tensors = dict[str, Array]

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


def fused_gates(kernel: Array, bias: Array | None, order: str, width: int) -> dict[str, Gate]:
    """Gates of a kernel that input and state share.

    Args:
      kernel: (input_size + width, len(order) * units), rows [x; h].
      bias: (len(order) * units,), None for none.
      order: Gate letters in the order of the blocks.
      width: Width of the state h.
    """
    biases = {} if bias is None else split_gates(bias, order)
    return {
        name: Gate(block[:-width].copy(), block[-width:].copy(), biases.get(name))
        for name, block in split_gates(kernel, order).items()
    }


def fused_kernel(gates: Mapping[str, Gate], order: str) -> Array:
    """The kernel that `fused_gates` takes apart."""
    rows = {name: np.concatenate([gate.kernel, gate.recurrent]) for name, gate in gates.items()}
    return join_gates(rows, order)


def separate_gates(
    kernel: Array, recurrent: Array, bias: Array | None, order: str
) -> dict[str, Gate]:
    """Gates of an input kernel and a recurrent kernel that lie apart."""
    biases = {} if bias is None else split_gates(bias, order)
    recurrents = split_gates(recurrent, order)
    return {
        name: Gate(block, recurrents[name], biases.get(name))
        for name, block in split_gates(kernel, order).items()
    }


def joined(gates: Mapping[str, Gate], part: str, order: str) -> Array:
    """One part (`kernel`, `recurrent`, `bias`) of all gates side by side."""
    return join_gates({name: getattr(gate, part) for name, gate in gates.items()}, order)


Roles = Mapping[str, Mapping[str, str]]
"""Gate name to part of a `Gate` to the role of the tensor that is this part."""

Turn = Callable[[Array], Array]


def gate_roles(order: str, parts: Mapping[str, str]) -> Roles:
    """Roles of a source that keeps every part of every gate in a tensor of its own.

    Args:
      order: Gate letters.
      parts: Role by part of a `Gate`, with `{letter}` or `{name}` for the gate.
    """
    return {
        name: {part: role.format(letter=letter, name=name) for part, role in parts.items()}
        for letter, name in zip(order, gate_names(order), strict=True)
    }


def gates_by_role(tensors: Mapping[str, Array], roles: Roles, turn: Turn = np.asarray) -> Gates:
    """Gates of a source that keeps every part apart; a bias may be missing.

    Args:
      tensors: By role.
      roles: As `gate_roles` gives them.
      turn: Brings a tensor of the source into the form of the canonical one.
    """
    gates = {}
    for name, parts in roles.items():
        found = {part: turn(tensors[r]).copy() for part, r in parts.items() if r in tensors}
        bias, recurrent_bias = found.get("bias"), found.get("recurrent_bias")
        gates[name] = Gate(found["kernel"], found["recurrent"], bias, recurrent_bias)
    return gates


def tensors_by_role(gates: Mapping[str, Gate], roles: Roles, turn: Turn = np.asarray) -> Tensors:
    """The inverse of `gates_by_role`, `turn` being the inverse too."""
    return {
        role: turn(array).copy()
        for name, parts in roles.items()
        for part, role in parts.items()
        if (array := getattr(gates[name], part)) is not None
    }
