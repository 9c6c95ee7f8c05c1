"""Cells written by hand: what their names tell, what a graph tells, and what nobody does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.canonical import GRU_GATES, CellKind, Origin
from rnn_migrator.equivalence.controls import broken_models
from rnn_migrator.equivalence.legacy_session import LegacyLoop
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.errors import Problem, UnsupportedError, UsageError
from rnn_migrator.layouts import get_layout
from rnn_migrator.layouts.keras_weights import keras_weights
from rnn_migrator.readers import open_artifact
from rnn_migrator.recognition.declared import DeclaredLayer
from rnn_migrator.recognition.hand_written import find_hand_written
from rnn_migrator.recognition.recognise import Recognition, recognise
from rnn_migrator.recognition.settings import parse_settings
from rnn_migrator.recognition.tf1_cells import FoundCell
from rnn_migrator.recognition.tf1_names import find_cells
from tests.recognition.artifacts import Shapes, artifact, gru, hand_written, model_of
from tests.recognition.legacy_graphs import (
    LENGTHS,
    TIME,
    UNITS,
    WIDTH,
    Build,
    Cell,
    Saved,
    save,
    unroll,
    unroll_by_hand,
    v1,
    variable,
)


def found(shapes: Mapping[str, tuple[int, ...]], *settings: str) -> list[FoundCell]:
    cells, problems = find_cells(shapes, parse_settings(settings))
    assert problems == []
    return cells


def refused(shapes: Mapping[str, tuple[int, ...]], *settings: str) -> list[Problem]:
    cells, problems = find_cells(shapes, parse_settings(settings))
    assert cells == []
    assert problems
    return problems


def in_one_scope(
    gates: str | tuple[str, ...],
    parts: tuple[str, ...] = ("W{}", "U{}", "b{}"),
    inputs: int = 3,
    units: int = 5,
    scope: str = "net/cell",
) -> Shapes:
    """Variables whose names tell the gate; with two parts, one matrix a gate."""
    shapes = [(inputs, units), (units, units), (units,)]
    if len(parts) == 2:
        shapes = [(inputs + units, units), (units,)]
    prefix = f"{scope}/" if scope else ""
    return {
        prefix + part.format(gate): shape
        for gate in gates
        for part, shape in zip(parts, shapes, strict=True)
    }


# Names


@pytest.mark.parametrize("scope", ["net/cell", ""])
@pytest.mark.parametrize(
    ("kind", "gates"),
    [
        (CellKind.LSTM, "ifco"),
        (CellKind.LSTM, "ifgo"),
        (CellKind.LSTM, "ifjo"),
        (CellKind.LSTM, ("input", "forget", "cell", "output")),
        (CellKind.GRU, "zrh"),
        (CellKind.GRU, "urc"),
        (CellKind.GRU, "zrg"),
        (CellKind.GRU, ("update", "reset", "candidate")),
    ],
)
@pytest.mark.parametrize(
    "parts",
    [
        ("W{}", "U{}", "b{}"),
        ("w_{}", "u_{}", "b_{}"),
        ("W_{}", "R_{}", "B_{}"),
        ("Wx{}", "Wh{}", "b{}"),
        ("W_x{}", "W_h{}", "b_{}"),
        ("W{}x", "W{}h", "b{}"),
        ("W_{}_x", "W_{}_h", "b_{}"),
        ("{}x", "{}m", "{}b"),
        ("kernel_{}", "recurrent_kernel_{}", "bias_{}"),
    ],
)
def test_names_in_one_scope_tell_gates_and_parts(
    scope: str, kind: CellKind, gates: Any, parts: tuple[str, ...]
) -> None:
    variables = in_one_scope(gates, parts, scope=scope)
    slots = {f"{name}/Adam": shape for name, shape in variables.items()}
    [only] = found(variables | slots)
    prefix = f"{scope}/" if scope else ""
    assert only.named.layout == f"per_gate_{kind.name.lower()}"
    assert only.scope == scope
    assert only.names == {
        f"{gate}/{role}": prefix + part.format(letter)
        for gate, letter in zip(kind.gates, gates, strict=True)
        for role, part in zip(("kernel", "recurrent", "bias"), parts, strict=True)
    }


@pytest.mark.parametrize(
    "gates",
    [
        ("update", "reset", "candidate"),
        ("update_gate", "reset_gate", "candidate"),
        ("z", "r", "h"),
        ("u_gate", "r_gate", "c"),
    ],
)
def test_scopes_tell_the_gates_of_a_gru(gates: tuple[str, ...]) -> None:
    [only] = found(hand_written("model/gru", 3, 5, gates, ("W", "U", "b")))
    assert only.named.layout == "per_gate_gru"
    assert only.names["update/kernel"] == f"model/gru/{gates[0]}/W"
    assert only.names["reset/recurrent"] == f"model/gru/{gates[1]}/U"
    assert only.names["candidate/bias"] == f"model/gru/{gates[2]}/b"


@pytest.mark.parametrize("parts", [("Wx{}", "Wh{}", "b{}"), ("W{}", "R{}", "b{}")])
def test_sure_names_tell_square_matrices(parts: tuple[str, ...]) -> None:
    [only] = found(in_one_scope("zrh", parts, 4, 4))
    assert only.names["candidate/recurrent"] == "net/cell/" + parts[1].format("h")


@pytest.mark.parametrize(("kernel", "recurrent"), [("W", "U"), ("U", "W")])
def test_w_and_u_mean_either_where_both_are_square(kernel: str, recurrent: str) -> None:
    parts = (f"{kernel}_{{}}", f"{recurrent}_{{}}", "b_{}")
    [unequal] = found(in_one_scope("zrh", parts))
    square = in_one_scope("zrh", parts, 4, 4)
    problems = refused(square)
    assert [p.where for p in problems] == [f"net/cell, {gate} gate" for gate in GRU_GATES]
    assert "net/cell/W_z [4, 4]" in problems[0].received
    assert "--set kernel_name=NAME" in problems[0].remedy
    [told] = found(square, f"kernel_name={kernel}", f"recurrent_name={recurrent}")
    [half] = found(square, f"kernel_name={kernel}")
    assert unequal.names == told.names == half.names
    assert told.names["reset/kernel"] == f"net/cell/{kernel}_r"


@pytest.mark.parametrize("kind", [CellKind.LSTM, CellKind.GRU])
def test_biases_may_lack_or_lie_flat(kind: CellKind) -> None:
    gates = {CellKind.LSTM: "ifco", CellKind.GRU: "zrh"}[kind]
    whole = in_one_scope(gates)
    flat = {name: (1, *shape) if len(shape) == 1 else shape for name, shape in whole.items()}
    bare = {name: shape for name, shape in whole.items() if len(shape) > 1}
    [of_whole], [of_flat], [of_bare] = found(whole), found(flat), found(bare)
    assert of_flat.names == of_whole.names
    assert of_bare.names == {r: n for r, n in of_whole.names.items() if "bias" not in r}


@pytest.mark.parametrize("flat", [True, False])
def test_an_input_of_width_one(flat: bool) -> None:
    shapes = in_one_scope("zrh", inputs=1)
    shapes = {n: (1, *s) if flat and len(s) == 1 else s for n, s in shapes.items()}
    [only] = found(shapes)
    assert only.names["update/kernel"] == "net/cell/Wz"
    assert only.names["update/bias"] == "net/cell/bz"
    [bare] = found({name: shape for name, shape in shapes.items() if "/b" not in name})
    assert bare.names["reset/kernel"] == "net/cell/Wr"
    assert "reset/bias" not in bare.names


@pytest.mark.parametrize(("gates", "kind"), [("ifco", "lstm"), ("zrh", "gru")])
@pytest.mark.parametrize(("order", "ending"), [("xh", ""), ("hx", "_hx")])
def test_rows_of_one_matrix_are_stated(gates: str, kind: str, order: str, ending: str) -> None:
    shapes = in_one_scope(gates, ("W_{}", "b_{}"))
    [problem] = refused(shapes)
    assert problem.where == "net/cell"
    assert "--set row_order=xh" in problem.remedy
    assert "--set row_order=hx" in problem.remedy
    [only] = found(shapes, f"layer[net/cell].row_order={order}")
    assert only.named.layout == f"per_gate_fused_{kind}{ending}"
    assert only.names["candidate/kernel"] == f"net/cell/W_{gates[2]}"


def test_one_matrix_in_each_scope() -> None:
    shapes = {f"gru/{gate}/weights": (8, 5) for gate in ("update", "reset", "candidate")}
    [only] = found(shapes, "row_order=xh")
    assert only.named.layout == "per_gate_fused_gru"
    assert only.names["reset/kernel"] == "gru/reset/weights"


def test_other_networks_are_no_cells() -> None:
    dense = in_one_scope("io") | {"net/W_y": (5, 2), "net/b_y": (2,)}
    vectors = {f"norm/{gate}/gamma": (5,) for gate in ("input", "forget", "cell", "output")}
    assert find_hand_written(dense | vectors, parse_settings([])) == ([], [], set())


def test_a_head_in_the_same_scope_is_none_of_its_business() -> None:
    [only] = found(in_one_scope("ifco") | {"net/cell/Wy": (5, 2), "net/cell/by": (2,)})
    assert len(only.names) == 12


@pytest.mark.parametrize(
    ("lost", "gate"), [("bf", "forget"), ("Uo", "output"), ("Wc", "candidate")]
)
def test_a_lost_variable_is_named(lost: str, gate: str) -> None:
    shapes = in_one_scope("ifco")
    del shapes[f"net/cell/{lost}"]
    [problem] = refused(shapes)
    assert problem.where == f"net/cell, {gate} gate"
    assert lost not in problem.received


@pytest.mark.parametrize("extra", ["Wci", "w_cf", "pi", "b_hi", "Wo_diag"])
def test_what_no_plain_cell_has_is_not_left_out(extra: str) -> None:
    [problem] = refused({**in_one_scope("ifgo"), f"net/cell/{extra}": (5,)})
    assert extra in problem.received
    assert "peepholes" in problem.expected


def test_two_candidates_are_not_guessed() -> None:
    [problem] = refused({**in_one_scope("ifco"), "net/cell/Wg": (3, 5), "net/cell/Ug": (5, 5)})
    assert problem.where == "net/cell, candidate gate"


# What no name tells of a GRU


def test_conventions_have_no_default() -> None:
    with pytest.raises(UnsupportedError) as caught:
        model_of(artifact(in_one_scope("zrh")))
    reset, update = caught.value.problems
    assert (reset.where, update.where) == ("net/cell, reset_after", "net/cell, update_keeps")
    assert "--set reset_after=false for (r * h) @ U" in reset.remedy
    assert "--set reset_after=true" in reset.remedy
    assert "--set update_keeps=state for z * h + (1 - z) * g" in update.remedy
    assert "--set update_keeps=candidate" in update.remedy


@pytest.mark.parametrize("keeps", ["state", "candidate"])
def test_the_user_states_them(keeps: str) -> None:
    model = model_of(
        artifact(in_one_scope("zrh")), "reset_after=false", f"layer[0].update_keeps={keeps}"
    )
    [(_, member)] = model.cells()
    facts = member.cell.facts
    assert (facts["update_keeps"].value, facts["update_keeps"].origin) == (keeps, Origin.USER)
    assert (facts["reset_after"].value, facts["reset_after"].origin) == (False, Origin.USER)
    kernel = keras_weights(member.cell)["kernel"]
    sign = -1 if keeps == "candidate" else 1
    np.testing.assert_array_equal(kernel[:, :5], sign * member.source.tensors["update/kernel"])
    assert member.cell.folded().update_keeps.value == "state"


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid", "softsign", "tanh"])
def test_only_symmetric_gates_can_be_negated(gate: str) -> None:
    source = artifact(in_one_scope("zrh"))
    settings = ("reset_after=false", f"recurrent_activation={gate}")
    model_of(source, *settings, "update_keeps=state")
    if "sigmoid" in gate:
        model_of(source, *settings, "update_keeps=candidate")
        return
    with pytest.raises(UnsupportedError) as caught:
        model_of(source, *settings, "update_keeps=candidate")
    [problem] = caught.value.problems
    assert gate in problem.received


def test_whether_the_bias_is_reset_is_not_guessed() -> None:
    settings = ("reset_after=true", "update_keeps=state")
    with pytest.raises(UnsupportedError) as caught:
        model_of(artifact(in_one_scope("zrh")), *settings)
    [problem] = caught.value.problems
    assert problem.where == "net/cell, candidate/bias"
    assert "candidate/recurrent_bias" in problem.remedy
    bare = {name: shape for name, shape in in_one_scope("zrh").items() if len(shape) == 2}
    assert model_of(artifact(bare), *settings).recurrent_layers


@pytest.mark.parametrize("part", ["bias", "recurrent_bias"])
def test_a_declaration_tells_it(part: str) -> None:
    roles = {
        f"{gate}/{role}": f"net/cell/{letter}{name}"
        for gate, name in zip(GRU_GATES, "zrh", strict=True)
        for role, letter in (("kernel", "W"), ("recurrent", "U"), ("bias", "b"))
    }
    roles[f"candidate/{part}"] = roles.pop("candidate/bias")
    layer = DeclaredLayer({"": [roles]}, layout="per_gate_gru")
    source = artifact(in_one_scope("zrh"))
    settings = ["update_keeps=candidate", "activation=tanh", "recurrent_activation=sigmoid"]
    model = recognise(source, parse_settings([*settings, "reset_after=true"]), [layer]).model
    [(_, member)] = model.cells()
    on_input, on_state = keras_weights(member.cell)["bias"]
    assert on_input[-5:].any() == (part == "bias")
    assert on_state[-5:].any() == (part == "recurrent_bias")
    if part == "recurrent_bias":
        with pytest.raises(UnsupportedError, match="a second bias only where"):
            recognise(source, parse_settings([*settings, "reset_after=false"]), [layer])


def test_a_class_leaves_no_convention_open() -> None:
    with pytest.raises(UsageError, match="reset_after"):
        model_of(artifact(gru("rnn/gru_cell", 3, 5)), "reset_after=true")
    with pytest.raises(UsageError, match="update_keeps"):
        model_of(artifact(gru("rnn/gru_cell", 3, 5)), "update_keeps=candidate")


# Graphs


@dataclass(frozen=True)
class ByHand(Cell):
    """A GRU or LSTM with matrices of its own for each gate.

    Attributes:
        kind: Which.
        rows: Of one matrix a gate, "xh" or "hx"; "" for two matrices.
        candidate_rows: The same of the candidate, where they differ.
        reset_after: Whether the reset gate acts after the product.
        keeps: What the update gate keeps.
        bias: Whether there are biases.
        second_bias: Whether the reset gate acts on a bias too.
        gate: Activation of the gates.
    """

    kind: CellKind = CellKind.GRU
    rows: str = ""
    candidate_rows: str = ""
    reset_after: bool = False
    keeps: str = "state"
    bias: bool = True
    second_bias: bool = False
    gate: Callable[[Any], Any] = tf.sigmoid

    @property
    def state_size(self) -> Any:
        """Returns the widths of c and h."""
        return (UNITS, UNITS) if self.kind is CellKind.LSTM else UNITS

    def __call__(self, x: Any, state: Any, scope: object = None) -> Any:
        """Returns the output and the next state."""
        with v1.variable_scope("mine", reuse=v1.AUTO_REUSE):
            return self._lstm(x, *state) if self.kind is CellKind.LSTM else self._gru(x, state)

    def _lstm(self, x: Any, c: Any, h: Any) -> Any:
        i, f, o = (self.gate(self._sum(name, x, h)) for name in ("first", "second", "third"))
        c = f * c + i * tf.tanh(self._sum("fourth", x, h))
        h = o * tf.tanh(c)
        return h, (c, h)

    def _gru(self, x: Any, h: Any) -> Any:
        z, r = (self.gate(self._sum(name, x, h)) for name in ("first", "second"))
        if self.reset_after:
            hidden = tf.matmul(h, variable("third/u", [UNITS, UNITS]))
            if self.second_bias:
                hidden += variable("third/c", [UNITS])
            total = tf.matmul(x, variable("third/w", [WIDTH, UNITS])) + r * hidden
            if self.bias:
                total += variable("third/b", [UNITS])
        else:
            total = self._sum("third", x, r * h, self.candidate_rows or self.rows)
        g = tf.tanh(total)
        h = z * h + (1.0 - z) * g if self.keeps == "state" else (1 - z) * h + z * g
        return h, h

    def _sum(self, name: str, x: Any, h: Any, rows: str | None = None) -> Any:
        rows = self.rows if rows is None else rows
        if rows:
            joined = tf.concat([{"x": x, "h": h}[row] for row in rows], 1)
            total = tf.matmul(joined, variable(f"{name}/w", [WIDTH + UNITS, UNITS]))
        else:
            total = tf.matmul(x, variable(f"{name}/w", [WIDTH, UNITS]))
            total += tf.matmul(h, variable(f"{name}/u", [UNITS, UNITS]))
        return total + variable(f"{name}/b", [1, UNITS]) if self.bias else total


def scan(cell: ByHand) -> Build:
    """Returns a builder that runs a cell with tf.scan."""

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        start = cell.zero_state(tf.shape(inputs)[0], tf.float32)
        x = tf.transpose(inputs, [1, 0, 2])
        states = tf.scan(lambda state, x: cell(x, state)[1], x, initializer=start)
        h = states[-1] if cell.kind is CellKind.LSTM else states
        return {"outputs": tf.transpose(h, [1, 0, 2])}

    return build


def whole_loop(cell: ByHand) -> Build:
    return unroll(cell, with_lengths=False)


def recognised(saved: Saved, *settings: str) -> Recognition:
    return recognise(open_artifact(saved.prefix), parse_settings(settings))


def outputs(model: Any, saved: Saved) -> Any:
    return Formulas(model).run("serving_default", {"inputs": saved.inputs})["outputs"]


BY_HAND = [
    (ByHand(), "per_gate_gru"),
    (ByHand(keeps="candidate"), "per_gate_gru"),
    (ByHand(reset_after=True), "per_gate_gru"),
    (ByHand(reset_after=True, second_bias=True, keeps="candidate"), "per_gate_gru"),
    (ByHand(reset_after=True, second_bias=True, bias=False), "per_gate_gru"),
    (ByHand(bias=False), "per_gate_gru"),
    (ByHand(rows="xh"), "per_gate_fused_gru"),
    (ByHand(rows="hx", keeps="candidate"), "per_gate_fused_gru_hx"),
    (ByHand(rows="hx", bias=False), "per_gate_fused_gru_hx"),
    (ByHand(CellKind.LSTM), "per_gate_lstm"),
    (ByHand(CellKind.LSTM, bias=False), "per_gate_lstm"),
    (ByHand(CellKind.LSTM, rows="xh"), "per_gate_fused_lstm"),
    (ByHand(CellKind.LSTM, rows="hx"), "per_gate_fused_lstm_hx"),
]


@pytest.mark.parametrize("loop", [scan, whole_loop, unroll_by_hand])
@pytest.mark.parametrize(("cell", "layout"), BY_HAND)
def test_a_graph_tells_all(
    tmp_path: Path, loop: Callable[[ByHand], Build], cell: ByHand, layout: str
) -> None:
    saved = save(tmp_path, loop(cell))
    found = recognised(saved)
    [(_, member)] = found.model.cells()
    assert member.source.layout == layout
    facts = {name: (fact.value, fact.origin) for name, fact in member.cell.facts.items()}
    if cell.kind is CellKind.GRU:
        assert facts["reset_after"] == (cell.reset_after, Origin.GRAPH)
        assert facts["update_keeps"] == (cell.keeps, Origin.GRAPH)
    right = saved.answers["outputs"]
    np.testing.assert_allclose(outputs(found.model, saved), right, rtol=0, atol=3e-6)
    for name, broken in broken_models(found.model).items():
        if "masked" not in name:
            assert np.abs(outputs(broken, saved) - right).max() > 1e-3, name


@pytest.mark.parametrize(("cell", "layout"), BY_HAND[::3])
def test_the_graph_itself_can_be_asked(tmp_path: Path, cell: ByHand, layout: str) -> None:
    saved = save(tmp_path, scan(cell))
    found = recognised(saved)
    assert found.legacy_graph is not None
    graph, layers = found.legacy_graph.graph, found.legacy_graph.layers
    with LegacyLoop(graph, found.artifact.read, layers) as legacy:
        results = legacy.run(saved.inputs)
    np.testing.assert_allclose(results["outputs"], saved.answers["outputs"], rtol=0, atol=1e-6)


def test_lengths_of_a_loop(tmp_path: Path) -> None:
    saved = save(tmp_path, unroll(ByHand(keeps="candidate")))
    inputs = {"inputs": saved.inputs, "sequence_length": saved.lengths}
    results = Formulas(recognised(saved).model).run("with_lengths", inputs)
    np.testing.assert_allclose(results["outputs"], saved.answers["outputs"], rtol=0, atol=3e-6)
    assert saved.inputs.shape[1] == TIME > min(LENGTHS)


def test_rows_that_are_stated_against_the_graph_are_refused(tmp_path: Path) -> None:
    names = {
        f"rnn/mine/{scope}/{part}": f"rnn/{part}_{gate}"
        for scope, gate in zip(("first", "second", "third"), "zrh", strict=True)
        for part in "wb"
    }
    saved = save(tmp_path, whole_loop(ByHand(rows="hx")), train=False, names=names)
    right = recognised(saved).model
    np.testing.assert_allclose(outputs(right, saved), saved.answers["outputs"], rtol=0, atol=3e-6)
    assert recognised(saved, "row_order=hx").model.recurrent_layers
    with pytest.raises(UnsupportedError, match="per_gate_fused_gru_hx, as the graph computes it"):
        recognised(saved, "row_order=xh")


def test_a_name_that_says_another_gate_is_refused(tmp_path: Path) -> None:
    names = {
        f"rnn/mine/{scope}/{part}": f"rnn/{part}_{gate}"
        for scope, gate in zip(("first", "second", "third"), "rzh", strict=True)
        for part in "wub"
    }
    saved = save(tmp_path, whole_loop(ByHand()), train=False, names=names)
    with pytest.raises(UnsupportedError, match="as the names in the checkpoint say"):
        recognised(saved)


@pytest.mark.parametrize(
    ("cell", "received"),
    [
        (ByHand(rows="xh", candidate_rows="hx"), "in the gates"),
        (ByHand(keeps="candidate", gate=tf.nn.softsign), "softsign"),
        (ByHand(rows="xh", reset_after=True), "GRU by hand of rnn/mine/first/w"),
    ],
)
def test_what_cannot_be_converted_says_why(tmp_path: Path, cell: ByHand, received: str) -> None:
    saved = save(tmp_path, whole_loop(cell))
    with pytest.raises(UnsupportedError) as caught:
        recognised(saved)
    assert any(received in problem.received for problem in caught.value.problems)


def test_a_wrong_order_of_rows_shows(tmp_path: Path) -> None:
    saved = save(tmp_path, scan(ByHand(rows="hx")))
    found = recognised(saved)
    [(_, member)] = found.model.cells()
    source, x = member.source, saved.inputs[:, 0]
    h = np.zeros((len(x), UNITS), np.float32)
    right, wrong = (
        get_layout(name).step(source.tensors, source.facts, x, {"h": h})["h"]
        for name in (source.layout, source.layout.removesuffix("_hx"))
    )
    np.testing.assert_allclose(right, saved.answers["outputs"][:, 0], rtol=0, atol=1e-6)
    assert np.abs(wrong - right).max() > 1e-2


# The lab


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("tf1_handwritten_gru", "per_gate_gru"),
        ("tf1_handwritten_gru_fused", "per_gate_fused_gru_hx"),
        ("tf1_handwritten_lstm_suffix", "per_gate_lstm"),
    ],
)
def test_goldens(cases: Any, name: str, layout: str) -> None:
    case = cases[name]
    settings = [f"{key}={value}" for key, value in case.settings.items()]
    found = recognise(open_artifact(case.source), parse_settings(settings))
    [(_, member)] = found.model.cells()
    assert member.source.layout == layout
    for signature in case.goldens:
        golden = case.golden(signature)
        results = Formulas(found.model).run(signature, golden["inputs"])
        for key, expected in golden["outputs"].items():
            np.testing.assert_allclose(results[key], expected, rtol=0, atol=1e-6)


def test_a_wrong_setting_is_off_the_golden(cases: Any) -> None:
    case = cases["tf1_handwritten_lstm_suffix"]
    golden = case.golden("serving_default")
    settings = [f"{k}={v}" for k, v in case.settings.items() if k != "forget_bias"]
    found = recognise(open_artifact(case.source), parse_settings([*settings, "forget_bias=0"]))
    results = Formulas(found.model).run("serving_default", golden["inputs"])
    assert np.abs(results["outputs"] - golden["outputs"]["outputs"]).max() > 1e-2


def test_real_gru(zoo: Path) -> None:
    source = zoo / "wind_gru" / "GRUGenetic_FORE-160000"
    found = recognise(open_artifact(source), parse_settings([]))
    [(_, member)] = found.model.cells()
    assert member.source.layout == "per_gate_fused_gru"
    with np.load(source.parent / "golden.npz") as golden:
        inputs = golden["in:placeholders/input_data:0"]
        h = golden["in:placeholders/initial_states:0"]
        expected = golden["out:forward_roll/scan/TensorArrayStack/TensorArrayGatherV3:0"]
    for x, output in zip(inputs, expected, strict=True):
        h = Formulas(found.model).run("step", {"inputs": x, "h_0": h})["h_0"]
        np.testing.assert_allclose(h, output, rtol=0, atol=3e-4)
    swapped = broken_models(found.model)["update and reset gates swapped"]
    wrong = Formulas(swapped).run("step", {"inputs": inputs[-1], "h_0": expected[-2]})["h_0"]
    assert np.abs(wrong - expected[-1]).max() > 1e-2
