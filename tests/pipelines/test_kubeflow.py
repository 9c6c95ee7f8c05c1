"""The pipeline for Kubeflow: what the spec says, and what becomes of it, each step by itself."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from pipelines.config import load_config
from pipelines.kubeflow import compile_pipeline, compile_pipelines
from pipelines.local import run_local
from rnn_migrator.errors import UnsupportedError, UsageError
from rnn_migrator.lineage.query import lineage
from rnn_migrator.readers import open_artifact
from tests.legacy_lab.cases import Case
from tests.pipelines.kubeflow_cluster import BUCKET, IMAGE, Cluster
from tests.pipelines.kubeflow_driver import Run, TaskFailed
from tests.pipelines.migrations import (
    CONFIGS_OF_ONE,
    MANY,
    place_files,
    place_project,
    weights,
    write_config,
)

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place_project(tmp_path_factory.mktemp("project"))


def compiled(config: Path, target: Path, place: str) -> dict[str, Any]:
    compile_pipeline(config, target, IMAGE, [place])
    return yaml.safe_load(target.read_text("utf-8"))


def container(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]


def constants(spec: dict[str, Any], name: str) -> dict[str, Any]:
    given = spec["root"]["dag"]["tasks"][name]["inputs"]["parameters"]
    return {key: value["runtimeValue"]["constant"] for key, value in given.items()}


@pytest.mark.parametrize("name", CONFIGS_OF_ONE)
def test_every_config_of_the_project_compiles(project: Path, tmp_path: Path, name: str) -> None:
    from kfp import components

    file, config = tmp_path / "pipeline.yaml", load_config(project / "configs" / name)
    spec = compiled(project / "configs" / name, file, f"{project}={BUCKET}")
    assert components.load_component_from_file(str(file)).name == config.name
    assert spec["schemaVersion"] == "2.1.0"
    assert str(project) not in file.read_text("utf-8"), "a path that no container knows"
    assert spec["defaultPipelineRoot"] == f"{BUCKET}/runs/{config.name}"

    importer = spec["deploymentSpec"]["executors"]["LegacyModel_executor"]["importer"]
    source = open_artifact(config.source.path, config.source.architecture)
    assert importer["metadata"]["sha256"] == source.digest
    assert importer["metadata"]["format"] == source.format
    assert importer["artifactUri"]["constant"].startswith(f"{BUCKET}/tests/legacy_lab/")
    assert "title: rnn_migrator.LegacyModel\n" in importer["typeSchema"]["instanceSchema"]

    for step in ("RnnConverter", "EquivalenceEvaluator", "Pusher"):
        assert container(spec, step)["image"] == IMAGE
        assert container(spec, step)["command"][0] == "python"
    converter = constants(spec, "RnnConverter")
    assert json.loads(converter["settings"]) == list(config.source.set)
    assert ("architecture" in converter) == bool(config.source.architecture)
    golden = json.loads(constants(spec, "EquivalenceEvaluator")["golden"])
    assert len(golden) == len(config.evaluation.golden)
    assert all(file["path"].startswith(f"{BUCKET}/tests/") and file["sha256"] for file in golden)
    serving = json.loads(constants(spec, "Pusher")["push_destination"])["filesystem"]
    assert serving == {"base_directory": f"{BUCKET}/runs/{config.name}/serving"}


def test_many_models_are_a_spec_each_and_a_bad_one_is_left_out(
    project: Path, tmp_path: Path
) -> None:
    config = tmp_path / "many.yaml"
    content = yaml.safe_load((project / "configs" / MANY).read_text("utf-8"))
    for entry in content["models"]:
        entry["source"]["path"] = str(project / "configs" / entry["source"]["path"])
    content["models"][-1]["strict"] = True
    content["models"][-1]["source"].pop("set")
    content["output"]["root"] = str(project / "runs")
    config.write_text(yaml.safe_dump(content))
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "dump.yaml").write_text("of an earlier time")
    done = compile_pipelines(config, tmp_path / "specs", IMAGE, [f"{project}={BUCKET}"])
    assert [*done.refused] == ["dump"]
    assert isinstance(done.refused["dump"], UnsupportedError)
    specs = {file.name: yaml.safe_load(file.read_text("utf-8")) for file in _files(tmp_path)}
    assert specs.keys() == {f"{model}.yaml" for model in done.compiled}
    spec = specs["keras1-lstm-stack.yaml"]
    assert spec["pipelineInfo"]["name"] == "many-keras1-lstm-stack"
    assert spec["defaultPipelineRoot"] == f"{BUCKET}/runs/keras1-lstm-stack"


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "specs").iterdir())


def test_many_models_want_a_folder(project: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--kubeflow: expected a folder, since the config has 6"):
        compile_pipelines(project / "configs" / MANY, tmp_path / "p.yaml", IMAGE, [])


def test_types_of_artifacts(project: Path, tmp_path: Path) -> None:
    place = f"{project}={BUCKET}"
    spec = compiled(project / "configs" / "stacked_lstm.yaml", tmp_path / "p.yaml", place)
    found = {
        f"{name}.{key}": definition["artifactType"]["instanceSchema"].split()[1]
        for name, component in spec["components"].items()
        for key, definition in component["outputDefinitions"]["artifacts"].items()
    }
    assert found == {
        "LegacyModel.result": "rnn_migrator.LegacyModel",
        "RnnConverter.model": "tfx.Model",
        "EquivalenceEvaluator.blessing": "tfx.ModelBlessing",
        "EquivalenceEvaluator.evaluation": "tfx.ModelEvaluation",
        "Pusher.pushed_model": "tfx.PushedModel",
    }


@pytest.fixture
def migration(tmp_path: Path, cases: dict[str, Case]) -> Migration:
    place_files(tmp_path, cases["tf1_stacked_lstm_npz"])
    return Migration(tmp_path)


@dataclasses.dataclass
class Migration:
    """A migration of recurrent weights in an NPZ file, in a folder of its own."""

    folder: Path

    def config(self, **changes: Any) -> Path:
        return write_config(self.folder / "config.yaml", **changes)

    @property
    def target(self) -> Path:
        return self.folder / "compiled" / "pipeline.yaml"

    def compile(self, place: str = "", **changes: Any) -> dict[str, Any]:
        return compiled(self.config(**changes), self.target, place or f"{self.folder}={BUCKET}")


def test_beam_arguments_of_the_config_reach_the_evaluator(migration: Migration) -> None:
    arguments = ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    spec = migration.compile(beam_pipeline_args=arguments)
    assert container(spec, "EquivalenceEvaluator")["args"][-2:] == arguments
    assert container(migration.compile(), "EquivalenceEvaluator")["args"][-2:] != arguments


def _data(migration: Migration) -> dict[str, Any]:
    """The section of the config for a data set that is written here."""
    from tests.equivalence.inputs.records import example, sequences, write

    folder = migration.folder / "data"
    write(folder / "Split-eval" / "a.gz", (example(inputs=array) for array in sequences(9, 4)))
    (folder / "schema.pbtxt").write_text('feature { name: "inputs" type: FLOAT }')
    return {"examples": {"path": "data", "splits": ["eval"], "schema": "data/schema.pbtxt"}}


def test_a_data_set_and_its_schema(migration: Migration) -> None:
    folder = migration.folder / "data"
    config = migration.config(evaluation=_data(migration))
    places = [f"{migration.folder}={BUCKET}", f"{folder}=file:///mnt/data"]
    found = compile_pipeline(config, migration.target, IMAGE, places)
    assert found.needs["file:///mnt/data/Split-eval/a.gz"] == folder / "Split-eval" / "a.gz"
    assert found.needs["file:///mnt/data/schema.pbtxt"] == folder / "schema.pbtxt"
    spec = yaml.safe_load(migration.target.read_text("utf-8"))
    executors = spec["deploymentSpec"]["executors"]
    examples, schema = (
        executors[f"{name}_executor"]["importer"] for name in ("Examples", "Schema")
    )
    assert examples["artifactUri"]["constant"] == "file:///mnt/data"
    assert schema["artifactUri"]["constant"] == "file:///mnt/data/schema.pbtxt"
    assert examples["metadata"]["split_names"] == '["eval"]'
    assert examples["metadata"]["sha256"] != schema["metadata"]["sha256"]
    assert "title: tfx.Examples\n" in examples["typeSchema"]["instanceSchema"]
    inputs = spec["root"]["dag"]["tasks"]["EquivalenceEvaluator"]["inputs"]["artifacts"]
    assert inputs["examples"]["taskOutputArtifact"]["producerTask"] == "Examples"


def test_other_bytes_give_another_spec(migration: Migration) -> None:
    first, again = migration.compile(), migration.compile()
    assert again == first
    arrays = {key: array / 2 for key, array in np.load(migration.folder / "weights.npz").items()}
    np.savez(migration.folder / "weights.npz", **arrays)
    changed = migration.compile()
    executors = [spec["deploymentSpec"]["executors"] for spec in (first, changed)]
    before, after = (e["LegacyModel_executor"]["importer"]["metadata"] for e in executors)
    assert before["sha256"] != after["sha256"]
    assert before["format"] == after["format"]


class Api(http.server.BaseHTTPRequestHandler):
    """What the SDK asks an API server, answered alike whatever it is."""

    submitted: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        answer = {"run_id": "run", "experiment_id": "default", "display_name": "Default"}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def do_POST(self) -> None:
        self.submitted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.do_GET()


@pytest.mark.filterwarnings("ignore")
def test_the_sdk_submits_the_spec_as_it_is(migration: Migration) -> None:
    import kfp

    spec = migration.compile()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = kfp.Client(f"http://127.0.0.1:{server.server_port}")
        run = client.create_run_from_pipeline_package(str(migration.target))
        server.shutdown()
    assert run.run_id == "run"
    assert Api.submitted[-1]["pipeline_spec"] == spec


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"places": []}, ["a URI with a scheme", "weights.npz", "golden.npz", "serving"]),
        ({"places": ["{}/run=gs://bucket"]}, ["a URI with a scheme", "weights.npz"]),
        ({"places": ["{}=/mnt/models"]}, ["a URI with a scheme", "/mnt/models"]),
        ({"places": ["{}=minio://bucket"]}, ["scheme minio", "gs"]),
        ({"target": "pipeline.json"}, ["*.yaml", "pipeline.json"]),
        ({"target": "pipeline"}, ["*.yaml"]),
        ({"image": ""}, ["name of a container image"]),
        ({"image": "Team/Image:latest"}, ["Team/Image:latest"]),
        ({"image": "image:tag with blank"}, ["tag with blank"]),
        ({"image": "https://registry/image"}, ["https://registry/image"]),
        ({"image": "image@sha256:abc"}, ["sha256:abc"]),
    ],
)
def test_wrong_arguments_are_refused(
    migration: Migration, arguments: dict[str, Any], words: list[str]
) -> None:
    given = {"target": "pipeline.yaml", "image": IMAGE, "places": ["{}=gs://bucket"], **arguments}
    places = [place.format(migration.folder) for place in given["places"]]
    target = migration.target.with_name(given["target"])
    with pytest.raises(UsageError) as error:
        compile_pipeline(migration.config(), target, given["image"], places)
    assert all(word in str(error.value) for word in words), error.value
    assert not migration.target.parent.exists(), "something was written"


@pytest.mark.parametrize(
    "image", ["a", "a:1", "localhost:5000/a/b_c:v1.0-x", f"eu.gcr.io/p/i@sha256:{'0a' * 32}"]
)
def test_names_of_images(migration: Migration, image: str) -> None:
    compile_pipeline(migration.config(), migration.target, image, [f"{migration.folder}={BUCKET}"])
    assert image in migration.target.read_text("utf-8")


def test_workers_elsewhere_need_a_volume(migration: Migration) -> None:
    with pytest.raises(UsageError, match="--runner=DataflowRunner"):
        migration.compile(beam_pipeline_args=["--runner", "DataflowRunner"])
    place = f"{migration.folder}=file:///mnt/models"
    assert migration.compile(place, beam_pipeline_args=["--runner", "DataflowRunner"])


def test_a_refusal_leaves_the_spec_of_before(migration: Migration) -> None:
    migration.compile()
    before = migration.target.read_bytes()
    with pytest.raises(UnsupportedError):
        migration.compile(strict=True)
    assert migration.target.read_bytes() == before
    assert [file.name for file in migration.target.parent.iterdir()] == ["pipeline.yaml"]
    migration.compile(cache=False)
    assert migration.target.read_bytes() != before


def evaluation(run: Run, cluster: Cluster) -> dict[str, Any]:
    """The `evaluation.json` of a run."""
    folder = cluster.path(run.artifacts["EquivalenceEvaluator"]["evaluation"]["uri"])
    assert {file.name for file in folder.iterdir()} == {"evaluation.json", "report.html"}
    return json.loads((folder / "evaluation.json").read_text("utf-8"))


def test_the_model_out_of_a_bucket_is_that_of_the_local_run(project: Path, tmp_path: Path) -> None:
    """Out of a volume too, with all the rest: see test_orchestrators.py."""
    config = project / "configs" / "stacked_lstm.yaml"
    local = run_local(config)
    cluster = Cluster("bucket", project, tmp_path)
    run = cluster.run(config)
    assert len({*run.pids.values(), os.getpid()}) == 4, "every step a process of its own"

    assert run.artifacts["EquivalenceEvaluator"]["blessing"]["metadata"]["blessed"] == 1
    pushed = run.artifacts["Pusher"]["pushed_model"]["metadata"]["pushed_destination"]
    assert local.pushed is not None
    assert weights(cluster.path(pushed)) == weights(local.pushed)
    assert evaluation(run, cluster) == local.evaluation

    answer = lineage(pushed, cluster.backend.metadata)
    source = f"{BUCKET}/tests/legacy_lab/artifacts/tf1_stacked_lstm/model.ckpt"
    assert answer.source == {**local.lineage.source, "path": source}
    for key in ("tensors", "facts", "kernels", "target", "settings"):
        assert answer.conversion[key] == local.conversion[key]
    assert answer.verdict is not None
    assert answer.verdict.reason == local.evaluation["reason"]


@pytest.mark.parametrize("kind", ["volume", "bucket"])
def test_what_is_not_blessed_is_not_pushed(
    migration: Migration, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    cluster = Cluster(kind, migration.folder, tmp_path_factory.mktemp("cluster"))
    run = cluster.run(migration.config(evaluation=_data(migration) if kind == "volume" else {}))
    blessing = run.artifacts["EquivalenceEvaluator"]["blessing"]
    assert blessing["metadata"]["blessed"] == 0
    assert "assumed" in blessing["metadata"]["reason"]
    if kind == "volume":
        assert evaluation(run, cluster)["records"] == {"a.gz": {"sent": 9, "compared": 9}}
    assert [file.name for file in cluster.path(blessing["uri"]).iterdir()] == ["NOT_BLESSED"]
    assert run.artifacts["Pusher"]["pushed_model"]["metadata"]["pushed"] == 0
    assert not cluster.path(f"{cluster.root}/run/serving").exists()


@pytest.mark.parametrize("name", ["weights.npz", "golden.npz"])
def test_a_run_refuses_other_bytes_than_were_compiled(
    migration: Migration, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    cluster = Cluster("bucket", migration.folder, tmp_path_factory.mktemp("cluster"))
    spec = cluster.compile(migration.config())
    arrays = dict(np.load(cluster.path(f"{BUCKET}/{name}")))
    last = list(arrays)[-1]
    arrays[last] = arrays[last] + np.float32(1e-3)
    np.savez(cluster.path(f"{BUCKET}/{name}"), **arrays)
    with pytest.raises(TaskFailed, match="that were imported"):
        cluster.driver(spec).run()
    assert not cluster.path(f"{BUCKET}/run/serving").exists()


def test_the_driver_refuses_a_source_without_a_scheme(migration: Migration, tmp_path: Path) -> None:
    spec = migration.compile()
    importer = spec["deploymentSpec"]["executors"]["LegacyModel_executor"]["importer"]
    importer["artifactUri"]["constant"] = str(migration.folder / "weights.npz")
    with pytest.raises(TaskFailed, match="no provider scheme"):
        Cluster("bucket", migration.folder, tmp_path / "cluster").driver(spec).run()
