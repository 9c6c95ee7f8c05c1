"""Stock components of TFX on a converted model: Evaluator, BulkInferrer, InfraValidator."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipelines.config import Evaluation, load_config
from rnn_migrator.errors import UsageError
from rnn_migrator.files import read_json
from rnn_migrator.migration import Request
from tests.equivalence.inputs.records import example
from tests.equivalence.lab import LAB, check_answers

pytestmark = [pytest.mark.tfx, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "configs" / "data" / "stacked_lstm"
MODEL = LAB["tf1_stacked_lstm"]
SERVER = Path(__file__).with_name("model_server.py")
NAME = "lstm"
CLOSE = 1e-6
FAR = 1e6


def records(file: Path) -> list[bytes]:
    import tensorflow as tf

    compression = "GZIP" if file.suffix == ".gz" else ""
    return [bytes(r) for r in tf.data.TFRecordDataset(str(file), compression).as_numpy_iterator()]


def parsed(record: bytes) -> dict[str, tuple[float, ...]]:
    """The features of a record, whatever order they were written in."""
    import tensorflow as tf

    features = tf.train.Example.FromString(record).features.feature
    return {name: tuple(features[name].float_list.value) for name in features}


def recorded() -> list[int]:
    """The rows of the recording that are sequences of at least one step."""
    return list(np.flatnonzero(MODEL.goldens["with_lengths"]["inputs"]["sequence_length"]))


def as_recorded(row: int) -> bytes:
    golden = MODEL.goldens["with_lengths"]
    length = golden["inputs"]["sequence_length"][row]
    inputs = golden["inputs"]["inputs"][row, :length]
    return example(inputs=inputs, h_2=golden["outputs"]["h_2"][row])


def check_predictions(logs: list[bytes]) -> None:
    """Asserts that every record was sent once, and answered as the legacy framework did."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    golden = MODEL.goldens["with_lengths"]["outputs"]
    rows = {parsed(as_recorded(row))["inputs"]: row for row in recorded()}
    found: dict[str, Any] = {name: np.zeros_like(array) for name, array in golden.items()}
    seen = []
    for log in (PredictionLog.FromString(record).predict_log for record in logs):
        [sent] = log.request.inputs["examples"].string_val
        seen.append(rows[parsed(sent)["inputs"]])
        for name, proto in log.response.outputs.items():
            [values] = tf.make_ndarray(proto)
            # What lies behind the sequence's end is as long as the batch makes it.
            place = (seen[-1], slice(len(values))) if name == "outputs" else seen[-1]
            found[name][place] = values
    assert sorted(seen) == recorded()
    # A row without a step is no record; there the recording holds zeros.
    check_answers(MODEL, found, "with_lengths")


def test_the_data_set_of_the_config_is_the_recording() -> None:
    [file] = (file for file in DATA.rglob("*") if file.is_file())
    sent = [parsed(as_recorded(row)) for row in recorded()]
    assert [parsed(record) for record in records(file)] == sent
    lengths = MODEL.goldens["with_lengths"]["inputs"]["sequence_length"]
    assert len(set(lengths)) > 3


# Evaluator and BulkInferrer


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of the pipeline made."""

    root: Path

    def blesses(self, component: str) -> bool:
        [file] = (self.root / component / "blessing").glob("*/*")
        return {"BLESSED": True, "NOT_BLESSED": False}[file.name]

    @property
    def metric(self) -> float:
        """How far the model is from the recording, by TensorFlow Model Analysis."""
        import tensorflow_model_analysis as tfma

        [folder] = (self.root / "Evaluator" / "evaluation").iterdir()
        metrics = tfma.load_eval_result(str(folder)).get_metrics_for_slice()
        return float(metrics["mean_absolute_error"]["doubleValue"])

    @property
    def inferred(self) -> list[bytes]:
        files = (self.root / "BulkInferrer").glob("inference_result/*/*.gz")
        return [record for file in files for record in records(file)]


Project = Callable[..., Run]


def test_nothing_is_packed_for_workers_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the config's arguments, the one that names an image is what keeps TFX from it."""
    from tfx.utils import dependency_utils

    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", lambda: "packed")
    arguments = list(load_config(ROOT / "configs" / "stock_tools.yaml").beam_pipeline_args)
    *others, image = arguments
    assert dependency_utils.make_beam_dependency_flags(arguments) == arguments
    assert image.startswith("--sdk_container_image=")
    assert "--extra_package=packed" in dependency_utils.make_beam_dependency_flags(others)


@pytest.fixture
def run(tmp_path: Path) -> Project:
    """Runs the project's config, its facts or its bound changed."""
    from tfx.v1.orchestration import LocalDagRunner

    from pipelines.stock_tools import create_pipeline

    content = yaml.safe_load((ROOT / "configs" / "stock_tools.yaml").read_text())
    shutil.copytree(ROOT / "configs" / "data", tmp_path / "data")
    content["source"]["path"] = str(MODEL.case.source)
    content["evaluation"]["golden"] = [str(MODEL.case.goldens["with_lengths"])]
    content["output"]["root"] = "run"

    def project(bound: float = CLOSE, **settings: float) -> Run:
        content["source"]["set"] = settings
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump(content))
        LocalDagRunner().run(create_pipeline(load_config(config), "h_2", bound))
        return Run(tmp_path / "run")

    return project


def test_both_bless_and_every_record_is_inferred(run: Project) -> None:
    made = run()
    assert made.blesses("EquivalenceEvaluator")
    assert made.blesses("Evaluator")
    assert 0 < made.metric < CLOSE
    check_predictions(made.inferred)
    [evaluation] = made.root.glob("EquivalenceEvaluator/evaluation/*/evaluation.json")
    assert "examples/h_2" in read_json(evaluation)["outputs"]


