from __future__ import annotations

from pathlib import Path

import pytest

from rnn_migrator.errors import ExitStatus, UnsupportedError
from rnn_migrator.readers import open_artifact
from tests.legacy_lab.cases import Case


def refuse(path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        open_artifact(path)
    assert caught.value.status == ExitStatus.UNSUPPORTED == 3
    [problem] = caught.value.problems
    assert problem.where == str(path)
    assert "graph" in problem.received
    assert "checkpoint" in problem.remedy


def test_a_meta_graph_is_no_source_of_its_own(cases: dict[str, Case]) -> None:
    source = cases["tf1_stacked_lstm"].source
    refuse(source.with_name(source.name + ".meta"))


@pytest.mark.parametrize("name", ["frozen.pb", "graph.pbtxt", "lost.meta"])
def test_a_graph_file_is_no_source(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x0a\x05")
    refuse(tmp_path / name)


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_a_saved_model_is_no_source(tmp_path: Path, name: str) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / name).write_bytes(b"\x08\x01")
    refuse(tmp_path)
