"""Pages in HTML that need no network and no script: what they share, and how they are written."""

from __future__ import annotations

from pathlib import Path

import jinja2

from rnn_migrator.files import atomic_file


def environment(folder: Path) -> jinja2.Environment:
    """What renders the templates in a folder, which extend `page.html.j2`."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,  # names of layers and tensors come from untrusted files
        undefined=jinja2.ChainableUndefined,  # of optional keys, some lie in others
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write(page: str, file: Path) -> None:
    """Writes a page; the file is never seen half written.

    Raises:
      UsageError: There is no folder that it could be written to.
    """
    with atomic_file(file) as scratch:
        # A name in a legacy file may hold a lone surrogate, which UTF-8 does not know.
        scratch.write_text(page, "utf-8", errors="replace")
