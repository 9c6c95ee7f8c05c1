"""The LSTM of TensorFlow 1 with peepholes, a clipped state and a projection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from rnn_migrator.keras_model.cells.base import PeepholeCell, Tensor, clipped, plain


@keras.saving.register_keras_serializable(package="rnn_migrator")
class LegacyLSTMCell(PeepholeCell):
    """An LSTM cell with whatever of TF1's `LSTMCell` stock Keras lacks.

        i, f, g, o = x @ kernel + h @ recurrent_kernel + bias
        c = clip(s(f + w_f * c) * c + s(i + w_i * c) * a(g), cell_clip)
        h = clip((s(o + w_o * c) * a(c)) @ projection_kernel, projection_clip)

    The output gate sees the new, clipped c. A value that is clipped passes no gradient on, as in
    TF1's `LSTMCell`; TF1's block cells compute the same output, but train as if nothing were
    clipped. Source: `LSTMCell.call`, tensorflow/python/ops/rnn_cell_impl.py, 1.15. Weights in
    this order, with H the projection size or else the units U: `kernel` (inputs, 4U) and
    `recurrent_kernel` (H, 4U) with columns by input, forget, candidate, output, `bias` (4U,), then
    those there are of `input_peephole`, `forget_peephole`, `output_peephole` (U,) and
    `projection_kernel` (U, H).

    Args:
      units: Width of the cell state.
      projection_size: Width of h after the projection; None for no projection.
      peephole: Whether all gates have a peephole, or the names of those that have one.
      cell_clip: Bound on the absolute cell state, None for none.
      projection_clip: Bound on the absolute projected output, None for none.
      activation: Activation a of the candidate and of the output.
      recurrent_activation: Activation s of the gates.
      use_bias: Whether there is a bias.
      **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
      UsageError: A size or a bound is not positive, a gate has no peephole, or a bound is given
        for a projection that is not there.
    """

    columns = ("input", "forget", "candidate", "output")
    gates_with_peephole = ("input", "forget", "output")

    def __init__(
        self,
        units: int,
        projection_size: int | None = None,
        peephole: bool | Iterable[str] = False,
        cell_clip: float | None = None,
        projection_clip: float | None = None,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        clips = {"cell_clip": cell_clip, "projection_clip": projection_clip}
        super().__init__(units, projection_size, peephole, clips, activation, **kwargs)
        self.cell_clip = plain(cell_clip)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.use_bias = use_bias

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Creates the weights for inputs of a shape (batch, inputs)."""
        self._add_matrices(input_shape[-1], self.use_bias)
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
        z, squash = self._blocks(inputs, h), self.recurrent_activation
        kept = squash(self._peek("forget", z["forget"], c)) * c
        added = squash(self._peek("input", z["input"], c)) * self.activation(z["candidate"])
        c = clipped(kept + added, self.cell_clip)
        h = self._project(squash(self._peek("output", z["output"], c)) * self.activation(c))
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal cell."""
        return {
            **super().get_config(),
            "cell_clip": self.cell_clip,
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
        }
