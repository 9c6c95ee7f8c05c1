"""Every dialect of variable names, release by release."""

from __future__ import annotations

from typing import Any

import pytest

from rnn_migrator.canonical import LSTM_GATES
from rnn_migrator.errors import Problem
from rnn_migrator.recognition.settings import parse_settings
from rnn_migrator.recognition.tf1_cells import NAMED_CELLS, REFUSED_CELLS, FoundCell
from rnn_migrator.recognition.tf1_names import find_cells
from rnn_migrator.recognition.variables import model_variables
from tests.recognition.artifacts import GATES, Shapes, gru, hand_written, lstm


def found(shapes: Shapes, *settings: str) -> list[FoundCell]:
    cells, problems = find_cells(shapes, parse_settings(settings))
    assert problems == []
    return cells


def refused(shapes: Shapes, *settings: str) -> list[Problem]:
    _, problems = find_cells(shapes, parse_settings(settings))
    assert problems
    assert all(p.where and p.expected and p.received and p.remedy for p in problems)
    return problems


def place(cell: FoundCell) -> tuple[str, int, str]:
    return cell.stack, cell.index, cell.direction


NORMS = " ".join(
    f"{norm}/{part}"
    for norm in ("input", "transform", "forget", "output", "state")
    for part in ("gamma", "beta")
)

DIALECTS = [
    # (class, layout, its variables in one release, by role)
    ("BasicLSTMCell", "tf1_lstm", "RNN/BasicLSTMCell", "Linear/Matrix Linear/Bias"),
    ("BasicLSTMCell", "tf1_lstm", "rnn/basic_lstm_cell", "weights biases"),
    ("BasicLSTMCell", "tf1_lstm", "rnn/basic_lstm_cell", "kernel bias"),
    ("LSTMCell", "tf1_lstm", "RNN/LSTMCell", "W_0 B"),
    ("LSTMCell", "tf1_lstm", "RNN/LSTMCell", "W_0 B W_I_diag W_F_diag W_O_diag W_P_0"),
    ("LSTMCell", "tf1_lstm", "rnn/lstm_cell", "weights biases projection/weights"),
    (
        "LSTMCell",
        "tf1_lstm",
        "rnn/lstm_cell",
        "kernel bias w_i_diag w_f_diag w_o_diag projection/kernel",
    ),
    ("LSTMCell", "tf1_lstm", "RNN/LSTMCell", "W B W_P"),
    ("LSTMBlockCell", "tf1_lstm", "RNN/LSTMBlockCell", "W b"),
    ("LSTMBlockCell", "tf1_lstm", "rnn/lstm_block_cell", "kernel bias"),
    (
        "LSTMBlockCell",
        "tf1_lstm",
        "rnn/lstm_block_cell",
        "kernel bias w_i_diag w_f_diag w_o_diag",
    ),
    ("LSTMBlockFusedCell", "tf1_lstm", "lstm_block_wrapper", "W B wci wcf wco"),
    ("LSTMBlockFusedCell", "tf1_lstm", "lstm_block_wrapper", "kernel bias"),
    (
        "LSTMBlockFusedCell",
        "tf1_lstm",
        "lstm_fused_cell",
        "kernel bias w_i_diag w_f_diag w_o_diag",
    ),
    ("CudnnCompatibleLSTMCell", "tf1_lstm", "rnn/cudnn_compatible_lstm_cell", "kernel bias"),
    ("LayerNormBasicLSTMCell", "tf1_layer_norm_lstm", "rnn/layer_norm_basic_lstm_cell", "kernel"),
    (
        "LayerNormBasicLSTMCell",
        "tf1_layer_norm_lstm",
        "rnn/layer_norm_basic_lstm_cell",
        "kernel bias",
    ),
    (
        "LayerNormBasicLSTMCell",
        "tf1_layer_norm_lstm",
        "rnn/LayerNormBasicLSTMCell",
        "linear/weights " + NORMS,
    ),
    (
        "CoupledInputForgetGateLSTMCell",
        "tf1_coupled_lstm",
        "rnn/coupled_input_forget_gate_lstm_cell",
        "W_0 B W_F_diag W_O_diag W_P_0",
    ),
    (
        "CoupledInputForgetGateLSTMCell",
        "tf1_coupled_lstm",
        "RNN/CoupledInputForgetGateLSTMCell",
        "W B",
    ),
    (
        "GRUCell",
        "tf1_gru",
        "RNN/GRUCell",
        "Gates/Linear/Matrix Gates/Linear/Bias Candidate/Linear/Matrix Candidate/Linear/Bias",
    ),
    (
        "GRUCell",
        "tf1_gru",
        "rnn/gru_cell",
        "gates/weights gates/biases candidate/weights candidate/biases",
    ),
    (
        "GRUCell",
        "tf1_gru",
        "rnn/gru_cell",
        "gates/kernel gates/bias candidate/kernel candidate/bias",
    ),
    ("GRUBlockCell", "tf1_gru", "RNN/GRUBlockCell", "w_ru b_ru w_c b_c"),
    ("GRUBlockCell", "tf1_gru", "rnn/gru_cell", "w_ru b_ru w_c b_c"),
    (
        "CudnnCompatibleGRUCell",
        "tf1_cudnn_gru",
        "rnn/cudnn_compatible_gru_cell",
        "gates/kernel gates/bias candidate/input_projection/kernel "
        "candidate/input_projection/bias candidate/hidden_projection/kernel "
        "candidate/hidden_projection/bias",
    ),
    ("BasicRNNCell", "tf1_rnn", "RNN/BasicRNNCell", "Linear/Matrix Linear/Bias"),
    ("BasicRNNCell", "tf1_rnn", "rnn/basic_rnn_cell", "weights biases"),
    ("BasicRNNCell", "tf1_rnn", "rnn/basic_rnn_cell", "kernel bias"),
    ("UGRNNCell", "tf1_ugrnn", "RNN/UGRNNCell", "Linear/Matrix Linear/Bias"),
    ("UGRNNCell", "tf1_ugrnn", "rnn/ugrnn_cell", "weights biases"),
    ("UGRNNCell", "tf1_ugrnn", "rnn/ugrnn_cell", "kernel bias"),
    (
        "LSTMCell of a custom scope",
        "tf1_lstm",
        "rnn/mine",
        "kernel bias w_i_diag w_f_diag w_o_diag",
    ),
]


