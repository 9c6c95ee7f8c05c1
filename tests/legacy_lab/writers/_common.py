"""What every writer shares: reproducible arrays, golden files, case.json and the command line."""

import argparse
import json
import platform
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Match, Sequence

import numpy as np

Arrays = Dict[str, np.ndarray]
Description = Dict[str, Any]
CaseWriter = Callable[[Path], Description]

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def random_array(name: str, shape: Sequence[int], seed: int, scale: float = 1.0) -> np.ndarray:
    """Returns normal float32 values that depend on the name and the seed only."""
    random = np.random.RandomState(zlib.crc32("{}/{}".format(seed, name).encode()) % 2**32)
    return (scale * random.standard_normal(tuple(shape))).astype(np.float32)


def random_weight(name: str, shape: Sequence[int], seed: int, scale: float = 0.5) -> np.ndarray:
    """Returns a weight or bias whose gates really move, every third column twice as large."""
    values = random_array(name, shape, seed, scale)
    values[..., ::3] *= 2.0
    return values


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an ordinary .npz, with fixed entry dates so that equal values give equal bytes."""
    with zipfile.ZipFile(str(path), "w") as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(name + ".npy", date_time=ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)


def write_golden(path: Path, inputs: Arrays, outputs: Arrays) -> str:
    """Writes one golden file and returns its name.

    Args:
        path: The file to write.
        inputs: What was fed, by name.
        outputs: What the old framework answered, by name.

    Raises:
        ValueError: An output is not finite: such a golden proves nothing.
    """
    for name, values in outputs.items():
        if not np.all(np.isfinite(values)):
            raise ValueError("Golden output is not finite. Received: {} in {}".format(name, path))
    arrays = {"in:" + name: values for name, values in inputs.items()}
    arrays.update({"out:" + name: values for name, values in outputs.items()})
    write_npz(path, arrays)
    return path.name


def shape_on_one_line(listed: Match[str]) -> str:
    """Returns a JSON list of numbers without its line breaks."""
    return "[{}]".format(", ".join(re.findall(r"\d+", listed.group())))


def write_case(folder: Path, description: Description) -> None:
    """Writes case.json."""
    text = re.sub(r"\[[\s\d,]*\]", shape_on_one_line, json.dumps(description, indent=2))
    (folder / "case.json").write_text(text + "\n", encoding="utf-8")


def run_writer(script: str, framework: str, version: str, cases: Mapping[str, CaseWriter]) -> None:
    """Runs the command line of a writer script.

    Args:
        script: The script's own `__file__`.
        framework: The old framework's name, for case.json.
        version: Its version.
        cases: The function that writes each case; it gets an empty folder and returns what
            case.json says besides the case's name, family and writer.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", metavar="CASE")
    arguments = parser.parse_args()
    writer = {
        "framework": framework,
        "version": version,
        "python": platform.python_version(),
        "script": Path(script).name,
    }
    for name, write in cases.items():
        if arguments.only in (None, name):
            folder = arguments.output / name
            folder.mkdir(parents=True)
            head = {"name": name, "family": Path(script).stem, "writer": writer}
            head.update(write(folder))
            write_case(folder, head)
