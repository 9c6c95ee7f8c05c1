"""Recurrent Keras layers that take cuDNN or the plain loop where the model runs.

A stock layer of Keras 3 decides for cuDNN while it is traced, by the devices of the machine that
exports. The layers here put both ways into the graph, and the device that executes it chooses.
Importing this module registers whatever a `.keras` file of ours names, activations included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.keras_model import activations, bidirectional, cells, cudnn, heads

__all__ = ["PortableGRU", "PortableLSTM", "activations", "bidirectional", "cells", "heads"]

Tensor = Any
Branch = Callable[[], tuple[Tensor, ...]]

DEVICES = ("portable", "gpu")


class _ChosenByDevice(keras.layers.RNN):
    """Mixin over a stock recurrent layer: the inner loop by cuDNN, by Keras, or by both.

    Args:
      *args: Positional arguments of the stock layer.
      device: "portable" keeps both ways in a graph, and the device that runs it takes its own.
        "gpu" keeps only cuDNN (and the loop for masks that are not right-padded): such a graph
        needs a GPU. Eagerly, both take cuDNN where there is a GPU and the loop elsewhere.
      **kwargs: Keyword arguments of the stock layer, without `use_cudnn`.

    A layer that `cudnn.cudnn_obstacles` finds something against only ever uses the loop. "GPU"
    means NVIDIA's: MIOpen, in ROCm builds of TensorFlow, orders the gates of an LSTM otherwise.
    """

    _mode: cudnn.Mode
    _params: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __init__(self, *args: Any, device: str = "portable", **kwargs: Any) -> None:
        if device not in DEVICES:
            raise UsageError(
                Problem(
                    where=f"device of {type(self).__name__}",
                    expected=" or ".join(DEVICES),
                    received=repr(device),
                    remedy="use a stock Keras layer for a model that never sees a GPU",
                )
            )
        # Keras' own choice, made while tracing, stays off; `Bidirectional` copies the attribute.
        super().__init__(*args, use_cudnn=False, **kwargs)
        self.device = device
        if not cudnn.cudnn_obstacles(self):
            self.supports_jit = False  # XLA has no cuDNN: compiled, a portable layer only loops

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "device": self.device}

    def inner_loop(
        self, sequences: Tensor, initial_state: Any, mask: Any, training: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Runs the recurrence over time.

        Args:
          sequences: (batch, time, inputs).
          initial_state: Initial states, (batch, units) each.
          mask: Boolean (batch, time), or None.
          training: Whether dropout acts.

        Returns:
          Last output (batch, units), outputs (batch, time or 1, units), and final states.
        """
        keras_loop = super().inner_loop

        def loop() -> tuple[Tensor, ...]:
            last, outputs, states = keras_loop(sequences, initial_state, mask, training)
            return last, outputs, *states

        def fused() -> tuple[Tensor, ...]:
            return self._fused(self._dropped_out(sequences, training), initial_state, mask, loop)

        if cudnn.cudnn_obstacles(self):
            last, outputs, *states = loop()
        else:
            last, outputs, *states = self._choose(fused, loop)
        return last, outputs, states

    def _choose(self, fused: Branch, loop: Branch) -> tuple[Tensor, ...]:
        def by_device() -> Any:
            return tf.__internal__.execute_fn_for_device({"GPU": fused}, loop)

        if tf.executing_eagerly():
            return by_device()
        if self.device == "gpu":
            return fused()
        # A gradient repeats the choice. Two choices on one DeviceIndex in one graph kill the
        # process (Grappler's implementation selector), so each stays in a function of its own.
        apart = {"_noinline": True}
        return tf.function(by_device, autograph=False, experimental_attributes=apart)()

    def _dropped_out(self, sequences: Tensor, training: bool) -> Tensor:
        """Sequences with the input dropout that the cell would apply at each step."""
        if not (training and self.cell.dropout):
            return sequences
        return sequences * self.cell.get_dropout_mask(sequences[:, 0])[:, tf.newaxis]

    def _fused(
        self, sequences: Tensor, states: list[Tensor], mask: Any, loop: Branch
    ) -> tuple[Tensor, ...]:
        if mask is None:
            return self._recur(sequences, states, None)
        steps = tf.shape(sequences)[:2]
        flags = tf.reshape(tf.cast(tf.nest.flatten(mask)[0], tf.bool), steps)
        return tf.cond(
            cudnn.right_padded(flags), lambda: self._recur(sequences, states, flags), loop
        )

    def _recur(
        self, sequences: Tensor, states: list[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, ...]:
        cell = self.cell
        weights = (cell.kernel, cell.recurrent_kernel, cell.bias)
        outputs, finals = cudnn.recur(
            sequences,
            states,
            self._params(*map(keras.ops.convert_to_tensor, weights)),
            self._mode,
            mask=mask,
            go_backwards=self.go_backwards,
            zero_output_for_mask=self.zero_output_for_mask,
        )
        last = outputs[:, -1]
        return last, outputs if self.return_sequences else last[:, tf.newaxis], *finals


@keras.saving.register_keras_serializable(package="rnn_migrator")
class PortableLSTM(_ChosenByDevice, keras.layers.LSTM):
    """`keras.layers.LSTM` that uses cuDNN where it runs on a GPU."""

    _mode = "lstm"
    _params = staticmethod(cudnn.lstm_params)


@keras.saving.register_keras_serializable(package="rnn_migrator")
class PortableGRU(_ChosenByDevice, keras.layers.GRU):
    """`keras.layers.GRU` that uses cuDNN where it runs on a GPU."""

    _mode = "gru"
    _params = staticmethod(cudnn.gru_params)
