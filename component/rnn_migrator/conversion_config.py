"""The YAML file of `rnn-migrate convert --config`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pydantic
import yaml

from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.migration import Request


class ConversionConfig(pydantic.BaseModel):
    """What a conversion can be told in a file.

    Attributes:
      target: Where the converted model is to run.
      architecture: Keras JSON or YAML file, relative to the config file.
      set: Settings, as texts `KEY=VALUE` or as a mapping.
      strict: Whether a mere assumption is refused.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    target: Target = Target.PORTABLE
    architecture: Path | None = None
    set: list[str] | dict[str, str | float | int | None] = []
    strict: bool = False

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings as `KEY=VALUE` texts."""
        if isinstance(self.set, list):
            return tuple(self.set)
        return tuple(f"{key}={'none' if v is None else v}" for key, v in self.set.items())


def apply_config(request: Request, file: Path, target_given: bool) -> Request:
    """A request with what a file adds; what the command line says goes first.

    Args:
      request: From the command line.
      file: YAML file.
      target_given: Whether the command line names the target.

    Raises:
      UsageError: No such file, or not what it should be; every problem at once.
    """
    config = _read(file)
    architecture = config.architecture and file.parent / config.architecture
    return dataclasses.replace(
        request,
        architecture=request.architecture or architecture,
        settings=config.settings + request.settings,
        target=request.target if target_given else config.target,
        strict=request.strict or config.strict,
    )


def _read(file: Path) -> ConversionConfig:
    try:
        content = yaml.safe_load(file.read_text("utf-8")) or {}
        return ConversionConfig.model_validate(content)
    except pydantic.ValidationError as e:
        raise UsageError(*(_problem(file, dict(error)) for error in e.errors())) from e
    except (OSError, yaml.YAMLError) as e:
        raise UsageError(
            Problem(
                str(file), "a YAML file", str(e).replace("\n", " "), "see configs/ for examples"
            )
        ) from e


def _problem(file: Path, error: dict[str, object]) -> Problem:
    place = error.get("loc")
    key = ".".join(map(str, place)) if isinstance(place, tuple) else ""
    fields = ", ".join(ConversionConfig.model_fields)
    return Problem(
        where=f"{file}, {key or 'top level'}",
        expected=f"{error['msg']} (keys: {fields})",
        received=repr(error.get("input")),
        remedy="correct this key",
    )
