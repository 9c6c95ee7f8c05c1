"""The whole pipeline on this machine: what is pushed, what is not, and what can be asked later."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipelines.local import RunResult, run_local
from pipelines.runs import DagRunner
from rnn_migrator.errors import ExitStatus, UnreadableError, UnsupportedError, UsageError
from rnn_migrator.lineage.audit import audit
from rnn_migrator.lineage.query import lineage
from tests.equivalence.inputs.records import example, sequences, write
from tests.legacy_lab.cases import Case
from tests.pipelines.migrations import CONFIGS_OF_ONE, place_project, weights

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


class Migration:
    """A migration of recurrent weights in an NPZ file, in a folder of its own."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.folder = folder
        self.case = case
        self.source = folder / "weights.npz"
        shutil.copy(case.source, self.source)
        self.golden = folder / "golden.npz"
        shutil.copy(case.goldens["with_lengths"], self.golden)
        self.stages: list[str] = []
        self.dag_runner = DagRunner.LOCAL

    def run(self, **changes: Any) -> RunResult:
        content = {
            "name": "weights",
            "source": {"path": "weights.npz", "set": {"forget_bias": 1.0}},
            "target": "cpu",
            "evaluation": {"golden": ["golden.npz"]},
            "output": {"root": "run"},
            **changes,
        }
        config = self.folder / "config.yaml"
        config.write_text(yaml.safe_dump(content))
        return run_local(config, self.stages.append, self.dag_runner)

    @property
    def pushed(self) -> list[Path]:
        serving = self.folder / "run" / "serving"
        return sorted(serving.iterdir()) if serving.is_dir() else []


@pytest.fixture
def migration(tmp_path: Path, cases: dict[str, Case]) -> Migration:
    return Migration(tmp_path, cases["tf1_stacked_lstm_npz"])


@pytest.fixture(scope="module")
def blessed(
    tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]
) -> tuple[Migration, RunResult]:
    migration = Migration(tmp_path_factory.mktemp("blessed"), cases["tf1_stacked_lstm_npz"])
    return migration, migration.run()


def test_a_blessed_model_is_pushed(blessed: tuple[Migration, RunResult]) -> None:
    import tensorflow as tf

    migration, result = blessed
    assert result.blessed
    assert result.status is ExitStatus.OK
    assert result.pushed in migration.pushed
    assert result.cached == ()
    assert result.evaluation["verdict"] == "blessed"
    assert result.evaluation_file.is_file()
    assert result.conversion["target"] == "cpu"
    golden = migration.case.golden("with_lengths")
    model = tf.saved_model.load(str(result.pushed))
    outputs = model.signatures["with_lengths"](
        **{name: tf.constant(array) for name, array in golden["inputs"].items()}
    )
    for name, expected in golden["outputs"].items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-6)


def test_the_stages_are_told_and_the_frameworks_are_quiet(
    blessed: tuple[Migration, RunResult],
) -> None:
    migration, result = blessed
    assert "building the Keras model" in migration.stages
    assert "comparing the model with its source, on Beam" in migration.stages
    assert result.evaluation["reason"] in migration.stages
    assert len(migration.stages) < 12


@pytest.mark.parametrize("which", ["pushed", "serving", "model", "Format-Serving", "saved_model"])
def test_the_lineage_of_what_a_run_made(blessed: tuple[Migration, RunResult], which: str) -> None:
    migration, result = blessed
    assert result.pushed is not None
    path = {
        "pushed": result.pushed,
        "serving": result.pushed.parent,
        "model": result.model,
        "Format-Serving": result.model / "Format-Serving",
        "saved_model": result.model / "saved_model",
    }[which]
    answer = lineage(path)
    assert answer.source["path"] == str(migration.source)
    assert answer.source["sha256"] == result.conversion["source"]["sha256"]
    assert answer.run_id == result.run_id
    assert answer.conversion["tensors"] == result.conversion["tensors"]
    assert answer.conversion["facts"] == result.conversion["facts"]
    assert answer.verdict is not None
    assert answer.verdict.reason == result.evaluation["reason"]
    assert [push.destination for push in answer.pushes] == [str(result.pushed)]
    components = [step.component for step in answer.steps]
    assert components == ["Importer", "RnnConverter", "EquivalenceEvaluator", "Pusher"]


def test_a_changed_copy_elsewhere_has_no_lineage(
    blessed: tuple[Migration, RunResult], tmp_path: Path
) -> None:
    _, result = blessed
    assert result.pushed is not None
    shutil.copytree(result.pushed, tmp_path / "copy")
    with pytest.raises(UsageError, match="knows nothing of"):
        lineage(tmp_path / "copy", result.metadata)


