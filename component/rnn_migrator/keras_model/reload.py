"""A converted model as it lies on disk, ready to be called by signature."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from rnn_migrator.canonical import Array, CanonicalModel
from rnn_migrator.errors import NotEquivalentError, Problem, UnreadableError
from rnn_migrator.keras_model.build import BuiltModel, keras_name
from rnn_migrator.keras_model.examples import EXAMPLES, problems, records
from rnn_migrator.keras_model.export import KERAS_FILE, RESET, SAVED_MODEL, endpoints
from rnn_migrator.keras_model.targets import Target

_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
    tf.errors.OpError,
)


class Signatures(Protocol):
    """A model, called by signature."""

    def __call__(
        self, signature: str, inputs: Mapping[str, Array], calls: int = 1
    ) -> dict[str, Array]:
        """Outputs by name of the last of some calls in a row, the first from zero states."""


def open_saved_model(folder: Path) -> Signatures:
    """A SavedModel, called by signature.

    Raises:
      UnreadableError: There is none, it cannot be loaded, or lacks the signature that is called.
      NotEquivalentError: The signature takes other inputs than those of the call.
    """
    loaded = _load(folder)

    def call(signature: str, inputs: Mapping[str, Array], calls: int = 1) -> dict[str, Array]:
        if signature not in loaded.signatures:
            raise _unreadable(folder, ValueError(f"no signature {signature!r}"))
        function = loaded.signatures[signature]
        _check_inputs(f"{folder}, {signature}", function.structured_input_signature[1], inputs)
        if RESET in loaded.signatures:
            loaded.signatures[RESET]()
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        results = [function(**tensors) for _ in range(calls)][-1]
        return {name: tensor.numpy() for name, tensor in results.items()}

    return call


def _check_inputs(
    where: str, specs: Mapping[str, tf.TensorSpec], inputs: Mapping[str, Array]
) -> None:
    if set(specs) == set(inputs) and all(
        specs[name].shape.is_compatible_with(array.shape) for name, array in inputs.items()
    ):
        return
    raise NotEquivalentError(
        Problem(
            where=where,
            expected=", ".join(f"{name} {spec.shape}" for name, spec in specs.items()),
            received=", ".join(f"{name} {array.shape}" for name, array in inputs.items()),
            remedy="name the source that this was converted from",
        )
    )


def open_converted(folder: Path, target: Target, canonical: CanonicalModel) -> Signatures:
    """An output folder of the converter, called by signature.

    A SavedModel for GPUs cannot run where there is none. There its `.keras` file runs instead,
    after the variables of both have been compared bit for bit. The signature `examples` is called
    with the inputs of the one it stands for, which are made records of.

    Args:
      folder: With `saved_model/` and `model.keras`.
      target: What it was converted for.
      canonical: What it was converted from, for the wiring of the signatures.

    Raises:
      UnreadableError: A file is missing or damaged.
      NotEquivalentError: The two files hold different weights.
    """
    if target is not Target.GPU or tf.config.list_physical_devices("GPU"):
        model = open_saved_model(folder / SAVED_MODEL)
    else:
        model = _open_keras(folder, canonical)

    def call(signature: str, inputs: Mapping[str, Array], calls: int = 1) -> dict[str, Array]:
        if signature == EXAMPLES:
            inputs = {EXAMPLES: records(canonical, inputs)}
        return model(signature, inputs, calls)

    return call


def _open_keras(folder: Path, canonical: CanonicalModel) -> Signatures:
    """The `.keras` file of an output folder, called by signature."""
    model = _load_keras(folder / KERAS_FILE)
    _check_same_variables(folder, model)
    layers = {layer.name: layer for layer in model._flatten_layers()}
    found = tuple(
        layers[keras_name(layer.name)]
        for layer in canonical.recurrent_layers
        if canonical.bare_weights or layer.stateful
    )
    parsed = not any(problems(canonical))
    by_name = endpoints(BuiltModel(canonical, model, found, ()), parsed)

    def call(signature: str, inputs: Mapping[str, Array], calls: int = 1) -> dict[str, Array]:
        run, _ = by_name[signature]
        if RESET in by_name:
            by_name[RESET][0]({})
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        results = [run(tensors) for _ in range(calls)][-1]
        return {name: np.asarray(tensor) for name, tensor in results.items()}

    return call


def _load(folder: Path) -> Any:
    try:
        return tf.saved_model.load(str(folder))
    except _DAMAGE as e:
        raise _unreadable(folder, e) from e


def _load_keras(file: Path) -> keras.Model:
    try:
        return keras.models.load_model(file, compile=False)
    except _DAMAGE as e:
        raise _unreadable(file, e) from e


def _unreadable(path: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        Problem(
            where=str(path),
            expected="a model that `rnn-migrate convert` wrote",
            received=str(error).strip().split("\n")[0][:300],
            remedy="convert the source again",
        )
    )


def _check_same_variables(folder: Path, model: keras.Model) -> None:
    saved = [variable.numpy() for variable in _load(folder / SAVED_MODEL).model_variables]
    kept = [np.asarray(variable.value) for variable in model.weights]
    if len(saved) != len(kept) or not all(map(np.array_equal, saved, kept)):
        raise NotEquivalentError(
            Problem(
                where=str(folder),
                expected=f"the same weights in {SAVED_MODEL} and {KERAS_FILE}",
                received="different ones",
                remedy="convert the source again",
            )
        )
