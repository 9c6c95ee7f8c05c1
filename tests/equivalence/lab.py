"""The lab's models, recognised, with what the old frameworks answered."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_migrator.equivalence.comparison import CONVERTED, Thresholds, compare_case
from rnn_migrator.equivalence.evaluation import Evaluation, assumptions
from rnn_migrator.equivalence.evaluator import Measurement
from rnn_migrator.equivalence.inputs import case as evaluated
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.equivalence.oracles import Attendance
from rnn_migrator.equivalence.yardstick import Yardstick
from rnn_migrator.keras_model.build import build_model
from rnn_migrator.keras_model.export import save
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.readers import open_artifact
from rnn_migrator.recognition.recognise import Recognition, recognise
from rnn_migrator.recognition.settings import parse_settings
from tests.legacy_lab.cases import Arrays, Case, load_cases

CASES = load_cases()
REFUSED = (
    "keras1_gone_layers",
    "keras1_merge_cosine",
    "keras1_merge_lambda",
    "keras2_own_layer",
    "tf1_15_handwritten_gru_gate_scopes_no_meta",
)
"""Cases that hold what no later release has, or what nobody but their author knows."""

SAME_WEIGHTS = ("_csv", "_npz", "_no_meta", "_weights")
"""Endings of cases that hold the model of another case in another format."""


@dataclasses.dataclass(frozen=True)
class LabModel:
    """A case, or one scope of it."""

    case: Case
    scope: str = ""

    @property
    def name(self) -> str:
        """Name for test ids."""
        return f"{self.case.name}-{self.scope}" if self.scope else self.case.name

    @functools.cached_property
    def recognition(self) -> Recognition:
        """What the artifact means, settings of the case included."""
        return recognised(self.case, self.scope)

    @property
    def goldens(self) -> dict[str, dict[str, Arrays]]:
        """Inputs and outputs by signature."""
        if self.scope:
            return {"serving_default": self.case.golden(self.scope)}
        return {signature: self.case.golden(signature) for signature in self.case.goldens}

    @property
    def golden_files(self) -> list[Path]:
        """The files they are in."""
        return [self.case.scopes[self.scope]] if self.scope else list(self.case.goldens.values())


def materials(recognition: Recognition, golden: Iterable[Path] = ()) -> list[Any]:
    """What a model is compared on."""
    return Inputs(tuple(map(str, golden))).materials(recognition.model)


def judge(
    recognition: Recognition, measured: Measurement, sent: int, thresholds: Thresholds | None = None
) -> Evaluation:
    """The verdict on what was measured."""
    assumed = assumptions(recognition)
    return Evaluation(measured, sent, Attendance(), assumed, thresholds or Thresholds())


def check_answers(lab: LabModel, answers: Mapping[str, Any], signature: str) -> None:
    """Asserts that they are the outputs of a golden, but for the rounding of float32.

    Both may be as far from float64 as the evaluator allows.
    """
    outputs, bounds = lab.goldens[signature]["outputs"], _bounds(lab.name, signature)
    assert set(answers) == set(outputs)
    for name, expected in outputs.items():
        received = np.asarray(answers[name])
        assert received.shape == expected.shape
        assert received.dtype == expected.dtype
        np.testing.assert_allclose(received, expected, rtol=0, atol=2 * bounds[name])


@functools.cache
def _bounds(name: str, signature: str) -> dict[str, float]:
    """What rounding may come to in a model of the lab, by output."""
    lab = LAB[name]
    yardstick, thresholds = Yardstick(lab.recognition.model), Thresholds()
    golden = lab.goldens[signature]
    case = evaluated.Case("golden", signature, golden["inputs"])
    exact = yardstick.exact(case)
    given = {name: exact[name] for name in golden["outputs"]}
    rounded = yardstick.rounded(case, exact)
    compared = compare_case(case, given, rounded, {CONVERTED: given}, thresholds)
    return {
        name.partition("/")[2]: float(np.max(errors.bound(thresholds)))
        for name, errors in compared.outputs.items()
    }


def recognised(case: Case, scope: str = "", *settings: str) -> Recognition:
    """What a case means."""
    texts = [f"{key}={value}" for key, value in case.settings.items()]
    texts += [f"scope={scope}"] if scope else []
    artifact = open_artifact(case.source, case.architecture)
    return recognise(artifact, parse_settings([*texts, *settings]))


LAB = {
    model.name: model
    for case in CASES.values()
    if case.name not in REFUSED
    for model in [LabModel(case, scope) for scope in case.scopes or [""]]
}
"""Every model of the lab by name."""

DISTINCT = {name: model for name, model in LAB.items() if not name.endswith(SAME_WEIGHTS)}
"""One for each set of weights."""

EXPORTED = {
    name: DISTINCT[name]
    for name in (
        "tf1_stacked_lstm",
        "tf1_bidirectional_lstm",
        "tf1_bidirectional_gru",
        "tf1_stacked_lstm_cell_clip",
        "tf0_12_basic_rnn",
        "tf0_12_coupled",
        "tf0_12_gru",
        "tf0_12_layer_norm",
        "tf1_0_bidirectional_stack",
        "tf1_15_bidirectional_peephole",
        "tf1_15_ugrnn",
        "keras1_bidirectional",
        "keras2_0_masked_directions",
        "keras2_bidirectional_cudnn",
        "keras2_conv_lstm",
        "keras2_cudnn_lstm",
        "keras2_gru_cudnn",
        "keras2_lstm_hard_sigmoid",
        "keras2_rnn_cells",
        "keras2_rnn_stacked_cells",
        "keras2_stateful",
    )
}
"""Those that tests write to disk: each way to build a recurrent layer (see `test_build`)."""

_FOLDERS = tempfile.TemporaryDirectory(prefix="converted-")


@functools.cache
def exported(name: str, target: Target) -> Path:
    """Folder with the SavedModel and `.keras` file of a model, written once a run."""
    folder = Path(_FOLDERS.name) / f"{name}-{target.value}"
    folder.mkdir()
    save(build_model(LAB[name].recognition.model, target), folder)
    return folder
