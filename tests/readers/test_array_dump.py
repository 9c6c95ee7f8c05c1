from __future__ import annotations

import contextlib
import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnn_migrator.errors import UnreadableError, UnsupportedError, UsageError
from rnn_migrator.readers import open_artifact
from rnn_migrator.readers.array_dump import MAX_ARRAY_BYTES, load_npz

KERNEL = "rnn/lstm_cell/kernel"
MATRIX = np.random.default_rng(1).normal(size=(8, 20)).astype(np.float32)


class Trap:
    """Unpickling it writes a file: what a hostile array would do."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.write_text, (self._file, "unpickled")


def npy_bytes(array: Any, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def npy_claiming(shape: tuple[int, ...], descr: str = "<f4", content: bytes = b"") -> bytes:
    """An NPY file whose header promises whatever one likes."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def write_npz(file: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name + ".npy", content)
    return file


def read_all(path: Path) -> dict[str, Any]:
    artifact = open_artifact(path)
    return {name: artifact.read(name) for name in artifact.tensors}


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_all(path)
    [problem] = caught.value.problems
    assert all([problem.where, problem.expected, problem.received, problem.remedy])
    return str(problem)


def csv(folder: Path, text: str | bytes, name: str = "rnn__lstm_cell__kernel.csv") -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


# Names


@pytest.mark.parametrize(
    "stem",
    ["rnn__lstm_cell__kernel", "rnn.lstm_cell.kernel", "rnn__lstm_cell__kernel:0"],
)
@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_file_names_spell_variable_names(tmp_path: Path, stem: str, suffix: str) -> None:
    file = tmp_path / (stem + suffix)
    if suffix == ".csv":
        np.savetxt(file, MATRIX, delimiter=",")
    else:
        np.save(file, MATRIX)
    artifact = open_artifact(tmp_path)
    assert artifact.files == (file,)
    np.testing.assert_array_equal(artifact.read(KERNEL), MATRIX)
    assert artifact.tensors[KERNEL].shape == MATRIX.shape
    assert artifact.tensors[KERNEL].dtype == "float32"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (KERNEL, KERNEL),
        (KERNEL + ":0", KERNEL),
        ("rnn__lstm_cell__kernel", KERNEL),
        ("rnn.lstm_cell.kernel", KERNEL),
        ("model.v2/rnn/my__cell/kernel", "model.v2/rnn/my__cell/kernel"),
        ("kernel", "kernel"),
    ],
)
def test_keys_spell_variable_names(tmp_path: Path, key: str, name: str) -> None:
    np.savez(tmp_path / "weights.npz", **{key: MATRIX})
    artifact = open_artifact(tmp_path / "weights.npz")
    assert list(artifact.tensors) == [name]
    np.testing.assert_array_equal(artifact.read(name), MATRIX)


def test_two_spellings_of_one_name_are_ambiguous(tmp_path: Path) -> None:
    np.save(tmp_path / "rnn__kernel.npy", MATRIX)
    np.save(tmp_path / "rnn.kernel.npy", 2 * MATRIX)
    with pytest.raises(UnsupportedError, match=r"rnn\.kernel\.npy, rnn__kernel\.npy"):
        open_artifact(tmp_path)
    np.savez(tmp_path / "weights.npz", **{"rnn/kernel": MATRIX, "rnn.kernel": MATRIX})
    with pytest.raises(UnsupportedError, match="the variable rnn/kernel"):
        open_artifact(tmp_path / "weights.npz")


def test_csv_and_npy_may_stand_together(tmp_path: Path) -> None:
    np.save(tmp_path / "rnn__kernel.npy", MATRIX)
    np.savetxt(tmp_path / "rnn__bias.csv", MATRIX[0])
    (tmp_path / "README.txt").write_text("no weights")
    artifact = open_artifact(tmp_path)
    assert {name: spec.shape for name, spec in artifact.tensors.items()} == {
        "rnn/bias": (20,),
        "rnn/kernel": (8, 20),
    }
    assert [file.name for file in artifact.files] == ["rnn__bias.csv", "rnn__kernel.npy"]


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", " ", "\t", ", ", "; "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_usual_delimiter(tmp_path: Path, delimiter: str, end: str) -> None:
    rows = [delimiter.join(f"{number:.9g}" for number in row) for row in MATRIX]
    csv(tmp_path, end.join(rows))
    np.testing.assert_array_equal(open_artifact(tmp_path).read(KERNEL), MATRIX)


