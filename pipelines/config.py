"""The YAML file of a migration: what is converted, how it is judged, where everything goes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml

from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage.store import METADATA_FILE
from rnn_migrator.migration import Request

_DIRECT_RUNNER = ("--runner=DirectRunner", "--direct_running_mode=in_memory")


def _beside_config(path: Path, info: pydantic.ValidationInfo) -> Path:
    """A path as it is meant in the file: relative to the file's folder."""
    folder: Path = info.context or Path()
    return Path(os.path.normpath(folder.absolute() / path.expanduser()))


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise ValueError(f"a file that exists; there is none at {file}")
    return file


def _as_texts(value: Any) -> Any:
    """Settings given as a mapping, as the texts `KEY=VALUE`."""
    if not isinstance(value, Mapping):
        return value
    return [f"{key}={'none' if v is None else v}" for key, v in value.items()]


ConfigPath = Annotated[Path, pydantic.AfterValidator(_beside_config)]
ConfigFile = Annotated[ConfigPath, pydantic.AfterValidator(_existing)]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Source(_Section):
    """The legacy artifact.

    Attributes:
      path: Checkpoint prefix or folder, Keras HDF5 file, NPZ file, or folder of CSV or NPY files.
      architecture: Keras JSON or YAML file that goes with weights-only HDF5.
      set: What the artifact cannot say, as texts `KEY=VALUE` or as a mapping.
    """

    path: ConfigPath
    architecture: ConfigFile | None = None
    set: Annotated[tuple[str, ...], pydantic.BeforeValidator(_as_texts)] = ()


class Evaluation(_Section):
    """How the converted model is judged.

    Attributes:
      golden: NPZ files of inputs and outputs recorded in the original framework.
      factor: How many times the rounding error of the model an error may be.
      floor: Errors up to this are rounding, relative to the largest output (at least 1).
    """

    golden: tuple[ConfigFile, ...] = ()
    factor: pydantic.PositiveFloat = Thresholds.factor
    floor: pydantic.PositiveFloat = Thresholds.floor

    @property
    def thresholds(self) -> Thresholds:
        """What counts as equivalent."""
        return Thresholds(self.factor, self.floor)


class Output(_Section):
    """Where everything goes.

    Attributes:
      root: Folder of the runs: what each component made.
      serving: Folder that blessed models are pushed to, a version each; `root`/serving.
      metadata: SQLite file of ML Metadata; `root`/metadata.sqlite.
    """

    root: ConfigPath
    serving: ConfigPath = Path("serving")
    metadata: ConfigPath = Path(METADATA_FILE)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _below_root(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(root := value.get("root"), str):
            return value
        below = {key: f"{root}/{cls.model_fields[key].default}" for key in ("serving", "metadata")}
        return {**below, **value}


class MigrationConfig(_Section):
    """A migration, its paths absolute.

    Attributes:
      name: Name of the pipeline.
      source: The legacy artifact.
      target: Where the converted model is to run.
      strict: Whether a mere assumption is refused at once, instead of being left unblessed.
      evaluation: How the converted model is judged.
      output: Where everything goes.
      cache: Whether results of earlier runs are taken for unchanged inputs.
      beam_pipeline_args: Runner of the evaluation and its options.
    """

    name: Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,127}$")]
    source: Source
    target: Target = Target.PORTABLE
    strict: bool = False
    evaluation: Evaluation = Evaluation()
    output: Output
    cache: bool = True
    beam_pipeline_args: tuple[str, ...] = _DIRECT_RUNNER

    @property
    def request(self) -> Request:
        """The conversion."""
        source = self.source
        return Request(source.path, source.architecture, source.set, self.target, self.strict)


def load_config(file: Path) -> MigrationConfig:
    """Reads the config of a migration.

    Args:
      file: YAML file; paths in it are relative to its folder.

    Raises:
      UsageError: No such file, or not what it should be: every problem, with its line.
    """
    try:
        text = file.read_text("utf-8")
        content, node = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except (OSError, UnicodeError, yaml.YAMLError) as e:
        raise UsageError(
            Problem(
                where=str(file),
                expected="a YAML file",
                received=" ".join(str(e).split()),
                remedy="see configs/ for examples",
            )
        ) from e
    try:
        return MigrationConfig.model_validate(content, context=file.parent)
    except pydantic.ValidationError as e:
        raise UsageError(*(_problem(file, node, dict(error)) for error in e.errors())) from e


_EXPECTED = {
    "missing": "this key",
    "extra_forbidden": "no such key",
    "model_type": "a section of keys",
}
"""Kinds of mistakes in the keys themselves, and what is expected instead."""


def _problem(file: Path, node: yaml.Node | None, error: Mapping[str, Any]) -> Problem:
    place, kind = error["loc"], error["type"]
    section = _section(place if kind == "model_type" else place[:-1])
    known = ", ".join(section.model_fields) if section and kind in _EXPECTED else ""
    return Problem(
        where=f"{file}, line {_line(node, place)}, {'.'.join(map(str, place)) or 'top level'}",
        expected=_EXPECTED.get(kind) or _phrase(error["msg"]),
        received="nothing" if kind == "missing" else repr(error["input"]),
        remedy=f"the keys here are {known}" if known else "correct this value",
    )


def _phrase(message: str) -> str:
    """A message of pydantic's as part of a sentence."""
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return message[:1].lower() + message[1:]


def _section(place: tuple[str | int, ...]) -> type[_Section] | None:
    """The section of the config that a place names, None where it is none."""
    section: Any = MigrationConfig
    for key in place:
        field = getattr(section, "model_fields", {}).get(key)
        section = field.annotation if field else None
    return section if hasattr(section, "model_fields") else None


def _line(node: yaml.Node | None, place: tuple[str | int, ...]) -> int:
    """The line of a key or value, or of the innermost one around it that is there."""
    line = 1
    for key in place:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == key]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            found = [(item, item) for item in node.value[key : key + 1]]
        else:
            break
        if not found:
            break
        name, node = found[0]
        line = name.start_mark.line + 1
    return line
