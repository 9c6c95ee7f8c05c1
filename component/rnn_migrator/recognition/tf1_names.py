"""Which TensorFlow 1 cells a set of variable names speaks of, and where in the model they are."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from rnn_migrator.errors import Problem
from rnn_migrator.recognition.hand_written import find_hand_written
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_cells import NAMED_CELLS, REFUSED_CELLS, FoundCell, NamedCell

Shapes = Mapping[str, tuple[int, ...]]

_RECURRENT_SCOPE = re.compile(
    r"(?:.*/)?(?:(?:bidirectional_|stack_bidirectional_)?rnn|BiRNN|RNN|\w+_(?:cell|wrapper)|\w+(?:Cell|Wrapper))"
    r"(?:_\d+)?/.+"
)
_MULTI = r"(?:multi_rnn_cell(?:_\d+)?/cell_|MultiRNNCell(?:_\d+)?/Cell)"
_PIECES = re.compile(r"/cudnn_(?:lstm|gru)_pieces/")
"""What a cuDNN buffer was taken apart into, one matrix a gate as in a hand-written cell."""
_PLACE = re.compile(
    r"(?P<prefix>(?:[^/]+/)*?)"
    r"(?:cell_(?P<outer>\d+)/(?=bidirectional_rnn/))?"  # stack_bidirectional_rnn
    r"(?P<bidirectional>(?:(?:bidirectional_rnn|BiRNN)(?:_\d+)?/)?)"
    r"(?:(?P<direction>fw|bw|FW|BW)/)?"
    rf"(?:{_MULTI}(?P<inner>\d+)/)?"
    r"(?P<cell>[^/]+)"
)


def find_cells(shapes: Shapes, settings: Settings) -> tuple[list[FoundCell], list[Problem]]:
    """Groups variables into cells.

    Args:
      shapes: Shape by name of the model's variables.
      settings: The user's: classes, and what a hand-written gate's matrices are.

    Returns:
      The cells whose variables are all there, and what stands in the way of the others.
    """
    names = sorted(shapes)
    unclaimed = {name: shapes[name] for name in names if not _PIECES.search(name)}
    hand_written, problems, taken = find_hand_written(unclaimed, settings)
    rest = [name for name in names if name not in taken]
    cells, more = _find_named(rest, settings)
    taken |= {name for cell in cells for name in cell.names.values()}
    problems += more
    wrapped = {cell.scope: _wrapper(cell.scope) for cell in cells}
    problems += [_wrapped(cell, wrapped[cell.scope]) for cell in cells if wrapped[cell.scope]]
    cells = [cell for cell in cells if not wrapped[cell.scope]]
    blamed = {problem.where for problem in problems}
    ignored = [re.compile(f"{re.escape(cell.scope)}/{cell.named.ignored}") for cell in cells]
    leftover = [
        name
        for name in rest
        if not _belongs_to(name, taken) and not any(p.fullmatch(name) for p in ignored)
    ]
    return hand_written + cells, problems + _unknown_cells(leftover, blamed)


_WRAPPER = re.compile(r"(?:.*/)?\w*(?:[wW]rapper)(?:_\d+)?")


def _wrapper(scope: str) -> str:
    """The scope of a wrapper that computes more than the cell in it, "" for none."""
    found = [str(parent) for parent in PurePosixPath(scope).parents]
    return next((p for p in found if _WRAPPER.fullmatch(p) and _cell_class(p) != _UNKNOWN), "")


def _wrapped(cell: FoundCell, wrapper: str) -> Problem:
    return Problem(
        where=wrapper,
        expected=f"a {cell.named.cell_class} by itself",
        received=f"{_cell_class(wrapper)} around {cell.scope}",
        remedy=_remedy(wrapper),
    )


def _belongs_to(name: str, variables: Container[str]) -> bool:
    """Whether a name is one of the variables, or an optimizer's slot of one."""
    parents = PurePosixPath(name).parents
    return name in variables or any(str(parent) in variables for parent in parents)


