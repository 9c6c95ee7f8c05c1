"""The part of an LSTM step that all of the project's LSTM sources share."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.base import Facts


def facts_of(facts: Facts) -> dict[str, Any]:
    """The facts an LSTM cell carries, ready for `Cell(**...)`."""
    names = ("activation", "recurrent_activation", "forget_bias", "cell_clip")
    return {name: facts[name] for name in names if name in facts}


def lstm_update(
    i: Array, f: Array, g: Array, o: Array, c_prev: Array, facts: Facts
) -> dict[str, Array]:
    """The states after one step, from the four pre-activations.

    c = clip(s(f) * c_prev + s(i) * a(g)), h = s(o) * a(c); the clip comes before the output
    activation, as in `rnn_cell_impl.LSTMCell.call` of TensorFlow 1.15.
    """
    gate = ACTIVATIONS[facts["recurrent_activation"].value]
    activation = ACTIVATIONS[facts["activation"].value]
    c = gate(f) * c_prev + gate(i) * activation(g)
    clip = facts["cell_clip"].value if "cell_clip" in facts else None
    if clip is not None:
        c = np.clip(c, -clip, clip)
    return {"h": gate(o) * activation(c), "c": c}
