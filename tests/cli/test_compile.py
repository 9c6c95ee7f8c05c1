"""`rnn-migrate compile`: its exit status, and what it says must lie where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rnn_migrator.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "cudnn_weights.yaml")
IMAGE = ["--image", "registry.example.com/rnn-migrator:0.1.0"]


@pytest.mark.tfx
@pytest.mark.slow
def test_a_spec_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "pipeline.yaml"
    place = ["--map", f"{ROOT}=gs://bucket"]
    assert main(["compile", CONFIG, "--kubeflow", str(target), *IMAGE, *place]) == 0
    printed = capsys.readouterr().out
    folder = "gs://bucket/tests/legacy_lab/artifacts/keras2_cudnn_lstm_weights"
    for name in ("weights.h5", "architecture.json", "golden.npz"):
        assert f"{folder}/{name}\n" in printed
    assert "below gs://bucket/runs/cudnn-weights\n" in printed
    assert "to gs://bucket/runs/cudnn-weights/serving\n" in printed
    spec = yaml.safe_load(target.read_text("utf-8"))
    importer = spec["deploymentSpec"]["executors"]["LegacyModel_executor"]["importer"]
    assert importer["metadata"]["architecture"] == f"{folder}/architecture.json"


@pytest.mark.tfx
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("pipeline.yaml", IMAGE, "a URI with a scheme"),
        ("pipeline.yaml", [*IMAGE, "--map", f"{ROOT}=/mnt"], "a URI with a scheme"),
        ("pipeline.json", [*IMAGE, "--map", f"{ROOT}=gs://bucket"], "named *.yaml"),
        ("pipeline.yaml", ["--image", "An Image"], "name of a container image"),
    ],
)
def test_wrong_usage(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    options: list[str],
    words: str,
) -> None:
    assert main(["compile", CONFIG, "--kubeflow", str(tmp_path / name), *options]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [["--kubeflow", "pipeline.yaml"], IMAGE, []])
def test_what_must_be_named(capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["compile", CONFIG, *given])
    assert error.value.code == 2
    assert "required" in capsys.readouterr().err


def test_without_tfx_it_says_what_to_install() -> None:
    program = """
import sys
from importlib import util
find = util.find_spec
util.find_spec = lambda name, *rest: None if name in ("tfx", "kfp") else find(name, *rest)
from rnn_migrator.cli.main import main
sys.exit(main(["compile", "c.yaml", "--kubeflow", "p.yaml", "--image", "image"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no module tfx and no module kfp" in done.stderr
    assert "make setup" in done.stderr
