from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CellKind, Origin
from rnn_migrator.errors import Problem, UnreadableError, UnsupportedError, UsageError
from tests.recognition.artifacts import Shapes, artifact, gru, hand_written, lstm, model_of

STACK = lstm("rnn/multi_rnn_cell/cell_0/lstm_cell", 3, 5) | lstm(
    "rnn/multi_rnn_cell/cell_1/lstm_cell", 5, 4
)


def both(scope: str, cell: Any, class_scope: str, inputs: int, units: int) -> Shapes:
    shapes: Shapes = {}
    for direction in ("fw", "bw"):
        shapes |= cell(f"{scope}/{direction}/{class_scope}", inputs, units)
    return shapes


def refused(shapes: Shapes, *settings: str) -> list[Problem]:
    with pytest.raises(UnsupportedError) as caught:
        model_of(artifact(shapes), *settings)
    problems = list(caught.value.problems)
    assert all(p.where and p.expected and p.received and p.remedy for p in problems)
    return problems


# What comes out


def test_a_stack_becomes_a_chain_of_layers() -> None:
    model = model_of(artifact(STACK))
    assert model.bare_weights
    assert [(source.name, source.shape) for source in model.inputs] == [("inputs", (None, 3))]
    assert [node.layer.name for node in model.nodes] == ["lstm_0", "lstm_1"]
    assert [node.inbound for node in model.nodes] == [("inputs",), ("lstm_0",)]
    assert model.outputs == {"outputs": "lstm_1"}
    sizes = [
        (layer.forward[0].cell.input_size, layer.forward[0].cell.units)
        for layer in model.recurrent_layers
    ]
    assert sizes == [(3, 5), (5, 4)]
    assert all(layer.return_sequences for layer in model.recurrent_layers)
    assert all(layer.zero_output_for_mask for layer in model.recurrent_layers)


def test_the_source_keeps_names_and_tensors() -> None:
    source = artifact(STACK)
    [first, _] = model_of(source).recurrent_layers
    scope = "rnn/multi_rnn_cell/cell_0/lstm_cell"
    assert first.forward[0].source.layout == "tf1_lstm"
    assert first.forward[0].source.names == {"kernel": f"{scope}/kernel", "bias": f"{scope}/bias"}
    np.testing.assert_array_equal(
        first.forward[0].source.tensors["kernel"], source.load(f"{scope}/kernel")
    )


def test_kinds_may_mix() -> None:
    shapes = lstm("rnn/multi_rnn_cell/cell_0/basic_lstm_cell", 3, 5)
    shapes |= gru("rnn/multi_rnn_cell/cell_1/gru_cell", 5, 4)
    layers = model_of(artifact(shapes)).recurrent_layers
    assert [layer.forward[0].cell.kind for layer in layers] == [CellKind.LSTM, CellKind.GRU]
    assert [layer.name for layer in layers] == ["lstm_0", "gru_1"]


def test_twelve_layers_come_in_the_order_of_their_numbers() -> None:
    """Widths that grow by one would not chain in any other order."""
    shapes: Shapes = {}
    for index in range(12):
        shapes |= lstm(f"rnn/multi_rnn_cell/cell_{index}/lstm_cell", 3 + index, 4 + index)
    units = [layer.output_size for layer in model_of(artifact(shapes)).recurrent_layers]
    assert units == list(range(4, 16))


def test_twelve_layers_of_two_directions_do_too() -> None:
    shapes: Shapes = {}
    for index in range(12):
        scope = f"stack_bidirectional_rnn/cell_{index}/bidirectional_rnn"
        shapes |= both(scope, lstm, "lstm_cell", 2 * (3 + index), 4 + index)
    sizes = [layer.output_size for layer in model_of(artifact(shapes)).recurrent_layers]
    assert sizes == [2 * units for units in range(4, 16)]


