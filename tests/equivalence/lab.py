"""The lab's models, recognised, with what the old frameworks answered."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

from rnn_migrator.keras_model.build import build_model
from rnn_migrator.keras_model.export import save
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.readers import open_artifact
from rnn_migrator.recognition.recognise import Recognition, recognise
from rnn_migrator.recognition.settings import parse_settings
from tests.legacy_lab.cases import Arrays, Case, load_cases

CASES = load_cases()
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


def recognised(case: Case, scope: str = "", *settings: str) -> Recognition:
    """What a case means."""
    texts = [f"{key}={value}" for key, value in case.settings.items()]
    texts += [f"scope={scope}"] if scope else []
    artifact = open_artifact(case.source, case.architecture)
    return recognise(artifact, parse_settings([*texts, *settings]))


LAB = {
    model.name: model
    for case in CASES.values()
    for model in [LabModel(case, scope) for scope in case.scopes or [""]]
}
"""Every model of the lab by name."""

DISTINCT = {name: model for name, model in LAB.items() if not name.endswith(SAME_WEIGHTS)}
"""One for each set of weights."""

_FOLDERS = tempfile.TemporaryDirectory(prefix="converted-")


@functools.cache
def exported(name: str, target: Target) -> Path:
    """Folder with the SavedModel and `.keras` file of a model, written once a run."""
    folder = Path(_FOLDERS.name) / f"{name}-{target.value}"
    folder.mkdir()
    save(build_model(LAB[name].recognition.model, target), folder)
    return folder
