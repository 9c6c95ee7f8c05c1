"""A config of many models, as the config of each: artifacts are found, sections are merged.

All of it happens to the nodes of the YAML file, so that every mistake still has its line.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from rnn_migrator.config import place
from rnn_migrator.errors import Problem, UsageError, raise_all
from rnn_migrator.lineage.store import METADATA_FILE

MODELS = "models"
"""Key of the list of models."""

SHARED = ("output", "cache", "beam_pipeline_args", "fan_out")
"""Keys that all models of a config have in common."""

_NAME = ("name",)
_PATH = ("source", "path")
_GOLDEN = ("evaluation", "golden")
_TEXT, _MAP = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map"
_CHECKPOINT_FILE = re.compile(r"(.+)\.(index|meta|data-\d+-of-\d+)")


def names_many(root: yaml.Node | None) -> bool:
    """Whether a config has `models`, or names its source by a list or by a pattern."""
    path = _get(root, *_PATH)
    listed = isinstance(path, yaml.SequenceNode)
    return _get(root, MODELS) is not None or listed or _is_pattern(path)


def expand(file: Path, root: yaml.Node) -> dict[str, yaml.Node]:
    """The configs of all models that a config names, by the models' names.

    An artifact that several entries name is that of the last.

    Args:
      file: The config; its paths are relative to its folder.
      root: What it holds.

    Raises:
      UsageError: No such artifacts, or models that cannot be told apart: all of it, with lines.
    """
    found: dict[Path, _Model] = {}
    problems: list[Problem] = []
    for name, section in _sections(file, root):
        for source in _sources(file, section):
            pattern = _absolute(file, source.value)
            matches = _matches(pattern)
            problems += [] if matches else [_nothing(file, source)]
            for artifact in matches:
                found[artifact] = _Model(name, section, source, pattern, artifact)
    by_name: dict[str, _Model] = {}
    for model in found.values():
        if model.name in by_name:
            problems.append(_twice(file, model, by_name[model.name]))
        by_name[model.name] = model
    raise_all(UsageError, problems)
    return {name: with_recordings(file, model.config()) for name, model in by_name.items()}


def with_recordings(file: Path, root: yaml.Node) -> yaml.Node:
    """A config with what its patterns of recordings match; one that matches nothing stays."""
    golden = _get(root, *_GOLDEN)
    if not isinstance(golden, yaml.SequenceNode):
        return root
    items: list[yaml.Node] = []
    for item in golden.value:
        matches = _glob(_absolute(file, item.value)) if _is_pattern(item) else []
        items += [_text(item, str(match)) for match in matches] or [item]
    return _put(root, _like(golden, items), *_GOLDEN)


@dataclasses.dataclass(frozen=True)
class _Model:
    """An artifact that was found, with the section of the config that it was found by.

    Attributes:
      stated: Name that the section states, None where it states none.
      section: What holds for it.
      source: Path or pattern in the section.
      pattern: The same, absolute.
      artifact: What it matches.
    """

    stated: yaml.Node | None
    section: yaml.Node
    source: yaml.Node
    pattern: Path
    artifact: Path

    @property
    def name(self) -> str:
        """The stated name; what a pattern's wildcards stand for tells its models apart."""
        stated = "" if self.stated is None else str(self.stated.value)
        if stated and not _is_pattern(self.source):
            return stated
        words = _words(self.pattern, self.artifact)
        found = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
        return "-".join(filter(None, (stated, found)))

    def config(self) -> yaml.Node:
        """The section with all that is another for each model: names, paths and folders."""
        node = _put(self.section, _text(self.source, str(self.artifact)), *_PATH)
        known = {"{folder}": str(self.artifact.parent), "{stem}": self.artifact.stem}
        for key in ("source", "evaluation"):
            if (below := _get(node, key)) is not None:
                node = _put(node, _replaced(below, known), key)
        if isinstance(name := _get(node, *_NAME), yaml.ScalarNode):
            whole = f"{name.value}-{self.name}"
            node = _put(node, _text(self.stated or name, whole), *_NAME)
        return self._with_folders(node)

    def _with_folders(self, node: yaml.Node) -> yaml.Node:
        """A folder of its own below those of the config, and one store for all."""
        root, store = _get(node, "output", "root"), _get(node, "output", "metadata")
        if isinstance(root, yaml.ScalarNode) and store is None:
            node = _put(node, _text(root, f"{root.value}/{METADATA_FILE}"), "output", "metadata")
        for key in ("root", "serving"):
            folder = _get(node, "output", key)
            if isinstance(folder, yaml.ScalarNode):
                node = _put(node, _text(folder, f"{folder.value}/{self.name}"), "output", key)
        return node


def _sections(file: Path, root: yaml.Node) -> Iterator[tuple[yaml.Node | None, yaml.Node]]:
    """The entries of `models` with their names, each merged with the rest; or the config itself."""
    models = _get(root, MODELS)
    if models is None:
        yield None, root
        return
    entries = models.value if isinstance(models, yaml.SequenceNode) else []
    if not entries or not all(isinstance(entry, yaml.MappingNode) for entry in entries):
        raise UsageError(
            Problem(
                where=place(file, models, MODELS),
                expected="a list of sections, each for a model or for a pattern of models",
                received="something else" if models.value else "nothing",
                remedy="write `models:`, and below it `- source: {path: …}` for each",
            )
        )
    raise_all(UsageError, [problem for entry in entries for problem in _shared(file, entry)])
    rest = _without(root, MODELS)
    for entry in entries:
        yield _get(entry, *_NAME), _merged(rest, _without(entry, *_NAME))


