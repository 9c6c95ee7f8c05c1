"""Where a model came from and what became of it, asked of ML Metadata alone.

The answer rests on events, URIs and custom properties, which every orchestrator writes; not on
contexts, which each writes in its own way.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from rnn_migrator.errors import MigrationError, Problem, UsageError
from rnn_migrator.lineage import record
from rnn_migrator.lineage.graph import Artifact, Execution, Graph, artifacts_of_type
from rnn_migrator.lineage.store import (
    Metadata,
    StoreAddress,
    address_of,
    find_store,
    open_store,
)

if TYPE_CHECKING:
    from ml_metadata import MetadataStore


@dataclasses.dataclass(frozen=True)
class Step:
    """One execution on the way.

    Attributes:
      execution: Its number in the store.
      component: Class of the component.
      finished: When, ISO 8601, UTC.
    """

    execution: int
    component: str
    finished: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What an evaluation said.

    Attributes:
      verdict: "blessed" or "not blessed".
      reason: Why, in one line.
      largest_error: Of the converted model against float64, as text.
      oracles: Who else said what the source computes.
      figures: Errors by output.
      run_id: The run that evaluated.
      file: Folder of `evaluation.json`, "" where it is not recorded.
    """

    verdict: str
    reason: str
    largest_error: str
    oracles: list[str]
    figures: dict[str, dict[str, Any]]
    run_id: str
    file: str


@dataclasses.dataclass(frozen=True)
class Version:
    """Another push into the same serving folder.

    Attributes:
      destination: The folder of that version.
      model: Folder of the converted model that was pushed, "" where it is not recorded.
    """

    destination: str
    model: str


@dataclasses.dataclass(frozen=True)
class Push:
    """One place a model was pushed to.

    Attributes:
      destination: The folder.
      version: Its version.
      finished: When, ISO 8601, UTC.
      supersedes: The push into the same serving folder before it, if there was one.
      superseded_by: The push into the same serving folder after it, if there was one.
    """

    destination: str
    version: str
    finished: str
    supersedes: Version | None = None
    superseded_by: Version | None = None


@dataclasses.dataclass(frozen=True)
class Made:
    """Something else that was made from a model.

    Attributes:
      type: Type of the artifact.
      uri: Where it lies.
      component: Class of the component that made it.
      finished: When, ISO 8601, UTC.
    """

    type: str
    uri: str
    component: str
    finished: str


@dataclasses.dataclass(frozen=True)
class LineageAnswer:
    """Where a model came from and what became of it.

    Attributes:
      asked: The path that was asked about.
      metadata: The store that answers, without its password.
      model: Folder of the converted model.
      source: The legacy artifact: `path`, `sha256`, `format`, and as far as known `writer`,
        `architecture`, `architecture_sha256`.
      conversion: `target`, `converter_version`, `config_sha256`, `settings`, `layers`, `facts`,
        `kernels`, `tensors`, `versions`, `files`.
      run_id: The run that converted it.
      pipeline: The pipeline of that run.
      verdict: The evaluation on which the asked-about push rests, or else the latest; None where
        there was none.
      pushes: Where it was pushed, the oldest first.
      steps: The executions on the way, the first first.
      made: What else was made from it: by other components, or by other evaluations.
      siblings: What became of the same legacy bytes besides.
      graph: Artifacts, executions and edges of all of that.
    """

    asked: str
    metadata: str
    model: str
    source: dict[str, str]
    conversion: dict[str, Any]
    run_id: str
    pipeline: str
    verdict: Verdict | None
    pushes: tuple[Push, ...]
    steps: tuple[Step, ...]
    made: tuple[Made, ...] = ()
    siblings: tuple[LineageAnswer, ...] = ()
    graph: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class SourceAnswer:
    """Where a legacy artifact went.

    Attributes:
      asked: The path that was asked about.
      metadata: The store that answers, without its password.
      sha256: Digest of what lies there now, "" if nothing does that can be read.
      models: What was converted from it: from that path, or from the same bytes elsewhere.
      graph: Artifacts, executions and edges of all of that.
    """

    asked: str
    metadata: str
    sha256: str
    models: tuple[LineageAnswer, ...]
    graph: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return dataclasses.asdict(self)


def lineage(path: Path | str, metadata: Metadata | None = None) -> LineageAnswer:
    """Where a model came from, and what became of it.

    Args:
      path: A pushed model, the folder that models are pushed to (its newest version is meant), the
        folder of a converted model, or anything inside one of these; or a URI of one.
      metadata: File of SQLite, or connection string; where left out, `metadata.sqlite` is looked
        for in the folders above the path.

    Raises:
      UsageError: No store, or the store knows of no model at that path.
    """
    address = store_of(path, metadata)
    store = open_store(address)
    return answer(store, find_model(store, path, address), asked_as(path), str(address))