def test_cells_that_run_together_do_too() -> None:
    shapes: Shapes = {}
    for index in range(12):
        shapes |= both(
            "bidirectional_rnn",
            lstm,
            f"multi_rnn_cell/cell_{index}/lstm_cell",
            3 + index,
            4 + index,
        )
    [layer] = model_of(artifact(shapes)).recurrent_layers
    for stack in (layer.forward, layer.backward):
        assert [member.cell.units for member in stack] == list(range(4, 16))


@pytest.mark.parametrize("scope", ["bidirectional_rnn", "tagger"])
def test_two_directions_become_one_layer(scope: str) -> None:
    source = artifact(both(scope, gru, "gru_cell", 3, 5))
    [layer] = model_of(source).recurrent_layers
    assert layer.backward
    assert layer.name == "bidirectional_0"
    assert layer.output_size == 10
    for direction, name in ((layer.forward, "fw"), (layer.backward, "bw")):
        assert all(f"{scope}/{name}/" in n for n in direction[0].source.names.values())


@pytest.mark.parametrize("scope", ["stack_bidirectional_rnn", "my_tagger"])
def test_a_stack_of_two_directions(scope: str) -> None:
    shapes: Shapes = {}
    for index, inputs in enumerate((3, 8, 8)):
        inner = f"{scope}/cell_{index}/bidirectional_rnn"
        shapes |= both(inner, lstm, "lstm_cell", inputs, 4)
    layers = model_of(artifact(shapes)).recurrent_layers
    assert [layer.name for layer in layers] == [f"bidirectional_{index}" for index in range(3)]


# Facts


def facts_of(shapes: Shapes, *settings: str) -> dict[str, Any]:
    [layer] = model_of(artifact(shapes), *settings).recurrent_layers
    return dict(layer.forward[0].cell.facts)


@pytest.mark.parametrize(
    ("shapes", "assumed"),
    [
        (lstm("basic_lstm_cell", 3, 5), {"forget_bias": 1.0, "activation": "tanh"}),
        (
            lstm("lstm_cell", 3, 5),
            {"forget_bias": 1.0, "activation": "tanh", "cell_clip": None},
        ),
        (gru("gru_cell", 3, 5), {"activation": "tanh"}),
        (
            hand_written("cell", 3, 5),
            {
                "forget_bias": 0.0,
                "activation": "tanh",
                "recurrent_activation": "sigmoid",
                "cell_clip": None,
            },
        ),
    ],
)
def test_what_names_cannot_tell_is_assumed_and_says_so(
    shapes: Shapes, assumed: dict[str, Any]
) -> None:
    facts = facts_of(shapes)
    found = {name: fact.value for name, fact in facts.items() if fact.origin is Origin.ASSUMED}
    assert found == assumed
    assert all(fact.source for fact in facts.values())
    fixed = {fact.origin for name, fact in facts.items() if name not in assumed}
    assert fixed <= {Origin.CLASS}


def test_the_user_settles_an_assumption() -> None:
    facts = facts_of(lstm("lstm_cell", 3, 5), "forget_bias=0", "cell_clip=3")
    assert (facts["forget_bias"].value, facts["forget_bias"].origin) == (0.0, Origin.USER)
    assert (facts["cell_clip"].value, facts["cell_clip"].origin) == (3.0, Origin.USER)
    assert facts["activation"].origin is Origin.ASSUMED


def test_a_setting_may_be_narrowed_to_a_layer() -> None:
    layers = model_of(artifact(STACK), "forget_bias=0", "layer[1].forget_bias=2").recurrent_layers
    assert [layer.forward[0].cell.forget_bias.value for layer in layers] == [0.0, 2.0]


def test_a_setting_of_no_layer_is_a_mistake() -> None:
    with pytest.raises(UsageError, match=r"layer\[2\]"):
        model_of(artifact(STACK), "layer[2].forget_bias=2")


# Shapes


