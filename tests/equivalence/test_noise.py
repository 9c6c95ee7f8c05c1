"""Models that amplify rounding until a right conversion is visibly off, and how they are judged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator.equivalence.comparison import CONVERTED, ROUNDING, Thresholds
from rnn_migrator.equivalence.evaluation import Evaluation, evaluate
from rnn_migrator.equivalence.oracles.formulas import Formulas
from rnn_migrator.recognition.recognise import Recognition, recognise
from rnn_migrator.recognition.settings import parse_settings
from tests.equivalence.lab import materials
from tests.equivalence.mutations import Mutation, mutations
from tests.recognition.artifacts import artifact, lstm

STEPS, INPUTS, UNITS = 150, 3, 24
SETTINGS = ("forget_bias=1", "activation=tanh", "cell_clip=none")


@pytest.fixture(scope="module")
def chaotic() -> Recognition:
    """An LSTM with weights so large that every step doubles what rounding did to the last."""
    tame = artifact(lstm("rnn/lstm_cell", INPUTS, UNITS))
    wild = dataclasses.replace(tame, load=lambda name: 3 * tame.load(name))
    return recognise(wild, parse_settings(SETTINGS))


@pytest.fixture(scope="module")
def recording(chaotic: Recognition, tmp_path_factory: Any) -> Path:
    """What another float32 run of the same model gave on long sequences."""
    x = np.random.default_rng(3).normal(size=(4, STEPS, INPUTS)).astype(np.float32)
    outputs = Formulas(chaotic.model, np.float32).run("serving_default", {"inputs": x})
    file = tmp_path_factory.mktemp("chaos") / "golden.npz"
    # Another summation order of another framework: the last bit of the first step.
    outputs["outputs"] = Mutation("", "", "", chaotic.model).run()(
        "serving_default", {"inputs": x}
    )["outputs"]
    np.savez(file, **{"in:inputs": x, "out:outputs": outputs["outputs"]})
    return file


def judged(chaotic: Recognition, recording: Path, mutation: Mutation) -> Evaluation:
    return evaluate(chaotic, mutation.run(), materials(chaotic, [recording]))


def test_a_right_conversion_is_blessed(chaotic: Recognition, recording: Path) -> None:
    """Though the legacy run itself is far from float64 in the end."""
    found = judged(chaotic, recording, Mutation("", "", "", chaotic.model))
    assert found.objections == []
    assert found.blessed
    errors = found.comparison.outputs["serving_default/outputs"]
    assert errors.drift["recorded outputs"].max() > 0.1
    assert errors.drift[CONVERTED].max() > 0.1
    assert errors.drift[ROUNDING].max() > 0.1


def test_what_is_shown_is_not_judged(chaotic: Recognition, recording: Path) -> None:
    found = judged(chaotic, recording, Mutation("", "", "", chaotic.model))
    errors = found.comparison.outputs["serving_default/outputs"]
    assert 4 < len(errors.rounding) < STEPS
    assert len(errors.drift[ROUNDING]) == STEPS
    assert errors.bound(Thresholds()).max() < 0.05
    [text] = [found.to_json()["outputs"]["serving_default/outputs"]]
    assert text["judged_steps"] == len(errors.rounding)
    assert len(text["parties"][CONVERTED]["by_step"]) == STEPS


def test_every_wrong_conversion_is_refused(chaotic: Recognition, recording: Path) -> None:
    kinds = []
    for mutation in mutations(chaotic.model):
        found = judged(chaotic, recording, mutation)
        assert not found.equivalent, mutation.kind
        assert found.comparison.excess(CONVERTED, Thresholds()) > 30, mutation.kind
        kinds.append(mutation.kind)
    assert len(kinds) > 8


def test_a_model_of_which_nothing_can_be_judged_is_not_blessed(
    chaotic: Recognition, recording: Path
) -> None:
    cases = materials(chaotic, [recording])
    strict = Thresholds(noisy=1e-12)
    found = evaluate(chaotic, Mutation("", "", "", chaotic.model).run(), cases, strict)
    assert not found.equivalent
    assert any("nothing of it can be judged" in text for text in found.objections)
