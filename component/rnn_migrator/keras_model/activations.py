"""Activations as Keras 1, Keras 2 and TF1 meant them.

Nearly every name still means the same function in Keras 3. `hard_sigmoid` does not: Keras 1 and 2
compute clip(0.2 * x + 0.5, 0, 1), Keras 3 computes relu6(x + 3) / 6 under the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from rnn_migrator.errors import Problem, UnsupportedError

__all__ = ["LEGACY_NAMES", "legacy_hard_sigmoid", "resolve"]

Activation = Callable[[Any], Any]


@keras.saving.register_keras_serializable(package="rnn_migrator")
def legacy_hard_sigmoid(x: Any) -> Any:
    """`hard_sigmoid` of Keras 1 and 2: clip(0.2 * x + 0.5, 0, 1).

    Args:
      x: Float tensor of any shape.

    Returns:
      Tensor of the shape and dtype of `x`.
    """
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


_UNCHANGED = (
    "elu",
    "exponential",
    "gelu",
    "leaky_relu",
    "linear",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
)

LEGACY_NAMES = tuple(sorted((*_UNCHANGED, "hard_sigmoid")))
"""Names of the activations that `resolve` knows."""


def resolve(name: str) -> Activation:
    """The function that computes what a legacy framework computed under a name.

    Args:
      name: Name of an activation in Keras 1, Keras 2 or TF1 (`tf.nn`).

    Returns:
      A function that Keras layers take as `activation` and can save.

    Raises:
      UnsupportedError: The name is not one of `LEGACY_NAMES`.
    """
    if name == "hard_sigmoid":
        return legacy_hard_sigmoid
    if name in _UNCHANGED:
        activation: Activation = getattr(keras.activations, name)
        return activation
    raise UnsupportedError(
        Problem(
            where="activation",
            expected="one of " + ", ".join(LEGACY_NAMES),
            received=repr(name),
            remedy="name the activation of the list that computes the same, if there is one",
        )
    )
