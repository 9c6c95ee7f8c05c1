"""Which URI stands for which file, and what is no URI that a container could open."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.places import Places
from rnn_migrator.errors import UsageError


def test_the_innermost_folder_counts() -> None:
    places = Places.parse(["/a=gs://bucket", "/a/b/=gs://other/b/", "/a/b/c.npz=file:///c"])
    assert places(Path("/a/model.ckpt")) == "gs://bucket/model.ckpt"
    assert places(Path("/a/b")) == "gs://other/b"
    assert places(Path("/a/b/x/y.h5")) == "gs://other/b/x/y.h5"
    assert places(Path("/a/b/c.npz")) == "file:///c"
    assert places(Path("/a/bc")) == "gs://bucket/bc"


def test_folders_are_taken_from_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = Places.parse([".=gs://bucket/x=1", "../beside=file:///mnt"])
    assert places(tmp_path / "a") == "gs://bucket/x=1/a"
    assert places(tmp_path.parent / "beside" / "a") == "file:///mnt/a"


def test_all_that_has_no_uri_is_named_at_once() -> None:
    places = Places.parse(["/a=gs://bucket"])
    places.check(Path("/a/b"))
    with pytest.raises(UsageError) as error:
        places.check(Path("/b/x"), Path("/a/b"), Path("/c/y"), Path("/b/x"))
    assert [problem.where for problem in error.value.problems] == ["/b/x", "/c/y"]
    assert all("a URI with a scheme" in problem.expected for problem in error.value.problems)
    assert "--map /b=gs://" in error.value.problems[0].remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gs://bucket", "a URI with a scheme"),
        ("=gs://bucket", "a folder of this machine"),
        ("/a=", "a URI with a scheme"),
        ("/a=/mnt/models", "a URI with a scheme"),
        ("/a=mnt/models", "a URI with a scheme"),
        ("/a=GS://bucket", "a URI with a scheme"),
        ("/a=minio://bucket", "file, gs"),
        ("/a=ram://bucket", "file, gs"),
        ("/a=https://host/models", "file, gs"),
        ("/a=gs://", "with a folder"),
        ("/a=file://", "with a folder"),
        ("/a=file://host/models", "no host"),
    ],
)
def test_what_is_no_place(text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        Places.parse(["/fine=gs://bucket", text])
    [problem] = error.value.problems
    assert problem.where == f"--map {text}"
    assert words in problem.expected
    assert "--map" in problem.remedy
