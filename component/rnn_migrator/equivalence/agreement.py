"""How often two classifiers decide alike, as counts that can be merged.

An output is a classifier's where its rows are probabilities. Rows whose best classes are closer
together than noise can put them apart are no decision, and are not counted.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from rnn_migrator.canonical import Array

_TOP = 5


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Decisions that were compared, and those that came out alike.

    Attributes:
      decided: Rows with one clear best class.
      same: Those in which both have the same one.
      decided_top: Rows with five clear best classes.
      same_top: Those in which both have the same five.
    """

    decided: int = 0
    same: int = 0
    decided_top: int = 0
    same_top: int = 0

    def merge(self, other: Agreement) -> Agreement:
        """The counts of both."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Agreement(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def shares(self) -> dict[str, float]:
        """Share of alike decisions by kind, for those there are."""
        counts = {
            "argmax": (self.same, self.decided),
            f"top_{_TOP}": (self.same_top, self.decided_top),
        }
        return {kind: same / decided for kind, (same, decided) in counts.items() if decided}


def agreement(expected: Array, values: Array, margin: float) -> Agreement | None:
    """How far two batches of outputs agree; None where they are no probabilities.

    Args:
      expected: Reference [..., classes].
      values: What is compared with it, of the same shape.
      margin: Least distance between classes that makes a decision.
    """
    if not _probabilities(expected):
        return None
    classes = expected.shape[-1]
    one, other = expected.reshape(-1, classes), values.reshape(-1, classes)
    first = _alike(one, other, 1, margin)
    top = _alike(one, other, _TOP, margin) if classes > _TOP else (0, 0)
    return Agreement(*first, *top)


def _probabilities(outputs: Array) -> bool:
    if outputs.ndim < 2 or outputs.shape[-1] < 2 or not outputs.size or outputs.min() < 0:
        return False
    return bool(np.allclose(outputs.sum(axis=-1), 1.0, rtol=0, atol=1e-6))


def _alike(one: Array, other: Array, count: int, margin: float) -> tuple[int, int]:
    """(decided, same) for the best `count` classes of each row, whatever their order."""
    ranked = np.sort(one, axis=-1)[:, ::-1]
    decided = ranked[:, count - 1] - ranked[:, count] > margin
    best, others = (
        np.sort(np.argsort(-rows, axis=-1, kind="stable")[:, :count], axis=-1)
        for rows in (one, other)
    )
    same = decided & np.all(best == others, axis=-1)
    return int(decided.sum()), int(same.sum())
