"""The LSTM of `tf.contrib.rnn` whose input gate is what the forget gate leaves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from rnn_migrator.keras_model.cells.base import PeepholeCell, Tensor


@keras.saving.register_keras_serializable(package="rnn_migrator")
class CoupledLSTMCell(PeepholeCell):
    """An LSTM cell without an input gate: it takes in what it forgets.

        f, g, o = x @ kernel + h @ recurrent_kernel + bias
        f = s(f + w_f * c)
        c = f * c + (1 - f) * a(g)
        h = clip((s(o + w_o * c) * a(c)) @ projection_kernel, projection_clip)

    s is the logistic function. Source: `CoupledInputForgetGateLSTMCell.call` without `layer_norm`,
    tensorflow/contrib/rnn/python/ops/rnn_cell.py, 1.15; it has no clip of the cell state. Weights
    in this order, with H the projection size or else the units U: `kernel` (inputs, 3U) and
    `recurrent_kernel` (H, 3U) with columns by forget, candidate, output, `bias` (3U,), then those
    there are of `forget_peephole`, `output_peephole` (U,) and `projection_kernel` (U, H).

    Args:
      units: Width of the cell state.
      projection_size: Width of h after the projection; None for no projection.
      peephole: Whether both gates have a peephole, or the names of those that have one.
      projection_clip: Bound on the absolute projected output, None for none.
      activation: Activation a of the candidate and of the output.
      **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
      UsageError: A size or a bound is not positive, a gate has no peephole, or a bound is given
        for a projection that is not there.
    """

    columns = ("forget", "candidate", "output")
    gates_with_peephole = ("forget", "output")

    def __init__(
        self,
        units: int,
        projection_size: int | None = None,
        peephole: bool | Iterable[str] = False,
        projection_clip: float | None = None,
        activation: Any = "tanh",
        **kwargs: Any,
    ) -> None:
        clips = {"projection_clip": projection_clip}
        super().__init__(units, projection_size, peephole, clips, activation, **kwargs)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Creates the weights for inputs of a shape (batch, inputs)."""
        self._add_matrices(input_shape[-1])
        self._add_peepholes_and_projection()

    def call(self, inputs: Tensor, states: Any) -> tuple[Tensor, list[Tensor]]:
        """One step.

        Args:
          inputs: (batch, inputs).
          states: h (batch, projection_size or units) and c (batch, units).

        Returns:
          The output h, and the states [h, c].
        """
        h, c = states
        z = self._blocks(inputs, h)
        keep = keras.ops.sigmoid(self._peek("forget", z["forget"], c))
        c = keep * c + (1 - keep) * self.activation(z["candidate"])
        show = keras.ops.sigmoid(self._peek("output", z["output"], c))
        h = self._project(show * self.activation(c))
        return h, [h, c]
