"""Where a model came from, asked of ML Metadata alone.

The answer rests on events, URIs and custom properties, which every orchestrator writes; not on
contexts, which each writes in its own way.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.lineage import record
from rnn_migrator.lineage.graph import Artifact, Execution, Graph, artifacts_of_type
from rnn_migrator.lineage.store import find_store, open_store

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
class Push:
    """One place a model was pushed to.

    Attributes:
      destination: The folder.
      version: Its version.
      finished: When, ISO 8601, UTC.
    """

    destination: str
    version: str
    finished: str


@dataclasses.dataclass(frozen=True)
class LineageAnswer:
    """Where a model came from and what became of it.

    Attributes:
      asked: The path that was asked about.
      metadata: The store that answers.
      model: Folder of the converted model.
      source: The legacy artifact: `path`, `sha256`, `format`, and as far as known `writer`,
        `architecture`, `architecture_sha256`.
      conversion: `target`, `converter_version`, `settings`, `layers`, `facts`, `kernels`,
        `tensors`, `versions`.
      run_id: The run that converted it.
      pipeline: The pipeline of that run.
      verdict: The evaluation on which the asked-about push rests, or else the latest; None where
        there was none.
      pushes: Where it was pushed, the oldest first.
      steps: The executions on the way, the first first.
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

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return dataclasses.asdict(self)


def lineage(path: Path, metadata: Path | None = None) -> LineageAnswer:
    """Where a model came from.

    Args:
      path: A pushed model, the folder that models are pushed to (its newest version is meant), the
        folder of a converted model, or anything inside one of these.
      metadata: SQLite file of ML Metadata; where left out, `metadata.sqlite` is looked for in the
        folders above the path.

    Raises:
      UsageError: No store, or the store knows of no model at that path.
    """
    # Links are kept for now: the store may lie above the name or above what it stands for.
    path = Path(os.path.normpath(path.absolute()))
    file = Path(metadata or find_store(path))
    store = open_store(file)
    return answer(store, _find(store, path, file), str(path), str(file))


def _find(store: MetadataStore, path: Path, file: Path) -> Artifact:
    """The newest artifact that lies at a path or around it."""
    models = artifacts_of_type(store, record.MODEL)
    pushed = [a for a in artifacts_of_type(store, record.PUSHED_MODEL) if push_destination(a)]
    real = Path(os.path.realpath(path))
    around = {str(folder) for folder in (real, *real.parents)}
    for artifact in reversed(models + pushed):
        if {_real(artifact.uri), _real(push_destination(artifact))} & around:
            return artifact
    versions = [a for a in pushed if Path(_real(push_destination(a))).parent == real]
    if versions:
        return max(versions, key=lambda artifact: artifact.id)
    latest = f", the latest at {models[-1].uri}" if models else ""
    raise UsageError(
        Problem(
            where=str(path),
            expected=f"a model that a run recorded in {file}",
            received=f"a path it knows nothing of (it knows {len(models)} models{latest})",
            remedy="name a pushed or converted model as the run left it; a copy made elsewhere "
            "has no lineage, name the original",
        )
    )


def _real(path: str) -> str:
    """A path with its links resolved, "" for none."""
    return os.path.realpath(path) if path else ""


def push_destination(artifact: Artifact) -> str:
    """Where a `PushedModel` was pushed to, "" if it was not."""
    if artifact.properties.get(record.PUSHED) != "1":
        return ""
    return artifact.properties.get(record.PUSHED_DESTINATION, "")


def answer(store: MetadataStore, found: Artifact, asked: str, metadata: str) -> LineageAnswer:
    """Where a converted or pushed model came from.

    Args:
      store: The store that knows it.
      found: A `Model` or a `PushedModel`.
      asked: The path that was asked about.
      metadata: The file of the store.

    Raises:
      UsageError: It is no model that was converted here.
    """
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
        pushes=tuple(_push(graph, artifact) for artifact in pushes),
        steps=_steps(graph.producer(sources[0]), converter, evaluator, pusher),
    )


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


def _push(graph: Graph, pushed: Artifact) -> Push:
    pusher = graph.producer(pushed)
    return Push(
        destination=push_destination(pushed),
        version=pushed.properties.get(record.PUSHED_VERSION, ""),
        finished=pusher.finished if pusher else "",
    )


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