def lineage_of_source(source: Path | str, metadata: Metadata | None = None) -> SourceAnswer:
    """Where a legacy artifact went.

    Args:
      source: The path or URI it was converted from, or another where the same files lie.
      metadata: As for `lineage`.

    Raises:
      UsageError: No store, or the store knows of no such artifact.
    """
    address = store_of(source, metadata)
    store = open_store(address)
    sha256 = _digest(source)
    legacies = [
        legacy
        for legacy in artifacts_of_type(store, record.LEGACY_MODEL)
        if place(legacy.uri) == place(source) or legacy.properties.get(record.SHA256) == sha256
    ]
    if not legacies:
        raise UsageError(
            Problem(
                where=str(source),
                expected=f"a legacy artifact that a run recorded in {address}",
                received="one it knows nothing of, neither by its path nor by its bytes",
                remedy="name it as the config of the run did, and the store of that run: "
                "--metadata STORE",
            )
        )
    graph = Graph(store, *(legacy.id for legacy in legacies))
    answers = [_answer(store, model, model.uri, str(address)) for model in _models(graph, legacies)]
    return SourceAnswer(asked_as(source), str(address), sha256, tuple(answers), graph.to_json())


def _digest(source: Path | str) -> str:
    """Digest of the legacy artifact that lies at a path now, "" if none does."""
    from rnn_migrator.readers import open_artifact

    try:
        return open_artifact(Path(place(source))).digest
    except (MigrationError, OSError):
        return ""


def store_of(path: Path | str, metadata: Metadata | None) -> StoreAddress:
    """The store that was named, or else the one that lies above a path."""
    # Links are kept for now: the store may lie above the name or above what it stands for.
    return address_of(metadata or find_store(Path(asked_as(path))))


def asked_as(path: Path | str) -> str:
    """A path as an absolute one, a URI as it is."""
    text = str(path)
    return text if "://" in text else os.path.normpath(Path(text).absolute())


def place(text: Path | str) -> PurePath:
    """What a path or URI stands for, links resolved, so that equal places compare equal."""
    scheme, separator, rest = str(text).partition("://")
    if separator and scheme != "file":
        return PurePosixPath(str(text))
    return Path(os.path.realpath(rest or str(text)))


def find_model(store: MetadataStore, path: Path | str, address: StoreAddress) -> Artifact:
    """The newest `Model` or `PushedModel` that lies at a path or around it.

    Raises:
      UsageError: The store knows of none.
    """
    models = artifacts_of_type(store, record.MODEL)
    pushed = _all_pushed(store)
    real = place(path)
    around = {real, *real.parents}
    for artifact in reversed(models + pushed):
        if set(_places(artifact)) & around:
            return artifact
    versions = [a for a in pushed if place(push_destination(a)).parent == real]
    if versions:
        return max(versions, key=lambda artifact: artifact.id)
    latest = f", the latest at {models[-1].uri}" if models else ""
    raise UsageError(
        Problem(
            where=str(path),
            expected=f"a model that a run recorded in {address}",
            received=f"a path it knows nothing of (it knows {len(models)} models{latest})",
            remedy="name a pushed or converted model as the run left it; a copy made elsewhere "
            "has no lineage, name the original",
        )
    )


def _places(artifact: Artifact) -> list[PurePath]:
    return [place(text) for text in (artifact.uri, push_destination(artifact)) if text]


def push_destination(artifact: Artifact) -> str:
    """Where a `PushedModel` was pushed to, "" if it was not."""
    if artifact.properties.get(record.PUSHED) != "1":
        return ""
    return artifact.properties.get(record.PUSHED_DESTINATION, "")


def _all_pushed(store: MetadataStore) -> list[Artifact]:
    return [a for a in artifacts_of_type(store, record.PUSHED_MODEL) if push_destination(a)]


def answer(store: MetadataStore, found: Artifact, asked: str, metadata: str) -> LineageAnswer:
    """Where a converted or pushed model came from, and what became of it.

    Args:
      store: The store that knows it.
      found: A `Model` or a `PushedModel`.
      asked: The path that was asked about.
      metadata: The store, in words.

    Raises:
      UsageError: It is no model that was converted here.
    """
    own = _answer(store, found, asked, metadata)
    same = own.source.get(record.SHA256)
    legacies = [
        legacy
        for legacy in artifacts_of_type(store, record.LEGACY_MODEL)
        if same and legacy.properties.get(record.SHA256) == same
    ]
    if not legacies:
        return own
    graph = Graph(store, *(legacy.id for legacy in legacies))
    siblings = [
        _answer(store, model, model.uri, metadata)
        for model in _models(graph, legacies)
        if model.uri != own.model
    ]
    return dataclasses.replace(own, siblings=tuple(siblings), graph=graph.to_json())


def _models(graph: Graph, legacies: list[Artifact]) -> list[Artifact]:
    """The models that were converted from legacy artifacts, each once, the oldest first."""
    found = {
        model.id: model
        for legacy in legacies
        for execution in graph.consumers(legacy)
        for model in graph.outputs(execution, record.MODEL)
    }
    return [found[number] for number in sorted(found)]


