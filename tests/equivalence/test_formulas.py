"""The formulas in float64 against what the old frameworks answered, and against themselves."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel, Node, Origin
from rnn_migrator.equivalence.controls import broken_models
from rnn_migrator.equivalence.oracles.formulas import Formulas
from tests.equivalence.lab import LAB, LabModel, recognised
from tests.recognition.artifacts import (
    artifact,
    gru,
    keras_artifact,
    layer,
    lstm,
    model_of,
    recurrent_config,
    sequential,
    weight_shapes,
    with_input,
)

Arrays = dict[str, Any]

AGREES = 2e-6
"""What the float32 of an old framework may be off by on the lab's short sequences."""

WRONG = 1e-4
"""What any mistake is off by at the least, behind a softmax too."""

labs = pytest.mark.parametrize("lab", LAB.values(), ids=LAB)


def error(lab: LabModel, model: CanonicalModel, dtype: Any = np.float64) -> float:
    """Largest error of the formulas over all goldens of a model, as one in their size."""
    formulas, worst = Formulas(model, dtype), 0.0
    for signature, golden in lab.goldens.items():
        outputs = formulas.run(signature, golden["inputs"])
        assert set(outputs) == set(golden["outputs"])
        for name, expected in golden["outputs"].items():
            assert outputs[name].shape == expected.shape
            assert outputs[name].dtype == dtype
            off = np.abs(outputs[name] - expected) / max(1.0, float(np.abs(expected).max()))
            worst = max(worst, float(off.max(initial=0.0)))
    return worst


@labs
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_formulas_give_the_goldens(lab: LabModel, dtype: Any) -> None:
    assert error(lab, lab.recognition.model, dtype) <= max(AGREES, 4 * rounding(lab))


def rounding(lab: LabModel) -> float:
    """How far the formulas in float32 are from those in float64 on the goldens' inputs."""
    exact, rounded = (Formulas(lab.recognition.model, dtype) for dtype in (np.float64, np.float32))
    worst = 0.0
    for signature, golden in lab.goldens.items():
        outputs = rounded.run(signature, golden["inputs"])
        for name, expected in exact.run(signature, golden["inputs"]).items():
            worst = max(worst, float(np.abs(outputs[name] - expected).max(initial=0.0)))
    return worst


@labs
def test_every_mistake_misses_the_goldens(lab: LabModel) -> None:
    mistakes = broken_models(lab.recognition.model)
    assert mistakes
    for name, model in mistakes.items():
        if lab.name == "keras2_0_theano_conv_lstm" and name == "forget bias off by one":
            continue  # its gates are shut on these inputs; on the probes it shows
        if name != "masked output repeated" or "with_lengths" in lab.goldens:
            assert error(lab, model) > WRONG, name


@pytest.mark.parametrize("name", [name for name in LAB if name.startswith("tf1")])
@pytest.mark.parametrize("off", [-1.0, 1.0])
def test_a_wrong_forget_bias_misses_the_goldens(name: str, off: float) -> None:
    lab = LAB[name]
    model = lab.recognition.model
    for index, recurrent in enumerate(model.recurrent_layers):
        cell = recurrent.forward[0].cell
        if "forget_bias" not in cell.facts or cell.forget_bias.origin is Origin.CLASS:
            continue
        right = cell.forget_bias.value
        setting = f"layer[{index}].forget_bias={right + off}"
        wrong = recognised(lab.case, lab.scope, setting).model
        assert wrong.recurrent_layers[index].forward[0].cell.forget_bias.origin is Origin.USER
        assert error(lab, wrong) > WRONG


@pytest.mark.parametrize("name", [name for name in LAB if "hard_sigmoid" in name])
@pytest.mark.parametrize("activation", ["sigmoid", "keras3_hard_sigmoid"])
def test_another_gate_activation_misses_the_goldens(name: str, activation: str) -> None:
    lab = LAB[name]
    wrong = recognised(lab.case, "", f"recurrent_activation={activation}").model
    assert error(lab, wrong) > WRONG


# Lengths