def test_an_audit_of_what_was_pushed(blessed: tuple[Migration, RunResult]) -> None:
    _, result = blessed
    assert result.pushed is not None
    for path in (result.pushed, result.model):
        answer = audit(path)
        assert answer.matches
        assert {check.kind for check in answer.checks} == {
            "file of the model",
            "variable of the model",
            "legacy artifact",
            "tensor of the legacy artifact",
        }


def test_plain_ml_metadata_reads_it_as_documented(
    blessed: tuple[Migration, RunResult], tmp_path: Path
) -> None:
    migration, result = blessed
    text = (ROOT / "docs" / "lineage.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [named] = re.findall(r'filename_uri = "(.*)"', code)
    (tmp_path / named).parent.mkdir(parents=True)
    shutil.copy(str(result.metadata), tmp_path / named)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    sha256 = result.conversion["source"]["sha256"]
    assert f"{result.pushed} comes from {migration.source} {sha256}" in done.stdout
    assert f"blessed {result.evaluation['reason']}" in done.stdout
    assert f"{result.model} cpu " in done.stdout
    for fact in result.conversion["facts"]:
        assert f"{fact['layer']} {fact['name']} {fact['value']} {fact['origin']}" in done.stdout
    for link in result.conversion["tensors"]:
        assert f"{link['sources']} became {link['targets']}" in done.stdout


def test_lineage_needs_no_tfx(blessed: tuple[Migration, RunResult]) -> None:
    _, result = blessed
    code = (
        "import sys, pathlib, rnn_migrator.lineage.query as q; "
        f"q.lineage(pathlib.Path({str(result.pushed)!r})); "
        "assert not {'tfx', 'tensorflow', 'apache_beam'} & set(sys.modules), 'slow'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unchanged_bytes_are_taken_from_the_cache(blessed: tuple[Migration, RunResult]) -> None:
    migration, first = blessed
    again = migration.run()
    assert again.cached == ("Importer", "RnnConverter", "EquivalenceEvaluator", "Pusher")
    assert (again.pushed, again.model) == (first.pushed, first.model)
    assert again.run_id != first.run_id
    assert again.lineage.run_id == first.run_id
    assert len(migration.pushed) == 1


def test_changed_bytes_under_the_same_path_are_not(migration: Migration) -> None:
    first = migration.run(source=settled(), evaluation={})
    arrays = {name: array / 2 for name, array in np.load(migration.source).items()}
    np.savez(migration.source, **arrays)
    changed = migration.run(source=settled(), evaluation={})
    assert changed.cached == ()
    assert changed.blessed
    assert changed.lineage.source["sha256"] != first.lineage.source["sha256"]
    assert first.pushed is not None
    assert migration.pushed == [first.pushed, changed.pushed]
    assert lineage(first.pushed).source == first.lineage.source

    shutil.rmtree(first.pushed.parent)
    with pytest.raises(UsageError, match="cache: false"):
        migration.run(source=settled(), evaluation={})
    assert migration.run(source=settled(), evaluation={}, cache=False).pushed in migration.pushed


def settled() -> dict[str, Any]:
    """Everything that arrays cannot say."""
    settings = {"forget_bias": 1.0, "activation": "tanh", "cell_clip": "none"}
    return {"path": "weights.npz", "set": settings}


def test_a_changed_config_or_converter_is_not_taken_from_the_cache(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration.run()
    evaluation = {"golden": ["golden.npz"], "factor": 7}
    assert migration.run(evaluation=evaluation).cached == ("Importer", "RnnConverter")
    for part in ("converter", "evaluator"):
        module = f"rnn_migrator.tfx_components.{part}.component"
        monkeypatch.setattr(f"{module}.converter_version", lambda: "9.9.9")
    assert migration.run(evaluation=evaluation).cached == ("Importer",)


def test_other_recordings_are_not_taken_from_the_cache(migration: Migration) -> None:
    first = migration.run()
    arrays = dict(np.load(migration.golden))
    arrays["out:outputs"] = arrays["out:outputs"] + np.float32(1e-3)
    np.savez(migration.golden, **arrays)
    second = migration.run()
    assert second.cached == ("Importer", "RnnConverter")
    assert not second.blessed
    assert second.status is ExitStatus.NOT_EQUIVALENT
    assert second.pushed is None
    assert [str(path) for path in migration.pushed] == [str(first.pushed)]
    assert lineage(second.model).verdict.verdict == "not blessed"  # type: ignore[union-attr]
    assert first.pushed is not None
    assert lineage(first.pushed).verdict.verdict == "blessed"  # type: ignore[union-attr]
    shutil.copy(migration.case.goldens["with_lengths"], migration.golden)
    third = migration.run()
    assert third.blessed
    assert third.pushed == first.pushed
    assert third.lineage.verdict.verdict == "blessed"  # type: ignore[union-attr]


def test_examples_are_compared_and_others_are_not_taken_from_the_cache(
    migration: Migration,
) -> None:
    file = migration.folder / "examples" / "Split-eval" / "data_tfrecord-00000-of-00001.gz"
    schema = migration.folder / "schema.pbtxt"
    schema.write_text('feature { name: "x" type: FLOAT }')
    evaluation = {
        "golden": ["golden.npz"],
        "examples": {
            "path": "examples",
            "splits": ["eval"],
            "features": {"inputs": "x"},
            "schema": "schema.pbtxt",
        },
        "search": {"ranges": {"inputs": [-1, 1]}, "steps": [1, 5], "tries": 8},
    }
    for seed, count in ((0, 30), (1, 20)):
        write(file, (example(x=array) for array in sequences(count, 4, seed=seed)))
        result = migration.run(evaluation=evaluation)
        assert result.blessed
        assert result.evaluation["records"] == {file.name: {"sent": count, "compared": count}}
        assert "search 4 of 4" in result.evaluation["cases"]["compared"]
        assert "EquivalenceEvaluator" not in result.cached
    assert "EquivalenceEvaluator" in migration.run(evaluation=evaluation).cached


def test_an_assumption_is_not_blessed_and_pushed_nowhere(migration: Migration) -> None:
    result = migration.run(evaluation={})
    assert not result.blessed
    assert result.pushed is None
    assert result.evaluation["equivalent"]
    assert "assumed" in result.evaluation["reason"]
    assert migration.pushed == []
    answer = lineage(result.model)
    assert answer.pushes == ()
    assert answer.verdict is not None
    assert answer.verdict.verdict == "not blessed"
    with pytest.raises(UsageError, match="knows nothing of"):
        lineage(migration.folder / "run" / "serving" / "1")


@pytest.fixture
def untouched(migration: Migration) -> Iterator[Migration]:
    yield migration
    assert not (migration.folder / "run").exists(), "something was written"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "changes", "error"),
    [
        (lambda m: cut(m.source), {}, UnreadableError),
        (lambda m: m.source.unlink(), {}, UsageError),
        (lambda m: cut(m.golden), {}, UnreadableError),
        (lambda m: None, {"strict": True}, UnsupportedError),
        (lambda m: None, {"source": {"path": "weights.npz", "set": ["forget=1"]}}, UsageError),
        (lambda m: None, {"nmae": "x"}, UsageError),
    ],
    ids=["source cut", "source missing", "golden cut", "strict", "unknown setting", "unknown key"],
)
def test_bad_input_is_refused_before_anything_is_written(
    untouched: Migration,
    damage: Callable[[Migration], None],
    changes: dict[str, Any],
    error: type[Exception],
) -> None:
    damage(untouched)
    with pytest.raises(error):
        untouched.run(**changes)
    assert not any("TFX" in stage for stage in untouched.stages)


def test_beam_dag_runner_makes_the_same(
    blessed: tuple[Migration, RunResult], migration: Migration
) -> None:
    migration.dag_runner = DagRunner.BEAM
    result, other = migration.run(), blessed[1]
    assert result.blessed
    assert [result.pushed] == migration.pushed
    assert result.pushed is not None
    assert other.pushed is not None
    assert weights(result.pushed) == weights(other.pushed)
    assert result.evaluation == other.evaluation
    assert result.lineage.conversion == {
        **other.lineage.conversion,
        "files": result.lineage.conversion["files"],  # with the seeds of dropout, drawn anew
    }
    assert "Pusher" in migration.run().cached


@pytest.mark.parametrize("dag_runner", DagRunner)
def test_an_error_inside_the_pipeline_comes_as_it_was_raised(
    migration: Migration, monkeypatch: pytest.MonkeyPatch, dag_runner: DagRunner
) -> None:
    migration.dag_runner = dag_runner
    monkeypatch.setattr("pipelines.local.check_config", lambda config: None)
    with pytest.raises(UnsupportedError) as error:
        migration.run(strict=True)
    assert error.value.status == ExitStatus.UNSUPPORTED
    assert all(problem.remedy for problem in error.value.problems)
    assert migration.pushed == []
    monkeypatch.undo()
    assert migration.run().blessed, "a failed run stands in nobody's way"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("name", CONFIGS_OF_ONE)
def test_every_config_of_the_project_ends_blessed(project: Path, name: str) -> None:
    result = run_local(project / "configs" / name)
    assert result.blessed, result.evaluation["reason"]
    assert result.pushed is not None
    assert project / "runs" in result.pushed.parents
    assert lineage(result.pushed).source["sha256"] == result.conversion["source"]["sha256"]
