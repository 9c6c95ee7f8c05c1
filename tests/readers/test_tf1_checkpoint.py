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


def save_v1_shards(prefix: Path) -> Path:
    """The same in two shards; what names them all is a pattern."""
    for shard, (name, array) in enumerate(list(variables().items())[:2]):
        file = f"{prefix}-{shard:05d}-of-00002"
        tf.raw_ops.Save(filename=file, tensor_names=[name], data=[tf.constant(array)])
    return prefix.with_name(f"{prefix.name}-?????-of-00002")


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


@pytest.mark.parametrize("write", [save, save_shards, save_v1, save_v1_shards])
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


@pytest.mark.parametrize("folder", ["plain", "run [1] *what?"])
def test_any_name_of_a_v1_checkpoint_will_do(tmp_path: Path, folder: str) -> None:
    """TensorFlow takes such a path for a pattern."""
    (tmp_path / folder).mkdir()
    file = save_v1(tmp_path / folder / "model.ckpt-3")
    for path in (file, file.parent):
        artifact = open_artifact(path)
        assert artifact.path == file
        assert artifact.files == (file,)
        np.testing.assert_array_equal(artifact.read(KERNEL), variables()[KERNEL])


@pytest.mark.parametrize("folder", ["plain", "run [1] *what?"])
@pytest.mark.parametrize("state", ["", "model.ckpt-3-?????-of-00002"])
def test_any_name_of_v1_shards_will_do(tmp_path: Path, folder: str, state: str) -> None:
    (tmp_path / folder).mkdir()
    pattern = save_v1_shards(tmp_path / folder / "model.ckpt-3")
    if state:
        text = f'model_checkpoint_path: "/gone/{state}"\n'
        (pattern.parent / "checkpoint").write_text(text)
    meta = pattern.with_name("model.ckpt-3.meta")
    meta.write_bytes(b"a graph")
    shards = tuple(pattern.with_name(f"model.ckpt-3-0000{shard}-of-00002") for shard in "01")
    any_total = pattern.with_name("model.ckpt-3-?????-of-?????")
    for path in (pattern, any_total, *shards, pattern.parent):
        artifact = open_artifact(path)
        assert artifact.files == (*shards, meta)
        assert artifact.graph == meta
        for name in (KERNEL, BIAS):
            np.testing.assert_array_equal(artifact.read(name), variables()[name])


def test_a_missing_shard_of_v1_is_named(tmp_path: Path) -> None:
    pattern = save_v1_shards(tmp_path / "model.ckpt")
    (tmp_path / "model.ckpt-00000-of-00002").unlink()
    for path in (pattern, tmp_path, tmp_path / "model.ckpt-00001-of-00002"):
        assert "no model.ckpt-00000-of-00002" in refusal(path)


def test_stale_shards_do_not_matter(tmp_path: Path) -> None:
    """What an earlier save in other shards left behind; the index says which are meant."""
    prefix = save(tmp_path / "model.ckpt")
    clean = open_artifact(prefix)
    for shard in range(2):
        shutil.copy(data_of(prefix), data_of(prefix, shard, 2))
    artifact = open_artifact(prefix)
    assert artifact.files == clean.files
    assert artifact.digest == clean.digest
    data_of(prefix).unlink()
    assert "no model.ckpt.data-00000-of-00001" in refusal(prefix)


def estimator(folder: Path) -> Path:
    """A folder as `tf.estimator` leaves it: several steps, events, an evaluation, an export."""
    (folder / "eval").mkdir()
    (folder / "eval" / "events.out.tfevents.1500000000.host").write_bytes(b"\0" * 64)
    (folder / "events.out.tfevents.1500000000.host").write_bytes(b"\0" * 64)
    (folder / "graph.pbtxt").write_text("node { name: 'a' op: 'NoOp' }")
    export = folder / "export" / "exporter" / "1500000001"
    export.mkdir(parents=True)
    (export / "saved_model.pb").write_bytes(b"\x08\x01")
    save(export / "variables")
    for step in (0, 200, 1000):
        save(folder / f"model.ckpt-{step}", variables(seed=step))
        (folder / f"model.ckpt-{step}.meta").write_bytes(b"a graph")
    names = [f'all_model_checkpoint_paths: "model.ckpt-{step}"' for step in (0, 200, 1000)]
    state = ['model_checkpoint_path: "model.ckpt-1000"', *names]
    (folder / "checkpoint").write_text("\n".join(state))
    return folder


def test_the_folder_of_an_estimator(tmp_path: Path) -> None:
    artifact = open_artifact(estimator(tmp_path))
    assert artifact.path == tmp_path / "model.ckpt-1000"
    assert artifact.graph == tmp_path / "model.ckpt-1000.meta"
    assert len(artifact.files) == 3
    np.testing.assert_array_equal(artifact.read(KERNEL), variables(seed=1000)[KERNEL])
    first = open_artifact(tmp_path / "model.ckpt-0")
    np.testing.assert_array_equal(first.read(KERNEL), variables()[KERNEL])


