"""How the errors of a party are spread: quantiles and a histogram, over any number of errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from ddsketch import DDSketch

from rnn_migrator.canonical import Array

HISTOGRAM = np.logspace(-12, 2, 57)
"""Edges of the bins, four to a decade; what is smaller or larger counts in the outermost ones."""

QUANTILES = (0.5, 0.9, 0.99, 0.999)

_ACCURACY = 0.01
_DROPPED = 48
"""Bits of a float64 that a size does not keep; four of the mantissa stay, 3 % either way."""

_LARGEST = 1e300
"""What stands for infinity and NaN."""

_NOT_FINITE = 0x7FF0
"""Where the sizes of infinity and NaN begin."""


def _sketch() -> DDSketch:
    return DDSketch(_ACCURACY)


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Sizes of errors, counted.

    Attributes:
      histogram: How many errors there are in each bin of `HISTOGRAM`.
      sketch: Mergeable quantiles.
    """

    histogram: Array = dataclasses.field(
        default_factory=lambda: np.zeros(len(HISTOGRAM) - 1, np.int64)
    )
    sketch: DDSketch = dataclasses.field(default_factory=_sketch)

    @classmethod
    def of(cls, errors: Array) -> Spread:
        """Counts errors, which are not negative; NaN counts among the largest."""
        sizes, counts = _counted(errors)
        inside = np.clip(sizes, HISTOGRAM[0], HISTOGRAM[-1])
        histogram, _ = np.histogram(inside, HISTOGRAM, weights=counts)
        sketch = _sketch()
        for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
            sketch.add(size, count)
        return cls(histogram.astype(np.int64), sketch)

    @property
    def count(self) -> int:
        """How many errors there are."""
        return int(self.histogram.sum())

    def merge(self, other: Spread) -> Spread:
        """The errors of both."""
        sketch = _sketch()
        sketch.merge(self.sketch)
        sketch.merge(other.sketch)
        return Spread(self.histogram + other.histogram, sketch)

    def to_json(self) -> dict[str, Any]:
        """Quantiles, and the bins of the histogram that are not empty at either end."""
        counts = self.histogram
        if not counts.any():
            return {}
        first, last = int(np.argmax(counts > 0)), len(counts) - int(np.argmax(counts[::-1] > 0))
        edges = [float(f"{edge:.4g}") for edge in HISTOGRAM[first : last + 1]]
        return {
            "quantiles": {
                f"{share:g}": float(f"{self.sketch.get_quantile_value(share):.3g}")
                for share in QUANTILES
            },
            "histogram": {"edges": edges, "counts": [int(n) for n in counts[first:last]]},
        }


def _counted(errors: Array) -> tuple[Array, Array]:
    """The sizes that there are, and how many errors are about as large.

    The first sixteen bits of a float64 are its size on a scale of logarithms. To count those takes
    a fraction of the time that models need, as a sketch that is told error by error does not.
    """
    leading = np.ascontiguousarray(errors, "<f8").ravel().view("<u2")[3::4]
    counts = np.bincount(leading)
    [found] = np.nonzero(counts)
    middles = (found.astype(np.int64) << _DROPPED) + (1 << _DROPPED - 1)
    sizes = np.where(found > 0, middles.view(np.float64), 0.0)
    return np.where(found < _NOT_FINITE, sizes, _LARGEST), counts[found]
