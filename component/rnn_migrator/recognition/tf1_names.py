"""Which TensorFlow 1 cells a set of variable names speaks of.

The names are those of TensorFlow 1.0 to 1.15. They tell the class, the layer and the direction of
a cell; what a class does besides its weights stands in its `defaults`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from rnn_migrator.canonical import LSTM_GATES, Fact, Origin
from rnn_migrator.errors import Problem

_SLOTS = re.compile(
    r"(^|/)(Adam(_\d+)?|Adagrad|Adadelta(_\d+)?|Momentum|RMSProp(_\d+)?|Ftrl(_\d+)?"
    r"|ExponentialMovingAverage|beta[12]_power(_\d+)?|global_step)$"
)


def _fixed(value: Any, why: str) -> Fact[Any]:
    return Fact(value, Origin.CLASS, why)


def _assumed(value: Any, why: str) -> Fact[Any]:
    return Fact(value, Origin.ASSUMED, why)


@dataclasses.dataclass(frozen=True)
class NamedCell:
    """A cell class of TensorFlow 1, as its variables are named.

    Attributes:
      cell_class: Name of the class.
      scope: Pattern of the last part of its scope.
      layout: Layout of its tensors.
      parts: Pattern of the rest of a variable's name, by role of the layout.
      defaults: What the class does besides its weights.
      refused: Pattern of a variable's name to the feature it betrays, which has no
        counterpart here.
    """

    cell_class: str
    scope: str
    layout: str
    parts: Mapping[str, str]
    defaults: Mapping[str, Fact[Any]]
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)


_KERNEL, _BIAS = r"(?:kernel|weights)", r"(?:bias|biases)"

NAMED_CELLS = (
    NamedCell(
        "BasicLSTMCell",
        r"basic_lstm_cell(?:_\d+)?",
        "tf1_lstm",
        {"kernel": _KERNEL, "bias": _BIAS},
        {
            "forget_bias": _assumed(1.0, "default of BasicLSTMCell in TensorFlow 1.0 to 1.15"),
            "activation": _assumed("tanh", "default of BasicLSTMCell"),
            "recurrent_activation": _fixed("sigmoid", "BasicLSTMCell takes no other"),
            "cell_clip": _fixed(None, "BasicLSTMCell has none"),
        },
    ),
    NamedCell(
        "LSTMCell",
        r"lstm_cell(?:_\d+)?",
        "tf1_lstm",
        {"kernel": _KERNEL, "bias": _BIAS},
        {
            "forget_bias": _assumed(1.0, "default of LSTMCell in TensorFlow 1.0 to 1.15"),
            "activation": _assumed("tanh", "default of LSTMCell"),
            "recurrent_activation": _fixed("sigmoid", "LSTMCell takes no other"),
            "cell_clip": _assumed(
                None, "default of LSTMCell; an LSTMBlockCell of TensorFlow <= 1.3 clips at 3.0"
            ),
        },
        {
            r"w_[fio]_diag": "peephole connections",
            r"projection/(?:kernel|weights)": "a projection",
            r"(?:kernel|weights)/part_\d+": "a kernel in shards (num_unit_shards)",
        },
    ),
    NamedCell(
        "GRUCell",
        r"gru_cell(?:_\d+)?",
        "tf1_gru",
        {
            "gates_kernel": f"gates/{_KERNEL}",
            "gates_bias": f"gates/{_BIAS}",
            "candidate_kernel": f"candidate/{_KERNEL}",
            "candidate_bias": f"candidate/{_BIAS}",
        },
        {
            "activation": _assumed("tanh", "default of GRUCell"),
            "recurrent_activation": _fixed("sigmoid", "GRUCell takes no other"),
        },
    ),
)
"""Cells of TensorFlow 1 that are known by the name of their scope."""

HAND_WRITTEN = NamedCell(
    "hand-written LSTM",
    r"[^/]+",
    "per_gate_lstm",
    {},
    {
        "forget_bias": _assumed(0.0, "a hand-written cell keeps it in its bias, if anywhere"),
        "activation": _assumed("tanh", "usual in a hand-written LSTM"),
        "recurrent_activation": _assumed("sigmoid", "usual in a hand-written LSTM"),
        "cell_clip": _assumed(None, "unusual in a hand-written LSTM"),
    },
)
"""An LSTM with one scope a gate, known by the names of the gates."""

_GATE_SCOPES = {
    "input": r"input(?:_gate)?|in_gate|i(?:_gate)?",
    "forget": r"forget(?:_gate)?|f(?:_gate)?",
    "candidate": r"memory(?:_cell)?|candidate|new_memory|cell(?:_gate)?|[gc](?:_gate)?",
    "output": r"output(?:_gate)?|out_gate|o(?:_gate)?",
}
_ROLE_NAMES = {
    "kernel": r"w_?x|x_?w|w_?i|kernel|weights?|input_(?:kernel|weights?)|w",
    "recurrent": r"w_?t|w_?h|h_?w|u_?h?|recurrent(?:_kernel|_weights?)?",
    "bias": r"b_?i?|bias(?:es)?",
}

_REFUSED_CELLS = {
    r"layer_norm_basic_lstm_cell": "LayerNormBasicLSTMCell",
    r"coupled_input_forget_gate_lstm_cell": "CoupledInputForgetGateLSTMCell",
    r"lstm_(?:fused_cell|block_wrapper)": "LSTMBlockFusedCell",
    r"cudnn_compatible_(?:lstm|gru)_cell": "a cuDNN-compatible cell",
    r"ugrnn_cell": "UGRNNCell",
    r"basic_rnn_cell": "BasicRNNCell",
    r"nas_cell": "NASCell",
    r"sru_cell": "SRUCell",
    r"(?:attention|attention_cell)_wrapper": "an attention wrapper",
}
_RECURRENT_SCOPE = re.compile(
    r"(?:.*/)?(?:(?:bidirectional_|stack_bidirectional_)?rnn|\w+_(?:cell|wrapper))(?:_\d+)?/.+"
)

_PLACE = re.compile(
    r"(?P<prefix>(?:[^/]+/)*?)"
    r"(?:cell_(?P<outer>\d+)/(?=bidirectional_rnn/))?"  # stack_bidirectional_rnn
    r"(?P<bidirectional>(?:bidirectional_rnn(?:_\d+)?/)?)(?:(?P<direction>fw|bw)/)?"
    r"(?:multi_rnn_cell(?:_\d+)?/cell_(?P<inner>\d+)/)?"
    r"(?P<cell>[^/]+)"
)


@dataclasses.dataclass(frozen=True)
class FoundCell:
    """A cell that the names speak of.

    Attributes:
      named: Its class.
      scope: Its scope, the common part of its variables' names.
      names: Variable by role of the layout.
      stack: Scope of the recurrent stack it belongs to.
      index: Layer in the stack.
      direction: "" for an only direction, else "fw" or "bw".
    """

    named: NamedCell
    scope: str
    names: Mapping[str, str]
    stack: str
    index: int
    direction: str

    @property
    def main_kernel(self) -> str:
        """A matrix by which the cell can be found in a graph."""
        return next(name for role, name in self.names.items() if role.endswith("kernel"))


def model_variables(names: Iterable[str]) -> list[str]:
    """The names that are no optimizer slot, moving average or step counter, sorted."""
    return sorted(name for name in names if not _SLOTS.search(name))


def find_cells(
    shapes: Mapping[str, tuple[int, ...]], role_names: Mapping[str, str]
) -> tuple[list[FoundCell], list[Problem]]:
    """Groups variables into cells.

    Args:
      shapes: Shape by name, for everything in the artifact.
      role_names: What the user says a hand-written gate's matrices are called, by role.

    Returns:
      The cells whose variables are all there, and what stands in the way of the others.
    """
    names = model_variables(shapes)
    by_gate = _by_gate(names)
    hand_written, problems = _find_hand_written(by_gate, shapes, role_names)
    taken = {n for gates in by_gate.values() for found in gates.values() for n in found}
    rest = [name for name in names if name not in taken]
    cells, more = _find_named(rest)
    taken |= {name for cell in cells for name in cell.names.values()}
    problems += more
    blamed = {problem.where for problem in problems}
    leftover = [name for name in rest if not _belongs_to(name, taken)]
    problems += _unknown_cells(leftover, blamed)
    return sorted(hand_written + cells, key=lambda c: (c.stack, c.index, c.direction)), problems


def _belongs_to(name: str, variables: Container[str]) -> bool:
    """Whether a name is one of the variables, or an optimizer's slot of one."""
    parents = PurePosixPath(name).parents
    return name in variables or any(str(parent) in variables for parent in parents)


