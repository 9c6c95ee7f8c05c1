"""Every dialect of variable names, release by release."""

from __future__ import annotations

from typing import Any

import pytest

from rnn_migrator.canonical import LSTM_GATES
from rnn_migrator.errors import Problem
from rnn_migrator.recognition.tf1_names import FoundCell, find_cells, model_variables
from tests.recognition.artifacts import GATES, Shapes, gru, hand_written, lstm


def found(shapes: Shapes, **role_names: str) -> list[FoundCell]:
    cells, problems = find_cells(shapes, role_names)
    assert problems == []
    return cells


def refused(shapes: Shapes, **role_names: str) -> list[Problem]:
    _, problems = find_cells(shapes, role_names)
    assert problems
    assert all(p.where and p.expected and p.received and p.remedy for p in problems)
    return problems


def place(cell: FoundCell) -> tuple[str, int, str]:
    return cell.stack, cell.index, cell.direction


NAMED: dict[str, tuple[Any, str]] = {
    "basic_lstm_cell": (lstm, "BasicLSTMCell"),
    "lstm_cell": (lstm, "LSTMCell"),
    "gru_cell": (gru, "GRUCell"),
}
named = pytest.mark.parametrize("cell", NAMED)


@named
@pytest.mark.parametrize(("kernel", "bias"), [("kernel", "bias"), ("weights", "biases")])
def test_both_spellings_of_the_variables(cell: str, kernel: str, bias: str) -> None:
    """TensorFlow 1.0 and 1.1 wrote `weights` and `biases`."""
    shapes, class_name = NAMED[cell]
    variables = shapes(f"rnn/{cell}", 3, 5, kernel, bias)
    [only] = found(variables)
    assert only.named.cell_class == class_name
    assert only.scope == f"rnn/{cell}"
    assert set(only.names.values()) == set(variables)
    assert place(only) == ("rnn", 0, "")


PLACES = {
    "{}": ("{}", 0, ""),
    "rnn/{}": ("rnn", 0, ""),
    "rnn/{}_1": ("rnn", 0, ""),
    "rnn_2/{}": ("rnn_2", 0, ""),
    "encoder/{}": ("encoder", 0, ""),
    "model/encoder/rnn/{}": ("model/encoder/rnn", 0, ""),
    "rnn/multi_rnn_cell/cell_0/{}": ("rnn", 0, ""),
    "rnn/multi_rnn_cell/cell_11/{}": ("rnn", 11, ""),
    "rnn/multi_rnn_cell_1/cell_2/{}_1": ("rnn", 2, ""),
    "decoder/multi_rnn_cell/cell_3/{}": ("decoder", 3, ""),
    "multi_rnn_cell/cell_1/{}": ("{}", 1, ""),
    "bidirectional_rnn/fw/{}": ("bidirectional_rnn", 0, "fw"),
    "bidirectional_rnn/bw/{}": ("bidirectional_rnn", 0, "bw"),
    "ner/bidirectional_rnn_1/bw/{}_1": ("ner/bidirectional_rnn_1", 0, "bw"),
    "bidirectional_rnn/bw/multi_rnn_cell/cell_0/{}": ("bidirectional_rnn", 0, "bw"),
    "stack_bidirectional_rnn/cell_2/bidirectional_rnn/fw/{}": (
        "stack_bidirectional_rnn",
        2,
        "fw",
    ),
    "ner/stack_bidirectional_rnn/cell_10/bidirectional_rnn/bw/{}": (
        "ner/stack_bidirectional_rnn",
        10,
        "bw",
    ),
    "tagger/cell_1/bidirectional_rnn/bw/{}": ("tagger", 1, "bw"),
    "fw/{}": ("fw", 0, ""),
    "encoder/bw/{}": ("encoder/bw", 0, ""),
    "fw/rnn/{}": ("fw/rnn", 0, ""),
}


@named
@pytest.mark.parametrize("scope", PLACES)
def test_the_scope_tells_stack_layer_and_direction(cell: str, scope: str) -> None:
    shapes, class_name = NAMED[cell]
    [only] = found(shapes(scope.format(cell), 3, 5))
    stack, index, direction = PLACES[scope]
    assert only.named.cell_class == class_name
    assert place(only) == (stack.format(cell), index, direction)


@named
def test_layers_are_counted_not_spelt(cell: str) -> None:
    """As texts, cell_10 comes before cell_9."""
    shapes, _ = NAMED[cell]
    scopes = [f"rnn/multi_rnn_cell/cell_{index}/{cell}" for index in range(12)]
    variables = {n: s for scope in sorted(scopes) for n, s in shapes(scope, 4, 4).items()}
    assert [c.scope for c in found(variables)] == scopes


