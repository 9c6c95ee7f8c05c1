"""The evaluation on Beam: the same verdict as in one process, whatever the runner does."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rnn_migrator.equivalence.evaluation import evaluate
from rnn_migrator.equivalence.evaluator import Measurement
from rnn_migrator.equivalence.inputs.examples import Examples, find_files
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.equivalence.inputs.search import SearchSpace
from rnn_migrator.errors import NotEquivalentError, Problem, UnreadableError, UsageError
from rnn_migrator.files import plain_json, write_json
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage import record
from rnn_migrator.migration import Request, convert, source_of
from tests.equivalence.inputs.records import example, sequences, write
from tests.legacy_lab.cases import Case

if TYPE_CHECKING:
    from rnn_migrator.equivalence.beam import Job

pytestmark = [pytest.mark.beam, pytest.mark.slow]

# What DirectRunner is in Beam 2.59. Later ones try to fetch another engine from the network first.
LOCAL = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
IN_MEMORY = [LOCAL, "--direct_running_mode=in_memory"]
TWO_THREADS = [LOCAL, "--direct_running_mode=multi_threading", "--direct_num_workers=2"]
TWO_PROCESSES = [LOCAL, "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
DASK = "--runner=apache_beam.runners.dask.dask_runner.DaskRunner"
DASK_SECONDS = 300


def runner(*arguments: str) -> Callable[[], Any]:
    import apache_beam as beam

    return lambda: beam.Pipeline(argv=list(arguments or IN_MEMORY))


@pytest.fixture(scope="module")
def case(cases: dict[str, Case]) -> Case:
    return cases["tf1_stacked_lstm"]


@pytest.fixture(scope="module")
def output(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "out"
    convert(Request(case.source, target=Target.CPU), folder)
    return folder


@pytest.fixture(scope="module")
def inputs(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A recording, a data set of two files, and a search."""
    folder = tmp_path_factory.mktemp("data")
    for name, seed in (("a.tfrecord", 0), ("b.gz", 1)):
        write(folder / name, (example(x=array) for array in sequences(150, 4, seed=seed)))
    files = find_files([str(folder)])
    return Inputs(
        (str(case.goldens["with_lengths"]),),
        Examples(files, {"inputs": "x"}, batch=16),
        SearchSpace({"inputs": (-2.0, 2.0)}, tries=12),
    )


@pytest.fixture
def job(case: Case, output: Path, inputs: Inputs) -> Job:
    from rnn_migrator.equivalence.beam import Job

    return Job(str(case.source), str(output), inputs)


@pytest.fixture(scope="module")
def expected(case: Case, output: Path, inputs: Inputs) -> dict[str, Any]:
    from rnn_migrator.keras_model.reload import open_converted

    recognition = source_of(case.source, json.loads((output / "conversion.json").read_text()))
    model = open_converted(output, Target.CPU, recognition.model)
    plan = inputs.materials(recognition.model)
    return plain_json(evaluate(recognition, model, plan).to_json())


@pytest.mark.parametrize(
    "arguments",
    [IN_MEMORY, TWO_THREADS, TWO_PROCESSES],
    ids=["in memory", "threads", "processes"],
)
def test_gives_the_figures_of_the_evaluation_in_one_process(
    job: Job, expected: dict[str, Any], tmp_path: Path, arguments: list[str]
) -> None:
    from rnn_migrator.equivalence.beam import evaluate_on_beam

    file = tmp_path / "evaluation.json"
    found = evaluate_on_beam(job, file, runner(*arguments))
    assert found == expected
    assert json.dumps(found) == json.dumps(expected), "the same, in the same order"
    assert json.loads(file.read_text()) == found
    assert found["verdict"] == "blessed"
    assert "recorded outputs" in found["oracles"]
    assert found["records"] == {
        name: {"sent": 150, "compared": 150} for name in ("a.tfrecord", "b.gz")
    }
    assert list(tmp_path.iterdir()) == [file]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1800):
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody answers on port {port}")


@pytest.fixture
def portable() -> Iterator[list[str]]:
    """Arguments for a job service and a pool of workers, each in processes of their own."""
    jobs, pool = free_port(), free_port()
    servers = {
        jobs: ["portability.local_job_service_main", f"--port={jobs}"],
        pool: ["worker.worker_pool_main", f"--service_port={pool}"],
    }
    folder = Path(sys.executable).parent  # the pool starts the `python` on PATH
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    with contextlib.ExitStack() as stack:
        for port, (module, argument) in servers.items():
            command = [sys.executable, "-m", f"apache_beam.runners.{module}", argument]
            server = stack.enter_context(subprocess.Popen(command, env=environment))
            stack.callback(server.terminate)
            wait_for(port, server)
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool}",
        ]


