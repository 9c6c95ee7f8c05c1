"""Tests of what a legacy graph states about its cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from rnn_migrator.canonical import CellKind, Origin
from rnn_migrator.errors import Problem, UnsupportedError
from rnn_migrator.readers.metagraph import Graph, read_metagraph
from rnn_migrator.recognition.graph_facts import GraphCell, find_cells
from tests.legacy_lab.cases import Case
from tests.recognition.legacy_graphs import (
    TIME,
    UNITS,
    WIDTH,
    BlockLstm,
    Build,
    Gru,
    Lstm,
    Stack,
    dropout_by_cast,
    dropout_by_floor,
    fuse,
    hard_sigmoid,
    save,
    scan_by_hand,
    unroll,
    unroll_by_hand,
    v1,
    variable,
)

KERNEL = "rnn/lstm_cell/kernel"
GATES = "rnn/gru_cell/gates/kernel"
CANDIDATE = "rnn/gru_cell/candidate/kernel"
PLAIN_LSTM = {
    "cell_class": "LSTMCell",
    "forget_bias": 1.0,
    "cell_clip": None,
    "peephole": False,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "projection": False,
    "sequence_length": True,
    "initial_state": "zeros",
    "output_wiring": "plain",
}
PLAIN_GRU = {
    "cell_class": "GRUCell",
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "reset_after": False,
    "update_keeps": "state",
    "sequence_length": True,
    "initial_state": "zeros",
    "output_wiring": "plain",
}


def graph_of(folder: Path, build: Build, **options: Any) -> Graph:
    return read_metagraph(save(folder, build, **options).meta)


def cell_of(folder: Path, build: Build, kernel: str = KERNEL, **options: Any) -> GraphCell:
    return find_cells(graph_of(folder, build, **options), [kernel])[kernel]


def values(cell: GraphCell) -> dict[str, Any]:
    return {name: fact.value for name, fact in cell.facts.items()}


def refusal(folder: Path, build: Build, kernel: str = KERNEL) -> tuple[Problem, ...]:
    with pytest.raises(UnsupportedError) as caught:
        cell_of(folder, build, kernel)
    return caught.value.problems


def changed(folder: Path, build: Build, edit: Callable[[Any], None]) -> Graph:
    """Returns the graph after an edit of its nodes."""
    meta = save(folder, build, train=False).meta
    content = meta_graph_pb2.MetaGraphDef.FromString(meta.read_bytes())
    for node in content.graph_def.node:
        edit(node)
    meta.write_bytes(content.SerializeToString())
    return read_metagraph(meta)


# Graphs that TensorFlow 1.15 wrote.


def recorded_layers(case: Case) -> dict[str, dict[str, Any]]:
    """Returns what the writer made each layer with, by the layer's prefix in `facts`."""
    layers: dict[str, dict[str, Any]] = {}
    for key, value in case.facts.items():
        place, _, name = key.rpartition(".")
        if place:
            layers.setdefault(place, {})[name] = value
    return layers


KERNELS = {
    "tf1_stacked_lstm": [f"rnn/multi_rnn_cell/cell_{i}/lstm_cell/kernel" for i in range(3)],
    "tf1_stacked_lstm_forget_bias": [
        f"rnn/multi_rnn_cell/cell_{i}/lstm_cell/kernel" for i in range(2)
    ],
    "tf1_stacked_lstm_cell_clip": [
        f"rnn/multi_rnn_cell/cell_{i}/lstm_cell/kernel" for i in range(2)
    ],
    "tf1_basic_lstm_fb0": ["encoder/rnn/basic_lstm_cell/kernel"],
    "tf1_basic_lstm_fb1": ["rnn/basic_lstm_cell/kernel"],
    "tf1_basic_lstm_fb2": ["rnn/basic_lstm_cell/kernel"],
    "tf1_handwritten_lstm": ["LSTMcell/memory_cell/wx"],
    "tf1_bidirectional_lstm": ["bidirectional_rnn/fw/lstm_cell/kernel"],
    "tf1_bidirectional_gru": ["bidirectional_rnn/bw/gru_cell/gates/kernel"],
}


