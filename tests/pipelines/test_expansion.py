"""Configs of many models: which they are, what they are called, what holds for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config import Migrations, load_config, load_migrations
from rnn_migrator.errors import UsageError
from rnn_migrator.keras_model.targets import Target

FILES = (
    "a/lm/model.ckpt.index",
    "a/lm/model.ckpt.meta",
    "a/lm/model.ckpt.data-00000-of-00001",
    "a/lm/checkpoint",
    "a/lm/golden.npz",
    "a/lm/golden_step.npz",
    "a/Tagger v2/model.h5",
    "a/Tagger v2/golden.npz",
    "b/deep/er/model.h5",
    "b/deep/er/golden.npz",
    "b/flat.v1.h5",
    "b/flat.v2.h5",
    "b/golden.npz",
    "b/architecture.json",
    "b/.hidden.h5",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).touch()
    return tmp_path


def read(folder: Path, text: str, name: str = "fleet") -> Migrations:
    (folder / "config.yaml").write_text(f"name: {name}\noutput: {{root: runs}}\n{text}\n")
    return load_migrations(folder / "config.yaml")


def names(folder: Path, path: str) -> dict[str, str]:
    """Artifacts, from the folder on, by the names that a path or pattern gives them."""
    models = read(folder, f"source: {{path: {path}}}").models
    return {name: str(one.source.path.relative_to(folder)) for name, one in models.items()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("m/a/*/model.h5", {"tagger-v2": "m/a/Tagger v2/model.h5"}),
        ("m/a/*/model.ckpt", {"lm": "m/a/lm/model.ckpt"}),
        ("m/a/lm/model*", {"model-ckpt": "m/a/lm/model.ckpt"}),
        ("m/b/*.h5", {"flat-v1": "m/b/flat.v1.h5", "flat-v2": "m/b/flat.v2.h5"}),
        ("'m/b/flat.v[2-9].h5'", {"flat-v2-h5": "m/b/flat.v2.h5"}),
        ("m/*/*/*/*.h5", {"b-deep-er-model": "m/b/deep/er/model.h5"}),
        (
            "m/**/model.h5",
            {"a-tagger-v2": "m/a/Tagger v2/model.h5", "b-deep-er": "m/b/deep/er/model.h5"},
        ),
        (
            "[m/b/flat.v1.h5, m/a/lm/model.ckpt, m/b/none.h5]",
            {
                "b-flat-v1-h5": "m/b/flat.v1.h5",
                "lm-model-ckpt": "m/a/lm/model.ckpt",
                "b-none-h5": "m/b/none.h5",
            },
        ),
        ("[m/b/flat.v1.h5]", {"b-flat-v1-h5": "m/b/flat.v1.h5"}),
        (
            "[m/b/*.v1.h5, m/a/*/model.h5]",
            {"flat": "m/b/flat.v1.h5", "tagger-v2": "m/a/Tagger v2/model.h5"},
        ),
    ],
)
def test_which_artifacts_and_what_they_are_called(
    folder: Path, path: str, expected: dict[str, str]
) -> None:
    assert names(folder, path) == expected


def test_names_do_not_depend_on_what_else_is_there(folder: Path) -> None:
    before = names(folder, "m/b/*.h5")
    (folder / "m" / "b" / "other.h5").touch()
    assert {**before, "other": "m/b/other.h5"} == names(folder, "m/b/*.h5")


WHOLE = """
target: cpu
source: {set: {forget_bias: 0}, architecture: "m/b/architecture.json"}
evaluation: {golden: ["{folder}/golden*.npz"], factor: 4}
beam_pipeline_args: [--runner=DirectRunner]
models:
  - source: {path: m/b/flat.*.h5}
  - name: best
    source: {path: "m/b/flat.v2.h5", set: {forget_bias: 1}}
    evaluation: {factor: 6, examples: {path: "data/{stem}"}}
    target: gpu
    strict: true
  - name: text
    source: {path: "m/a/*/model.*"}
    evaluation: {golden: ["{folder}/golden.npz", m/b/golden.npz]}