def test_checkpoints_of_both_formats_in_one_folder(tmp_path: Path) -> None:
    save(tmp_path / "new.ckpt")
    save_v1(tmp_path / "old.ckpt")
    with pytest.raises(UnsupportedError, match=r"new\.ckpt, old\.ckpt"):
        open_artifact(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "old.ckpt"\n')
    assert open_artifact(tmp_path).path == tmp_path / "old.ckpt"


def test_a_graph_of_another_checkpoint_is_none_of_this(tmp_path: Path) -> None:
    prefix = save(tmp_path / "model.ckpt-2")
    (tmp_path / "model.ckpt-1.meta").write_bytes(b"a graph")
    assert open_artifact(prefix).graph is None
    with pytest.raises(UnsupportedError, match="a graph"):
        open_artifact(tmp_path / "model.ckpt-1.meta")


@pytest.mark.parametrize(
    "named",
    [
        "../secret/model.ckpt",
        "/etc/passwd",
        "..",
        "a/..",
        "../..",
        r"..\\..\\model.ckpt-1",
        "*",
        "\0",
    ],
)
def test_checkpoint_names_nothing_outside_the_folder(tmp_path: Path, named: str) -> None:
    (tmp_path / "secret").mkdir()
    save(tmp_path / "secret" / "model.ckpt")
    folder = tmp_path / "train"
    folder.mkdir()
    prefix = save(folder / "kept.ckpt")
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{named}"\n')
    if named.endswith(("..", "\0")):  # no name at all
        assert open_artifact(folder).path == prefix
        return
    with pytest.raises(UnsupportedError, match="names"):
        open_artifact(folder)


def test_a_name_in_another_alphabet(tmp_path: Path) -> None:
    """TensorFlow writes it in octal digits."""
    save(tmp_path / "model.ckpt")
    prefix = save(tmp_path / "größe.ckpt")
    name = r"gr\303\266\303\237e.ckpt"
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "/old/{name}"\n')
    assert open_artifact(tmp_path).path == prefix


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "checkpoint").symlink_to(tmp_path / "checkpoint")
    with pytest.raises((UsageError, UnreadableError)):
        open_artifact(tmp_path / "loop")
    with pytest.raises(UnreadableError):
        open_artifact(tmp_path)
    prefix = save(tmp_path / "model.ckpt")
    (tmp_path / "inside").symlink_to(tmp_path, target_is_directory=True)
    assert open_artifact(tmp_path).path == prefix


def test_a_folder_of_the_same_name_is_not_looked_into(tmp_path: Path) -> None:
    """TensorFlow's own `load_checkpoint` prefers what a folder's `checkpoint` names."""
    (tmp_path / "model").mkdir()
    other = save(tmp_path / "other", {KERNEL: np.zeros((8, 20), np.float32)})
    (tmp_path / "model" / "checkpoint").write_text(f'model_checkpoint_path: "{other}"\n')
    save(tmp_path / "model")
    artifact = open_artifact(index_of(tmp_path / "model"))
    np.testing.assert_array_equal(artifact.read(KERNEL), variables()[KERNEL])


@pytest.mark.parametrize(
    "header", [b"\0\0\xff", b"\1\0\2\x08\x01", b"\0\0\2\x08\0", b"\0\0\3\x08\xff\xff"]
)
def test_an_index_without_its_header(tmp_path: Path, header: bytes) -> None:
    prefix = save(tmp_path / "model.ckpt")
    index_of(prefix).write_bytes(header + index_of(prefix).read_bytes()[len(header) :])
    assert str(prefix) in refusal(prefix)


def test_a_variable_larger_than_its_file(tmp_path: Path) -> None:
    """TensorFlow would take the memory first."""
    prefix = save(tmp_path / "model.ckpt")
    artifact = open_artifact(prefix)
    cut(data_of(prefix), 0.01)
    opened = open_artifact(prefix)
    assert opened.tensors == artifact.tensors
    with pytest.raises(UnreadableError, match="cut off"):
        opened.read(KERNEL)


def test_a_variable_that_is_not_there(tmp_path: Path) -> None:
    artifact = open_artifact(save(tmp_path / "model.ckpt"))
    with pytest.raises(UnreadableError, match="no variable other"):
        artifact.read("other")


def test_damage_to_v1_never_comes_through(tmp_path: Path) -> None:
    file = save_v1(tmp_path / "model.ckpt")
    content, written = file.read_bytes(), variables()
    refused = 0
    for place in np.random.default_rng(4).integers(0, len(content), size=60):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        file.write_bytes(damaged)
        try:
            survived = read_all(open_artifact(file))
        except UnreadableError:
            refused += 1
            continue
        for name, array in survived.items():
            np.testing.assert_array_equal(array, written[name])
    assert refused > 20


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
    from rnn_migrator.recognition.recognise import recognise
    from rnn_migrator.recognition.settings import parse_settings

    case = cases["tf1_stacked_lstm"]
    artifact = open_artifact(case.source)
    read: list[str] = []

    def load(name: str) -> Any:
        read.append(name)
        return artifact.load(name)

    spied = dataclasses.replace(artifact, load=load)
    model = recognise(spied, parse_settings([])).model
    directions = [d for layer in model.recurrent_layers for d in layer.forward]
    needed = {name for d in directions for name in d.source.names.values()}
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
