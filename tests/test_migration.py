"""The whole way as a library: what is written, when, and what verify says of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_migrator import migration
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.errors import (
    ExitStatus,
    NotEquivalentError,
    UnreadableError,
    UnsupportedError,
    UsageError,
)
from rnn_migrator.keras_model import build, export
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.migration import CONVERSION_FILE, Request, convert, read_conversion, verify
from rnn_migrator.readers import array_digest, content_digest
from tests.equivalence.lab import REFUSED
from tests.legacy_lab.cases import Case

SETTLED = ("forget_bias=1", "activation=tanh", "cell_clip=none")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def request(case: Case, *settings: str, **options: Any) -> Request:
    return Request(case.source, case.architecture, settings, **options)


@pytest.fixture(scope="module")
def outputs(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of three conversions: of a checkpoint with its graph, a dump, weights of Keras."""
    folder = tmp_path_factory.mktemp("outputs")
    convert(request(cases["tf1_basic_lstm_fb2"]), folder / "graph")
    convert(request(cases["tf1_stacked_lstm_npz"], target=Target.CPU), folder / "bare")
    convert(request(cases["keras2_cudnn_lstm_weights"], target=Target.GPU), folder / "keras")
    return folder


SOURCES = {
    "graph": "tf1_basic_lstm_fb2",
    "bare": "tf1_stacked_lstm_npz",
    "keras": "keras2_cudnn_lstm_weights",
}
converted = pytest.mark.parametrize("output", SOURCES)


# What is written


@converted
def test_three_things_are_written(outputs: Path, output: str) -> None:
    assert names(outputs / output) == [CONVERSION_FILE, "model.keras", "saved_model"]


@converted
def test_the_document_says_where_it_comes_from(
    outputs: Path, cases: dict[str, Case], output: str
) -> None:
    case, document = cases[SOURCES[output]], read_conversion(outputs / output)
    source = document["source"]
    assert Path(source["path"]) == case.source
    files = [case.source.parent / name for name in source["files"]]
    assert source["sha256"] == content_digest(tuple(files))
    if case.architecture:
        assert source["architecture"] == str(case.architecture)
        assert source["architecture_sha256"] == content_digest((case.architecture,))
    assert document["versions"]["tensorflow"]
    assert document["versions"]["rnn-migrator"]


@converted
def test_every_fact_has_value_origin_and_place(outputs: Path, output: str) -> None:
    facts = read_conversion(outputs / output)["facts"]
    assert facts
    for fact in facts:
        assert set(fact) == {"layer", "name", "value", "origin", "source"}
    by_name = {(fact["layer"], fact["name"]): (fact["value"], fact["origin"]) for fact in facts}
    expected = {
        "graph": {("lstm_0", "forget_bias"): (2.0, "graph")},
        "bare": {
            ("lstm_2", "forget_bias"): (1.0, "assumed"),
            ("lstm_0", "cell_clip"): (None, "assumed"),
        },
        "keras": {("cu_dnnlstm_2", "recurrent_activation"): ("sigmoid", "class")},
    }[output]
    assert {key: by_name[key] for key in expected} == expected


def test_the_target_and_its_kernels_are_told(outputs: Path) -> None:
    documents = {output: read_conversion(outputs / output) for output in SOURCES}
    assert {output: document["target"] for output, document in documents.items()} == {
        "graph": "portable",
        "bare": "cpu",
        "keras": "gpu",
    }
    kernels = {output: document["kernels"][0] for output, document in documents.items()}
    assert kernels["graph"] == {"layer": "lstm_0", "kernel": "cuDNN or generic", "reason": ""}
    assert kernels["bare"]["reason"] == "the target is cpu"
    assert kernels["keras"]["kernel"] == "cuDNN"


@converted
def test_the_tensor_map_ends_in_the_weights_that_were_written(outputs: Path, output: str) -> None:
    import keras

    from rnn_migrator.keras_model import layers

    assert layers
    model = keras.models.load_model(outputs / output / "model.keras", compile=False)
    links = read_conversion(outputs / output)["tensors"]
    targets = {digest for link in links for digest in link["targets"].values()}
    assert targets == {array_digest(weight) for weight in model.get_weights()}


