"""Where a compiled spec runs: a volume, or a bucket with copies of what the spec needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.kubeflow import compile_pipeline
from tests.pipelines.kubeflow_backend import Backend
from tests.pipelines.kubeflow_driver import Driver, Run

IMAGE = "registry.example.com/team/rnn-migrator:0.1.0"
BUCKET = "gs://bucket"

_ROOT = Path(__file__).resolve().parents[2]


class Cluster:
    """A volume or a bucket, and the backend that goes with it.

    Attributes:
      place: What stands for a folder of this machine, as `rnn-migrate compile --map` takes it.
      root: URI of that folder.
      backend: What outlasts a run.
    """

    def __init__(self, kind: str, folder: Path, scratch: Path) -> None:
        self.root = BUCKET if kind == "bucket" else f"file://{folder}"
        self.place = f"{folder}={self.root}"
        self.backend = Backend(scratch / "backend" / "metadata.sqlite")
        self._buckets = scratch / "buckets"
        self._scratch = scratch / "backend"
        path = (_ROOT / "component", _ROOT / "tests" / "pipelines" / "bucket")
        self._environment = {
            "BUCKETS": str(self._buckets),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
        }

    def path(self, uri: str) -> Path:
        """The file or folder that a URI stands for."""
        scheme, _, rest = uri.partition("://")
        return self._buckets / rest if scheme == "gs" else Path(rest)

    def upload(self, needs: Mapping[str, Path]) -> None:
        """Copies files to where the spec looks for them."""
        for uri, file in needs.items():
            if self.path(uri) != file:
                self.path(uri).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, self.path(uri))

    def compile(self, config: Path) -> dict[str, Any]:
        """Compiles a config, and brings what it needs."""
        file = self._scratch / "pipeline.yaml"
        self.upload(compile_pipeline(config, file, IMAGE, [self.place]).needs)
        return yaml.safe_load(file.read_text("utf-8"))

    def driver(self, spec: Mapping[str, Any]) -> Driver:
        """Runs a spec here."""
        return Driver(spec, self.backend, self._scratch, self._environment)

    def run(self, config: Path) -> Run:
        """Compiles a config and runs it."""
        return self.driver(self.compile(config)).run()
