from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.errors import (
    ExitStatus,
    UnreadableError,
    UnsupportedError,
    UsageError,
)
from rnn_migrator.readers import LegacyArtifact, open_artifact
from rnn_migrator.recognition.recognise import recognise
from rnn_migrator.recognition.settings import parse_settings
from tests.legacy_lab.cases import Case

Arrays = dict[str, Any]
KERNEL, BIAS = "rnn/lstm_cell/kernel", "rnn/lstm_cell/bias"


def variables(seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        KERNEL: rng.normal(size=(8, 20)).astype(np.float32),
        BIAS: rng.normal(size=20).astype(np.float32),
        f"{KERNEL}/Adam": rng.normal(size=(8, 20)).astype(np.float32),
        "global_step": np.array(7, np.int64),
    }


def save(prefix: Path, arrays: Arrays | None = None) -> Path:
    """A checkpoint as `tf.train.Saver` writes it: index and one shard."""
    arrays = variables() if arrays is None else arrays
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )
    return prefix


def save_shards(prefix: Path) -> Path:
    """The same in three shards."""
    parts = [f"{prefix}_temp/part-{index}" for index in range(3)]
    for part, (name, array) in zip(parts, variables().items(), strict=False):
        save(Path(part), {name: array})
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(prefix), delete_old_dirs=True
    )
    return prefix


def save_v1(file: Path) -> Path:
    arrays = variables()
    tf.raw_ops.Save(
        filename=str(file),
        tensor_names=list(arrays),
        data=[tf.constant(array) for array in arrays.values()],
    )
    return file


def read_all(artifact: LegacyArtifact) -> Arrays:
    return {name: artifact.read(name) for name in artifact.tensors}


def index_of(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".index")


def data_of(prefix: Path, shard: int = 0, shards: int = 1) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}")


def cut(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])


def refusal(path: Path) -> str:
    """What a reader says about a checkpoint that it cannot read, sooner or later."""
    with pytest.raises(UnreadableError) as caught:
        read_all(open_artifact(path))
    assert caught.value.status == ExitStatus.UNREADABLE == 4
    [problem] = caught.value.problems
    assert all([problem.where, problem.expected, problem.received, problem.remedy])
    return str(problem)