@pytest.mark.parametrize(("cell_class", "layout", "scope", "variables"), DIALECTS)
def test_every_release_called_them_otherwise(
    cell_class: str, layout: str, scope: str, variables: str
) -> None:
    shapes: Shapes = {f"{scope}/{variable}": (8, 20) for variable in variables.split()}
    [cell] = found(shapes)
    assert (cell.named.cell_class, cell.named.layout) == (cell_class, layout)
    assert set(cell.names.values()) == set(shapes)


@pytest.mark.parametrize(
    ("cell_class", "scope", "variables"),
    [(cell_class, scope, names) for cell_class, _, scope, names in DIALECTS if scope.islower()],
)
@pytest.mark.parametrize("suffix", ["_1", "_10"])
def test_a_second_cell_of_a_class_has_a_number(
    cell_class: str, scope: str, variables: str, suffix: str
) -> None:
    [cell] = found({f"{scope}{suffix}/{variable}": (8, 20) for variable in variables.split()})
    assert (cell.named.cell_class, cell.scope) == (cell_class, scope + suffix)


@pytest.mark.parametrize(
    ("scope", "variables", "copies"),
    [
        (
            "rnn/cudnn_compatible_lstm_cell",
            "kernel bias",
            ["bias_cudnn_0", "bias_cudnn_1"],
        ),
        (
            "rnn/cudnn_compatible_gru_cell",
            "gates/kernel gates/bias candidate/input_projection/kernel "
            "candidate/input_projection/bias candidate/hidden_projection/kernel "
            "candidate/hidden_projection/bias",
            ["bias_cudnn 0", "gates/bias_cudnn_1"],
        ),
    ],
)
def test_biases_that_cudnn_wrote_a_second_time_are_ignored(
    scope: str, variables: str, copies: list[str]
) -> None:
    names = {f"{scope}/{variable}" for variable in variables.split()}
    [cell] = found(dict.fromkeys([*names, *(f"{scope}/{copy}" for copy in copies)], (20,)))
    assert set(cell.names.values()) == names