"""


def test_an_entry_takes_what_it_does_not_state_from_the_top_level(folder: Path) -> None:
    migrations = read(folder, WHOLE)
    models = migrations.models
    assert migrations.name == "fleet"
    assert migrations.only is None
    assert migrations.root == folder / "runs"
    assert {*models} == {"flat-v1", "best", "text-tagger-v2-model-h5", "text-lm-model-ckpt"}
    best = models["best"]
    assert best.name == "fleet-best"
    assert best.source.path == folder / "m" / "b" / "flat.v2.h5", "that of the last entry"
    assert best.source.set == ("forget_bias=1",)
    assert best.source.architecture == folder / "m" / "b" / "architecture.json"
    assert best.evaluation.golden == (folder / "m" / "b" / "golden.npz",)
    assert best.evaluation.thresholds.factor == 6
    assert best.evaluation.examples is not None
    assert best.evaluation.examples.path == folder / "data" / "flat.v2"
    assert (best.target, best.strict) == (Target.GPU, True)
    text = models["text-lm-model-ckpt"]
    golden = [str(file.relative_to(folder)) for file in text.evaluation.golden]
    assert golden == ["m/a/lm/golden.npz", "m/b/golden.npz"]
    assert (text.target, text.strict) == (Target.CPU, False)
    assert text.source.set == ("forget_bias=0",)
    assert text.beam_pipeline_args == ("--runner=DirectRunner",)


def test_folders_of_many(folder: Path) -> None:
    output = read(folder, "source: {path: m/b/*.h5}").models["flat-v1"].output
    assert output.root == folder / "runs" / "flat-v1"
    assert output.serving == folder / "runs" / "flat-v1" / "serving"
    assert output.metadata.file == folder / "runs" / "metadata.sqlite", "one store for all"
    text = "name: fleet\noutput: {root: runs, serving: /srv, metadata: mysql://me:pw@db/a}\n"
    (folder / "config.yaml").write_text(f"{text}source: {{path: m/b/*.h5}}\n")
    output = load_migrations(folder / "config.yaml").models["flat-v1"].output
    assert output.serving == Path("/srv/flat-v1")
    assert output.metadata.text == "mysql://me:pw@db/a"


def test_a_pattern_of_recordings_for_one_model(folder: Path) -> None:
    text = "source: {path: m/a/lm/model.ckpt}\nevaluation: {golden: [m/a/lm/golden*.npz]}"
    [golden, step] = read(folder, text).models[""].evaluation.golden
    assert (golden.name, step.name) == ("golden.npz", "golden_step.npz")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("source: {path: m/*.h5}", 3, ["source.path", "m/*.h5, which matches none"]),
        ("source: {path: []}", 3, ["source.path", "a path, a pattern"]),
        ("source: {path: [{a: 1}]}", 3, ["source.path", "something else"]),
        ("models: []", 3, ["models", "nothing"]),
        ("models: {a: 1}", 3, ["models", "a list of sections"]),
        ("models: [m/a.h5]", 3, ["models", "a list of sections"]),
        ("models:\n  - target: cpu", 4, ["source.path", "nothing"]),
        ("models:\n  - source: {path: x}\n    cache: false", 5, ["cache", "top level"]),
        ("models:\n  - source: {path: x}\n    output: {}", 5, ["output", "top level"]),
        ("models:\n  - source: {path: x}\n    tagret: cpu", 5, ["tagret", "no such key"]),
        ("models:\n  - {name: A b, source: {path: x}}", 4, ["name", "pattern", "fleet-A b"]),
        (
            "source: {path: m/b/*.h5}\nevaluation: {golden: ['{folder}/recorded*.npz']}",
            4,
            ["golden.0", "there is none at", "m/b/recorded*.npz"],
        ),
        (
            "source: {path: [m/b/flat.v1.h5, n/b/flat.v1.h5]}",
            3,
            ["told apart", "n/b/flat.v1.h5 and", "b-flat-v1-h5", "`name`"],
        ),
    ],
)
def test_one_mistake_gives_one_message_with_its_line(
    folder: Path, text: str, line: int, words: list[str]
) -> None:
    with pytest.raises(UsageError) as error:
        read(folder, text)
    [problem] = error.value.problems
    assert f"config.yaml, line {line}," in str(problem), problem
    assert all(word in str(problem) for word in words), problem


def test_what_all_have_in_common_is_wrong_once(folder: Path) -> None:
    with pytest.raises(UsageError) as error:
        read(folder, "source: {path: m/b/*.h5}\ntarget: tpu\nstrict: perhaps")
    assert len(error.value.problems) == 2


def test_what_takes_one_model_refuses_many(folder: Path) -> None:
    read(folder, "source: {path: m/b/*.h5}")
    with pytest.raises(UsageError, match=r"the config of one model.*flat-v1, flat-v2"):
        load_config(folder / "config.yaml")
