from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from rnn_migrator.errors import ExitStatus, NotEquivalentError, UnreadableError
from rnn_migrator.keras_model.export import KERAS_FILE, SAVED_MODEL
from rnn_migrator.keras_model.reload import open_converted, open_saved_model
from rnn_migrator.keras_model.targets import Target
from tests.equivalence.lab import EXPORTED, LabModel, check_answers, exported

chosen = pytest.mark.parametrize("lab", EXPORTED.values(), ids=EXPORTED)


@chosen
@pytest.mark.parametrize("target", Target)
def test_a_converted_folder_gives_the_goldens(lab: LabModel, target: Target) -> None:
    """A model for GPUs runs by its `.keras` file where there is none."""
    call = open_converted(exported(lab.name, target), target, lab.recognition.model)
    for signature, golden in lab.goldens.items():
        check_answers(lab, call(signature, golden["inputs"]), signature)


LOAD = """
import sys
import keras
import numpy as np
import rnn_migrator

for name in sys.argv[1:]:
    model = keras.models.load_model(name + "/model.keras")
    with np.load(name + "/inputs.npz") as inputs:
        arrays = [inputs[tensor.name] for tensor in model.inputs]
    results = model(arrays if len(arrays) > 1 else arrays[0])
    if not isinstance(results, dict):
        results = dict(zip(model.output_names, keras.tree.flatten(results)))
    np.savez(name + "/outputs.npz", **{key: np.asarray(value) for key, value in results.items()})
"""


@functools.cache
def reloaded(folder: Path) -> Path:
    """What the `.keras` files answer in a process that only imports the package."""
    for lab in EXPORTED.values():
        place = folder / lab.name
        place.mkdir()
        shutil.copy(exported(lab.name, Target.PORTABLE) / KERAS_FILE, place)
        np.savez(place / "inputs.npz", **lab.goldens["serving_default"]["inputs"])
    command = [sys.executable, "-c", LOAD, *(str(folder / name) for name in EXPORTED)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reloaded")


@pytest.mark.slow
@chosen
def test_a_keras_file_needs_our_package_only(lab: LabModel, folder: Path) -> None:
    with np.load(reloaded(folder) / lab.name / "outputs.npz") as answers:
        check_answers(lab, dict(answers), "serving_default")


# Damage


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    source = exported("keras2_lstm_hard_sigmoid", Target.PORTABLE)
    return shutil.copytree(source, tmp_path / "broken")


def refused(folder: Path, target: Target) -> str:
    lab = EXPORTED["keras2_lstm_hard_sigmoid"]
    with pytest.raises(UnreadableError) as caught:
        open_converted(folder, target, lab.recognition.model)
    assert caught.value.status == ExitStatus.UNREADABLE
    [problem] = caught.value.problems
    assert all([problem.expected, problem.received, problem.remedy])
    return problem.where


@pytest.mark.parametrize(
    "part",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
@pytest.mark.parametrize("keep", [None, 0.0, 0.5, 0.9])
def test_a_damaged_saved_model_is_refused(broken: Path, part: str, keep: float | None) -> None:
    file = broken / SAVED_MODEL / part
    content = file.read_bytes()
    file.unlink()
    if keep is not None:
        file.write_bytes(content[: int(keep * len(content))])
    assert refused(broken, Target.PORTABLE) == str(broken / SAVED_MODEL)


@pytest.mark.parametrize("keep", [None, 0.0, 0.5, 0.9])
def test_a_damaged_keras_file_is_refused(broken: Path, keep: float | None) -> None:
    file = broken / KERAS_FILE
    content = file.read_bytes()
    file.unlink()
    if keep is not None:
        file.write_bytes(content[: int(keep * len(content))])
    assert refused(broken, Target.GPU) == str(file)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    for target in Target:
        assert refused(tmp_path, target).startswith(str(tmp_path))


def test_two_files_of_different_weights_are_refused(broken: Path) -> None:
    """What was compared has to be what is served."""
    lab = EXPORTED["keras2_lstm_hard_sigmoid"]
    model = keras.models.load_model(broken / KERAS_FILE)
    weights = model.get_weights()
    weights[0][0, 0] = np.nextafter(weights[0][0, 0], np.float32(np.inf))
    model.set_weights(weights)
    model.save(broken / KERAS_FILE)
    with pytest.raises(NotEquivalentError, match="the same weights"):
        open_converted(broken, Target.GPU, lab.recognition.model)


def test_a_signature_that_is_not_there_is_named(broken: Path) -> None:
    call = open_saved_model(broken / SAVED_MODEL)
    with pytest.raises(UnreadableError, match="no signature 'step'"):
        call("step", {})
