"""What the backend of Kubeflow Pipelines v2 does with a compiled spec, on this machine.

Tasks are run after those they depend on, each command of a container as a process of its own, with
nothing but `ExecutorInput` to go by and nothing but `ExecutorOutput` to answer with. Images are
not run: the processes are those of this environment.
"""

from __future__ import annotations

import dataclasses
import graphlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Artifacts = dict[str, dict[str, Any]]
"""Runtime artifacts by key: `name`, `uri`, `type`, `metadata`."""

_BUCKET = re.compile(r"[a-z][a-z0-9]+:///?[^/?]+(/[^?]*)?")
"""What the backend takes for a URI."""


class TaskFailed(Exception):
    """The process of a task ended with an error."""


@dataclasses.dataclass
class Run:
    """What a run of a spec came to.

    Attributes:
      artifacts: What every task put out.
      outputs: Content of every `executor_output.json`; importers have none.
      pids: Process of every task; importers have none.
    """

    artifacts: dict[str, Artifacts] = dataclasses.field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    pids: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Driver:
    """Runs a spec.

    Attributes:
      spec: The content of the YAML file.
      scratch: Folder for what the backend itself writes.
      environment: More environment variables for the processes.
    """

    spec: Mapping[str, Any]
    scratch: Path
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, file: Path, scratch: Path, **environment: str) -> Driver:
        """A driver for a spec in a file."""
        return cls(yaml.safe_load(file.read_text("utf-8")), scratch, environment)

    def run(self) -> Run:
        """Runs all tasks.

        Raises:
          TaskFailed: One failed; those after it were not started.
        """
        tasks = self.spec["root"]["dag"]["tasks"]
        self.scratch.mkdir(parents=True, exist_ok=True)
        after = {name: task.get("dependentTasks", ()) for name, task in tasks.items()}
        run = Run()
        for name in graphlib.TopologicalSorter(after).static_order():
            component = self.spec["components"][tasks[name]["componentRef"]["name"]]
            executors = self.spec["deploymentSpec"]["executors"]
            executor = executors[component["executorLabel"]]
            if "importer" in executor:
                run.artifacts[name] = _import(name, component, executor["importer"])
            else:
                self._start(name, component, executor["container"], run)
        return run

    def _start(
        self, name: str, component: Mapping[str, Any], container: Mapping[str, Any], run: Run
    ) -> None:
        file = self.scratch / name / "executor_output.json"
        inputs = self.spec["root"]["dag"]["tasks"][name]["inputs"]
        given = {
            "inputs": _inputs(inputs, run.artifacts),
            "outputs": {
                "artifacts": _listed(self._outputs(name, component)),
                "outputFile": str(file),
            },
        }
        words = [*container["command"], *container["args"]]
        process = subprocess.Popen(
            [json.dumps(given) if word == "{{$}}" else word for word in words],
            env={**os.environ, **self._path(), **self.environment},
            cwd=self.scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        log, _ = process.communicate()
        if process.returncode:
            raise TaskFailed(f"{name} ended with {process.returncode}:\n{log[-5000:]}")
        run.pids[name] = process.pid
        run.outputs[name] = json.loads(file.read_text("utf-8"))
        made = given["outputs"]["artifacts"]
        for key, listed in run.outputs[name]["artifacts"].items():
            [before], [after] = made[key]["artifacts"], listed["artifacts"]
            run.artifacts.setdefault(name, {})[key] = {**before, **after}

    def _path(self) -> dict[str, str]:
        """A container's `python` is the one with everything installed."""
        return {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}

    def _outputs(self, name: str, component: Mapping[str, Any]) -> Artifacts:
        defined = component["outputDefinitions"]["artifacts"]
        root = self.spec["defaultPipelineRoot"]
        return {
            key: {
                "name": f"{name}.{key}",
                "uri": f"{root}/run-1/{name}/{key}",
                "type": definition["artifactType"],
                "metadata": definition.get("metadata", {}),
            }
            for key, definition in defined.items()
        }


def _import(name: str, component: Mapping[str, Any], importer: Mapping[str, Any]) -> Artifacts:
    uri = importer["artifactUri"]["constant"]
    if not _BUCKET.fullmatch(uri):
        raise TaskFailed(f"{name}: no provider scheme found in artifact URI: {uri}")
    [key] = component["outputDefinitions"]["artifacts"]
    artifact = {"name": name, "uri": uri, "type": importer["typeSchema"]}
    return {key: {**artifact, "metadata": importer.get("metadata", {})}}


def _inputs(inputs: Mapping[str, Any], made: Mapping[str, Artifacts]) -> dict[str, Any]:
    sources = {key: value["taskOutputArtifact"] for key, value in inputs["artifacts"].items()}
    return {
        "artifacts": _listed(
            {
                key: made[source["producerTask"]][source["outputArtifactKey"]]
                for key, source in sources.items()
            }
        ),
        "parameterValues": {
            key: value["runtimeValue"]["constant"]
            for key, value in inputs.get("parameters", {}).items()
        },
    }


def _listed(artifacts: Artifacts) -> dict[str, Any]:
    return {key: {"artifacts": [artifact]} for key, artifact in artifacts.items()}