@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        ("rnn/multi_rnn_cell/cell_0/lstm_cell/kernel", (8, 21), "[8, 21]"),
        ("rnn/multi_rnn_cell/cell_0/lstm_cell/kernel", (5, 20), "[5, 20]"),
        ("rnn/multi_rnn_cell/cell_0/lstm_cell/kernel", (8,), "[8, 1]"),
        ("rnn/multi_rnn_cell/cell_0/lstm_cell/kernel", (2, 4, 20), "[2, 4, 20]"),
        ("rnn/multi_rnn_cell/cell_0/lstm_cell/bias", (19,), "[19]"),
        ("rnn/multi_rnn_cell/cell_1/lstm_cell/bias", (4, 4), "[4, 4]"),
        ("rnn/multi_rnn_cell/cell_1/lstm_cell/bias", (), "[]"),
    ],
)
def test_a_shape_that_fits_no_cell_is_named(name: str, shape: Any, told: str) -> None:
    problems = refused({**STACK, name: shape})
    scope, _, role = name.rpartition("/")
    assert [p.where for p in problems] == [f"{scope}, {role}"]
    assert told in problems[0].received


def test_every_wrong_shape_is_told_at_once() -> None:
    scope = "rnn/multi_rnn_cell/cell_{}/lstm_cell/bias"
    shapes = {**STACK, scope.format(0): (3,), scope.format(1): (4,)}
    assert len(refused(shapes)) == 2


def test_layers_that_do_not_chain_are_named() -> None:
    shapes = {**STACK, **lstm("rnn/multi_rnn_cell/cell_1/lstm_cell", 6, 4)}
    [problem] = refused(shapes)
    assert "width 5, which lstm_0 gives" in problem.expected
    assert "width 6" in problem.received
    assert "cell_1/lstm_cell/kernel" in problem.where


def test_each_direction_has_to_chain() -> None:
    shapes: Shapes = {}
    for index, inputs in enumerate((3, 7)):
        shapes |= both(f"x/cell_{index}/bidirectional_rnn", lstm, "lstm_cell", inputs, 4)
    problems = refused(shapes)
    assert [p.received for p in problems] == ["an input of width 7"] * 2
    assert all("width 8" in p.expected for p in problems)


def test_a_lost_row_shows_against_the_input_size() -> None:
    """A single kernel with a row too few is a kernel of another width: only the user knows."""
    shapes = lstm("rnn/lstm_cell", 3, 5)
    assert model_of(artifact(shapes), "input_size=3").inputs[0].shape == (None, 3)
    [problem] = refused(shapes, "input_size=4")
    assert "width 4 (--set input_size=4)" in problem.expected
    assert "width 3" in problem.received


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_other_numbers_than_float32_are_refused(dtype: str) -> None:
    with pytest.raises(UnsupportedError, match="float32 weights.*Received: " + dtype):
        model_of(artifact(lstm("rnn/lstm_cell", 3, 5), dtype))


@pytest.mark.parametrize("shape", [(1, 20), (20, 1)])
def test_a_vector_may_come_as_a_table(shape: tuple[int, int]) -> None:
    """CSV knows no vectors."""
    source = artifact({**lstm("rnn/lstm_cell", 3, 5), "rnn/lstm_cell/bias": shape})
    [layer] = model_of(source).recurrent_layers
    stored = source.load("rnn/lstm_cell/bias").ravel()
    np.testing.assert_array_equal(layer.forward[0].source.tensors["bias"], stored)


def test_a_matrix_of_one_column_may_come_as_a_vector() -> None:
    shapes = {**gru("rnn/gru_cell", 3, 1), "rnn/gru_cell/candidate/kernel": (4,)}
    [layer] = model_of(artifact(shapes)).recurrent_layers
    assert layer.forward[0].cell.units == 1


def test_nan_in_a_weight_is_refused() -> None:
    source = artifact(lstm("rnn/lstm_cell", 3, 5))

    def load(name: str) -> Any:
        return np.full(source.tensors[name].shape, np.nan, np.float32)

    with pytest.raises(UnreadableError, match="NaN"):
        model_of(dataclasses.replace(source, load=load))


# Structure


