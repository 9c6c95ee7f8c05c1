"""Cells for legacy recurrences that no stock Keras layer computes.

They go into `keras.layers.RNN`, alone or in `keras.layers.StackedRNNCells`, and such a layer into
`keras.layers.Bidirectional`. Each of these layers needs the dtype of its cell, or states lose
precision on the way. Importing this package registers the cells and the activations that a `.keras`
file of ours names.
"""

from __future__ import annotations

from rnn_migrator.keras_model import activations
from rnn_migrator.keras_model.cells.coupled_lstm import CoupledLSTMCell
from rnn_migrator.keras_model.cells.layer_norm_lstm import LayerNormLSTMCell
from rnn_migrator.keras_model.cells.legacy_lstm import LegacyLSTMCell
from rnn_migrator.keras_model.cells.ugrnn import UGRNNCell

__all__ = ["CoupledLSTMCell", "LayerNormLSTMCell", "LegacyLSTMCell", "UGRNNCell", "activations"]
