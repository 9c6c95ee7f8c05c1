"""Many models in one run: what one comes to does not concern the others."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.config import load_migrations
from pipelines.local import run_local
from pipelines.many import LOG_FILE, PAGE_FILE, SUMMARY_FILE, Summary, run_many
from rnn_migrator.cli.main import main
from rnn_migrator.errors import ExitStatus, UsageError
from rnn_migrator.files import read_json
from rnn_migrator.lineage.query import lineage, lineage_of_source
from tests.legacy_lab.cases import Case
from tests.pipelines.airflow_home import wait_until
from tests.pipelines.migrations import MANY, place_project, weights

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

ONE_AT_A_TIME = ["--runner=DirectRunner", "--direct_running_mode=in_memory"]


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Models in a folder, and the config of them all."""

    folder: Path

    def write(self, **changes: Any) -> Path:
        content = {
            "name": "fleet",
            "models": [
                {"source": {"path": "models/*/weights.npz", "set": {"forget_bias": 1.0}}},
                {"source": {"path": "models/*/model.h5"}},
            ],
            "evaluation": {"golden": ["{folder}/golden.npz"]},
            "output": {"root": "runs"},
            **changes,
        }
        file = self.folder / "fleet.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    def run(self, **changes: Any) -> Summary:
        return run_many(load_migrations(self.write(**changes)))

    def place(self, name: str, case: Case, signature: str) -> None:
        folder = self.folder / "models" / name
        folder.mkdir(parents=True)
        shutil.copy(case.source, folder / case.source.name)
        shutil.copy(case.goldens[signature], folder / "golden.npz")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Fleet:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.place("dump", cases["tf1_stacked_lstm_npz"], "with_lengths")
    fleet.place("killed", cases["tf1_stacked_lstm_npz"], "with_lengths")
    fleet.place("keras", cases["keras2_3_lstm"], "serving_default")
    fleet.place("cut", cases["keras2_3_lstm"], "serving_default")
    fleet.place("own", cases["keras2_own_layer"], "serving_default")
    file = fleet.folder / "models" / "cut" / "model.h5"
    file.write_bytes(file.read_bytes()[:2000])
    return fleet


@pytest.fixture(scope="module")
def first(fleet: Fleet) -> Summary:
    """The first run; the process of one of its models is killed at its work."""
    log = fleet.folder / "runs" / "killed" / LOG_FILE
    with killed(lambda: process_that_writes(log)):
        return fleet.run()


