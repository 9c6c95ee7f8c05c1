"""Rebuilds the golden artifacts in the real old frameworks.

    python tests/legacy_lab/build.py [--only CASE] [--output DIR]

Makes a virtual environment with each old framework (once), runs the writer scripts inside it and
puts what they wrote under artifacts/. Needs nothing but the standard library and the old Python
interpreters.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ENVIRONMENTS", "Environment", "LabError", "build", "main"]

LAB = Path(__file__).resolve().parent
VENVS = LAB / ".venvs"
STAMP = "installed.txt"
PIPS = {"3.6": "pip==21.3.1"}
"""Where the pip that comes with an interpreter is older than some of the pinned wheels."""


class LabError(Exception):
    """The lab cannot be rebuilt; the message says what to do about it."""


@dataclass(frozen=True)
class Environment:
    """One old framework's environment.

    Attributes:
        name: Name of the environment and of its file of pins.
        python: The interpreter's version, `major.minor`.
        writers: The scripts that run inside.
        cases: How the names of the cases begin that they write.
    """

    name: str
    python: str
    writers: tuple[str, ...]
    cases: tuple[str, ...]

    @property
    def pins(self) -> Path:
        """The file of pinned packages."""
        return LAB / "environments" / f"{self.name}.txt"

    @property
    def folder(self) -> Path:
        """Where the virtual environment lives."""
        return VENVS / self.name

    @property
    def interpreter(self) -> Path:
        """The virtual environment's Python."""
        return self.folder / "bin" / "python"

    @property
    def override(self) -> str:
        """The environment variable that names the base interpreter."""
        return f"LEGACY_LAB_PYTHON{self.python.replace('.', '')}"


ENVIRONMENTS = (
    Environment(
        name="tf1_15_keras2_2",
        python="3.7",
        writers=(
            "tf1_lstm.py",
            "tf1_gru.py",
            "tf1_handwritten.py",
            "tf1_handwritten_gru.py",
            "tf1_two_scopes.py",
            "tf_cells_1_15.py",
            "tf_cells_1_15_stored.py",
            "tf_cells_1_15_cudnn.py",
            "tf_cells_1_15_handwritten.py",
            "keras2_lstm.py",
            "keras2_gru.py",
            "keras2_models.py",
            "keras2_recurrent.py",
            "keras2_heads.py",
            "keras2_masked.py",
            "tf_keras_1_15.py",
        ),
        cases=("tf1_", "keras2_", "tfkeras1_15_"),
    ),
    Environment(
        name="keras1_2",
        python="3.6",
        writers=("keras1_models.py", "keras1_theano.py", "tf_cells_old.py"),
        cases=("keras1_", "tf1_0_"),
    ),
    Environment(
        name="tf0_12",
        python="3.6",
        writers=("tf_cells_old.py",),
        cases=("tf0_12_",),
    ),
    Environment(
        name="keras2_0",
        python="3.6",
        writers=(
            "keras2_0_models.py",
            "keras2_0_theano.py",
            "tf_keras_1_4.py",
            "tf_cells_1_4.py",
            "tf_cells_1_4_cudnn.py",
        ),
        cases=("keras2_0_", "tfkeras1_4_", "tf1_4_"),
    ),
    Environment(
        name="tf1_3",
        python="3.6",
        writers=("tf_cells_1_3.py",),
        cases=("tf1_3_",),
    ),
    Environment(
        name="keras2_3",
        python="3.7",
        writers=("keras2_3_models.py",),
        cases=("keras2_3_",),
    ),
    Environment(
        name="tf_keras_1_13",
        python="3.6",
        writers=("tf_keras_1_13.py",),
        cases=("tfkeras1_13_",),
    ),
    Environment(
        name="tf_keras_2_4",
        python="3.8",
        writers=("tf_keras_2_4.py",),
        cases=("tfkeras2_4_",),
    ),
    Environment(
        name="tf_keras_2_15",
        python="3.11",
        writers=("tf_keras_2_15.py",),
        cases=("tfkeras2_15_",),
    ),
)


def candidate_interpreters(environment: Environment) -> Iterator[str]:
    """Yields where the base interpreter may be, the surest place first."""
    if environment.override in os.environ:
        yield os.environ[environment.override]
        return
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in pyenv.glob(f"versions/{environment.python}.*/bin/python"):
        yield str(found)
    on_path = shutil.which(f"python{environment.python}")
    if on_path:
        yield on_path


