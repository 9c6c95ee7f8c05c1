"""`Pusher`: TFX's own, with an executor that a kill leaves nothing half-made of."""

from __future__ import annotations

from tfx.components.pusher.component import Pusher as StockPusher
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec

from rnn_migrator.tfx_components.pusher.executor import Executor


class Pusher(StockPusher):
    """As `tfx.components.Pusher`; see `Executor` for what it does otherwise."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)
