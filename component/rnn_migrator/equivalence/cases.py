"""What the models are compared on: recorded pairs, and probes where there are none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rnn_migrator.canonical import (
    Array,
    CanonicalModel,
    HeadLayer,
    ModelInput,
    TimeDistributed,
    state_sizes,
)
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.readers.array_dump import load_npz

_BATCH, _SHORT, _LONG = 5, 9, 40
_SEED = 20211
_HOLES = 0.4
"""Share of the time steps that are padding where padding is anywhere."""

_PREFIXES = (1, 2, 4)
"""Lengths of the short sequences, which say most of a model that amplifies noise."""


def _prefix(steps: int) -> str:
    return "single step" if steps == 1 else f"{steps} steps"


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One batch of inputs for one signature.

    Attributes:
      key: Name in reports, by which it can be found again.
      signature: `serving_default`, `with_lengths` or `step`.
      inputs: By the names of the signature.
      expected: Outputs that the original framework recorded, by the names of the signature.
      calls: How often in a row the signature is called, from zero states; the last call counts.
    """

    key: str
    signature: str
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array] | None = None
    calls: int = 1


def probe_cases(model: CanonicalModel) -> list[Case]:
    """Deterministic inputs of several kinds for every signature of a model.

    Bare weights get ordinary, saturating, zero, long, short and single-row sequences, ragged
    and zero lengths, and single steps from random states. A Keras model gets the same kinds as far
    as its input shapes allow, extreme ids where an embedding reads them, and padding at the end
    and anywhere where a layer masks it.
    """
    rng = np.random.default_rng(_SEED)
    return list(_stack_probes(model, rng) if model.bare_weights else _model_probes(model, rng))


def _stack_probes(model: CanonicalModel, rng: np.random.Generator) -> Iterator[Case]:
    width = model.recurrent_layers[0].input_size

    def normal(*shape: int) -> Array:
        return rng.normal(size=(*shape, width)).astype(np.float32)

    yield Case("ordinary", "serving_default", {"inputs": normal(_BATCH, _SHORT)})
    yield Case("saturating", "serving_default", {"inputs": 10 * normal(_BATCH, _SHORT)})
    yield Case("zero", "serving_default", {"inputs": 0 * normal(_BATCH, _SHORT)})
    yield Case("long", "serving_default", {"inputs": normal(3, _LONG)})
    for steps in _PREFIXES:
        yield Case(_prefix(steps), "serving_default", {"inputs": normal(_BATCH, steps)})
    yield Case("single row", "serving_default", {"inputs": normal(1, _SHORT)})
    lengths = np.array([_SHORT, 0, 1, _SHORT - 2, 4], np.int32)
    ragged = {"inputs": normal(_BATCH, _SHORT), "sequence_length": lengths}
    yield Case("ragged", "with_lengths", ragged)
    empty = {"inputs": normal(2, _SHORT), "sequence_length": np.zeros(2, np.int32)}
    yield Case("all empty", "with_lengths", empty)
    if not any(layer.backward for layer in model.recurrent_layers):
        yield Case("states", "step", {"inputs": normal(_BATCH), **_random_states(model, rng)})


def _random_states(model: CanonicalModel, rng: np.random.Generator) -> dict[str, Array]:
    return {
        name: rng.uniform(-1, 1, size=(_BATCH, width)).astype(np.float32)
        for name, width in state_sizes(model.recurrent_layers).items()
    }


def _model_probes(model: CanonicalModel, rng: np.random.Generator) -> Iterator[Case]:
    fixed = next((source.batch for source in model.inputs if source.batch), None)
    batch = fixed or _BATCH

    def inputs(scale: float, batch: int = batch, steps: int = _SHORT) -> dict[str, Array]:
        return {s.name: _input(model, s, batch, scale, rng, steps) for s in model.inputs}

    kinds = {"ordinary": 1.0, "saturating": 10.0, "zero": 0.0}
    for kind, scale in kinds.items():
        yield Case(kind, "serving_default", inputs(scale))
    if any(layer.stateful for layer in model.recurrent_layers):
        yield Case("third call in a row", "serving_default", inputs(1.0), calls=3)
    if fixed is None:
        yield Case("single row", "serving_default", inputs(1.0, 1))
    if all(source.shape and source.shape[0] is None for source in model.inputs):
        for steps in _PREFIXES:
            yield Case(_prefix(steps), "serving_default", inputs(1.0, batch, steps))
    padding = {s.name: value for s in model.inputs for value in _padding(model, s)}
    if padding:
        padded = inputs(1.0)
        for name, value in padding.items():
            times = np.arange(padded[name].shape[1])
            lengths = np.linspace(0, len(times), batch).astype(int)
            padded[name][times >= lengths[:, None]] = value
        yield Case("padded", "serving_default", padded)
        holes = inputs(1.0)
        for name, value in padding.items():
            holes[name][rng.random(holes[name].shape[:2]) < _HOLES] = value
        yield Case("padded anywhere", "serving_default", holes)


def _input(
    model: CanonicalModel,
    source: ModelInput,
    batch: int,
    scale: float,
    rng: np.random.Generator,
    steps: int,
) -> Array:
    shape = (batch, *(size or steps for size in source.shape))
    vocabulary = _vocabulary(model, source)
    if vocabulary is None:
        return (scale * rng.normal(size=shape)).astype(source.dtype)
    ids = rng.integers(0, vocabulary, size=shape)
    ids.flat[0], ids.flat[-1] = vocabulary - 1, 0
    return (ids if scale else np.zeros(shape)).astype(source.dtype)