def _find_named(names: list[str]) -> tuple[list[FoundCell], list[Problem]]:
    parts: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    refused: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, cell in itertools.product(names, NAMED_CELLS):
        for role, part in cell.parts.items():
            if match := re.fullmatch(rf"(?P<scope>(?:.*/)?{cell.scope})/{part}", name):
                parts[match["scope"], cell.cell_class][role] = name
        for part, feature in cell.refused.items():
            if match := re.fullmatch(rf"(?P<scope>(?:.*/)?{cell.scope})/{part}", name):
                refused[match["scope"], cell.cell_class].add(feature)
    by_class = {cell.cell_class: cell for cell in NAMED_CELLS}
    cells, problems = [], []
    for (scope, cell_class), features in refused.items():
        problems += [_refused(scope, cell_class, feature) for feature in sorted(features)]
    for (scope, cell_class), roles in parts.items():
        cell = by_class[cell_class]
        missing = [role for role in cell.parts if role not in roles]
        if missing and (scope, cell_class) not in refused:
            problems.append(_incomplete(scope, cell_class, roles, missing))
        elif not missing and (scope, cell_class) not in refused:
            cells.append(_placed(cell, scope, roles, {scope for scope, _ in parts}))
    return cells, problems


def _placed(
    cell: NamedCell, scope: str, names: Mapping[str, str], scopes: Container[str]
) -> FoundCell:
    """The cell with its place, read off its scope.

    Outside `bidirectional_rnn`, whose scope the user may rename, `fw` and `bw` are directions
    where both are there, and names like any other where only one is.
    """
    match = _PLACE.fullmatch(scope)
    if match is None:
        return FoundCell(cell, scope, names, scope, 0, "")
    before, direction = match["prefix"] + match["bidirectional"], match["direction"] or ""
    if direction and not match["bidirectional"] and _twin(match) not in scopes:
        before, direction = before + direction, ""
    stack = (match["prefix"] if match["outer"] else before).rstrip("/") or match["cell"]
    index = int(match["outer"] or match["inner"] or 0)
    return FoundCell(cell, scope, names, stack, index, direction)


