"""The lab's golden artifacts, as tests see them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ARTIFACTS", "Arrays", "Case", "load_cases"]

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """One artifact of an old framework, and what that framework answered.

    Attributes:
        name: The case's name, also its folder's.
        folder: The case's folder.
        writer: Framework, version, Python and script that wrote the case.
        source: What to convert; of a checkpoint the prefix, which is no file.
        architecture: The Keras architecture that goes with bare weights.
        family: The family of the writer script, such as `tf1_lstm`.
        settings: What the artifact cannot say, by the converter's setting names.
        goldens: Golden file of each signature, or of each scope.
        variables: Shape of every variable in the artifact, optimizer slots included.
        facts: What the writer made the layers with, whether or not the artifact says so.
        tensors: Graph tensor of each logical name; empty where the artifact has no graph.
        scopes: Golden file of each independent stack, where there are several.
    """

    name: str
    folder: Path
    writer: dict[str, str]
    source: Path
    architecture: Path | None
    family: str
    settings: dict[str, Any]
    goldens: dict[str, Path]
    variables: dict[str, tuple[int, ...]]
    facts: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    scopes: dict[str, Path] = field(default_factory=dict)

    def golden(self, signature: str = "serving_default") -> dict[str, Arrays]:
        """Reads a golden file.

        Args:
            signature: A key of `goldens`.

        Returns:
            `{"inputs": {name: array}, "outputs": {name: array}}`.

        Raises:
            KeyError: The case has no such golden.
        """
        if signature not in self.goldens:
            known = ", ".join(sorted(self.goldens))
            raise KeyError(f"{self.name} has goldens for {known}. Received: {signature=}")
        with np.load(self.goldens[signature]) as arrays:
            return {
                "inputs": _strip_prefix(arrays, "in:"),
                "outputs": _strip_prefix(arrays, "out:"),
            }


def load_cases(artifacts: Path = ARTIFACTS) -> dict[str, Case]:
    """Returns every case in a folder of artifacts, by name and in name order."""
    files = sorted(artifacts.glob("[!.]*/case.json"))
    return {path.parent.name: _load_case(path) for path in files}


def _load_case(path: Path) -> Case:
    """Returns the case that a case.json describes."""
    text = json.loads(path.read_text(encoding="utf-8"))
    folder = path.parent
    architecture = text.get("architecture")
    return Case(
        name=text["name"],
        folder=folder,
        writer=text["writer"],
        source=folder / text["source"],
        architecture=folder / architecture if architecture else None,
        family=text["family"],
        settings=text["settings"],
        goldens={key: folder / file for key, file in text["golden"].items()},
        variables={key: tuple(shape) for key, shape in text["variables"].items()},
        facts=text["facts"],
        tensors=text["tensors"],
        scopes={key: folder / file for key, file in text.get("scopes", {}).items()},
    )


def _strip_prefix(arrays: np.lib.npyio.NpzFile, prefix: str) -> Arrays:
    """Returns the arrays whose names have a prefix, under their bare names."""
    return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
