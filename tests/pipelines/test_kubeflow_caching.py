"""What the backend of Kubeflow takes from its cache, and what it runs again."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator.lineage.query import LineageAnswer, lineage
from tests.legacy_lab.cases import Case
from tests.pipelines.kubeflow_cluster import Cluster
from tests.pipelines.kubeflow_driver import Run
from tests.pipelines.migrations import place_files, write_config

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

STEPS = ["RnnConverter", "EquivalenceEvaluator", "Pusher"]


@dataclasses.dataclass(frozen=True)
class Scene:
    """A migration that has run once, every step a process."""

    folder: Path
    cluster: Cluster
    first: Run

    def compile(self, **changes: Any) -> dict[str, Any]:
        return self.cluster.compile(write_config(self.folder / "config.yaml", **changes))

    def waiting(self, **changes: Any) -> list[str]:
        return self.cluster.driver(self.compile(**changes)).waiting()

    def lineage(self) -> LineageAnswer:
        return lineage(self.folder / "run" / "serving", self.cluster.backend.metadata)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Scene:
    folder = tmp_path_factory.mktemp("migration")
    place_files(folder, cases["tf1_stacked_lstm_npz"])
    cluster = Cluster("volume", folder, tmp_path_factory.mktemp("cluster"))
    return Scene(folder, cluster, cluster.run(write_config(folder / "config.yaml")))


@pytest.fixture
def scene(started: Scene, cases: dict[str, Case]) -> Scene:
    """The scene with its files as they were."""
    place_files(started.folder, cases["tf1_stacked_lstm_npz"])
    return started


def change(file: Path) -> None:
    """Other bytes in the place of a file of arrays."""
    np.savez(file, **{name: array / 2 for name, array in np.load(file).items()})


def test_unchanged_everything_is_taken_from_the_cache(scene: Scene) -> None:
    assert scene.first.cached == []
    assert [*scene.first.pids] == STEPS
    before = scene.lineage()
    again = scene.cluster.driver(scene.compile()).run()
    assert again.cached == STEPS
    assert again.pids == {}
    assert again.artifacts == scene.first.artifacts
    assert len(list((scene.folder / "run" / "serving").iterdir())) == 1
    after = scene.lineage()
    assert (after.verdict, after.pushes, after.steps) == (
        before.verdict,
        before.pushes,
        before.steps,
    )


def test_another_backend_has_nothing_in_its_cache(scene: Scene, tmp_path: Path) -> None:
    other = Cluster("volume", scene.folder, tmp_path)
    assert other.driver(scene.compile()).waiting() == STEPS


SOURCE = {"path": "weights.npz", "set": {"forget_bias": 1.0}}
EVALUATION = {"golden": ["golden.npz"]}


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"source": SOURCE, "evaluation": EVALUATION}, []),
        ({"source": {**SOURCE, "set": {"forget_bias": 1.0, "activation": "tanh"}}}, STEPS),
        ({"target": "cpu"}, STEPS),
        ({"evaluation": {**EVALUATION, "factor": 4}}, STEPS[1:]),
        ({"evaluation": {**EVALUATION, "search": {"ranges": {"inputs": [-1, 1]}}}}, STEPS[1:]),
        ({"output": {"root": "run", "serving": "other"}}, STEPS[2:]),
        ({"cache": False}, STEPS),
    ],
    ids=["nothing", "setting", "target", "threshold", "search", "serving", "cache"],
)
def test_a_changed_config_runs_what_depends_on_it(
    scene: Scene, changes: dict[str, Any], again: list[str]
) -> None:
    assert scene.waiting(**changes) == again


def test_other_recordings_are_judged_again(scene: Scene) -> None:
    change(scene.folder / "golden.npz")
    assert scene.waiting() == STEPS[1:]


def test_another_version_of_the_converter_runs_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version
    newer = {"rnn-migrator": "9.9.9"}
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: newer.get(name) or version(name)
    )
    assert scene.waiting() == STEPS


def test_other_bytes_under_the_same_uri_run_again(scene: Scene) -> None:
    change(scene.folder / "weights.npz")
    assert scene.waiting() == STEPS
    assert scene.waiting() == STEPS, "they are imported by now, and nothing was made of them"


def test_without_their_digest_other_bytes_would_be_taken_for_the_first(scene: Scene) -> None:
    change(scene.folder / "weights.npz")
    spec = scene.compile()
    importer = spec["deploymentSpec"]["executors"]["LegacyModel_executor"]["importer"]
    del importer["metadata"]["sha256"]
    assert scene.cluster.driver(spec).waiting() == []
    importer["reimport"] = True
    assert scene.cluster.driver(spec).waiting() == STEPS
