"""The layers that a Keras model config names, as far as readers need to know them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MALFORMED = (LookupError, TypeError, AttributeError, ValueError, RecursionError)
"""What walking a config raises that is none; the recognition says what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class ConfigLayer:
    """A layer of a config.

    Attributes:
      name: Its name in the model.
      class_name: Its class.
      wrapped: The layer inside a wrapper such as `Bidirectional`, None for others.
      layers: Its own layers, if it is a nested model or wraps one.
    """

    name: str
    class_name: str
    wrapped: ConfigLayer | None
    layers: tuple[ConfigLayer, ...]

    @property
    def is_input(self) -> bool:
        """Whether it only stands for an input."""
        return self.class_name == "InputLayer"

    @property
    def weight_names(self) -> Iterator[str]:
        """What the names of its weights begin with, in one release or another."""
        yield self.name
        if self.wrapped is not None:
            inner = self.wrapped.name
            yield from (inner, f"forward_{inner}", f"backward_{inner}")


def config_layers(model_config: Mapping[str, Any]) -> tuple[ConfigLayer, ...]:
    """The layers of a Sequential or functional model, in the order of the config.

    Raises:
      MALFORMED: One of these errors: it is no such config.
    """
    config = model_config["config"]
    # Keras 1 to 2.2.2 wrote a bare list for a Sequential model.
    listed = config if isinstance(config, list) else config["layers"]
    return tuple(_layer(layer) for layer in listed)


def _layer(layer: Mapping[str, Any]) -> ConfigLayer:
    config = layer["config"]
    # A nested Sequential model of Keras 1 has no name but in the list of a functional model.
    name = layer.get("name") or (config["name"] if isinstance(config, dict) else "")
    wrapped = _wrapped(config)
    if isinstance(config, list) or "layers" in config:
        layers = config_layers(layer)
    else:
        layers = wrapped.layers if wrapped else ()
    return ConfigLayer(str(name), str(layer["class_name"]), wrapped, layers)


def _wrapped(config: Any) -> ConfigLayer | None:
    inner = config.get("layer") if isinstance(config, dict) else None
    return _layer(inner) if isinstance(inner, dict) else None


def leaves(layers: Sequence[ConfigLayer], outer: str) -> dict[str, ConfigLayer]:
    """The layers of a nested model, and of models nested in it, by `outer/inner`."""
    found: dict[str, ConfigLayer] = {}
    for layer in layers:
        key = f"{outer}/{layer.name}"
        found |= leaves(layer.layers, key) if layer.layers else {key: layer}
    return found
