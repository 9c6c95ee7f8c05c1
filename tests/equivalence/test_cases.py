from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel, state_sizes
from rnn_migrator.equivalence.cases import Case, probe_cases, recorded_case
from rnn_migrator.errors import ExitStatus, UnreadableError, UsageError
from tests.equivalence.lab import LAB, LabModel
from tests.recognition.artifacts import (
    Config,
    artifact,
    keras_artifact,
    layer,
    lstm,
    model_of,
    recurrent_config,
    sequential,
    weight_shapes,
    with_input,
)

BOTH = {
    n: s
    for way in ("fw", "bw")
    for n, s in lstm(f"bidirectional_rnn/{way}/lstm_cell", 3, 5).items()
}
STACK = lstm("rnn/lstm_cell", 3, 5)


def stack(shapes: Any = STACK) -> CanonicalModel:
    return model_of(artifact(shapes))


def behind(first: Config, inputs: int, **weights: Any) -> CanonicalModel:
    parts = sequential(first, recurrent_config("LSTM", "lstm_1", 5))
    return model_of(keras_artifact(parts, {"lstm_1": weight_shapes("LSTM", inputs, 5), **weights}))


def embedded(shape: list[int | None], **config: Any) -> CanonicalModel:
    first = layer("Embedding", "emb_1", input_dim=11, output_dim=4, **config)
    return behind(with_input(first, *shape), 4, emb_1={"embeddings:0": (11, 4)})


def by_key(model: CanonicalModel) -> dict[str, Case]:
    return {case.key: case for case in probe_cases(model)}


# Probes


def test_bare_weights_are_probed_through_every_signature() -> None:
    cases = by_key(stack())
    assert {case.signature for case in cases.values()} == {
        "serving_default",
        "with_lengths",
        "step",
    }
    assert all(case.expected is None for case in cases.values())
    assert len(cases) == len(probe_cases(stack()))


def test_both_directions_know_no_step() -> None:
    assert {c.signature for c in probe_cases(stack(BOTH))} == {"serving_default", "with_lengths"}


def test_probes_are_of_every_kind() -> None:
    cases = by_key(stack())
    x = {key: case.inputs["inputs"] for key, case in cases.items()}
    assert all(array.dtype == np.float32 and array.shape[-1] == 3 for array in x.values())
    assert np.std(x["saturating"]) > 5 * np.std(x["ordinary"])
    assert not x["zero"].any()
    assert x["long"].shape[1] > 3 * x["ordinary"].shape[1]
    assert x["single step"].shape[1] == 1
    assert x["single row"].shape[0] == 1
    lengths = cases["ragged"].inputs["sequence_length"]
    steps = x["ragged"].shape[1]
    assert {0, 1, steps} < set(lengths.tolist())
    assert lengths.dtype == np.int32
    assert not cases["all empty"].inputs["sequence_length"].any()
    states = {name: cases["states"].inputs[name] for name in ("h_0", "c_0")}
    assert all(state.shape == (len(x["states"]), 5) and state.any() for state in states.values())


def test_probe_rows_differ() -> None:
    """Equal rows could be mixed up without a trace."""
    for case in probe_cases(stack()):
        x = case.inputs["inputs"]
        if case.key != "zero" and len(x) > 1:
            assert len(np.unique(x.reshape(len(x), -1), axis=0)) == len(x)


def test_probes_are_the_same_every_time() -> None:
    for one, other in zip(probe_cases(stack()), probe_cases(stack()), strict=True):
        assert one.key == other.key
        for name, array in one.inputs.items():
            np.testing.assert_array_equal(array, other.inputs[name])


@pytest.mark.parametrize("lab", LAB.values(), ids=LAB)
def test_probes_fit_every_model_of_the_lab(lab: LabModel) -> None:
    model = lab.recognition.model
    wanted = {source.name: source for source in model.inputs}
    for case in probe_cases(model):
        for name, array in case.inputs.items():
            if name in wanted and case.signature != "step":
                pairs = zip(array.shape[1:], wanted[name].shape, strict=True)
                assert all(size in (None, given) for given, size in pairs)


def test_an_embedding_is_fed_ids() -> None:
    for shape in ([None], [6]):
        model = embedded(shape)  # type: ignore[arg-type]
        for case in probe_cases(model):
            [ids] = case.inputs.values()
            assert ids.shape[1:] == ((6,) if shape == [6] else ids.shape[1:])
            np.testing.assert_array_equal(ids, np.round(ids))
            assert ids.min() >= 0
            assert ids.max() <= 10
        ordinary = next(iter(by_key(model)["ordinary"].inputs.values()))
        assert (ordinary.max(), ordinary.min()) == (10, 0)


def test_a_masked_model_is_fed_padding() -> None:
    model = behind(with_input(layer("Masking", "mask_1", mask_value=-1.5), None, 3), 3)
    [x] = by_key(model)["padded"].inputs.values()
    lengths = np.any(x != -1.5, axis=-1).sum(axis=1)
    assert sorted(lengths) == [0, 2, 4, 6, 9]
    assert (x[lengths == 4][:, 4:] == -1.5).all()


