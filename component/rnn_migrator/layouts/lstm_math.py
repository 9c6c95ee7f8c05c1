"""The part of an LSTM step that all of the project's LSTM sources share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts

_FACTS = ("activation", "recurrent_activation", "forget_bias", "cell_clip", "proj_clip")


def facts_of(facts: Facts) -> dict[str, Any]:
    """The facts an LSTM cell carries, ready for `Cell(**...)`."""
    return {name: facts[name] for name in _FACTS if name in facts}


def clip(x: Array, facts: Facts, name: str) -> Array:
    """x within the bound that a fact of that name states, if it states one."""
    bound = facts[name].value if name in facts else None
    return x if bound is None else np.clip(x, -bound, bound)


def lstm_update(
    i: Array,
    f: Array,
    g: Array,
    o: Array,
    c_prev: Array,
    facts: Facts,
    peepholes: Mapping[str, Array] | None = None,
    projection: Array | None = None,
) -> dict[str, Array]:
    """The states after one step, from the four pre-activations.

    c = clip(s(f + w_f * c_prev) * c_prev + s(i + w_i * c_prev) * a(g), cell_clip)
    h = clip((s(o + w_o * c) * a(c)) @ projection, proj_clip)
    The clip comes before the output activation and before the peephole of the output gate, as in
    `rnn_cell_impl.LSTMCell.call` of TensorFlow 1.15.

    Args:
      i: Input gate, (batch, units), forget bias and the like included.
      f: Forget gate.
      g: Candidate.
      o: Output gate.
      c_prev: Cell state before the step.
      facts: Activations and clips.
      peepholes: (units,) by gate name.
      projection: (units, output_size).
    """
    gate = ACTIVATIONS[facts["recurrent_activation"].value]
    activation = ACTIVATIONS[facts["activation"].value]
    sees = peepholes or {}
    i = i + sees["input"] * c_prev if "input" in sees else i
    f = f + sees["forget"] * c_prev if "forget" in sees else f
    c = clip(gate(f) * c_prev + gate(i) * activation(g), facts, "cell_clip")
    o = o + sees["output"] * c if "output" in sees else o
    h = gate(o) * activation(c)
    if projection is not None:
        h = clip(h @ projection, facts, "proj_clip")
    return {"h": h, "c": c}
