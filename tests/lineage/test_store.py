"""Finding and opening a store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from rnn_migrator.errors import UsageError
from rnn_migrator.lineage.store import StoreAddress, find_store, open_store, without_password
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


def test_the_parts_of_a_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    mysql = StoreAddress("mysql://me:p%40ss@db.example.com/lineage").connection().mysql
    assert (mysql.host, mysql.port, mysql.database) == ("db.example.com", 3306, "lineage")
    assert (mysql.user, mysql.password) == ("me", "p@ss")
    monkeypatch.setenv("DB_PASSWORD", "it's%40 \\")
    address = "postgresql://me:${DB_PASSWORD}@10.0.0.7:6543/lineage"
    found = StoreAddress(address).connection().postgresql
    assert (found.host, found.port, found.dbname) == ("10.0.0.7", "6543", "lineage")
    assert (found.user, found.password) == ("'me'", "'it\\'s%40 \\\\'"), "quoted for libpq"
    assert StoreAddress("mariadb://me@localhost/a").connection().mysql.password == ""


def test_a_password_that_is_not_in_the_environment() -> None:
    with pytest.raises(UsageError, match="the password in the environment, as NO_SUCH_VARIABLE"):
        StoreAddress("mysql://me:${NO_SUCH_VARIABLE}@db/lineage").connection()


@pytest.mark.parametrize(
    "text",
    [
        "mysql://me:s3cret@db",
        "mysql://me:s3cret@db/a/b",
        "mysql://:s3cret@db/lineage",
        "mysql://me:s3cret@db:port/lineage",
        "mysql://me:s3cret@db/lineage?ssl=1",
        "sqlite://me:s3cret@db/lineage",
        "mysql://me:s3cret",
        "mysql://me:s3 cr'et@db",
    ],
)
def test_what_is_no_connection_string(text: str) -> None:
    with pytest.raises(UsageError, match="another form") as error:
        open_store(text)
    assert "s3" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://me:s3cret@db:3306/a", "mysql://me:***@db:3306/a"),
        ("mysql://me:a@b:c'd\"@db/a", "mysql://me:***@db/a"),
        ("{'metadata': 'mysql://me:s3cret@db/a'}", "{'metadata': 'mysql://me:***@db/a'}"),
        ("mysql://me@db:3306/a", "mysql://me@db:3306/a"),
        ("mysql://me:s3cret", "mysql://me:***"),
        ("../metadata.sqlite", "../metadata.sqlite"),
    ],
)
def test_no_password_is_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert str(StoreAddress(text)) == repr(StoreAddress(text)) == shown
