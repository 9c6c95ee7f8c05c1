from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rnn_migrator.errors import UsageError
from rnn_migrator.readers.architecture import read_architecture
from tests.legacy_lab.cases import Case

CONFIG = {"class_name": "Sequential", "config": []}


def architecture(folder: Path, text: str | bytes) -> Path:
    file = folder / "architecture"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CONFIG),
        "\n  " + json.dumps(CONFIG, indent=2),
        json.dumps(json.dumps(CONFIG)),
        "class_name: Sequential\nconfig: []\n",
        yaml.safe_dump(CONFIG),
    ],
)
def test_reads_an_architecture(tmp_path: Path, text: str) -> None:
    assert read_architecture(architecture(tmp_path, text)) == CONFIG


def test_json_and_yaml_of_one_model_agree(cases: dict[str, Case]) -> None:
    folder = cases["keras2_lstm_hard_sigmoid_weights"].folder
    from_json, from_yaml = (
        read_architecture(folder / f"architecture.{kind}") for kind in ("json", "yaml")
    )
    assert from_json == from_yaml


def test_tuples_in_yaml_become_lists(tmp_path: Path) -> None:
    """Keras 2 wrote shapes with PyYAML's tag for tuples."""
    text = "class_name: Model\nconfig:\n  shape: !!python/tuple [null, 5, !!python/tuple [1, 2]]\n"
    config = read_architecture(architecture(tmp_path, text))["config"]
    assert config == {"shape": [None, 5, [1, 2]]}


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/new:os.system ['touch {mark}']",
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object:object {{}}",
    ],
)
def test_no_python_runs_from_yaml(tmp_path: Path, tag: str) -> None:
    mark = tmp_path / "mark"
    text = f"class_name: Model\nconfig: {tag.format(mark=mark)}\n"
    with pytest.raises(UsageError, match="could not determine a constructor"):
        read_architecture(architecture(tmp_path, text))
    assert not mark.exists()


def test_aliases_in_yaml_are_plain_values(tmp_path: Path) -> None:
    """PyYAML writes what stands in two places once."""
    text = "class_name: Model\nconfig:\n  one: &id001 [1, 2]\n  other: *id001\n"
    config = read_architecture(architecture(tmp_path, text))["config"]
    assert config == {"one": [1, 2], "other": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(
            f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30)
        ).replace("*a0", "x"),
        "a: &a [*a]",
    ],
    ids=["billions", "endless"],
)
def test_aliases_that_explode_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"aliases|recursi"):
        read_architecture(architecture(tmp_path, f"class_name: Model\n{text}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "just a word",
        "- a\n- b\n",
        "[1, 2]",
        '{"config": []}',
        '"{"',
        '"a text"',
        "a: b: c",
        b"\xff\xfe\x00",
        b"\x00\x01",
        "[" * 20_000,
        '{"a":' * 20_000,
    ],
    ids=lambda text: repr(text)[:12],
)
def test_what_is_no_architecture(tmp_path: Path, text: str | bytes) -> None:
    file = architecture(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_architecture(file)
    [problem] = caught.value.problems
    assert problem.where == f"--architecture {file}"
    assert all([problem.expected, problem.received, problem.remedy])


def test_what_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(UsageError, match="--architecture"):
            read_architecture(path)
