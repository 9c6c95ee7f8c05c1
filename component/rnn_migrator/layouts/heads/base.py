"""What an entry for a layer without recurrence is, and the registry of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array
from rnn_migrator.errors import Problem, UnsupportedError, raise_all
from rnn_migrator.layouts.activations import ACTIVATIONS
from rnn_migrator.layouts.heads.keys import DATA_FORMAT, FLAG, Kind

Config = Mapping[str, Any]
Function = Callable[[Config, Sequence[Array], list[Array]], Array]
"""(config, weights in file order, inputs) to the output."""
MaskedFunction = Callable[[Config, Sequence[Array], list[Array], Array], Array]
"""The same under a mask of the only input."""
Masks = Sequence[Array | None]
Shape = tuple[int | str, ...]
"""Sizes: known ones as numbers, those of the input as words that mean one size in a layer."""
Shapes = Mapping[str, Shape | None]
"""Shape by role of a weight, in file order; None where the input alone decides."""

_REQUIRED = object()


@dataclasses.dataclass(frozen=True)
class Key:
    """A config key that decides what a layer computes, or how it is trained further.

    Attributes:
      name: As Keras 2 spells it.
      kind: What its value may be.
      default: What Keras 2 takes where the config lacks the key; without one it must be there.
      argument: Argument of the Keras 3 layer, by default of the same name; "" for none.
      older: Another spelling that files use.
    """

    name: str
    kind: Kind
    default: Any = _REQUIRED
    argument: str | None = None
    older: str = ""

    def value(self, config: Config) -> Any:
        """The value in a config, in the form that Keras 3 takes.

        Raises:
          ValueError: The key is missing, or its value is not of its kind.
        """
        name = self.name if self.name in config or not self.older else self.older
        if name in config:
            return self.kind.parse(config[name])
        if self.default is _REQUIRED:
            raise ValueError(name)
        return self.kind.parse(self.default)


def _no_weights(config: Config) -> Shapes:
    return {}


def _no_rule(config: Config) -> str | None:
    return None


@dataclasses.dataclass(frozen=True)
class Head:
    """A Keras class without recurrence.

    Attributes:
      class_name: Keras class as a file names it.
      options: Config keys that decide what the layer computes, or how it is trained further.
      function: The layer at inference, given complete settings.
      passes_mask: Whether a mask goes through it. At the others it ends: Keras 2 of before
        tf.keras 1.15 refused such a model, tf.keras since then drops the mask.
      make_mask: Computes a mask from the input, where the layer is a source of masks.
      join_masks: Computes a mask from inputs and their masks, where "all that are there" is wrong.
      masked: The layer at inference under a mask, where it looks at the mask.
      weights: Shapes of the weights by role, in file order, given complete settings.
      rule: Says what is expected of settings that contradict each other, else None.
      keras_class: Class of Keras 3 or of our own, by default of the same name.
    """

    class_name: str
    options: tuple[Key, ...]
    function: Function
    passes_mask: bool = False
    make_mask: Callable[[Config, Array], Array | None] | None = None
    join_masks: Callable[[Config, Sequence[Array], Masks], Array | None] | None = None
    masked: MaskedFunction | None = None
    weights: Callable[[Config], Shapes] = _no_weights
    rule: Callable[[Config], str | None] = _no_rule
    keras_class: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the config keys that matter."""
        return tuple(key.name for key in self.options)

    def settings(self, config: Config, name: str = "") -> dict[str, Any]:
        """What a config says, with the defaults of Keras 2 for what it leaves out.

        Args:
          config: In the spelling of Keras 2.
          name: Of the layer, for the message.

        Raises:
          UnsupportedError: A key is missing, or its value is not of its kind.
        """
        raise_all(UnsupportedError, self.config_problems(config, name))
        return {key.name: key.value(config) for key in self.options}

    def config_problems(self, config: Config, name: str = "") -> Iterator[Problem]:
        """What is wrong with a config, key by key and then as a whole."""
        settings = {}
        for key in self.options:
            try:
                settings[key.name] = key.value(config)
            except (ValueError, TypeError, OverflowError):
                yield _key_problem(f"layer {name!r} ({self.class_name})", key, config)
        if len(settings) == len(self.options) and (expected := self.rule(settings)):
            yield Problem(
                where=f"layer {name!r} ({self.class_name})",
                expected=expected,
                received=_short(", ".join(f"{k}={v!r}" for k, v in settings.items())),
                remedy=REMEDY,
            )

    def formula(
        self, config: Config, weights: Sequence[Array], inputs: list[Array], masks: Masks = ()
    ) -> Array:
        """The layer at inference.

        Args:
          config: In the spelling of Keras 2.
          weights: In file order.
          inputs: With the batch axis.
          masks: Of the inputs, where there are any.

        Returns:
          The output, in the dtype of the inputs.
        """
        settings = self.settings(config)
        mask = masks[0] if masks else None
        if self.masked is not None and mask is not None:
            return self.masked(settings, weights, inputs, mask)
        return self.function(settings, weights, inputs)

    def mask(self, config: Config, inputs: Sequence[Array], masks: Masks) -> Array | None:
        """The mask of the output, given the inputs and their masks; None for none."""
        settings = self.settings(config)
        if self.make_mask is not None:
            return self.make_mask(settings, inputs[0])
        present = [mask for mask in masks if mask is not None]
        if not present or not self.passes_mask:
            return None
        if self.join_masks is not None:
            return self.join_masks(settings, inputs, masks)
        joint: Array = np.logical_and.reduce(present)
        return joint


