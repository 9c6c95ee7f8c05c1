from __future__ import annotations

import numpy as np
import pytest

from rnn_migrator.layouts.gates import gate_names, join_gates, split_gates


def test_letters_stand_for_names() -> None:
    assert gate_names("icfo") == ("input", "candidate", "forget", "output")
    assert gate_names("zrh") == ("update", "reset", "candidate")


@pytest.mark.parametrize("order", ["icfo", "ifco", "zrh", "rz"])
@pytest.mark.parametrize("rows", [(), (3,)])
def test_joining_undoes_splitting(order: str, rows: tuple[int, ...]) -> None:
    fused = np.arange(np.prod((*rows, 2 * len(order)))).reshape(*rows, -1)
    np.testing.assert_array_equal(join_gates(split_gates(fused, order), order), fused)


def test_blocks_lie_in_the_stated_order() -> None:
    blocks = split_gates(np.repeat([1.0, 2.0, 3.0, 4.0], 2), "icfo")
    assert {name: block.tolist() for name, block in blocks.items()} == {
        "input": [1.0, 1.0],
        "candidate": [2.0, 2.0],
        "forget": [3.0, 3.0],
        "output": [4.0, 4.0],
    }


def test_blocks_are_no_views() -> None:
    fused = np.zeros((2, 8))
    for block in split_gates(fused, "ifco").values():
        block += 1.0
    assert not fused.any()


def test_a_width_that_is_no_multiple_is_an_error() -> None:
    with pytest.raises(ValueError, match="equal division"):
        split_gates(np.zeros((2, 9)), "ifco")
