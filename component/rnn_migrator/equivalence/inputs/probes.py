"""Deterministic inputs of several kinds, for a model that nobody gave any for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_migrator.canonical import (
    LENGTHS,
    Array,
    CanonicalModel,
    ModelInput,
    state_sizes,
)
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.layouts.heads.inputs import padding_values, unseen_paddings, vocabulary_size

_BATCH, _SHORT, _LONG = 5, 9, 40
_SEED = 20211
_HOLES = 0.4
"""Share of the time steps that are padding where padding is anywhere."""

_PREFIXES = (1, 2, 4)
"""Lengths of the short sequences, which say most of a model that amplifies noise."""


def _prefix(steps: int) -> str:
    return "single step" if steps == 1 else f"{steps} steps"


def probe_cases(model: CanonicalModel, records: bool = False) -> list[Case]:
    """Deterministic inputs of several kinds for every signature of a model.

    Bare weights get ordinary, saturating, zero, long, short and single-row sequences, ragged
    and zero lengths, and single steps from random states. A Keras model gets the same kinds as far
    as its input shapes allow, extreme ids where an embedding reads them, and padding at the end
    and anywhere where a layer masks it.

    Args:
      model: What they are for.
      records: Whether there is a signature for tf.Example protos, which gets one case.
    """
    rng = np.random.default_rng(_SEED)
    cases = list(_stack_probes(model, rng) if model.bare_weights else _model_probes(model, rng))
    return [*cases, _record_probe(model, rng)] if records else cases


def _record_probe(model: CanonicalModel, rng: np.random.Generator) -> Case:
    """Records of unequal lengths, where the model takes them."""
    inputs = {s.name: _input(model, s, _BATCH, 1.0, rng, _SHORT) for s in model.inputs}
    lengths = np.linspace(1, _SHORT, _BATCH).astype(np.int32)
    for name, value in unseen_paddings(model).items():
        inputs[name][np.arange(_SHORT) >= lengths[:, None]] = value
    if model.bare_weights:
        inputs[LENGTHS] = lengths
    # It goes through the signatures that the other cases try thoroughly.
    return Case("records", "examples", inputs, thorough=False)


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
    ragged = {"inputs": normal(_BATCH, _SHORT), LENGTHS: lengths}
    yield Case("ragged", "with_lengths", ragged)
    empty = {"inputs": normal(2, _SHORT), LENGTHS: np.zeros(2, np.int32)}
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
    padding = {s.name: value for s in model.inputs for value in padding_values(model, s)}
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
    vocabulary = vocabulary_size(model, source)
    if vocabulary is None:
        return (scale * rng.normal(size=shape)).astype(source.dtype)
    ids = rng.integers(0, vocabulary, size=shape)
    ids.flat[0], ids.flat[-1] = vocabulary - 1, 0
    return (ids if scale else np.zeros(shape)).astype(source.dtype)
