"""The YAML of a migration: what it may say, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config import load_config, load_migrations
from rnn_migrator.equivalence.inputs.examples import Examples
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.equivalence.inputs.search import SearchSpace
from rnn_migrator.errors import UsageError
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.recognition.settings import parse_settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

WHOLE = """
name: stacked-lstm
source:
  path: models/model.ckpt
  architecture: architecture.json
  set: [forget_bias=1.0, "layer[1].forget_bias=0"]
target: cpu
strict: true
examples_signature: true
evaluation: {golden: [golden.npz], factor: 4, floor: 1e-6}
output:
  root: ../runs
  serving: /srv/models
  metadata: ../metadata.sqlite
cache: false
beam_pipeline_args: [--runner=DirectRunner]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    for name in ("architecture.json", "golden.npz"):
        (tmp_path / "configs" / name).touch()
    return tmp_path / "configs"


def write(folder: Path, text: str) -> Path:
    (folder / "config.yaml").write_text(text)
    return folder / "config.yaml"


def test_every_key(folder: Path) -> None:
    config = load_config(write(folder, WHOLE))
    assert config.source.path == folder / "models" / "model.ckpt"
    assert config.source.architecture == folder / "architecture.json"
    assert config.source.set == ("forget_bias=1.0", "layer[1].forget_bias=0")
    assert config.evaluation.golden == (folder / "golden.npz",)
    assert config.evaluation.thresholds.factor == 4.0
    assert config.evaluation.thresholds.floor == 1e-6
    assert config.output.root == folder.parent / "runs"
    assert config.output.serving == Path("/srv/models")
    assert config.output.metadata.file == folder.parent / "metadata.sqlite"
    assert config.request.target is Target.CPU
    assert config.request.strict
    assert config.request.examples_signature
    assert not config.cache
    assert config.beam_pipeline_args == ("--runner=DirectRunner",)


def test_data_and_a_search(folder: Path) -> None:
    (folder / "schema.pbtxt").touch()
    (folder / "data" / "Split-eval").mkdir(parents=True)
    (folder / "data" / "Split-eval" / "records").touch()
    data = "{path: data, splits: [eval], features: {inputs: x}, schema: schema.pbtxt, batch: 32}"
    search = "{ranges: {inputs: [-1, 1.5]}, steps: [2, 9], tries: 7}"
    text = WHOLE.replace("factor: 4", f"examples: {data}, search: {search}")
    inputs = load_config(write(folder, text)).evaluation.inputs
    assert inputs == Inputs(
        (str(folder / "golden.npz"),),
        Examples(
            (str(folder / "data" / "Split-eval" / "records"),),
            {"inputs": "x"},
            str(folder / "schema.pbtxt"),
            32,
        ),
        SearchSpace({"inputs": (-1.0, 1.5)}, (2, 9), 7),
    )


def test_what_may_be_left_out(folder: Path) -> None:
    text = (
        "name: a\nsource: {path: w.npz, set: {forget_bias: 0, cell_clip: null}}\noutput: {root: r}"
    )
    config = load_config(write(folder, text))
    assert config.source.set == ("forget_bias=0", "cell_clip=none")
    assert parse_settings(config.source.set).get("cell_clip").value is None  # type: ignore[union-attr]
    assert config.target is Target.PORTABLE
    assert config.output.serving == folder / "r" / "serving"
    assert config.output.metadata.file == folder / "r" / "metadata.sqlite"
    assert config.cache
    assert not config.strict
    assert not config.request.examples_signature


