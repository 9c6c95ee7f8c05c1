"""Both directions of a recurrent layer, with a say in what a masked step gives."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="rnn_migrator")
class LegacyBidirectional(keras.layers.Bidirectional):
    """`keras.layers.Bidirectional` that does not decide about the outputs at masked steps itself.

    Keras 3 lets both directions give zeros there if they return sequences, and else their last
    output. Keras 1 and 2 up to 2.3 repeat the previous output of each direction, and TensorFlow
    1.13 gives zeros whatever is returned.

    Args:
      layer: The forward layer.
      zero_output_for_mask: Whether both directions give zeros at masked steps.
      **kwargs: Arguments of `keras.layers.Bidirectional`.
    """

    def __init__(self, layer: Any, zero_output_for_mask: bool = False, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.zero_output_for_mask = zero_output_for_mask
        for direction in (self.forward_layer, self.backward_layer):
            direction.zero_output_for_mask = zero_output_for_mask

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "zero_output_for_mask": self.zero_output_for_mask}