@pytest.mark.parametrize("name", KERNELS)
def test_facts_of_graphs_of_tensorflow_1(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    cells = find_cells(read_metagraph(case.folder / "model.ckpt.meta"), KERNELS[name])
    recorded = list(recorded_layers(case).values())
    assert len(recorded) == len(cells)
    for cell, layer in zip(cells.values(), recorded, strict=True):
        found = values(cell)
        for fact in ("forget_bias", "cell_clip", "activation", "recurrent_activation"):
            if fact in layer:
                assert found[fact] == layer[fact]
        assert found["sequence_length"] == ("sequence_length" in case.tensors)


def test_where_a_fact_was_found(cases: dict[str, Case]) -> None:
    [kernel] = KERNELS["tf1_basic_lstm_fb2"]
    graph = read_metagraph(cases["tf1_basic_lstm_fb2"].folder / "model.ckpt.meta")
    fact = find_cells(graph, [kernel])[kernel].facts["forget_bias"]
    node, _, file = fact.source.partition(" in ")
    assert (fact.origin, file) == (Origin.GRAPH, "model.ckpt.meta")
    assert graph.value(graph.nodes[node]) == 2.0


# Each fact, read off where it is not what it usually is.


@pytest.mark.parametrize(
    ("knobs", "facts"),
    [
        ({}, {}),
        ({"forget_bias": None}, {"forget_bias": 0.0}),
        ({"forget_bias": 0.7}, {"forget_bias": 0.7}),
        ({"forget_bias": -2.0}, {"forget_bias": -2.0}),
        ({"activation": tf.nn.relu}, {"activation": "relu"}),
        ({"activation": tf.sigmoid}, {"activation": "sigmoid"}),
        ({"activation": tf.identity}, {"activation": "linear"}),
        ({"recurrent_activation": hard_sigmoid}, {"recurrent_activation": "hard_sigmoid"}),
        ({"clip": (-0.75, 0.75)}, {"cell_clip": 0.75}),
        ({"peepholes": True}, {"peephole": True}),
        ({"projection": 4}, {"projection": True, "proj_clip": None}),
        ({"projection": 4, "projection_clip": 0.5}, {"projection": True, "proj_clip": 0.5}),
        ({"candidate_first": True}, {}),
        ({"candidate_first": True, "activation": tf.sigmoid}, {"activation": "sigmoid"}),
        ({"after": lambda h, x: h + x, "units": WIDTH}, {"output_wiring": "residual"}),
        ({"after": lambda h, x: 2.0 * h}, {"output_wiring": "changed in the loop"}),
        ({"after": lambda h, x: dropout_by_floor(h, 0.5)}, {}),
        ({"after": lambda h, x: dropout_by_cast(h, 0.5)}, {}),
    ],
)
def test_facts_of_an_lstm(tmp_path: Path, knobs: dict[str, Any], facts: dict[str, Any]) -> None:
    cell = cell_of(tmp_path, unroll(Lstm(**knobs)))
    assert cell.kind is CellKind.LSTM
    assert values(cell) == PLAIN_LSTM | facts


@pytest.mark.parametrize(
    ("knobs", "facts"),
    [
        ({}, {}),
        ({"activation": tf.nn.softsign}, {"activation": "softsign"}),
        ({"reset_after": True}, {"reset_after": True, "cell_class": "CudnnCompatibleGRUCell"}),
    ],
)
def test_facts_of_a_gru(tmp_path: Path, knobs: dict[str, Any], facts: dict[str, Any]) -> None:
    cell = cell_of(tmp_path, unroll(Gru(**knobs)), GATES)
    assert cell.kind is CellKind.GRU
    assert values(cell) == PLAIN_GRU | facts


def test_loop_without_lengths(tmp_path: Path) -> None:
    assert values(cell_of(tmp_path, unroll(Lstm(), with_lengths=False))) == PLAIN_LSTM | {
        "sequence_length": False
    }


def test_lengths_of_an_unrolled_graph(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        steps = tf.unstack(tf.reshape(inputs, [-1, TIME, WIDTH]), axis=1)
        outputs, _ = v1.nn.static_rnn(Lstm(), steps, sequence_length=lengths, dtype=tf.float32)
        return {"outputs": tf.stack(outputs, 1)}

    cell = cell_of(tmp_path, build)
    assert values(cell) == PLAIN_LSTM
    assert cell.facts["sequence_length"].source == "lengths in model.ckpt.meta"


def test_initial_state_that_was_trained(tmp_path: Path) -> None:
    class Trained(Gru):
        def zero_state(self, batch: Any, dtype: Any) -> Any:
            return tf.tile(variable("first", [1, UNITS]), [batch, 1])

    assert values(cell_of(tmp_path, unroll(Trained()), GATES))["initial_state"] == "Tile op"


def test_activation_of_candidate_and_output_disagree(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(output_activation=tf.nn.relu)))
    assert problem.received == "'tanh' and 'relu'"


def test_activations_of_the_gates_disagree(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(output_gate_activation=hard_sigmoid)))
    assert problem.received == "'sigmoid' and 'hard_sigmoid'"


