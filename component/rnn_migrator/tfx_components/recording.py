"""How executors write custom properties onto what they made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfx.types.artifact import Artifact

from rnn_migrator.lineage import record


def write_properties(
    context: Any | None, properties: Mapping[str, str], *artifacts: Artifact
) -> None:
    """Writes custom properties, and in which run of which pipeline the artifacts were made.

    Args:
      context: Of the executor, None where it runs outside a pipeline.
      properties: From `rnn_migrator.lineage.record`.
      *artifacts: What the executor made.
    """
    run = {}
    if context is not None and context.pipeline_run_id:
        run = {
            record.RUN_ID: context.pipeline_run_id,
            record.PIPELINE: context.pipeline_info.id if context.pipeline_info else "",
        }
    for artifact in artifacts:
        for key, value in record.in_pieces({**properties, **run}).items():
            artifact.set_string_custom_property(key, value)
