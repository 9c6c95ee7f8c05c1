"""Conversions broken on purpose: that they are there, are broken, and show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnn_migrator.canonical import CanonicalModel
from rnn_migrator.equivalence.controls import broken_models
from rnn_migrator.equivalence.inputs.probes import probe_cases
from rnn_migrator.equivalence.oracles.formulas import Formulas
from tests.equivalence.lab import DISTINCT, LabModel

SWAPS_LSTM = {
    "candidate and forget gates swapped",
    "input and output gates swapped",
    "candidate and output gates swapped",
}
SWAPS_GRU = {"update and reset gates swapped", "update and candidate gates swapped"}
EXPECTED = {
    "tf1_stacked_lstm": SWAPS_LSTM
    | {
        "forget bias off by one",
        "sigmoid and hard sigmoid mistaken",
        "masked output repeated",
    },
    "tf1_bidirectional_gru": SWAPS_GRU
    | {
        "sigmoid and hard sigmoid mistaken",
        "masked output repeated",
    },
    "keras2_lstm_hard_sigmoid": SWAPS_LSTM
    | {
        "forget bias off by one",
        "sigmoid and hard sigmoid mistaken",
        "hard sigmoid of Keras 3",
    },
    "keras2_cudnn_lstm": SWAPS_LSTM
    | {
        "forget bias off by one",
        "second bias lost",
        "sigmoid and hard sigmoid mistaken",
    },
    "keras2_gru_cudnn": SWAPS_GRU
    | {
        "second bias lost",
        "sigmoid and hard sigmoid mistaken",
    },
}
labs = pytest.mark.parametrize("lab", DISTINCT.values(), ids=DISTINCT)


def difference(one: CanonicalModel, other: CanonicalModel) -> float:
    """Largest difference of two models over the probes."""
    worst = 0.0
    for case in probe_cases(one):
        results = [
            Formulas(model).run(case.signature, case.inputs, case.calls) for model in (one, other)
        ]
        worst = max(worst, *(np.max(np.abs(results[0][n] - results[1][n])) for n in results[0]))
    return worst


def tensors(model: CanonicalModel) -> dict[str, Any]:
    return {
        f"{where}/{role}": tensor.tobytes()
        for where, member in model.cells()
        for role, tensor in member.source.tensors.items()
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_every_mistake_that_can_be_made_is_there(name: str) -> None:
    assert set(broken_models(DISTINCT[name].recognition.model)) == EXPECTED[name]


@labs
def test_every_mistake_shows_on_the_probes(lab: LabModel) -> None:
    model = lab.recognition.model
    for name, broken in broken_models(model).items():
        assert difference(model, broken) > 1e-3, name


@labs
def test_the_model_is_left_as_it_was(lab: LabModel) -> None:
    model = lab.recognition.model
    before = tensors(model)
    for broken in broken_models(model).values():
        assert broken is not model
    assert tensors(model) == before


@labs
def test_a_mistake_is_one_mistake(lab: LabModel) -> None:
    """Every layer but one is the same, and names and wiring with it."""
    model = lab.recognition.model
    for name, broken in broken_models(model).items():
        assert [node.inbound for node in broken.nodes] == [node.inbound for node in model.nodes]
        assert [n.layer.name for n in broken.nodes] == [n.layer.name for n in model.nodes]
        if name == "masked output repeated":
            continue
        changed = [
            one.name
            for one, other in zip(model.recurrent_layers, broken.recurrent_layers, strict=True)
            if one is not other
        ]
        assert len(changed) == 1
