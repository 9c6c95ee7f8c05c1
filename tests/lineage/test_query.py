"""Questions to stores written by hand: each orchestrator writes a little differently."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rnn_migrator.errors import UsageError
from rnn_migrator.lineage import record
from rnn_migrator.lineage.query import Version, lineage, lineage_of_source
from rnn_migrator.readers import open_artifact
from tests.lineage.stores import Writer

pytestmark = pytest.mark.tfx

SHA256 = "ab" * 32

CONVERSION = {
    "legacy_path": "/models/model.ckpt",
    "legacy_sha256": SHA256,
    "legacy_writer": "TensorFlow 1.15.5",
    "target": "portable",
    "converter_version": "1.2.3",
    "settings": json.dumps(["forget_bias=1.0"]),
    "facts": json.dumps(
        [{"layer": "lstm_0", "name": "forget_bias", "value": 1.79e-7, "origin": "user"}]
    ),
    "layers": json.dumps([]),
    "kernels": json.dumps([]),
    "tensors": json.dumps([{"layer": "lstm_0", "sources": {"kernel": SHA256}, "targets": {}}]),
    "versions": json.dumps({"tensorflow": "2.16.2"}),
    "run_id": "run-1",
    "pipeline": "stacked",
}
BLESSED = {
    "verdict": "blessed",
    "reason": "equivalent: at most 1.79e-07 from float64",
    "largest_error": "1.79e-07",
    "oracles": json.dumps(["legacy graph"]),
    "figures": json.dumps({"serving_default/outputs": {"converted model": 1.79e-7}}),
    "run_id": "run-1",
}
REFUSED = BLESSED | {"verdict": "not blessed", "reason": "not equivalent: far off"}


class Run:
    """One run of the pipeline in a store."""

    def __init__(self, folder: Path, writer: Writer | None = None, number: int = 1) -> None:
        self.folder = folder
        self.metadata = folder / "metadata.sqlite"
        self.writer = writer or Writer(self.metadata)
        self.number = number
        self.model_folder = folder / "RnnConverter" / "model" / str(number)
        self.legacy = self.writer.artifact(
            "rnn_migrator.LegacyModel",
            "/models/model.ckpt",
            sha256=SHA256,
            format="TensorFlow checkpoint",
            is_external=1,
        )
        self.importer = self.writer.execution("tfx.Importer", outputs=[self.legacy])
        self.model = self.writer.artifact("Model", str(self.model_folder), **CONVERSION)
        self.converter = self.writer.execution(
            "rnn_migrator.x.RnnConverter", [self.legacy], [self.model]
        )

    def evaluate(self, properties: dict[str, str] = BLESSED) -> int:
        """Evaluates the model; gives the number of the blessing."""
        blessed = int(properties["verdict"] == "blessed")
        blessing = self.writer.artifact(
            "ModelBlessing", str(self.folder / "blessing"), blessed=blessed, **properties
        )
        evaluation = self.writer.artifact("ModelEvaluation", str(self.folder / "evaluation"))
        self.evaluator = self.writer.execution(
            "rnn_migrator.x.EquivalenceEvaluator",
            [self.legacy, self.model],
            [blessing, evaluation],
        )
        return blessing

    def push(self, blessing: int, version: str, pushed: int | float = 1) -> Path:
        """Pushes the model; gives where to."""
        destination = self.folder / "serving" / version
        artifact = self.writer.artifact(
            "PushedModel",
            str(self.folder / "Pusher" / version),
            pushed=pushed,
            pushed_destination=str(destination),
            pushed_version=version,
        )
        self.pushed = artifact
        self.pusher = self.writer.execution(
            "tfx.components.Pusher", [self.model, blessing], [artifact]
        )
        return destination


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_of_a_pushed_model(run: Run) -> None:
    destination = run.push(run.evaluate(), "17")
    answer = lineage(destination)
    assert answer.source == {
        "path": "/models/model.ckpt",
        "sha256": SHA256,
        "format": "TensorFlow checkpoint",
        "writer": "TensorFlow 1.15.5",
    }
    assert answer.model == str(run.model_folder)
    assert answer.conversion["target"] == "portable"
    assert answer.conversion["converter_version"] == "1.2.3"
    assert answer.conversion["settings"] == ["forget_bias=1.0"]
    assert answer.conversion["facts"][0]["value"] == 1.79e-7
    assert answer.conversion["tensors"][0]["sources"] == {"kernel": SHA256}
    assert (answer.run_id, answer.pipeline) == ("run-1", "stacked")
    assert answer.verdict is not None
    assert answer.verdict.verdict == "blessed"
    assert answer.verdict.largest_error == "1.79e-07"
    assert answer.verdict.figures["serving_default/outputs"]["converted model"] == 1.79e-7
    assert [push.destination for push in answer.pushes] == [str(destination)]
    assert [(step.execution, step.component) for step in answer.steps] == [
        (run.importer, "Importer"),
        (run.converter, "RnnConverter"),
        (run.evaluator, "EquivalenceEvaluator"),
        (run.pusher, "Pusher"),
    ]
    assert json.loads(json.dumps(answer.to_json()))["asked"] == str(destination)


@pytest.mark.parametrize(
    "inside",
    [
        "serving",
        "serving/17",
        "serving/17/variables/variables.index",
        "Pusher/17",
        "RnnConverter/model/1",
        "RnnConverter/model/1/Format-Serving",
    ],
)
def test_of_anything_inside_a_model(run: Run, inside: str) -> None:
    run.push(run.evaluate(), "17")
    answer = lineage(run.folder / inside)
    assert answer.source["sha256"] == SHA256
    assert answer.verdict is not None
    assert len(answer.pushes) == 1


@pytest.mark.parametrize("inside", ["serving/18", "elsewhere/17", "RnnConverter/model", ""])
def test_of_a_path_that_no_run_knows(run: Run, inside: str) -> None:
    run.push(run.evaluate(), "17")
    with pytest.raises(UsageError, match="knows nothing of"):
        lineage(run.folder / inside)


def test_a_copy_elsewhere_has_no_lineage(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run.push(run.evaluate(), "17")
    copy = tmp_path_factory.mktemp("elsewhere") / "17"
    with pytest.raises(UsageError, match="--metadata"):
        lineage(copy)
    with pytest.raises(UsageError, match="a copy made elsewhere"):
        lineage(copy, run.metadata)


def test_links_lead_to_the_model(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    destination = run.push(run.evaluate(), "17")
    destination.mkdir(parents=True)
    link = tmp_path_factory.mktemp("links") / "current"
    link.symlink_to(destination)
    assert lineage(link, run.metadata).source["sha256"] == SHA256


def test_a_model_that_is_not_blessed_was_pushed_nowhere(run: Run) -> None:
    blessing = run.evaluate(REFUSED)
    run.push(blessing, "17", pushed=0)
    answer = lineage(run.model_folder)
    assert answer.pushes == ()
    assert answer.verdict is not None
    assert answer.verdict.verdict == "not blessed"
    assert answer.verdict.reason == "not equivalent: far off"


def test_a_model_that_was_never_evaluated(run: Run) -> None:
    answer = lineage(run.model_folder)
    assert answer.verdict is None
    assert answer.pushes == ()
    assert [step.component for step in answer.steps] == ["Importer", "RnnConverter"]


def test_each_push_keeps_the_verdict_it_rests_on(run: Run) -> None:
    first = run.push(run.evaluate(), "17")
    second = run.push(run.evaluate(BLESSED | {"reason": "equivalent, again"}), "18")
    run.evaluate(REFUSED)
    reasons = [lineage(path).verdict.reason for path in (first, second, run.model_folder)]  # type: ignore[union-attr]
    assert reasons == [BLESSED["reason"], "equivalent, again", REFUSED["reason"]]
    assert [push.version for push in lineage(first).pushes] == ["17", "18"]
    assert lineage(run.folder / "serving").verdict.reason == "equivalent, again"  # type: ignore[union-attr]


def test_executions_that_were_killed_or_failed_do_not_count(run: Run) -> None:
    """A killed one counts as running for ever, its output as pending."""
    destination = run.push(run.evaluate(), "17")
    for state, event in (
        ("RUNNING", "PENDING_OUTPUT"),
        ("RUNNING", "OUTPUT"),
        ("FAILED", "OUTPUT"),
    ):
        run.writer.execution("rnn_migrator.x.RnnConverter", [run.legacy], [run.model], state, event)
        dead = run.writer.artifact("ModelBlessing", "/dead")
        run.writer.execution("x.EquivalenceEvaluator", [run.model], [dead], state, event)
        run.writer.execution("tfx.components.Pusher", [run.model, dead], [run.pushed], state, event)
    run.writer.execution("rnn_migrator.x.RnnConverter", [run.legacy], state="RUNNING")
    for path in (destination, run.model_folder):
        answer = lineage(path)
        assert [step.execution for step in answer.steps] == [
            run.importer,
            run.converter,
            run.evaluator,
            run.pusher,
        ]
        assert answer.verdict is not None
        assert answer.verdict.verdict == "blessed"


def test_what_was_taken_from_the_cache_names_who_made_it(run: Run) -> None:
    blessing = run.evaluate()
    destination = run.push(blessing, "17")
    made = [step.execution for step in lineage(destination).steps]
    run.writer.execution("tfx.Importer", [], [run.legacy], "CACHED")
    run.writer.execution("x.RnnConverter", [run.legacy], [run.model], "CACHED")
    run.writer.execution("x.EquivalenceEvaluator", [run.legacy, run.model], [blessing], "CACHED")
    run.writer.execution("tfx.Pusher", [run.model, blessing], [run.pushed], "CACHED")
    answer = lineage(destination)
    assert [step.execution for step in answer.steps] == made
    assert len(answer.pushes) == 1


def test_the_latest_verdict_may_come_from_the_cache(run: Run) -> None:
    first = run.evaluate()
    run.evaluate(REFUSED)
    assert lineage(run.model_folder).verdict.verdict == "not blessed"  # type: ignore[union-attr]
    run.writer.execution("x.EquivalenceEvaluator", [run.legacy, run.model], [first], "CACHED")
    assert lineage(run.model_folder).verdict.verdict == "blessed"  # type: ignore[union-attr]


def test_blessings_of_other_components_are_not_ours(run: Run) -> None:
    run.evaluate()
    other = run.writer.artifact("ModelBlessing", "/other", blessed=0)
    run.writer.execution("tfx.components.Evaluator", [run.model], [other])
    assert lineage(run.model_folder).verdict.verdict == "blessed"  # type: ignore[union-attr]


def test_an_importer_that_only_ever_counts_as_cached(run: Run) -> None:
    """As Airflow records it."""
    legacy = run.writer.artifact("rnn_migrator.LegacyModel", "/other.h5", sha256="cd" * 32)
    importer = run.writer.execution("tfx.Importer", [], [legacy], "CACHED")
    model = run.writer.artifact("Model", str(run.folder / "other"), **CONVERSION)
    run.writer.execution("x.RnnConverter", [legacy], [model])
    answer = lineage(run.folder / "other")
    assert answer.source["path"] == "/other.h5"
    assert answer.steps[0].execution == importer


def test_whole_numbers_may_come_as_doubles(run: Run) -> None:
    """As Kubeflow writes them."""
    assert lineage(run.push(run.evaluate(), "17", pushed=1.0)).pushes[0].version == "17"


def test_a_store_of_kubeflow(run: Run) -> None:
    """Its backend calls types by their schema, and executions by their task."""
    container = "system.ContainerExecution"
    pushed = {"pushed": 1.0, "pushed_destination": "/serving/17", "pushed_version": "17"}
    write = run.writer
    legacy = write.artifact("rnn_migrator.LegacyModel", "gs://a/model.h5", sha256="cd" * 32)
    write.execution("system.ImporterExecution", [], [legacy], task_name="LegacyModel")
    model = write.artifact("tfx.Model", "gs://a/model", **CONVERSION)
    write.execution(container, [legacy], [model], task_name="RnnConverter")
    blessing = write.artifact("tfx.ModelBlessing", "gs://a/blessing", **BLESSED)
    evaluation = write.artifact("tfx.ModelEvaluation", "gs://a/evaluation", **BLESSED)
    made = [blessing, evaluation]
    write.execution(container, [legacy, model], made, task_name="EquivalenceEvaluator")
    push = write.artifact("tfx.PushedModel", "gs://a/pushed", **pushed)
    write.execution(container, [model, blessing], [push], task_name="Pusher")

    answer = lineage("/serving/17", run.metadata)
    components = [step.component for step in answer.steps]
    assert components == ["Importer", "RnnConverter", "EquivalenceEvaluator", "Pusher"]
    assert answer.source["path"] == "gs://a/model.h5"
    assert [push.version for push in answer.pushes] == ["17"]
    assert answer.verdict is not None
    assert answer.verdict.file == "gs://a/evaluation"
    assert {node["type"] for node in answer.graph["artifacts"]} == {
        "rnn_migrator.LegacyModel",
        "Model",
        "ModelBlessing",
        "ModelEvaluation",
        "PushedModel",
    }


def test_runs_beside_each_other_are_kept_apart(run: Run) -> None:
    run.push(run.evaluate(), "17")
    other = Run(run.folder, run.writer, number=2)
    other.evaluate(REFUSED)
    assert lineage(run.model_folder).verdict.verdict == "blessed"  # type: ignore[union-attr]
    answer = lineage(other.model_folder)
    assert answer.verdict.verdict == "not blessed"  # type: ignore[union-attr]
    assert answer.pushes == ()


def test_a_model_of_another_origin_is_refused(run: Run) -> None:
    model = run.writer.artifact("Model", str(run.folder / "trained"))
    run.writer.execution("tfx.components.Trainer", [], [model])
    with pytest.raises(UsageError, match="of another origin"):
        lineage(run.folder / "trained")


def test_nan_counts_as_the_largest_error() -> None:
    parties = [{"converted model": {"error": error}} for error in (2.0, "nan", 1.0)]
    outputs = {
        str(index): {"rounding": 0.0, "bound": 1.0, "parties": found}
        for index, found in enumerate(parties)
    }
    document = {"verdict": "", "reason": "", "oracles": [], "outputs": outputs}
    assert record.evaluation_properties(document)["largest_error"] == "nan"


def test_no_double_is_written() -> None:
    """A store keeps six decimals of a number."""
    document = {
        "verdict": "blessed",
        "reason": "equivalent",
        "oracles": [],
        "outputs": {
            "serving_default/outputs": {
                "rounding": 1e-8,
                "bound": 1e-6,
                "parties": {"converted model": {"error": 1.79e-7}, "legacy graph": {"error": 0.5}},
            }
        },
    }
    properties = record.evaluation_properties(document)
    assert all(isinstance(value, str) for value in properties.values())
    assert float(properties["largest_error"]) == 1.79e-7
    figures = record.decode(properties)["figures"]["serving_default/outputs"]
    assert figures == {
        "rounding": 1e-8,
        "bound": 1e-6,
        "converted model": 1.79e-7,
        "legacy graph": 0.5,
    }


def test_a_later_push_into_the_same_folder_supersedes(run: Run) -> None:
    first = run.push(run.evaluate(), "17")
    other = Run(run.folder, run.writer, number=2)
    second = other.push(other.evaluate(), "18")
    elsewhere = Run(run.folder / "elsewhere", run.writer, number=3)
    elsewhere.push(elsewhere.evaluate(), "19")
    [push], [later] = lineage(first).pushes, lineage(second).pushes
    assert push.supersedes is None
    assert push.superseded_by == Version(str(second), str(other.model_folder))
    assert later.supersedes == Version(str(first), str(run.model_folder))
    assert later.superseded_by is None
    [apart] = lineage(elsewhere.folder / "serving", run.metadata).pushes
    assert apart.supersedes is apart.superseded_by is None


def test_what_is_pushed_again_as_it_was_supersedes_nothing(run: Run) -> None:
    blessing = run.evaluate()
    for _ in range(2):
        destination = run.push(blessing, "17")
    for push in lineage(destination).pushes:
        assert push.supersedes is push.superseded_by is None


def test_what_else_became_of_the_same_bytes(run: Run) -> None:
    destination = run.push(run.evaluate(), "17")
    other = Run(run.folder, run.writer, number=2)
    other.evaluate(REFUSED)
    foreign = run.writer.artifact("rnn_migrator.LegacyModel", "/other.h5", sha256="cd" * 32)
    model = run.writer.artifact("Model", str(run.folder / "other"), **CONVERSION)
    run.writer.execution("x.RnnConverter", [foreign], [model])
    answer = lineage(destination)
    [sibling] = answer.siblings
    assert sibling.model == str(other.model_folder)
    assert sibling.verdict.verdict == "not blessed"  # type: ignore[union-attr]
    assert sibling.siblings == ()
    numbers = {artifact["id"] for artifact in answer.graph["artifacts"]}
    assert {run.legacy, run.model, run.pushed, other.model} <= numbers
    assert not {foreign, model} & numbers
    assert {"execution": run.converter, "artifact": run.model, "input": False} in answer.graph[
        "edges"
    ]


def test_what_other_components_made_of_it(run: Run) -> None:
    blessing = run.evaluate()
    examples = run.writer.artifact("Examples", "/examples")
    inferred = run.writer.artifact("InferenceResult", "/inferred")
    report = run.writer.artifact("HTML", "/report")
    run.writer.execution("tfx.components.BulkInferrer", [run.model, examples], [inferred])
    run.writer.execution("x.Reporter", [inferred], [report])
    answer = lineage(run.push(blessing, "17"))
    assert [(one.type, one.uri, one.component) for one in answer.made] == [
        ("InferenceResult", "/inferred", "BulkInferrer"),
        ("HTML", "/report", "Reporter"),
    ]


def test_an_earlier_evaluation_was_made_of_it_too(run: Run) -> None:
    run.evaluate(REFUSED)
    run.evaluate()
    made = lineage(run.model_folder).made
    assert [one.type for one in made] == ["ModelBlessing", "ModelEvaluation"]


def test_where_a_legacy_file_went(run: Run) -> None:
    destination = run.push(run.evaluate(), "17")
    other = Run(run.folder, run.writer, number=2)
    answer = lineage_of_source("/models/model.ckpt", run.metadata)
    assert answer.sha256 == "", "nothing lies there"
    assert [model.model for model in answer.models] == [
        str(run.model_folder),
        str(other.model_folder),
    ]
    assert [push.destination for push in answer.models[0].pushes] == [str(destination)]
    assert answer.models[1].verdict is None
    with pytest.raises(UsageError, match="neither by its path nor by its bytes"):
        lineage_of_source("/models/other.ckpt", run.metadata)


def test_a_legacy_file_is_known_by_its_bytes_too(run: Run) -> None:
    for folder in ("original", "copy", "changed"):
        (run.folder / folder).mkdir()
        array = np.full(3, float(folder == "changed"), "f4")
        np.savez(run.folder / folder / "weights.npz", kernel=array)
    original = run.folder / "original" / "weights.npz"
    sha256 = open_artifact(original).digest
    legacy = run.writer.artifact("rnn_migrator.LegacyModel", str(original), sha256=sha256)
    model = run.writer.artifact("Model", str(run.folder / "made"), **CONVERSION)
    run.writer.execution("x.RnnConverter", [legacy], [model])
    for folder in ("original", "copy"):
        answer = lineage_of_source(run.folder / folder / "weights.npz")
        assert answer.sha256 == sha256
        assert [model.model for model in answer.models] == [str(run.folder / "made")]
    with pytest.raises(UsageError, match="knows nothing of"):
        lineage_of_source(run.folder / "changed" / "weights.npz")


def test_of_a_model_in_a_bucket(run: Run) -> None:
    legacy = run.writer.artifact("rnn_migrator.LegacyModel", "gs://models/m.ckpt", sha256=SHA256)
    model = run.writer.artifact("Model", "gs://runs/RnnConverter/model/1", **CONVERSION)
    run.writer.execution("x.RnnConverter", [legacy], [model])
    properties = {"pushed": 1, "pushed_destination": "gs://serving/17", "pushed_version": "17"}
    pushed = run.writer.artifact("PushedModel", "gs://runs/Pusher/1", **properties)
    run.writer.execution("tfx.components.Pusher", [model], [pushed])
    for uri in ("gs://serving/17", "gs://serving/", "gs://serving/17/variables", model_uri(run)):
        answer = lineage(uri, run.metadata)
        assert (answer.asked, answer.source["path"]) == (uri, "gs://models/m.ckpt")
    assert lineage_of_source("gs://models/m.ckpt", run.metadata).models[0].pushes
    with pytest.raises(UsageError, match="knows nothing of"):
        lineage("gs://serving/18", run.metadata)


def model_uri(run: Run) -> str:
    return str(run.writer.store.get_artifacts_by_type("Model")[-1].uri)


def test_long_properties_lie_in_pieces() -> None:
    """An index of PostgreSQL takes no row beyond 2,704 bytes."""
    properties = {"facts": "ab" * 3000, "reason": "ü" * 2000, "short": "", "run_id": "1"}
    pieces = record.in_pieces(properties)
    assert all(len(piece.encode()) <= 2000 for piece in pieces.values())
    assert {"facts", "facts_2", "facts_3", "reason", "reason_2", "short", "run_id"} == set(pieces)
    assert record.joined(pieces) == properties


def test_the_config_has_a_digest() -> None:
    document = {
        "source": dict.fromkeys((*record.SOURCE_KEYS, "path"), ""),
        "settings": ["forget_bias=1.0"],
        "declared": [],
        "target": "cpu",
        "versions": {"rnn-migrator": "1"},
    }
    digests = [
        record.conversion_properties({**document, **change}, {})["config_sha256"]
        for change in (
            {},
            {"target": "gpu"},
            {"settings": []},
            {"examples_signature": True},
            {"facts": ["other"]},
            {"examples_signature": False},
        )
    ]
    assert digests[0] == digests[4] == digests[5]
    assert len(set(digests)) == 4
