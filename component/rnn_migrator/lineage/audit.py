"""Whether a model, and the legacy artifact it was made from, still are what was recorded of them.

Digests are computed again from the files: of each file of the model, of each variable in it, of the
legacy artifact and of each tensor that was read from it.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_migrator.errors import MigrationError, Problem, UsageError
from rnn_migrator.lineage import record
from rnn_migrator.lineage.graph import Artifact
from rnn_migrator.lineage.query import (
    LineageAnswer,
    answer,
    asked_as,
    find_model,
    place,
    push_destination,
    store_of,
)
from rnn_migrator.lineage.store import Metadata, open_store
from rnn_migrator.readers import (
    LegacyArtifact,
    array_digest,
    content_digest,
    file_digest,
    open_artifact,
)

MATCHES = "matches"
DIFFERS = "differs"
MISSING = "missing"
NOT_RECORDED = "not recorded"
"""What comes out of a check."""

MODEL_FILE = "file of the model"
VARIABLE = "variable of the model"
SOURCE = "legacy artifact"
TENSOR = "tensor of the legacy artifact"
"""What is checked."""

_VARIABLES = "model_variables"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""Around the number of a variable in the checkpoint of a SavedModel, see `keras_model.export`."""

_DAMAGE = (OSError, ValueError, RuntimeError, LookupError)
"""What reading a damaged file may raise."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One digest, as it was recorded and as it is now.

    Attributes:
      kind: What it is of: a file or a variable of the model, the legacy artifact, a tensor of it.
      name: Path in the folder of the model, or name of the variable or tensor.
      outcome: "matches", "differs", "missing" or "not recorded".
      recorded: SHA-256, "" where none was recorded.
      found: SHA-256, "" where there is nothing that can be read.
    """

    kind: str
    name: str
    outcome: str
    recorded: str
    found: str


@dataclasses.dataclass(frozen=True)
class AuditAnswer:
    """What an audit found.

    Attributes:
      asked: The path that was asked about.
      metadata: The store that holds the record, without its password.
      model: Folder whose files were read.
      source: The legacy artifact that was read.
      checks: One for each digest.
    """

    asked: str
    metadata: str
    model: str
    source: str
    checks: tuple[Check, ...]

    @property
    def matches(self) -> bool:
        """Whether everything is as it was recorded."""
        return all(check.outcome == MATCHES for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return {**dataclasses.asdict(self), "matches": self.matches}


def audit(path: Path | str, metadata: Metadata | None = None) -> AuditAnswer:
    """Computes every digest of a model again.

    Args:
      path: A pushed or converted model, as for `lineage`.
      metadata: File of SQLite, or connection string; where left out, `metadata.sqlite` is looked
        for in the folders above the path.

    Raises:
      UsageError: No store, or the store knows of no model at that path.
    """
    address = store_of(path, metadata)
    store = open_store(address)
    found = find_model(store, path, address)
    told = answer(store, found, asked_as(path), str(address))
    folder, inside = _folder(found, path)
    checks = (
        *_compare(MODEL_FILE, _recorded_files(told, inside), file_digests(folder)),
        *_variables(told, folder / inside),
        *_source(told),
    )
    return AuditAnswer(told.asked, told.metadata, str(folder), told.source["path"], checks)


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there; links are left out."""
    files = sorted(
        Path(parent, name) for parent, _, names in os.walk(folder) for name in sorted(names)
    )
    return {
        file.relative_to(folder).as_posix(): file_digest(file)
        for file in files
        if file.is_file() and not file.is_symlink()
    }


def _folder(found: Artifact, path: Path | str) -> tuple[Path, str]:
    """The folder that is meant, and where in it the SavedModel lies.

    Raises:
      UsageError: It is not on this machine.
    """
    pushed = found.type == record.PUSHED_MODEL
    real = place(path)
    texts = [text for text in (found.uri, push_destination(found)) if text]
    meant = next((text for text in texts if place(text) in (real, *real.parents)), texts[-1])
    folder = place(meant)
    if not isinstance(folder, Path) or not folder.is_dir():
        raise UsageError(
            Problem(
                where=meant,
                expected="the folder of a model, on this machine",
                received="none",
                remedy="run the audit where the model lies",
            )
        )
    return folder, "" if pushed else record.SERVING


def _recorded_files(told: LineageAnswer, inside: str) -> dict[str, str]:
    """The digests as they were recorded; of a pushed model, of the SavedModel alone."""
    files: Mapping[str, str] = told.conversion[record.FILES] or {}
    if inside:
        return dict(files)
    head = f"{record.SERVING}/"
    return {name[len(head) :]: one for name, one in files.items() if name.startswith(head)}


def _compare(kind: str, recorded: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Check]:
    for name in sorted({*recorded, *found}):
        was, is_ = recorded.get(name, ""), found.get(name, "")
        outcome = MATCHES if was == is_ else DIFFERS
        if not (was and is_):
            outcome = MISSING if was else NOT_RECORDED
        yield Check(kind, name, outcome, was, is_)


def _variables(told: LineageAnswer, saved_model: Path) -> Iterator[Check]:
    """The variables by their digests, since a SavedModel numbers them in an order of its own.

    One that was changed is missing under its name, and there under a number.
    """
    recorded = {
        f"{link['layer']}/{role}": digest
        for link in told.conversion["tensors"] or ()
        for role, digest in link["targets"].items()
    }
    named: dict[str, list[str]] = {}
    for name, digest in recorded.items():
        named.setdefault(digest, []).append(name)
    found = {}
    for number, digest in enumerate(_saved_digests(saved_model)):
        names = named.get(digest)
        found[names.pop(0) if names else f"variable {number}"] = digest
    yield from _compare(VARIABLE, recorded, found)


def _saved_digests(saved_model: Path) -> list[str]:
    """Digests of the variables of a SavedModel, "" for one that cannot be read."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(saved_model / "variables" / "variables"))
        stored = reader.get_variable_to_shape_map()
    except (*_DAMAGE, tf.errors.OpError):
        return []
    keys = (f"{_VARIABLES}/{number}{_VALUE}" for number in itertools.count())
    digests = []
    for key in itertools.takewhile(stored.__contains__, keys):
        try:
            digests.append(array_digest(reader.get_tensor(key)))
        except (*_DAMAGE, tf.errors.OpError):
            digests.append("")
    return digests


def _source(told: LineageAnswer) -> Iterator[Check]:
    """The legacy artifact, the architecture that went with it, and each tensor that was read."""
    source = told.source
    path, architecture = source["path"], source.get("architecture", "")
    artifact = _opened(path)
    digests = {path: artifact.digest} if artifact else {}
    recorded = {path: source[record.SHA256]}
    if architecture:
        recorded[architecture] = source["architecture_sha256"]
        file = Path(place(architecture))
        digests |= {architecture: content_digest((file,))} if file.is_file() else {}
    yield from _compare(SOURCE, recorded, digests)
    links = told.conversion["tensors"] or ()
    tensors = {name: one for link in links for name, one in link["sources"].items()}
    found = {name: _tensor_digest(artifact, name) for name in tensors} if artifact else {}
    yield from _compare(TENSOR, tensors, found)


def _opened(path: str) -> LegacyArtifact | None:
    try:
        return open_artifact(Path(place(path)))
    except (MigrationError, *_DAMAGE):
        return None


def _tensor_digest(artifact: LegacyArtifact, name: str) -> str:
    """Digest of a tensor as it lies in the files, "" if it is not there or cannot be read."""
    try:
        return array_digest(artifact.load(name)) if name in artifact.tensors else ""
    except (MigrationError, *_DAMAGE):
        return ""
