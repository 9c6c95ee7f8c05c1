"""The update gate RNN of `tf.contrib.rnn`."""

from __future__ import annotations

from typing import Any

import keras

from rnn_migrator.errors import UsageError, raise_all
from rnn_migrator.keras_model.cells.base import GatedCell, Tensor, wrong_sizes


@keras.saving.register_keras_serializable(package="rnn_migrator")
class UGRNNCell(GatedCell):
    """A recurrent cell with one gate, that keeps its state or computes a new one.

        g, c = x @ kernel + h @ recurrent_kernel + bias
        h = s(g) * h + (1 - s(g)) * a(c)

    s is the logistic function. The forget bias is part of the bias of the gate. Source:
    `UGRNNCell.call`, tensorflow/contrib/rnn/python/ops/rnn_cell.py, 1.15. Weights in this order,
    with U units: `kernel` (inputs, 2U) and `recurrent_kernel` (U, 2U) with columns by gate,
    candidate, and `bias` (2U,).

    Args:
      units: Width of the state.
      activation: Activation a of the candidate.
      **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
      UsageError: `units` is not positive.
    """

    columns = ("gate", "candidate")

    def __init__(self, units: int, activation: Any = "tanh", **kwargs: Any) -> None:
        raise_all(UsageError, wrong_sizes(type(self).__name__, {"units": units}))
        super().__init__(units, activation, **kwargs)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Creates the weights for inputs of a shape (batch, inputs)."""
        self._add_matrices(input_shape[-1])

    def call(self, inputs: Tensor, states: Any) -> tuple[Tensor, list[Tensor]]:
        """One step.

        Args:
          inputs: (batch, inputs).
          states: h (batch, units).

        Returns:
          The output h, and the states [h].
        """
        [h] = states
        z = self._blocks(inputs, h)
        keep = keras.ops.sigmoid(z["gate"])
        h = keep * h + (1 - keep) * self.activation(z["candidate"])
        return h, [h]
