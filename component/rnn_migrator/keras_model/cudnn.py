"""The recurrence of a Keras LSTM or GRU by way of cuDNN, with Keras' meaning of masks.

The parameters of one layer in one direction are one flat buffer (`jax/experimental/rnn.py`,
confirmed by Keras 3 `backend/tensorflow/rnn.py`):

    W_ih of each gate (units x inputs, row-major), W_hh of each gate (units x units),
    b_ih of each gate, b_hh of each gate

    LSTM  i = s(W_i x + R_i h + bw_i + br_i), f and o alike, g = tanh(W_c x + R_c h + bw_c + br_c)
          c' = f * c + i * g                  h' = o * tanh(c')
    GRU   r = s(W_r x + R_r h + bw_r + br_r), z alike
          g = tanh(W_c x + bw_c + r * (R_c h + br_c))           h' = (1 - z) * g + z * h

Keras keeps the transposes of these blocks side by side, and the gates of a GRU in another order.
"""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["cudnn_obstacles", "gru_params", "lstm_params", "recur", "right_padded", "rnn"]

Tensor = Any
Mode = Literal["lstm", "gru"]

_LSTM_IN_KERAS = _LSTM_IN_CUDNN = ("input", "forget", "candidate", "output")
_GRU_IN_KERAS = ("update", "reset", "candidate")
_GRU_IN_CUDNN = ("reset", "update", "candidate")


