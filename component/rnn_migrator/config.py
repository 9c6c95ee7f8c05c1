"""YAML files that users write: read safely, validated, every mistake named with its line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import pydantic
import yaml

from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage.store import StoreAddress, without_password
from rnn_migrator.recognition.declared import DeclaredLayer


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


def _store(value: Any, info: pydantic.ValidationInfo) -> StoreAddress:
    """A store by its connection string, or by a path that is relative to the file's folder."""
    if not isinstance(value, str):
        raise ValueError("a path or a connection string")
    address = StoreAddress(value)
    if address.file is None:
        address.check()
        return address
    return StoreAddress(str(_beside_config(address.file, info)))


ConfigStore = Annotated[StoreAddress, pydantic.PlainValidator(_store)]
SettingTexts = Annotated[tuple[str, ...], pydantic.BeforeValidator(_as_texts)]


class Section(pydantic.BaseModel):
    """A part of a config, or all of it; unknown keys are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


CellTensors = dict[str, str]
"""Tensor by role of the layout."""


class LayerConfig(Section):
    """A recurrent layer whose tensors the user names, because their names do not tell.

    Attributes:
      cell_class: Class of TensorFlow 1 (key `class`) whose layout and defaults count.
      layout: Name of a layout, instead of a class; then every fact must be set.
      tensors: Tensors of the only direction, by role; a list of cells from the bottom for several.
      forward: Those of the forward direction of a bidirectional layer.
      backward: Those of the backward direction.
      transposed: Roles whose arrays lie in the artifact with their axes swapped.
    """

    cell_class: str = pydantic.Field("", alias="class")
    layout: str = ""
    tensors: CellTensors | list[CellTensors] | None = None
    forward: CellTensors | list[CellTensors] | None = None
    backward: CellTensors | list[CellTensors] | None = None
    transposed: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _one_or_both(self) -> LayerConfig:
        both = self.forward is not None and self.backward is not None
        either = self.forward is not None or self.backward is not None
        if either != both or both == (self.tensors is not None):
            raise ValueError("either tensors, or forward and backward")
        return self

    def declared(self) -> DeclaredLayer:
        """The layer as recognition takes it."""
        given = {"": self.tensors, "fw": self.forward, "bw": self.backward}
        directions = {
            key: cells if isinstance(cells, list) else [cells]
            for key, cells in given.items()
            if cells is not None
        }
        return DeclaredLayer(directions, self.cell_class, self.layout, self.transposed)


class ConversionConfig(Section):
    """The file of `rnn-migrate convert --config`.

    Attributes:
      target: Where the converted model is to run.
      architecture: Keras JSON or YAML file that goes with weights-only HDF5.
      set: What the artifact cannot say, as texts `KEY=VALUE` or as a mapping.
      strict: Whether a mere assumption is refused.
      layers: The recurrent layers of an array dump whose names do not tell, from the bottom.
      examples_signature: Whether the SavedModel also takes serialized tf.Example protos.
    """

    target: Target | None = None
    architecture: ConfigFile | None = None
    set: SettingTexts = ()
    strict: bool = False
    layers: tuple[LayerConfig, ...] = ()
    examples_signature: bool = False


AnySection = TypeVar("AnySection", bound=Section)


def load(file: Path, schema: type[AnySection]) -> AnySection:
    """Reads a config.

    Args:
      file: YAML file; paths in it are relative to its folder.
      schema: What it should be.

    Raises:
      UsageError: No such file, or not what it should be: every problem, with its line.
    """
    return validate(file, schema, read_nodes(file))


def read_nodes(file: Path) -> yaml.Node | None:
    """What a YAML file holds, each node with its line; None for nothing.

    Raises:
      UsageError: No such file, or no YAML, or YAML that stands for more than plain values.
    """
    try:
        node = yaml.compose(file.read_text("utf-8"), yaml.SafeLoader)
        _values(node)
    except (OSError, UnicodeError, yaml.YAMLError) as e:
        raise UsageError(
            Problem(
                where=str(file),
                expected="a YAML file",
                received=without_password(" ".join(str(e).split())),
                remedy="see configs/ for examples",
            )
        ) from e
    return node


def _values(node: yaml.Node | None) -> Any:
    return None if node is None else yaml.SafeLoader("").construct_document(node)


def validate(file: Path, schema: type[AnySection], node: yaml.Node | None) -> AnySection:
    """A config out of its nodes.

    Args:
      file: Where the nodes are from; paths are relative to its folder.
      schema: What it should be.
      node: All of the file, or what was made of it.

    Raises:
      UsageError: Every problem, with its line.
    """
    try:
        return schema.model_validate(_values(node) or {}, context=file.parent)
    except pydantic.ValidationError as e:
        raise UsageError(
            *(_problem(file, schema, node, dict(error)) for error in e.errors())
        ) from e


def place(file: Path, node: yaml.Node, key: str) -> str:
    """Where in a file a problem is."""
    return f"{file}, line {node.start_mark.line + 1}, {key}"


_EXPECTED = {
    "missing": "this key",
    "extra_forbidden": "no such key",
    "model_type": "a section of keys",
}
"""Kinds of mistakes in the keys themselves, and what is expected instead."""


def _problem(
    file: Path, schema: type[Section], node: yaml.Node | None, error: Mapping[str, Any]
) -> Problem:
    place, kind = error["loc"], error["type"]
    section = _section(schema, place if kind == "model_type" else place[:-1])
    known = ", ".join(map(str, _keys(section))) if section and kind in _EXPECTED else ""
    return Problem(
        where=f"{file}, line {_line(node, place)}, {'.'.join(map(str, place)) or 'top level'}",
        expected=_EXPECTED.get(kind) or _phrase(error["msg"]),
        received="nothing" if kind == "missing" else without_password(repr(error["input"])),
        remedy=f"the keys here are {known}" if known else "correct this value",
    )


def _phrase(message: str) -> str:
    """A message of pydantic's as part of a sentence."""
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return message[:1].lower() + message[1:]


def _section(schema: type[Section], place: tuple[str | int, ...]) -> type[Section] | None:
    """The section of the config that a place names, None where it is none."""
    section: Any = schema
    for key in place:
        field = _keys(section).get(key) if section else None
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        section = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
    return section


def _keys(section: type[Section]) -> dict[str | int, Any]:
    """The fields of a section by the keys they have in a file."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


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
