from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnn_migrator.errors import UnreadableError
from rnn_migrator.readers import LegacyArtifact, TensorSpec, array_digest, content_digest

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def artifact_of(array: np.ndarray) -> LegacyArtifact:
    spec = TensorSpec("a", array.shape, array.dtype.name)
    return LegacyArtifact(Path("weights"), "test", (), {"a": spec}, lambda name: array)


@pytest.mark.parametrize("array", [VALUES, VALUES.astype(int), np.array(["text"]), np.zeros(0)])
def test_reads_what_is_there(array: np.ndarray) -> None:
    assert artifact_of(array).read("a") is array


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_refuses_what_no_training_leaves(number: float) -> None:
    array = VALUES.copy()
    array[1, 2] = number
    with pytest.raises(UnreadableError, match=r"tensor 'a'.*1 NaN or infinite values of 6"):
        artifact_of(array).read("a")


def test_a_digest_is_that_of_the_numbers() -> None:
    expected = array_digest(VALUES)
    assert array_digest(np.asfortranarray(VALUES)) == expected
    assert array_digest(VALUES.astype(">f4")) == expected
    assert array_digest(np.repeat(VALUES, 2, axis=0)[::2]) == expected


@pytest.mark.parametrize(
    "other",
    [
        VALUES.reshape(3, 2),
        VALUES.T,
        VALUES.astype(np.float64),
        VALUES.view(np.int32),
        VALUES + np.float32(1e-6),
        VALUES.ravel(),
    ],
)
def test_a_digest_sees_shape_dtype_and_every_number(other: np.ndarray) -> None:
    assert array_digest(other) != array_digest(VALUES)


def test_the_digest_of_files_sees_name_content_and_border(tmp_path: Path) -> None:
    def digest(**contents: bytes) -> str:
        files = []
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
            files.append(tmp_path / name)
        return content_digest(tuple(files))

    digests = [
        digest(a=b"1", b=b"2"),
        digest(b=b"2", a=b"1"),
        digest(a=b"12", b=b""),
        digest(a=b"1", c=b"2"),
        digest(a=b"1"),
    ]
    assert len(set(digests)) == len(digests)
    assert digest(a=b"1", b=b"2") == digests[0]


def test_the_digest_does_not_see_the_folder(tmp_path: Path) -> None:
    digests = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "a").write_bytes(b"1")
        digests.add(content_digest((folder / "a",)))
    assert len(digests) == 1
