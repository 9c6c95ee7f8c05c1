"""The command `lineage`: what it takes and what it prints."""

from __future__ import annotations

import json

import pytest

from rnn_migrator.cli.main import main
from tests.lineage.test_query import Run

pytestmark = pytest.mark.tfx


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def printed(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_back_and_forward_from_a_pushed_model(run, capsys):
    first = run.push(run.evaluate(), "17")
    second = Run(run.folder, run.writer, number=2)
    last = second.push(second.evaluate(), "18")
    assert main(["lineage", str(first)]) == 0
    tree = printed(capsys)
    assert tree.index("legacy artifact /models/model.ckpt") < tree.index("converted by")
    assert f"superseded by {last}" in tree
    assert f"also made from it: {second.model_folder}" in tree


def test_where_a_legacy_file_went(run, capsys):
    destination = run.push(run.evaluate(), "17")
    arguments = ["lineage", "--source", "/models/model.ckpt", "--metadata", str(run.metadata)]
    assert main(arguments) == 0
    tree = printed(capsys)
    assert f"pushed to {destination}" in tree
    assert "these bytes lie there no more" in tree
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["model"] == str(run.model_folder)


@pytest.mark.parametrize("arguments", [[], ["path", "--source", "file"]])
def test_either_a_model_or_a_source(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(["lineage", *arguments])
    assert error.value.code == 2


def test_an_unknown_source_is_refused(run, capsys):
    arguments = ["lineage", "--source", "/other.h5", "--metadata", str(run.metadata)]
    assert main(arguments) == 2
    assert "knows nothing of" in capsys.readouterr().err