STACKS = {
    "lstm": lstm("rnn/multi_rnn_cell/cell_0/lstm_cell", 3, 5)
    | gru("rnn/multi_rnn_cell/cell_1/gru_cell", 5, 4),
    "both directions": {
        name: shape
        for way in ("fw", "bw")
        for name, shape in lstm(f"bidirectional_rnn/{way}/lstm_cell", 3, 5).items()
    },
}
stacks = pytest.mark.parametrize("stack", STACKS)
LENGTHS = np.array([7, 0, 1, 4], np.int32)
STEPS = 7


def stack_of(name: str) -> CanonicalModel:
    return model_of(artifact(STACKS[name]))


def sequences(batch: int = len(LENGTHS), steps: int = STEPS) -> Any:
    return np.random.default_rng(3).normal(size=(batch, steps, 3))


def with_lengths(model: CanonicalModel, x: Any, lengths: Any) -> Arrays:
    inputs = {"inputs": x, "sequence_length": np.asarray(lengths, np.int32)}
    return Formulas(model).run("with_lengths", inputs)


@stacks
def test_full_lengths_are_no_lengths(stack: str) -> None:
    model, x = stack_of(stack), sequences()
    free = Formulas(model).run("serving_default", {"inputs": x})
    full = with_lengths(model, x, [STEPS] * len(x))
    assert set(free) == set(full)
    for name, expected in free.items():
        np.testing.assert_array_equal(full[name], expected)


@stacks
def test_a_length_is_a_shorter_sequence(stack: str) -> None:
    """Row by row: as if it had been cut, and zeros behind the cut."""
    model, x = stack_of(stack), sequences()
    together = with_lengths(model, x, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = (
            Formulas(model).run("serving_default", {"inputs": x[row : row + 1, :length]})
            if (length)
            else {name: np.zeros_like(value[:1]) for name, value in together.items()}
        )
        outputs = together["outputs"][row]
        np.testing.assert_allclose(outputs[:length], alone["outputs"][0][:length], atol=1e-14)
        assert not outputs[length:].any()
        for name in set(together) - {"outputs"}:
            np.testing.assert_allclose(together[name][row], alone[name][0], atol=1e-14)


@stacks
def test_what_lies_behind_the_length_does_not_matter(stack: str) -> None:
    model, x = stack_of(stack), sequences()
    other = np.where(np.arange(STEPS)[:, None] < LENGTHS[:, None, None], x, 99.0)
    for name, expected in with_lengths(model, x, LENGTHS).items():
        np.testing.assert_array_equal(with_lengths(model, other, LENGTHS)[name], expected)


def test_steps_in_a_row_are_a_sequence() -> None:
    model, x = stack_of("lstm"), sequences()
    formulas = Formulas(model)
    expected = formulas.run("serving_default", {"inputs": x})
    states = {name: np.zeros_like(expected[name]) for name in ("h_0", "c_0", "h_1")}
    for t in range(STEPS):
        after = formulas.run("step", {"inputs": x[:, t], **states})
        np.testing.assert_allclose(after.pop("outputs"), expected["outputs"][:, t], atol=1e-14)
        states = after
    for name, state in states.items():
        np.testing.assert_allclose(state, expected[name], atol=1e-14)


def test_a_batch_is_its_rows() -> None:
    model, x = stack_of("lstm"), sequences()
    together = Formulas(model).run("serving_default", {"inputs": x})
    for row in range(len(x)):
        alone = Formulas(model).run("serving_default", {"inputs": x[row : row + 1]})
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][row], value[0], atol=1e-14)


# Keras models


def keras_model(**config: Any) -> CanonicalModel:
    stated = with_input(recurrent_config("LSTM", "lstm_1", 5, **config), None, 3)
    return model_of(keras_artifact(sequential(stated), {"lstm_1": weight_shapes("LSTM", 3, 5)}))


def run(model: CanonicalModel, x: Any) -> Any:
    [source], [output] = model.inputs, model.outputs
    return Formulas(model).run("serving_default", {source.name: x})[output]


def test_the_last_output_is_the_end_of_all_outputs() -> None:
    x = sequences()
    whole = run(keras_model(return_sequences=True), x)
    np.testing.assert_array_equal(run(keras_model(return_sequences=False), x), whole[:, -1])


