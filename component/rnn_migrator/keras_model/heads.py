"""Heads as Keras layers: stock ones where they compute the same, else layers of our own.

Our own are those that Keras 3 dropped, those whose meaning it changed, and what stands in for the
`Lambda` layers of legacy models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from rnn_migrator.canonical import HeadLayer
from rnn_migrator.keras_model import activations
from rnn_migrator.layouts.heads import HEADS
from rnn_migrator.layouts.heads.base import ACTIVATION

__all__ = ["build_head"]

_register = keras.saving.register_keras_serializable(package="rnn_migrator")


def build_head(layer: HeadLayer, name: str, *, masked: bool = True) -> Any:
    """The Keras layer that computes what a layer of Keras 2 computed.

    Args:
      layer: Of a class in `HEADS`; its weights are not filled in.
      name: Name for the Keras layer.
      masked: Whether a mask can reach it. Without one more classes are stock Keras layers.

    Returns:
      A layer, not yet built.

    Raises:
      UnsupportedError: The config is not one of its class.
    """
    head = HEADS[layer.class_name]
    settings = head.settings(layer.config, layer.name)
    arguments = {
        key.argument or key.name: _argument(key.kind is ACTIVATION, settings[key.name])
        for key in head.options
        if key.argument != ""
    }
    class_name = head.keras_class or head.class_name
    made = _MASKED.get(class_name) if masked else None
    made = made or _OWN.get(class_name) or getattr(keras.layers, class_name)
    return made(name=name, **arguments)


def _argument(is_activation: bool, value: Any) -> Any:
    if not is_activation:
        return value
    if isinstance(value, str):
        return activations.resolve(value)
    return LayerActivation(**value)


@_register
class LayerActivation:
    """An advanced activation layer as the activation of another layer.

    Keras 2 takes and saves the layer itself; Keras 3.6 would save, but not load it.

    Args:
      class_name: Class in `HEADS`, one without weights.
      config: Its config in the spelling of Keras 2.
    """

    def __init__(self, class_name: str, config: Mapping[str, Any]) -> None:
        self._config = {"class_name": class_name, "config": dict(config)}
        self._layer = build_head(HeadLayer(class_name, class_name, config), class_name.lower())

    def __call__(self, x: Any) -> Any:
        """The activation of a tensor."""
        return self._layer(x)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal activation."""
        return self._config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LayerActivation:
        """An equal activation."""
        return cls(**config)


