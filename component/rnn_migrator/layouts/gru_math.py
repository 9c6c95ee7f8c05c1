"""The part of a GRU step that the hand-written sources share."""

from __future__ import annotations

from typing import Any

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.base import Facts

CONVENTIONS = frozenset({"reset_after", "update_keeps"})
"""Facts about which the authors of GRUs differ."""

_FACTS = ("activation", "recurrent_activation", *sorted(CONVENTIONS))


def facts_of(facts: Facts) -> dict[str, Any]:
    """The facts such a GRU carries, ready for `Cell(**...)`."""
    return {name: facts[name] for name in _FACTS}


def next_state(z: Array, h: Array, g: Array, facts: Facts) -> dict[str, Array]:
    """The state after one step.

    z * h + (1 - z) * g where the update gate keeps the state (Cho et al., 2014, and every class
    of TensorFlow and Keras); (1 - z) * h + z * g where it keeps the candidate (Chung et al., 2014).

    Args:
      z: Update gate, (batch, units).
      h: State before the step.
      g: Candidate.
      facts: `update_keeps`.
    """
    if facts["update_keeps"].value == "candidate":
        return {"h": (1.0 - z) * h + z * g}
    return {"h": z * h + (1.0 - z) * g}