def test_float32_survives_its_own_decimal_form(tmp_path: Path) -> None:
    """Nine digits are enough; they are parsed as float64 and rounded once."""
    np.savetxt(tmp_path / "rnn__lstm_cell__kernel.csv", MATRIX, fmt="%.9g", delimiter=",")
    assert open_artifact(tmp_path).read(KERNEL).tobytes() == MATRIX.tobytes()


@pytest.mark.parametrize("text", ["1\n2\n3\n", "1\n\n2\n3", "\n1\n2\n3\n"])
def test_one_column_is_a_vector(tmp_path: Path, text: str) -> None:
    csv(tmp_path, text)
    assert open_artifact(tmp_path).read(KERNEL).tolist() == [1.0, 2.0, 3.0]


def test_one_row_is_a_matrix_of_one_row(tmp_path: Path) -> None:
    csv(tmp_path, "1,2,3\n")
    assert open_artifact(tmp_path).read(KERNEL).tolist() == [[1.0, 2.0, 3.0]]


def test_comments_say_nothing_of_the_delimiter(tmp_path: Path) -> None:
    csv(tmp_path, "# kernel, of the first layer\n1 2\n3 4 # last\n")
    assert open_artifact(tmp_path).read(KERNEL).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_byte_order_mark_is_no_number(tmp_path: Path) -> None:
    csv(tmp_path, b"\xef\xbb\xbf1,2\r\n3,4\r\n")
    assert open_artifact(tmp_path).read(KERNEL).tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5\n",  # ragged
        "1,2\n3,4,5\n",
        "a,b\n1,2\n",  # a header
        ",a,b\n0,1,2\n",  # as pandas writes it
        "1;2\n3,4\n",
        "1,5;2,5\n",  # decimal commas
        "1,,3\n",
        "1,2,\n",
        "",
        " \n\n",
        "# only a comment\n",
        b"\xff\xfe1\x00,\x002\x00",  # UTF-16
        b"PK\x03\x04\x00\xff",
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_table_of_numbers(tmp_path: Path, text: str | bytes) -> None:
    csv(tmp_path, text)
    assert "rnn__lstm_cell__kernel.csv" in refusal(tmp_path)


@pytest.mark.parametrize("number", ["nan", "NaN", "inf", "-Infinity", "1e999"])
def test_what_is_no_finite_number(tmp_path: Path, number: str) -> None:
    csv(tmp_path, f"1,2\n{number},4\n")
    text = refusal(tmp_path)
    assert "1 NaN or infinite values of 4" in text
    assert KERNEL in text


# NPY and NPZ


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", "|u1"])
def test_reads_numbers_of_any_kind(tmp_path: Path, version: tuple[int, int], dtype: str) -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    (tmp_path / "a.npy").write_bytes(npy_bytes(array, version))
    artifact = open_artifact(tmp_path)
    np.testing.assert_array_equal(artifact.read("a"), array)
    assert artifact.tensors["a"].dtype == array.dtype.name


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_nothing_is_unpickled(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "mark"
    trap = np.array([Trap(mark), 1.0], dtype=object)
    content = npy_bytes(trap)
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(trap[0]))()  # noqa: S301 - the trap has to work
    assert mark.read_text() == "unpickled"
    mark.unlink()
    source = tmp_path / "dump"
    source.mkdir()
    if kind == "npy":
        (source / "a.npy").write_bytes(content)
    else:
        source = write_npz(source / "a.npz", a=content)
    assert "dtype object" in refusal(source)
    assert not mark.exists()


