"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Stages = Callable[[str], None]
"""Is told what begins now."""


class Progress(Protocol):
    """Is told what comes next."""

    def __call__(self, text: str, share: float | None = None) -> None:
        """Takes note.

        Args:
          text: What begins now.
          share: How much of all is done, from 0 to 1; None where nobody knows.
        """


def silent(text: str, share: float | None = None) -> None:
    """Tells nobody."""
    del text, share
