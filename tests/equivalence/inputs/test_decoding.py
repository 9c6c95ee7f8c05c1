from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence.inputs.decoding import Decoder, Row
from rnn_migrator.errors import UsageError
from tests.equivalence.inputs.models import embedded, stack
from tests.equivalence.inputs.records import example, sequence

X = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
IDS = np.array([3, 0, 10, 1])
FEATURES = {"inputs": "x"}


def decoded(record: bytes, model: CanonicalModel, **features: str) -> Row:
    return Decoder(model, features)(record, "file#0")


def only_input(model: CanonicalModel) -> str:
    return model.inputs[0].name


@pytest.mark.parametrize("record", [example(x=X), sequence(x=X), sequence({"x": X})])
def test_a_sequence_of_vectors(record: bytes) -> None:
    row = decoded(record, stack(), inputs="x")
    assert row.inputs["inputs"].dtype == np.float32
    np.testing.assert_array_equal(row.inputs["inputs"], X)
    assert row.length is None


@pytest.mark.parametrize("record", [example(ids=IDS), sequence(ids=IDS)])
@pytest.mark.parametrize("shape", [[None], [4]])
def test_a_sequence_of_ids(record: bytes, shape: list[int | None]) -> None:
    model = embedded(shape)
    row = decoded(record, model, **{only_input(model): "ids"})
    np.testing.assert_array_equal(row.inputs[only_input(model)], IDS)
    assert row.inputs[only_input(model)].dtype == model.inputs[0].dtype


def test_whole_numbers_where_the_model_takes_any() -> None:
    row = decoded(example(x=np.arange(6)), stack(), inputs="x")
    np.testing.assert_array_equal(row.inputs["inputs"], [[0, 1, 2], [3, 4, 5]])


def test_the_name_of_the_input_will_do() -> None:
    np.testing.assert_array_equal(decoded(example(inputs=X), stack()).inputs["inputs"], X)


@pytest.mark.parametrize("record", [sequence(x=[]), example(x=X[:0])])
def test_no_steps_at_all(record: bytes) -> None:
    assert decoded(record, stack(), inputs="x").inputs["inputs"].shape == (0, 3)


@pytest.mark.parametrize("length", [0, 5, 7])
def test_a_length(length: int) -> None:
    row = decoded(example(x=X, n=[length]), stack(), inputs="x", sequence_length="n")
    assert row.length == length
    assert set(row.inputs) == {"inputs"}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (example(y=X), "a record of y"),
        (example(), "a record of nothing"),
        (example(x=X.ravel()[:-1]), "20 values"),
        (sequence(x=X[:, :2]), "7 steps of 2"),
        (sequence(x=[[1.0, 2.0, 3.0], [1.0]]), "1 to 3"),
        (example(x=["a"]), "bytes"),
        (example(x=[1.0, np.nan, 2.0]), "NaN or infinity in 1"),
        (example(x=[1.0, np.inf, -np.inf]), "NaN or infinity in 2"),
        (b"\xff\xff\xff\xff", "bytes that are neither"),
    ],
)
def test_what_does_not_fit(record: bytes, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        decoded(record, stack(), inputs="x")
    [problem] = caught.value.problems
    assert problem.where.startswith("file#0")
    assert told in problem.received
    assert problem.remedy


@pytest.mark.parametrize("n", [[-1], [8], [1, 2], []])
def test_a_length_that_is_none(n: list[int]) -> None:
    with pytest.raises(UsageError, match="one length from 0 to 7"):
        decoded(example(x=X, n=np.array(n, int)), stack(), inputs="x", sequence_length="n")


@pytest.mark.parametrize("ids", [[11], [-1, 3], [10, 400]])
def test_ids_that_the_embedding_does_not_have(ids: list[int]) -> None:
    model = embedded([None])
    with pytest.raises(UsageError, match="ids from 0 to 10"):
        decoded(example(ids=ids), model, **{only_input(model): "ids"})


@pytest.mark.parametrize("shape", [[5], [3]])
def test_another_length_than_the_model_takes(shape: list[int | None]) -> None:
    model = embedded(shape)
    for record in (example(ids=IDS), sequence(ids=IDS)):
        with pytest.raises(UsageError, match=rf"shape \[{shape[0]}\]"):
            decoded(record, model, **{only_input(model): "ids"})


@pytest.mark.parametrize("features", [{"x": "x"}, {"inputs": "x", "lengths": "n"}])
def test_an_input_that_the_model_does_not_have(features: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="inputs, sequence_length"):
        Decoder(stack(), features)


def test_a_keras_model_takes_no_lengths() -> None:
    with pytest.raises(UsageError, match="an input of the model"):
        Decoder(embedded([None]), {"sequence_length": "n"})