def test_what_is_returned_is_what_is_written(cases: dict[str, Case], tmp_path: Path) -> None:
    told: list[str] = []
    case = cases["keras2_gru_cudnn"]
    document = convert(
        request(case), tmp_path / "output", progress=lambda text, share=None: told.append(text)
    )
    assert json.loads(json.dumps(document)) == read_conversion(tmp_path / "output")
    assert len(told) == len(set(told)) >= 4


def test_the_source_is_left_as_it_was(cases: dict[str, Case], tmp_path: Path) -> None:
    case = cases["keras2_lstm_hard_sigmoid"]
    copy = tmp_path / "source"
    shutil.copytree(case.folder, copy)
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    convert(Request(copy / case.source.name, target=Target.CPU), tmp_path / "output")
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before


# Whole or not at all


def test_an_output_is_not_overwritten(cases: dict[str, Case], tmp_path: Path) -> None:
    case, output = cases["tf1_basic_lstm_fb1"], tmp_path / "output"
    output.mkdir()
    (output / "mine").write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        convert(request(case, target=Target.CPU), output)
    with pytest.raises(UsageError, match="did not write"):
        convert(request(case, target=Target.CPU), output, force=True)
    assert names(tmp_path) == ["output"]
    assert names(output) == ["mine"]


def test_force_replaces_the_whole_output(cases: dict[str, Case], tmp_path: Path) -> None:
    output = tmp_path / "output"
    for name in ("tf1_basic_lstm_fb1", "tf1_basic_lstm_fb0"):
        convert(request(cases[name], target=Target.CPU), output, force=True)
        (output / "left over").touch()
    (output / "left over").unlink()
    assert names(output) == [CONVERSION_FILE, "model.keras", "saved_model"]
    assert read_conversion(output)["facts"][2]["value"] == 0.0
    assert names(tmp_path) == ["output"]


@pytest.mark.parametrize("place", [".", "deeper"])
def test_a_source_is_never_replaced_by_its_output(
    cases: dict[str, Case], tmp_path: Path, place: str
) -> None:
    """It may be the only copy there is."""
    folder = tmp_path / "model"
    source = folder / place / "weights.npz"
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(cases["tf1_stacked_lstm_npz"].source, source)
    with pytest.raises(UsageError):
        convert(Request(source, target=Target.CPU), folder, force=True)
    assert source.exists()


