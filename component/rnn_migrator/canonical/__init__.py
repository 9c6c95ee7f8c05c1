"""The middle of everything: framework-free values that say what a legacy model is.

Readers and recognition produce these values, the Keras builder and the oracles consume them.
Only numpy is imported here.
"""

from __future__ import annotations

from rnn_migrator.canonical.cells import (
    GRU_GATES,
    LSTM_GATES,
    SYMMETRIC_GATES,
    Array,
    Cell,
    CellKind,
    Gate,
    Norm,
)
from rnn_migrator.canonical.facts import Fact, Origin
from rnn_migrator.canonical.topology import (
    LENGTHS,
    CanonicalModel,
    HeadLayer,
    Layer,
    LegacyCell,
    ModelInput,
    Node,
    RecurrentLayer,
    SourceCell,
    Stack,
    TimeDistributed,
    map_recurrent,
    state_sizes,
)

__all__ = [
    "GRU_GATES",
    "LENGTHS",
    "LSTM_GATES",
    "SYMMETRIC_GATES",
    "Array",
    "CanonicalModel",
    "Cell",
    "CellKind",
    "Fact",
    "Gate",
    "HeadLayer",
    "Layer",
    "LegacyCell",
    "ModelInput",
    "Node",
    "Norm",
    "Origin",
    "RecurrentLayer",
    "SourceCell",
    "Stack",
    "TimeDistributed",
    "map_recurrent",
    "state_sizes",
]
