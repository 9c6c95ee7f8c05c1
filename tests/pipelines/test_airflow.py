"""The pipeline on Airflow: what reading the DAG file costs, and what a real scheduler does."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import load_config, load_migrations
from pipelines.local import RunResult, read_result
from pipelines.runs import compile_run, node_ids
from rnn_migrator.lineage.query import lineage
from tests.equivalence.inputs.records import example, sequences, write
from tests.legacy_lab.cases import Case
from tests.pipelines.airflow_home import Airflow, airflow
from tests.pipelines.migrations import (
    CONFIGS,
    CONFIGS_OF_ONE,
    MANY,
    place_files,
    weights,
    write_config,
)

pytestmark = [
    pytest.mark.tfx,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("airflow") is None, reason="the extra airflow is not installed"
    ),
]

ROOT = Path(__file__).resolve().parents[2]
WRONG = "wrong-config"
DAG_FILE = ROOT / "pipelines" / "airflow.py"
HEAVY = {"tensorflow", "tfx", "apache_beam", "keras", "ml_metadata"}
BEFORE = ["prepare", "LegacyModel"]
AFTER = ["RnnConverter", "EquivalenceEvaluator", "Pusher", "verdict"]

READ = """
import json, sys
from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1], include_examples=False)
tasks = {name: [t.task_id for t in dag.topological_sort()] for name, dag in bag.dags.items()}
retries = {name: dag.default_args.get("retries") for name, dag in bag.dags.items()}
docs = {name: dag.doc_md for name, dag in bag.dags.items()}
errors = list(bag.import_errors.values())
json.dump({"tasks": tasks, "retries": retries, "docs": docs, "errors": errors,
           "modules": sorted(sys.modules)}, sys.stderr)
"""


@dataclasses.dataclass
class Reader:
    """Reads a DAG file as Airflow does, in an interpreter of its own."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "dags" / "migrations.py"

    def read(self, configs: Path | None = None) -> dict[str, Any]:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        environment.pop("RNN_MIGRATOR_CONFIGS", None)
        if configs:
            environment["RNN_MIGRATOR_CONFIGS"] = str(configs)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", READ, str(self.file.parent)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(done.stderr.splitlines()[-1])


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    reader = Reader(tmp_path / "airflow")
    reader.file.parent.mkdir(parents=True)
    shutil.copy(DAG_FILE, reader.file)
    return reader


def test_every_config_of_the_project_is_a_dag_and_tensorflow_is_not_imported(
    reader: Reader,
) -> None:
    found = reader.read(CONFIGS)
    assert found["errors"] == []
    configs = [load_config(CONFIGS / file) for file in CONFIGS_OF_ONE]
    many = load_migrations(CONFIGS / MANY)
    assert {*found["tasks"]} == {*(config.name for config in configs), many.name}
    for config in configs:
        data = ["Examples"] if config.evaluation.examples else []
        assert found["tasks"][config.name] == [*BEFORE, *data, *AFTER]
    groups = [f"{model}.{task}" for model in many.models for task in (*BEFORE, *AFTER)]
    assert sorted(found["tasks"][many.name]) == sorted([*groups, "summary"])
    assert not HEAVY & {*found["modules"]}


def test_the_measure_notices_tensorflow(reader: Reader) -> None:
    reader.file.write_text(f"{DAG_FILE.read_text('utf-8')}\nimport pipelines.migration\n")
    assert {*reader.read(ROOT / "configs")["modules"]} >= HEAVY


def test_a_file_of_ones_own_takes_one_config_and_options(reader: Reader) -> None:
    config = ROOT / "configs" / "stacked_lstm.yaml"
    reader.file.write_text(
        "from pipelines.dags import create_dag  # airflow dag\n"
        f"dag = create_dag({str(config)!r}, default_args={{'retries': 2}})\n"
    )
    found = reader.read()
    assert found["errors"] == []
    assert found["retries"] == {"stacked-lstm": 2}


def test_what_is_wrong_is_named(reader: Reader, tmp_path: Path, cases: dict[str, Case]) -> None:
    configs = tmp_path / "configs"
    place_files(configs, cases["tf1_stacked_lstm_npz"])
    [nothing] = reader.read()["errors"]
    assert "RNN_MIGRATOR_CONFIGS: expected the YAML file of a migration" in nothing
    [empty] = reader.read(configs)["errors"]
    assert f"no *.yaml in {configs}" in empty
    found = reader.read(write_config(configs / "a.yaml", nmae="other"))
    assert found["errors"] == []
    assert found["tasks"] == {f"{WRONG}.a": ["config"]}
    assert "a.yaml, line " in found["docs"][f"{WRONG}.a"]
    assert "nmae" in found["docs"][f"{WRONG}.a"]


