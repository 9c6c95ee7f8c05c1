"""Finding and opening a store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from rnn_migrator.errors import UsageError
from rnn_migrator.lineage.store import find_store, open_store
from tests.lineage.stores import Writer

pytestmark = pytest.mark.tfx


def test_the_nearest_store_above_a_path(tmp_path: Path) -> None:
    (tmp_path / "metadata.sqlite").touch()
    below = tmp_path / "run" / "serving" / "17"
    assert find_store(below) == tmp_path / "metadata.sqlite"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metadata.sqlite").touch()
    assert find_store(below) == tmp_path / "run" / "metadata.sqlite"


def test_no_store_above_a_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--metadata"):
        find_store(tmp_path / "run")


def test_a_store_is_opened_for_reading(tmp_path: Path) -> None:
    Writer(tmp_path / "store").artifact("Model", "/models/1")
    before = (tmp_path / "store").read_bytes()
    assert [a.uri for a in open_store(tmp_path / "store").get_artifacts()] == ["/models/1"]
    assert (tmp_path / "store").read_bytes() == before


def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("SQLite it is not")
    with sqlite3.connect(tmp_path / "empty.sqlite") as connection:
        connection.execute("create table cats (name text)")
    (tmp_path / "cut").write_bytes((tmp_path / "empty.sqlite").read_bytes()[:200])
    for name in ("missing", "text", "empty.sqlite", "cut", "."):
        with pytest.raises(UsageError, match="ML Metadata store"):
            open_store(tmp_path / name)
    assert not (tmp_path / "missing").exists()
