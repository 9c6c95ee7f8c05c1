"""A search for the input that a converted model is farthest off at, within given ranges.

As property-based testing does it: guesses are made up, the search goes on near those that came out
worst, and a guess that fails is made as simple as it can be. What is made up is how to draw an
input rather than its numbers, which are too many; so a guess fits in a key, and a report's key
gives the same input again. It is our own for the sake of the figures: Hypothesis also tries
constants of whatever code is loaded, so that no two workers would try the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rnn_migrator.canonical import LENGTHS, Array, CanonicalModel, ModelInput
from rnn_migrator.equivalence.inputs.case import Case, Excess, Material, signature_inputs
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.layouts.heads.inputs import vocabulary_size

Range = tuple[float, float]
Judge = Callable[["Guess"], float]

_MOST_ROWS = 4
_HUNTS = 4
"""Searches apart from each other, which workers can share."""

_BLIND = 0.5
"""Share of the guesses that are made without a look at those before."""

_BOUND, _FAR = 1.0, 1e9
"""From where on a guess fails, and from where on it does not matter how far off it is."""


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """Where to search.

    Attributes:
      ranges: Smallest and largest value by input; ids have those of their embedding unless stated.
      steps: Fewest and most time steps, where the model leaves them open.
      tries: How many inputs to try.
    """

    ranges: Mapping[str, Range] = dataclasses.field(default_factory=dict)
    steps: tuple[int, int] = (1, 40)
    tries: int = 400

    def of(self, model: CanonicalModel) -> SearchSpace:
        """The same with a range for every input.

        Raises:
          UsageError: An input of numbers has none, or there is one for no input.
        """
        wanted = signature_inputs(model, "serving_default")
        sizes = {name: vocabulary_size(model, source) for name, source in wanted.items()}
        known = {name: (0.0, size - 1.0) for name, size in sizes.items() if size}
        ranges = {**known, **self.ranges}
        raise_all(UsageError, _problems(ranges, list(wanted), sizes))
        return dataclasses.replace(self, ranges=ranges)

    def hunts(self) -> list[Hunt]:
        """The search in parts that can run apart from each other."""
        names = [f"search {number + 1} of {_HUNTS}" for number in range(_HUNTS)]
        return [Hunt(name, self, number) for number, name in enumerate(names)]


def _problems(
    ranges: Mapping[str, Range], inputs: list[str], sizes: Mapping[str, int | None]
) -> Iterator[Problem]:
    remedy = f"state a range for each of {', '.join(inputs)}: --search INPUT=LOW:HIGH"
    for name in dict.fromkeys([*inputs, *ranges]):
        where, size = f"the range to search of input {name!r}", sizes.get(name)
        low, high = ranges.get(name, (0.0, 0.0))
        if name not in inputs:
            yield Problem(where, "an input of the model", repr(name), remedy)
        elif name not in ranges:
            yield Problem(where, "the smallest and the largest value", "nothing", remedy)
        elif not low <= high or not np.isfinite([low, high]).all():
            yield Problem(where, "two finite numbers in order", f"{low:g}:{high:g}", remedy)
        elif size and (low < 0 or high >= size):
            yield Problem(where, f"ids from 0 to {size - 1}", f"{low:g}:{high:g}", remedy)


_SPIKES = 0.1
"""Share of the values that are spikes."""

_KINDS = ("uniform", "constant", "extremes", "alternating", "spikes")


@dataclasses.dataclass(frozen=True)
class Guess:
    """How to draw an input.

    Attributes:
      kind: The pattern.
      rows: Batch size.
      steps: Time steps, where the model leaves them open.
      share: Of the range that is used, around its middle, in thousandths.
      ragged: Whether the sequences of bare weights end early.
      seed: For the random numbers.
    """

    kind: str = "uniform"
    rows: int = 1
    steps: int = 1
    share: int = 0
    ragged: bool = False
    seed: int = 0

    def __str__(self) -> str:
        return "search: " + " ".join(f"{k}={v}" for k, v in dataclasses.asdict(self).items())

    @classmethod
    def parse(cls, key: str) -> Guess | None:
        """The guess of a key, None if it is none."""
        head, _, text = key.partition(": ")
        stated = dict(part.partition("=")[::2] for part in text.split())
        numbers = {name: stated.get(name, "") for name in ("rows", "steps", "share", "seed")}
        if head != "search" or not all(number.isdecimal() for number in numbers.values()):
            return None
        values = {name: int(number) for name, number in numbers.items()}
        guess = cls(kind=stated.get("kind", ""), ragged=stated.get("ragged") == "True", **values)
        return guess if str(guess) == key and guess.kind in _KINDS else None

    def case(self, space: SearchSpace, model: CanonicalModel) -> Case:
        """The input."""
        rng = np.random.default_rng(self.seed)
        inputs = {
            name: self._values(source, space.ranges[name], vocabulary_size(model, source), rng)
            for name, source in signature_inputs(model, "serving_default").items()
        }
        if not (self.ragged and model.bare_weights):
            return Case(str(self), "serving_default", inputs)
        rows, steps = inputs["inputs"].shape[:2]
        lengths = rng.integers(0, steps + 1, rows).astype(np.int32)
        return Case(str(self), "with_lengths", {**inputs, LENGTHS: lengths})

    def _values(
        self, source: ModelInput, limits: Range, size: int | None, rng: np.random.Generator
    ) -> Array:
        shape = (source.batch or self.rows, *(size or self.steps for size in source.shape))
        pattern = self._pattern(shape, rng) * self.share / 1000
        low, high = limits
        values = (low + high) / 2 + (high - low) / 2 * pattern
        whole = size is not None or "int" in source.dtype
        return (np.rint(values) if whole else values).astype(source.dtype)

    def _pattern(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Values from -1 to 1."""
        plain = rng.uniform(-1, 1, shape)
        if self.kind == "constant":
            return np.broadcast_to(plain[:, :1], shape)
        if self.kind == "extremes":
            return np.sign(plain)
        if self.kind == "alternating":
            times = np.arange(shape[1]) if len(shape) > 1 else np.zeros(1)
            signs = np.where(times % 2, -1.0, 1.0).reshape(-1, *[1] * (len(shape) - 2))
            return np.sign(plain[:, :1]) * np.broadcast_to(signs, shape)
        if self.kind == "spikes":
            return np.where(rng.random(shape) < _SPIKES, np.sign(plain), 0.0)
        return plain


