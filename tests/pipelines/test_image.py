"""The Dockerfile against the repository; there is no Docker here to build it with."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, list[str]]]:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    return [(w[0], shlex.split(w[1])) for w in lines if w and not w[0].startswith("#")]


def arguments(name: str) -> list[list[str]]:
    return [words for instruction, words in instructions() if instruction == name]


def is_sent(path: str) -> bool:
    """Whether a path is sent to the builder; the last line of .dockerignore that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if line and not line.startswith("#") and fnmatch.fnmatch(path, line.removeprefix("!")):
            sent = line.startswith("!")
    return sent


def test_what_is_copied_is_there_and_sent() -> None:
    copied = [words[:-1] for words in arguments("COPY") if not words[0].startswith("--from")]
    sources = [source for words in copied for source in words]
    assert "requirements.lock" in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    assert not is_sent("tests")
    assert not is_sent("component/rnn_migrator/__pycache__")


def test_it_is_built_as_make_builds_its_environment() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [uv] = re.findall(r"^UV_VERSION := (.+)$", makefile, re.MULTILINE)
    runs = [" ".join(words) for words in arguments("RUN")]
    assert f"pip install --no-cache-dir uv=={uv}" in runs
    [sync] = [run for run in runs if "pip sync" in run]
    assert "--require-hashes" in sync
    assert sync.endswith("--build-constraints requirements.lock requirements.lock")
    python = (ROOT / ".python-version").read_text("utf-8").split()[0]
    assert {words[0] for words in arguments("FROM")} == {f"python:{python}-slim"}


@pytest.mark.tfx
@pytest.mark.slow
def test_the_commands_of_a_spec_find_what_they_start() -> None:
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KUBEFLOW_TFX_CMD

    python, option, module = KUBEFLOW_TFX_CMD
    assert (python, option) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None
    [[path]] = arguments("ENV")
    assert path == "PATH=/opt/venv/bin:$PATH"
    assert arguments("ENTRYPOINT") == [], "a spec states whole commands"
