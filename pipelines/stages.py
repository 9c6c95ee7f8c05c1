"""What a user sees of a pipeline at work: the stages of our own components, and nothing else."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from rnn_migrator.progress import Stages


class _Stages(logging.Handler):
    """Passes on what our own components log."""

    def __init__(self, progress: Stages) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress(record.getMessage())


@contextlib.contextmanager
def only_stages(progress: Stages) -> Iterator[None]:
    """Keeps warnings and logs of the frameworks off the terminal, and passes on our own.

    Args:
      progress: Told what our components log.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for name in ("", "absl", "tensorflow", "apache_beam"):
            stack.enter_context(_handlers(name, logging.NullHandler()))
        stack.enter_context(_handlers("rnn_migrator", _Stages(progress), logging.INFO))
        yield


@contextlib.contextmanager
def _handlers(name: str, handler: logging.Handler, level: int = logging.CRITICAL) -> Iterator[None]:
    """Gives a logger one handler instead of those it has."""
    logger = logging.getLogger(name)
    before = (logger.handlers, logger.level, logger.propagate)
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.handlers, level, logger.propagate = before
        logger.setLevel(level)
