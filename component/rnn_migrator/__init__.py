"""Legacy TensorFlow 1 and Keras 1-2 recurrent models into modern `tf.keras`, provably unchanged.

Names are imported when they are used: `import rnn_migrator` alone costs milliseconds. Whoever
imports Keras too, before or after, can load the `.keras` files that this package wrote.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from rnn_migrator.errors import MigrationError
    from rnn_migrator.keras_model.activations import legacy_hard_sigmoid
    from rnn_migrator.keras_model.layers import PortableGRU, PortableLSTM
    from rnn_migrator.keras_model.targets import Target
    from rnn_migrator.migration import Request, convert, verify
    from rnn_migrator.tfx_components.artifacts import LegacyModel
    from rnn_migrator.warm_start import AssumptionWarning, keras_weights, warm_start

_HOMES = {
    "AssumptionWarning": "warm_start",
    "LegacyModel": "tfx_components.artifacts",
    "MigrationError": "errors",
    "PortableGRU": "keras_model.layers",
    "PortableLSTM": "keras_model.layers",
    "Request": "migration",
    "Target": "keras_model.targets",
    "convert": "migration",
    "keras_weights": "warm_start",
    "legacy_hard_sigmoid": "keras_model.activations",
    "verify": "migration",
    "warm_start": "warm_start",
}

__all__ = [
    "AssumptionWarning",
    "LegacyModel",
    "MigrationError",
    "PortableGRU",
    "PortableLSTM",
    "Request",
    "Target",
    "convert",
    "keras_weights",
    "legacy_hard_sigmoid",
    "verify",
    "warm_start",
]


@wrapt.when_imported("keras")
def _register_layers(keras: Any) -> None:
    """Tells Keras the layers that a `.keras` file may name; it looks for none by itself."""
    del keras
    importlib.import_module(f"{__name__}.keras_model.layers")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