def _answer(store: MetadataStore, found: Artifact, asked: str, metadata: str) -> LineageAnswer:
    """The answer about one model alone."""
    graph, pushed = Graph(store, found.id), None
    if found.type == record.PUSHED_MODEL:
        pushed, found = found, _pushed_from(graph, found)
        graph = Graph(store, found.id)
    converter = graph.producer(found)
    sources = graph.inputs(converter, record.LEGACY_MODEL) if converter else []
    if not sources:
        raise _not_converted(asked, metadata)
    pushes = _pushes(graph, found)
    pusher = graph.producer(pushed or pushes[-1]) if pushed or pushes else None
    evaluator, verdict = _evaluation(graph, found, pusher if pushed else None)
    properties = record.decode(found.properties)
    return LineageAnswer(
        asked=asked,
        metadata=metadata,
        model=found.uri,
        source=_source(sources[0], found),
        conversion={key: properties.get(key) for key in record.CONVERSION_KEYS},
        run_id=found.properties.get(record.RUN_ID, ""),
        pipeline=found.properties.get(record.PIPELINE, ""),
        verdict=verdict,
        pushes=tuple(_push(store, graph, artifact) for artifact in pushes),
        steps=_steps(graph.producer(sources[0]), converter, evaluator, pusher),
        made=tuple(_made(graph, found, evaluator)),
    )


def _made(graph: Graph, model: Artifact, evaluator: Execution | None) -> Iterator[Made]:
    """What was made from a model, without its pushes and the evaluation that is told already."""
    for execution, made in graph.made_from(model):
        if made.type != record.PUSHED_MODEL and execution != evaluator:
            yield Made(made.type, made.uri, execution.component, execution.finished)


def _source(legacy: Artifact, model: Artifact) -> dict[str, str]:
    """What was imported, and what the converter found out about it besides."""
    found = {
        key: legacy.properties.get(key) or model.properties.get(record.LEGACY + key, "")
        for key in record.SOURCE_KEYS
    }
    return {"path": legacy.uri, **{key: value for key, value in found.items() if value}}


def _pushed_from(graph: Graph, pushed: Artifact) -> Artifact:
    pusher = graph.producer(pushed)
    models = graph.inputs(pusher, record.MODEL) if pusher else []
    return models[0] if models else pushed


def _pushes(graph: Graph, model: Artifact) -> list[Artifact]:
    """What was pushed of a model, each push once however often it was taken from the cache."""
    found = {
        pushed.id: pushed
        for execution in graph.consumers(model)
        for pushed in graph.outputs(execution, record.PUSHED_MODEL)
        if push_destination(pushed)
    }
    return [found[number] for number in sorted(found)]


def _push(store: MetadataStore, graph: Graph, pushed: Artifact) -> Push:
    pusher = graph.producer(pushed)
    destination = push_destination(pushed)
    here = place(destination)
    line = [
        other
        for other in _all_pushed(store)
        # What was pushed again as it was keeps its version, and supersedes nothing.
        if place(push_destination(other)).parent == here.parent
        and place(push_destination(other)) != here
    ]
    earlier = [_version(store, other) for other in line if other.id < pushed.id][-1:]
    later = [_version(store, other) for other in line if other.id > pushed.id][:1]
    return Push(
        destination=destination,
        version=pushed.properties.get(record.PUSHED_VERSION, ""),
        finished=pusher.finished if pusher else "",
        supersedes=next(iter(earlier), None),
        superseded_by=next(iter(later), None),
    )


def _version(store: MetadataStore, pushed: Artifact) -> Version:
    model = _pushed_from(Graph(store, pushed.id), pushed)
    return Version(push_destination(pushed), "" if model is pushed else model.uri)


def _evaluation(
    graph: Graph, model: Artifact, pusher: Execution | None
) -> tuple[Execution | None, Verdict | None]:
    """The evaluation that a push rests on; the latest, where no push is given.

    A model may have other blessings too, from components that are not ours.
    """
    blessings = [
        blessing
        for execution in ([pusher] if pusher else graph.consumers(model))
        for blessing in (graph.inputs if pusher else graph.outputs)(execution, record.BLESSING)
        if set(record.VERDICT_KEYS) <= set(blessing.properties)
    ]
    if not blessings:
        return None, None
    blessing = blessings[-1]
    evaluator = graph.producer(blessing)
    evaluations = graph.outputs(evaluator, record.EVALUATION) if evaluator else []
    properties: dict[str, Any] = record.decode(blessing.properties)
    verdict = Verdict(
        **{key: properties[key] for key in record.VERDICT_KEYS},
        run_id=blessing.properties.get(record.RUN_ID, ""),
        file=evaluations[0].uri if evaluations else "",
    )
    return evaluator, verdict


def _steps(*executions: Execution | None) -> tuple[Step, ...]:
    return tuple(
        Step(execution.id, execution.component, execution.finished)
        for execution in executions
        if execution
    )


def _not_converted(asked: str, metadata: str) -> UsageError:
    return UsageError(
        Problem(
            where=asked,
            expected="a model that RnnConverter made of a legacy model",
            received=f"one that {metadata} knows, of another origin",
            remedy="name a model that was converted by `rnn-migrate run`",
        )
    )
