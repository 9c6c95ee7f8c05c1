"""The lineage graph around an artifact, as ML Metadata knows it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rnn_migrator.lineage import record

if TYPE_CHECKING:
    from ml_metadata import MetadataStore

_MOST_HOPS = 20

_TFX = "tfx."
"""Before the names of TFX's own artifact types, where the backend of Kubeflow writes them."""

_IMPORTER, _CONTAINER = "system.ImporterExecution", "system.ContainerExecution"
"""What that backend calls every execution; the component is the name of its task."""


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An artifact of the store.

    Attributes:
      id: Its number.
      type: Name of its type.
      uri: Where it lies.
      properties: Its custom properties, as text.
    """

    id: int
    type: str
    uri: str
    properties: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Execution:
    """An execution that ended well.

    Attributes:
      id: Its number.
      component: Class of the component, without its modules.
      cached: Whether it only took over the outputs of an earlier one.
      finished: When, ISO 8601, UTC.
    """

    id: int
    component: str
    cached: bool
    finished: str


class Graph:
    """What led to some artifacts, and what was made from them.

    Executions that failed, or that still count as running because they were killed, are left out.
    """

    def __init__(self, store: MetadataStore, *artifacts: int) -> None:
        from ml_metadata.proto import metadata_store_pb2 as mlmd

        self._artifacts: dict[int, Artifact] = {}
        self._executions: dict[int, Execution] = {}
        self._inputs: set[tuple[int, int]] = set()
        self._outputs: set[tuple[int, int]] = set()
        directions = mlmd.LineageSubgraphQueryOptions.Direction
        for direction in (directions.UPSTREAM, directions.DOWNSTREAM):
            options = mlmd.LineageSubgraphQueryOptions(
                starting_artifacts={"filter_query": f"id IN ({', '.join(map(str, artifacts))})"},
                max_num_hops=_MOST_HOPS,
                direction=direction,
            )
            self._add(store.get_lineage_subgraph(options), mlmd)

    def _add(self, graph: Any, mlmd: Any) -> None:
        types = {kind.id: kind.name for kind in graph.artifact_types}
        for found in graph.artifacts:
            self._artifacts[found.id] = read_artifact(found, types[found.type_id])
        components = {kind.id: kind.name for kind in graph.execution_types}
        for found in graph.executions:
            if is_cached(found) or found.last_known_state == found.COMPLETE:
                component = _component(found, components[found.type_id])
                finished = _timestamp(found.last_update_time_since_epoch)
                execution = Execution(found.id, component, is_cached(found), finished)
                self._executions[found.id] = execution
        for event in graph.events:
            edge = (event.execution_id, event.artifact_id)
            if event.type in (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT):
                self._inputs.add(edge)
            elif event.type in (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT):
                self._outputs.add(edge)

    def made_from(self, artifact: Artifact) -> list[tuple[Execution, Artifact]]:
        """What was made from an artifact, over any number of steps, each with its maker."""
        found: dict[int, tuple[Execution, Artifact]] = {}
        waiting = [artifact]
        while waiting:
            for execution in self.consumers(waiting.pop()):
                for made in self.outputs(execution):
                    if made.id not in found and made.id != artifact.id:
                        found[made.id] = (self.producer(made) or execution, made)
                        waiting.append(made)
        return [found[number] for number in sorted(found)]

    def to_json(self) -> dict[str, Any]:
        """Artifacts, executions and edges as JSON values, without what only came from the cache."""
        makers = {a.id: self.producer(a) for a in self._artifacts.values()}
        kept = {maker.id for maker in makers.values() if maker}
        kept |= {e.id for e in self._executions.values() if not e.cached}
        edges = [
            {"execution": execution, "artifact": artifact, "input": input_}
            for input_, ends in ((True, self._inputs), (False, self._outputs))
            for execution, artifact in sorted(ends)
            if execution in kept and artifact in self._artifacts
        ]
        touched = {edge["artifact"] for edge in edges}
        return {
            "artifacts": [
                {"id": a.id, "type": a.type, "uri": a.uri, "says": record.in_short(a.properties)}
                for a in sorted(self._artifacts.values(), key=lambda a: a.id)
                if a.id in touched
            ],
            "executions": [dataclasses.asdict(self._executions[number]) for number in sorted(kept)],
            "edges": edges,
        }

    def artifact(self, number: int) -> Artifact:
        """The artifact of that number."""
        return self._artifacts[number]

    def producer(self, artifact: Artifact) -> Execution | None:
        """The execution that made an artifact, not one that took it from the cache.

        Orchestrators differ in whether an imported artifact counts as made or cached, so that the
        first cached one is the answer where there is no other.
        """
        found = self._ends(self._outputs, artifact)
        return min(found, key=lambda execution: (execution.cached, execution.id), default=None)

    def consumers(self, artifact: Artifact) -> list[Execution]:
        """The executions that took an artifact as input, the oldest first."""
        return sorted(self._ends(self._inputs, artifact), key=lambda execution: execution.id)

    def inputs(self, execution: Execution, kind: str = "") -> list[Artifact]:
        """The inputs of an execution that are of a type ("" for any), the oldest first."""
        return self._of_type(self._inputs, execution, kind)

    def outputs(self, execution: Execution, kind: str = "") -> list[Artifact]:
        """The outputs of an execution that are of a type ("" for any), the oldest first."""
        return self._of_type(self._outputs, execution, kind)

    def _ends(self, edges: Iterable[tuple[int, int]], artifact: Artifact) -> list[Execution]:
        numbers = {execution for execution, found in edges if found == artifact.id}
        return [self._executions[number] for number in numbers if number in self._executions]

    def _of_type(
        self, edges: Iterable[tuple[int, int]], execution: Execution, kind: str
    ) -> list[Artifact]:
        numbers = sorted(found for number, found in edges if number == execution.id)
        found = [self._artifacts[number] for number in numbers if number in self._artifacts]
        return [artifact for artifact in found if kind in ("", artifact.type)]


def artifacts_of_type(store: MetadataStore, kind: str) -> list[Artifact]:
    """Every artifact of a type, the oldest first."""
    found = [a for name in (kind, _TFX + kind) for a in store.get_artifacts_by_type(name)]
    return [read_artifact(artifact, kind) for artifact in sorted(found, key=lambda a: a.id)]


def read_artifact(found: Any, kind: str) -> Artifact:
    """An artifact of the store as a plain value."""
    properties = {key: _text(value) for key, value in found.custom_properties.items()}
    return Artifact(found.id, kind.removeprefix(_TFX), found.uri, record.joined(properties))


def is_cached(execution: Any) -> bool:
    """Whether an execution of the store only took over the outputs of an earlier one."""
    return bool(execution.last_known_state == execution.CACHED)


def _component(execution: Any, kind: str) -> str:
    """Class of a component, without its modules."""
    if kind == _IMPORTER:
        return "Importer"
    if kind == _CONTAINER:
        return str(execution.custom_properties["task_name"].string_value)
    return kind.rpartition(".")[-1]


def _text(value: Any) -> str:
    """A property as text; whole numbers look alike, whether kept as integer or as double."""
    plain = getattr(value, value.WhichOneof("value") or "string_value")
    return str(int(plain)) if isinstance(plain, float) and plain.is_integer() else str(plain)


def _timestamp(milliseconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
    return moment.isoformat(timespec="seconds")
