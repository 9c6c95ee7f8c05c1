"""Runs that are killed in the middle of anything leave nothing half-made, and the next succeeds."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.local import run_local
from rnn_migrator.lineage.query import lineage
from tests.legacy_lab.cases import Case
from tests.pipelines.migrations import place_files, write_config

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

KILLS, SEEDS = 10, 5
PRELOADED = [
    "pipelines.local",
    "pipelines.migration",
    "rnn_migrator.equivalence.beam",
    "rnn_migrator.equivalence.report",
    "rnn_migrator.keras_model.export",
    "rnn_migrator.keras_model.reload",
    "tfx.orchestration.local.local_dag_runner",
]
"""What takes its time, imported once for all processes."""


def run(config: Path) -> None:
    assert run_local(config).blessed


def started(config: Path) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=run, args=(config,))
    process.start()
    return process


def versions(folder: Path) -> list[Path]:
    serving = folder / "run" / "serving"
    return sorted(p for p in serving.glob("*") if not p.name.startswith("."))


def check_complete(model: Path, golden: Any) -> None:
    """A model that can be seen can be served."""
    import tensorflow as tf

    outputs = tf.saved_model.load(str(model)).signatures["with_lengths"](
        **{name: tf.constant(array) for name, array in golden["inputs"].items()}
    )
    for name, expected in golden["outputs"].items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-6)


@pytest.fixture
def config(tmp_path: Path, cases: dict[str, Case]) -> Path:
    place_files(tmp_path, cases["tf1_stacked_lstm_npz"])
    return write_config(tmp_path / "config.yaml", target="cpu")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_killed_run_leaves_nothing_half_made(
    config: Path, cases: dict[str, Case], seed: int
) -> None:
    folder, golden = config.parent, cases["tf1_stacked_lstm_npz"].golden("with_lengths")
    for _ in range(2):  # the first one waits for the imports
        shutil.rmtree(folder / "run", ignore_errors=True)
        start = time.monotonic()
        process = started(config)
        process.join()
        whole = time.monotonic() - start
        assert process.exitcode == 0
    chance, killed, ended = random.Random(seed), 0, True
    while killed < KILLS or not ended:
        if ended:
            shutil.rmtree(folder / "run", ignore_errors=True)
        process = started(config)
        # Each try goes on from what the ones before have left; the last is let alone.
        process.join(chance.uniform(0, whole) if killed < KILLS else None)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), "a run failed that nobody killed"
        ended = process.exitcode == 0
        killed += not ended
        assert len(versions(folder)) <= 1, "pushed twice"
        for model in versions(folder):
            check_complete(model, golden)
        if ended:
            [pushed] = versions(folder)
            assert {push.destination for push in lineage(pushed).pushes} == {str(pushed)}