def _twin(match: re.Match[str]) -> str:
    """The scope of the other direction."""
    start, end = match.span("direction")
    other = "bw" if match["direction"] == "fw" else "fw"
    return match.string[:start] + other + match.string[end:]


def _by_gate(names: list[str]) -> dict[str, dict[str, list[str]]]:
    """Variables by scope and gate, of cells of which each gate has a scope of its own."""
    scopes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        for gate, pattern in _GATE_SCOPES.items():
            if match := re.fullmatch(rf"(?:(?P<scope>.*)/)?(?:{pattern})/[^/]+", name):
                scopes[match["scope"] or ""][gate].append(name)
    return {
        scope: gates
        for scope, gates in scopes.items()
        if all(len(gates[gate]) >= 2 for gate in LSTM_GATES)
    }


def _find_hand_written(
    by_gate: Mapping[str, Mapping[str, list[str]]],
    shapes: Mapping[str, tuple[int, ...]],
    role_names: Mapping[str, str],
) -> tuple[list[FoundCell], list[Problem]]:
    """Cells of which each gate has a scope of its own with three variables."""
    cells, problems = [], []
    for scope, gates in by_gate.items():
        roles, found = _assign_roles(scope, gates, shapes, role_names)
        problems += found
        if not found:
            cells.append(FoundCell(HAND_WRITTEN, scope, roles, scope, 0, ""))
    return cells, problems


