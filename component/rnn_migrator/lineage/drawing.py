"""Where the boxes and lines of a lineage graph go: in columns, from what was there to what became.

Sizes are in the units of the picture, about a pixel each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BOX_WIDTH, BOX_HEIGHT = 122, 52
_COLUMN, _ROW = 148, 88
_MARGIN = 6
_LETTERS = 20
"""How many letters a line of a box takes."""

Edge = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Box:
    """An artifact or an execution.

    Attributes:
      x: Left end.
      y: Upper end.
      kind: Type of the artifact, "" for an execution.
      lines: What stands in it, line by line.
      title: All that is known of it, for whoever points at it.
    """

    x: int
    y: int
    kind: str
    lines: tuple[str, ...]
    title: str


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture.

    Attributes:
      width: Of the picture.
      height: Of the picture.
      boxes: Drawn last.
      paths: Lines between them, as SVG has them, drawn first.
    """

    width: int
    height: int
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]


def draw(graph: Mapping[str, Any]) -> Drawing:
    """Lays out a graph.

    Args:
      graph: What `Graph.to_json` gives.
    """
    nodes = {f"artifact {a['id']}": _artifact_texts(a) for a in graph["artifacts"]}
    nodes |= {f"execution {e['id']}": _execution_texts(e) for e in graph["executions"]}
    edges = [_edge(edge) for edge in graph["edges"]]
    columns = _columns(nodes, edges)
    rows = _rows(columns, edges)
    corners = {
        node: (_MARGIN + column * _COLUMN, _MARGIN + rows[node] * _ROW)
        for node, column in columns.items()
    }
    boxes = (
        Box(*corners[node], kind, lines, title) for node, (kind, lines, title) in nodes.items()
    )
    return Drawing(
        width=max((x for x, _ in corners.values()), default=0) + BOX_WIDTH + _MARGIN,
        height=max((y for _, y in corners.values()), default=0) + _ROW,
        boxes=tuple(boxes),
        paths=tuple(_path(corners[one], corners[other]) for one, other in edges),
    )


def _artifact_texts(artifact: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    kind = artifact["type"].rpartition(".")[-1]
    lines = (kind, _tail(artifact["uri"]), artifact["says"])
    title = f"{artifact['type']}, artifact {artifact['id']}: {artifact['uri']} {artifact['says']}"
    return kind, tuple(_short(line) for line in lines), title


def _execution_texts(execution: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    when = execution["finished"].partition("+")[0].replace("T", " ")
    title = f"{execution['component']}, execution {execution['id']}, {execution['finished']}"
    return "", (_short(execution["component"]), when), title


def _tail(uri: str) -> str:
    """The end of a path or URI, which tells most."""
    tail = "/".join(uri.rstrip("/").rsplit("/", 2)[-2:])
    return tail if len(tail) <= _LETTERS else "…" + tail[1 - _LETTERS :]


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"


def _edge(edge: Mapping[str, Any]) -> Edge:
    artifact, execution = f"artifact {edge['artifact']}", f"execution {edge['execution']}"
    return (artifact, execution) if edge["input"] else (execution, artifact)


def _columns(nodes: Iterable[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The column of each node: one beyond the last of those that it was made from."""
    columns = dict.fromkeys(nodes, 0)
    for _ in columns:
        late = [(a, b) for a, b in edges if columns[b] <= columns[a]]
        if not late:
            break
        for one, other in late:
            columns[other] = max(columns[other], columns[one] + 1)
    return columns


def _rows(columns: Mapping[str, int], edges: Sequence[Edge]) -> dict[str, int]:
    """The row of each node: beside those that it was made from, as far as there is room."""
    rows: dict[str, int] = {}
    sources: dict[str, list[str]] = {node: [] for node in columns}
    for one, other in edges:
        sources[other].append(one)
    for column in range(max(columns.values(), default=-1) + 1):
        members = [node for node in columns if columns[node] == column]
        wanted = {
            # The last source is the nearest: a model rather than the file it was made from.
            node: max((rows[s] for s in sources[node] if s in rows), default=0)
            for node in members
        }
        free = 0
        for node in sorted(members, key=lambda node: wanted[node]):
            rows[node] = max(free, wanted[node])
            free = rows[node] + 1
    return rows


def _path(start: tuple[int, int], end: tuple[int, int]) -> str:
    """A line from the right of one box to the left of another, below the boxes that it passes."""
    x, y = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT // 2
    to_x, to_y = end[0], end[1] + BOX_HEIGHT // 2
    gap = _COLUMN - BOX_WIDTH
    if to_x - x <= gap:
        return f"M{x} {y}C{x + gap} {y} {to_x - gap} {to_y} {to_x} {to_y}"
    # Lines from artifacts and from executions, in columns of their own, do not run in one another.
    lane = max(y, to_y) + BOX_HEIGHT // 2 + 8 + 8 * (start[0] // _COLUMN // 2 % 3)
    return (
        f"M{x} {y}C{x + gap} {y} {x} {lane} {x + gap} {lane}"
        f"H{to_x - gap}C{to_x} {lane} {to_x - gap} {to_y} {to_x} {to_y}"
    )