HEADS: dict[str, Head] = {}
"""Every class that comes along, by name. `TimeDistributed(Dense)` is a `Dense`."""

REMEDY = (
    "check that the architecture is the one the weights were saved with; what is right there and "
    "refused all the same, build in tf.keras and fill with rnn_migrator.warm_start"
)


def register(*heads: Head) -> None:
    """Adds entries to `HEADS`."""
    HEADS.update({head.class_name: head for head in heads})


def identity(config: Config, weights: Sequence[Array], inputs: list[Array]) -> Array:
    """A layer that acts in training only."""
    return inputs[0]


def activate(config: Config, x: Array) -> Array:
    """The activation of a layer, which may be an advanced activation layer."""
    activation = config["activation"]
    if isinstance(activation, str):
        return ACTIVATIONS[activation](x)
    return HEADS[activation["class_name"]].formula(activation["config"], [], [x])


def _activation(value: Any) -> Any:
    """A name, or class and settings of an advanced activation without weights."""
    if value is None:
        return "linear"
    if isinstance(value, str) and value in ACTIVATIONS:
        return value
    if not isinstance(value, dict) or value.get("class_name") not in _ACTIVATION_LAYERS:
        raise ValueError(value)
    if not isinstance(value.get("config"), dict):
        raise ValueError(value)
    try:
        settings = HEADS[value["class_name"]].settings(value["config"])
    except UnsupportedError as e:
        raise ValueError(value) from e
    return {"class_name": value["class_name"], "config": settings}


def _key_problem(where: str, key: Key, config: Config) -> Problem:
    if key.name in config or key.older in config:
        received = _short(repr(config.get(key.name, config.get(key.older))))
    else:
        received = "nothing in the config"
    return Problem(f"{where}, {key.name}", key.kind.expected, received, REMEDY)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"


_ACTIVATION_LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax", "ThresholdedReLU")

ACTIVATION = Kind(
    "one of "
    + ", ".join(sorted(ACTIVATIONS))
    + "; or the class and config of one of "
    + ", ".join(_ACTIVATION_LAYERS),
    _activation,
)
ACTIVATION_KEY = Key("activation", ACTIVATION, None)
USE_BIAS = Key("use_bias", FLAG, True)
TRAINABLE = Key("trainable", FLAG, True)
DATA_FORMAT_KEY = Key("data_format", DATA_FORMAT, "channels_last")