def test_a_gap_is_named() -> None:
    shapes = {name.replace("cell_1", "cell_2"): shape for name, shape in STACK.items()}
    [problem] = refused(shapes)
    assert problem.where == "rnn"
    assert problem.received == "layers 0, 2"


def test_a_missing_direction_is_named() -> None:
    [problem] = refused(lstm("bidirectional_rnn/fw/lstm_cell", 3, 5))
    assert problem.where == "bidirectional_rnn, layer 0"
    assert problem.received == "only bidirectional_rnn/fw/lstm_cell"


def test_two_cells_in_one_place_are_not_guessed() -> None:
    shapes = lstm("rnn/lstm_cell", 3, 5) | lstm("rnn/lstm_cell_1", 5, 5)
    [problem] = refused(shapes)
    assert "rnn/lstm_cell (1 x LSTMCell); rnn/lstm_cell_1 (1 x LSTMCell)" in problem.received
    assert "--set scope=rnn/lstm_cell" in problem.remedy


def test_a_stack_in_each_direction_is_one_layer() -> None:
    shapes: Shapes = {}
    for index, inputs in enumerate((3, 4)):
        shapes |= both(
            "bidirectional_rnn", lstm, f"multi_rnn_cell/cell_{index}/lstm_cell", inputs, 4
        )
    [layer] = model_of(artifact(shapes)).recurrent_layers
    for direction, stack in (("fw", layer.forward), ("bw", layer.backward)):
        scopes = [f"bidirectional_rnn/{direction}/multi_rnn_cell/cell_{i}/" for i in range(2)]
        kernels = [member.source.names["kernel"] for member in stack]
        assert kernels == [f"{scope}lstm_cell/kernel" for scope in scopes]
    assert layer.output_size == 8


def test_one_direction_that_is_taller_is_refused() -> None:
    shapes = both("bidirectional_rnn", lstm, "multi_rnn_cell/cell_0/lstm_cell", 3, 4)
    shapes |= lstm("bidirectional_rnn/fw/multi_rnn_cell/cell_1/lstm_cell", 4, 4)
    [problem] = refused(shapes)
    assert problem.where == "bidirectional_rnn"
    assert problem.received == "bw: 0; fw: 0, 1"


# Layers that the user lists

APART = (
    lstm("a/lstm_cell", 3, 5)
    | gru("b/gru_cell", 5, 4)
    | lstm("c/lstm_cell", 4, 4)
    | {"critic/nas_cell/kernel": (8, 40)}
)


@pytest.mark.parametrize(
    ("scopes", "names"),
    [
        ("a/lstm_cell,b/gru_cell", ["lstm_0", "gru_1"]),
        ("b/gru_cell, c/lstm_cell/", ["gru_0", "lstm_1"]),
        ("c/lstm_cell", ["lstm_0"]),
    ],
)
def test_the_user_lists_the_layers_bottom_to_top(scopes: str, names: list[str]) -> None:
    layers = model_of(artifact(APART), f"layers={scopes}").recurrent_layers
    assert [layer.name for layer in layers] == names
    stated = [scope.strip().rstrip("/") for scope in scopes.split(",")]
    for scope, layer in zip(stated, layers, strict=True):
        assert all(n.startswith(f"{scope}/") for n in layer.forward[0].source.names.values())


@pytest.mark.parametrize("place", ["1", "c/lstm_cell"])
def test_listed_layers_are_numbered_as_they_are_listed(place: str) -> None:
    settings = ("layers=a/lstm_cell,c/lstm_cell", f"layer[{place}].forget_bias=0.25")
    shapes = {**APART, **lstm("c/lstm_cell", 5, 4)}
    layers = model_of(artifact(shapes), *settings).recurrent_layers
    assert [layer.forward[0].cell.forget_bias.value for layer in layers] == [1.0, 0.25]


def test_listed_layers_may_lie_in_places_of_their_own() -> None:
    """The upper of two layers, alone."""
    scope = "rnn/multi_rnn_cell/cell_1/lstm_cell"
    [layer] = model_of(artifact(STACK), f"layers={scope}").recurrent_layers
    assert (layer.name, layer.input_size, layer.output_size) == ("lstm_0", 5, 4)


