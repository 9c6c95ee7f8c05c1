from __future__ import annotations

import pytest

from rnn_migrator.layouts.shapes import evaluate, forms, rank, solve

LSTM = {"kernel": "[I+H, 4U]", "bias": "[4U]"}
PROJECTED = {**LSTM, "projection": "[U, P]"}


def test_letters_are_counted() -> None:
    assert forms("[I+2U, 4U]") == ({"I": 1, "U": 2}, {"U": 4})
    assert forms("[2, 3U]") == ({"1": 2}, {"U": 3})
    assert forms("[]") == ()
    assert rank("[A, B, I, U]") == 4


def test_shapes_of_given_sizes() -> None:
    assert evaluate("[I+H, 4U]", {"I": 3, "U": 5, "H": 4}) == (7, 20)
    assert evaluate("[2, 3U]", {"U": 5}) == (2, 15)


@pytest.mark.parametrize(
    ("symbols", "shapes", "sizes"),
    [
        (LSTM, {"kernel": (8, 20), "bias": (20,)}, {"I": 3, "U": 5, "H": 5}),
        (
            PROJECTED,
            {"kernel": (7, 20), "bias": (20,), "projection": (5, 4)},
            {"I": 3, "U": 5, "P": 4, "H": 4},
        ),
        # The sizes do not have to be told by the first tensor.
        ({"a": "[I+U]", "b": "[U]"}, {"a": (8,), "b": (5,)}, {"I": 3, "U": 5, "H": 5}),
    ],
)
def test_sizes_of_given_shapes(symbols, shapes, sizes) -> None:
    found = solve(symbols, shapes)
    assert found is not None
    assert {letter: found[letter] for letter in sizes} == sizes


@pytest.mark.parametrize(
    ("symbols", "shapes"),
    [
        (LSTM, {"kernel": (5, 20), "bias": (20,)}),  # no row is left for the input
        (LSTM, {"kernel": (8, 18), "bias": (18,)}),  # not four blocks
        (LSTM, {"kernel": (8, 20, 1), "bias": (20,)}),  # leaves the input open
        ({"bias": "[4U]", "kernel": "[I, 4U]"}, {"bias": (20,), "kernel": (3,)}),
        ({"kernel": "[I, 4U]"}, {"kernel": ()}),
    ],
)
def test_no_sizes(symbols, shapes) -> None:
    assert solve(symbols, shapes) is None


def test_the_first_tensor_counts_where_two_disagree() -> None:
    found = solve({"a": "[U]", "b": "[U]"}, {"a": (5,), "b": (6,)})
    assert found is not None
    assert found["U"] == 5