def test_nothing_is_unpickled_even_past_the_header(tmp_path: Path) -> None:
    """Two locks on one door: a file may be exchanged between opening and reading."""
    mark = tmp_path / "mark"
    np.save(tmp_path / "a.npy", np.ones(2))
    artifact = open_artifact(tmp_path)
    (tmp_path / "a.npy").write_bytes(npy_bytes(np.array([Trap(mark), 1.0], dtype=object)))
    with pytest.raises(UnreadableError, match="allow_pickle"):
        artifact.read("a")
    assert not mark.exists()


def test_a_member_cannot_hide_behind_another_of_its_name(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    file = tmp_path / "weights.npz"
    contents = [npy_bytes(np.ones(2)), npy_bytes(np.array([Trap(mark)], dtype=object))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zipfile, that the name is there twice
        with zipfile.ZipFile(file, "w") as archive:
            for content in contents:
                archive.writestr("a.npy", content)
    assert "dtype object" in refusal(file)
    assert not mark.exists()


def test_a_pickle_in_disguise_is_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Trap(mark)))
    assert "an NPY array" in refusal(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ((1 << 20, 1 << 20), "<f4"),
        ((1 << 32, 1 << 32), "<f4"),  # 2**64 elements: a product of int64 says none
        ((MAX_ARRAY_BYTES // 4 + 1,), "<f4"),
        ((1 << 28,), "<f4"),  # small enough, but not there
        ((3,), "<f4"),
        ((-1,), "<f4"),
        ((-4, -4), "<f4"),
        ((2,), "<U1000"),
        ((2,), "|V8"),
        ((2,), "<c8"),
        ((2,), "<M8[s]"),
    ],
)
def test_oversized_claims_allocate_nothing(
    tmp_path: Path, kind: str, shape: tuple[int, ...], descr: str
) -> None:
    content = npy_claiming(shape, descr, content=b"\0" * 8)
    if kind == "npz":
        path = write_npz(tmp_path / "a.npz", a=content)
    else:
        path = tmp_path
        (path / "a.npy").write_bytes(content)
    with pytest.raises(UnreadableError):
        open_artifact(path)


@pytest.mark.parametrize("keep", [0, 3, 6, 9, 40, 128, 400, 767])
def test_truncated_npy(tmp_path: Path, keep: int) -> None:
    (tmp_path / "a.npy").write_bytes(npy_bytes(MATRIX)[:keep])
    assert "a.npy" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_npz(tmp_path: Path, keep: float, compressed: bool) -> None:
    file = tmp_path / "weights.npz"
    (np.savez_compressed if compressed else np.savez)(file, a=MATRIX, b=MATRIX)
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    assert "weights.npz" in refusal(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_no_damage_raises_another_error(tmp_path: Path, data: st.DataObject) -> None:
    file = tmp_path / "weights.npz"
    np.savez_compressed(file, a=MATRIX)
    content = bytearray(file.read_bytes())
    for _ in range(3):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    with contextlib.suppress(UnreadableError):
        read_all(file)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    np.savez(file, a=MATRIX)
    content = bytearray(file.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag of encryption
    file.write_bytes(content)
    assert "encrypted" in refusal(file)


def test_opening_reads_headers_only(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    large = np.tile(MATRIX, (100, 1))
    np.savez(file, a=large)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    artifact = open_artifact(file)
    assert artifact.tensors["a"].shape == large.shape
    with pytest.raises(UnreadableError, match="CRC"):
        artifact.read("a")


def test_load_npz_keeps_keys_as_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "golden.npz"
    np.savez(file, **{"in:x.y": MATRIX, "out:a__b": MATRIX[0]})
    assert set(load_npz(file)) == {"in:x.y", "out:a__b"}


@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_load_npz_of_something_else(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "golden.npz").write_bytes(content)
    with pytest.raises(UnreadableError, match="an NPZ file"):
        load_npz(tmp_path / "golden.npz")


def test_a_zip_without_arrays_is_no_dump(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "begins like none" in refusal(tmp_path / "model.zip")


def test_an_architecture_goes_with_no_dump(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", a=MATRIX)
    with pytest.raises(UsageError, match="NPZ file"):
        open_artifact(tmp_path / "weights.npz", tmp_path / "model.json")