def test_backwards_is_forwards_over_the_reversed_sequence() -> None:
    """Outputs come in the order in which the steps were taken."""
    x = sequences()
    backwards = run(keras_model(go_backwards=True), x)
    np.testing.assert_array_equal(backwards, run(keras_model(), x[:, ::-1]))


def bidirectional(merge_mode: str, return_sequences: bool = True) -> CanonicalModel:
    inner = recurrent_config("LSTM", "lstm_1", 5, return_sequences=return_sequences)
    wrapper = with_input(
        layer("Bidirectional", "both", layer=inner, merge_mode=merge_mode), None, 3
    )
    weights = {
        f"{way}/{name}": shape
        for way in ("forward", "backward")
        for name, shape in weight_shapes("LSTM", 3, 5).items()
    }
    return model_of(keras_artifact(sequential(wrapper), {"both": weights}))


@pytest.mark.parametrize("return_sequences", [True, False])
def test_directions_are_merged_as_told(return_sequences: bool) -> None:
    x = sequences()
    both = run(bidirectional("concat", return_sequences), x)
    forward, backward = np.split(both, 2, axis=-1)
    expected = {"sum": forward + backward, "ave": (forward + backward) / 2}
    expected["mul"] = forward * backward
    for merge_mode, value in expected.items():
        np.testing.assert_allclose(run(bidirectional(merge_mode, return_sequences), x), value)
    assert np.max(np.abs(forward - backward)) > WRONG


def masked(zero_output_for_mask: bool, **config: Any) -> tuple[CanonicalModel, Any, Any]:
    """Masking in front of an LSTM, inputs with holes, and where they are whole."""
    mask = np.arange(STEPS) < LENGTHS[:, None]
    mask[0, 2:4] = False
    x = sequences() * mask[..., None]
    first = with_input(layer("Masking", "masking_1", mask_value=0.0), None, 3)
    parts = sequential(first, recurrent_config("LSTM", "lstm_1", 5, **config))
    model = model_of(keras_artifact(parts, {"lstm_1": weight_shapes("LSTM", 3, 5)}))
    [head, node] = model.nodes
    recurrent = dataclasses.replace(
        node.layer,
        zero_output_for_mask=zero_output_for_mask,  # type: ignore[type-var]
    )
    model = dataclasses.replace(model, nodes=(head, Node(recurrent, node.inbound)))
    return model, x, mask


def test_a_masked_step_repeats_the_output_before_it() -> None:
    model, x, mask = masked(zero_output_for_mask=False)
    outputs = run(model, x)
    for row, flags in enumerate(mask):
        held = np.zeros(5)
        for t, valid in enumerate(flags):
            if not valid:
                np.testing.assert_array_equal(outputs[row, t], held)
            held = outputs[row, t]


def test_or_gives_zeros_where_told() -> None:
    model, x, mask = masked(zero_output_for_mask=True)
    repeated, _, _ = masked(zero_output_for_mask=False)
    outputs = run(model, x)
    assert not outputs[~mask].any()
    np.testing.assert_array_equal(outputs[mask], run(repeated, x)[mask])


def test_a_hole_is_as_if_it_were_not_there() -> None:
    model, x, mask = masked(zero_output_for_mask=False, return_sequences=False)
    plain = keras_model(return_sequences=False)
    last = run(model, x)
    for row, flags in enumerate(mask):
        if flags.any():
            expected = run(plain, x[row : row + 1, flags])[0]
            np.testing.assert_allclose(last[row], expected, atol=1e-14)
        else:
            assert not last[row].any()


def test_the_source_is_left_as_it_was() -> None:
    model = stack_of("lstm")
    sources = [member.source for _, member in model.cells()]
    before = [dict(source.tensors) for source in sources]
    copies = [{role: array.copy() for role, array in tensors.items()} for tensors in before]
    formulas = Formulas(model, np.float32)
    formulas.run("serving_default", {"inputs": sequences()})
    for tensors, copied in zip(before, copies, strict=True):
        for role, array in tensors.items():
            np.testing.assert_array_equal(array, copied[role])
