"""One component of a run at a time, as a scheduler starts them, again after a failure too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import load_config
from pipelines.local import read_result
from pipelines.runs import compile_run, connect, launch_node, node_ids
from rnn_migrator.errors import UsageError
from tests.legacy_lab.cases import Case
from tests.pipelines.migrations import place_files, write_config

pytestmark = [pytest.mark.tfx, pytest.mark.slow]


@pytest.fixture
def config(tmp_path: Path, cases: dict[str, Case]) -> Path:
    place_files(tmp_path, cases["tf1_stacked_lstm_npz"])
    return write_config(tmp_path / "config.yaml", cache=False)


def compiled(config: Path, run_id: str) -> Any:
    from pipelines.migration import create_pipeline

    return compile_run(create_pipeline(load_config(config)), run_id)


def test_what_is_complete_is_left_alone_in_the_same_run_only(config: Path) -> None:
    run = compiled(config, "first")
    assert node_ids(run) == ["LegacyModel", "RnnConverter", "EquivalenceEvaluator", "Pusher"]
    assert all(launch_node(run, name) for name in node_ids(run)[:2])
    assert not any(launch_node(run, name) for name in node_ids(run)[:2])
    assert all(launch_node(run, name) for name in node_ids(run)[2:])
    first = read_result(load_config(config), "first")
    assert first.blessed

    other = compiled(config, "other")
    assert all(launch_node(other, name) for name in node_ids(other))
    assert read_result(load_config(config), "other").model != first.model


def test_what_failed_runs_again(config: Path) -> None:
    source = config.parent / "weights.npz"
    run, content = compiled(config, "run"), source.read_bytes()
    launch_node(run, "LegacyModel")
    source.unlink()
    with pytest.raises(UsageError):
        launch_node(run, "RnnConverter")
    source.write_bytes(content)
    assert launch_node(run, "RnnConverter")


def test_a_component_that_is_not_there_is_refused(config: Path) -> None:
    with pytest.raises(UsageError, match="Examples: expected one of LegacyModel, RnnConverter"):
        launch_node(compiled(config, "run"), "Examples")


def test_a_password_can_be_left_out_and_put_back(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLMD_PASSWORD", "s3cret")
    store = "postgresql://migrator:${MLMD_PASSWORD}@localhost/mlmd"
    write_config(config, output={"root": "run", "metadata": store})
    run = compiled(config, "run")
    whole = run.SerializeToString(deterministic=True)
    assert b"s3cret" in whole
    connect(run, None)
    assert b"s3cret" not in run.SerializeToString()
    connect(run, load_config(config).output.metadata.connection())
    assert b"s3cret" in run.SerializeToString()
    assert len(run.SerializeToString(deterministic=True)) == len(whole)
