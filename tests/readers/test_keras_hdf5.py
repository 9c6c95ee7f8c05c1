from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from rnn_migrator.errors import UnreadableError, UsageError
from rnn_migrator.readers import open_artifact
from rnn_migrator.readers.keras_hdf5 import MAX_DATASET_BYTES, read_architecture
from tests.legacy_lab.cases import Case

CONFIG = {"class_name": "Sequential", "config": []}
KERNEL = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
NAME = "lstm_1/lstm_1/kernel:0"


def write(file: Path, whole: bool = False) -> Path:
    """A file as Keras 2 writes it, of one layer with one weight."""
    with h5py.File(file, "w") as root:
        group = root.create_group("model_weights") if whole else root
        group.attrs["layer_names"] = [b"input_1", b"lstm_1"]
        group.attrs["keras_version"] = b"2.2.5"
        group.attrs["backend"] = b"tensorflow"
        group.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        layer = group.create_group("lstm_1")
        layer.attrs["weight_names"] = [b"lstm_1/kernel:0"]
        layer.create_dataset("lstm_1/kernel:0", data=KERNEL)
        if whole:
            root.attrs["keras_version"] = b"2.2.5"
            root.attrs["backend"] = b"tensorflow"
            root.attrs["model_config"] = json.dumps(CONFIG).encode()
            root.create_group("optimizer_weights").create_dataset("m", data=KERNEL)
    return file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write(tmp_path / "weights.h5")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model.h5", whole=True)


def read_all(file: Path) -> dict[str, Any]:
    artifact = open_artifact(file)
    return {name: artifact.read(name) for name in artifact.tensors}


