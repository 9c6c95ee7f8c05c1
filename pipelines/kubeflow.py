"""The pipeline for Kubeflow Pipelines v2, and so for Vertex AI: a spec to submit, not a run."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.config import MigrationConfig, Migrations, check_config, load_config, load_migrations
from pipelines.places import Places
from pipelines.stages import only_stages
from rnn_migrator.errors import MigrationError, Problem, UsageError, raise_all
from rnn_migrator.files import atomic_file
from rnn_migrator.progress import Stages, silent
from rnn_migrator.readers import open_artifact

_SUFFIX = ".yaml"
"""The backend takes no other form of schema 2.1.0."""

_NAME = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[A-Za-z0-9.-]+(?::\d+)?/)?{_NAME}(?:/{_NAME})*"
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
"""Name of a container image: host, path, tag and digest; all but the path may be left out."""

_LOCAL_RUNNER = "DirectRunner"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What was compiled, and what it expects to find.

    Attributes:
      file: The spec.
      needs: The files that the run reads, as this machine knows them, by the URI where it looks.
      root: URI of the runs.
      serving: URI that blessed models are pushed to.
    """

    file: Path
    needs: dict[str, Path]
    root: str
    serving: str


@dataclasses.dataclass(frozen=True)
class Compilation:
    """What became of each model of a config, by its name; that of the only one is "".

    Attributes:
      compiled: What was compiled.
      refused: Why the others were not.
    """

    compiled: Mapping[str, Compiled]
    refused: Mapping[str, MigrationError]


def compile_pipeline(
    config_path: Path,
    target: Path,
    image: str,
    places: Sequence[str] = (),
    progress: Stages = silent,
) -> Compiled:
    """Compiles the pipeline of a migration.

    The source, the architecture and the recordings are read here for their digests; a run refuses
    other bytes. A source that cannot be converted is refused at once.

    Args:
      config_path: YAML file of the migration.
      target: The spec to write, `*.yaml`, whole or not at all; an older one is replaced.
      image: Container image that every step runs in.
      places: `FOLDER=URI` texts: where the steps find what lies in a folder of this machine.
      progress: Told each stage before it begins.

    Raises:
      MigrationError: An argument or the config is wrong, or names many models, or the source
        cannot be converted.
    """
    load_config(config_path)
    return compile_pipelines(config_path, target, image, places, progress).compiled[""]


def compile_pipelines(
    config_path: Path,
    target: Path,
    image: str,
    places: Sequence[str] = (),
    progress: Stages = silent,
) -> Compilation:
    """Compiles the pipeline of each model of a config.

    One of many models that cannot be converted does not stop the others.

    Args:
      config_path: YAML file of one migration or of many.
      target: The spec, as for `compile_pipeline`; of many models the folder for their specs.
      image: See `compile_pipeline`.
      places: See `compile_pipeline`.
      progress: Told each stage before it begins.

    Raises:
      MigrationError: An argument or the config is wrong, or the only source cannot be converted.
    """
    migrations = load_migrations(config_path)
    _check_arguments(migrations, target, image)
    uri_of = Places.parse(places)
    if migrations.only is not None:
        return Compilation({"": _compile(migrations.only, target, image, uri_of, progress)}, {})
    compiled: dict[str, Compiled] = {}
    refused: dict[str, MigrationError] = {}
    for model, config in migrations.models.items():
        file = target / f"{model}{_SUFFIX}"
        try:
            compiled[model] = _compile(config, file, image, uri_of, progress)
        except MigrationError as e:
            file.unlink(missing_ok=True)
            refused[model] = e
    return Compilation(compiled, refused)


def _compile(
    config: MigrationConfig, target: Path, image: str, uri_of: Places, progress: Stages
) -> Compiled:
    progress(f"{config.name}: reading and recognising the source")
    check_config(config)
    compiled = _expectations(config, target, uri_of)
    _check_runner(config, compiled)
    progress(f"{config.name}: compiling, for which TFX is loaded")
    with only_stages(progress):
        from pipelines.migration import create_pipeline

        spec = _spec(create_pipeline(config, uri_of), image)
    with atomic_file(target) as scratch:
        # The compiler leaves the root to whoever submits the spec.
        content = yaml.safe_dump({**spec, "defaultPipelineRoot": compiled.root})
        scratch.write_text(content, "utf-8")
    return compiled


def _check_arguments(migrations: Migrations, target: Path, image: str) -> None:
    problems = []
    if migrations.only is None and (target.suffix == _SUFFIX or target.is_file()):
        problems.append(
            Problem(
                where="--kubeflow",
                expected=f"a folder, since the config has {len(migrations.models)} models",
                received=str(target),
                remedy=f"name it {target.stem}",
            )
        )
    elif migrations.only is not None and (target.suffix != _SUFFIX or target.is_dir()):
        problems.append(
            Problem(
                where="--kubeflow",
                expected=f"a file to write, named *{_SUFFIX}",
                received="a folder" if target.is_dir() else str(target),
                remedy=f"name it {target.with_suffix(_SUFFIX).name or 'pipeline.yaml'}",
            )
        )
    if not _IMAGE.fullmatch(image):
        problems.append(
            Problem(
                where="--image",
                expected="the name of a container image",
                received=repr(image),
                remedy="build the image of the Dockerfile, push it, and name it as you did then: "
                "registry.example.com/team/rnn-migrator:0.1.0",
            )
        )
    raise_all(UsageError, problems)


def _expectations(config: MigrationConfig, target: Path, uri_of: Places) -> Compiled:
    """What the run will look for, under which URIs; all that have none are refused at once."""
    source, output, data = config.source, config.output, config.evaluation.examples
    files = [*open_artifact(source.path, source.architecture).files, *config.evaluation.golden]
    if data is not None:
        files += map(Path, data.examples.files)
    optional = (source.architecture, data.schema_file if data else None)
    files += [file for file in optional if file is not None]
    uri_of.check(source.path, *files, output.root, output.serving)
    return Compiled(
        target,
        {uri_of(file): file for file in dict.fromkeys(files)},
        uri_of(output.root),
        uri_of(output.serving),
    )


def _check_runner(config: MigrationConfig, compiled: Compiled) -> None:
    """Refuses Beam workers that could not see what a step copies out of a bucket."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner", default=_LOCAL_RUNNER)
    runner = parser.parse_known_args(config.beam_pipeline_args)[0].runner
    uris = (*compiled.needs, compiled.root)
    if runner != _LOCAL_RUNNER and not all(uri.startswith("file:") for uri in uris):
        raise UsageError(
            Problem(
                where="beam_pipeline_args",
                expected=f"--runner={_LOCAL_RUNNER}, since the step copies what it compares into "
                "its own container",
                received=f"--runner={runner}",
                remedy="leave the runner out, or map the folders to file:// on a volume that the "
                "workers share",
            )
        )


def _spec(pipeline: Any, image: str) -> dict[str, Any]:
    """The pipeline spec as JSON values."""
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )

    # The backend accepts schema 2.1.0 only, and the compiler writes 2.0.0 unless it is told.
    settings = KubeflowV2DagRunnerConfig(default_image=image, use_pipeline_spec_2_1=True)
    job = KubeflowV2DagRunner(settings).run(pipeline, write_out=False)
    return job["pipelineSpec"]
