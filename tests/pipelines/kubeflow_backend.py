"""What the backend of Kubeflow Pipelines v2 keeps from run to run: ML Metadata, and its cache.

As read in github.com/kubeflow/pipelines 2.17.0, of August 2026. An artifact gets the name of its
type from the title of its schema, and is called by its number where a step is given it
(backend/src/v2/metadata/client.go and converter.go). An importer takes an artifact that is there
already, if it has the same URI, type and metadata (FindMatchedArtifact). A step is looked up by a
digest of what goes into it and of what it runs (backend/src/v2/cacheutils/cache.go): the numbers
of its input artifacts, its parameters, its outputs without their URIs, its image and command.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.lineage.stores import Writer

Artifact = dict[str, Any]
"""A runtime artifact: `name`, `uri`, `type`, `metadata`."""

Artifacts = dict[str, Artifact]
"""Runtime artifacts by key."""


class Backend:
    """The backend, as one pipeline sees it: another one shares nothing with it.

    Attributes:
      metadata: File of its store, of which a cluster has a server.
      runs: How many runs it has begun.
    """

    def __init__(self, metadata: Path) -> None:
        metadata.parent.mkdir(parents=True, exist_ok=True)
        self.metadata = metadata
        self.runs = 0
        self._writer = Writer(metadata)
        self._made: dict[str, Artifacts] = {}

    def import_(self, task: str, imported: Artifact, reimport: bool) -> Artifact:
        """Records what a task imports, or finds it again."""
        found = None if reimport else self._find(imported)
        artifact = {**imported, "name": found} if found else self._record(imported)
        self._publish("system.ImporterExecution", task, [], [artifact], "COMPLETE")
        return artifact

    def cached(self, task: str, key: str, inputs: Artifacts) -> Artifacts | None:
        """What the same step made before, recorded as taken from the cache; None if none did."""
        made = self._made.get(key)
        if made is not None:
            self._publish(_CONTAINER, task, inputs.values(), made.values(), "CACHED")
        return made

    def publish(self, task: str, key: str, inputs: Artifacts, outputs: Artifacts) -> Artifacts:
        """Records what a step made; without a key no later one finds it."""
        made = {name: self._record(output) for name, output in outputs.items()}
        self._publish(_CONTAINER, task, inputs.values(), made.values(), "COMPLETE")
        if key:
            self._made[key] = made
        return made

    def _find(self, imported: Artifact) -> str:
        """Number of an artifact that is the same in everything that a target has."""
        store, wanted = self._writer.store, imported["metadata"]
        for found in store.get_artifacts_by_uri(imported["uri"]):
            has = {key: value.string_value for key, value in found.custom_properties.items()}
            if found.type == _type(imported) and wanted.items() <= has.items():
                return str(found.id)
        return ""

    def _record(self, artifact: Artifact) -> Artifact:
        number = self._writer.artifact(_type(artifact), artifact["uri"], **artifact["metadata"])
        return {**artifact, "name": str(number)}

    def _publish(self, kind: str, task: str, inputs: Any, outputs: Any, state: str) -> None:
        numbers = ([int(artifact["name"]) for artifact in listed] for listed in (inputs, outputs))
        self._writer.execution(kind, *numbers, state, task_name=task)


_CONTAINER = "system.ContainerExecution"


def _type(artifact: Artifact) -> str:
    return str(yaml.safe_load(artifact["type"]["instanceSchema"])["title"])


def cache_key(given: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """By what a step is found again.

    Args:
      given: Its `ExecutorInput`.
      container: Its container spec, placeholders in it left as they are.
    """
    inputs, outputs = given["inputs"], given["outputs"]["artifacts"]
    content = {
        "inputs": {key: _names(listed) for key, listed in inputs["artifacts"].items()},
        "parameters": inputs["parameterValues"],
        "outputs": {
            key: [{**artifact, "uri": ""} for artifact in listed["artifacts"]]
            for key, listed in outputs.items()
        },
        "image": container["image"],
        "words": [*container["command"], *container["args"]],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _names(listed: Mapping[str, Any]) -> list[str]:
    return [artifact["name"] for artifact in listed["artifacts"]]
