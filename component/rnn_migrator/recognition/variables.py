"""The variables of a model as the model sees them, whatever the artifact keeps beside them.

A view on an artifact: moving averages in place of the variables they are of, shards joined, the
opaque buffer of a cuDNN layer taken apart. Tensors are still read only when asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import Array, CellKind
from rnn_migrator.errors import Problem, UnsupportedError, UsageError, raise_all
from rnn_migrator.layouts.cudnn_opaque import split_buffer
from rnn_migrator.readers import LegacyArtifact
from rnn_migrator.readers.artifact import TensorSpec
from rnn_migrator.recognition.settings import Settings

_AVERAGE = "/ExponentialMovingAverage"
_SLOTS = re.compile(
    r"(^|/)(Adam(_\d+)?|Adagrad|Adadelta(_\d+)?|Momentum|RMSProp(_\d+)?|Ftrl(_\d+)?"
    r"|ExponentialMovingAverage|beta[12]_power(_\d+)?|global_step)$"
)
_SHARD = re.compile(r"(?P<whole>.+)/part_(?P<number>\d+)|(?P<old>.+/W(?:_P)?)_(?P<old_number>\d+)")


def model_variables(names: Iterable[str]) -> list[str]:
    """The names that are no optimizer slot, moving average or step counter, sorted."""
    return sorted(name for name in names if not _SLOTS.search(name))


def logical_variables(artifact: LegacyArtifact, settings: Settings) -> LegacyArtifact:
    """The artifact with the variables of the model only.

    Raises:
      UsageError: The settings speak of moving averages or of a buffer that is not there.
      UnsupportedError: A buffer is not of the size that the settings say.
    """
    averaged = _averages(artifact, settings)
    kept = model_variables(averaged.tensors)
    view = dataclasses.replace(averaged, tensors={name: averaged.tensors[name] for name in kept})
    return _cudnn_buffer(_joined(view), settings)


def has_unused_averages(artifact: LegacyArtifact, settings: Settings) -> bool:
    """Whether there are moving averages of which the user has not said what they are for."""
    there = any(name.endswith(_AVERAGE) for name in artifact.tensors)
    return there and settings.get("use_ema") is None


def _averages(artifact: LegacyArtifact, settings: Settings) -> LegacyArtifact:
    wanted = settings.get("use_ema")
    if wanted is None or not wanted.value:
        return artifact
    shadows = {
        name.removesuffix(_AVERAGE): name for name in artifact.tensors if name.endswith(_AVERAGE)
    }
    if not shadows:
        raise UsageError(_no_averages(artifact, wanted.source))

    def load(name: str) -> Array:
        return artifact.load(shadows.get(name, name))

    named = {
        name: dataclasses.replace(artifact.tensors[shadow], name=name)
        for name, shadow in shadows.items()
    }
    origins = {name: (shadow,) for name, shadow in shadows.items()}
    return artifact.view({**artifact.tensors, **named}, load, origins)


def _no_averages(artifact: LegacyArtifact, source: str) -> Problem:
    return Problem(
        where=source,
        expected=f"variables NAME{_AVERAGE} in {artifact.path}",
        received="none",
        remedy="leave the setting out, or name the checkpoint of the training job",
    )


def _joined(artifact: LegacyArtifact) -> LegacyArtifact:
    """Shards of one matrix as the matrix."""
    shards: dict[str, dict[int, str]] = defaultdict(dict)
    for name in artifact.tensors:
        if match := _SHARD.fullmatch(name):
            number = int(match["number"] or match["old_number"] or 0)
            shards[match["whole"] or match["old"]][number] = name
    whole = {
        name: [parts[number] for number in sorted(parts)]
        for name, parts in shards.items()
        if name not in artifact.tensors
        and sorted(parts) == list(range(len(parts)))
        # A kernel that was never sharded is called W_0 too.
        and (len(parts) > 1 or "/part_" in parts[0])
    }
    joins = {
        name: functools.partial(_join, artifact, parts, _axis(artifact, parts))
        for name, parts in whole.items()
    }
    specs = {name: _joined_spec(artifact, name, parts) for name, parts in whole.items()}
    return _with_tensors(artifact, {n: tuple(parts) for n, parts in whole.items()}, specs, joins)


def _axis(artifact: LegacyArtifact, parts: list[str]) -> int:
    """The axis that shards were cut along: rows, unless only the columns differ."""
    shapes = [artifact.tensors[part].shape for part in parts]
    same_columns = len({shape[1:] for shape in shapes}) == 1
    return 0 if same_columns or len(shapes[0]) < 2 else 1


def _joined_spec(artifact: LegacyArtifact, name: str, parts: list[str]) -> TensorSpec:
    axis = _axis(artifact, parts)
    first = artifact.tensors[parts[0]]
    shape = list(first.shape)
    if shape:
        shape[axis] = sum(
            artifact.tensors[p].shape[axis] for p in parts if artifact.tensors[p].shape
        )
    return TensorSpec(name, tuple(shape), first.dtype)


def _join(artifact: LegacyArtifact, parts: list[str], axis: int) -> Array:
    arrays = [artifact.load(part) for part in parts]
    try:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis)
    except ValueError as e:
        raise UnsupportedError(
            Problem(
                where=", ".join(parts),
                expected="shards of one matrix, cut along one axis",
                received=", ".join(str(list(array.shape)) for array in arrays),
                remedy="dump the whole matrix under one name and convert that",
            )
        ) from e


def _with_tensors(
    artifact: LegacyArtifact,
    made_of: Mapping[str, tuple[str, ...]],
    specs: Mapping[str, TensorSpec],
    loads: Mapping[str, Callable[[], Array]],
) -> LegacyArtifact:
    """The artifact with some tensors in the place of those they are made of."""
    if not specs:
        return artifact

    def load(name: str) -> Array:
        return loads[name]() if name in loads else artifact.load(name)

    gone = {part for parts in made_of.values() for part in parts}
    kept = {name: spec for name, spec in artifact.tensors.items() if name not in gone}
    return artifact.view({**kept, **specs}, load, made_of)


_BUFFER_SETTINGS = ("cudnn", "num_layers", "num_units", "input_size")


def _cudnn_buffer(artifact: LegacyArtifact, settings: Settings) -> LegacyArtifact:
    """The opaque buffer of a cuDNN layer as its matrices, if the user says what is in it."""
    facts = {key: settings.get(key) for key in (*_BUFFER_SETTINGS, "bidirectional")}
    if facts["cudnn"] is None:
        return artifact
    missing = [key for key in _BUFFER_SETTINGS if facts[key] is None]
    given: dict[str, Any] = {key: fact.value for key, fact in facts.items() if fact is not None}
    name = _find_buffer(artifact, settings)
    raise_all(UsageError, [_sizes_missing(name, missing)] if missing else [])
    kind = CellKind.LSTM if given["cudnn"] == "lstm" else CellKind.GRU
    layers = split_buffer(
        artifact.read(name),
        kind,
        given["input_size"],
        given["num_units"],
        given["num_layers"],
        given.get("bidirectional", False),
    )
    pieces = {
        f"{_place(name, index, direction)}/cudnn_{given['cudnn']}_pieces/{role}": array
        for index, directions in enumerate(layers)
        for direction, tensors in directions.items()
        for role, array in tensors.items()
    }
    specs = {piece: TensorSpec(piece, array.shape) for piece, array in pieces.items()}
    loads = {piece: functools.partial(np.copy, array) for piece, array in pieces.items()}
    return _with_tensors(artifact, dict.fromkeys(pieces, (name,)), specs, loads)


def _place(buffer: str, layer: int, direction: str) -> str:
    """The scope that TensorFlow gives such a cell outside a buffer."""
    if not direction:
        return f"{buffer}/rnn/multi_rnn_cell/cell_{layer}"
    return f"{buffer}/stack_bidirectional_rnn/cell_{layer}/bidirectional_rnn/{direction}"


def opaque_buffers(artifact: LegacyArtifact) -> list[str]:
    """Variables that are opaque buffers by their name."""
    return [name for name in artifact.tensors if name.rsplit("/", 1)[-1] == "opaque_kernel"]


def _find_buffer(artifact: LegacyArtifact, settings: Settings) -> str:
    """The variable that holds the buffer: by its name, or the only vector in the scope."""
    scope = settings.get("scope")
    inside = [
        name
        for name, spec in artifact.tensors.items()
        if len(spec.shape) == 1 and (scope is None or f"{name}/".startswith(f"{scope.value}/"))
    ]
    named = [name for name in opaque_buffers(artifact) if name in inside] or inside
    if len(named) == 1:
        return named[0]
    raise UsageError(
        Problem(
            where="--set cudnn",
            expected="one vector that can be the opaque buffer of a cuDNN layer",
            received=", ".join(named) or "none",
            remedy="name it: --set scope=VARIABLE",
        )
    )


def _sizes_missing(name: str, missing: list[str]) -> Problem:
    return Problem(
        where=name,
        expected="the sizes of the cuDNN layer that the buffer was made for",
        received="none stated for " + ", ".join(missing),
        remedy=" ".join(f"--set {key}=N" for key in missing),
    )