def is_version(interpreter: str, version: str) -> bool:
    """Returns whether an interpreter runs and has the version `major.minor`."""
    command = [interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        # A pyenv shim exists on PATH even where the version behind it is switched off.
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.stdout.strip() == version


def find_interpreter(environment: Environment) -> str:
    """Returns the base interpreter of an environment.

    Raises:
        LabError: There is none on this machine.
    """
    for interpreter in candidate_interpreters(environment):
        if is_version(interpreter, environment.python):
            return interpreter
    raise LabError(
        f"{environment.name} needs a Python {environment.python} interpreter, and none was found. "
        f"Install one (pyenv install {environment.python}), or set {environment.override} to "
        f"its path. Received: "
        f"{environment.override}={os.environ.get(environment.override)!r}"
    )


def is_installed(environment: Environment) -> bool:
    """Returns whether the virtual environment is complete and has the present pins."""
    stamp = environment.folder / STAMP
    return stamp.is_file() and stamp.read_text() == environment.pins.read_text()


def install(environment: Environment) -> None:
    """Makes the virtual environment, unless a complete one is there."""
    if is_installed(environment):
        return
    interpreter = find_interpreter(environment)
    print(f"{environment.name}: installing with {interpreter}", flush=True)
    shutil.rmtree(environment.folder, ignore_errors=True)
    run([interpreter, "-m", "venv", str(environment.folder)])
    # The pins are complete, and the old resolver would only find reasons to disagree with them.
    pip = [str(environment.interpreter), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    if environment.python in PIPS:
        run([*pip, "install", PIPS[environment.python]])
    run([*pip, "install", "--no-deps", "--requirement", str(environment.pins)])
    shutil.copyfile(environment.pins, environment.folder / STAMP)


def run(command: list[str], **variables: str) -> None:
    """Runs a command away from this interpreter's own settings.

    Raises:
        LabError: It failed.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    process = subprocess.run(command, env={**inherited, **variables}, cwd=LAB, check=False)
    if process.returncode:
        raise LabError(f"Exit status {process.returncode} from: {' '.join(command)}")


def run_writer(environment: Environment, script: str, output: Path, only: str | None) -> None:
    """Runs one writer script; it makes a folder for each case it writes."""
    print(f"{environment.name}: {script}", flush=True)
    # The code of a Lambda keeps the path of its file, which should not be one of this machine.
    command = [str(environment.interpreter), f"writers/{script}", "--output", str(output)]
    if only:
        command += ["--only", only]
    run(
        command,
        # Keras takes settings from ~/.keras, and writes them there.
        HOME=str(output.parent / "home"),
        CUDA_VISIBLE_DEVICES="",
        PYTHONDONTWRITEBYTECODE="1",
        # Python 3.6 saves the slices of a variable in the order of their hashes.
        PYTHONHASHSEED="0",
        PYTHONWARNINGS="ignore",
        TF_CPP_MIN_LOG_LEVEL="3",
    )


def replace_folder(new: Path, old: Path, attic: Path) -> None:
    """Puts a complete folder where another may be; the other goes to the attic."""
    if old.exists():
        old.rename(attic / old.name)
    new.rename(old)


def environments_of(case: str | None) -> list[Environment]:
    """Returns the environments that may write a case, or all if none is named."""
    if case is None:
        return list(ENVIRONMENTS)
    fitting = [e for e in ENVIRONMENTS if case.startswith(e.cases)]
    # A release's cases also begin as those of its older namesake: `tf1_0_` with `tf1_`.
    longest = max((p for e in fitting for p in e.cases if case.startswith(p)), key=len, default="")
    return [environment for environment in fitting if longest in environment.cases]


def build(output: Path, only: str | None = None) -> list[str]:
    """Rebuilds the cases of every environment.

    Args:
        output: The folder that holds the cases' folders.
        only: The one case to rebuild, or None for all.

    Returns:
        The names of the cases that were written.

    Raises:
        LabError: An interpreter is missing, a writer failed or no writer knows the case.
    """
    output.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory(prefix=".building-", dir=output) as scratch:
        fresh, attic, home = (Path(scratch, name) for name in ("fresh", "attic", "home"))
        for folder in (fresh, attic, home):
            folder.mkdir()
        for environment in environments_of(only):
            install(environment)
            for script in environment.writers:
                run_writer(environment, script, fresh, only)
        for folder in sorted(fresh.iterdir()):
            replace_folder(folder, output / folder.name, attic)
            written.append(folder.name)
    if not written:
        raise LabError(f"No writer knows this case. Received: --only {only}")
    return written


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Rebuild the legacy lab's golden artifacts.")
    parser.add_argument("--only", metavar="CASE", help="rebuild this case only")
    parser.add_argument("--output", type=Path, default=LAB / "artifacts", metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        written = build(options.output.resolve(), options.only)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(written)} written to {options.output}: {', '.join(written)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
