"""What a model should give, and how far off rounding alone may put it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnn_migrator.canonical import Array, CanonicalModel
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.oracles.formulas import Formulas

Outputs = Mapping[str, Array]


class Yardstick:
    """The source's formulas in float64, and twice in float32.

    One float32 run can be lucky: where a model amplifies noise, two runs of different kernels are
    easily ten times as far from float64 as each other. So the formulas run in float32 as they are,
    and with every weight off by one in its last place, and the farther value counts.

    Args:
      model: The source.
    """

    def __init__(self, model: CanonicalModel) -> None:
        self._exact = Formulas(model)
        self._rounded = [Formulas(model, np.float32, disturbed=flag) for flag in (False, True)]

    def exact(self, case: Case) -> Outputs:
        """The outputs in float64."""
        return self._exact.run(case.signature, case.inputs, case.calls)

    def rounded(self, case: Case, exact: Outputs) -> Outputs:
        """The outputs in float32 as far from the exact ones as rounding has put them."""
        one, other = (run.run(case.signature, case.inputs, case.calls) for run in self._rounded)
        return {name: _farther(exact[name], one[name], other[name]) for name in exact}


def _farther(exact: Array, one: Array, other: Array) -> Array:
    return np.where(np.abs(other - exact) > np.abs(one - exact), other, one)