def test_a_broken_model_is_blessed_by_neither(run: Project) -> None:
    made = run(forget_bias=0.0)
    assert not made.blesses("EquivalenceEvaluator")
    assert not made.blesses("Evaluator")
    assert made.metric > 100 * CLOSE
    assert made.inferred == []


def test_neither_alone_is_enough(run: Project) -> None:
    """An evaluator that blesses whatever comes, and one whose bound nothing can keep."""
    lax = run(bound=FAR, forget_bias=0.0)
    assert lax.blesses("Evaluator")
    assert not lax.blesses("EquivalenceEvaluator")
    assert lax.inferred == []
    shutil.rmtree(lax.root)
    strict = run(bound=-1.0)
    assert strict.blesses("EquivalenceEvaluator")
    assert not strict.blesses("Evaluator")
    assert strict.inferred == []


@pytest.mark.parametrize("without", [{"examples_signature": False}, {"evaluation": Evaluation()}])
def test_a_config_without_what_they_need_is_refused(without: dict[str, Any]) -> None:
    from pipelines.stock_tools import create_pipeline

    config = load_config(ROOT / "configs" / "stock_tools.yaml").model_copy(update=without)
    with pytest.raises(UsageError, match="examples_signature: true"):
        create_pipeline(config, "h_2", CLOSE)


# InfraValidator, without Docker


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rnn_migrator.tfx_components.converter.executor import convert_to_artifact

    folder = tmp_path_factory.mktemp("converted") / "model"
    convert_to_artifact(Request(MODEL.case.source, examples_signature=True), folder, "")
    return folder


class Server:
    """Takes the place of the container that TFX would start; see `model_server.py`."""

    def __init__(self, model_path: str, answers: Path) -> None:
        self._command = [sys.executable, str(SERVER), model_path, str(answers)]
        self._log = answers.with_suffix(".log")
        self._process: subprocess.Popen[str] | None = None
        self._port = ""

    def Start(self) -> None:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def WaitUntilRunning(self, deadline: float) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._port = self._process.stdout.readline().strip()

    def GetEndpoint(self) -> str:
        return f"localhost:{self._port}"

    def GetLogs(self) -> str:
        return self._log.read_text()

    def Stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=180)


Validate = Callable[..., Path]


@pytest.fixture
def validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Validate:
    """Runs TFX's own executor on a model; gives the folder of the blessing."""
    from tfx.components.infra_validator import executor
    from tfx.dsl.components.base.base_executor import BaseExecutor
    from tfx.types import standard_artifacts
    from tfx.utils.proto_utils import proto_to_json
    from tfx.v1 import proto

    started: list[str] = []

    def create(model_path: str, serving_binary: Any, serving_spec: Any) -> Server:
        started.append(model_path)
        return Server(model_path, tmp_path / "answers")

    monkeypatch.setattr(executor, "_create_model_server_runner", create)
    model, examples = standard_artifacts.Model(), standard_artifacts.Examples()
    examples.uri, examples.split_names = str(DATA), '["eval"]'
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(tmp_path / "blessing")
    serving = proto.ServingSpec(
        tensorflow_serving=proto.TensorFlowServing(tags=["latest"]),
        local_docker=proto.LocalDockerConfig(),
        model_name=NAME,
    )

    def run(folder: Path, signature: str = "examples") -> Path:
        model.uri = str(folder)
        requests = proto.RequestSpec(
            tensorflow_serving=proto.TensorFlowServingRequestSpec(signature_names=[signature]),
            num_examples=len(recorded()),
            make_warmup=True,
        )
        context = BaseExecutor.Context(tmp_dir=str(tmp_path / "scratch"), unique_id="1")
        executor.Executor(context).Do(
            {"model": [model], "examples": [examples]},
            {"blessing": [blessing]},
            {
                "serving_spec": proto_to_json(serving),
                "validation_spec": proto_to_json(proto.ValidationSpec(num_tries=1)),
                "request_spec": proto_to_json(requests),
            },
        )
        assert all(Path(path).parent.name == NAME for path in started)
        return Path(blessing.uri)

    return run


def test_infra_validator_blesses_and_makes_a_model_that_warms_up(
    converted: Path, validate: Validate, tmp_path: Path
) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    blessing = validate(converted)
    assert (blessing / "INFRA_BLESSED").is_file()
    check_predictions(records(tmp_path / "answers"))
    [warmup] = blessing.rglob("tf_serving_warmup_requests")
    model = tf.saved_model.load(str(warmup.parents[1]))
    logs = [PredictionLog.FromString(record).predict_log for record in records(warmup)]
    sent = [log.request.inputs["examples"].string_val[0] for log in logs]
    answers = model.signatures["examples"](tf.constant(sent))
    expected = [parsed(record)["h_2"] for record in sent]
    assert sorted(expected) == sorted(parsed(as_recorded(row))["h_2"] for row in recorded())
    np.testing.assert_allclose(answers["h_2"], expected, atol=CLOSE)


def test_infra_validator_does_not_bless_a_model_without_its_variables(
    converted: Path, validate: Validate, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(converted, broken, symlinks=True)
    [file] = (broken / "Format-Serving" / "variables").glob("variables.data*")
    file.unlink()
    blessing = validate(broken)
    assert [file.name for file in blessing.iterdir()] == ["INFRA_NOT_BLESSED"]
    assert records(tmp_path / "answers") == []
    assert file.name in (tmp_path / "answers.log").read_text()


def test_no_request_is_built_for_a_signature_of_tensors(
    converted: Path, validate: Validate
) -> None:
    with pytest.raises(ValueError, match="serialized record inputs"):
        validate(converted, "with_lengths")