def test_every_class_has_a_dialect_here() -> None:
    pieces = {"CudnnLSTM", "CudnnGRU"}  # of an opaque buffer, see test_variables
    known = {named.cell_class for named in NAMED_CELLS}
    assert {cell_class for cell_class, *_ in DIALECTS} == known - pieces


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
    "RNN/MultiRNNCell/Cell0/{}": ("RNN", 0, ""),
    "RNN/MultiRNNCell/Cell10/{}": ("RNN", 10, ""),
    "BiRNN/FW/{}": ("BiRNN", 0, "fw"),
    "ner/BiRNN_1/BW/MultiRNNCell/Cell3/{}": ("ner/BiRNN_1", 0, "bw"),
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
@pytest.mark.parametrize("scope", ["rnn/multi_rnn_cell/cell_{}/", "RNN/MultiRNNCell/Cell{}/"])
def test_layers_are_counted_not_spelt(cell: str, scope: str) -> None:
    """As texts, cell_10 comes before cell_9; the stack is put in order by index."""
    shapes, _ = NAMED[cell]
    scopes = [scope.format(index) + cell for index in range(12)]
    variables = {n: s for scope in sorted(scopes) for n, s in shapes(scope, 4, 4).items()}
    assert {c.index: c.scope for c in found(variables)} == dict(enumerate(scopes))


@pytest.mark.parametrize(
    "scope", ["bidirectional_rnn/bw/multi_rnn_cell/cell_{}", "BiRNN/BW/MultiRNNCell/Cell{}"]
)
def test_cells_of_one_direction_are_counted_too(scope: str) -> None:
    scopes = [f"{scope.format(position)}/lstm_cell" for position in range(12)]
    cells = found({n: s for one in sorted(scopes) for n, s in lstm(one, 4, 4).items()})
    assert {c.position: c.scope for c in cells} == dict(enumerate(scopes))
    assert {(c.index, c.direction) for c in cells} == {(0, "bw")}


def test_a_renamed_bidirectional_scope_still_has_two_directions() -> None:
    variables = lstm("bi-lstm/fw/lstm_cell", 3, 5) | lstm("bi-lstm/bw/lstm_cell", 3, 5)
    assert [place(cell) for cell in found(variables)] == [
        ("bi-lstm", 0, "bw"),
        ("bi-lstm", 0, "fw"),
    ]


def test_two_kinds_under_fw_and_bw_are_no_pair() -> None:
    variables = lstm("x/fw/lstm_cell", 3, 5) | gru("x/bw/gru_cell", 3, 5)
    assert [place(cell)[0] for cell in found(variables)] == ["x/fw", "x/bw"]


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
    there = variables | slots | steps
    [only] = found({name: there[name] for name in model_variables(there)})
    assert set(only.names.values()) == set(variables)


def test_heads_and_embeddings_are_nobodys_business() -> None:
    variables = lstm("rnn/lstm_cell", 3, 5) | {"logits/kernel": (5, 2), "embedding": (9, 3)}
    assert len(found(variables)) == 1