def test_clip_that_is_not_symmetric(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(clip=(-1.0, 2.0))))
    assert problem.received == "[-1.0, 2.0]"


def test_constant_on_another_gate(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(input_bias=0.5)))
    assert problem.received == "0.5 added to the input gate"


def test_term_that_no_gate_has(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(noise=True)))
    assert problem.received.endswith("computed by Sin")


# Gates.


@pytest.mark.parametrize("order", ["ifco", "cifo", "fico", "icof"])
def test_columns_in_another_order(tmp_path: Path, order: str) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(order=order)))
    assert problem.expected == "gates in the order i c f o"
    assert problem.received == "gates in the order " + " ".join(order)


def test_gates_of_a_gru_in_another_order(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Gru(order="zr")), GATES)
    assert problem.received == "gates in the order z r"


def test_rows_in_another_order(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(rows="hx")))
    assert problem.received == "[state; input]"


def test_update_gate_that_means_the_opposite(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Gru(inverted=True)), GATES)
    assert problem.received == "(1 - update) * h + update * candidate"


def test_gates_of_a_fused_kernel(tmp_path: Path) -> None:
    gates = cell_of(tmp_path, unroll(Lstm())).gates
    assert {name: gate.block for name, gate in gates.items()} == {
        "input": 0,
        "candidate": 1,
        "forget": 2,
        "output": 3,
    }
    assert {(gate.kernel, gate.recurrent) for gate in gates.values()} == {(KERNEL, KERNEL)}
    assert {gate.biases for gate in gates.values()} == {("rnn/lstm_cell/bias",)}


@pytest.mark.parametrize("state_first", [False, True])
def test_gates_written_by_hand(tmp_path: Path, state_first: bool) -> None:
    graph = graph_of(tmp_path, scan_by_hand(state_first))
    scopes = {
        "input": "input_gate",
        "forget": "forget_gate",
        "candidate": "memory_cell",
        "output": "output_gate",
    }
    kernels = [f"LSTMcell/{scope}/{part}" for scope in scopes.values() for part in ("wx", "wt")]
    cells = find_cells(graph, kernels)
    assert len(set(cells.values())) == 1
    for name, gate in cells[kernels[0]].gates.items():
        scope = f"LSTMcell/{scopes[name]}"
        assert (gate.kernel, gate.recurrent) == (f"{scope}/wx", f"{scope}/wt")
        assert (gate.biases, gate.block) == ((f"{scope}/bi",), None)


def test_states_packed_by_hand(tmp_path: Path) -> None:
    build = scan_by_hand(packed=True, gate=hard_sigmoid)
    cell = cell_of(tmp_path, build, "LSTMcell/forget_gate/wt")
    assert cell.gates["forget"].recurrent == "LSTMcell/forget_gate/wt"
    assert values(cell) == PLAIN_LSTM | {
        "cell_class": "LSTM by hand",
        "forget_bias": 0.0,
        "recurrent_activation": "hard_sigmoid",
        "sequence_length": False,
    }


def test_any_matrix_of_a_gru_names_it(tmp_path: Path) -> None:
    cells = find_cells(graph_of(tmp_path, unroll(Gru())), [GATES, CANDIDATE])
    assert cells[GATES] is cells[CANDIDATE]
    gates = cells[GATES].gates
    assert (gates["candidate"].kernel, gates["candidate"].block) == (CANDIDATE, None)
    assert (gates["reset"].block, gates["update"].block) == (0, 1)


# Cells that are one op.


@pytest.mark.parametrize(
    ("attributes", "facts"),
    [
        ({}, {"forget_bias": 1.0, "cell_clip": 3.0}),
        ({"cell_clip": 0.0}, {"forget_bias": 1.0, "cell_clip": None}),
        ({"cell_clip": -1.0}, {"forget_bias": 1.0, "cell_clip": None}),
        ({"cell_clip": 0.7, "forget_bias": 0.3}, {"forget_bias": 0.3, "cell_clip": 0.7}),
        ({"use_peephole": True}, {"forget_bias": 1.0, "cell_clip": 3.0, "peephole": True}),
    ],
)
def test_attributes_of_a_block_op(
    tmp_path: Path, attributes: dict[str, Any], facts: dict[str, Any]
) -> None:
    cell = cell_of(tmp_path, unroll(BlockLstm(**attributes)), train=False)
    assert values(cell) == PLAIN_LSTM | facts | {"cell_class": "LSTMBlockCell"}


