from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence.inputs.batches import Batcher
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.inputs.decoding import Row
from rnn_migrator.equivalence.oracles.formulas import Formulas
from tests.equivalence.inputs.models import behind, embedded, stack
from tests.equivalence.lab import LAB
from tests.recognition.artifacts import layer, with_input

STACK = stack()
PLAIN = embedded([None])
MASKED = embedded([None], mask_zero=True)
MASKING = behind(with_input(layer("Masking", "m", mask_value=7.0), None, 4), 4)


def rows(model: CanonicalModel, lengths: list[int]) -> list[Row]:
    rng, source = np.random.default_rng(0), model.inputs[0]
    width = source.shape[1:]
    made = []
    for index, length in enumerate(lengths):
        values = rng.normal(size=(length, *(n or 1 for n in width)))
        array = values if width else rng.integers(1, 11, length)
        made.append(Row(f"f#{index}", {source.name: array.astype(source.dtype)}))
    return made


def batches(model: CanonicalModel, lengths: list[int], size: int = 4) -> list[Case]:
    return list(Batcher(model, size).batches(rows(model, lengths), "f"))


lengths = st.lists(st.integers(1, 40), max_size=30)


@given(lengths, st.integers(1, 5), st.sampled_from([STACK, PLAIN, MASKED, MASKING]))
def test_every_record_is_in_one_batch(found: list[int], size: int, model: CanonicalModel) -> None:
    made = batches(model, found, size)
    keys = [key for case in made for key in case.rows]
    assert sorted(keys) == sorted(f"f#{index}" for index in range(len(found)))
    assert all(1 <= len(case.rows) <= size for case in made)
    for case in made:
        assert {len(array) for array in case.inputs.values()} == {len(case.rows)}


@given(lengths)
def test_what_cannot_be_padded_is_of_one_length(found: list[int]) -> None:
    given_rows = {row.key: row.inputs[PLAIN.inputs[0].name] for row in rows(PLAIN, found)}
    for case in batches(PLAIN, found):
        [array] = case.inputs.values()
        for key, row in zip(case.rows, array, strict=True):
            np.testing.assert_array_equal(row, given_rows[key])


def test_bare_weights_are_told_the_lengths() -> None:
    [case] = batches(STACK, [3, 0, 5])
    assert case.signature == "with_lengths"
    assert case.inputs["inputs"].shape == (3, 5, 3)
    np.testing.assert_array_equal(case.inputs["sequence_length"], [3, 0, 5])
    assert not case.inputs["inputs"][0, 3:].any()


def test_no_lengths_where_all_are_the_same() -> None:
    [case] = batches(STACK, [5, 5])
    assert case.signature == "serving_default"
    assert set(case.inputs) == {"inputs"}


def test_a_stated_length_cuts() -> None:
    row = Row("f#0", {"inputs": np.ones((6, 3), np.float32)}, 2)
    [case] = Batcher(STACK, 4).batches([row], "f")
    np.testing.assert_array_equal(case.inputs["sequence_length"], [2])


@pytest.mark.parametrize(("model", "value"), [(MASKED, 0), (MASKING, 7)])
def test_masked_steps_fill_up(model: CanonicalModel, value: float) -> None:
    [case] = batches(model, [3, 5])
    [array] = case.inputs.values()
    assert array.shape[1] == 5
    assert (array[0, 3:] == value).all()
    assert (array[1] != value).all()


@pytest.mark.parametrize("model", [STACK, MASKED, MASKING])
def test_padding_changes_no_output(model: CanonicalModel) -> None:
    found = [2, 6, 1, 5]
    [together] = batches(model, found)
    outputs = Formulas(model).run(together.signature, together.inputs)
    for index, length in enumerate(found):
        row = list(together.rows).index(f"f#{index}")
        [alone] = Batcher(model, 1).batches([rows(model, found)[index]], "f")
        for name, [expected] in Formulas(model).run(alone.signature, alone.inputs).items():
            received = outputs[name][row] if expected.ndim == 1 else outputs[name][row, :length]
            np.testing.assert_allclose(received, expected, rtol=0, atol=1e-15)


def test_similar_lengths_lie_together() -> None:
    made = batches(STACK, [3, 100, 7, 120, 5, 90], size=8)
    assert [case.inputs["inputs"].shape[:2] for case in made] == [(3, 7), (3, 120)]


def test_a_fixed_batch_is_filled_up() -> None:
    model: Any = LAB["keras2_stateful"].recognition.model
    size = model.inputs[0].batch
    made = list(Batcher(model, 64).batches(rows(model, [4] * (size + 1)), "f"))
    assert [len(case.rows) for case in made] == [size, size]
    assert set(made[1].rows) == {f"f#{size}"}


def test_a_batch_has_the_keys_of_its_rows() -> None:
    [case] = batches(STACK, [3, 4])
    assert (case.key, case.rows, case.file) == ("f#0 and 1 more", ("f#0", "f#1"), "f")
    [case] = batches(STACK, [3])
    assert case.key == "f#0"