def test_listed_layers_have_to_chain() -> None:
    [problem] = refused(APART, "layers=b/gru_cell,a/lstm_cell")
    assert "width 4, which gru_0 gives" in problem.expected
    assert "a/lstm_cell/kernel" in problem.where


def test_a_listed_layer_that_is_not_there_is_named() -> None:
    problems = refused(APART, "layers=x,a/lstm_cell,critic/nas_cell")
    assert [p.received for p in problems] == ["x", "critic/nas_cell"]
    assert all("a/lstm_cell, b/gru_cell, c/lstm_cell" in p.expected for p in problems)


# Cells with more variables


PEEPHOLES = {f"rnn/lstm_cell/w_{gate}_diag": (5,) for gate in "ifo"}


def test_peepholes_go_to_their_gates() -> None:
    source = artifact({**lstm("rnn/lstm_cell", 3, 5), **PEEPHOLES})
    [layer] = model_of(source).recurrent_layers
    found = layer.forward[0].cell.peepholes
    assert set(found) == {"input", "forget", "output"}
    for gate, peephole in found.items():
        np.testing.assert_array_equal(peephole, source.load(f"rnn/lstm_cell/w_{gate[0]}_diag"))


def test_a_projection_is_what_the_next_layer_reads() -> None:
    """The kernel reads the projected output: its rows are inputs and projection."""
    shapes = {
        "rnn/multi_rnn_cell/cell_0/lstm_cell/kernel": (3 + 2, 20),
        "rnn/multi_rnn_cell/cell_0/lstm_cell/bias": (20,),
        "rnn/multi_rnn_cell/cell_0/lstm_cell/projection/kernel": (5, 2),
        **lstm("rnn/multi_rnn_cell/cell_1/lstm_cell", 2, 4),
    }
    first, second = model_of(artifact(shapes), "proj_clip=0.5").recurrent_layers
    cell = first.forward[0].cell
    assert (cell.input_size, cell.units, cell.output_size) == (3, 5, 2)
    assert cell.proj_clip.value == 0.5
    assert second.input_size == 2


@pytest.mark.parametrize("shape", [(6,), (5, 5), (1,)])
def test_a_peephole_of_another_size_is_named(shape: Any) -> None:
    shapes = {**lstm("rnn/lstm_cell", 3, 5), **PEEPHOLES, "rnn/lstm_cell/w_f_diag": shape}
    [problem] = refused(shapes)
    assert problem.where == "rnn/lstm_cell, w_f_diag"


def part(name: str) -> str:
    return f"rnn/{name}"


NORMED = "layer_norm_basic_lstm_cell"
NORMS: Shapes = {
    part(f"{NORMED}/{norm}/{weight}"): (5,)
    for norm in ("input", "transform", "forget", "output", "state")
    for weight in ("gamma", "beta")
}


def test_normalisations_go_to_their_gates() -> None:
    """The class calls the candidate `transform`."""
    source = artifact({part(f"{NORMED}/kernel"): (8, 20), **NORMS})
    [layer] = model_of(source).recurrent_layers
    found = layer.forward[0].cell.norms
    assert set(found) == {"input", "forget", "candidate", "output", "state"}
    for name, norm in found.items():
        stored = part(f"{NORMED}/{'transform' if name == 'candidate' else name}")
        np.testing.assert_array_equal(norm.gamma, source.load(f"{stored}/gamma"))
        np.testing.assert_array_equal(norm.beta, source.load(f"{stored}/beta"))


def test_the_class_without_its_normalisations_has_a_bias() -> None:
    shapes = {part(f"{NORMED}/kernel"): (8, 20), part(f"{NORMED}/bias"): (20,)}
    [layer] = model_of(artifact(shapes)).recurrent_layers
    cell = layer.forward[0].cell
    assert cell.has_bias
    assert cell.norms == {}