REFUSED = [
    ("nas_cell", "NASCell"),
    ("NASCell", "NASCell"),
    ("nas_cell_1", "NASCell"),
    ("sru_cell", "SRUCell"),
    ("attention_cell_wrapper", "AttentionCellWrapper"),
    ("attention_wrapper", "an attention wrapper"),
    ("phased_lstm_cell", "PhasedLSTMCell"),
    ("conv_2d_lstm_cell", "ConvLSTMCell"),
    ("ConvLSTMCell", "ConvLSTMCell"),
    ("glstm_cell", "GLSTMCell"),
    ("indrnn_cell", "an IndRNN cell"),
    ("indygru_cell", "an IndRNN cell"),
    ("grid2_lstm_cell", "a grid cell"),
    ("time_freq_lstm_cell", "TimeFreqLSTMCell"),
    ("intersection_rnn_cell", "IntersectionRNNCell"),
    ("layer_norm_lstm_cell", "LayerNormLSTMCell"),
    ("highway_wrapper", "HighwayWrapper"),
    ("compiled_wrapper", "CompiledWrapper"),
]


@pytest.mark.parametrize(("scope", "class_name"), [*REFUSED, ("my_own_cell", "an unknown cell")])
@pytest.mark.parametrize("prefix", ["", "rnn/", "rnn/multi_rnn_cell/cell_0/"])
def test_an_unknown_cell_is_named(prefix: str, scope: str, class_name: str) -> None:
    [problem] = refused({f"{prefix}{scope}/kernel": (8, 20), f"{prefix}{scope}/bias": (20,)})
    assert problem.where == prefix + scope
    assert problem.received.startswith(f"{class_name}: ")
    assert f"{scope}/kernel" in problem.received
    assert ("class=NAME" in problem.remedy) == (scope == "my_own_cell")


def test_every_refused_class_is_refused_here() -> None:
    assert {class_name for _, class_name in REFUSED} == set(REFUSED_CELLS.values())


def test_cells_beside_a_refused_one_are_still_found() -> None:
    variables = lstm("rnn/multi_rnn_cell/cell_0/lstm_cell", 3, 5) | {
        "rnn/multi_rnn_cell/cell_1/nas_cell/kernel": (8, 40)
    }
    cells, problems = find_cells(variables, parse_settings([]))
    assert [cell.scope for cell in cells] == ["rnn/multi_rnn_cell/cell_0/lstm_cell"]
    assert [p.where for p in problems] == ["rnn/multi_rnn_cell/cell_1/nas_cell"]


# What the user says of a class

OWN = {"net/mine/kernel": (8, 20), "net/mine/bias": (20,)}


@pytest.mark.parametrize("settings", [("layer[net/mine].class={}",), ("scope=net", "class={}")])
@pytest.mark.parametrize("cell_class", ["BasicLSTMCell", "LSTMBlockCell", "UGRNNCell"])
def test_the_user_may_say_the_class(cell_class: str, settings: tuple[str, ...]) -> None:
    assert found(OWN) == []
    [cell] = found(OWN, *(setting.format(cell_class) for setting in settings))
    assert (cell.named.cell_class, cell.scope) == (cell_class, "net/mine")


def test_the_user_is_believed_before_the_name() -> None:
    variables = lstm("rnn/lstm_cell", 3, 5) | lstm("other/lstm_cell", 3, 5)
    cells = found(variables, "layer[rnn/lstm_cell].class=LSTMBlockCell")
    classes = {cell.scope: cell.named.cell_class for cell in cells}
    assert classes == {"rnn/lstm_cell": "LSTMBlockCell", "other/lstm_cell": "LSTMCell"}


@pytest.mark.parametrize("cell_class", ["LSTMBlokCell", "GRUCell"])
def test_a_class_that_does_not_fit_the_names_is_refused(cell_class: str) -> None:
    setting = f"layer[rnn/lstm_cell].class={cell_class}"
    [problem] = refused(lstm("rnn/lstm_cell", 3, 5), setting)
    assert problem.where == "rnn/lstm_cell"
    assert "LSTMBlockCell" in problem.expected


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
    [only] = found(variables, "kernel_name=beta", "recurrent_name=alpha")
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