@contextlib.contextmanager
def killed(find: Callable[[], int | None]) -> Any:
    """Kills the process that is found, as soon as it is, while the block goes on."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            if process := find():
                time.sleep(0.3)
                os.kill(process, signal.SIGKILL)
                return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def process_that_writes(file: Path) -> int | None:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "fd" / "1").readlink() == file:
                return int(process.name)
    return None


def test_what_goes_wrong_with_one_does_not_concern_the_others(fleet: Fleet, first: Summary) -> None:
    verdicts = {name: one["verdict"] for name, one in first.outcomes.items()}
    assert verdicts == {
        "dump": "blessed",
        "killed": "failed",
        "keras": "blessed",
        "cut": "refused",
        "own": "refused",
    }
    assert first.tally == {"blessed": 2, "failed": 1, "refused": 2}
    assert first.outcomes["killed"]["reason"] == "its process was ended by SIGKILL"
    assert first.outcomes["cut"]["status"] == ExitStatus.UNREADABLE
    assert first.outcomes["own"]["status"] == ExitStatus.UNSUPPORTED
    assert all(one["remedy"] for name in ("cut", "own") for one in first.outcomes[name]["problems"])
    assert first.status > ExitStatus.UNREADABLE
    for name in verdicts:
        pushed = [*(fleet.folder / "runs" / name).glob("serving/[0-9]*")]
        assert len(pushed) == (verdicts[name] == "blessed")


def test_the_summary_is_left_as_json_and_as_a_page(fleet: Fleet, first: Summary) -> None:
    root = fleet.folder / "runs"
    document = read_json(root / SUMMARY_FILE)
    assert document["models"] == first.outcomes
    assert document["tally"] == first.tally
    page = (root / PAGE_FILE).read_text("utf-8")
    for name, one in first.outcomes.items():
        assert f">{name}</a>" in page
        assert one["seconds"] > 0
    assert "2 of 5 blessed" in page
    report = Path(first.outcomes["dump"]["report"])
    assert f'href="{report.relative_to(root)}"' in page
    assert report.is_file()


def test_each_is_what_a_run_of_its_own_makes(fleet: Fleet, first: Summary) -> None:
    alone = fleet.folder / "alone.yaml"
    source = {"path": "models/dump/weights.npz", "set": {"forget_bias": 1.0}}
    content = {
        "name": "alone",
        "source": source,
        "evaluation": {"golden": ["models/dump/golden.npz"]},
        "output": {"root": "alone"},
    }
    alone.write_text(yaml.safe_dump(content))
    result = run_local(alone)
    assert result.pushed is not None
    pushed = Path(first.outcomes["dump"]["pushed"])
    assert weights(pushed) == weights(result.pushed)
    assert first.outcomes["dump"]["reason"] == result.evaluation["reason"]


def test_one_store_knows_them_all(fleet: Fleet, first: Summary) -> None:
    found = lineage(Path(first.outcomes["dump"]["pushed"]))
    assert found.source["path"] == first.outcomes["dump"]["source"]
    assert found.pipeline == "fleet-dump"
    store = fleet.folder / "runs" / "metadata.sqlite"
    asked = lineage_of_source(fleet.folder / "models" / "keras" / "model.h5", store)
    assert [model.pipeline for model in asked.models] == ["fleet-keras"]


def test_another_run_does_only_what_is_left(
    fleet: Fleet, first: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    config = fleet.write(fan_out=ONE_AT_A_TIME)
    assert main(["run", str(config)]) == ExitStatus.UNREADABLE
    shown = capsys.readouterr().out
    assert "3 blessed, 2 refused" in shown
    assert "copy the file again" in shown
    again = read_json(fleet.folder / "runs" / SUMMARY_FILE)["models"]
    assert "Pusher" not in again["killed"]["cached"]
    for name in ("dump", "keras"):
        assert "RnnConverter" in again[name]["cached"]
        assert again[name]["pushed"] == first.outcomes[name]["pushed"]
    assert weights(Path(again["killed"]["pushed"])) == weights(Path(again["dump"]["pushed"]))


def test_a_killed_run_leaves_no_process_at_work(fleet: Fleet, tmp_path: Path) -> None:
    config = fleet.write(output={"root": str(tmp_path)})
    logs = [tmp_path / name / LOG_FILE for name in ("dump", "keras")]
    command = [sys.executable, "-m", "rnn_migrator.cli.main", "run", str(config)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    [work] = wait_until(lambda: [p for p in map(process_that_writes, logs) if p][:1], 200)
    run.kill()
    run.wait()
    wait_until(lambda: not Path("/proc", str(work)).exists(), 20)
    assert not any(process_that_writes(log) for log in logs)
    assert not (tmp_path / SUMMARY_FILE).exists()


def test_an_output_that_cannot_be_written(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"output\.root: .*file/runs"):
        fleet.run(output={"root": str(tmp_path / "file" / "runs")})


def test_a_folder_that_cannot_be_made_concerns_one_model(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "cut").touch()
    models = [{"source": {"path": "models/[co]*/model.h5"}}]
    summary = fleet.run(models=models, output={"root": str(tmp_path)})
    assert {name: one["verdict"] for name, one in summary.outcomes.items()} == {
        "cut": "failed",
        "own": "refused",
    }
    assert "no folder for it" in summary.outcomes["cut"]["reason"]


def test_the_config_of_the_project_ends_blessed_and_leaves_no_temporary_files(
    tmp_path: Path,
) -> None:
    config = place_project(tmp_path) / "configs" / MANY
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    subprocess.run(
        [sys.executable, "-m", "rnn_migrator.cli.main", "run", str(config)],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    migrations = load_migrations(config)
    outcomes = read_json(migrations.root / SUMMARY_FILE)["models"]
    assert {one["verdict"] for one in outcomes.values()} == {"blessed"}
    assert outcomes.keys() == migrations.models.keys()
    assert [file.name for file in temporary.iterdir()] == []