def lstm_params(kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Tensor:
    """The parameters of a Keras LSTM as cuDNN takes them.

    Args:
      kernel: (inputs, 4 * units).
      recurrent_kernel: (units, 4 * units).
      bias: (4 * units,). It goes into cuDNN's input bias; the recurrent one is zero.

    Returns:
      (4 * units * (inputs + units + 2),), in the dtype of the arguments.
    """
    import tensorflow as tf

    biases = [bias, tf.zeros_like(bias)]
    return _flat([kernel, recurrent_kernel, *biases], _LSTM_IN_KERAS, _LSTM_IN_CUDNN)


def gru_params(kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Tensor:
    """The parameters of a Keras GRU with `reset_after=True` as cuDNN takes them.

    Args:
      kernel: (inputs, 3 * units).
      recurrent_kernel: (units, 3 * units).
      bias: (2, 3 * units), input bias and recurrent bias.

    Returns:
      (3 * units * (inputs + units + 2),), in the dtype of the arguments.
    """
    import tensorflow as tf

    biases = tf.unstack(bias)
    return _flat([kernel, recurrent_kernel, *biases], _GRU_IN_KERAS, _GRU_IN_CUDNN)


def _flat(weights: list[Tensor], keras: tuple[str, ...], cudnn: tuple[str, ...]) -> Tensor:
    """All gates of all weights in one row, each block transposed."""
    import tensorflow as tf

    blocks = []
    for weight in weights:
        gates = dict(zip(keras, tf.split(weight, len(keras), axis=-1), strict=True))
        blocks += [tf.reshape(tf.transpose(gates[gate]), [-1]) for gate in cudnn]
    return tf.concat(blocks, axis=0)


def cudnn_obstacles(layer: Any) -> tuple[str, ...]:
    """Why a recurrent Keras layer cannot use cuDNN; empty if it can.

    Args:
      layer: A recurrent Keras layer, not `Bidirectional`.
    """
    import keras

    cell = getattr(layer, "cell", None)
    if not isinstance(cell, keras.layers.LSTMCell | keras.layers.GRUCell):
        return ("cuDNN computes LSTM and GRU only, without projection, peepholes or clips",)
    checks = {
        "activation is not tanh": not _is(cell.activation, "tanh"),
        "recurrent_activation is not sigmoid": not _is(cell.recurrent_activation, "sigmoid"),
        "there is no bias": not cell.use_bias,
        "recurrent_dropout is not 0": bool(cell.recurrent_dropout),
        "each gate drops out other inputs (implementation=1)": (
            bool(cell.dropout) and cell.implementation == 1
        ),
        "the layer is unrolled": bool(layer.unroll),
        "the reset gate acts before the product (reset_after=False)": (
            not getattr(cell, "reset_after", True)
        ),
    }
    return tuple(reason for reason, holds in checks.items() if holds)


def _is(activation: Any, name: str) -> bool:
    import keras
    import tensorflow as tf

    return any(activation is getattr(home, name) for home in (keras.activations, keras.ops, tf))


def right_padded(mask: Tensor) -> Tensor:
    """Whether no row of a mask has a valid step after a masked one.

    Args:
      mask: Boolean, (batch, time).

    Returns:
      Boolean scalar.
    """
    import tensorflow as tf

    return tf.reduce_all(mask[:, :-1] | ~mask[:, 1:])


def recur(
    sequences: Tensor,
    states: list[Tensor],
    params: Tensor,
    mode: Mode,
    *,
    mask: Tensor | None = None,
    go_backwards: bool = False,
    zero_output_for_mask: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Runs cuDNN so that outputs and states are those of the loop of Keras.

    Args:
      sequences: (batch, time, inputs).
      states: Initial h, and c for an LSTM, (batch, units) each.
      params: What `lstm_params` or `gru_params` gives.
      mode: Kind of the cell.
      mask: Boolean, (batch, time), right-padded. A row may be masked throughout.
      go_backwards: Whether the last step comes first, in the outputs too.
      zero_output_for_mask: Whether masked outputs are zeros rather than the output before them.

    Returns:
      Outputs (batch, time, units), and the final states in the order of `states`.
    """
    import tensorflow as tf

    if mask is None:
        batch, time = tf.unstack(tf.shape(sequences)[:2])
        if go_backwards:
            sequences = tf.reverse(sequences, [1])
        return rnn(sequences, states, params, tf.fill([batch], time), mode)

    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
    filled = lengths[:, tf.newaxis] > 0
    steps = tf.maximum(lengths, 1)  # cuDNN refuses empty rows: their step is thrown away below
    if go_backwards:
        sequences = tf.reverse_sequence(sequences, steps, seq_axis=1)
    outputs, finals = rnn(sequences, states, params, steps, mode)
    finals = [tf.where(filled, final, first) for final, first in zip(finals, states, strict=True)]
    held = tf.zeros_like(outputs[:, 0])
    if go_backwards:  # the loop meets the padding first, before there is an output to hold
        outputs = tf.reverse(tf.reverse_sequence(outputs, steps, seq_axis=1), [1])
        mask = tf.reverse(mask, [1])
    elif not zero_output_for_mask:
        held = tf.where(filled, finals[0], held)
    return tf.where(mask[..., tf.newaxis], outputs, held[:, tf.newaxis]), finals


def rnn(
    sequences: Tensor, states: list[Tensor], params: Tensor, lengths: Tensor, mode: Mode
) -> tuple[Tensor, list[Tensor]]:
    """The cuDNN op itself, one layer in one direction.

    It is always in training mode, since its gradient exists in no other.

    Args:
      sequences: (batch, time, inputs).
      states: Initial h, and c for an LSTM, (batch, units) each.
      params: Flat parameter buffer.
      lengths: (batch,) int32, each from 1 to time.
      mode: Kind of the cell.

    Returns:
      Outputs (batch, time, units), zero past the lengths, and the states at the lengths.
    """
    import tensorflow as tf

    hidden, *memory = [state[:, tf.newaxis] for state in states]
    result = tf.raw_ops.CudnnRNNV3(
        input=sequences,
        input_h=hidden,
        input_c=memory.pop() if memory else tf.zeros([], params.dtype),
        params=params,
        sequence_lengths=lengths,
        rnn_mode=mode,
        is_training=True,
        time_major=False,
    )
    finals = [result.output_h, result.output_c][: len(states)]
    return result.output, [final[:, 0] for final in finals]