def test_a_wrong_config_leaves_the_others_their_dags(
    reader: Reader, tmp_path: Path, cases: dict[str, Case]
) -> None:
    configs = tmp_path / "configs"
    place_files(configs, cases["tf1_stacked_lstm_npz"])
    for name in ("a.yaml", "b.yaml"):
        write_config(configs / name)
    for name in ("c ü.yaml", "c_ü.yaml"):
        write_config(configs / name, nmae="other")
    found = reader.read(configs)
    assert found["errors"] == []
    right = load_config(configs / "a.yaml").name
    assert found["tasks"] == {
        right: [*BEFORE, *AFTER],
        f"{WRONG}.b": ["config"],
        f"{WRONG}.c-20-ü": ["config"],
        f"{WRONG}.c_ü": ["config"],
    }
    assert "expected a name that no other config of the folder has" in found["docs"][f"{WRONG}.b"]
    assert "c ü.yaml, line " in found["docs"][f"{WRONG}.c-20-ü"]


def test_every_component_is_a_task(reader: Reader, tmp_path: Path, cases: dict[str, Case]) -> None:
    from pipelines.migration import create_pipeline

    place_files(tmp_path, cases["tf1_stacked_lstm_npz"])
    write(tmp_path / "data" / "a.gz", (example(x=array) for array in sequences(9, 4)))
    (tmp_path / "schema.pbtxt").write_text('feature { name: "x" type: FLOAT }')
    for data in ({"path": "data"}, {"path": "data", "schema": "schema.pbtxt"}):
        config = write_config(tmp_path / "config.yaml", evaluation={"examples": data})
        nodes = node_ids(compile_run(create_pipeline(load_config(config)), "run"))
        [tasks] = reader.read(config)["tasks"].values()
        assert tasks == [*BEFORE, *["Examples", "Schema"][: len(data)], *AFTER]
        assert {*tasks} == {"prepare", *nodes, "verdict"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run on Airflow that has ended."""

    state: str
    tasks: dict[str, tuple[str, int]]
    verdict: dict[str, str] | None
    result: RunResult


@dataclasses.dataclass(frozen=True)
class Scene:
    """A migration and an Airflow that runs it."""

    folder: Path
    airflow: Airflow

    def run(self, name: str, killed: str = "") -> Run:
        self.airflow.trigger("weights", name)
        if killed:
            self.airflow.kill("weights", name, killed)
        return self.ended(name, 1)

    def ended(self, name: str, attempt: int) -> Run:
        return Run(
            self.airflow.end("weights", name),
            self.airflow.tasks("weights", name),
            self.airflow.result("weights", name, "verdict"),
            read_result(load_config(self.folder / "weights.yaml"), f"weights.{name}.{attempt}"),
        )

    @property
    def pushed(self) -> list[Path]:
        return [p for p in (self.folder / "run" / "serving").iterdir() if p.name.isdecimal()]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("migration")
    place_files(folder, cases["tf1_stacked_lstm_npz"])
    write_config(folder / "weights.yaml")
    write_config(folder / "strict.yaml", name="strict", strict=True, output={"root": "strict"})
    shutil.copy(folder / "weights.npz", folder / "bare.npz")
    models = [
        {"name": "good", "source": {"path": "weights.npz", "set": {"forget_bias": 1.0}}},
        {"name": "bare", "source": {"path": "bare.npz"}, "strict": True},
    ]
    many = {"name": "many", "models": models, "source": {}, "output": {"root": "many"}}
    write_config(folder / "many.yaml", **many)
    write_config(folder / "mistyped.yaml", nmae="other")
    home = tmp_path_factory.mktemp("airflow") / "home"
    with airflow(home, folder, {"migrations.py": DAG_FILE}) as started:
        yield Scene(folder, started)


@pytest.fixture(scope="module")
def first(scene: Scene) -> Run:
    scene.airflow.trigger("strict", "refused")
    scene.airflow.trigger("many", "all")
    scene.airflow.trigger(f"{WRONG}.mistyped", "wrong")
    return scene.run("first")


@pytest.fixture(scope="module")
def changed(scene: Scene, first: Run) -> Run:
    """A run whose source no longer gives the outputs that were recorded; one task is killed."""
    file = scene.folder / "weights.npz"
    shutil.copy(file, file.with_suffix(".old"))
    np.savez(file, **{name: array / 2 for name, array in np.load(file).items()})
    return scene.run("changed", killed="RnnConverter")


@pytest.fixture(scope="module")
def cleared(scene: Scene, changed: Run) -> Run:
    """The same run once more, its source put back."""
    file = scene.folder / "weights.npz"
    shutil.move(file.with_suffix(".old"), file)
    scene.airflow.clear("weights", "changed")
    return scene.ended("changed", 2)


@pytest.fixture(scope="module")
def stricter(scene: Scene, cleared: Run) -> Run:
    """A run whose config has another threshold."""
    evaluation = {"golden": ["golden.npz"], "factor": 7}
    write_config(scene.folder / "weights.yaml", evaluation=evaluation)
    return scene.run("stricter")


@pytest.fixture(scope="module")
def newer(scene: Scene, stricter: Run) -> Run:
    """The same by another version of the converter."""
    metadata = scene.airflow.packages / "rnn_migrator-9.9.9.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: rnn-migrator\nVersion: 9.9.9\n")
    return scene.run("newer")


def test_a_blessed_model_is_pushed(scene: Scene, first: Run) -> None:
    """What it holds is that of the local run: see test_orchestrators.py."""
    assert first.state == "success", scene.airflow.log()
    assert first.tasks == dict.fromkeys([*BEFORE, *AFTER], ("success", 1))
    assert first.verdict is not None
    assert first.verdict["reason"] == first.result.evaluation["reason"]
    assert scene.pushed == [first.result.pushed] == [Path(first.verdict["pushed"])]
    assert first.result.lineage.run_id == "weights.first.1"


def test_what_is_not_blessed_ends_the_run_and_is_not_pushed(
    scene: Scene, first: Run, changed: Run
) -> None:
    assert changed.state == "failed"
    assert changed.tasks == {
        **dict.fromkeys(BEFORE, ("success", 1)),
        "RnnConverter": ("success", 2),
        "EquivalenceEvaluator": ("success", 1),
        "Pusher": ("skipped", 1),
        "verdict": ("failed", 1),
    }
    assert changed.verdict is None
    assert changed.result.cached == (), "changed bytes are not taken from the cache"
    assert scene.pushed == [first.result.pushed]
    reason = changed.result.evaluation["reason"]
    assert f"pushed nothing: {reason}" in scene.airflow.task_log("weights", "changed", "Pusher")
    assert reason in scene.airflow.task_log("weights", "changed", "verdict")
    verdict = lineage(changed.result.model).verdict
    assert verdict is not None
    assert verdict.verdict == "not blessed"


def test_a_run_that_is_cleared_begins_anew_and_takes_unchanged_bytes_from_the_cache(
    scene: Scene, first: Run, changed: Run, cleared: Run
) -> None:
    assert cleared.state == "success", scene.airflow.log()
    tasks = {**dict.fromkeys([*BEFORE, *AFTER], ("success", 2)), "RnnConverter": ("success", 3)}
    assert cleared.tasks == tasks
    assert cleared.result.cached == ("Importer", "RnnConverter", "EquivalenceEvaluator", "Pusher")
    assert cleared.result.run_id != changed.result.run_id
    assert cleared.result.pushed == first.result.pushed
    assert scene.pushed == [first.result.pushed]
    assert first.result.cached == ()


def test_a_changed_config_or_converter_is_not_taken_from_the_cache(
    stricter: Run, newer: Run
) -> None:
    assert stricter.state == newer.state == "success"
    assert stricter.result.cached == ("Importer", "RnnConverter")
    assert newer.result.cached == ("Importer",)
    assert newer.result.conversion["versions"]["rnn-migrator"] == "9.9.9"


def test_a_refused_source_is_not_tried_again(scene: Scene, first: Run) -> None:
    assert scene.airflow.end("strict", "refused") == "failed"
    tasks = scene.airflow.tasks("strict", "refused")
    assert tasks.pop("prepare") == ("failed", 1), "though tasks have a retry"
    assert {state for state, _ in tasks.values()} == {"upstream_failed"}
    assert "Remedy:" in scene.airflow.task_log("strict", "refused", "prepare")
    assert not (scene.folder / "strict").exists()


def test_a_run_of_a_wrong_config_says_what_is_wrong(scene: Scene, first: Run) -> None:
    """And those of the other configs beside it go on, as the other tests say."""
    dag = f"{WRONG}.mistyped"
    assert scene.airflow.end(dag, "wrong") == "failed"
    assert scene.airflow.tasks(dag, "wrong") == {"config": ("failed", 1)}
    assert "nmae" in scene.airflow.task_log(dag, "wrong", "config")


def test_a_bad_one_of_many_models_does_not_stop_the_others(scene: Scene, first: Run) -> None:
    assert scene.airflow.end("many", "all") == "failed"
    tasks = scene.airflow.tasks("many", "all")
    good = {task: tasks[f"good.{task}"][0] for task in (*BEFORE, *AFTER)}
    assert good == dict.fromkeys([*BEFORE, *AFTER], "success")
    bare = {task: tasks[f"bare.{task}"][0] for task in (*BEFORE, *AFTER)}
    assert bare.pop("prepare") == "failed"
    assert {*bare.values()} == {"upstream_failed"}
    assert tasks["summary"] == ("failed", 1)
    config = load_migrations(scene.folder / "many.yaml").models["good"]
    result = read_result(config, "many.good.all.1")
    assert result.pushed is not None
    assert first.result.pushed is not None
    assert weights(result.pushed) == weights(first.result.pushed)
    told = scene.airflow.task_log("many", "all", "summary")
    assert "1 of 2 blessed; not: bare" in told
    assert f"good: {result.evaluation['reason']}" in told
    assert "bare: refused; see the log of its task bare.prepare" in told