def _shared(file: Path, entry: yaml.Node) -> Iterator[Problem]:
    """The keys of an entry that only the config as a whole can have."""
    for key, _ in entry.value:
        if key.value in SHARED:
            yield Problem(
                where=place(file, key, f"{MODELS}: {key.value}"),
                expected="a key that each model has for itself",
                received=key.value,
                remedy=f"state {key.value} at the top level; all models have it in common",
            )


def _sources(file: Path, section: yaml.Node) -> list[yaml.Node]:
    path = _get(section, *_PATH)
    sources = path.value if isinstance(path, yaml.SequenceNode) else [path]
    if sources and all(isinstance(source, yaml.ScalarNode) for source in sources):
        return list(sources)
    raise UsageError(
        Problem(
            where=place(file, path or section, ".".join(_PATH)),
            expected="a path, a pattern such as models/*.h5, or a list of these",
            received="something else" if path else "nothing",
            remedy="name the legacy artifacts there",
        )
    )


def _matches(pattern: Path) -> list[Path]:
    """The artifacts that a pattern names; a checkpoint is one, by the prefix of its files."""
    if not glob.has_magic(str(pattern)):
        return [pattern]
    prefixes = {
        index.with_suffix("") for index in _glob(pattern.with_name(f"{pattern.name}.index"))
    }
    alone = {match for match in _glob(pattern) if not _belongs(match)}
    return sorted(alone | prefixes)


def _belongs(file: Path) -> bool:
    """Whether a file is but a part of a checkpoint; `checkpoint` only says which is the latest."""
    if file.name == "checkpoint":
        return any(file.parent.glob("*.index"))
    found = _CHECKPOINT_FILE.fullmatch(str(file))
    return found is not None and Path(f"{found[1]}.index").is_file()


def _words(pattern: Path, artifact: Path) -> list[str]:
    """What a pattern leaves open, as the artifact has it; of a mere path its last two parts."""
    wild = [index for index, part in enumerate(pattern.parts) if glob.has_magic(part)]
    if not wild:
        return list(artifact.parts[-2:])
    behind = len(pattern.parts) - 1 - wild[-1]
    *words, last = artifact.parts[wild[0] : len(artifact.parts) - behind]
    _, _, suffix = pattern.parts[wild[-1]].rpartition("*")
    return [*words, last.removesuffix(suffix)]


def _nothing(file: Path, pattern: yaml.Node) -> Problem:
    return Problem(
        where=place(file, pattern, ".".join(_PATH)),
        expected="a pattern that matches a legacy artifact",
        received=f"{pattern.value}, which matches none",
        remedy="correct it; it is relative to the folder of the config",
    )


def _twice(file: Path, model: _Model, other: _Model) -> Problem:
    return Problem(
        where=place(file, model.source, ".".join(_PATH)),
        expected="models that can be told apart",
        received=f"{model.artifact} and {other.artifact}, which would both be called {model.name}",
        remedy=f"name one of them: an entry of `{MODELS}` may have a `name`",
    )


def _glob(pattern: Path) -> list[Path]:
    # Path.glob would find hidden files too.
    return sorted(map(Path, glob.glob(str(pattern), recursive=True)))  # noqa: PTH207


def _absolute(file: Path, path: str) -> Path:
    return Path(os.path.normpath(file.parent.absolute() / Path(path).expanduser()))


def _is_pattern(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.ScalarNode) and glob.has_magic(node.value)


def _get(node: yaml.Node | None, *keys: str) -> yaml.Node | None:
    """The value under nested keys, None where there is none."""
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((value for name, value in pairs if name.value == key), None)
    return node


def _put(node: yaml.Node, value: yaml.Node, *keys: str) -> yaml.Node:
    """The same node with another value under nested keys."""
    for key in reversed(keys):
        value = _like(node, [(_text(value, key), value)], yaml.MappingNode)
    return _merged(node, value)


def _without(node: yaml.Node, key: str) -> yaml.Node:
    return _like(node, [pair for pair in node.value if pair[0].value != key])


def _merged(below: yaml.Node, above: yaml.Node) -> yaml.Node:
    """Two sections as one: what the second states counts, key by key."""
    if not (isinstance(below, yaml.MappingNode) and isinstance(above, yaml.MappingNode)):
        return above
    pairs = {name.value: (name, value) for name, value in below.value}
    for name, value in above.value:
        before = pairs.get(name.value)
        pairs[name.value] = (name, _merged(before[1], value) if before else value)
    return _like(above, list(pairs.values()))


def _replaced(node: yaml.Node, known: Mapping[str, str]) -> yaml.Node:
    """The node with placeholders in its texts replaced."""
    if isinstance(node, yaml.ScalarNode):
        text = node.value
        for placeholder, value in known.items():
            text = text.replace(placeholder, value)
        return node if text == node.value else _text(node, text)
    if isinstance(node, yaml.MappingNode):
        return _like(node, [(name, _replaced(value, known)) for name, value in node.value])
    return _like(node, [_replaced(item, known) for item in node.value])


def _like(node: yaml.Node, value: list[Any], kind: type[yaml.Node] | None = None) -> yaml.Node:
    """A node of other content in the same place."""
    tag = _MAP if kind else node.tag
    return (kind or type(node))(tag, value, node.start_mark, node.end_mark)


def _text(node: yaml.Node, text: str) -> yaml.Node:
    """A text in the place of a node."""
    return yaml.ScalarNode(_TEXT, text, node.start_mark, node.end_mark)
