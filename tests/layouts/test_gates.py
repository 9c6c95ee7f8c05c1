from __future__ import annotations

import numpy as np
import pytest

from rnn_migrator.layouts.gates import (
    fused_gates,
    fused_kernel,
    gate_names,
    gate_roles,
    gates_by_role,
    join_gates,
    joined,
    separate_gates,
    split_gates,
    tensors_by_role,
)

RNG = np.random.default_rng(4)


def test_letters_stand_for_names() -> None:
    assert gate_names("icfo") == ("input", "candidate", "forget", "output")
    assert gate_names("zrh") == ("update", "reset", "candidate")


@pytest.mark.parametrize("order", ["icfo", "ifco", "cfo", "zrh", "rz", "c"])
@pytest.mark.parametrize("rows", [(), (3,), (3, 2, 4)])
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


@pytest.mark.parametrize("width", [2, 3])
def test_a_shared_kernel_has_the_input_above_the_state(width: int) -> None:
    kernel, bias = RNG.normal(size=(4 + width, 6)), RNG.normal(size=6)
    gates = fused_gates(kernel, bias, "cfo", width)
    np.testing.assert_array_equal(gates["forget"].kernel, kernel[:4, 2:4])
    np.testing.assert_array_equal(gates["forget"].recurrent, kernel[4:, 2:4])
    np.testing.assert_array_equal(gates["output"].bias, bias[4:])
    np.testing.assert_array_equal(fused_kernel(gates, "cfo"), kernel)
    np.testing.assert_array_equal(joined(gates, "bias", "cfo"), bias)


def test_separate_kernels() -> None:
    kernel, recurrent = RNG.normal(size=(4, 6)), RNG.normal(size=(3, 6))
    gates = separate_gates(kernel, recurrent, None, "zr")
    assert {name: gate.bias for name, gate in gates.items()} == {"update": None, "reset": None}
    np.testing.assert_array_equal(gates["reset"].recurrent, recurrent[:, 3:])
    np.testing.assert_array_equal(joined(gates, "kernel", "zr"), kernel)


def test_roles_of_each_part_of_each_gate() -> None:
    assert gate_roles("zh", {"kernel": "W_{letter}", "bias": "{name}/b"}) == {
        "update": {"kernel": "W_z", "bias": "update/b"},
        "candidate": {"kernel": "W_h", "bias": "candidate/b"},
    }


def test_parts_that_lie_apart_are_turned_and_turned_back() -> None:
    roles = gate_roles(
        "zh", {"kernel": "w_{letter}", "recurrent": "r_{letter}", "bias": "b_{letter}"}
    )
    shapes = {"w": (3, 4), "r": (3, 3), "b": (3,)}
    tensors = {
        f"{part}_{letter}": RNG.normal(size=shapes[part]) for letter in "zh" for part in shapes
    }
    del tensors["b_h"]
    gates = gates_by_role(tensors, roles, np.transpose)
    np.testing.assert_array_equal(gates["candidate"].kernel, tensors["w_h"].T)
    np.testing.assert_array_equal(gates["update"].bias, tensors["b_z"])
    assert gates["candidate"].bias is None
    returned = tensors_by_role(gates, roles, np.transpose)
    assert returned.keys() == tensors.keys()
    for role, array in tensors.items():
        np.testing.assert_array_equal(returned[role], array)
        assert not np.shares_memory(returned[role], array)
