"""Lineage as one HTML page that needs no network and no script, with the graph drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rnn_migrator import pages
from rnn_migrator.lineage import drawing

_TEMPLATE = "lineage.html.j2"


def write_page(answer: Mapping[str, Any], file: Path) -> None:
    """Writes the page; the file is never seen half written, and equal input gives equal bytes.

    Args:
      answer: About a model or about a legacy artifact, as `to_json` gives it.
      file: The page to write.

    Raises:
      UsageError: There is no folder that it could be written to.
    """
    models = answer["models"] if "models" in answer else [answer, *answer["siblings"]]
    template = pages.environment(Path(__file__).parent).get_template(_TEMPLATE)
    page = template.render(
        answer=answer,
        name=PurePosixPath(answer["asked"]).name,
        models=models,
        drawing=drawing.draw(answer["graph"]),
        box=(drawing.BOX_WIDTH, drawing.BOX_HEIGHT),
    )
    pages.write(page, file)
