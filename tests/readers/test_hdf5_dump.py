"""HDF5 files of arrays that no Keras wrote."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rnn_migrator.errors import MigrationError, UnreadableError, UnsupportedError, UsageError
from rnn_migrator.readers import hdf5_dump, open_artifact
from rnn_migrator.readers.hdf5 import MAX_DATASET_BYTES

SCOPE = "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"
KERNEL = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
BIAS = np.random.default_rng(1).normal(size=12).astype(np.float32)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        file[f"{SCOPE}/W_0"] = KERNEL
        file[f"{SCOPE}/B"] = BIAS
        file["char_embed"] = KERNEL.astype(np.float64)
    return tmp_path / "weights.hdf5"


def read_all(file: Path) -> dict[str, Any]:
    artifact = open_artifact(file)
    return {name: artifact.read(name) for name in artifact.tensors}


def refusal(file: Path, kind: type[MigrationError] = UnreadableError) -> str:
    with pytest.raises(kind) as caught:
        read_all(file)
    [problem] = caught.value.problems
    assert problem.where == str(file)
    return problem.received


def test_paths_are_names_of_variables(dump: Path) -> None:
    artifact = open_artifact(dump)
    assert artifact.format == "HDF5 array dump"
    assert list(artifact.tensors) == [f"{SCOPE}/B", f"{SCOPE}/W_0", "char_embed"]
    assert artifact.tensors[f"{SCOPE}/W_0"].shape == (5, 12)
    assert artifact.tensors["char_embed"].dtype == "float64"
    assert artifact.layers == {}
    assert artifact.model_config is None
    assert artifact.keras_version == artifact.backend == artifact.writer == ""
    np.testing.assert_array_equal(artifact.read(f"{SCOPE}/W_0"), KERNEL)
    np.testing.assert_array_equal(artifact.read(f"{SCOPE}/B"), BIAS)


def test_a_dump_that_people_left_behind(zoo: Path) -> None:
    artifact = open_artifact(zoo / "bilm_elmo" / "lm_weights.hdf5")
    assert artifact.format == "HDF5 array dump"
    cells = "RNN_{}/RNN/MultiRNNCell/Cell{}/LSTMCell/{}"
    expected = {cells.format(d, c, n) for d in "01" for c in "01" for n in ("B", "W_0", "W_P_0")}
    assert expected <= set(artifact.tensors)
    assert len(artifact.tensors) == 33
    for name in artifact.tensors:
        assert artifact.read(name).shape == artifact.tensors[name].shape


@pytest.mark.parametrize(
    ("stored", "name"), [("a/kernel:0", "a/kernel"), ("a.kernel", "a/kernel"), ("a__b", "a/b")]
)
def test_names_as_other_dumps_spell_them(tmp_path: Path, stored: str, name: str) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file[stored] = KERNEL
    artifact = open_artifact(tmp_path / "weights.h5")
    assert list(artifact.tensors) == [name]
    np.testing.assert_array_equal(artifact.read(name), KERNEL)


def test_a_name_that_is_spelt_twice(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["a/kernel"] = file["a.kernel"] = KERNEL
    assert refusal(tmp_path / "weights.h5", UnsupportedError) == "a.kernel, a/kernel"


def test_an_architecture_goes_with_no_dump(dump: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave the option out"):
        open_artifact(dump, tmp_path / "model.json")


def test_texts_and_records_are_left_alone(dump: Path) -> None:
    with h5py.File(dump, "a") as file:
        file["vocabulary"] = [b"a", b"b"]
        file["records"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
        file["type"] = np.dtype("f4")
        file["nothing"] = h5py.Empty(h5py.string_dtype())
    assert len(open_artifact(dump).tensors) == 3


def test_soft_and_external_links_are_left_alone(dump: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["secret"] = KERNEL
    with h5py.File(dump, "a") as file:
        file["soft"] = h5py.SoftLink(f"/{SCOPE}/B")
        file["external"] = h5py.ExternalLink("other.hdf5", "secret")
        file["broken"] = h5py.SoftLink("/nowhere")
    assert len(open_artifact(dump).tensors) == 3


def test_groups_in_a_circle_are_entered_once(dump: Path) -> None:
    with h5py.File(dump, "a") as file:
        file["RNN_0/RNN/back"] = file["RNN_0"]
        file["again"] = file["/"]
    assert len(open_artifact(dump).tensors) == 3


def test_storage_elsewhere_is_refused(dump: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(KERNEL.tobytes())
    with h5py.File(dump, "a") as file:
        file.create_dataset("bait", KERNEL.shape, "f4", external=[(str(secret), 0, KERNEL.nbytes)])
    assert "not a plain dataset" in refusal(dump)


def test_a_virtual_dataset_is_refused(dump: Path) -> None:
    layout = h5py.VirtualLayout(KERNEL.shape, "f4")
    layout[:] = h5py.VirtualSource("other.hdf5", "secret", KERNEL.shape)
    with h5py.File(dump, "a") as file:
        file.create_virtual_dataset("bait", layout)
    assert "not a plain dataset" in refusal(dump)


def test_a_dataset_that_claims_too_much_is_refused(dump: Path) -> None:
    with h5py.File(dump, "a") as file:
        file.create_dataset("bait", (MAX_DATASET_BYTES // 4 + 1,), "f4", chunks=True)
    assert "too large" in refusal(dump)


def test_too_many_objects_are_refused(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_dump, "MOST_OBJECTS", 3)
    assert "more than 3 objects" in refusal(dump)


@pytest.mark.parametrize("content", [None, [b"a text"]])
def test_a_file_without_arrays(tmp_path: Path, content: Any) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        if content:
            file["text"] = content
    held = "text" if content else "nothing"
    assert held in refusal(tmp_path / "weights.h5", UnsupportedError)


def test_weights_of_keras_3_need_no_migration(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file["layers/lstm/cell/vars/0"] = KERNEL
        file["layers/lstm/cell/vars/1"] = KERNEL
    assert "Keras 3" in refusal(tmp_path / "model.weights.h5", UnsupportedError)


@pytest.mark.parametrize("mark", ["layer_names", "layer_names0", "nb_layers", "model_config"])
def test_what_keras_wrote_is_no_dump(dump: Path, mark: str) -> None:
    """However little of it is left: it is for the reader of Keras files to say what is wrong."""
    with h5py.File(dump, "a") as file:
        file.attrs[mark] = b"{}"
    with contextlib.suppress(UnreadableError):
        assert open_artifact(dump).format == "Keras HDF5 file"


@pytest.mark.parametrize("keep", [9, 100, 0.3, 0.6, 0.95])
def test_cut_short(dump: Path, keep: float) -> None:
    content = dump.read_bytes()
    dump.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    assert refusal(dump)


def test_no_damage_raises_another_error(dump: Path) -> None:
    content, chance = dump.read_bytes(), np.random.default_rng(6)
    for _ in range(150):
        damaged = bytearray(content)
        for place in chance.integers(8, len(content), size=4):
            damaged[place] = chance.integers(256)
        dump.write_bytes(damaged)
        with contextlib.suppress(MigrationError):
            read_all(dump)
