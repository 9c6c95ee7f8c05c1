"""Shapes of a cell's tensors in letters, such as `"[I+H, 4U]"`, and the sizes they stand for.

I is the input size, U the units, P the width of a projection, H the width of the state h (P where
the cell has a projection, else U); other letters are sizes of a convolution's kernel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping

Shape = tuple[int, ...]
Sizes = Mapping[str, int]
Form = Mapping[str, int]
"""How often each letter counts in one axis: "I+2U" is {"I": 1, "U": 2}."""


@functools.cache
def forms(symbols: str) -> tuple[Form, ...]:
    """The axes of a shape in letters; a plain number counts the letter "1"."""
    axes = [axis.strip() for axis in symbols.strip("[]").split(",")]
    return tuple(_form(axis) for axis in axes if axis)


def _form(axis: str) -> Form:
    form: dict[str, int] = {}
    for term in axis.split("+"):
        count, letter = re.fullmatch(r"(\d*)([A-Z]?)", term.strip()).groups()  # type: ignore[union-attr]
        letter = letter or "1"
        form[letter] = form.get(letter, 0) + int(count or 1)
    return form


def rank(symbols: str) -> int:
    """How many axes a shape in letters has."""
    return len(forms(symbols))


def evaluate(symbols: str, sizes: Sizes) -> Shape:
    """The shape for given sizes."""
    known = {"1": 1, **sizes}
    return tuple(sum(n * known[letter] for letter, n in form.items()) for form in forms(symbols))


def solve(symbols: Mapping[str, str], shapes: Mapping[str, Shape]) -> dict[str, int] | None:
    """The sizes that explain the shapes, read off in the order of the roles.

    Args:
      symbols: Shape in letters of each role that is there.
      shapes: Shape of each of them.

    Returns:
      A positive size for each letter, H included, or None where the shapes leave one open. A
      shape that contradicts the ones before it is not noticed here.
    """
    width = "P" if any("P" in form for text in symbols.values() for form in forms(text)) else "U"
    axes = {
        role: [{width if k == "H" else k: n for k, n in form.items()} for form in forms(text)]
        for role, text in symbols.items()
    }
    equations = [
        equation
        for role, known in axes.items()
        if len(known) == len(shapes[role])
        for equation in zip(known, shapes[role], strict=True)
    ]
    sizes = {"1": 1}
    while solved := next(_solvable(equations, sizes), None):
        sizes |= solved
    if not {letter for known in axes.values() for form in known for letter in form} <= set(sizes):
        return None
    sizes["H"] = sizes[width]
    return sizes


def _solvable(equations: Iterable[tuple[Form, int]], sizes: Sizes) -> Iterator[dict[str, int]]:
    """Letters that one equation settles."""
    for form, total in equations:
        unknown = [letter for letter in form if letter not in sizes]
        if len(unknown) != 1:
            continue
        [letter] = unknown
        rest = total - sum(n * sizes[known] for known, n in form.items() if known in sizes)
        if rest > 0 and rest % form[letter] == 0:
            yield {letter: rest // form[letter]}