def _readers(model: CanonicalModel, source: ModelInput) -> Iterator[HeadLayer]:
    """The layers that read an input, through layers that only spread it over time steps."""
    for node in model.nodes:
        if source.name not in node.inbound:
            continue
        if isinstance(node.layer, HeadLayer):
            yield node.layer
        elif isinstance(node.layer, TimeDistributed):
            yield from _readers(node.layer.inner, node.layer.inner.inputs[0])


def _padding(model: CanonicalModel, source: ModelInput) -> Iterator[float]:
    """The value of a masked step, where a layer makes a mask of an input."""
    for layer in _readers(model, source):
        if layer.class_name == "Masking":
            yield float(layer.config.get("mask_value", 0.0))
        elif layer.config.get("mask_zero"):
            yield 0.0


def _vocabulary(model: CanonicalModel, source: ModelInput) -> int | None:
    """How many ids an input may hold, if an embedding reads it."""
    sizes = [
        int(layer.config["input_dim"])
        for layer in _readers(model, source)
        if layer.class_name == "Embedding"
    ]
    return min(sizes, default=None)


def chosen_cases(cases: Sequence[Case], keys: Sequence[str]) -> list[Case]:
    """The cases of some keys, all of them where none is named.

    Raises:
      UsageError: A key is that of no case.
    """
    known = [case.key for case in cases]
    raise_all(
        UsageError,
        (
            Problem(
                where=f"--only {key}",
                expected="the key of a case: " + ", ".join(known),
                received=repr(key),
                remedy="name one of these; a report names the worst ones",
            )
            for key in keys
            if key not in known
        ),
    )
    return [case for case in cases if case.key in keys or not keys]


def recorded_case(file: Path, model: CanonicalModel) -> Case:
    """Inputs and outputs that the original framework recorded.

    Args:
      file: NPZ with arrays `in:NAME` and `out:NAME`, by the names of a signature of the converted
        model. Which signature it is follows from the inputs: `sequence_length` means
        `with_lengths`, states mean `step`.
      model: The model, for the names.

    Raises:
      UsageError: It speaks of names the model does not have, or the inputs have other shapes.
      UnreadableError: It is no NPZ file.
    """
    arrays = load_npz(file)
    inputs = {key[3:]: array for key, array in arrays.items() if key.startswith("in:")}
    expected = {key[4:]: array for key, array in arrays.items() if key.startswith("out:")}
    signature = _signature_of(inputs, model)
    wanted = _signature_inputs(model, signature)
    raise_all(UsageError, _name_problems(file, model, wanted, inputs, expected))
    raise_all(UsageError, _shape_problems(file, wanted, inputs))
    fed = {name: array.astype(wanted[name].dtype) for name, array in inputs.items()}
    return Case(f"recorded in {file.name}", signature, fed, expected)


def _signature_inputs(model: CanonicalModel, signature: str) -> dict[str, ModelInput]:
    """What a signature takes, by name."""
    inputs = {source.name: source for source in model.inputs}
    if signature == "with_lengths":
        inputs["sequence_length"] = ModelInput("sequence_length", (), "int32")
    if signature == "step":
        layers = model.recurrent_layers
        inputs["inputs"] = ModelInput("inputs", (layers[0].input_size,))
        inputs |= {name: ModelInput(name, (n,)) for name, n in state_sizes(layers).items()}
    return inputs


def _signature_of(inputs: Mapping[str, Array], model: CanonicalModel) -> str:
    if not model.bare_weights:
        return "serving_default"
    if "sequence_length" in inputs:
        return "with_lengths"
    return "serving_default" if set(inputs) <= {"inputs"} else "step"


def _name_problems(
    file: Path,
    model: CanonicalModel,
    wanted: Mapping[str, ModelInput],
    inputs: Mapping[str, Array],
    expected: Mapping[str, Array],
) -> list[Problem]:
    known = set(model.outputs)
    if model.bare_weights:
        known = {"outputs", *state_sizes(model.recurrent_layers)}
    problems = []
    if set(inputs) != set(wanted):
        problems.append(_names(file, "inputs in:NAME for", set(wanted), inputs))
    if not expected or not set(expected) <= known:
        problems.append(_names(file, "outputs out:NAME among", known, expected))
    return problems


def _shape_problems(
    file: Path, wanted: Mapping[str, ModelInput], inputs: Mapping[str, Array]
) -> list[Problem]:
    batch = {array.shape[:1] for array in inputs.values()}
    return [
        Problem(
            where=f"{file}, in:{name}",
            expected=f"shape {_shape_text(wanted[name])}, one batch size for all inputs",
            received=f"shape {list(array.shape)}",
            remedy="record the inputs batch first, for this model",
        )
        for name, array in inputs.items()
        if len(batch) > 1 or not _fits(array.shape[1:], wanted[name].shape) or not array.ndim
    ]


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, given) for given, size in zip(shape, wanted, strict=True)
    )


def _shape_text(source: ModelInput) -> str:
    return "[" + ", ".join(["batch", *("any" if n is None else str(n) for n in source.shape)]) + "]"


def _names(file: Path, what: str, wanted: set[str], received: Mapping[str, Array]) -> Problem:
    return Problem(
        where=str(file),
        expected=f"{what} {', '.join(sorted(wanted))}",
        received=", ".join(sorted(received)) or "none",
        remedy="write it with numpy.savez(file, **{'in:NAME': array, 'out:NAME': array})",
    )
