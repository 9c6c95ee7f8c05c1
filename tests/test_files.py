from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from rnn_migrator.errors import ExitStatus, Problem, UnsupportedError, UsageError
from rnn_migrator.files import (
    atomic_file,
    atomic_folder,
    full_disk_is_refusal,
    own_temporary_folder,
    read_json,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def old(folder: Path) -> Path:
    """An output of an earlier run."""
    target = folder / "output"
    target.mkdir()
    (target / "old").write_text("old")
    return target


def test_the_folder_is_there_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "output"
    with atomic_folder(target) as folder:
        (folder / "model").write_text("weights")
        assert not target.exists()
    assert names(tmp_path) == ["output"]
    assert (target / "model").read_text() == "weights"


def test_missing_parents_are_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "output"
    with atomic_folder(target):
        pass
    assert target.is_dir()


def test_the_folder_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "output"):
        pass
    (tmp_path / "other").mkdir()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("output", "other")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_a_block_that_fails(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "output") as folder:
            (folder / "half").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


@pytest.mark.parametrize("make", [old, lambda folder: folder / "output"])
def test_an_output_is_not_overwritten(tmp_path: Path, make: Any) -> None:
    target = make(tmp_path)
    if not target.exists():
        target.write_text("a file")
    before = names(tmp_path)

    def enter() -> None:
        with atomic_folder(target):
            raise AssertionError("entered")

    with pytest.raises(UsageError, match="--force") as caught:
        enter()
    assert caught.value.status == ExitStatus.USAGE
    assert names(tmp_path) == before


@pytest.mark.parametrize("kind", ["folder", "file", "empty folder"])
def test_unless_told_to(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "output"
    if kind == "file":
        target.write_text("a file")
    elif kind == "folder":
        old(tmp_path)
    else:
        target.mkdir()
    with atomic_folder(target, force=True) as folder:
        (folder / "new").write_text("new")
        assert target.exists()
    assert names(tmp_path) == ["output"]
    assert names(target) == ["new"]


def test_the_old_output_survives_a_block_that_fails(tmp_path: Path) -> None:
    target = old(tmp_path)

    def fail() -> None:
        with atomic_folder(target, force=True) as folder:
            (folder / "new").write_text("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert names(tmp_path) == ["output"]
    assert names(target) == ["old"]


def test_the_old_output_survives_a_rename_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between the two renames."""
    target, rename = old(tmp_path), Path.rename

    def failing(self: Path, other: Path) -> Path:
        if self.name == "content":
            raise OSError("no space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"), atomic_folder(target, force=True):
        pass
    assert names(tmp_path) == ["output"]
    assert names(target) == ["old"]


def test_the_faster_of_two_runs_wins(tmp_path: Path) -> None:
    """Both found the place free when they began."""
    target = tmp_path / "output"

    def slow() -> None:
        with atomic_folder(target) as one:
            (one / "model").write_text("slow")
            with atomic_folder(target) as other:
                (other / "model").write_text("fast")

    with pytest.raises(UsageError, match="--force"):
        slow()
    assert names(tmp_path) == ["output"]
    assert (target / "model").read_text() == "fast"


def test_a_parent_that_is_a_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def enter() -> None:
        with atomic_folder(tmp_path / "file" / "output"):
            raise AssertionError("entered")

    with pytest.raises(UsageError, match="a folder that can be written"):
        enter()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_parent_that_cannot_be_written_is_a_mistake(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    def enter() -> None:
        with atomic_folder(tmp_path / "output"):
            raise AssertionError("entered")

    with pytest.raises(UsageError, match="a folder that can be written"):
        enter()


# JSON


def test_a_file_is_there_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "spec.yaml"
    with atomic_file(target) as scratch:
        assert scratch.name == target.name
        scratch.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == ["spec.yaml"]
    with atomic_file(target) as scratch:
        scratch.write_text("newer")
    assert target.read_text() == "newer"


def test_a_block_that_fails_leaves_the_file_of_before(tmp_path: Path) -> None:
    target = tmp_path / "spec.yaml"
    target.write_text("old")

    def fail() -> None:
        with atomic_file(target) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["spec.yaml"]


def test_a_file_in_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match="folder that can be written"),
        atomic_file(tmp_path / "file" / "spec.yaml"),
    ):
        pytest.fail("there is nowhere to write to")


def test_a_temporary_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with own_temporary_folder() as folder:
        assert folder.parent == tmp_path
        assert Path(tempfile.mkdtemp()).parent == folder
    assert names(tmp_path) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path)


@pytest.mark.parametrize(
    "write",
    [
        lambda: Path("/dev/full").write_text("a"),
        lambda: tf.io.write_file("/dev/full", "a" * 100_000),
    ],
    ids=["python", "tensorflow"],
)
def test_a_full_disk_is_a_refusal(write: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="No space left on device"), full_disk_is_refusal():
        write()


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
        UnsupportedError(Problem("a", "b", os.strerror(errno.ENOSPC), "c")),
    ],
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, full_disk_is_refusal():
        raise error
    assert caught.value is error


def test_json_there_and_back(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True, "ä"], "b": {"c": []}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert names(tmp_path) == ["a.json"]


def test_what_json_lacks_becomes_a_text(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"worst": (float("nan"), float("inf"), -float("inf")), 3: 4})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"worst": ["nan", "inf", "-inf"], "3": 4}


def test_a_value_that_is_no_json_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})
    with pytest.raises(TypeError):
        write_json(file, {"new": object()})
    assert read_json(file) == {"old": 1}
    assert names(tmp_path) == ["a.json"]


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(IsADirectoryError):
        write_json(tmp_path / "a.json", {})
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_what_is_no_json_is_a_mistake_of_usage(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "conversion.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="rnn-migrate convert") as caught:
        read_json(file)
    [problem] = caught.value.problems
    assert problem.where == str(file)
    assert problem.received
