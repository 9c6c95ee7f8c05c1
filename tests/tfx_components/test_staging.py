"""What lies in a bucket comes and goes whole; what lies on a file system stays where it is."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from rnn_migrator.errors import UsageError
from rnn_migrator.readers import content_digest

pytestmark = [pytest.mark.tfx, pytest.mark.slow]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for gs://bucket."""
    monkeypatch.setenv("BUCKETS", str(tmp_path / "buckets"))
    importlib.import_module("tests.pipelines.bucket.folder_bucket")
    return tmp_path / "buckets" / "bucket"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_lies_on_a_file_system_is_used_where_it_is(tmp_path: Path, scheme: str) -> None:
    from rnn_migrator.tfx_components.staging import Staging

    with Staging() as staging:
        assert staging.source(f"{scheme}{tmp_path}/model.ckpt") == tmp_path / "model.ckpt"
        assert staging.uri_of(f"{tmp_path}/model.ckpt") == f"{scheme}{tmp_path}/model.ckpt"
        folder = staging.output(f"{scheme}{tmp_path}/new/folder")
        assert folder == tmp_path / "new" / "folder"
        assert folder.is_dir()
    assert folder.is_dir()


def test_a_checkpoint_comes_with_all_its_files(bucket: Path) -> None:
    from rnn_migrator.tfx_components.staging import Staging

    for name in ("model.ckpt.index", "model.ckpt.meta", "other.txt", "model.d/inside"):
        write(bucket / "run" / name, name)
    with Staging() as staging:
        path = staging.source("gs://bucket/run/model.ckpt")
        found = {file.name: file.read_text() for file in path.parent.iterdir()}
        assert found == {name: name for name in ("model.ckpt.index", "model.ckpt.meta")}
        assert staging.uri_of(f"{path}.index") == "gs://bucket/run/model.ckpt.index"
        assert staging.uri_of("/elsewhere") == "/elsewhere"
    assert not path.parent.exists()


def test_a_folder_comes_whole(bucket: Path) -> None:
    from rnn_migrator.tfx_components.staging import Staging

    write(bucket / "dump" / "a.csv", "a")
    write(bucket / "dump" / "deep" / "b.csv", "b")
    with Staging() as staging:
        path = staging.source("gs://bucket/dump")
        assert path.name == "dump"
        assert (path / "a.csv").read_text() == "a"
        assert (path / "deep" / "b.csv").read_text() == "b"


@pytest.mark.parametrize("name", ["nothing/there.npz", "run/model.h5"])
def test_what_is_not_there_is_refused(bucket: Path, name: str) -> None:
    from rnn_migrator.tfx_components.staging import Staging

    write(bucket / "run" / "model.hdf5", "another")
    with Staging() as staging, pytest.raises(UsageError, match="nothing there"):
        staging.source(f"gs://bucket/{name}")


def test_other_bytes_are_refused(bucket: Path) -> None:
    from rnn_migrator.tfx_components.staging import Staging

    golden = bucket / "golden.npz"
    write(golden, "recorded")
    digest = content_digest((golden,))
    with Staging() as staging:
        assert staging.source("gs://bucket/golden.npz", digest).read_text() == "recorded"
        write(golden, "retouched")
        with pytest.raises(UsageError, match="that were imported") as error:
            staging.source("gs://bucket/golden.npz", digest)
    assert error.value.problems[0].where == "gs://bucket/golden.npz"


def test_an_output_goes_to_its_bucket_when_all_is_done(bucket: Path) -> None:
    from rnn_migrator.tfx_components.staging import Staging

    with Staging() as staging:
        folder = staging.output("gs://bucket/model")
        write(folder / "deep" / "file", "content")
        (folder / "link").symlink_to("deep")
        assert not (bucket / "model").exists()
    assert (bucket / "model" / "deep" / "file").read_text() == "content"
    assert (bucket / "model" / "link" / "file").read_text() == "content"
    assert not (bucket / "model" / "link").is_symlink()


def test_an_error_leaves_nothing_in_the_bucket(bucket: Path) -> None:
    from rnn_migrator.tfx_components.staging import Staging

    def fail() -> None:
        with Staging() as staging:
            write(staging.output("gs://bucket/model") / "file", "half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not bucket.exists()