def test_workers_elsewhere_give_the_same_figures(
    job: Job, expected: dict[str, Any], tmp_path: Path, portable: list[str]
) -> None:
    from rnn_migrator.equivalence.beam import evaluate_on_beam

    found = evaluate_on_beam(job, tmp_path / "evaluation.json", runner(*portable))
    assert json.dumps(found) == json.dumps(expected)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a Dask cluster of two worker processes, closed when it takes too long."""
    import apache_beam as beam

    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    if tuple(map(int, beam.__version__.split(".")[:2])) < (2, 71):
        pytest.skip(f"the DaskRunner of Beam {beam.__version__} takes no options from arguments")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        alarm = threading.Timer(DASK_SECONDS, cluster.close)
        alarm.start()
        yield cluster.scheduler_address
        alarm.cancel()


@pytest.fixture
def dask(cluster: str) -> Iterator[list[str]]:
    """Arguments for the cluster; the client, which the runner leaves open, is closed."""
    from distributed import default_client

    yield [DASK, f"--dask_client_address={cluster}", "--dask_partition_size=1"]
    default_client().close()


def test_two_dask_workers_give_the_same_document(
    job: Job, expected: dict[str, Any], tmp_path: Path, dask: list[str]
) -> None:
    from distributed import default_client

    from rnn_migrator.equivalence.beam import evaluate_on_beam

    file = tmp_path / "evaluation.json"
    evaluate_on_beam(job, file, runner(*dask))
    write_json(tmp_path / "expected.json", expected)
    assert file.read_bytes() == (tmp_path / "expected.json").read_bytes()
    computed = default_client().run(lambda: (os.getpid(), "tensorflow" in sys.modules))
    processes = {process for process, with_model in computed.values() if with_model}
    assert len(processes - {os.getpid()}) == 2, "both have taken part"


def test_what_dask_loses_gets_no_blessing(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask: list[str]
) -> None:
    import apache_beam as beam

    from rnn_migrator.equivalence.beam import evaluate_on_beam

    class InBatches(beam.PTransform):
        def expand(self, elements: Any) -> Any:  # Dask's runner drops what finish_bundle gives
            return elements | beam.BatchElements() | beam.FlatMap(lambda batch: batch)

    monkeypatch.setattr(beam, "Reshuffle", InBatches)
    found = evaluate_on_beam(job, tmp_path / "evaluation.json", runner(*dask))
    assert found["verdict"] == "not blessed"
    assert f"compared of {found['cases']['sent']} sent" in found["reason"]
    assert evaluate_on_beam(job, tmp_path / "here.json", runner())["verdict"] == "blessed"


def test_an_error_of_a_dask_worker_comes_as_it_was_raised(
    job: Job, output: Path, tmp_path: Path, dask: list[str]
) -> None:
    from rnn_migrator.equivalence.beam import evaluate_on_beam

    broken = tmp_path / "out"
    shutil.copytree(output, broken)
    (broken / "saved_model" / "saved_model.pb").write_bytes(b"rubble")
    with pytest.raises(UnreadableError) as error:
        evaluate_on_beam(
            dataclasses.replace(job, output=str(broken)),
            tmp_path / "evaluation.json",
            runner(*dask),
        )
    assert error.value.problems[0].where == str(broken / "saved_model")
    assert not (tmp_path / "evaluation.json").exists()


@pytest.mark.parametrize("where", ["here", "dask"])
def test_recordings_of_another_model_are_not_blessed(
    job: Job, case: Case, tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    from rnn_migrator.equivalence.beam import evaluate_on_beam

    arguments = request.getfixturevalue("dask") if where == "dask" else IN_MEMORY
    arrays = dict(np.load(case.goldens["with_lengths"]))
    arrays["out:outputs"] = arrays["out:outputs"] + np.float32(1e-3)
    np.savez(tmp_path / "golden.npz", **arrays)
    wrong = dataclasses.replace(job, inputs=Inputs((str(tmp_path / "golden.npz"),)))
    found = evaluate_on_beam(wrong, tmp_path / "evaluation.json", runner(*arguments))
    assert found["verdict"] == "not blessed"
    assert "recorded outputs" in found["reason"]


def test_a_runner_that_loses_a_case_gets_no_blessing(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apache_beam as beam

    from rnn_migrator.equivalence.beam import evaluate_on_beam

    monkeypatch.setattr(beam, "Reshuffle", lambda: beam.Filter(lambda element: element[0] != 3))
    found = evaluate_on_beam(job, tmp_path / "evaluation.json", runner())
    assert found["verdict"] == "not blessed"
    sent = found["cases"]["sent"]
    assert f"{sent - 1} cases compared of {sent} sent" in found["reason"]


def test_a_damaged_record_is_an_error(job: Job, tmp_path: Path) -> None:
    from rnn_migrator.equivalence.beam import evaluate_on_beam

    file = write(tmp_path / "data", [example(x=array) for array in sequences(40, 4)])
    whole = file.read_bytes()
    file.write_bytes(whole[:-40] + b"x" + whole[-39:])
    wrong = dataclasses.replace(job, inputs=Inputs((), Examples((str(file),), {"inputs": "x"})))
    with pytest.raises(UnreadableError, match="a whole TFRecord file"):
        evaluate_on_beam(wrong, tmp_path / "evaluation.json", runner())
    assert not (tmp_path / "evaluation.json").exists()


def test_a_runner_that_repeats_cases_changes_nothing(
    job: Job, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apache_beam as beam

    from rnn_migrator.equivalence.beam import evaluate_on_beam

    monkeypatch.setattr(beam, "Reshuffle", lambda: beam.FlatMap(lambda element: [element] * 2))
    assert evaluate_on_beam(job, tmp_path / "evaluation.json", runner()) == expected


def test_a_runner_that_gives_nothing_is_an_error(job: Job, tmp_path: Path) -> None:
    import apache_beam as beam

    from rnn_migrator.equivalence.beam import evaluate_on_beam

    class Idle(beam.Pipeline):
        def run(self, test_runner_api: Any = "AUTO") -> Any:
            return beam.Pipeline(argv=IN_MEMORY).run()

    (tmp_path / "evaluation.json").write_text('{"verdict": "blessed"}')
    with pytest.raises(NotEquivalentError, match="Beam runner"):
        evaluate_on_beam(job, tmp_path / "evaluation.json", Idle)


def test_another_source_is_refused(job: Job, cases: dict[str, Case], tmp_path: Path) -> None:
    from rnn_migrator.equivalence.beam import evaluate_on_beam

    other = dataclasses.replace(job, source=str(cases["tf1_stacked_lstm_no_meta"].source))
    with pytest.raises(UsageError, match="sha256"):
        evaluate_on_beam(other, tmp_path / "evaluation.json", runner())


def test_an_error_of_a_worker_comes_as_it_was_raised(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rnn_migrator.equivalence import beam

    problem = Problem("the model", "a model", "rubble", "convert it again")

    def refuse(*_: Any) -> Any:
        raise UnreadableError(problem)

    monkeypatch.setattr(beam, "open_oracles", refuse)
    with pytest.raises(UnreadableError) as error:
        beam.evaluate_on_beam(job, tmp_path / "evaluation.json", runner())
    assert error.value.problems == (problem,)
    assert not (tmp_path / "evaluation.json").exists()


def test_nan_is_not_blessed(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_migrator.equivalence.beam import evaluate_on_beam
    from rnn_migrator.keras_model import reload

    def open_broken(*arguments: Any) -> Any:
        model = reload.open_saved_model(Path(job.output) / "saved_model")

        def call(signature: str, inputs: Any, calls: int = 1) -> Any:
            outputs = model(signature, inputs, calls)
            outputs["h_0"][0, 0] = np.nan
            return outputs

        return call

    monkeypatch.setattr(reload, "open_converted", open_broken)
    found = evaluate_on_beam(job, tmp_path / "evaluation.json", runner())
    assert found["verdict"] == "not blessed"
    assert "NaN" in found["reason"]
    assert record.evaluation_properties(found)["verdict"] == "not blessed"


def test_stretches_are_joined_in_order_and_what_came_twice_counts_once() -> None:
    from rnn_migrator.equivalence.beam import Stretch, _join

    def stretch(index: int) -> Stretch:
        return Stretch(index, index + 1, Measurement((f"case {index}",)))

    some = _join([stretch(0), stretch(1)])
    joined = _join([stretch(3), stretch(1), *some, stretch(5), stretch(3)])
    assert [(found.first, found.stop) for found in joined] == [(0, 2), (3, 4), (5, 6)]
    assert joined[0].measured.keys == ("case 0", "case 1")
