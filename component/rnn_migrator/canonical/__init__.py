"""The middle of everything: framework-free values that say what a legacy model is.

Readers and recognition produce these values, the Keras builder and the oracles consume them.
Only numpy is imported here.
"""

from __future__ import annotations

from rnn_migrator.canonical.cells import GRU_GATES, LSTM_GATES, Array, Cell, CellKind, Gate
from rnn_migrator.canonical.facts import Fact, Origin
from rnn_migrator.canonical.topology import (
    CanonicalModel,
    Direction,
    HeadLayer,
    ModelInput,
    Node,
    RecurrentLayer,
    SourceCell,
    state_names,
)

__all__ = [
    "GRU_GATES",
    "LSTM_GATES",
    "Array",
    "CanonicalModel",
    "Cell",
    "CellKind",
    "Direction",
    "Fact",
    "Gate",
    "HeadLayer",
    "ModelInput",
    "Node",
    "Origin",
    "RecurrentLayer",
    "SourceCell",
    "state_names",
]