class _Own(keras.layers.Layer):
    """A layer that keeps its arguments under their names, and at which masks end."""

    arguments: ClassVar[tuple[str, ...]] = ()

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """No mask."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.arguments}}


class _WithActivation(_Own):
    """One with weights and an activation."""

    def __init__(self, activation: Any, use_bias: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation, "use_bias": self.use_bias}


# Layers that Keras 3 dropped.


@_register
class ThresholdedReLU(keras.layers.Layer):
    """x where x > theta, else 0.

    Args:
      theta: The threshold.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta = theta
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The output, of the shape of the inputs."""
        return ops.where(inputs > self.theta, inputs, ops.zeros_like(inputs))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "theta": self.theta}


@_register
class LocallyConnected1D(_WithActivation):
    """A convolution whose kernel differs from place to place.

    The window over (steps, channels) is laid out step by step, `K.local_conv1d` of Keras 2.2.5.

    Args:
      filters: Width of the output.
      kernel_size: Steps in the window.
      strides: Steps from window to window.
      padding: `valid`, the only one.
      activation: Activation.
      use_bias: Whether there is a bias, one a place and filter.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    arguments = ("filters", "kernel_size", "strides", "padding")

    def __init__(
        self,
        filters: int,
        kernel_size: Sequence[int],
        strides: Sequence[int] = (1,),
        padding: str = "valid",
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, use_bias, **kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.strides = tuple(strides)
        self.padding = padding

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes kernel (places, window × channels, filters) and bias (places, filters)."""
        _, steps, channels = input_shape
        [size], [stride] = self.kernel_size, self.strides
        if steps is None or channels is None or steps < size:
            raise ValueError(
                f"LocallyConnected1D needs a known number of steps, at least {size}. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        first = np.arange(0, steps - size + 1, stride)
        self._steps = first[:, None] + np.arange(size)
        self.kernel = self.add_weight(
            name="kernel", shape=(len(first), size * channels, self.filters)
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(len(first), self.filters), initializer="zeros"
            )

    def call(self, inputs: Any) -> Any:
        """(batch, steps, channels) to (batch, places, filters)."""
        windows = ops.take(inputs, self._steps, axis=1)
        flat = ops.reshape(windows, (-1, *self.kernel.shape[:2]))
        places = ops.einsum("boi,oif->bof", flat, self.kernel)
        return self.activation(places + self.bias if self.use_bias else places)


@_register
class Highway(_WithActivation):
    """t * a(x W + b) + (1 - t) * x with t = sigmoid(x W_carry + b_carry); Keras 1.2.2.

    Args:
      activation: The activation a.
      use_bias: Whether there are b and b_carry.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, activation: Any = None, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(activation, use_bias, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes W and W_carry (inputs, inputs), b and b_carry (inputs,)."""
        width = input_shape[-1]
        self.kernel = self.add_weight(name="W", shape=(width, width))
        self.carry_kernel = self.add_weight(name="W_carry", shape=(width, width))
        if self.use_bias:
            self.bias = self.add_weight(name="b", shape=(width,), initializer="zeros")
            self.carry_bias = self.add_weight(name="b_carry", shape=(width,), initializer="ones")

    def call(self, inputs: Any) -> Any:
        """(batch, inputs) to the same shape."""
        carry, z = ops.matmul(inputs, self.carry_kernel), ops.matmul(inputs, self.kernel)
        if self.use_bias:
            carry, z = carry + self.carry_bias, z + self.bias
        transform = ops.sigmoid(carry)
        return transform * self.activation(z) + (1 - transform) * inputs


@_register
class MaxoutDense(_Own):
    """The largest of several linear maps, output by output; Keras 1.2.2.

    Args:
      units: Width of the output.
      nb_feature: Number of maps.
      use_bias: Whether there is a bias.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    arguments = ("units", "nb_feature", "use_bias")

    def __init__(
        self, units: int, nb_feature: int = 4, use_bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.nb_feature = nb_feature
        self.use_bias = use_bias

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes W (maps, inputs, units) and b (maps, units)."""
        self.kernel = self.add_weight(
            name="W", shape=(self.nb_feature, input_shape[-1], self.units)
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="b", shape=(self.nb_feature, self.units), initializer="zeros"
            )

    def call(self, inputs: Any) -> Any:
        """(batch, inputs) to (batch, units)."""
        maps = ops.einsum("bi,kio->bko", inputs, self.kernel)
        return ops.max(maps + self.bias if self.use_bias else maps, axis=1)


# Layers whose meaning Keras 3 changed.


@_register
class Dot(keras.layers.Dot):
    """`Dot` whose `normalize` is the one of Keras 2, x / sqrt(max(sum of squares, 1e-12)).

    Keras 3 bounds the norm by 1e-7 instead. Inputs of more than two axes besides the batch are
    refused: Keras 2.2.4 and before multiply them another way than the releases since.

    Args:
      axes: One axis for both inputs, or one for each.
      normalize: Whether samples are scaled to length 1 along the axis.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(axes=axes, **kwargs)
        self._scaled = normalize

    def build(self, input_shape: Any) -> None:
        """Checks the shapes of both inputs."""
        if any(len(shape) > 3 for shape in input_shape):
            raise ValueError(
                "Dot takes inputs of up to three axes, for more the releases of Keras 2 disagree. "
                f"Received: input_shape={input_shape}"
            )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """The product of two tensors, sample by sample."""
        axes = self.axes if isinstance(self.axes, tuple | list) else (self.axes,) * 2
        if self._scaled:
            inputs = [_unit(x, axis) for x, axis in zip(inputs, axes, strict=True)]
        return super().call(inputs)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "normalize": self._scaled}


def _unit(x: Any, axis: Any) -> Any:
    """`K.l2_normalize`."""
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-12))


class _JointMask:
    """Keeps the steps that every masked input keeps; Keras 3 keeps those that any keeps."""

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The steps that every masked input keeps, or None."""
        joint = None
        for part in mask or ():
            if part is not None:
                joint = part if joint is None else ops.logical_and(joint, part)
        return joint


@_register
class Add(_JointMask, keras.layers.Add):
    """`Add` with the mask of Keras 2."""


@_register
class Subtract(_JointMask, keras.layers.Subtract):
    """`Subtract` with the mask of Keras 2."""


@_register
class Multiply(_JointMask, keras.layers.Multiply):
    """`Multiply` with the mask of Keras 2."""


@_register
class Average(_JointMask, keras.layers.Average):
    """`Average` with the mask of Keras 2."""


@_register
class Maximum(_JointMask, keras.layers.Maximum):
    """`Maximum` with the mask of Keras 2."""


@_register
class Minimum(_JointMask, keras.layers.Minimum):
    """`Minimum` with the mask of Keras 2."""


@_register
class Concatenate(keras.layers.Concatenate):
    """`Concatenate` with the mask of Keras 2: all of the joined masks, not any."""

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The joined masks, or None where no input has one."""
        if mask is None or all(part is None for part in mask):
            return None
        parts = [_like(x, part) for x, part in zip(inputs, mask, strict=True)]
        return ops.all(ops.concatenate(parts, axis=self.axis), axis=-1)