STAGES = ["build_model", "save", "_self_check", "_document", "write_json"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [False, True])
def test_nothing_is_written_when_a_stage_fails(
    cases: dict[str, Case],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    error: type[BaseException],
    old: bool,
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        if stage == "save":
            (args[1] / "saved_model").mkdir()
            (args[1] / "saved_model" / "half").write_text("half")
        raise error(stage)

    home = {"build_model": build, "save": export}.get(stage, migration)
    monkeypatch.setattr(home, stage, fail)
    if stage not in ("build_model", "save"):
        monkeypatch.setattr(export, "save", lambda *args: None)
        monkeypatch.setattr(migration, "_self_check", fail if stage == "_self_check" else _passes)
    output = tmp_path / "output"
    if old:
        output.mkdir()
        (output / CONVERSION_FILE).write_text("old")
    with pytest.raises(error, match=stage):
        convert(request(cases["tf1_basic_lstm_fb1"]), output, force=old)
    assert names(tmp_path) == (["output"] if old else [])
    if old:
        assert (output / CONVERSION_FILE).read_text() == "old"


def _passes(*args: Any) -> None:
    del args


def test_a_wrong_conversion_is_not_handed_out(
    cases: dict[str, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours, caught on what lies on disk."""
    right = export.save

    def save_wrong(built: Any, folder: Path, examples_signature: bool) -> None:
        weights = built.keras_model.get_weights()
        built.keras_model.set_weights([weights[0], np.roll(weights[1], 1, axis=0), weights[2]])
        right(built, folder, examples_signature)

    monkeypatch.setattr(export, "save", save_wrong)
    with pytest.raises(NotEquivalentError, match="defect of the converter") as caught:
        convert(request(cases["tf1_basic_lstm_fb1"], target=Target.CPU), tmp_path / "output")
    assert caught.value.status == ExitStatus.NOT_EQUIVALENT == 1
    assert names(tmp_path) == []


# Strict


def test_strict_refuses_every_assumption_at_once(cases: dict[str, Case], tmp_path: Path) -> None:
    case = cases["tf1_stacked_lstm_npz"]
    with pytest.raises(UnsupportedError) as caught:
        convert(request(case, strict=True), tmp_path / "output")
    assert caught.value.status == ExitStatus.UNSUPPORTED
    assert {problem.where for problem in caught.value.problems} == {
        f"lstm_{index}, {name}"
        for index in range(3)
        for name in ("forget_bias", "activation", "cell_clip")
    }
    for problem in caught.value.problems:
        assert problem.received.endswith(")")
        assert problem.remedy.startswith("--set ")
    assert names(tmp_path) == []


def test_strict_is_content_with_settings_or_a_graph(cases: dict[str, Case]) -> None:
    for case, settings in (("tf1_stacked_lstm_npz", SETTLED), ("tf1_stacked_lstm", ())):
        asked = request(cases[case], *settings, strict=True)
        facts = list(migration.recognise_source(asked).model.facts())
        assert facts
        assert all(fact.confirmed for _, _, fact in facts)


# Verify


@converted
@pytest.mark.parametrize("golden", [False, True])
def test_a_conversion_is_verified(
    outputs: Path, cases: dict[str, Case], output: str, golden: bool
) -> None:
    case = cases[SOURCES[output]]
    inputs = Inputs(tuple(map(str, case.goldens.values()))) if golden else None
    found = verify(case.source, outputs / output, inputs)
    assert found.equivalent
    assert ("recorded outputs" in found.oracles) == golden
    # Nobody but a recording can vouch for what a dump of arrays leaves open.
    assert found.blessed == (golden or output != "bare")


def test_another_source_is_not_equivalent(
    outputs: Path, cases: dict[str, Case], tmp_path: Path
) -> None:
    """The same model, trained a little further."""
    with np.load(cases["tf1_stacked_lstm_npz"].source) as arrays:
        moved = {name: array * np.float32(1.01) for name, array in arrays.items()}
    np.savez(tmp_path / "weights.npz", **moved)
    told: list[str] = []
    found = verify(
        tmp_path / "weights.npz",
        outputs / "bare",
        progress=lambda text, share=None: told.append(text),
    )
    assert not found.equivalent
    assert any("not, byte for byte" in text for text in told)


def test_a_source_of_another_width_is_not_equivalent(outputs: Path, cases: dict[str, Case]) -> None:
    with pytest.raises(NotEquivalentError, match="the source that this was converted from"):
        verify(cases["tf1_basic_lstm_fb1"].source, outputs / "graph")


def test_a_strict_verification_refuses_assumptions(outputs: Path, cases: dict[str, Case]) -> None:
    with pytest.raises(UnsupportedError, match="--strict"):
        verify(cases["tf1_stacked_lstm_npz"].source, outputs / "bare", strict=True)


def test_settings_of_the_conversion_are_those_of_its_verification(
    cases: dict[str, Case], tmp_path: Path
) -> None:
    case = cases["tf1_stacked_lstm_npz"]
    convert(request(case, *SETTLED, target=Target.CPU), tmp_path / "output")
    assert verify(case.source, tmp_path / "output").blessed


def test_a_folder_of_something_else_is_no_output(cases: dict[str, Case], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=CONVERSION_FILE):
        verify(cases["tf1_basic_lstm_fb1"].source, tmp_path)


def test_an_output_that_lost_its_model_is_unreadable(
    outputs: Path, cases: dict[str, Case], tmp_path: Path
) -> None:
    shutil.copy(outputs / "bare" / CONVERSION_FILE, tmp_path)
    with pytest.raises(UnreadableError, match="saved_model"):
        verify(cases["tf1_stacked_lstm_npz"].source, tmp_path)


def test_every_lab_case_needs_no_more_than_its_settings(cases: dict[str, Case]) -> None:
    """What an artifact cannot say is in `settings`; its graph or config says the rest."""
    for case in (case for name, case in cases.items() if name not in REFUSED):
        for scope in case.scopes or [""]:
            settings = [f"{key}={value}" for key, value in case.settings.items()]
            settings += [f"scope={scope}"] if scope else []
            model = migration.recognise_source(request(case, *settings)).model
            if case.tensors or case.family.startswith("keras2"):
                assumed = [name for _, name, fact in model.facts() if not fact.confirmed]
                assert assumed == [], case.name