def refusal(file: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_all(file)
    [problem] = caught.value.problems
    assert problem.where.startswith(str(file))
    assert all([problem.expected, problem.received, problem.remedy])
    return problem.received


def test_reads_weights(weights: Path) -> None:
    artifact = open_artifact(weights)
    assert artifact.format == "Keras HDF5 file"
    assert artifact.layers == {"input_1": (), "lstm_1": (NAME,)}
    assert artifact.tensors[NAME].shape == (3, 8)
    assert artifact.tensors[NAME].dtype == "float32"
    assert artifact.model_config is None
    assert artifact.writer == "Keras 2.2.5 (tensorflow)"
    np.testing.assert_array_equal(artifact.read(NAME), KERNEL)


def test_reads_a_whole_model(model: Path) -> None:
    artifact = open_artifact(model)
    assert artifact.model_config == CONFIG
    assert list(artifact.tensors) == [f"model_weights/{NAME}"]
    np.testing.assert_array_equal(artifact.read(f"model_weights/{NAME}"), KERNEL)


def test_the_content_tells_the_format(weights: Path) -> None:
    renamed = weights.rename(weights.with_suffix(".weights"))
    assert open_artifact(renamed).format == "Keras HDF5 file"


def test_the_lab_files_hold_what_their_case_says_but_slots(cases: dict[str, Case]) -> None:
    keras = [case for case in cases.values() if case.family.startswith("keras2")]
    assert keras
    for case in keras:
        artifact = open_artifact(case.source, case.architecture)
        shapes = {name: spec.shape for name, spec in artifact.tensors.items()}
        wanted = {n: s for n, s in case.variables.items() if not n.startswith("optimizer_")}
        assert shapes == wanted
        assert artifact.writer == "Keras 2.2.5 (tensorflow)"
        assert artifact.model_config is not None


def test_opening_reads_no_dataset(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    def fail(*args: Any) -> None:
        raise AssertionError("a dataset was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", fail)
    assert open_artifact(model).tensors


def test_no_version_is_no_error(weights: Path) -> None:
    with h5py.File(weights, "a") as file:
        del file.attrs["keras_version"], file.attrs["backend"]
    assert open_artifact(weights).writer == ""


def test_a_version_of_the_weights_alone_will_do(model: Path) -> None:
    with h5py.File(model, "a") as file:
        del file.attrs["keras_version"], file.attrs["backend"]
    assert open_artifact(model).writer == "Keras 2.2.5 (tensorflow)"


def test_long_lists_of_names_come_in_chunks(weights: Path) -> None:
    """HDF5 keeps no attribute above 64 KiB, so Keras splits a long one."""
    with h5py.File(weights, "a") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = [b"input_1"]
        file.attrs["layer_names1"] = [b"lstm_1"]
        file.attrs["layer_names3"] = [b"after a gap"]
    assert list(open_artifact(weights).layers) == ["input_1", "lstm_1"]


def test_names_may_be_texts(weights: Path) -> None:
    with h5py.File(weights, "a") as file:
        file.attrs["layer_names"] = ["lstm_1"]
        file["lstm_1"].attrs["weight_names"] = ["lstm_1/kernel:0"]
    assert list(read_all(weights)) == [NAME]


@pytest.mark.parametrize("keep", [8, 40, 100, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_cut_short(cases: dict[str, Case], tmp_path: Path, keep: float) -> None:
    source = cases["keras2_cudnn_lstm"].source.read_bytes()
    file = tmp_path / "model.h5"
    file.write_bytes(source[: keep if isinstance(keep, int) else int(keep * len(source))])
    assert refusal(file)


def test_no_damage_raises_another_error(weights: Path) -> None:
    content, rng = weights.read_bytes(), np.random.default_rng(6)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(8, len(content), size=4):
            damaged[place] = rng.integers(256)
        weights.write_bytes(damaged)
        with contextlib.suppress(UnreadableError):
            read_all(weights)


def replace_kernel(file: Path, make: Any) -> None:
    with h5py.File(file, "a") as root:
        del root[NAME]
        make(root, NAME)


def test_an_external_link_is_not_followed(weights: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.h5")
    link = h5py.ExternalLink("other.h5", NAME)
    replace_kernel(weights, lambda root, name: root.__setitem__(name, link))
    with h5py.File(weights) as file:
        assert file[NAME].shape == KERNEL.shape  # the link works
    assert "a link" in refusal(weights)


@pytest.mark.parametrize("place", ["lstm_1", "model_weights"])
def test_a_group_elsewhere_is_not_entered(model: Path, tmp_path: Path, place: str) -> None:
    write(tmp_path / "other.h5", whole=True)
    path = {"lstm_1": "model_weights/lstm_1", "model_weights": "model_weights"}[place]
    with h5py.File(model, "a") as file:
        del file[path]
        file[path] = h5py.ExternalLink("other.h5", path)
    assert f"{place!r} is missing or a link" in refusal(model)


def test_an_external_file_is_not_even_opened(weights: Path, tmp_path: Path) -> None:
    """Opening a pipe would hang for good."""
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(weights, "a") as file:
        del file["lstm_1"]
        file["lstm_1"] = h5py.ExternalLink("pipe", "/")
        file["model_weights"] = h5py.ExternalLink("pipe", "/")
    assert refusal(weights)


def test_a_soft_link_is_refused(weights: Path) -> None:
    def make(root: Any, name: str) -> None:
        root.create_dataset("elsewhere", data=KERNEL)
        root[name] = h5py.SoftLink("/elsewhere")

    replace_kernel(weights, make)
    assert "a link" in refusal(weights)


def test_a_virtual_dataset_is_refused(weights: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.h5")
    layout = h5py.VirtualLayout(KERNEL.shape, "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", NAME, KERNEL.shape)
    replace_kernel(weights, lambda root, name: root.create_virtual_dataset(name, layout))
    assert "not a plain dataset" in refusal(weights)


def test_a_dataset_in_another_file_is_refused(weights: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(KERNEL.tobytes())

    def make(root: Any, name: str) -> None:
        outside = [(str(secret), 0, KERNEL.nbytes)]
        root.create_dataset(name, KERNEL.shape, "f4", external=outside)

    replace_kernel(weights, make)
    assert "not a plain dataset" in refusal(weights)


def test_a_dataset_that_claims_too_much_is_refused(weights: Path) -> None:
    shape = (MAX_DATASET_BYTES // 4 + 1,)
    replace_kernel(weights, lambda root, name: root.create_dataset(name, shape, "f4", chunks=True))
    assert "too large" in refusal(weights)


@pytest.mark.parametrize("content", ["a text", np.array(["a", "b"], "S1"), h5py.Empty("f4")])
def test_a_dataset_of_no_numbers_is_refused(weights: Path, content: Any) -> None:
    replace_kernel(weights, lambda root, name: root.create_dataset(name, data=content))
    assert refusal(weights)


def test_a_group_for_a_dataset_is_refused(weights: Path) -> None:
    replace_kernel(weights, lambda root, name: root.create_group(name))
    assert "not a plain dataset" in refusal(weights)


@pytest.mark.parametrize("attribute", ["layer_names", "weight_names"])
@pytest.mark.parametrize("names", [[b"missing"], [b""], [b"\xff\xfe"], 3, [1.5], h5py.Empty("S1")])
def test_names_of_nothing_are_refused(weights: Path, attribute: str, names: Any) -> None:
    with h5py.File(weights, "a") as file:
        holder = file if attribute == "layer_names" else file["lstm_1"]
        holder.attrs[attribute] = names
    assert refusal(weights)


def test_nan_is_no_weight(weights: Path) -> None:
    broken = KERNEL.copy()
    broken[0, 0] = np.nan
    replace_kernel(weights, lambda root, name: root.create_dataset(name, data=broken))
    assert "1 NaN" in refusal(weights)


@pytest.mark.parametrize(
    "config",
    [
        b"not JSON",
        b"{'class_name': 'Sequential'}",
        b"[]",
        b"3",
        b'"3"',
        b"\xff\xfe",
        b"[" * 60_000,
        np.arange(3),
    ],
    ids=lambda config: repr(config)[:12],
)
def test_junk_for_a_config_is_refused(model: Path, config: Any) -> None:
    with h5py.File(model, "a") as file:
        file.attrs["model_config"] = config
    assert refusal(model)


def test_a_config_that_was_quoted_twice(model: Path) -> None:
    with h5py.File(model, "a") as file:
        file.attrs["model_config"] = json.dumps(json.dumps(CONFIG))
    assert open_artifact(model).model_config == CONFIG


# Architecture files


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


def test_an_architecture_goes_before_the_config_of_the_file(model: Path, tmp_path: Path) -> None:
    other = {**CONFIG, "config": [{"class_name": "Masking", "config": {}}]}
    file = architecture(tmp_path, json.dumps(other))
    assert open_artifact(model, file).model_config == other


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


def test_an_architecture_that_is_not_there(weights: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(UsageError, match="--architecture"):
            open_artifact(weights, path)


def test_weights_under_another_name_are_the_same_artifact(model: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy = shutil.copy(model, tmp_path / "copy")
    assert open_artifact(copy).digest == open_artifact(model).digest