def test_attribute_that_was_stripped_has_the_default_of_the_op(tmp_path: Path) -> None:
    def strip(node: Any) -> None:
        for name in ("cell_clip", "forget_bias"):
            node.attr.pop(name, None)

    build = unroll(BlockLstm(cell_clip=9.0, forget_bias=9.0))
    cell = find_cells(changed(tmp_path, build, strip), [KERNEL])[KERNEL]
    assert (cell.facts["cell_clip"].value, cell.facts["forget_bias"].value) == (3.0, 1.0)


@pytest.mark.parametrize("with_lengths", [False, True])
def test_op_that_runs_all_steps(tmp_path: Path, with_lengths: bool) -> None:
    build = fuse(with_lengths=with_lengths, cell_clip=0.5, forget_bias=0.25)
    cell = cell_of(tmp_path, build, "0/kernel", train=False)
    assert cell.gates["forget"].block == 2
    assert values(cell) == PLAIN_LSTM | {
        "cell_class": "BlockLSTM",
        "forget_bias": 0.25,
        "cell_clip": 0.5,
        "sequence_length": with_lengths,
    }


def test_op_with_gates_in_another_order(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        zeros, batch = tf.zeros([UNITS]), tf.shape(inputs)[0]
        state = tf.zeros([batch, UNITS])
        result = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.constant(TIME, tf.int64),
            x=tf.transpose(inputs, [1, 0, 2]),
            cs_prev=state,
            h_prev=state,
            w=variable("kernel", [WIDTH + UNITS, 4 * UNITS]),
            wci=zeros,
            wcf=zeros,
            wco=zeros,
            b=variable("bias", [4 * UNITS]),
            cell_clip=0.5,
        )
        return {"outputs": result.h}

    graph = graph_of(tmp_path, build, train=False)
    with pytest.raises(UnsupportedError) as caught:
        find_cells(graph, ["kernel"])
    assert [problem.received for problem in caught.value.problems] == ["gates in the order i f c o"]


# Copies.


def test_steps_of_an_unrolled_graph_are_copies(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, unroll_by_hand(Lstm(forget_bias=0.25)))
    assert len(cell.steps) == TIME
    assert values(cell) == PLAIN_LSTM | {"forget_bias": 0.25, "sequence_length": False}
    assert len({step.x for step in cell.steps}) == TIME


def test_projection_in_an_unrolled_graph(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, unroll_by_hand(Lstm(projection=4)))
    assert cell.facts["projection"].value is True
    assert cell.names["projection"] == "rnn/lstm_cell/projection/kernel"


def test_lengths_of_one_copy_are_enough(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, two_copies(Lstm(), Lstm()))
    assert len(cell.steps) == 2
    assert values(cell) == PLAIN_LSTM


def test_copies_that_disagree(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, two_copies(Lstm(), Lstm(forget_bias=0.0)))
    assert problem.received == "1.0 and 0.0"
    assert "rnn/while/lstm_cell" in problem.where
    assert "rnn_1/while/lstm_cell" in problem.where


def two_copies(one: Lstm, other: Lstm) -> Build:
    """Returns a builder of a training copy and an inference copy with the same variables."""

    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        with v1.variable_scope("", reuse=v1.AUTO_REUSE):
            training = unroll(one)(inputs, lengths)
            inference = unroll(other, with_lengths=False)(inputs, lengths)
        return {"outputs": training["outputs"], "again": inference["outputs"]}

    return build


@pytest.mark.parametrize(
    ("build", "kernel"),
    [
        (unroll(Lstm(peepholes=True)), KERNEL),
        (unroll_by_hand(Lstm()), KERNEL),
        (unroll_by_hand(Gru()), GATES),
        (scan_by_hand(), "LSTMcell/input_gate/wx"),
    ],
)
def test_gradients_change_nothing(tmp_path: Path, build: Build, kernel: str) -> None:
    trained, bare = tmp_path / "trained", tmp_path / "bare"
    trained.mkdir()
    bare.mkdir()
    graph = graph_of(trained, build)
    assert sum(name.startswith("gradients") for name in graph.nodes) > 20
    cell = find_cells(graph, [kernel])[kernel]
    same = cell_of(bare, build, kernel, train=False)
    assert cell.facts == same.facts
    assert [step.node.name for step in cell.steps] == [step.node.name for step in same.steps]


# Cells that are none of these.


def test_columns_that_no_gate_takes(tmp_path: Path) -> None:
    [problem] = refusal(tmp_path, unroll(Lstm(coupled=True)))
    assert problem.received == "gates in the order - c f o"


