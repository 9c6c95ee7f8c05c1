"""What the README says is so: its tables are those of the registries and of the lab."""

from __future__ import annotations

import importlib
import re

import pytest
import yaml

from rnn_migrator.equivalence.evaluation import evaluate
from tests.equivalence.lab import LAB, materials
from tests.equivalence.mutations import Mutation
from tests.support import README, SECTIONS, parts


@pytest.mark.slow
@pytest.mark.tfx  # the stack that `make support` runs on
@pytest.mark.parametrize("section", SECTIONS)
def test_the_tables_are_up_to_date(section: str) -> None:
    _, found, _ = parts(README.read_text("utf-8"), section)
    assert found == SECTIONS[section](), "run `make support`"


def test_every_key_of_the_evaluation_is_described() -> None:
    text = (README.parent / "docs" / "evaluation.md").read_text("utf-8")
    tables = re.split(r"An output:|A party:", text)
    described = [set(re.findall(r"`(\w+)`", " ".join(_first_cells(table)))) for table in tables]
    lab = LAB["keras2_lstm_hard_sigmoid"]
    model = Mutation("", "", "", lab.recognition.model).run()
    found = evaluate(lab.recognition, model, materials(lab.recognition)).to_json()
    [output] = found["outputs"].values()
    party = output["parties"]["converted model"]
    assert [set(keys) for keys in (found, output, party)] == described


RUNNERS = (README.parent / "docs" / "runners.md").read_text("utf-8")
ARGUMENTS = [
    yaml.safe_load(block)["beam_pipeline_args"]
    for block in re.findall(r"```yaml\n(.*?)```", RUNNERS, re.DOTALL)
]


@pytest.mark.beam
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda arguments: arguments[0].split(".")[-1])
def test_beam_knows_the_options_of_each_runner(
    arguments: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    if any("dask" in argument for argument in arguments):
        pytest.importorskip("distributed", reason="Dask is not installed")
    module, _, runner = arguments[0].removeprefix("--runner=").rpartition(".")
    known = vars(importlib.import_module(module)) if module else StandardOptions.KNOWN_RUNNER_NAMES
    assert runner in known
    PipelineOptions(arguments).get_all_options()
    assert "Discarding" not in caplog.text
    PipelineOptions([*arguments, "--no_such_option=1"]).get_all_options()
    assert "Discarding unparseable args: ['--no_such_option=1']" in caplog.text


def _first_cells(table: str) -> list[str]:
    return [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
