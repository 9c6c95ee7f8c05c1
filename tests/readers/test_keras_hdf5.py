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

from rnn_migrator.errors import UnreadableError, UsageError
from rnn_migrator.readers import open_artifact
from rnn_migrator.readers.hdf5 import MAX_DATASET_BYTES
from tests.legacy_lab.cases import Case
from tests.readers.keras_models import SavedKeras
from tests.readers.test_object_graph import check

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
    keras = [case for case in cases.values() if case.family.startswith("keras")]
    assert keras
    for case in keras:
        artifact = open_artifact(case.source, case.architecture)
        shapes = {name: spec.shape for name, spec in artifact.tensors.items()}
        wanted = {n: s for n, s in case.variables.items() if not n.startswith("optimizer_")}
        assert shapes == wanted
        held = [name for names in artifact.layers.values() for name in names]
        assert sorted(held) == sorted(wanted)
        assert artifact.keras_version == case.writer["version"]
        assert artifact.backend == ("theano" if "theano" in case.name else "tensorflow")
        assert artifact.model_config is not None


def test_nested_models_of_the_lab_are_taken_apart(cases: dict[str, Case]) -> None:
    """In its group the weights of a frozen layer, or a layer's statistics, come last."""
    case = cases["keras2_nested"]
    layers = open_artifact(case.source, case.architecture).layers
    parts = [name.rsplit("/", 1)[-1] for name in layers["inner/inner_norm"]]
    assert parts == ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"]
    for name, tensors in layers.items():
        assert all(name.rsplit("/", 1)[-1] in tensor for tensor in tensors)


