"""What is written to disk: which ops, which signatures, and what it answers to a stranger."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rnn_migrator.keras_model.export import KERAS_FILE, RESET, SAVED_MODEL
from rnn_migrator.keras_model.targets import Target
from tests.equivalence.lab import EXPORTED, LabModel, check_answers, exported
from tests.keras_model import serve

AGREES = 1e-6
SERVED = [Target.CPU, Target.PORTABLE]
WAYS = [(Target.CPU, "eager"), (Target.PORTABLE, "eager"), (Target.PORTABLE, "session")]
ELIGIBLE = ["tf1_stacked_lstm", "tf1_bidirectional_lstm", "keras2_cudnn_lstm", "keras2_gru_cudnn"]
INELIGIBLE = ["tf1_bidirectional_gru", "keras2_lstm_hard_sigmoid"]

every = pytest.mark.parametrize("lab", EXPORTED.values(), ids=EXPORTED)


def saved_model(name: str, target: Target) -> Path:
    return exported(name, target) / SAVED_MODEL


@functools.cache
def ops(name: str, target: Target) -> set[str]:
    """Every op of a SavedModel: of its graph, and of the functions that the graph calls."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = (saved_model(name, target) / "saved_model.pb").read_bytes()
    [meta] = SavedModel.FromString(content).meta_graphs
    graphs = [meta.graph_def.node, *(f.node_def for f in meta.graph_def.library.function)]
    return {node.op for graph in graphs for node in graph}


def cudnn_ops(name: str, target: Target) -> set[str]:
    return {op for op in ops(name, target) if "cudnn" in op.lower()}


@every
def test_a_cpu_model_holds_no_cudnn_op_anywhere(lab: LabModel) -> None:
    assert cudnn_ops(lab.name, Target.CPU) == set()
    assert "While" in ops(lab.name, Target.CPU) or "StatelessWhile" in ops(lab.name, Target.CPU)


@pytest.mark.parametrize("name", ELIGIBLE)
@pytest.mark.parametrize("target", [Target.PORTABLE, Target.GPU])
def test_an_eligible_model_holds_the_cudnn_op(name: str, target: Target) -> None:
    assert cudnn_ops(name, target) == {"CudnnRNNV3"}


@pytest.mark.parametrize("name", INELIGIBLE)
@pytest.mark.parametrize("target", [Target.PORTABLE, Target.GPU])
def test_an_ineligible_model_does_not(name: str, target: Target) -> None:
    assert cudnn_ops(name, target) == set()


@every
@pytest.mark.parametrize("target", SERVED)
def test_no_op_reaches_out_of_the_model(lab: LabModel, target: Target) -> None:
    outside = {"PyFunc", "EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile"}
    assert not ops(lab.name, target) & outside


# Signatures


def signatures(lab: LabModel) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """Inputs (shape and dtype by name) and outputs of every signature, as they lie on disk."""
    loaded = tf.saved_model.load(str(saved_model(lab.name, Target.CPU)))
    return {
        name: (
            {
                key: (spec.shape.as_list(), spec.dtype.name)
                for key, spec in function.structured_input_signature[1].items()
            },
            set(function.structured_outputs),
        )
        for name, function in loaded.signatures.items()
    }


def test_a_stack_has_three_signatures() -> None:
    states = {
        name: ([None, width], "float32")
        for name, width in {
            "h_0": 7,
            "c_0": 7,
            "h_1": 5,
            "c_1": 5,
            "h_2": 6,
            "c_2": 6,
        }.items()
    }
    sequences = {"inputs": ([None, None, 4], "float32")}
    lengths = {"sequence_length": ([None], "int32")}
    outputs = {"outputs", *states}
    assert signatures(EXPORTED["tf1_stacked_lstm"]) == {
        "serving_default": (sequences, outputs),
        "with_lengths": (sequences | lengths, outputs),
        "step": ({"inputs": ([None, 4], "float32")} | states, outputs),
    }


def test_both_directions_have_no_step() -> None:
    found = signatures(EXPORTED["tf1_bidirectional_gru"])
    assert set(found) == {"serving_default", "with_lengths"}
    assert found["with_lengths"][1] == {"outputs", "fw_h_0", "bw_h_0"}


@pytest.mark.parametrize("name", [name for name in EXPORTED if name.startswith("keras2")])
def test_a_keras_model_keeps_the_names_of_its_ends(name: str) -> None:
    lab = EXPORTED[name]
    golden = lab.goldens["serving_default"]
    found = signatures(lab)
    inputs, outputs = found["serving_default"]
    assert set(found) - {RESET} == {"serving_default"}
    assert set(inputs) == set(golden["inputs"])
    assert outputs == set(golden["outputs"])


# Served by a stranger


def job(lab: LabModel, target: Target, way: str, folder: Path) -> dict[str, Any]:
    """Calls for all goldens of a model."""
    calls = []
    for signature, golden in lab.goldens.items():
        inputs = folder / f"{lab.name}-{signature}.npz"
        np.savez(inputs, **golden["inputs"])
        outputs = folder / f"{lab.name}-{signature}-{target.value}-{way}.npz"
        calls.append([signature, str(inputs), str(outputs)])
    return {"model": str(saved_model(lab.name, target)), "way": way, "calls": calls}


_FOLDER = tempfile.TemporaryDirectory(prefix="served-")


@functools.cache
def served() -> Path:
    """Folder of what all models answer to all goldens, in one process that knows TensorFlow."""
    folder = Path(_FOLDER.name)
    jobs = [job(lab, *how, folder) for lab in EXPORTED.values() for how in WAYS]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, serve.__file__, str(folder / "jobs.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    return folder


@pytest.mark.slow
@every
@pytest.mark.parametrize(("target", "way"), WAYS)
def test_a_stranger_gets_the_goldens(lab: LabModel, target: Target, way: str) -> None:
    for signature in lab.goldens:
        with np.load(served() / f"{lab.name}-{signature}-{target.value}-{way}.npz") as answers:
            check_answers(lab, answers, signature)


@pytest.mark.parametrize("name", ["tf1_stacked_lstm", "tf1_bidirectional_gru"])
def test_batch_and_time_are_free(name: str) -> None:
    """One row of one step, and more of both than the model was ever traced with."""
    call = serve.eager(str(saved_model(name, Target.PORTABLE)))
    x = np.random.default_rng(0).normal(size=(9, 40, 4)).astype(np.float32)
    whole = call("serving_default", {"inputs": x})
    row = call("serving_default", {"inputs": x[3:4]})
    np.testing.assert_allclose(row["outputs"][0], whole["outputs"][3], atol=AGREES)
    step = call("serving_default", {"inputs": x[:1, :1]})
    assert step["outputs"].shape[:2] == (1, 1)


def test_both_files_are_there_and_nothing_else() -> None:
    folder = exported("tf1_stacked_lstm", Target.PORTABLE)
    assert {file.name for file in folder.iterdir()} == {SAVED_MODEL, KERAS_FILE}
