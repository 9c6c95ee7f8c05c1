"""LSTMs and GRUs written by hand, as their variables are named.

Each gate has a scope of its own (`LSTMcell/forget_gate/{wx,wt,bi}`), or the gates share one scope
and the names of the variables tell them apart (`Wf, Uf, bf`). A gate has an input matrix and a
recurrent one, or one matrix for both, and a bias or none.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rnn_migrator.canonical import SYMMETRIC_GATES, CellKind, Fact, Origin
from rnn_migrator.errors import Problem
from rnn_migrator.layouts import get_layout
from rnn_migrator.recognition.settings import Settings
from rnn_migrator.recognition.tf1_cells import FoundCell, NamedCell, assumed

Shapes = Mapping[str, tuple[int, ...]]
Roles = Mapping[str, str]

TOP_LEVEL = "the top level"
"""What messages call the empty scope."""

_ACTIVATIONS = {
    "activation": assumed("tanh", "usual in a hand-written cell"),
    "recurrent_activation": assumed("sigmoid", "usual in a hand-written cell"),
}
_LSTM_DEFAULTS = {
    "forget_bias": assumed(0.0, "a hand-written cell keeps it in its bias, if anywhere"),
    **_ACTIVATIONS,
    "cell_clip": assumed(None, "unusual in a hand-written LSTM"),
}
_GRU_DEFAULTS = {
    **_ACTIVATIONS,
    "reset_after": Fact(
        None, Origin.UNDECIDED, "some reset before the recurrent product, others after it"
    ),
    "update_keeps": Fact(
        None,
        Origin.UNDECIDED,
        "with an update gate z, some compute z * h + (1 - z) * g, others (1 - z) * h + z * g",
    ),
}


def _by_hand(kind: CellKind, layout: str, defaults: Mapping[str, Fact[Any]]) -> NamedCell:
    return NamedCell(f"hand-written {kind.label}", r"[^/]+", layout, {}, defaults)


_SEPARATE = {
    CellKind.LSTM: _by_hand(CellKind.LSTM, "per_gate_lstm", _LSTM_DEFAULTS),
    CellKind.GRU: _by_hand(CellKind.GRU, "per_gate_gru", _GRU_DEFAULTS),
}
_FUSED = {
    (CellKind.LSTM, "xh"): _by_hand(CellKind.LSTM, "per_gate_fused_lstm", _LSTM_DEFAULTS),
    (CellKind.LSTM, "hx"): _by_hand(CellKind.LSTM, "per_gate_fused_lstm_hx", _LSTM_DEFAULTS),
    (CellKind.GRU, "xh"): _by_hand(CellKind.GRU, "per_gate_fused_gru", _GRU_DEFAULTS),
    (CellKind.GRU, "hx"): _by_hand(CellKind.GRU, "per_gate_fused_gru_hx", _GRU_DEFAULTS),
}
HAND_WRITTEN = (*_SEPARATE.values(), *_FUSED.values())
"""Cells that are known by the names of their gates."""

_GATE_SCOPES = {
    CellKind.LSTM: {
        "input": r"input(?:_gate)?|in_gate|i(?:_gate)?",
        "forget": r"forget(?:_gate)?|f(?:_gate)?",
        "candidate": r"memory(?:_cell)?|candidate|new_memory|cell(?:_gate)?|[gc](?:_gate)?",
        "output": r"output(?:_gate)?|out_gate|o(?:_gate)?",
    },
    CellKind.GRU: {
        "update": r"update(?:_gate)?|[zu](?:_gate)?",
        "reset": r"reset(?:_gate)?|r(?:_gate)?",
        "candidate": r"candidate(?:_gate|_state)?|new(?:_memory|_gate|_state)?|memory(?:_cell)?"
        r"|[hcgn](?:_gate)?",
    },
}
_GATE_LETTERS = {
    CellKind.LSTM: {"input": "i", "forget": "f", "candidate": "[gcj]", "output": "o"},
    CellKind.GRU: {"update": "[zu]", "reset": "r", "candidate": "[hcgn]"},
}
_GATE_WORDS = {
    CellKind.LSTM: {
        "input": "input(?:_gate)?",
        "forget": "forget(?:_gate)?",
        "candidate": "cell(?:_gate)?|candidate|memory",
        "output": "output(?:_gate)?",
    },
    CellKind.GRU: {
        "update": "update(?:_gate)?",
        "reset": "reset(?:_gate)?",
        "candidate": "candidate|memory|hidden|new",
    },
}
_PART = r"w_?[xh]|u_?h|recurrent(?:_kernel|_weights?)?|kernel|weights?|bias(?:es)?|[wurb]"
_SPELLINGS = (
    rf"(?P<part>{_PART})_?(?:{{gate}})(?:_?(?P<more>[xhm]))?",
    r"(?:{gate})_?(?P<part>[xhmb])(?P<more>)",
)
"""How variables are called that share a scope: `Wxi`, `W_i`, `Wix`; `ix`."""

_EXTRA = r"[a-z]{{1,2}}_?[a-z]?_?(?:{gate})(?:_?[a-z])?(?:_diag)?"
"""What else of a gate there may be in such a scope: peepholes, second biases."""

_ROLE_NAMES = {
    "kernel": r"w_?x|x_?w|w_?i|x|kernel|weights?|input_(?:kernel|weights?)|w",
    "recurrent": r"w_?[thm]|h_?w|u_?h?|[rhm]|recurrent(?:_kernel|_weights?)?",
}
_ROLE_SETTINGS = {"kernel": "kernel_name", "recurrent": "recurrent_name"}


@dataclasses.dataclass(frozen=True)
class _Group:
    """Variables that look like those of a cell.

    Attributes:
      kind: The recurrence.
      scope: What they have in common.
      gates: By gate, what each variable is called besides the gate: part by name.
      shared: Whether all gates share the scope.
    """

    kind: CellKind
    scope: str
    gates: Mapping[str, Mapping[str, str]]
    shared: bool

    @property
    def names(self) -> set[str]:
        """Every variable."""
        return {name for parts in self.gates.values() for name in parts}

    @property
    def where(self) -> str:
        """The scope, for messages."""
        return self.scope or TOP_LEVEL


def find_hand_written(
    shapes: Shapes, settings: Settings
) -> tuple[list[FoundCell], list[Problem], set[str]]:
    """Cells of which every gate of an LSTM or a GRU has matrices of its own.

    Args:
      shapes: Shape by name of the model's variables.
      settings: The user's: what a gate's matrices are called, and the order of their rows.

    Returns:
      The cells; what stands in the way of others that look like one; the variables of both.
    """
    cells, problems, taken = [], [], set()
    for group in _groups(shapes):
        taken |= group.names
        found = _build(group, shapes, settings)
        cells += [cell for cell in found if isinstance(cell, FoundCell)]
        problems += [problem for problem in found if isinstance(problem, Problem)]
    return cells, problems, taken


def _groups(shapes: Shapes) -> Iterator[_Group]:
    """What has a matrix for every gate of its kind."""
    for kind in (CellKind.LSTM, CellKind.GRU):
        spellings = [(r"(?:{gate})/(?P<part>[^/]+)(?P<more>)", _GATE_SCOPES[kind], False)]
        for gates in (_GATE_LETTERS[kind], _GATE_WORDS[kind]):
            spellings += [(spelling, gates, True) for spelling in _SPELLINGS]
        for spelling, gates, shared in spellings:
            for scope, found in _spelled(shapes, spelling, gates).items():
                if all(any(len(shapes[n]) == 2 for n in found[gate]) for gate in kind.gates):
                    yield _Group(kind, scope, found, shared)


def _spelled(
    names: Iterable[str], spelling: str, gates: Mapping[str, str]
) -> dict[str, dict[str, dict[str, str]]]:
    """Variables that are spelled in one way, by scope and gate: part by name."""
    scopes: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for gate, pattern in gates.items():
        whole = re.compile(rf"(?:(?P<scope>.*)/)?{spelling.format(gate=pattern)}", re.IGNORECASE)
        for name in names:
            if match := whole.fullmatch(name):
                part = match["part"] + (match["more"] or "")
                scopes[match["scope"] or ""][gate][name] = part
    return scopes


def _build(group: _Group, shapes: Shapes, settings: Settings) -> list[FoundCell | Problem]:
    """The cell of a group, or what stands in its way."""
    stated = {
        role: fact.value
        for role, key in _ROLE_SETTINGS.items()
        if (fact := settings.get(key, group.scope)) is not None
    }
    by_gate = {gate: _roles(group, gate, shapes, stated) for gate in group.kind.gates}
    # Where one gate lacks what the others have, it is that gate that is wrong.
    [(usual, _)] = Counter(frozenset(roles) for roles in by_gate.values()).most_common(1)
    wrong = [gate for gate, roles in by_gate.items() if not roles or set(roles) != usual]
    problems = [_ambiguous_gate(group, gate, shapes) for gate in wrong]
    extra = [] if problems else _extra(group, shapes)
    if problems or extra:
        return [*problems, *([_unknown_parts(group, extra, shapes)] if extra else [])]
    roles = {f"{gate}/{r}": name for gate in group.kind.gates for r, name in by_gate[gate].items()}
    named = _SEPARATE[group.kind]
    if "recurrent" not in usual:
        order = settings.get("row_order", group.scope)
        if order is None:
            return [_unknown_rows(group)]
        named = _FUSED[group.kind, order.value]
    return [FoundCell(named, group.scope, roles, group.scope)]


def _roles(group: _Group, gate: str, shapes: Shapes, stated: Roles) -> dict[str, str]:
    """Variable by role of a gate, nothing where they cannot be told apart."""
    parts = group.gates[gate]
    for bias in _biases(parts, shapes):
        matrices = {name: part for name, part in parts.items() if name not in bias.values()}
        found = _matrices(matrices, shapes, stated, group.shared)
        if found:
            return found | bias
    return {}


def _biases(parts: Mapping[str, str], shapes: Shapes) -> Iterator[dict[str, str]]:
    """What the bias of a gate may be; some authors keep it as [1, units]."""
    plain = [name for name in parts if len(shapes[name]) == 1]
    rows = [name for name in parts if len(shapes[name]) == 2 and shapes[name][0] == 1]
    # An input of width one has a kernel of this shape as well, but not of a bias's name.
    rows = [name for name in rows if parts[name].lower().startswith("b")] or rows
    for name in plain or rows:
        yield {"bias": name}
    if not plain:
        yield {}


def _matrices(matrices: Roles, shapes: Shapes, stated: Roles, shared: bool) -> dict[str, str]:
    """One matrix of input and state, or one of each; nothing where they are not told apart."""
    if any(len(shapes[name]) != 2 for name in matrices):
        return {}
    if len(matrices) == 2:
        pair = _by_statement(matrices, stated) or _by_shape(matrices, shapes)
        return pair or _by_name(matrices, shared)
    if len(matrices) != 1 or "recurrent" in stated:
        return {}
    [kernel] = matrices
    rows, columns = shapes[kernel]
    return {"kernel": kernel} if rows > columns else {}


def _by_statement(matrices: Roles, stated: Roles) -> dict[str, str]:
    if not stated:
        return {}
    found = {
        role: [name for name, part in matrices.items() if part.lower() == called.lower()]
        for role, called in stated.items()
    }
    if any(len(names) != 1 for names in found.values()):
        return {}
    pair = {role: name for role, [name] in found.items()}
    for role in _ROLE_NAMES:
        rest = [name for name in matrices if name not in pair.values()]
        if role not in pair and len(rest) == 1:
            [pair[role]] = rest
    return pair if len(set(pair.values())) == 2 else {}


def _by_shape(matrices: Roles, shapes: Shapes) -> dict[str, str]:
    """Unequal sizes tell: only the recurrent matrix is square."""
    square = [name for name in matrices if len(set(shapes[name])) == 1]
    others = [name for name in matrices if name not in square]
    if len(square) != 1 or shapes[square[0]][1] != shapes[others[0]][1]:
        return {}
    return {"kernel": others[0], "recurrent": square[0]}


def _by_name(matrices: Roles, shared: bool) -> dict[str, str]:
    if shared and {part.lower() for part in matrices.values()} == {"w", "u"}:
        return {}  # some call the recurrent matrix U, others the input's
    found = {
        role: [n for n, part in matrices.items() if re.fullmatch(pattern, part, re.IGNORECASE)]
        for role, pattern in _ROLE_NAMES.items()
    }
    if any(len(names) != 1 for names in found.values()):
        return {}
    pair = {role: name for role, [name] in found.items()}
    return pair if len(set(pair.values())) == 2 else {}


def _extra(group: _Group, shapes: Shapes) -> list[str]:
    """Variables beside those of a cell in a shared scope that look as if they were its own."""
    if not group.shared:
        return []
    kernel = next(name for name in group.gates["candidate"] if len(shapes[name]) == 2)
    units = shapes[kernel][1]
    gates = "|".join((*_GATE_LETTERS[group.kind].values(), *_GATE_WORDS[group.kind].values()))
    prefix = re.escape(f"{group.scope}/") if group.scope else ""
    pattern = re.compile(prefix + _EXTRA.format(gate=gates), re.IGNORECASE)
    return [
        name
        for name, shape in shapes.items()
        if name not in group.names and shape and shape[-1] == units and pattern.fullmatch(name)
    ]


def convention_problems(
    cell: FoundCell, facts: Mapping[str, Fact[Any]], has_graph: bool
) -> Iterator[Problem]:
    """What the facts of a hand-written GRU leave open, and what no GRU can do that they say."""
    if "update_keeps" not in facts:
        return
    squash, keeps = facts["recurrent_activation"], facts["update_keeps"]
    if keeps.value == "candidate" and squash.value not in SYMMETRIC_GATES:
        yield Problem(
            where=f"{cell.scope}, update_keeps",
            expected="gates of " + " or ".join(sorted(SYMMETRIC_GATES)) + ", where the update gate "
            "keeps the candidate: 1 - s(x) = s(-x)",
            received=f"{squash.value}, by the {squash.describe()}",
            remedy="keep this cell in the legacy model",
        )
    after, second = facts["reset_after"], "candidate/recurrent_bias" in cell.names
    if second and not after.value:
        yield Problem(
            where=f"{cell.scope}, candidate/recurrent_bias",
            expected="a second bias only where the reset gate acts after the recurrent product",
            received=f"reset_after={after.value}, by the {after.describe()}",
            remedy="--set reset_after=true, or leave the second bias out",
        )
    told = has_graph or second or cell.named not in HAND_WRITTEN
    if after.value and "candidate/bias" in cell.names and not told:
        yield _unknown_bias(cell)


def _ambiguous_gate(group: _Group, gate: str, shapes: Shapes) -> Problem:
    return Problem(
        where=f"{group.where}, {gate} gate",
        expected="one input matrix, one recurrent matrix and one bias that can be told apart, or "
        "one matrix and one bias, as in the other gates",
        received=", ".join(f"{name} {list(shapes[name])}" for name in group.gates[gate]),
        remedy="name them: --set kernel_name=NAME --set recurrent_name=NAME"
        + " (NAME without the gate, as W of Wi)" * group.shared
        + ", or, if a variable is missing, write the dump again",
    )


def _unknown_bias(cell: FoundCell) -> Problem:
    layout = get_layout(cell.named.layout)
    inside = ", or candidate/recurrent_bias for r * (h @ U + b)"
    return Problem(
        where=f"{cell.scope}, candidate/bias",
        expected="to know whether the bias is reset too: r * (h @ U) + b, or r * (h @ U + b)",
        received=f"a {cell.named.cell_class} without its graph",
        remedy="put the .meta beside the checkpoint, or declare the layer with the layout "
        f"{layout.name} and the role candidate/bias for r * (h @ U) + b"
        + inside
        * ("candidate/recurrent_bias" in layout.roles),
    )


def _unknown_rows(group: _Group) -> Problem:
    return Problem(
        where=group.where,
        expected="the order of the rows of a matrix that input and state share",
        received=f"a {_SEPARATE[group.kind].cell_class} without its graph: "
        + ", ".join(sorted(group.names)[:4]),
        remedy="--set row_order=xh (input first) or --set row_order=hx (state first), or put the "
        ".meta beside the checkpoint",
    )


def _unknown_parts(group: _Group, extra: Iterable[str], shapes: Shapes) -> Problem:
    return Problem(
        where=group.where,
        expected=f"the matrices and one bias for each gate of an {group.kind.label}, no peepholes "
        "and no second biases",
        received=", ".join(f"{name} {list(shapes[name])}" for name in extra),
        remedy="put the .meta beside the checkpoint, or declare the layers and their variables",
    )
