"""Tests of the kinds of cells that a legacy graph computes, and of the variables they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from rnn_migrator.canonical import CellKind
from rnn_migrator.errors import UnsupportedError
from rnn_migrator.readers.metagraph import Graph, read_metagraph
from rnn_migrator.recognition.graph_facts import GraphCell, all_cells, find_cells
from tests.recognition.legacy_graphs import (
    UNITS,
    WIDTH,
    BlockLstm,
    Build,
    Flat,
    Gru,
    Lstm,
    Rnn,
    Stack,
    Ugrnn,
    dropout_by_cast,
    fuse,
    moments_by_sums,
    save,
    scan_by_hand,
    shifted_moments,
    unroll,
    unroll_by_hand,
    v1,
    variable,
    wrong_moments,
)

NORMED = Lstm(name="layer_norm_basic_lstm_cell", norms="icfos")
COUPLED = Lstm(name="cifg", order="cfo", coupled=True)
NORM_ROLES = tuple(
    f"{scope}/{part}"
    for scope in ("input", "transform", "forget", "output", "state")
    for part in ("gamma", "beta")
)


def graph_of(folder: Path, build: Build, **options: Any) -> Graph:
    return read_metagraph(save(folder, build, **options).meta)


def only_cell(folder: Path, build: Build, **options: Any) -> GraphCell:
    [cell] = all_cells(graph_of(folder, build, **options))
    return cell


def problems(folder: Path, build: Build, **options: Any) -> list[str]:
    """Returns what the only cell received that it cannot have."""
    return [problem.received for problem in only_cell(folder, build, **options).problems]


def value(cell: GraphCell, fact: str) -> Any:
    return cell.facts[fact].value


def under(scope: str, **names: str) -> dict[str, str]:
    return {role: f"{scope}/{name}" for role, name in names.items()}


# Kind, layout and variables of every cell.

LSTM = {"kernel": "kernel", "bias": "bias"}
PEEPHOLES = {f"w_{gate}_diag": f"w_{gate}_diag" for gate in "ifo"}
GRU = {
    "gates_kernel": "gates/kernel",
    "gates_bias": "gates/bias",
    "candidate_kernel": "candidate/kernel",
    "candidate_bias": "candidate/bias",
}
CUDNN_GRU = {
    "gates_kernel": "gates/kernel",
    "gates_bias": "gates/bias",
    "input_kernel": "candidate/input_projection/kernel",
    "input_bias": "candidate/input_projection/bias",
    "hidden_kernel": "candidate/hidden_projection/kernel",
    "hidden_bias": "candidate/hidden_projection/bias",
}
PROJECTED = Lstm(name="custom", peepholes=True, projection=4, projection_clip=0.5)


@pytest.mark.parametrize("loop", [unroll, unroll_by_hand])
@pytest.mark.parametrize(
    ("cell", "kind", "layout", "names"),
    [
        (Lstm(), CellKind.LSTM, "tf1_lstm", under("lstm_cell", **LSTM)),
        (
            PROJECTED,
            CellKind.LSTM,
            "tf1_lstm",
            under("custom", **LSTM, **PEEPHOLES, projection="projection/kernel"),
        ),
        (
            NORMED,
            CellKind.LSTM,
            "tf1_layer_norm_lstm",
            {role: f"layer_norm_basic_lstm_cell/{role}" for role in ("kernel", *NORM_ROLES)},
        ),
        (
            Lstm(name="cifg", order="cfo", coupled=True, peepholes=True, projection=4),
            CellKind.COUPLED_LSTM,
            "tf1_coupled_lstm",
            under(
                "cifg",
                **LSTM,
                w_f_diag="w_f_diag",
                w_o_diag="w_o_diag",
                projection="projection/kernel",
            ),
        ),
        (Rnn(), CellKind.RNN, "tf1_rnn", under("basic_rnn_cell", **LSTM)),
        (Ugrnn(), CellKind.UGRNN, "tf1_ugrnn", under("ugrnn_cell", **LSTM)),
        (Gru(), CellKind.GRU, "tf1_gru", under("gru_cell", **GRU)),
        (Gru(reset_after=True), CellKind.GRU, "tf1_cudnn_gru", under("gru_cell", **CUDNN_GRU)),
    ],
)
def test_every_kind_of_cell(
    tmp_path: Path,
    loop: Callable[[Any], Build],
    cell: Any,
    kind: CellKind,
    layout: str,
    names: dict[str, str],
) -> None:
    found = only_cell(tmp_path, loop(cell))
    assert (found.kind, found.layout, found.problems) == (kind, layout, ())
    assert found.names == {role: f"rnn/{name}" for role, name in names.items()}


def test_lstm_by_hand_has_the_layout_of_one_scope_a_gate(tmp_path: Path) -> None:
    cell = only_cell(tmp_path, scan_by_hand(state_first=True))
    assert cell.layout == "per_gate_lstm"
    assert cell.names["candidate/kernel"] == "LSTMcell/memory_cell/wx"
    assert cell.names["candidate/recurrent"] == "LSTMcell/memory_cell/wt"
    assert cell.names["forget/bias"] == "LSTMcell/forget_gate/bi"
    assert len(cell.names) == 12


@pytest.mark.parametrize("build", [unroll(BlockLstm(peepholes=True)), fuse(use_peephole=True)])
def test_peepholes_of_a_block_op(tmp_path: Path, build: Build) -> None:
    cell = only_cell(tmp_path, build, train=False)
    assert {role.rsplit("/", 1)[-1] for role in cell.names} == {*LSTM, *PEEPHOLES}
    assert all(name.endswith(f"/{role}") for role, name in cell.names.items())
    assert (cell.layout, value(cell, "peephole")) == ("tf1_lstm", True)


def test_gru_block_cell_of_old_names(tmp_path: Path) -> None:
    roles = {
        "gates_kernel": "w_ru",
        "gates_bias": "b_ru",
        "candidate_kernel": "w_c",
        "candidate_bias": "b_c",
    }

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        shapes = {
            "w_ru": [WIDTH + UNITS, 2 * UNITS],
            "w_c": [WIDTH + UNITS, UNITS],
            "b_ru": [2 * UNITS],
            "b_c": [UNITS],
        }
        h = tf.zeros([tf.shape(inputs)[0], UNITS])
        weights = {name: variable(name, shape) for name, shape in shapes.items()}
        return {"outputs": tf.raw_ops.GRUBlockCell(x=inputs[:, 0], h_prev=h, **weights).h}

    cell = only_cell(tmp_path, build, train=False)
    assert (cell.kind, cell.layout, cell.names) == (CellKind.GRU, "tf1_gru", roles)


# Facts of the kinds.


@pytest.mark.parametrize(
    ("cell", "facts"),
    [
        (Rnn(activation=tf.nn.relu), {"cell_class": "BasicRNNCell", "activation": "relu"}),
        (Rnn(activation=tf.identity), {"activation": "linear"}),
        (Ugrnn(), {"cell_class": "UGRNNCell", "forget_bias": 1.0}),
        (
            Ugrnn(forget_bias=-0.3, activation=tf.nn.softsign),
            {"forget_bias": -0.3, "activation": "softsign", "recurrent_activation": "sigmoid"},
        ),
        (COUPLED, {"cell_class": "CoupledInputForgetGateLSTMCell", "forget_bias": 1.0}),
        (NORMED, {"cell_class": "LayerNormBasicLSTMCell", "forget_bias": 1.0}),
        (
            Lstm(norms="icfos", forget_bias=0.3, activation=tf.nn.relu),
            {"forget_bias": 0.3, "activation": "relu"},
        ),
    ],
)
def test_facts(tmp_path: Path, cell: Any, facts: dict[str, Any]) -> None:
    found = only_cell(tmp_path, unroll(cell))
    assert {name: value(found, name) for name in facts} == facts
    assert value(found, "sequence_length") is True
    assert not found.problems


def test_dropout_of_the_candidate_is_off(tmp_path: Path) -> None:
    cell = Lstm(
        norms="icfos",
        activation=lambda x: dropout_by_cast(tf.tanh(x), 0.5),
        output_activation=tf.tanh,
    )
    found = only_cell(tmp_path, unroll(cell), train=False)
    assert (found.layout, value(found, "activation")) == ("tf1_layer_norm_lstm", "tanh")


@pytest.mark.parametrize("moments", [moments_by_sums, shifted_moments])
def test_layer_normalisation_of_old_releases(tmp_path: Path, moments: Any) -> None:
    found = only_cell(tmp_path, unroll(Lstm(norms="icfos", moments=moments)))
    assert (found.layout, found.problems) == ("tf1_layer_norm_lstm", ())


def test_what_only_looks_like_a_layer_normalisation(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, unroll(Lstm(norms="icfos", moments=wrong_moments)))
    assert all_cells(graph) == []


# Shards, and states in one tensor.


def in_parts(build: Build) -> Build:
    def parted(inputs: Any, lengths: Any) -> dict[str, Any]:
        with v1.variable_scope("", partitioner=v1.fixed_size_partitioner(2)):
            return build(inputs, lengths)

    return parted


def test_variables_in_parts(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, in_parts(unroll(PROJECTED)))
    names = ["rnn/custom/kernel", "rnn/custom/kernel/part_1"]
    whole, part = find_cells(graph, names).values()
    assert whole is part
    assert whole.names["projection"] == "rnn/custom/projection/kernel"
    assert whole.names["w_o_diag"] == "rnn/custom/w_o_diag"
    assert value(whole, "proj_clip") == 0.5


def test_states_in_one_tensor(tmp_path: Path) -> None:
    stack = Stack((Flat(Lstm()), Flat(Lstm(4, projection=2)), Flat(Lstm(3))))
    cells = all_cells(graph_of(tmp_path, unroll_flat(Flat(stack))))
    assert [value(cell, "projection") for cell in cells] == [False, True, False]
    assert all(value(cell, "sequence_length") for cell in cells)
    assert not any(cell.problems for cell in cells)


def unroll_flat(cell: Flat) -> Build:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        start = cell.zero_state(tf.shape(inputs)[0], tf.float32)
        outputs, _ = v1.nn.dynamic_rnn(cell, inputs, lengths, initial_state=start)
        return {"outputs": outputs}

    return build


# Steps that are no such cell, or another one than they look like.


@pytest.mark.parametrize(
    ("cell", "received"),
    [
        (Lstm(peepholes=True, looks_at_new=""), "one of the output gate at"),
        (Lstm(norms="icfo"), "one of input, forget, candidate, output"),
        (Lstm(norms="cfos"), "one of forget, candidate, output, new cell state"),
        (Lstm(norms="icfos", epsilon=1e-3), "epsilon 0.001"),
        (Lstm(norms="icfos", clip=(-1.0, 1.0)), "LayerNormBasicLSTMCell of rnn/lstm_cell/kernel"),
        (Lstm(norms="icfos", peepholes=True), "rnn/lstm_cell/w_o_diag, normalised"),
        (Lstm(norms="icfos", projection=4), "rnn/lstm_cell/kernel, normalised, projected"),
        (Lstm(order="cfo", coupled=True, clip=(-1.0, 1.0)), "CoupledInputForgetGateLSTMCell of"),
        (Lstm(order="cfo", coupled=True, norms="cfos"), "one of forget, candidate, output"),
        (Lstm(order="fco", coupled=True), "gates in the order f c o"),
        (Lstm(projection=4, kept=lambda c: 0.9 * c), "computed from it"),
        (Ugrnn(order="cz"), "gates in the order c z"),
        (Ugrnn(inverted=True), "(1 - update) * h + update * candidate"),
    ],
)
def test_cells_that_are_slightly_different(tmp_path: Path, cell: Any, received: str) -> None:
    found = problems(tmp_path, unroll(cell))
    assert len(found) == 1
    assert received in found[0]


def test_projected_output_that_is_clipped_on_one_side(tmp_path: Path) -> None:
    class OneSided(Lstm):
        def __call__(self, x: Any, state: Any, scope: object = None) -> Any:
            _, (c, h) = super().__call__(x, state)
            h = tf.clip_by_value(h, -0.5, 1.0)
            return h, (c, h)

    assert problems(tmp_path, unroll(OneSided(projection=4))) == ["[-0.5, 1.0]"]


def test_dense_layer_is_no_rnn(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, unroll(Rnn(returned=lambda h: 0.5 * h)))
    assert all_cells(graph) == []
    with pytest.raises(UnsupportedError, match="in no such step"):
        find_cells(graph, ["rnn/basic_rnn_cell/kernel"])


def test_cells_of_other_formulas_do_not_harm_the_others(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        known = unroll(Lstm(), scope="known")(inputs, lengths)
        unknown = unroll(Gru(reset_state=tf.tanh), scope="unknown")(inputs, lengths)
        swapped = unroll(Lstm(order="ifco"), scope="swapped")(inputs, lengths)
        parts = {"known": known, "unknown": unknown, "swapped": swapped}
        return {name: part["outputs"] for name, part in parts.items()}

    graph = graph_of(tmp_path, build)
    known, swapped = all_cells(graph)
    assert (known.problems, len(swapped.problems)) == ((), 1)
    assert find_cells(graph, ["known/lstm_cell/kernel"])
    with pytest.raises(UnsupportedError) as caught:
        find_cells(graph, ["unknown/gru_cell/gates/kernel", "swapped/lstm_cell/kernel"])
    assert [problem.where.split(",")[0].split("/")[0] for problem in caught.value.problems] == [
        "unknown",
        "swapped",
    ]


def test_matrix_of_two_cells(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        with v1.variable_scope("", reuse=v1.AUTO_REUSE):
            one = unroll(Lstm())(inputs, lengths)["outputs"]
            other = unroll(TiedRnn(4 * UNITS))(inputs, lengths)["outputs"]
        return {"one": one, "other": other}

    with pytest.raises(UnsupportedError) as caught:
        find_cells(graph_of(tmp_path, build), ["rnn/lstm_cell/kernel"])
    [problem] = caught.value.problems
    assert problem.expected == "a matrix of one recurrent cell"


class TiedRnn(Rnn):
    """An RNN that takes the kernel of an LSTM for its input, and a matrix of its own besides."""

    def __call__(self, x: Any, h: Any, scope: object = None) -> Any:
        """Returns the output, which is also the next state."""
        with v1.variable_scope("lstm_cell", reuse=v1.AUTO_REUSE):
            kernel = variable("kernel", [WIDTH + UNITS, 4 * UNITS])
            state = variable("state", [4 * UNITS, 4 * UNITS])
            h = tf.tanh(tf.matmul(tf.pad(x, [[0, 0], [0, UNITS]]), kernel) + tf.matmul(h, state))
        return h, h


# Real models.


def test_real_peepholes_of_custom_scopes(zoo: Path) -> None:
    cells = all_cells(read_metagraph(zoo / "gentext_lstm/model.ckpt.meta"))
    for index, cell in enumerate(cells):
        scope = f"rnn/multi_rnn_cell/cell_{index}/cell_{index + 1}"
        assert (cell.layout, cell.problems) == ("tf1_lstm", ())
        assert cell.names == under(scope, **LSTM, **PEEPHOLES)
    assert len(cells) == 2


def test_real_gru_of_one_matrix_a_gate(zoo: Path) -> None:
    [cell] = all_cells(read_metagraph(zoo / "wind_gru/GRUGenetic_FORE-160000.meta"))
    assert (cell.kind, cell.layout, cell.problems) == (CellKind.GRU, "per_gate_fused_gru", ())
    assert cell.names == under(
        "weights_and_biases",
        **{"update/kernel": "Input_Forget_weight", "update/bias": "input_forget_bias"},
        **{"reset/kernel": "insertion_weight", "reset/bias": "insertion_bias"},
        **{"candidate/kernel": "Suggestion_weight", "candidate/bias": "suggestion_bias"},
    )