@pytest.mark.parametrize("write", [save, save_shards, save_v1])
def test_reads_every_variable(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    artifact = open_artifact(write(tmp_path / "model.ckpt-12"))
    assert artifact.format == "TensorFlow checkpoint"
    for name, array in variables().items():
        if name in artifact.tensors:
            np.testing.assert_array_equal(artifact.read(name), array)
            assert artifact.tensors[name].shape == array.shape
            assert artifact.tensors[name].dtype == array.dtype.name
    assert {KERNEL, BIAS} <= set(artifact.tensors)


def test_any_name_of_the_checkpoint_will_do(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt")
    for path in (prefix, index_of(prefix), data_of(prefix), tmp_path):
        artifact = open_artifact(path)
        assert artifact.path == prefix
        assert artifact.files == (data_of(prefix), index_of(prefix))


def test_a_text_will_do_for_a_path(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt")
    assert open_artifact(str(prefix)).path == prefix


@pytest.mark.parametrize(
    "named",
    [
        "model.ckpt-2",
        "/home/alice/of the old machine/train/model.ckpt-2",
        r"C:\\Users\\alice\\train\\model.ckpt-2",
        "./train/model.ckpt-2",
    ],
)
def test_the_folder_says_which_checkpoint(tmp_path: Path, named: str) -> None:
    """The path in `checkpoint` is often absolute and of a machine that is long gone."""
    save(tmp_path / "model.ckpt-1", {KERNEL: np.zeros((8, 20), np.float32)})
    prefix = save(tmp_path / "model.ckpt-2")
    (tmp_path / "checkpoint").write_text(
        f'model_checkpoint_path: "{named}"\nall_model_checkpoint_paths: "model.ckpt-1"\n'
    )
    assert open_artifact(tmp_path).path == prefix


def test_a_folder_with_several_checkpoints_and_no_word_on_them(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path / f"model.ckpt-{step}")
    with pytest.raises(UnsupportedError, match=r"model\.ckpt-1, model\.ckpt-2") as caught:
        open_artifact(tmp_path)
    assert "name the prefix" in caught.value.problems[0].remedy


def test_a_folder_that_names_what_it_does_not_hold(tmp_path: Path) -> None:
    save(tmp_path / "model.ckpt-1")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-2"\n')
    with pytest.raises(UnsupportedError, match=r"model\.ckpt-1; `checkpoint` names model\.ckpt-2"):
        open_artifact(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00junk", b'model_checkpoint_path: ""'])
def test_an_only_checkpoint_needs_no_word_on_it(tmp_path: Path, content: bytes) -> None:
    prefix = save(tmp_path / "model.ckpt")
    (tmp_path / "checkpoint").write_bytes(content)
    assert open_artifact(tmp_path).path == prefix


def test_a_graph_beside_it_belongs_to_it(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt")
    bare = open_artifact(prefix)
    meta = prefix.with_name("model.ckpt.meta")
    meta.write_bytes(b"a graph")
    artifact = open_artifact(prefix)
    assert bare.graph is None
    assert artifact.graph == meta
    assert artifact.files == (*bare.files, meta)
    assert artifact.digest != bare.digest


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, same = (open_artifact(save(tmp_path / place / "model.ckpt")).digest for place in "ab")
    other = open_artifact(save(tmp_path / "b" / "model.ckpt", variables(seed=1))).digest
    assert one == same != other


def test_only_the_needed_variables_are_read(cases: dict[str, Case]) -> None:
    case = cases["tf1_stacked_lstm"]
    artifact = open_artifact(case.source)
    read: list[str] = []

    def load(name: str) -> Any:
        read.append(name)
        return artifact.load(name)

    spied = dataclasses.replace(artifact, load=load)
    model = recognise(spied, parse_settings([])).model
    needed = {n for layer in model.recurrent_layers for n in layer.forward.source.names.values()}
    assert sorted(read) == sorted(needed)
    assert any(name.endswith("/Adam") for name in artifact.tensors)


def test_opening_reads_no_variable(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt")
    cut(data_of(prefix), keep=0)
    assert open_artifact(prefix).tensors[KERNEL].shape == (8, 20)


def test_nan_is_no_weight(tmp_path: Path) -> None:
    arrays = variables()
    arrays[KERNEL][3, 4] = np.nan
    arrays[KERNEL][0, 0] = np.inf
    text = refusal(save(tmp_path / "model.ckpt", arrays))
    assert "2 NaN or infinite values of 160" in text
    assert KERNEL in text


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    prefix = save_shards(tmp_path / "model.ckpt")
    data_of(prefix, 1, 3).unlink()
    assert "no model.ckpt.data-00001-of-00003" in refusal(prefix)
    assert "no model.ckpt.data-00001-of-00003" in refusal(tmp_path)


def test_missing_data_are_named(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt")
    data_of(prefix).unlink()
    assert "no model.ckpt.data-00000-of-00001" in refusal(prefix)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt")
    index_of(prefix).unlink()
    for path in (prefix, data_of(prefix)):
        assert "no model.ckpt.index" in refusal(path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    assert "no model.ckpt.index" in refusal(tmp_path)


def test_a_checkpoint_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    assert "no model.ckpt.index" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 0.05, 0.3, 0.6, 0.9, 0.995])
def test_truncated_data(tmp_path: Path, keep: float) -> None:
    prefix = save(tmp_path / "model.ckpt")
    cut(data_of(prefix), keep)
    assert str(prefix) in refusal(prefix)


@pytest.mark.parametrize("keep", [0, 0.05, 0.3, 0.6, 0.9, 0.995])
def test_truncated_index(tmp_path: Path, keep: float) -> None:
    prefix = save(tmp_path / "model.ckpt")
    cut(index_of(prefix), keep)
    assert str(prefix) in refusal(prefix)


def test_truncated_v1(tmp_path: Path) -> None:
    file = save_v1(tmp_path / "model.ckpt")
    cut(file, keep=0.8)
    with pytest.raises(UnreadableError):
        open_artifact(file)


@pytest.mark.parametrize("part", [index_of, data_of])
def test_flipped_bits_never_come_through(tmp_path: Path, part: Callable[[Path], Path]) -> None:
    """Either the checkpoint is refused, or what it holds is what was written."""
    prefix = save(tmp_path / "model.ckpt")
    content, written = part(prefix).read_bytes(), variables()
    refused = 0
    for place in np.random.default_rng(4).integers(0, len(content), size=40):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        part(prefix).write_bytes(damaged)
        try:
            survived = read_all(open_artifact(prefix))
        except UnreadableError:
            refused += 1
            continue
        for name, array in survived.items():
            np.testing.assert_array_equal(array, written[name])
    assert refused > 20


def test_an_architecture_goes_with_no_checkpoint(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt")
    with pytest.raises(UsageError, match="leave the option out"):
        open_artifact(prefix, tmp_path / "model.json")


def test_a_folder_moved_whole_still_opens(cases: dict[str, Case], tmp_path: Path) -> None:
    case = cases["tf1_stacked_lstm_no_meta"]
    moved = shutil.copytree(case.folder, tmp_path / "moved")
    assert open_artifact(moved).digest == open_artifact(case.source).digest
    assert set(open_artifact(moved).tensors) == set(case.variables)
