"""How fast the evaluator is beside a plain loop, and how much memory it takes.

python -m tests.benchmarks.evaluator     prints two tables; takes minutes, and wants a quiet machine

A Keras 2 model of two LSTM layers is converted, and both are run on sequences from a TFRecord
file: by a plain loop over both models, by the same loop with the formulas in float64, which the
evaluator runs besides, and by the evaluator. Rates are those of the records beyond the first
quarter, so that loading models and starting workers does not count; it stands in a column of its
own. Each is the median of several runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

STEPS, WIDTH, UNITS, CLASSES = 50, 40, 128, 10
RECORDS, RUNS = 4096, 3
BATCHES = (32, 64, 256)
IN_MEMORY = ("--runner=DirectRunner", "--direct_running_mode=in_memory")
PROCESSES = (
    "--runner=DirectRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=2",
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A model, converted, and a data set."""

    folder: Path
    records: int
    batch: int

    @property
    def source(self) -> Path:
        return self.folder / "model.h5"

    @property
    def output(self) -> Path:
        return self.folder / "converted"

    @property
    def data(self) -> Path:
        return self.folder / f"{self.records}.tfrecord"

    @property
    def inputs(self) -> Any:
        from rnn_migrator.equivalence.inputs.examples import Examples
        from rnn_migrator.equivalence.inputs.plan import Inputs

        return Inputs((), Examples((str(self.data),), {"x": "x"}, batch=self.batch))


def prepare(folder: Path, sizes: tuple[int, ...]) -> None:
    """Writes the model, what it is converted into, and the data sets."""
    import tf_keras

    from rnn_migrator.keras_model.targets import Target
    from rnn_migrator.migration import Request, convert
    from tests.equivalence.inputs.records import example, write

    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input((None, WIDTH), name="x"),
            tf_keras.layers.LSTM(UNITS, return_sequences=True),
            tf_keras.layers.LSTM(UNITS),
            tf_keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    setting = Setting(folder, 0, 0)
    model.save(setting.source)
    convert(Request(setting.source, target=Target.CPU), setting.output)
    rng = np.random.default_rng(0)
    for size in sizes:
        arrays = (rng.normal(size=(STEPS, WIDTH)).astype(np.float32) for _ in range(size))
        write(Setting(folder, size, 0).data, (example(x=array) for array in arrays))


def loop(setting: Setting, *, reference: bool) -> None:
    """Both models, batch by batch, perhaps with the formulas in float64."""
    from rnn_migrator.equivalence.inputs.case import Case
    from rnn_migrator.equivalence.oracles import open_oracles
    from rnn_migrator.equivalence.oracles.formulas import Formulas
    from rnn_migrator.keras_model.reload import open_converted
    from rnn_migrator.keras_model.targets import Target
    from rnn_migrator.migration import read_conversion, source_of

    recognition = source_of(setting.source, read_conversion(setting.output))
    converted = open_converted(setting.output, Target.CPU, recognition.model)
    materials = setting.inputs.materials(recognition.model)
    [legacy], _ = open_oracles(recognition, materials)
    exact = Formulas(recognition.model)
    worst = 0.0
    for part in materials:
        for case in part.cases(recognition.model, float) if not isinstance(part, Case) else ():
            one, other = converted(case.signature, case.inputs), legacy.run(case) or {}
            parties = [one, other, exact.run(case.signature, case.inputs)] if reference else [one]
            for outputs in parties:
                worst = max(worst, *(float(np.abs(outputs[n] - other[n]).max()) for n in other))
    assert worst < 1e-5


def on_beam(setting: Setting, arguments: tuple[str, ...]) -> None:
    """The evaluator."""
    import apache_beam as beam

    from rnn_migrator.equivalence.beam import Job, evaluate_on_beam

    job = Job(str(setting.source), str(setting.output), setting.inputs)
    file = setting.folder / "evaluation.json"
    found = evaluate_on_beam(job, file, lambda: beam.Pipeline(argv=list(arguments)))
    assert found["verdict"] == "blessed", found["reason"]
    assert found["records"][setting.data.name]["compared"] == setting.records


WAYS: dict[str, Callable[[Setting], None]] = {
    "loop over both models": lambda setting: loop(setting, reference=False),
    "loop with float64": lambda setting: loop(setting, reference=True),
    "evaluator, one process": lambda setting: on_beam(setting, IN_MEMORY),
    "evaluator, two processes": lambda setting: on_beam(setting, PROCESSES),
}


def seconds(way: Callable[[Setting], None], setting: Setting) -> float:
    start = time.perf_counter()
    way(setting)
    return time.perf_counter() - start


def rate(way: Callable[[Setting], None], folder: Path, batch: int) -> tuple[float, float]:
    """Sequences per second, and the seconds before the first one."""
    few = RECORDS // 4
    short, long = (
        statistics.median(seconds(way, Setting(folder, size, batch)) for _ in range(RUNS))
        for size in (few, RECORDS)
    )
    each = (long - short) / (RECORDS - few)
    return 1 / each, short - each * few


def rates(folder: Path) -> Iterator[str]:
    """A table of sequences per second."""
    yield "| batch | way | sequences/s | of both models | of both and float64 | to start, s |"
    yield "|---|---|---|---|---|---|"
    for batch in BATCHES:
        found = {name: rate(way, folder, batch) for name, way in WAYS.items()}
        (plain, _), (exact, _), *_ = found.values()
        for name, (per_second, start) in found.items():
            ratios = f"{per_second / plain:.2f} | {per_second / exact:.2f}"
            yield f"| {batch} | {name} | {per_second:.0f} | {ratios} | {start:.1f} |"


def peak_memory(folder: Path, records: int) -> int:
    """Bytes that a process of its own takes at most."""
    command = [sys.executable, "-m", __spec__.name, "--memory", str(folder), str(records)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(run.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        folder, records = arguments.memory
        on_beam(Setting(Path(folder), int(records), BATCHES[1]), IN_MEMORY)
        print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = (RECORDS // 4, RECORDS, 10 * RECORDS)
        prepare(folder, sizes)
        for line in rates(folder):
            print(line, flush=True)
        print("\n| records | MiB at most |\n|---|---|")
        for size in sizes[1:]:
            print(f"| {size} | {peak_memory(folder, size) / 2**20:.0f} |", flush=True)


if __name__ == "__main__":
    main()
