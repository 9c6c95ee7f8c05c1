"""The LSTM of `tf.contrib.rnn` that normalises its gates and its cell state."""

from __future__ import annotations

from typing import Any

import keras

from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.keras_model.cells.base import GatedCell, Tensor, positive, wrong_sizes

HALF_PRECISION_EPSILON = 1e-3
"""What contrib adds to a variance in float16, where 1e-12 is zero."""


@keras.saving.register_keras_serializable(package="rnn_migrator")
class LayerNormLSTMCell(GatedCell):
    """An LSTM cell with layer normalisation of every gate and of the cell state.

        i, f, g, o = x @ kernel + h @ recurrent_kernel
        i, f, g, o = n_i(i), n_f(f), n_g(g), n_o(o)
        c = n_c(s(f) * c + s(i) * a(g))
        h = s(o) * a(c)

    s is the logistic function, n(x) = gamma * (x - mean) / sqrt(variance + epsilon) + beta over the
    units of one row, each n with a gamma and a beta of its own. The forget bias is part of
    `forget_beta`. Source: `LayerNormBasicLSTMCell.call` with `layer_norm`,
    tensorflow/contrib/rnn/python/ops/rnn_cell.py, and `layer_norm`,
    tensorflow/contrib/layers/python/layers/layers.py, 1.15. Weights in this order, with U units:
    `kernel` (inputs, 4U) and `recurrent_kernel` (U, 4U) with columns by input, forget, candidate,
    output, then gamma and beta (U,) of input, forget, candidate, output, state.

    Args:
      units: Width of the states.
      activation: Activation a of the candidate and of the output.
      epsilon: What is added to a variance; in float16 at least 1e-3, as in contrib.
      **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
      UsageError: `units` or `epsilon` is not positive.
    """

    columns = ("input", "forget", "candidate", "output")

    def __init__(
        self, units: int, activation: Any = "tanh", epsilon: float = 1e-12, **kwargs: Any
    ) -> None:
        where = type(self).__name__
        problems = list(wrong_sizes(where, {"units": units}))
        if not positive(epsilon):
            problems.append(
                Problem(
                    where=f"epsilon of {where}",
                    expected="a positive number",
                    received=repr(epsilon),
                    remedy="leave it out for the 1e-12 of TensorFlow 1",
                )
            )
        raise_all(UsageError, problems)
        super().__init__(units, activation, **kwargs)
        self.epsilon = float(epsilon)
        self.state_size = [self.units, self.units]

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Creates the weights for inputs of a shape (batch, inputs)."""
        self._add_matrices(input_shape[-1], use_bias=False)
        self.gammas, self.betas = {}, {}
        for name in (*self.columns, "state"):
            self.gammas[name] = self.add_weight(
                shape=(self.units,), initializer="ones", name=f"{name}_gamma"
            )
            self.betas[name] = self.add_weight(
                shape=(self.units,), initializer="zeros", name=f"{name}_beta"
            )

    def call(self, inputs: Tensor, states: Any) -> tuple[Tensor, list[Tensor]]:
        """One step.

        Args:
          inputs: (batch, inputs).
          states: h and c, (batch, units) each.

        Returns:
          The output h, and the states [h, c].
        """
        h, c = states
        z = {gate: self._normal(gate, block) for gate, block in self._blocks(inputs, h).items()}
        squash = keras.ops.sigmoid
        c = squash(z["forget"]) * c + squash(z["input"]) * self.activation(z["candidate"])
        c = self._normal("state", c)
        h = squash(z["output"]) * self.activation(c)
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal cell."""
        return {**super().get_config(), "epsilon": self.epsilon}

    def _normal(self, name: str, x: Tensor) -> Tensor:
        half = keras.backend.standardize_dtype(x.dtype) == "float16"
        epsilon = max(self.epsilon, HALF_PRECISION_EPSILON) if half else self.epsilon
        mean, variance = keras.ops.moments(x, axes=-1, keepdims=True)
        scale = self.gammas[name] * keras.ops.rsqrt(variance + epsilon)
        return (x - mean) * scale + self.betas[name]