def test_a_renamed_bidirectional_scope_still_has_two_directions() -> None:
    variables = lstm("bi-lstm/fw/lstm_cell", 3, 5) | lstm("bi-lstm/bw/lstm_cell", 3, 5)
    assert [place(cell) for cell in found(variables)] == [
        ("bi-lstm", 0, "bw"),
        ("bi-lstm", 0, "fw"),
    ]


def test_two_kinds_under_fw_and_bw_are_no_pair() -> None:
    variables = lstm("x/fw/lstm_cell", 3, 5) | gru("x/bw/gru_cell", 3, 5)
    assert [place(cell)[0] for cell in found(variables)] == ["x/bw", "x/fw"]


@pytest.mark.parametrize(
    "slot",
    [
        "{}/Adam",
        "{}/Adam_1",
        "{}/Momentum",
        "{}/RMSProp",
        "{}/RMSProp_1",
        "{}/Adagrad",
        "{}/Ftrl_1",
        "{}/ExponentialMovingAverage",
        "train/{}/Adadelta_1",
        "{}/adam_m",
        "{}/MyOwnOptimizer",
    ],
)
def test_slots_are_no_weights(slot: str) -> None:
    variables = lstm("rnn/lstm_cell", 3, 5)
    slots = {slot.format(name): shape for name, shape in variables.items()}
    steps = {"global_step": (), "beta1_power": (), "train/beta2_power_1": ()}
    [only] = found(variables | slots | steps)
    assert set(only.names.values()) == set(variables)


def test_model_variables_are_what_is_left_without_slots() -> None:
    names = ["w/Adam", "w", "Adam/w", "global_step", "beta1_power_1", "AdamNet/kernel"]
    assert model_variables(names) == ["Adam/w", "AdamNet/kernel", "w"]


def test_heads_and_embeddings_are_nobodys_business() -> None:
    variables = lstm("rnn/lstm_cell", 3, 5) | {"logits/kernel": (5, 2), "embedding": (9, 3)}
    assert len(found(variables)) == 1


@pytest.mark.parametrize(
    ("variable", "feature"),
    [
        ("w_f_diag", "peephole"),
        ("w_i_diag", "peephole"),
        ("w_o_diag", "peephole"),
        ("projection/kernel", "projection"),
        ("projection/weights", "projection"),
        ("kernel/part_0", "shards"),
        ("weights/part_1", "shards"),
    ],
)
def test_a_feature_that_cannot_be_converted_is_named(variable: str, feature: str) -> None:
    scope = "rnn/multi_rnn_cell/cell_1/lstm_cell"
    [problem] = refused({**lstm(scope, 3, 5), f"{scope}/{variable}": (5,)})
    assert problem.where == scope
    assert feature in problem.received
    assert "LSTMCell" in problem.expected


def test_every_feature_of_every_cell_is_told_at_once() -> None:
    one, other = "rnn/multi_rnn_cell/cell_0/lstm_cell", "rnn/multi_rnn_cell/cell_1/lstm_cell"
    variables = lstm(one, 3, 5) | lstm(other, 5, 5)
    variables |= {f"{one}/w_f_diag": (5,), f"{one}/projection/kernel": (5, 5)}
    variables |= {f"{other}/w_f_diag": (5,), f"{other}/w_i_diag": (5,)}
    told = [(p.where, p.received.split(",")[0]) for p in refused(variables)]
    assert sorted(told) == [
        (one, "a projection"),
        (one, "peephole connections"),
        (other, "peephole connections"),
    ]


