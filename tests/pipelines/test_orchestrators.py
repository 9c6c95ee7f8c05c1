"""One artifact on three orchestrators: the same weights, the same verdict, the same lineage."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from tests.orchestrators import (
    FILE,
    HEAD,
    ORCHESTRATORS,
    Outcome,
    on_airflow,
    on_kubeflow,
    on_this_machine,
)
from tests.pipelines.migrations import told, weights

STEPS = ["Importer", "RnnConverter", "EquivalenceEvaluator", "Pusher"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return on_this_machine(tmp_path_factory.mktemp("local"))


def check_same(found: Outcome, local: Outcome) -> None:
    assert found.pushed != local.pushed
    assert found.weights == local.weights
    assert found.evaluation == local.evaluation
    assert found.told == local.told


@pytest.mark.tfx
@pytest.mark.slow
def test_kubeflow_does_what_the_local_run_does(local: Outcome, tmp_path: Path) -> None:
    found = on_kubeflow(tmp_path)
    check_same(found, local)
    assert found.answer.run_id == found.answer.pipeline == "", "its steps are not told"


@pytest.mark.tfx
@pytest.mark.slow
def test_airflow_does_what_the_local_run_does(local: Outcome, tmp_path: Path) -> None:
    found = on_airflow(tmp_path)
    check_same(found, local)
    assert found.answer.run_id == "stacked-lstm.first.1"
    assert found.answer.pipeline == local.answer.pipeline == "stacked-lstm"


@pytest.mark.tfx
@pytest.mark.slow
def test_what_is_compared(local: Outcome) -> None:
    links = [link["targets"] for link in local.answer.conversion["tensors"]]
    assert {*local.weights.values()} == {digest for link in links for digest in link.values()}
    assert local.evaluation["verdict"] == local.told["verdict"]["verdict"] == "blessed"
    assert local.told["source"]["sha256"].startswith("80ea5095")
    assert {fact["origin"] for fact in local.told["conversion"]["facts"]} == {"graph"}
    assert local.told["verdict"]["figures"]
    assert local.told["steps"] == local.told["executions"] == STEPS
    [push] = local.told["pushes"]
    assert push["destination"] == "FOLDER/runs/stacked-lstm/serving/VERSION"


@pytest.mark.tfx
@pytest.mark.slow
def test_a_difference_is_noticed(local: Outcome, tmp_path: Path) -> None:
    write_weights(local.pushed, tmp_path / "same", ulps=0)
    assert weights(tmp_path / "same") == local.weights
    write_weights(local.pushed, tmp_path / "other", ulps=1)
    assert weights(tmp_path / "other") != local.weights

    fact, *rest = local.answer.conversion["facts"]
    facts = [{**fact, "origin": "ASSUMED"}, *rest]
    answer = dataclasses.replace(
        local.answer, conversion={**local.answer.conversion, "facts": facts}
    )
    assert told(answer, tmp_path) != told(local.answer, tmp_path)


def write_weights(model: Path, copy: Path, ulps: int) -> None:
    """Writes the variables of a SavedModel anew, one number off by units in its last place."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    tensors = {name: reader.get_tensor(name) for name in weights(model)}
    first = next(iter(tensors.values())).reshape(-1)
    first[:1].view(np.int32)[0] += ulps
    (copy / "variables").mkdir(parents=True)
    tf.raw_ops.SaveV2(
        prefix=str(copy / "variables" / "variables"),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )


def test_the_table_in_the_documentation() -> None:
    _, _, table = FILE.read_text("utf-8").partition(HEAD)
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if "`" in line]
    assert len(rows) == len(ORCHESTRATORS), "run `make orchestrators` where Airflow is installed"
    names, seconds, *same = zip(*rows, strict=True)
    assert [name.split(":")[0] for name in names] == ["local", "Kubeflow", "Airflow"]
    assert all(int(value) > 0 for value in seconds)
    digests, verdicts, errors, answers = same
    assert verdicts == ("blessed",) * 3
    assert len({*digests}) == len({*errors}) == len({*answers}) == 1
    assert all(re.fullmatch("`[0-9a-f]{12}`", value) for value in (*digests, *answers))
