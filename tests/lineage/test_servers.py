"""Stores on real servers: MariaDB and PostgreSQL, as the distribution packages them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rnn_migrator.cli.main import main
from rnn_migrator.errors import UsageError
from rnn_migrator.lineage.query import Version, lineage, lineage_of_source
from rnn_migrator.lineage.store import open_store
from tests.legacy_lab.cases import Case
from tests.lineage.stores import Writer
from tests.lineage.test_query import Run
from tests.servers import PASSWORD, Server, mariadb, postgresql

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]

VARIABLE = "METADATA_PASSWORD"


@pytest.fixture(scope="module", params=[mariadb, postgresql], ids=["MariaDB", "PostgreSQL"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with request.param("by_hand", "at_once") as server:
        yield server


def test_the_answers_are_those_of_sqlite(server: Server, tmp_path: Path) -> None:
    answers = []
    for metadata in (str(tmp_path / "store.sqlite"), server.address("by_hand")):
        run = Run(tmp_path, Writer(metadata))
        first = run.push(run.evaluate(), "17")
        second = Run(tmp_path, run.writer, number=2)
        last = second.push(second.evaluate(), "18")
        answer = lineage(first, metadata)
        assert answer.pushes[0].superseded_by == Version(str(last), str(second.model_folder))
        assert len(lineage_of_source("/models/model.ckpt", metadata).models) == 2
        answers.append((answer.source, answer.conversion, answer.verdict, len(answer.siblings)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("database", "password"),
    [("by_hand", "wr0ng s3cret"), ("missing", PASSWORD), ("by_hand", "${NO_SUCH_VARIABLE}")],
)
def test_no_store_is_a_wrong_usage(
    server: Server,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    database: str,
    password: str,
) -> None:
    address = server.address(database, password)
    with pytest.raises(UsageError, match=r"--metadata STORE|NO_SUCH_VARIABLE"):
        open_store(address)
    assert main(["lineage", str(tmp_path), "--metadata", address]) == 2
    told = "".join(capfd.readouterr())
    assert "migrator:***@127.0.0.1" in told
    assert "s3cret" not in told


class Pipeline:
    """`rnn-migrate run` in a process of its own, its store on a server."""

    def __init__(self, folder: Path, server: Server, case: Case, target: str) -> None:
        self.folder = folder
        self.metadata = server.address("at_once", f"${{{VARIABLE}}}")
        shutil.copy(case.source, folder / "weights.npz")
        content = {
            "name": f"weights-{target}",
            "source": {"path": "weights.npz", "set": {"forget_bias": 1.0}},
            "target": target,
            "evaluation": {"golden": [str(case.goldens["with_lengths"])]},
            "output": {"root": "run", "metadata": self.metadata},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(content))

    def start(self) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), str(ROOT / "component")])
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rnn_migrator.cli.main",
                "run",
                str(self.folder / "config.yaml"),
            ],
            env={**os.environ, "PYTHONPATH": path, VARIABLE: PASSWORD},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def test_two_pipelines_at_once(
    server: Server,
    cases: dict[str, Case],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both begin with a database in which there is nothing yet."""
    pipelines = []
    for target in ("cpu", "portable"):
        (tmp_path / target).mkdir()
        case = cases["tf1_stacked_lstm_npz"]
        pipelines.append(Pipeline(tmp_path / target, server, case, target))
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(pipeline.start()) for pipeline in pipelines]
        outputs = [process.communicate(timeout=300)[0] for process in running]
    for process, output in zip(running, outputs, strict=True):
        assert process.returncode == 0, output
        assert "✓ blessed" in output
        assert "migrator:***@127.0.0.1" in output
        assert "s3cret" not in output
    monkeypatch.setenv(VARIABLE, PASSWORD)
    for pipeline, other in (pipelines, reversed(pipelines)):
        store = ["--metadata", pipeline.metadata]
        serving = str(pipeline.folder / "run" / "serving")
        assert main(["lineage", serving, *store, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["source"]["path"] == str(pipeline.folder / "weights.npz")
        assert answer["conversion"]["target"] == pipeline.folder.name
        assert answer["verdict"]["verdict"] == "blessed"
        assert answer["pushes"][0]["superseded_by"] is None
        [sibling] = answer["siblings"]
        assert str(other.folder) in sibling["model"]
        assert main(["audit", serving, *store]) == 0
        assert "s3cret" not in "".join(capsys.readouterr())
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"s3cret" not in file.read_bytes(), file
