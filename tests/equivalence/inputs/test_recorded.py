from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import state_sizes
from rnn_migrator.equivalence.inputs.recorded import recorded_cases
from rnn_migrator.errors import ExitStatus, UnreadableError, UsageError
from tests.equivalence.inputs.models import stack
from tests.equivalence.lab import LAB, LabModel


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
    [case] = recorded_cases(file, stack())
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
    [case] = recorded_cases(file, stack())
    inputs = case.inputs
    assert {name: array.dtype.name for name, array in inputs.items()} == {
        "inputs": "float32",
        "sequence_length": "int32",
    }
    np.testing.assert_array_equal(inputs["sequence_length"], lengths)


@pytest.mark.parametrize("lab", LAB.values(), ids=LAB)
def test_the_goldens_of_the_lab_are_recordings(lab: LabModel) -> None:
    model = lab.recognition.model
    for file, signature in zip(lab.golden_files, lab.goldens, strict=True):
        [case] = recorded_cases(file, model)
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
        recorded_cases(file, stack())
    assert caught.value.status == ExitStatus.USAGE
    assert told in str(caught.value)
    assert all(p.where.startswith(str(file)) for p in caught.value.problems)


def test_wrong_inputs_and_outputs_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        recorded_cases(record(tmp_path, in__x=normal(2), out__y=normal(2)), stack())
    assert len(caught.value.problems) == 2


def test_what_is_no_npz_file(tmp_path: Path) -> None:
    (tmp_path / "golden.npz").write_bytes(b"nothing")
    for file in (tmp_path / "golden.npz", tmp_path / "missing.npz"):
        with pytest.raises(UnreadableError):
            recorded_cases(file, stack())


def test_many_rows_come_in_batches(tmp_path: Path) -> None:
    inputs, outputs = (normal(600, 4, n).astype(np.float32) for n in (3, 5))
    file = record(tmp_path, in__inputs=inputs, out__outputs=outputs)
    cases = recorded_cases(file, stack())
    assert [case.key for case in cases] == [
        "recorded in golden.npz, rows 0 to 255",
        "recorded in golden.npz, rows 256 to 511",
        "recorded in golden.npz, rows 512 to 599",
    ]
    for name, whole in (("inputs", inputs), ("outputs", outputs)):
        parts = [{**case.inputs, **(case.expected or {})}[name] for case in cases]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