def test_paths_do_not_depend_on_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, WHOLE)
    monkeypatch.chdir(folder.parent)
    assert load_config(Path("configs/config.yaml")) == load_config(folder / "config.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("strict: true", "strickt: true", 8, ["strickt", "strict"]),
        ("  path: models/model.ckpt", "", 3, ["source.path", "nothing", "path, architecture, set"]),
        ("  set:", "  sets: []\n  set:", 6, ["source.sets", "no such key", "architecture, set"]),
        ("target: cpu", "target: tpu", 7, ["'cpu', 'gpu' or 'portable'", "'tpu'"]),
        ("factor: 4", "factor: four", 10, ["evaluation.factor", "number", "'four'"]),
        ("factor: 4", "factor: -4", 10, ["evaluation.factor", "greater than 0"]),
        ("golden: [golden.npz]", "golden: [missing.npz]", 10, ["golden.0", "there is none at"]),
        ("architecture: arch", "architecture: no_arch", 5, ["there is none at", "no_architecture"]),
        ("  root: ../runs\n", "", 11, ["output.root", "nothing", "root, serving, metadata"]),
        ("name: stacked-lstm", "name: Stacked LSTM", 2, ["name", "pattern"]),
        ("cache: false", "cache: maybe", 15, ["cache", "'maybe'"]),
        ("set: [forget", "set: [{a: 1}, forget", 6, ["source.set.0", "string"]),
        (
            "factor: 4",
            "examples: {}",
            10,
            ["examples.path", "path, splits, features, schema"],
        ),
        ("factor: 4", "examples: {path: x, batches: 1}", 10, ["examples.batches", "no such key"]),
        ("factor: 4", "examples: {path: x, batch: 0}", 10, ["examples.batch", "greater than 0"]),
        ("factor: 4", "examples: {path: x, schema: y}", 10, ["examples.schema", "there is none"]),
        ("factor: 4", "search: {steps: [5, 1]}", 10, ["search.steps", "fewest steps, then"]),
        ("factor: 4", "search: {ranges: {x: 1}}", 10, ["search.ranges.x", "tuple"]),
    ],
)
def test_one_mistake_gives_one_message_with_its_line(
    folder: Path, old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in WHOLE
    file = write(folder, WHOLE.replace(old, new))
    with pytest.raises(UsageError) as error:
        load_config(file)
    message = str(error.value.problems[0])
    assert f"{file}, line {line}," in message
    assert all(word in message for word in words), message


def test_a_store_by_its_connection_string(folder: Path) -> None:
    address = "mysql://me:${PASSWORD}@db.example.com/lineage"
    config = load_config(write(folder, WHOLE.replace("../metadata.sqlite", address)))
    assert config.output.metadata.file is None
    assert config.output.metadata.text == address
    assert "PASSWORD" not in f"{config!r} {config}"


@pytest.mark.parametrize(
    "text",
    [
        "mysql://me:s3cret@db",
        "[mysql://me:s3cret@db/a]",
        "{a: mysql://me:s3cret@db/a}",
        '"mysql://me:s3cret@db/a',
    ],
)
def test_no_password_is_shown(folder: Path, text: str) -> None:
    with pytest.raises(UsageError) as error:
        load_config(write(folder, WHOLE.replace("../metadata.sqlite", text)))
    assert "s3cret" not in str(error.value)
    assert "mysql://me:***" in str(error.value)


def test_all_mistakes_at_once(folder: Path) -> None:
    text = WHOLE.replace("target: cpu", "target: tpu").replace("cache: false", "cache: maybe")
    with pytest.raises(UsageError) as error:
        load_config(write(folder, text))
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "just words", "!!python/name:os.system x"])
def test_what_is_no_config(folder: Path, text: str) -> None:
    file = write(folder, text)
    with pytest.raises(UsageError, match=str(file)):
        load_config(file)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_config(tmp_path / "config.yaml")


def test_every_config_of_the_project_can_be_recognised() -> None:
    from rnn_migrator.migration import recognise_source

    files = sorted(CONFIGS.glob("*.yaml"))
    assert len(files) >= 4
    names = set()
    for file in files:
        migrations = load_migrations(file)
        names.add(migrations.name)
        for config in migrations.models.values():
            assert recognise_source(config.request).model.recurrent_layers
            assert CONFIGS.parent / "runs" in config.output.root.parents
    assert len(names) == len(files)
