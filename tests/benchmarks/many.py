"""How long a hundred artifacts take at once, and one at a time.

python -m tests.benchmarks.many     prints two tables; takes half an hour, and wants a quiet machine

The artifacts are every second one of the legacy lab, each with its recordings, and two damaged
ones. One at a time takes too long for all, so that it is measured for every tenth.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pipelines.config import load_migrations
from rnn_migrator.files import read_json
from tests.legacy_lab.cases import Case, load_cases

ALL, EVERY, DAMAGED = 100, 10, 2
CORES = ["--runner=DirectRunner", "--direct_running_mode=multi_threading"]
ONE = ["--runner=DirectRunner", "--direct_running_mode=in_memory"]


def entry(case: Case) -> dict[str, Any]:
    """A lab artifact as an entry of a config."""
    source: dict[str, Any] = {"path": str(case.source), "set": case.settings}
    if case.architecture:
        source["architecture"] = str(case.architecture)
    golden = [str(file) for file in case.goldens.values()]
    name = case.name.replace("_", "-")
    return {"name": name, "source": source, "evaluation": {"golden": golden}}


def damaged(folder: Path) -> list[dict[str, Any]]:
    """A file that was cut short, and one of other bytes."""
    [case] = (case for case in load_cases().values() if case.name == "keras2_seq2seq")
    content = case.source.read_bytes()
    found = []
    for name, data in {"cut": content[:3000], "other": content[::-1]}.items():
        file = folder / f"{name}.h5"
        file.write_bytes(data)
        found.append({"name": name, "source": {"path": str(file)}})
    return found


def write(file: Path, root: str, models: list[dict[str, Any]], fan_out: list[str]) -> Path:
    """A config of some models."""
    content = {"name": "lab", "models": models, "fan_out": fan_out, "output": {"root": root}}
    file.write_text(yaml.safe_dump(content))
    return file


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def command(config: Path) -> None:
    """`rnn-migrate run CONFIG`, whatever becomes of the models."""
    words = [sys.executable, "-m", "rnn_migrator.cli.main", "run", str(config)]
    subprocess.run(words, capture_output=True, check=False)


def alone(folder: Path, models: list[dict[str, Any]]) -> None:
    """A command for each, one after the other."""
    for model in models:
        content = {**model, "output": {"root": f"alone/{model['name']}"}}
        config = folder / "alone.yaml"
        config.write_text(yaml.safe_dump(content))
        command(config)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = list(load_cases().values())[::2][: ALL - DAMAGED]
        models = [*map(entry, cases), *damaged(folder)]
        few = models[::EVERY]
        config = write(folder / "all.yaml", "all", models, [*CORES, "--direct_num_workers=0"])
        assert len(load_migrations(config).models) == ALL
        took = seconds(lambda: command(config))
        found = read_json(folder / "all" / "summary.json")
        print(f"{ALL} artifacts: {took:.0f} s, {found['tally']}", flush=True)
        for model, one in found["models"].items():
            if one["verdict"] != "blessed":
                print(f"  {model}: {one['verdict']}: {one['reason'][:150]}", flush=True)
        ways = {
            "at once": write(folder / "few.yaml", "few", few, [*CORES, "--direct_num_workers=0"]),
            "one at a time, in one run": write(folder / "one.yaml", "one", few, ONE),
        }
        times = {way: seconds(lambda file=file: command(file)) for way, file in ways.items()}
        times["one at a time, a command for each"] = seconds(lambda: alone(folder, few))
        print(f"\n| {len(few)} of them | seconds | ratio |\n|---|---|---|")
        for way, took in times.items():
            print(f"| {way} | {took:.0f} | {took / times['at once']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