def _find_named(names: list[str], settings: Settings) -> tuple[list[FoundCell], list[Problem]]:
    candidates: dict[str, dict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for rank, named in enumerate(NAMED_CELLS):
        for scope, role, name in _matches(named, names, settings):
            candidates[scope][rank][role] = name
    cells: dict[str, tuple[NamedCell, dict[str, str]]] = {}
    problems = []
    for scope, by_rank in candidates.items():
        named, roles = _best(by_rank)
        missing = [role for role in named.parts if role not in {*roles, *named.optional}]
        if not missing:
            cells[scope] = named, roles
        elif not named.needed:
            problems.append(_incomplete(scope, named.cell_class, roles, missing))
    return [
        _placed(named, scope, roles, cells) for scope, (named, roles) in cells.items()
    ], problems


def _matches(
    named: NamedCell, names: Iterable[str], settings: Settings
) -> Iterator[tuple[str, str, str]]:
    """(scope, role, name) for every variable that can be one of such a cell."""
    for role, part in named.parts.items():
        pattern = re.compile(rf"(?P<scope>.+?)/{part}")
        known = re.compile(rf"(?:.*/)?{named.scope}")
        for name in names:
            match = pattern.fullmatch(name)
            if match is None:
                continue
            said = _stated_class(match["scope"], settings)
            if said == named.cell_class or (said is None and known.fullmatch(match["scope"])):
                yield match["scope"], role, name


def _stated_class(scope: str, settings: Settings) -> str | None:
    """The class that the user says wrote the variables of a scope."""
    narrow = settings.values.get((scope, "class"))
    if narrow is not None:
        return str(narrow)
    whole, picked = settings.get("class"), settings.get("scope")
    if whole is None or picked is None or not f"{scope}/".startswith(f"{picked.value}/"):
        return None
    return str(whole.value)


def _best(by_rank: Mapping[int, dict[str, str]]) -> tuple[NamedCell, dict[str, str]]:
    """The first class that is complete, else the one of which most is there."""

    def order(rank: int) -> tuple[bool, bool, int, int]:
        named, roles = NAMED_CELLS[rank], by_rank[rank]
        complete = set(named.parts) <= {*roles, *named.optional}
        meant = not named.needed or not named.needed.isdisjoint(roles)
        return not (complete and meant), bool(named.needed), -len(roles), rank

    rank = min(by_rank, key=order)
    named, roles = NAMED_CELLS[rank], by_rank[rank]
    if named.needed and named.needed.isdisjoint(roles):
        return named, {}
    return named, roles


def _placed(
    cell: NamedCell, scope: str, names: Mapping[str, str], scopes: Container[str]
) -> FoundCell:
    """The cell with its place, read off its scope.

    Outside `bidirectional_rnn`, whose scope the user may rename, `fw` and `bw` are directions
    where both are there, and names like any other where only one is.
    """
    match = _PLACE.fullmatch(scope)
    if match is None:
        return FoundCell(cell, scope, names, scope)
    before, direction = match["prefix"] + match["bidirectional"], match["direction"] or ""
    if direction and not match["bidirectional"] and _twin(match) not in scopes:
        before, direction = before + direction, ""
    stack = (match["prefix"] if match["outer"] else before).rstrip("/") or match["cell"]
    inner, outer = int(match["inner"] or 0), int(match["outer"] or 0)
    if direction:
        return FoundCell(cell, scope, names, stack, outer, direction.lower(), inner)
    return FoundCell(cell, scope, names, stack, inner)


_OTHER_WAY = {"fw": "bw", "bw": "fw", "FW": "BW", "BW": "FW"}


def _twin(match: re.Match[str]) -> str:
    """The scope of the other direction."""
    start, end = match.span("direction")
    return match.string[:start] + _OTHER_WAY[match["direction"]] + match.string[end:]


def place(named: NamedCell, scope: str, names: Mapping[str, str]) -> FoundCell:
    """A cell that somebody else found, with its place read off its scope."""
    return _placed(named, scope, names, ())


def apart(cell: FoundCell) -> FoundCell:
    """The cell as a stack of its own."""
    return dataclasses.replace(cell, stack=cell.scope, index=0, direction="", position=0)


def _incomplete(
    scope: str, cell_class: str, roles: Mapping[str, str], missing: list[str]
) -> Problem:
    return Problem(
        where=scope,
        expected=f"all variables of a {cell_class}",
        received=f"{', '.join(roles.values())}, but no {', '.join(missing)}",
        remedy="add the missing variables to the checkpoint or dump",
    )


def _unknown_cells(leftover: list[str], blamed: set[str]) -> list[Problem]:
    """A problem for each scope that looks recurrent and was not understood."""
    scopes: dict[str, list[str]] = defaultdict(list)
    for name in leftover:
        if _RECURRENT_SCOPE.fullmatch(name):
            scopes[_cell_scope(name)].append(name)
    classes = ", ".join(dict.fromkeys(cell.cell_class for cell in NAMED_CELLS[:-1]))
    return [
        Problem(
            where=scope,
            expected=f"{classes}, or an LSTM or GRU by hand, whose names tell its gates",
            received=f"{_cell_class(scope)}: {', '.join(names[:4])}",
            remedy=_remedy(scope),
        )
        for scope, names in scopes.items()
        if scope not in blamed
    ]


def _remedy(scope: str) -> str:
    if _cell_class(scope) != _UNKNOWN:
        return (
            "this version converts no such cell; keep this part in the legacy model. Other stacks "
            "convert with --set scope=NAME"
        )
    return (
        f"if one of these classes wrote it: --set 'layer[{scope}].class=NAME'; else keep this part "
        "in the legacy model, or put the .meta file beside the checkpoint"
    )


def _cell_scope(name: str) -> str:
    """The scope of the cell that a variable belongs to, as far as names tell."""
    match = re.match(
        r"(?:.*/)?(?:\w*_(?:cell|wrapper)(?:_\d+)?|\w+Cell)(?=/)(?!/[cC]ell_?\d)", name
    )
    return match.group() if match else name.rsplit("/", 1)[0]


_UNKNOWN = "an unknown cell"


def _cell_class(scope: str) -> str:
    last = scope.rsplit("/", 1)[-1]
    for pattern, cell_class in REFUSED_CELLS.items():
        if re.fullmatch(rf"{pattern}(?:_\d+)?", last):
            return cell_class
    return _UNKNOWN