@pytest.mark.parametrize(
    ("scope", "class_name"),
    [
        ("layer_norm_basic_lstm_cell", "LayerNormBasicLSTMCell"),
        ("coupled_input_forget_gate_lstm_cell", "CoupledInputForgetGateLSTMCell"),
        ("lstm_fused_cell", "LSTMBlockFusedCell"),
        ("lstm_block_wrapper", "LSTMBlockFusedCell"),
        ("cudnn_compatible_lstm_cell", "cuDNN-compatible"),
        ("cudnn_compatible_gru_cell", "cuDNN-compatible"),
        ("ugrnn_cell", "UGRNNCell"),
        ("basic_rnn_cell", "BasicRNNCell"),
        ("basic_rnn_cell_1", "BasicRNNCell"),
        ("nas_cell", "NASCell"),
        ("sru_cell", "SRUCell"),
        ("attention_cell_wrapper", "attention"),
        ("my_own_cell", "an unknown cell"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "rnn/", "rnn/multi_rnn_cell/cell_0/"])
def test_an_unknown_cell_is_named(prefix: str, scope: str, class_name: str) -> None:
    [problem] = refused({f"{prefix}{scope}/kernel": (8, 20), f"{prefix}{scope}/bias": (20,)})
    assert problem.where == prefix + scope
    assert class_name in problem.received
    assert f"{scope}/kernel" in problem.received


def test_what_stands_in_a_recurrent_scope_is_not_passed_over() -> None:
    variables = lstm("rnn/lstm_cell", 3, 5) | {"rnn/lstm_cell/gamma": (5,), "rnn/shift": (5,)}
    assert [p.where for p in refused(variables)] == ["rnn/lstm_cell", "rnn"]


@named
def test_a_missing_variable_is_named(cell: str) -> None:
    shapes, class_name = NAMED[cell]
    variables = shapes(f"rnn/{cell}", 3, 5)
    for missing in list(variables):
        [problem] = refused({n: s for n, s in variables.items() if n != missing})
        assert problem.where == f"rnn/{cell}"
        assert class_name in problem.expected
        role = missing.removeprefix(f"rnn/{cell}/").replace("/", "_")
        assert f"no {role}" in problem.received


# Cells with one scope a gate


@pytest.mark.parametrize("scope", ["LSTMcell", "", "model/my_lstm", "LSTMcell_1"])
@pytest.mark.parametrize(
    "gates",
    [
        GATES,
        ("i", "f", "g", "o"),
        ("input", "forget", "candidate", "output"),
        ("in_gate", "f_gate", "c_gate", "out_gate"),
    ],
)
@pytest.mark.parametrize(
    "parts",
    [
        ("wx", "wt", "bi"),
        ("w_x", "w_h", "b"),
        ("W", "U", "b"),
        ("kernel", "recurrent_kernel", "bias"),
        ("weights", "u", "biases"),
    ],
)
def test_names_tell_gates_and_parts(
    scope: str, gates: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Square, so that the shapes tell nothing."""
    [only] = found(hand_written(scope, 4, 4, gates, parts))
    prefix = f"{scope}/" if scope else ""
    assert only.named.layout == "per_gate_lstm"
    assert place(only) == (scope, 0, "")
    assert only.names == {
        f"{gate}/{role}": f"{prefix}{name}/{part}"
        for gate, name in zip(LSTM_GATES, gates, strict=True)
        for role, part in zip(("kernel", "recurrent", "bias"), parts, strict=True)
    }


def test_shapes_tell_parts_of_any_name() -> None:
    [only] = found(hand_written("cell", 3, 5, parts=("alpha", "beta", "gamma")))
    assert only.names["forget/kernel"] == "cell/forget_gate/alpha"
    assert only.names["forget/recurrent"] == "cell/forget_gate/beta"
    assert only.names["forget/bias"] == "cell/forget_gate/gamma"


def test_square_parts_of_unknown_names_are_not_guessed() -> None:
    problems = refused(hand_written("cell", 4, 4, parts=("alpha", "beta", "gamma")))
    assert [p.where for p in problems] == [f"cell, {gate} gate" for gate in LSTM_GATES]
    assert "cell/input_gate/alpha [4, 4]" in problems[0].received
    assert "kernel_name=NAME" in problems[0].remedy


def test_the_user_may_name_the_parts() -> None:
    variables = hand_written("cell", 4, 4, parts=("alpha", "beta", "bias"))
    [only] = found(variables, kernel="beta", recurrent="alpha")
    assert only.names["output/kernel"] == "cell/output_gate/beta"
    assert only.names["output/recurrent"] == "cell/output_gate/alpha"


def test_a_lost_variable_of_a_gate_is_named() -> None:
    variables = hand_written("cell", 3, 5)
    del variables["cell/memory_cell/bi"]
    [problem] = refused(variables)
    assert problem.where == "cell, candidate gate"
    assert "cell/memory_cell/wt [5, 5]" in problem.received


def test_two_variables_of_one_role_are_not_guessed() -> None:
    variables = hand_written("cell", 3, 5) | {"cell/input_gate/w_x": (3, 5)}
    assert [p.where for p in refused(variables)] == ["cell, input gate"]


def test_slots_of_a_gate_are_no_parts() -> None:
    variables = hand_written("cell", 3, 5)
    [only] = found(variables | {f"{name}/Adam": shape for name, shape in variables.items()})
    assert set(only.names.values()) == set(variables)
