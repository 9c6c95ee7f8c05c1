"""Which reader opens a path, and what is said where none does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rnn_migrator.errors import ExitStatus, UnreadableError, UnsupportedError, UsageError
from rnn_migrator.readers import open_artifact
from rnn_migrator.readers.object_graph import KEY
from tests.legacy_lab.cases import Case

FORMATS = {
    ".h5": "Keras HDF5 file",
    ".hdf5": "Keras HDF5 file",
    ".npz": "NPZ file",
}


def format_of(source: Path) -> str:
    """What the name of a lab file says it is; the readers go by content."""
    if (source / "saved_model.pb").is_file():
        return "Keras SavedModel (TensorFlow 2)"
    if source.is_dir() and list(source.glob("*.csv")):
        return "folder of CSV or NPY files"
    return FORMATS.get(source.suffix, "TensorFlow checkpoint")


def test_every_lab_case_is_opened_by_its_reader(cases: dict[str, Case]) -> None:
    for case in cases.values():
        assert open_artifact(case.source, case.architecture).format == format_of(case.source)


def test_every_float_variable_of_the_lab_is_there(cases: dict[str, Case]) -> None:
    for case in cases.values():
        artifact = open_artifact(case.source, case.architecture)
        for name, shape in case.variables.items():
            if not name.startswith("optimizer_weights/") and name != KEY:
                assert artifact.tensors[name].shape in (shape, shape[:1]), (case.name, name)


@pytest.mark.parametrize("name", ["missing", "missing/model.ckpt", "model.h5", "a" * 200])
def test_nothing_there_is_a_mistake_of_usage(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="nothing at this path") as caught:
        open_artifact(tmp_path / name)
    assert caught.value.status == ExitStatus.USAGE == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.h5", b""),
        ("model.h5", b"no HDF5"),
        ("model.ckpt", b"weights"),
        ("weights.npz", b"no zip"),
        ("weights.csv", b"1,2"),
        ("model.keras", b"PK\x03\x04"),
    ],
)
def test_an_unknown_file_is_unreadable(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError, match="content that begins like none") as caught:
        open_artifact(tmp_path / name)
    assert caught.value.status == ExitStatus.UNREADABLE == 4
    assert "Keras HDF5 file" in caught.value.problems[0].expected


def test_an_empty_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError):
        open_artifact(tmp_path)


def test_several_formats_in_one_folder_are_named(cases: dict[str, Case], tmp_path: Path) -> None:
    shutil.copytree(cases["tf1_stacked_lstm_no_meta"].source, tmp_path, dirs_exist_ok=True)
    np.save(tmp_path / "extra.npy", np.ones(3))
    expected = r"folder of CSV or NPY files, TensorFlow checkpoint|TensorFlow checkpoint, folder"
    with pytest.raises(UnsupportedError, match=expected) as caught:
        open_artifact(tmp_path)
    assert caught.value.status == ExitStatus.UNSUPPORTED == 3


@pytest.mark.parametrize("name", ["a/../../b\0", "x" * 5000])
def test_a_path_that_no_system_takes(tmp_path: Path, name: str) -> None:
    with pytest.raises((UnreadableError, UsageError)):
        open_artifact(tmp_path / name)