def test_opening_reads_no_dataset(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    def fail(*args: Any) -> None:
        raise AssertionError("a dataset was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", fail)
    assert open_artifact(model).tensors


def test_no_version_is_no_error(weights: Path) -> None:
    with h5py.File(weights, "a") as file:
        del file.attrs["keras_version"], file.attrs["backend"]
    artifact = open_artifact(weights)
    assert artifact.writer == artifact.keras_version == ""
    assert artifact.backend == "tensorflow"  # the names end in :0


def test_a_version_of_the_weights_alone_will_do(model: Path) -> None:
    with h5py.File(model, "a") as file:
        del file.attrs["keras_version"], file.attrs["backend"]
    artifact = open_artifact(model)
    assert artifact.writer == "Keras 2.2.5 (tensorflow)"
    assert (artifact.keras_version, artifact.backend) == ("2.2.5", "tensorflow")


def test_the_version_of_the_root_goes_first(model: Path) -> None:
    with h5py.File(model, "a") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"1.2.2", b"theano"
    artifact = open_artifact(model)
    assert (artifact.keras_version, artifact.backend) == ("1.2.2", "theano")


def named(file: Path, layer: str, names: list[str], **attributes: bytes) -> Path:
    """A weights file of one layer, its arrays numbered from 0."""
    with h5py.File(file, "w") as root:
        root.attrs["layer_names"] = [layer.encode()]
        root.attrs.update(attributes)
        group = root.create_group(layer)
        group.attrs["weight_names"] = [name.encode() for name in names]
        for index, name in enumerate(names):
            group.create_dataset(name, data=np.full((2, 2), index, np.float32))
    return file


@pytest.mark.parametrize(
    ("names", "version", "backend"),
    [
        (["lstm_1_W_i:0", "lstm_1_U_i:0"], "1", "tensorflow"),
        (["lstm_1_W_i", "lstm_1_U_i"], "1", "theano"),
        (["lstm_1/kernel:0", "lstm_1/bias:0"], "", "tensorflow"),
        (["lstm_1/kernel", "lstm_1/bias"], "", ""),
        (["param_0", "param_1"], "0", ""),
    ],
)
def test_names_tell_what_a_file_does_not_say(
    tmp_path: Path, names: list[str], version: str, backend: str
) -> None:
    """Keras 1 stated no release in weights files, and no backend anywhere."""
    artifact = open_artifact(named(tmp_path / "weights.h5", "lstm_1", names))
    assert (artifact.keras_version, artifact.backend) == (version, backend)
    assert list(artifact.layers["lstm_1"]) == [f"lstm_1/{name}" for name in names]


@pytest.mark.parametrize("backend", [b"theano", b"cntk", b"tensorflow"])
def test_the_backend_as_it_is_stated(tmp_path: Path, backend: bytes) -> None:
    file = named(
        tmp_path / "weights.h5", "l", ["l/kernel"], keras_version=b"2.0.8", backend=backend
    )
    artifact = open_artifact(file)
    assert (artifact.keras_version, artifact.backend) == ("2.0.8", backend.decode())


def test_an_architecture_tells_release_and_backend_too(tmp_path: Path) -> None:
    file = named(tmp_path / "weights.h5", "lstm_1", ["lstm_1_W_i", "lstm_1_U_i"])
    stated = {**CONFIG, "keras_version": "1.2.2", "backend": "tensorflow"}
    (tmp_path / "model.json").write_text(json.dumps(stated))
    artifact = open_artifact(file, tmp_path / "model.json")
    assert (artifact.keras_version, artifact.backend) == ("1.2.2", "theano")
    (tmp_path / "model.json").write_text(json.dumps({**stated, "keras_version": "2.0.8"}))
    assert open_artifact(file, tmp_path / "model.json").keras_version == "1"


@pytest.mark.parametrize(
    ("file", "version", "backend"),
    [
        ("stockpred/lstm.h5", "1.2.1", "tensorflow"),
        ("dl4j_k1_tf/simple_lstm_tf_keras_1_weights.h5", "1", "tensorflow"),
        ("dl4j_k2_lstm_th/lstm_th_keras_2_weights.h5", "2.0.8", "theano"),
        ("turbofan/lstm.h5", "2.2.4-tf", "tensorflow"),
    ],
)
def test_what_people_left_behind(zoo: Path, file: str, version: str, backend: str) -> None:
    artifact = open_artifact(zoo / file)
    assert (artifact.keras_version, artifact.backend) == (version, backend)
    assert any(artifact.layers.values())


def numbered(file: Path, counts: list[int]) -> Path:
    """A weights file as Keras before 1.0 wrote it: layers and arrays by number."""
    with h5py.File(file, "w") as root:
        root.attrs["nb_layers"] = len(counts)
        for index, count in enumerate(counts):
            group = root.create_group(f"layer_{index}")
            group.attrs["nb_params"] = count
            for param in range(count):
                group.create_dataset(f"param_{param}", data=np.full((2, 2), param, np.float32))
    return file


def test_layers_by_number(tmp_path: Path) -> None:
    artifact = open_artifact(numbered(tmp_path / "weights.h5", [12, 0, 2]))
    assert {name: len(names) for name, names in artifact.layers.items()} == {
        "layer_0": 12,
        "layer_1": 0,
        "layer_2": 2,
    }
    assert artifact.layers["layer_0"][11] == "layer_0/param_11"
    assert artifact.keras_version == "0"
    np.testing.assert_array_equal(artifact.read("layer_0/param_11"), np.full((2, 2), 11))


@pytest.mark.parametrize("names", [["a", "b", "c"], ["a", "b"]])
def test_numbers_become_the_names_of_an_architecture(tmp_path: Path, names: list[str]) -> None:
    listed = [{"class_name": "Dense", "config": {"name": name}} for name in names]
    (tmp_path / "model.json").write_text(json.dumps({**CONFIG, "config": listed}))
    file = numbered(tmp_path / "weights.h5", [3, 0, 2])
    layers = open_artifact(file, tmp_path / "model.json").layers
    assert list(layers) == (names if len(names) == 3 else ["layer_0", "layer_1", "layer_2"])


@pytest.mark.parametrize("attribute", ["nb_layers", "nb_params"])
@pytest.mark.parametrize("count", [-1, 10**9, b"many", [1, 2], 4])
def test_numbers_of_nothing_are_refused(tmp_path: Path, attribute: str, count: Any) -> None:
    file = numbered(tmp_path / "weights.h5", [2, 0])
    with h5py.File(file, "a") as root:
        (root if attribute == "nb_layers" else root["layer_0"]).attrs[attribute] = count
    assert refusal(file)


def test_long_lists_of_names_come_in_chunks(weights: Path) -> None:
    """HDF5 keeps no attribute above 64 KiB, so Keras splits a long one."""
    with h5py.File(weights, "a") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = [b"input_1"]
        file.attrs["layer_names1"] = [b"lstm_1"]
        file.attrs["layer_names3"] = [b"after a gap"]
    assert list(open_artifact(weights).layers) == ["input_1", "lstm_1"]


def test_long_lists_of_weights_come_in_chunks_too(weights: Path) -> None:
    with h5py.File(weights, "a") as file:
        layer = file["lstm_1"]
        del layer.attrs["weight_names"]
        layer.create_dataset("lstm_1/bias:0", data=KERNEL[0])
        layer.attrs["weight_names0"] = [b"lstm_1/kernel:0"]
        layer.attrs["weight_names1"] = [b"lstm_1/bias:0"]
    assert open_artifact(weights).layers["lstm_1"] == (NAME, "lstm_1/lstm_1/bias:0")


def test_optimizer_and_training_do_not_matter(model: Path, tmp_path: Path) -> None:
    """Custom losses and metrics, damaged slots and links stand where nobody looks."""
    with h5py.File(model, "a") as file:
        file.attrs["training_config"] = b'{"loss": "my_loss", "metrics": [\xff'
        slots = file["optimizer_weights"]
        slots.attrs["weight_names"] = [b"missing"]
        slots["elsewhere"] = h5py.ExternalLink("nowhere.h5", "/")
        file.create_group("model_weights/top_level_model_weights").attrs["weight_names"] = 3
    artifact = open_artifact(model)
    assert list(artifact.tensors) == [f"model_weights/{NAME}"]
    np.testing.assert_array_equal(artifact.read(f"model_weights/{NAME}"), KERNEL)


# Nested models


def nested(*leaves: str, wrapped: str = "") -> dict[str, Any]:
    """A config with a model `inner` in it, and an LSTM beside."""
    inner = {
        "class_name": "Model",
        "config": {"name": "inner", "layers": [stated(name) for name in leaves]},
        "name": "inner",
    }
    if wrapped:
        layer = {"class_name": inner["class_name"], "config": inner["config"]}
        inner = {"class_name": "TimeDistributed", "config": {"name": wrapped, "layer": layer}}
    return {"class_name": "Model", "config": {"layers": [inner, stated("after")]}}


def stated(name: str) -> dict[str, Any]:
    """A layer of a config; `outer(inner)` is a Bidirectional."""
    outer, _, inner = name.removesuffix(")").partition("(")
    config: dict[str, Any] = {"name": outer}
    if inner:
        config["layer"] = {"class_name": "LSTM", "config": {"name": inner}}
    return {"class_name": "Bidirectional" if inner else "LSTM", "config": config, "name": outer}


def opened(folder: Path, names: list[str], config: dict[str, Any], outer: str = "inner") -> Any:
    (folder / "model.json").write_text(json.dumps(config))
    return open_artifact(named(folder / "weights.h5", outer, names), folder / "model.json")


@pytest.mark.parametrize(
    ("leaves", "names"),
    [
        (["a", "b"], {"a": ["a/kernel:0", "a/bias:0"], "b": ["b/kernel:0"]}),
        (["a", "b"], {"a": ["a/lstm_cell/kernel:0"], "b": ["b/lstm_cell_1/kernel:0"]}),
        (["a", "b"], {"a": ["inner/a/kernel:0"], "b": ["inner/b/kernel:0"]}),
        (["a", "a_1"], {"a": ["a_W_i:0", "a_U_i:0"], "a_1": ["a_1_W_i:0"]}),
        (["a", "a_1"], {"a": ["a_W_i", "a_U_i"], "a_1": ["a_1_W_i"]}),
        (["a", "rnn(a_1)"], {"a": ["a_W"], "rnn": ["forward_a_1_W", "backward_a_1_W"]}),
        (["a", "rnn(a_1)"], {"a": ["a_2/kernel"], "rnn": ["rnn/forward_a_1/kernel"]}),
        (["a", "b", "c"], {"a": ["a/kernel:0"], "b": [], "c": ["c/kernel:0"]}),
    ],
)
def test_a_nested_model_is_taken_apart(
    tmp_path: Path, leaves: list[str], names: dict[str, list[str]]
) -> None:
    """Whatever is frozen comes last in such a group, so that the order tells nothing."""
    mixed = [name for weights in reversed(list(names.values())) for name in weights]
    artifact = opened(tmp_path, mixed, nested(*leaves))
    assert artifact.layers == {
        f"inner/{leaf}": tuple(f"inner/{name}" for name in weights)
        for leaf, weights in names.items()
    }


def test_a_model_in_a_wrapper_is_taken_apart(tmp_path: Path) -> None:
    config = nested("a", "b", wrapped="steps")
    artifact = opened(tmp_path, ["b/kernel:0", "a/kernel:0"], config, outer="steps")
    assert artifact.layers == {"steps/a": ("steps/a/kernel:0",), "steps/b": ("steps/b/kernel:0",)}


def test_models_in_models_are_taken_apart(tmp_path: Path) -> None:
    config = nested("a")
    config["config"]["layers"][0]["config"]["layers"].append(nested("b")["config"]["layers"][0])
    artifact = opened(tmp_path, ["b/kernel:0", "a/kernel:0"], config)
    assert artifact.layers == {
        "inner/a": ("inner/a/kernel:0",),
        "inner/inner/b": ("inner/b/kernel:0",),
    }


@pytest.mark.parametrize("names", [["a/kernel:0", "other/kernel:0"], ["kernel:0"], ["param_0"]])
def test_names_that_do_not_tell_leave_it_whole(tmp_path: Path, names: list[str]) -> None:
    artifact = opened(tmp_path, names, nested("a", "b"))
    assert artifact.layers == {"inner": tuple(f"inner/{name}" for name in names)}


def test_two_inner_layers_of_one_name_leave_it_whole(tmp_path: Path) -> None:
    config = nested("a")
    config["config"]["layers"][0]["config"]["layers"].append(nested("a")["config"]["layers"][0])
    assert list(opened(tmp_path, ["a/kernel:0"], config).layers) == ["inner"]


def test_without_a_config_a_nested_model_is_one_layer(tmp_path: Path) -> None:
    file = named(tmp_path / "weights.h5", "inner", ["a/kernel:0", "b/kernel:0"])
    artifact = open_artifact(file)
    assert artifact.layers == {"inner": ("inner/a/kernel:0", "inner/b/kernel:0")}
    config = nested("a", "b")
    assert list(artifact.with_config(config).layers) == ["inner/a", "inner/b"]


@pytest.mark.parametrize("name", ["model.h5", "weights.h5"])
def test_a_nested_model_that_keras_saved(saved: SavedKeras, name: str) -> None:
    check(open_artifact(saved.folder / name, saved.architecture), saved)


def test_wrappers_in_wrappers_end(tmp_path: Path) -> None:
    """A deep config is malformed, or at least no matter of time."""
    layer = stated("a")
    for depth in range(60):
        layer = {"class_name": "Bidirectional", "config": {"name": f"w{depth}", "layer": layer}}
    config = {"class_name": "Model", "config": {"layers": [layer]}}
    assert opened(tmp_path, ["a/kernel:0"], config, outer="w59").layers


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


def test_weights_under_another_name_are_the_same_artifact(model: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy = shutil.copy(model, tmp_path / "copy")
    assert open_artifact(copy).digest == open_artifact(model).digest


def test_an_architecture_goes_before_the_config_of_the_file(model: Path, tmp_path: Path) -> None:
    other = {**CONFIG, "config": [{"class_name": "Masking", "config": {}}]}
    file = tmp_path / "model.json"
    file.write_text(json.dumps(other))
    assert open_artifact(model, file).model_config == other


def test_an_architecture_that_is_not_there(weights: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(UsageError, match="--architecture"):
            open_artifact(weights, path)