@dataclasses.dataclass(frozen=True)
class Hunt(Material):
    """One search.

    Attributes:
      key: Name in reports.
      space: Where to search.
      seed: For what it makes up.
    """

    key: str
    space: SearchSpace
    seed: int

    def cases(self, model: CanonicalModel, excess: Excess) -> Iterator[Case]:
        """See `Material.cases`: the worst one that was found, or the simplest one that fails."""
        seen: dict[Guess, float] = {}

        def judge(guess: Guess) -> float:
            if guess not in seen:
                found = excess(guess.case(self.space, model))
                seen[guess] = found if found < _FAR else _FAR  # NaN is far too
            return seen[guess]

        yield self._worst(judge).case(self.space, model)

    def _worst(self, judge: Judge) -> Guess:
        """Guesses at random, then near the worst so far; one that fails is made simple."""
        rng = np.random.default_rng(self.seed)
        tries = max(1, self.space.tries // _HUNTS)
        worst = _any(self.space, rng)
        for number in range(1, tries):
            if judge(worst) > _BOUND:
                return _simplest(worst, self.space, judge)
            near = number > tries * _BLIND
            guess = _near(worst, self.space, rng) if near else _any(self.space, rng)
            worst = max(worst, guess, key=judge)
        return worst

    def find(self, key: str, model: CanonicalModel) -> Case | None:
        """See `Material.find`."""
        guess = Guess.parse(key)
        return None if guess is None else guess.case(self.space, model)


def _any(space: SearchSpace, rng: np.random.Generator) -> Guess:
    """A guess at random; the ends of what it chooses from are likelier than the rest."""
    low, high = space.steps
    return Guess(
        kind=str(rng.choice(_KINDS)),
        rows=int(rng.integers(1, _MOST_ROWS + 1)),
        steps=int(rng.choice([low, high, rng.integers(low, high + 1)], p=[0.1, 0.1, 0.8])),
        share=int(rng.choice([1000, 100, 10, rng.integers(0, 1001)])),
        ragged=bool(rng.integers(2)),
        seed=int(rng.integers(2**16)),
    )


def _near(guess: Guess, space: SearchSpace, rng: np.random.Generator) -> Guess:
    """The guess with one of its choices made anew."""
    name = str(rng.choice([field.name for field in dataclasses.fields(Guess)]))
    return dataclasses.replace(guess, **{name: getattr(_any(space, rng), name)})


def _simplest(guess: Guess, space: SearchSpace, judge: Judge) -> Guess:
    """A simpler guess that fails too: one choice after the other, until none can be simpler."""
    for simpler in _simpler(guess, space.steps[0]):
        if judge(simpler) > _BOUND:
            return _simplest(simpler, space, judge)
    return guess


def _simpler(guess: Guess, fewest: int) -> Iterator[Guess]:
    """Guesses with one simpler choice, the simplest first."""
    choices: dict[str, Iterable[Any]] = {
        "rows": range(1, guess.rows),
        "steps": sorted({fewest, (fewest + guess.steps) // 2, guess.steps - 1}),
        "ragged": [False],
        "kind": _KINDS[: _KINDS.index(guess.kind)],
    }
    for name, values in choices.items():
        now = getattr(guess, name)
        for value in values:
            if value != now and (name != "steps" or fewest <= value < now):
                yield dataclasses.replace(guess, **{name: value})