def _assign_roles(
    scope: str,
    gates: Mapping[str, list[str]],
    shapes: Mapping[str, tuple[int, ...]],
    role_names: Mapping[str, str],
) -> tuple[dict[str, str], list[Problem]]:
    """Tells input matrix, recurrent matrix and bias of every gate apart."""
    roles: dict[str, str] = {}
    problems: list[Problem] = []
    for gate in LSTM_GATES:
        by_role = _roles_by_name(gates[gate], role_names) or _roles_by_shape(gates[gate], shapes)
        if by_role is None:
            where = scope or "the top level"
            received = ", ".join(f"{name} {list(shapes[name])}" for name in gates[gate])
            problems.append(_ambiguous_gate(where, gate, received))
        else:
            roles |= {f"{gate}/{role}": name for role, name in by_role.items()}
    return roles, problems


def _roles_by_name(names: list[str], role_names: Mapping[str, str]) -> dict[str, str] | None:
    patterns = {role: re.escape(n) for role, n in role_names.items()}
    patterns = _ROLE_NAMES | patterns
    roles: dict[str, list[str]] = {
        role: [n for n in names if re.fullmatch(pattern, n.rsplit("/", 1)[-1], re.IGNORECASE)]
        for role, pattern in patterns.items()
    }
    if all(len(found) == 1 for found in roles.values()) and len(names) == len(roles):
        return {role: found for role, [found] in roles.items()}
    return None


def _roles_by_shape(
    names: list[str], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, str] | None:
    """Unequal sizes tell the roles too: only the recurrent matrix is square."""
    vectors = [name for name in names if len(shapes[name]) == 1]
    squares = [name for name in names if len(shapes[name]) == 2 and len(set(shapes[name])) == 1]
    others = [name for name in names if name not in vectors + squares]
    if len(vectors) == len(squares) == len(others) == 1:
        return {"kernel": others[0], "recurrent": squares[0], "bias": vectors[0]}
    return None


def _ambiguous_gate(where: str, gate: str, received: str) -> Problem:
    return Problem(
        where=f"{where}, {gate} gate",
        expected="one input matrix, one recurrent matrix and one bias that can be told apart",
        received=received,
        remedy="name them: --set kernel_name=NAME --set recurrent_name=NAME, or, if a variable is "
        "missing, write the dump again",
    )


def _refused(scope: str, cell_class: str, feature: str) -> Problem:
    return Problem(
        where=scope,
        expected=f"a plain {cell_class}",
        received=f"{feature}, which its variables betray",
        remedy="this version converts no such cell; keep this part in the legacy model",
    )


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
    return [
        Problem(
            where=scope,
            expected="BasicLSTMCell, LSTMCell, GRUCell, or an LSTM with one scope a gate",
            received=f"{_cell_class(scope)}: {', '.join(names[:4])}",
            remedy="this version converts no such cell; keep this part in the legacy model, or "
            "dump its weights under the names of a cell that computes the same",
        )
        for scope, names in scopes.items()
        if scope not in blamed
    ]


def _cell_scope(name: str) -> str:
    """The scope of the cell that a variable belongs to, as far as names tell."""
    match = re.match(r"(?:.*/)?\w*_(?:cell|wrapper)(?:_\d+)?(?=/)(?!/cell_\d)", name)
    return match.group() if match else name.rsplit("/", 1)[0]


def _cell_class(scope: str) -> str:
    last = scope.rsplit("/", 1)[-1]
    for pattern, cell_class in _REFUSED_CELLS.items():
        if re.fullmatch(rf"{pattern}(?:_\d+)?", last):
            return cell_class
    return "an unknown cell"
