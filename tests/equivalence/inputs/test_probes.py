from __future__ import annotations

import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.inputs.probes import probe_cases
from tests.equivalence.inputs.models import BOTH, behind, embedded, stack
from tests.equivalence.lab import LAB, LabModel
from tests.recognition.artifacts import layer, with_input


def by_key(model: CanonicalModel) -> dict[str, Case]:
    return {case.key: case for case in probe_cases(model)}


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
