"""The pipeline on this machine, of one model, by one of TFX's own runners."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from pipelines.config import MigrationConfig, check_config, load_config
from pipelines.runs import DagRunner, compile_run, launch
from pipelines.stages import only_stages
from rnn_migrator.errors import ExitStatus, Problem, UsageError
from rnn_migrator.files import read_json
from rnn_migrator.lineage import record
from rnn_migrator.lineage.graph import Artifact, is_cached, read_artifact
from rnn_migrator.lineage.query import LineageAnswer, answer, push_destination
from rnn_migrator.lineage.store import StoreAddress, open_store
from rnn_migrator.migration import read_conversion
from rnn_migrator.progress import Stages, silent


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
      run_id: Its name in ML Metadata.
      blessed: Whether the model may replace the old one.
      model: Folder of the converted model, an output of `rnn-migrate convert`.
      conversion: Content of its `conversion.json`.
      evaluation_file: The `evaluation.json`; `report.html` lies beside it.
      evaluation: Its content; `reason` is the verdict in one line.
      pushed: Folder the model was pushed to, None if it is not blessed.
      cached: Components whose earlier result was taken, since nothing had changed.
      metadata: Store of ML Metadata.
      lineage: What ML Metadata says of the model.
    """

    run_id: str
    blessed: bool
    model: Path
    conversion: dict[str, Any]
    evaluation_file: Path
    evaluation: dict[str, Any]
    pushed: Path | None
    cached: tuple[str, ...]
    metadata: StoreAddress
    lineage: LineageAnswer

    @property
    def status(self) -> ExitStatus:
        """The exit status of the command."""
        return ExitStatus.OK if self.blessed else ExitStatus.NOT_EQUIVALENT


def run_local(
    config_path: Path, progress: Stages = silent, dag_runner: DagRunner = DagRunner.LOCAL
) -> RunResult:
    """Runs the migration of a config on this machine; see `run_migration`.

    Raises:
      MigrationError: The config is wrong, or the source cannot be converted.
    """
    return run_migration(load_config(config_path), progress, dag_runner)


def run_migration(
    config: MigrationConfig, progress: Stages = silent, dag_runner: DagRunner = DagRunner.LOCAL
) -> RunResult:
    """Runs a migration on this machine, from the legacy artifact to the pushed model.

    A model that is not blessed is not pushed; that is a result, not an error.

    Args:
      config: The migration.
      progress: Told each stage before it begins.
      dag_runner: What goes from component to component.

    Raises:
      MigrationError: The source cannot be converted, or the data do not belong to it.
    """
    progress("reading and recognising the source")
    check_config(config)
    progress("loading TFX, which takes a while")
    with only_stages(progress):
        from pipelines.migration import create_pipeline

        run_id = datetime.datetime.now(datetime.timezone.utc).isoformat()
        launch(compile_run(create_pipeline(config), run_id), dag_runner)
    return read_result(config, run_id)


def read_result(config: MigrationConfig, run_id: str) -> RunResult:
    """What a run came to, as ML Metadata and the folders of the run say it.

    Args:
      config: The migration.
      run_id: Name of the run in ML Metadata.

    Raises:
      MigrationError: What it made, or what it took from an earlier run, is not there any more.
    """
    from rnn_migrator.equivalence.beam import EVALUATION_FILE

    metadata = config.output.metadata
    store = open_store(metadata)
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    executions = sorted(store.get_executions_by_context(context.id), key=lambda e: e.id)
    events = store.get_events_by_execution_ids([execution.id for execution in executions])
    artifacts = store.get_artifacts_by_id({event.artifact_id for event in events})
    made = {artifact.type: read_artifact(artifact, artifact.type) for artifact in artifacts}
    model = Path(made[record.MODEL].uri)
    pushed = _pushed(made[record.PUSHED_MODEL], config)
    asked = made[record.PUSHED_MODEL if pushed else record.MODEL]
    evaluation_file = Path(made[record.EVALUATION].uri) / EVALUATION_FILE
    evaluation = read_json(evaluation_file)
    return RunResult(
        run_id=run_id,
        blessed=record.is_blessed(evaluation),
        model=model,
        conversion=read_conversion(model),
        evaluation_file=evaluation_file,
        evaluation=evaluation,
        pushed=pushed,
        cached=tuple(e.type.rpartition(".")[-1] for e in executions if is_cached(e)),
        metadata=metadata,
        lineage=answer(store, asked, str(pushed or model), str(metadata)),
    )


def _pushed(artifact: Artifact, config: MigrationConfig) -> Path | None:
    """Where the model was pushed to; an earlier push that was taken from the cache must be there.

    Raises:
      UsageError: It has been removed since.
    """
    destination = push_destination(artifact)
    if not destination or Path(destination).is_dir():
        return Path(destination) if destination else None
    raise UsageError(
        Problem(
            where=str(config.output.serving),
            expected=f"the model that an earlier run of {config.name} pushed to {destination}",
            received="no such folder",
            remedy="run once with `cache: false` in the config, to convert and push it again",
        )
    )
