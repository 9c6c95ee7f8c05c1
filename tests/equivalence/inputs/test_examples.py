from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator.equivalence.inputs import examples as examples_module
from rnn_migrator.equivalence.inputs.case import Case
from rnn_migrator.equivalence.inputs.examples import Examples, find_files, split_paths
from rnn_migrator.errors import MigrationError, UnreadableError, UsageError
from tests.equivalence.inputs.models import stack
from tests.equivalence.inputs.records import example, sequence, sequences, write

FEATURES = {"inputs": "x"}


def data(*files: Path, batch: int = 8) -> Examples:
    return Examples(tuple(map(str, files)), FEATURES, batch=batch)


def cases(found: Examples) -> Iterator[Case]:
    for part in found.parts():
        yield from part.cases(stack(), lambda case: 0.0)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "_PART_BYTES", 2000)


@pytest.mark.parametrize("name", ["data.tfrecord", "data.gz"])
@pytest.mark.parametrize("kind", [example, sequence])
@pytest.mark.usefixtures("small_parts")
def test_every_record_once_in_whatever_part(tmp_path: Path, name: str, kind: Any) -> None:
    values = sequences(300, 3)
    found = data(write(tmp_path / name, [kind(x=array) for array in values]))
    parts = found.parts()
    assert 2 < len(parts) < 64
    assert sum(count for part in parts for count in part.records().values()) == 300
    seen: dict[str, Any] = {}
    for case in cases(found):
        lengths = case.inputs.get("sequence_length", [case.inputs["inputs"].shape[1]] * 99)
        for key, array, length in zip(case.rows, case.inputs["inputs"], lengths, strict=False):
            assert key not in seen
            seen[key] = array[:length]
    assert set(seen) == {f"{name}#{index}" for index in range(300)}
    for index, array in enumerate(values):
        np.testing.assert_array_equal(seen[f"{name}#{index}"], array)


def test_no_more_than_a_block_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = data(write(tmp_path / "f", [example(x=a) for a in sequences(200, 3)]), batch=4)
    taken = []
    decode = examples_module.Decoder.__call__
    monkeypatch.setattr(
        examples_module.Decoder,
        "__call__",
        lambda self, record, key: taken.append(key) or decode(self, record, key),
    )
    for number, _ in enumerate(cases(found)):
        assert len(taken) - 4 * number <= 4 * examples_module._BLOCK


def test_controls_run_on_the_first_batch_of_a_part(tmp_path: Path) -> None:
    found = data(write(tmp_path / "f", [example(x=a) for a in sequences(100, 3)]))
    assert [case.thorough for case in cases(found)][:3] == [True, False, False]


@pytest.mark.parametrize("name", ["data.tfrecord", "data.gz"])
def test_a_report_names_a_record_that_is_found_again(tmp_path: Path, name: str) -> None:
    values = sequences(50, 3)
    [part] = data(write(tmp_path / name, [example(x=a) for a in values])).parts()
    case = part.find(f"{name}#17", stack())
    assert case is not None
    assert case.thorough
    assert case.records() == {name: 1}
    np.testing.assert_array_equal(case.inputs["inputs"][0], values[17])
    assert part.find("other#17", stack()) is None
    assert part.find(name, stack()) is None
    with pytest.raises(UsageError, match="one of the 50 records"):
        part.find(f"{name}#50", stack())


# Files


def test_what_paths_stand_for(tmp_path: Path) -> None:
    for name in ("Split-eval/data-0.gz", "Split-train/data-0.gz", "Split-eval/.hidden", "b", "a"):
        write(tmp_path / name, [])

    def found(*paths: str) -> list[str]:
        return [str(Path(f).relative_to(tmp_path)) for f in find_files(paths)]

    root = str(tmp_path)
    assert found(f"{root}/b") == ["b"]
    assert found(f"{root}/[ab]", f"{root}/a") == ["a", "b"]
    assert found(f"{root}/Split-eval") == ["Split-eval/data-0.gz"]
    assert found(root) == ["Split-eval/data-0.gz", "Split-train/data-0.gz", "a", "b"]
    assert found(*split_paths(root, ["train"])) == ["Split-train/data-0.gz"]
    assert split_paths(root, []) == [root]
    assert find_files([f"file://{root}/Split-eval"]) == (f"file://{root}/Split-eval/data-0.gz",)


@pytest.mark.parametrize("path", ["missing", "*.gz", "empty", "file:///missing"])
def test_a_path_of_nothing(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="TFRecord files"):
        find_files([path if "://" in path else f"{tmp_path}/{path}"])


def test_files_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    files = [write(tmp_path / name, []) for name in ("a/x.gz", "b/x.gz")]
    assert [part.label for part in data(*files).parts()] == ["a/x.gz", "b/x.gz"]
    assert [part.label for part in data(files[0]).parts()] == ["x.gz"]


# Damage


@pytest.mark.parametrize("name", ["data.tfrecord", "data.gz"])
def test_a_file_that_is_cut_is_refused_wherever_it_is(tmp_path: Path, name: str) -> None:
    whole = write(tmp_path / name, [example(x=a) for a in sequences(3, 3, 2)]).read_bytes()
    records = [0]
    while records[-1] < len(whole) and name != "data.gz":
        size = int.from_bytes(whole[records[-1] : records[-1] + 8], "little")
        records.append(records[-1] + size + 16)
    file = tmp_path / f"cut-{name}"
    for length in set(range(1, len(whole))) - set(records):
        file.write_bytes(whole[:length])
        [part] = data(file).parts()
        with pytest.raises(UnreadableError) as caught:
            part.records()
        assert caught.value.problems[0].where == str(file)
        assert "{{" not in caught.value.problems[0].received


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "f", [example(x=a) for a in sequences(3, 3)]).read_bytes()
    file = tmp_path / "changed"
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = data(file)
        with pytest.raises(MigrationError):
            list(cases(found))


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    [part] = data(write(tmp_path / "f", [])).parts()
    assert part.records() == {"f": 0}
    assert not list(part.cases(stack(), lambda case: 0.0))