def test_product_with_the_transposed_kernel_is_another(tmp_path: Path) -> None:
    def transpose(node: Any) -> None:
        if node.op == "MatMul":
            node.attr["transpose_b"].b = True

    with pytest.raises(UnsupportedError, match="in no such step"):
        find_cells(changed(tmp_path, unroll(Lstm()), transpose), [KERNEL])


def test_cell_without_memory_is_no_lstm(tmp_path: Path) -> None:
    class Forgetful(Lstm):
        def __call__(self, x: Any, state: Any, scope: object = None) -> Any:
            with v1.variable_scope(self.name, reuse=v1.AUTO_REUSE):
                z = self._gates(x, *state)
                gate = {name: tf.sigmoid(value) for name, value in z.items()}
                c = gate["f"] * tf.tanh(z["o"]) + gate["i"] * tf.tanh(z["c"])
                h = gate["o"] * tf.tanh(c)
            return h, (c, h)

    [problem] = refusal(tmp_path, unroll(Forgetful()))
    assert problem.received.endswith("in no such step")


@pytest.mark.parametrize("knobs", [{"reset_state": tf.tanh}, {"complement_of": "r"}])
def test_gru_of_another_kind(tmp_path: Path, knobs: dict[str, Any]) -> None:
    [problem] = refusal(tmp_path, unroll(Gru(**knobs)), GATES)
    assert problem.received.endswith("in no such step")


def test_every_problem_at_once(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, unroll(Stack((Lstm(order="ifco"), Lstm(clip=(-1.0, 3.0))))))
    kernels = [f"rnn/cell_{index}/lstm_cell/kernel" for index in range(2)]
    with pytest.raises(UnsupportedError) as caught:
        find_cells(graph, [*kernels, "absent"])
    received = [problem.received for problem in caught.value.problems]
    assert received == [
        "no variable of this name in the graph",
        "gates in the order i f c o",
        "[-1.0, 3.0]",
    ]


def test_variable_that_nothing_recurrent_uses(tmp_path: Path) -> None:
    def build(inputs: Any, lengths: Any) -> dict[str, Any]:
        outputs = unroll(Lstm())(inputs, lengths)["outputs"]
        return {"logits": tf.matmul(outputs[:, -1], variable("head", [UNITS, 2]))}

    [problem] = refusal(tmp_path, build, "head")
    assert problem.received == "used by MatMul MatMul, in no such step"


def test_graph_that_goes_round_in_a_circle(tmp_path: Path) -> None:
    def twist(node: Any) -> None:
        if node.op in ("Identity", "AddV2", "Mul", "Transpose", "Select"):
            node.input[:] = [node.name for name in node.input if not name.startswith("^")]

    graph = changed(tmp_path, unroll(Lstm()), twist)
    with pytest.raises(UnsupportedError):
        find_cells(graph, [KERNEL])


# Real models.


@pytest.mark.parametrize(
    ("meta", "kernel", "facts"),
    [
        ("arima_lstm/sunld.model.meta", "rnn/basic_lstm_cell/kernel", {"sequence_length": False}),
        (
            "charrnn_sp/model.ckpt-67949.meta",
            "rnnlm/multi_rnn_cell/cell_1/basic_lstm_cell/weights",
            {"sequence_length": False},
        ),
        ("yuesheng_lstm/model100.ckpt-100.meta", "lstm_cell/kernel", {"sequence_length": False}),
        (
            "gentext_lstm/model.ckpt.meta",
            "rnn/multi_rnn_cell/cell_0/cell_1/kernel",
            {"sequence_length": False, "peephole": True},
        ),
    ],
)
def test_real_lstms(zoo: Path, meta: str, kernel: str, facts: dict[str, Any]) -> None:
    assert values(find_cells(read_metagraph(zoo / meta), [kernel])[kernel]) == PLAIN_LSTM | facts


def test_real_gru_by_hand(zoo: Path) -> None:
    graph = read_metagraph(zoo / "wind_gru/GRUGenetic_FORE-160000.meta")
    kernel = "weights_and_biases/Input_Forget_weight"
    cell = find_cells(graph, [kernel])[kernel]
    assert cell.gates["update"].kernel == kernel
    assert cell.gates["reset"].kernel == "weights_and_biases/insertion_weight"
    assert cell.gates["candidate"].kernel == "weights_and_biases/Suggestion_weight"
    assert values(cell) == PLAIN_GRU | {
        "cell_class": "GRU by hand",
        "sequence_length": False,
        "initial_state": "fed",
    }