@pytest.mark.parametrize("lost", NORMS)
def test_a_lost_normalisation_is_told(lost: str) -> None:
    shapes: Shapes = {part(f"{NORMED}/kernel"): (8, 20), **NORMS}
    del shapes[lost]
    [problem] = refused(shapes)
    role = lost.removeprefix(part(f"{NORMED}/"))
    assert role in problem.expected
    assert role not in problem.received


COUPLED = {
    part(f"coupled_input_forget_gate_lstm_cell/{name}"): shape
    for name, shape in {
        "W_0": (3 + 2, 15),
        "B": (15,),
        "W_F_diag": (5,),
        "W_O_diag": (5,),
        "W_P_0": (5, 2),
    }.items()
}
COMPATIBLE = {
    part(f"cudnn_compatible_gru_cell/{name}"): shape
    for name, shape in {
        "gates/kernel": (8, 10),
        "gates/bias": (10,),
        "candidate/input_projection/kernel": (3, 5),
        "candidate/input_projection/bias": (5,),
        "candidate/hidden_projection/kernel": (5, 5),
        "candidate/hidden_projection/bias": (5,),
    }.items()
}
BLOCK_GRU = {
    part(f"gru_cell/{name}"): shape
    for name, shape in {"w_ru": (8, 10), "b_ru": (10,), "w_c": (8, 5), "b_c": (5,)}.items()
}


@pytest.mark.parametrize(
    ("shapes", "kind", "fixed"),
    [
        (
            {part("basic_rnn_cell/kernel"): (8, 5), part("basic_rnn_cell/bias"): (5,)},
            CellKind.RNN,
            {},
        ),
        (
            {part("ugrnn_cell/kernel"): (8, 10), part("ugrnn_cell/bias"): (10,)},
            CellKind.UGRNN,
            {"forget_bias": 1.0},
        ),
        (BLOCK_GRU, CellKind.GRU, {"activation": "tanh", "reset_after": False}),
        (COMPATIBLE, CellKind.GRU, {"reset_after": True}),
        (COUPLED, CellKind.COUPLED_LSTM, {"forget_bias": 1.0, "cell_clip": None}),
        (
            lstm("rnn/cudnn_compatible_lstm_cell", 3, 5),
            CellKind.LSTM,
            {"forget_bias": 0.0, "cell_clip": None},
        ),
    ],
)
def test_each_class_has_its_recurrence(
    shapes: Shapes, kind: CellKind, fixed: dict[str, Any]
) -> None:
    [layer] = model_of(artifact(shapes)).recurrent_layers
    cell = layer.forward[0].cell
    assert (cell.kind, cell.input_size, cell.units) == (kind, 3, 5)
    assert set(cell.gates) == set(kind.gates)
    assert {name: cell.facts[name].value for name in fixed} == fixed


def test_a_coupled_cell_may_have_peepholes_and_a_projection() -> None:
    source = artifact(COUPLED)
    [layer] = model_of(source).recurrent_layers
    cell, scope = layer.forward[0].cell, part("coupled_input_forget_gate_lstm_cell")
    assert set(cell.peepholes) == {"forget", "output"}
    assert cell.projection is not None
    np.testing.assert_array_equal(cell.peepholes["output"], source.load(f"{scope}/W_O_diag"))
    np.testing.assert_array_equal(cell.projection, source.load(f"{scope}/W_P_0"))
    assert cell.output_size == 2


# Defaults that releases changed


def clip(shapes: Shapes, *settings: str) -> Any:
    fact = facts_of(shapes, *settings)["cell_clip"]
    return fact.value, fact.origin


FUSED = lstm("lstm_block_wrapper", 3, 5)