def test_an_embedding_that_masks_is_fed_padding() -> None:
    [ids] = by_key(embedded([None], mask_zero=True))["padded"].inputs.values()
    assert (ids[0] == 0).all()
    assert (ids[-1] != 0).any()


def test_no_mask_no_padding() -> None:
    assert "padded" not in by_key(embedded([None]))


# Recordings


def record(folder: Path, **arrays: Any) -> Path:
    file = folder / "golden.npz"
    np.savez(file, **{key.replace("__", ":"): array for key, array in arrays.items()})
    return file


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


STATES = {f"in__{name}": normal(2, 5) for name in ("h_0", "c_0")}


@pytest.mark.parametrize(
    ("inputs", "signature"),
    [
        ({"in__inputs": normal(2, 4, 3)}, "serving_default"),
        (
            {"in__inputs": normal(2, 4, 3), "in__sequence_length": np.array([4, 0])},
            "with_lengths",
        ),
        ({"in__inputs": normal(2, 3), **STATES}, "step"),
    ],
)
def test_the_inputs_tell_the_signature(tmp_path: Path, inputs: Any, signature: str) -> None:
    file = record(tmp_path, **inputs, out__outputs=normal(2, 4, 5))
    case = recorded_case(file, stack())
    assert (case.key, case.signature) == ("recorded in golden.npz", signature)
    assert set(case.inputs) == {key.removeprefix("in__") for key in inputs}
    assert case.expected is not None
    assert set(case.expected) == {"outputs"}


def test_inputs_come_as_the_signature_takes_them(tmp_path: Path) -> None:
    """NumPy makes float64 and int64 where nobody says otherwise; a SavedModel takes neither."""
    lengths = np.array([4, 0])
    file = record(
        tmp_path,
        in__inputs=normal(2, 4, 3),
        in__sequence_length=lengths,
        out__outputs=normal(2, 4, 5),
    )
    inputs = recorded_case(file, stack()).inputs
    assert {name: array.dtype.name for name, array in inputs.items()} == {
        "inputs": "float32",
        "sequence_length": "int32",
    }
    np.testing.assert_array_equal(inputs["sequence_length"], lengths)


@pytest.mark.parametrize("lab", LAB.values(), ids=LAB)
def test_the_goldens_of_the_lab_are_recordings(lab: LabModel) -> None:
    model = lab.recognition.model
    for file, signature in zip(lab.golden_files, lab.goldens, strict=True):
        case = recorded_case(file, model)
        assert case.signature == signature
        names = {"outputs", *state_sizes(model.recurrent_layers)}
        known = names if model.bare_weights else set(model.outputs)
        assert case.expected is not None
        assert set(case.expected) == known


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"in__x": normal(2, 4, 3), "out__outputs": normal(2)}, "inputs in:NAME for"),
        ({"out__outputs": normal(2)}, "inputs in:NAME for inputs"),
        (
            {"in__inputs": normal(2, 4, 3), "in__h_0": normal(2, 5), "out__outputs": normal(2)},
            "c_0",
        ),
        ({"in__inputs": normal(2, 4, 3)}, "outputs out:NAME among"),
        ({"in__inputs": normal(2, 4, 3), "out__logits": normal(2)}, "outputs out:NAME among"),
        ({"inputs": normal(2, 4, 3), "outputs": normal(2)}, "in:NAME"),
        ({"in__inputs": normal(2, 4, 4), "out__outputs": normal(2)}, "shape [batch, any, 3]"),
        ({"in__inputs": normal(4, 3), "out__outputs": normal(2)}, "shape [batch, any, 3]"),
        ({"in__inputs": normal(2, 3), **STATES, "out__h_1": normal(2, 5)}, "among c_0, h_0"),
        (
            {
                "in__inputs": normal(2, 3),
                **STATES,
                "in__c_0": normal(2, 4),
                "out__h_0": normal(2),
            },
            "shape [batch, 5]",
        ),
        (
            {
                "in__inputs": normal(4, 2, 3),
                "in__sequence_length": np.array([1, 2]),
                "out__outputs": normal(2),
            },
            "one batch size",
        ),
        ({"in__inputs": np.float32(1), "out__outputs": normal(2)}, "shape [batch, any, 3]"),
    ],
)
def test_what_is_no_recording_of_the_model(tmp_path: Path, arrays: Any, told: str) -> None:
    file = record(tmp_path, **arrays)
    with pytest.raises(UsageError) as caught:
        recorded_case(file, stack())
    assert caught.value.status == ExitStatus.USAGE
    assert told in str(caught.value)
    assert all(p.where.startswith(str(file)) for p in caught.value.problems)


def test_wrong_inputs_and_outputs_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        recorded_case(record(tmp_path, in__x=normal(2), out__y=normal(2)), stack())
    assert len(caught.value.problems) == 2


def test_what_is_no_npz_file(tmp_path: Path) -> None:
    (tmp_path / "golden.npz").write_bytes(b"nothing")
    for file in (tmp_path / "golden.npz", tmp_path / "missing.npz"):
        with pytest.raises(UnreadableError):
            recorded_case(file, stack())
