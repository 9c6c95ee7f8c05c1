"""An LSTM cell that clips its state, as TensorFlow 1 cells with `cell_clip` do."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="rnn_migrator")
class ClippedLSTMCell(keras.layers.LSTMCell):
    """`keras.layers.LSTMCell` whose cell state is clipped before the output activation.

        i, f, g, o = split(x @ kernel + h @ recurrent_kernel + bias, 4)
        c = clip(s(f) * c + s(i) * a(g), -cell_clip, cell_clip)      h = s(o) * a(c)

    Source: `LSTMCell.call`, tensorflow/python/ops/rnn_cell_impl.py, 1.15; the weights lie as in
    Keras.

    Args:
      units: Width of the state.
      cell_clip: Positive bound on the absolute cell state.
      **kwargs: Arguments of `keras.layers.LSTMCell`.
    """

    def __init__(self, units: int, cell_clip: float, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.cell_clip = cell_clip

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """One step.

        Args:
          inputs: (batch, inputs).
          states: h and c, (batch, units) each.
          training: Whether dropout acts.

        Returns:
          The output h, and the states [h, c].
        """
        h, c = states
        if training and self.dropout > 0.0:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and self.recurrent_dropout > 0.0:
            h = h * self.get_recurrent_dropout_mask(h)
        z = keras.ops.matmul(inputs, self.kernel) + keras.ops.matmul(h, self.recurrent_kernel)
        z = z if self.bias is None else z + self.bias
        i, f, g, o = keras.ops.split(z, 4, axis=1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        c = keras.ops.clip(c, -self.cell_clip, self.cell_clip)
        h = self.recurrent_activation(o) * self.activation(c)
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal cell."""
        return {**super().get_config(), "cell_clip": self.cell_clip}