def _like(x: Any, mask: Any) -> Any:
    """A mask with as many axes as its input."""
    if mask is None:
        return ops.ones_like(x, dtype="bool")
    return ops.expand_dims(mask, -1) if len(mask.shape) < len(x.shape) else mask


@_register
class Softmax(keras.layers.Softmax):
    """`Softmax` that lets a mask pass, but does not add it to the inputs."""

    def call(self, inputs: Any) -> Any:
        """The output, of the shape of the inputs."""
        return super().call(inputs)


# What stands in for a Lambda.


@_register
class Slice(_Own):
    """x[…, start:stop:step, …], or x[…, index, …] without the axis.

    Args:
      axis: The axis, by default that of time.
      start: First place, from the end where negative.
      stop: Place after the last.
      step: Steps from place to place.
      index: The only place; -1 is the last.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    arguments = ("axis", "start", "stop", "step", "index")

    def __init__(
        self,
        axis: int = 1,
        start: int | None = None,
        stop: int | None = None,
        step: int = 1,
        index: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.start = start
        self.stop = stop
        self.step = step
        self.index = index

    def call(self, inputs: Any) -> Any:
        """The chosen part."""
        chosen = slice(self.start, self.stop, self.step) if self.index is None else self.index
        before = (slice(None),) * (self.axis % len(inputs.shape))
        return inputs[(*before, chosen)]


class _Axis(_Own):
    """One with an axis or several."""

    arguments: ClassVar[tuple[str, ...]] = ("axis",)

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis


class _Reduction(_Axis):
    """One that reduces over axes."""

    arguments = ("axis", "keepdims")

    def __init__(self, axis: Any, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(axis, **kwargs)
        self.keepdims = keepdims


@_register
class ReduceSum(_Reduction):
    """Sum over axes."""

    def call(self, inputs: Any) -> Any:
        """The sum."""
        return ops.sum(inputs, axis=self.axis, keepdims=self.keepdims)


@_register
class ReduceMean(_Reduction):
    """Mean over axes."""

    def call(self, inputs: Any) -> Any:
        """The mean."""
        return ops.mean(inputs, axis=self.axis, keepdims=self.keepdims)


@_register
class ReduceMax(_Reduction):
    """Maximum over axes."""

    def call(self, inputs: Any) -> Any:
        """The maximum."""
        return ops.max(inputs, axis=self.axis, keepdims=self.keepdims)


@_register
class L2Normalize(_Axis):
    """x / sqrt(max(sum of squares, 1e-12)) along axes."""

    def call(self, inputs: Any) -> Any:
        """The output, of the shape of the inputs."""
        return _unit(inputs, self.axis)


@_register
class ExpandDims(_Axis):
    """A new axis of size 1."""

    def call(self, inputs: Any) -> Any:
        """The same values with the axis."""
        return ops.expand_dims(inputs, self.axis)


@_register
class Squeeze(_Axis):
    """An axis of size 1 taken away."""

    def call(self, inputs: Any) -> Any:
        """The same values without the axis."""
        return ops.squeeze(inputs, self.axis)


@_register
class Reverse(_Axis):
    """Axes run from their end."""

    def call(self, inputs: Any) -> Any:
        """The output, of the shape of the inputs."""
        return ops.flip(inputs, self.axis)


@_register
class Scale(_Own):
    """x * factor + offset.

    Args:
      factor: The factor.
      offset: What is added.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    arguments = ("factor", "offset")

    def __init__(self, factor: float = 1.0, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.offset = offset

    def call(self, inputs: Any) -> Any:
        """The output, of the shape of the inputs."""
        return inputs * self.factor + self.offset


@_register
class Identity(_Own):
    """The inputs, without their mask."""

    def call(self, inputs: Any) -> Any:
        """A copy: the tensor itself would carry its mask along."""
        return ops.copy(inputs)


@_register
class SwapBatchTime(_Own):
    """(batch, time, …) to (time, batch, …), or back."""

    def call(self, inputs: Any) -> Any:
        """The same values with the first two axes swapped."""
        return ops.swapaxes(inputs, 0, 1)


_MASKED: dict[str, Any] = {
    made.__name__: made
    for made in (Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Softmax)
}
"""Classes that treat a mask as Keras 2 does, where the stock ones no longer do."""

_OWN: dict[str, Any] = {
    made.__name__: made
    for made in (
        ThresholdedReLU,
        LocallyConnected1D,
        Highway,
        MaxoutDense,
        Dot,
        Slice,
        ReduceSum,
        ReduceMean,
        ReduceMax,
        L2Normalize,
        ExpandDims,
        Squeeze,
        Reverse,
        Scale,
        Identity,
        SwapBatchTime,
    )
}
