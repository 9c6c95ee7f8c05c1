"""From an artifact to its meaning: which stack, which facts, which problems."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rnn_migrator.canonical import Origin
from rnn_migrator.errors import ExitStatus, MigrationError, UnsupportedError, UsageError
from rnn_migrator.readers import open_artifact
from rnn_migrator.recognition.recognise import Recognition, parts, recognise
from rnn_migrator.recognition.settings import parse_settings
from tests.equivalence.lab import LAB
from tests.legacy_lab.cases import Case
from tests.recognition.artifacts import Shapes, artifact, gru, lstm, model_of

BOTH = {"decoder/rnn": "1 x GRUCell", "encoder/rnn": "1 x LSTMCell"}
TWO = lstm("encoder/rnn/lstm_cell", 3, 5) | gru("decoder/rnn/gru_cell", 4, 6)


def refused(shapes: Shapes, *settings: str) -> str:
    with pytest.raises(UnsupportedError) as caught:
        model_of(artifact(shapes), *settings)
    assert caught.value.status is ExitStatus.UNSUPPORTED
    assert int(caught.value.status) == 3
    return str(caught.value)


def recognised(case: Case, *settings: str) -> Recognition:
    return recognise(open_artifact(case.source, case.architecture), parse_settings(settings))


def test_two_stacks_are_both_named() -> None:
    text = refused(TWO)
    assert "encoder/rnn (1 x LSTMCell)" in text
    assert "decoder/rnn (1 x GRUCell)" in text
    assert "--set scope=encoder/rnn" in text
    assert "--set scope=decoder/rnn" in text


@pytest.mark.parametrize("scope", ["encoder", "encoder/rnn"])
def test_the_user_picks_one(scope: str) -> None:
    [layer] = model_of(artifact(TWO), f"scope={scope}").recurrent_layers
    assert set(layer.forward[0].source.names.values()) == set(lstm("encoder/rnn/lstm_cell", 3, 5))


@pytest.mark.parametrize("scope", ["enc", "rnn", "encoder/rnn/lstm_cell", "", "encoder/"])
def test_a_scope_of_no_stack_is_refused(scope: str) -> None:
    text = refused(TWO, f"scope={scope}")
    assert f"--set scope={scope}" in text
    assert "encoder/rnn (1 x LSTMCell)" in text


def test_a_scope_that_holds_several_is_ambiguous() -> None:
    shapes = lstm("model/a/lstm_cell", 3, 5) | lstm("model/b/lstm_cell", 3, 5)
    text = refused(shapes | TWO, "scope=model")
    assert re.search(r"pick one: --set scope=model/a or --set scope=model/b$", text)


def test_nothing_recurrent_is_told() -> None:
    assert "no recurrent cell of a known name" in refused({"dense/kernel": (3, 4)})


def test_a_problem_elsewhere_does_not_stop_the_chosen_stack() -> None:
    shapes = TWO | {"critic/rnn/my_own_cell/kernel": (8, 5)}
    assert "critic/rnn/my_own_cell" in refused(shapes)
    assert model_of(artifact(shapes), "scope=encoder").recurrent_layers


def test_a_problem_of_the_chosen_stack_does() -> None:
    shapes = TWO | {"encoder/rnn/lstm_cell/w_f_diag": (5,)}
    assert "only w_f_diag" in refused(shapes, "scope=encoder/rnn")


@pytest.mark.parametrize("neighbour", ["encoder/rnn_1/ugrnn_cell", "encoder/rnn2/ugrnn_cell"])
def test_a_neighbour_whose_name_begins_alike_is_elsewhere(neighbour: str) -> None:
    shapes = TWO | {f"{neighbour}/kernel": (8, 10)}
    assert model_of(artifact(shapes), "scope=encoder/rnn").recurrent_layers


def test_all_problems_of_all_kinds_are_told_at_once() -> None:
    shapes = (
        lstm("a/rnn/lstm_cell", 3, 5)
        | {"a/rnn/lstm_cell/w_f_diag": (5,)}
        | {"b/rnn/nas_cell/kernel": (8, 40)}
        | {"c/rnn/gru_cell/gates/kernel": (8, 10)}
        | lstm("d/bidirectional_rnn/fw/lstm_cell", 3, 5)
    )
    text = refused(shapes)
    for told in ("w_f_diag", "NASCell", "GRUCell", "only d/bidirectional_rnn/fw"):
        assert told in text


def test_wrong_shapes_elsewhere_are_told_with_them() -> None:
    shapes = TWO | {"encoder/rnn/lstm_cell/bias": (19,), "b/rnn/nas_cell/kernel": (8, 40)}
    text = refused(shapes)
    assert "NASCell" in text
    assert "[19]" in text


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (TWO, BOTH),
        (TWO | {"critic/rnn/nas_cell/kernel": (8, 40)}, BOTH),
        (TWO | {"encoder/rnn/lstm_cell/bias": (19,)}, BOTH),
        (gru("rnn/gru_cell", 3, 5) | {"b/rnn/nas_cell/kernel": (8, 40)}, {"rnn": "1 x GRUCell"}),
        ({"b/rnn/nas_cell/kernel": (8, 40)}, {}),
        ({"dense/kernel": (3, 4)}, {}),
    ],
)
def test_the_parts_of_a_refused_artifact_are_still_told(
    shapes: Shapes, told: dict[str, str]
) -> None:
    refused(shapes)
    assert parts(artifact(shapes), parse_settings([])) == told


def test_the_stacks_are_described(cases: dict[str, Case]) -> None:
    found = recognised(cases["tf1_two_scopes"], "scope=encoder")
    assert found.stacks == {"decoder/rnn": "1 x GRUCell", "encoder/rnn": "2 x LSTMCell"}


def test_a_graph_states_what_names_cannot(cases: dict[str, Case]) -> None:
    """No `.meta`, no fact; the same checkpoint with one tells all."""
    bare = recognised(cases["tf1_stacked_lstm_no_meta"])
    stated = recognised(cases["tf1_stacked_lstm"])
    assert bare.legacy_graph is None
    assert stated.legacy_graph is not None
    origins = {
        found is stated: {
            fact.origin for _, name, fact in found.model.facts() if name == "forget_bias"
        }
        for found in (bare, stated)
    }
    assert origins == {False: {Origin.ASSUMED}, True: {Origin.GRAPH}}


def test_the_lab_facts_are_those_the_writer_made_the_cells_with() -> None:
    for name, lab in LAB.items():
        for index, layer in enumerate(lab.recognition.model.recurrent_layers):
            key = f"{lab.scope}.layer[{index}]" if lab.scope else f"layer[{index}]"
            for member in layer.cells.values():
                for fact_name, fact in member.cell.facts.items():
                    expected = lab.case.facts.get(f"{key}.{fact_name}", fact.value)
                    assert fact.value == expected, (name, index, fact_name)
            units = layer.forward[0].cell.units
            assert units == lab.case.facts.get(f"{key}.units", units)


def test_the_same_weights_in_four_formats_are_one_model(cases: dict[str, Case]) -> None:
    """CSV, NPZ, and a checkpoint with and without its graph."""
    reference, *others = (
        recognised(cases["tf1_stacked_lstm" + suffix], "forget_bias=1").model
        for suffix in ("", "_no_meta", "_csv", "_npz")
    )
    for other in others:
        for one, same in zip(reference.recurrent_layers, other.recurrent_layers, strict=True):
            assert one.name == same.name
            for role, tensor in one.forward[0].source.tensors.items():
                np.testing.assert_array_equal(same.forward[0].source.tensors[role], tensor)


@pytest.mark.parametrize("name", ["keras2_cudnn_lstm", "keras2_lstm_hard_sigmoid"])
def test_weights_and_architecture_are_the_whole_model(cases: dict[str, Case], name: str) -> None:
    whole, apart = recognised(cases[name]).model, recognised(cases[name + "_weights"]).model
    assert whole.inputs == apart.inputs
    assert whole.outputs == apart.outputs
    for one, same in zip(whole.recurrent_layers, apart.recurrent_layers, strict=True):
        for role, tensor in one.forward[0].source.tensors.items():
            np.testing.assert_array_equal(same.forward[0].source.tensors[role], tensor)
        assert {n: f.value for n, f in one.forward[0].cell.facts.items()} == {
            n: f.value for n, f in same.forward[0].cell.facts.items()
        }


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("tf1_bidirectional_gru", "forget_bias=1"),
        ("tf1_stacked_lstm", "replacement=Identity()"),
        ("keras2_cudnn_lstm", "scope=rnn"),
    ],
)
def test_a_setting_that_nothing_takes_is_refused(
    cases: dict[str, Case], name: str, setting: str
) -> None:
    with pytest.raises(UsageError, match=setting.split("=")[0]):
        recognised(cases[name], setting)


# Settings that would do nothing, and cells that are more than they seem


ATTENTION = {
    "encoder/AttentionCellWrapper/BasicLSTMCell/Linear/Matrix": (8, 20),
    "encoder/AttentionCellWrapper/BasicLSTMCell/Linear/Bias": (20,),
    "encoder/AttentionCellWrapper/Attention/AttnW_0": (1, 1, 5, 5),
    "encoder/AttentionCellWrapper/Linear/Matrix": (8, 3),
}


@pytest.mark.parametrize(
    ("shapes", "wrapper"),
    [
        (ATTENTION, "AttentionCellWrapper"),
        (
            {**lstm("decoder/attention_wrapper/lstm_cell", 3, 5), "decoder/memory/kernel": (5, 5)},
            "attention",
        ),
        (lstm("rnn/highway_wrapper/lstm_cell", 5, 5), "HighwayWrapper"),
    ],
)
def test_a_cell_inside_a_wrapper_is_not_taken_for_a_plain_one(shapes: Shapes, wrapper: str) -> None:
    text = refused(shapes)
    assert wrapper in text


@pytest.mark.parametrize(
    "settings",
    [
        ("class=LSTMBlockCell",),
        ("layer[rnn/lstm_cell].class=LSTMBlokCell",),
        ("layer[0].class=LSTMBlockCell", "writer=tensorflow-1.2"),
    ],
)
def test_a_class_that_no_cell_takes_is_refused(settings: tuple[str, ...]) -> None:
    with pytest.raises(MigrationError, match=r"layer\[rnn/lstm_cell\].class=NAME"):
        model_of(artifact(lstm("rnn/lstm_cell", 3, 5)), *settings)
    assert model_of(
        artifact(lstm("rnn/lstm_cell", 3, 5)),
        "layer[rnn/lstm_cell].class=LSTMBlockCell",
        "writer=tensorflow-1.2",
    )


def test_averages_of_another_scope_are_not_passed_over() -> None:
    cell = lstm("rnn/lstm_cell", 3, 5)
    shapes = cell | {f"train/{name}/ExponentialMovingAverage": s for name, s in cell.items()}
    with pytest.raises(UsageError, match="a moving average of every variable"):
        model_of(artifact(shapes), "use_ema=true", "scope=rnn")


@pytest.mark.parametrize("writer", ["keras-2.2.4", "tensorflow-0.12", "tensorflow-1.1"])
def test_a_release_that_gives_no_such_names_is_refused(writer: str) -> None:
    text = refused(lstm("rnn/lstm_cell", 3, 5), f"writer={writer}")
    assert "tensorflow-1.2 to tensorflow-1.15" in text
