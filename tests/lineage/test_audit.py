"""What an audit notices: a converted model and its source, each byte of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rnn_migrator.cli.main import main
from rnn_migrator.errors import UsageError
from rnn_migrator.lineage import record
from rnn_migrator.lineage.audit import AuditAnswer, audit, file_digests
from rnn_migrator.migration import Request, read_conversion
from rnn_migrator.readers import open_artifact
from tests.legacy_lab.cases import Case
from tests.lineage.stores import Writer

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

DATA = "variables/variables.data-00000-of-00001"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Path:
    """A folder with a source and what the pipeline would leave of it, but for the store."""
    from rnn_migrator.tfx_components.converter.executor import convert_to_artifact

    folder = tmp_path_factory.mktemp("audit")
    case = cases["keras2_two_in_two_out"]
    shutil.copy(case.source, folder / "source.h5")
    convert_to_artifact(Request(folder / "source.h5"), folder / "model", "")
    shutil.copytree(folder / "model" / record.SERVING, folder / "serving" / "17")
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of it, recorded where it lies now."""
    folder = tmp_path / "run"
    shutil.copytree(original, folder, symlinks=True)
    document = read_conversion(folder / "model")
    writer = Writer(folder / "metadata.sqlite")
    sha256 = open_artifact(folder / "source.h5").digest
    source = str(folder / "source.h5")
    legacy = writer.artifact("rnn_migrator.LegacyModel", source, sha256=sha256)
    properties = record.conversion_properties(document, file_digests(folder / "model"))
    pieces = record.in_pieces(properties)
    model = writer.artifact("Model", str(folder / "model"), **pieces)
    writer.execution("x.RnnConverter", [legacy], [model])
    destination = str(folder / "serving" / "17")
    pushed = {"pushed": 1, "pushed_destination": destination, "pushed_version": "17"}
    writer.execution(
        "tfx.Pusher", [model], [writer.artifact("PushedModel", str(folder / "P"), **pushed)]
    )
    return folder


def wrong(answer: AuditAnswer) -> set[tuple[str, str, str]]:
    return {(c.kind, c.outcome, c.name) for c in answer.checks if c.outcome != "matches"}


@pytest.mark.parametrize("path", ["serving/17", "serving", "model", "model/Format-Serving"])
def test_an_untouched_model_matches(folder: Path, path: str) -> None:
    answer = audit(folder / path)
    assert wrong(answer) == set()
    assert answer.matches
    kinds = [check.kind for check in answer.checks]
    files = {"model.keras", "conversion.json"} if "model" in path else set()
    assert kinds.count("file of the model") == 4 + len(files)
    assert (
        kinds.count("variable of the model") == kinds.count("tensor of the legacy artifact") == 10
    )
    assert kinds.count("legacy artifact") == 1


def damage(file: Path) -> None:
    """Turns one bit over in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["saved_model.pb", "fingerprint.pb", "variables/variables.index"])
def test_a_bit_turned_over_in_any_file(folder: Path, name: str) -> None:
    damage(folder / "serving" / "17" / name)
    answer = audit(folder / "serving")
    assert not answer.matches
    assert ("file of the model", "differs", name) in wrong(answer)
    assert audit(folder / "model").matches, "the original is as it was"


def test_a_variable_that_was_changed_is_named(folder: Path) -> None:
    damage(folder / "serving" / "17" / DATA)
    found = wrong(audit(folder / "serving"))
    assert ("file of the model", "differs", DATA) in found
    [name] = [n for kind, out, n in found if (kind, out) == ("variable of the model", "missing")]
    assert "/" in name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: (f / "extra").touch(), ("file of the model", "not recorded", "extra")),
        (lambda f: (f / DATA).unlink(), ("file of the model", "missing", DATA)),
    ],
    ids=["more", "less"],
)
def test_files_that_came_or_went(
    folder: Path, change: Callable[[Path], None], expected: tuple[str, str, str]
) -> None:
    change(folder / "serving" / "17")
    assert expected in wrong(audit(folder / "serving"))


def test_a_source_that_was_changed(folder: Path) -> None:
    import h5py

    source = str(folder / "source.h5")
    with h5py.File(source, "r+") as file:
        names: list[str] = []
        file.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        [kernel] = [name for name in names if "lstm" in name and "recurrent" not in name][:1]
        file[kernel][...] = np.nextafter(file[kernel][...], 9)
    found = wrong(audit(folder / "serving"))
    assert ("legacy artifact", "differs", source) in found
    tensors = [name for kind, _, name in found if kind == "tensor of the legacy artifact"]
    assert len(tensors) == 1
    assert len(found) == 2


def test_a_source_that_is_gone(folder: Path) -> None:
    (folder / "source.h5").unlink()
    answer = audit(folder / "serving")
    assert {outcome for _, outcome, _ in wrong(answer)} == {"missing"}
    assert {kind for kind, _, _ in wrong(answer)} == {
        "legacy artifact",
        "tensor of the legacy artifact",
    }


def test_a_model_that_is_gone(folder: Path) -> None:
    shutil.rmtree(folder / "serving" / "17")
    with pytest.raises(UsageError, match="run the audit where the model lies"):
        audit(folder / "serving")


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(folder / "serving")]) == 0
    assert "✓ variable of the model: 10 of 10 match" in capsys.readouterr().out
    damage(folder / "serving" / "17" / "saved_model.pb")
    assert main(["audit", str(folder / "serving")]) == 1
    printed = capsys.readouterr().out
    assert "differs: saved_model.pb" in printed
    assert "✗ file of the model: 3 of 4 match" in printed
    assert main(["audit", str(folder / "nothing")]) == 2
