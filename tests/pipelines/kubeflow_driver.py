"""What the backend of Kubeflow Pipelines v2 does with a compiled spec, on this machine.

Tasks are run after those they depend on, each command of a container as a process of its own, with
nothing but `ExecutorInput` to go by and nothing but `ExecutorOutput` to answer with; those that the
backend has in its cache are not. Images are not run: the processes are those of this environment.
"""

from __future__ import annotations

import dataclasses
import graphlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.pipelines.kubeflow_backend import Artifacts, Backend, cache_key

_BUCKET = re.compile(r"[a-z][a-z0-9]+:///?[^/?]+(/[^?]*)?")
"""What the backend takes for a URI."""


class TaskFailed(Exception):
    """The process of a task ended with an error."""


@dataclasses.dataclass
class Run:
    """What a run of a spec came to.

    Attributes:
      artifacts: What every task put out.
      pids: Process of every task that had one: not of importers, nor of what was cached.
      cached: The tasks whose earlier outputs were taken.
    """

    artifacts: dict[str, Artifacts] = dataclasses.field(default_factory=dict)
    pids: dict[str, int] = dataclasses.field(default_factory=dict)
    cached: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Driver:
    """Runs a spec.

    Attributes:
      spec: The content of the YAML file.
      backend: What is there from earlier runs.
      scratch: Folder for what the backend itself writes.
      environment: More environment variables for the processes.
    """

    spec: Mapping[str, Any]
    backend: Backend
    scratch: Path
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def run(self) -> Run:
        """Runs all tasks.

        Raises:
          TaskFailed: One failed; those after it were not started.
        """
        run = Run()
        self.backend.runs += 1
        for name in self._tasks(run):
            if not self._reuse(name, run):
                self._start(name, run)
        return run

    def waiting(self) -> list[str]:
        """The tasks that a run would start, for want of earlier outputs; none is started.

        What they would make is new to those after them.
        """
        run, waiting = Run(), []
        for name in self._tasks(run):
            after_another = set(self._task(name)["dependentTasks"]) & set(waiting)
            if after_another or not self._reuse(name, run):
                waiting.append(name)
        return waiting

    def _tasks(self, run: Run) -> Iterator[str]:
        """The tasks with a container, in order, after what they depend on is imported."""
        tasks = self.spec["root"]["dag"]["tasks"]
        after = {name: task.get("dependentTasks", ()) for name, task in tasks.items()}
        for name in graphlib.TopologicalSorter(after).static_order():
            if "importer" in self._executor(name):
                run.artifacts[name] = self._import(name)
            else:
                yield name

    def _task(self, name: str) -> Mapping[str, Any]:
        return self.spec["root"]["dag"]["tasks"][name]

    def _component(self, name: str) -> Mapping[str, Any]:
        return self.spec["components"][self._task(name)["componentRef"]["name"]]

    def _executor(self, name: str) -> Mapping[str, Any]:
        return self.spec["deploymentSpec"]["executors"][self._component(name)["executorLabel"]]

    def _import(self, name: str) -> Artifacts:
        importer = self._executor(name)["importer"]
        uri = importer["artifactUri"]["constant"]
        if not _BUCKET.fullmatch(uri):
            raise TaskFailed(f"{name}: no provider scheme found in artifact URI: {uri}")
        [key] = self._component(name)["outputDefinitions"]["artifacts"]
        imported = {"uri": uri, "type": importer["typeSchema"]}
        imported["metadata"] = importer.get("metadata", {})
        return {key: self.backend.import_(name, imported, importer.get("reimport", False))}

    def _reuse(self, name: str, run: Run) -> bool:
        """Takes what a task made before, if it is the same task and may be cached."""
        if not (key := self._key(name, run)):
            return False
        made = self.backend.cached(name, key, self._inputs(name, run))
        if made is None:
            return False
        run.artifacts[name] = made
        run.cached.append(name)
        return True

    def _key(self, name: str, run: Run) -> str:
        """By what a task is found in the cache; "" where it is not to be looked for."""
        if not self._task(name).get("cachingOptions", {}).get("enableCache"):
            return ""
        return cache_key(self._given(name, run), self._executor(name)["container"])

    def _start(self, name: str, run: Run) -> None:
        given, container = self._given(name, run), self._executor(name)["container"]
        words = [*container["command"], *container["args"]]
        process = subprocess.Popen(
            [json.dumps(given) if word == "{{$}}" else word for word in words],
            env={**os.environ, **_path(), **self.environment},
            cwd=self._folder(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        log, _ = process.communicate()
        if process.returncode:
            raise TaskFailed(f"{name} ended with {process.returncode}:\n{log[-5000:]}")
        run.pids[name] = process.pid
        inputs, key = self._inputs(name, run), self._key(name, run)
        run.artifacts[name] = self.backend.publish(name, key, inputs, _outputs(given))

    def _folder(self) -> Path:
        folder = self.scratch / f"run-{self.backend.runs}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _given(self, name: str, run: Run) -> dict[str, Any]:
        """The `ExecutorInput` of a task."""
        parameters = self._task(name)["inputs"].get("parameters", {})
        return {
            "inputs": {
                "artifacts": _listed(self._inputs(name, run)),
                "parameterValues": {
                    key: value["runtimeValue"]["constant"] for key, value in parameters.items()
                },
            },
            "outputs": {
                "artifacts": _listed(self._provided(name)),
                "outputFile": str(self._folder() / name / "executor_output.json"),
            },
        }

    def _inputs(self, name: str, run: Run) -> Artifacts:
        wanted = self._task(name)["inputs"]["artifacts"]
        sources = {key: value["taskOutputArtifact"] for key, value in wanted.items()}
        return {
            key: run.artifacts[source["producerTask"]][source["outputArtifactKey"]]
            for key, source in sources.items()
        }

    def _provided(self, name: str) -> Artifacts:
        """What a task is to put out, and where."""
        defined = self._component(name)["outputDefinitions"]["artifacts"]
        root = self.spec["defaultPipelineRoot"]
        return {
            key: {
                "name": key,
                "uri": f"{root}/run-{self.backend.runs}/{name}/{key}",
                "type": definition["artifactType"],
                "metadata": definition.get("metadata", {}),
            }
            for key, definition in defined.items()
        }


def _outputs(given: Mapping[str, Any]) -> Artifacts:
    """What a task says that it put out, on top of what it was told to."""
    said = json.loads(Path(given["outputs"]["outputFile"]).read_text("utf-8"))["artifacts"]
    made = {}
    for key, listed in said.items():
        [before], [after] = given["outputs"]["artifacts"][key]["artifacts"], listed["artifacts"]
        metadata = {**before["metadata"], **after.get("metadata", {})}
        made[key] = {**before, "uri": after["uri"], "metadata": metadata}
    return made


def _listed(artifacts: Artifacts) -> dict[str, Any]:
    return {key: {"artifacts": [artifact]} for key, artifact in artifacts.items()}


def _path() -> dict[str, str]:
    """A container's `python` is the one with everything installed."""
    return {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