def test_a_clip_that_releases_disagree_on_is_not_guessed() -> None:
    problems = refused(FUSED)
    [problem] = [p for p in problems if "cell_clip" in p.where]
    assert "3.0" in problem.expected + problem.received + problem.remedy
    assert "writer=" in problem.remedy
    assert "cell_clip=" in problem.remedy


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("writer=tensorflow-1.2", (3.0, Origin.RELEASE)),
        ("writer=tensorflow-1.3.0", (3.0, Origin.RELEASE)),
        ("writer=tensorflow-1.4", (None, Origin.RELEASE)),
        ("cell_clip=3", (3.0, Origin.USER)),
        ("cell_clip=none", (None, Origin.USER)),
    ],
)
def test_the_release_or_the_user_says_the_clip(setting: str, expected: Any) -> None:
    assert clip(FUSED, setting) == expected


@pytest.mark.parametrize(
    ("scope", "kernel", "bias", "expected"),
    [
        ("RNN/LSTMBlockCell", "W", "b", 3.0),
        ("rnn/lstm_block_cell", "weights", "biases", 3.0),
        ("lstm_block_wrapper", "weights", "biases", 3.0),
        ("lstm_fused_cell", "kernel", "bias", None),
    ],
)
def test_names_of_one_side_of_the_change_tell_the_clip(
    scope: str, kernel: str, bias: str, expected: Any
) -> None:
    assert clip(lstm(scope, 3, 5, kernel, bias)) == (expected, Origin.ASSUMED)


@pytest.mark.parametrize("scope", ["rnn/lstm_block_cell", "rnn/lstm_block_cell_1"])
@pytest.mark.parametrize(("release", "expected"), [("1.2", 3.0), ("1.4", None)])
def test_block_cells_clip_by_their_release(scope: str, release: str, expected: Any) -> None:
    shapes = lstm(scope, 3, 5)
    assert clip(shapes, f"writer=tensorflow-{release}") == (expected, Origin.RELEASE)
    [problem] = refused(shapes)
    assert problem.where == f"{scope}, cell_clip"


@pytest.mark.parametrize("release", ["1.2", "1.4"])
def test_plain_cells_never_clipped(release: str) -> None:
    assert clip(lstm("lstm_cell", 3, 5), f"writer=tensorflow-{release}") == (None, Origin.RELEASE)


def test_a_setting_comes_before_the_release() -> None:
    assert clip(FUSED, "writer=tensorflow-1.2", "cell_clip=none") == (None, Origin.USER)


def test_the_user_may_say_the_class_of_a_scope() -> None:
    """A fused cell in a scope of the user's own."""
    shapes = {"mine/kernel": (8, 20), "mine/bias": (20,)}
    settings = ("layer[mine].class=LSTMBlockFusedCell", "writer=tensorflow-1.3")
    assert clip(shapes, *settings) == (3.0, Origin.RELEASE)


# Hand-written


def test_a_hand_written_cell_by_shapes_and_by_names() -> None:
    by_shape, by_name = (
        model_of(artifact(hand_written("cell", 3, 5, parts=parts))).recurrent_layers[0]
        for parts in (("alpha", "beta", "gamma"), ("wx", "wt", "bi"))
    )
    for layer in (by_shape, by_name):
        assert layer.forward[0].source.layout == "per_gate_lstm"
        assert (layer.forward[0].cell.input_size, layer.forward[0].cell.units) == (3, 5)


def test_a_square_one_needs_the_user() -> None:
    shapes = hand_written("cell", 4, 4, parts=("alpha", "beta", "gamma"))
    assert len(refused(shapes)) == 4
    shapes = hand_written("cell", 4, 4, parts=("alpha", "beta", "b"))
    settings = ("kernel_name=beta", "recurrent_name=alpha")
    [layer] = model_of(artifact(shapes), *settings).recurrent_layers
    assert layer.forward[0].source.names["input/kernel"] == "cell/input_gate/beta"
    assert layer.forward[0].source.names["input/recurrent"] == "cell/input_gate/alpha"


def test_a_hand_written_gate_of_another_shape_is_named() -> None:
    shapes = {**hand_written("cell", 3, 5), "cell/output_gate/wx": (4, 5)}
    [problem] = refused(shapes)
    assert problem.where == "cell, output/kernel"
    assert "[3, 5]" in problem.expected
