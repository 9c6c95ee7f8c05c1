"""The pipeline as a DAG of Airflow: every component a task, run by TFX's launcher.

Airflow reads its DAG files again and again, so that nothing here imports TFX or TensorFlow before
a task runs; the DAG is made from the config alone. TFX's own runner for Airflow cannot serve: it
wants the pipeline itself, and with it TensorFlow, whenever the file is read.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow import DAG
from airflow.decorators import task
from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.models.baseoperator import chain
from airflow.operators.python import get_current_context
from airflow.utils.task_group import TaskGroup
from airflow.utils.trigger_rule import TriggerRule

from pipelines.config import MigrationConfig, Migrations, check_config, load_migrations
from rnn_migrator.errors import MigrationError, Problem, UsageError
from rnn_migrator.files import own_temporary_folder

VARIABLE = "RNN_MIGRATOR_CONFIGS"
"""Environment variable that names a config, or a folder of configs."""

WRONG = "wrong-config"
"""What the DAG of a wrong config is called before the name of the file, and tagged."""

PREPARE, PUSHER, VERDICT, SUMMARY = "prepare", "Pusher", "verdict", "summary"
"""The first task of a model, the component that pushes, the last task; what ends many models."""

_OPTIONS: dict[str, Any] = {
    "schedule": None,
    "catchup": False,
    # A version is pushed on top of another, not beside it.
    "max_active_runs": 1,
    # Each is a process that loads TFX, about a GiB.
    "max_active_tasks": 4,
    "tags": ["rnn-migrator"],
}

_logger = logging.getLogger(__name__)


def create_dags(where: str | None) -> dict[str, DAG]:
    """The DAGs of a config, or of a folder of configs, by their names.

    A wrong config gets a DAG that says what is wrong with it, so that the others keep theirs:
    Airflow takes no DAG at all from a file that raises.

    Args:
      where: YAML file, or folder whose `*.yaml` are taken; None where nobody said.

    Raises:
      UsageError: There is no config.
    """
    dags: dict[str, DAG] = {}
    for file in _configs(where):
        try:
            dag = create_dag(file)
            if dag.dag_id in dags:
                raise UsageError(_twice(file, dag.dag_id))
        except UsageError as e:
            _logger.error("%s", e)
            dag = _dag_of_wrong(file, str(e))
        dags[dag.dag_id] = dag
    return dags


def create_dag(config: Path | str, **options: Any) -> DAG:
    """The DAG of a config; its name is that of the config.

    Each of many models has a group of tasks, by its name, and a last task sums them up.

    Args:
      config: YAML file, read again by every run.
      **options: Those of `airflow.DAG`, such as `schedule` or `default_args`.

    Raises:
      UsageError: The config is wrong.
    """
    file = Path(config).absolute()
    migrations = load_migrations(file)
    with DAG(dag_id=migrations.name, **{"description": str(file), **_OPTIONS, **options}) as dag:
        if migrations.only is not None:
            _add_tasks(str(file), "", migrations.only)
        else:
            _add_groups(str(file), migrations)
    return dag


def _dag_of_wrong(file: Path, said: str) -> DAG:
    """A DAG in the place of that of a wrong config: it says what is wrong, and fails if run."""

    @task(task_id="config")
    def fail() -> None:
        raise AirflowFailException(said)

    # Characters that no name of a DAG may have become numbers, which tell `a b` from `a_b`.
    name = re.sub(r"[^\w.-]", lambda found: f"-{ord(found[0]):x}-", file.stem)
    options = {**_OPTIONS, "tags": [*_OPTIONS["tags"], WRONG], "doc_md": f"```\n{said}\n```"}
    with DAG(dag_id=f"{WRONG}.{name}", description=str(file), **options) as dag:
        fail()
    return dag


def _add_groups(file: str, migrations: Migrations) -> None:
    """Adds the tasks of many models, and the one that sums them up."""
    runs, verdicts = {}, []
    for model, config in migrations.models.items():
        with TaskGroup(group_id=model):
            runs[model], verdict = _add_tasks(file, model, config)
            verdicts.append(verdict)
    chain(verdicts, _summary(file, runs))


def _add_tasks(file: str, model: str, config: MigrationConfig) -> tuple[Any, Any]:
    """Adds the tasks of a model, one after the other; gives the first and the last."""
    components = _components(config)
    run = _prepare(file, model, components)
    steps = [_component.override(task_id=name)(file, run, name) for name in components]
    verdict = _verdict(file, run)
    chain(run, *steps, _push(file, run), verdict)
    return run, verdict


def _configs(where: str | None) -> list[Path]:
    path = Path(where or "").expanduser()
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if where and files:
        return files
    raise UsageError(
        Problem(
            where=VARIABLE,
            expected="the YAML file of a migration, or a folder of such files",
            received=f"no *.yaml in {path}" if where else "nothing",
            remedy=f"set {VARIABLE} in the environment of Airflow's scheduler and of its workers",
        )
    )


def _twice(file: Path, name: str) -> Problem:
    return Problem(
        where=f"{file}: name",
        expected="a name that no other config of the folder has",
        received=name,
        remedy="name one of them otherwise: Airflow knows a DAG by its name",
    )


def _components(config: MigrationConfig) -> list[str]:
    """The components before Pusher that `pipelines.migration.create_pipeline` makes, in order."""
    data = config.evaluation.examples
    brought = {
        "LegacyModel": True,
        "Examples": data is not None,
        "Schema": data is not None and data.schema_file is not None,
    }
    return [*(name for name, is_there in brought.items() if is_there), *_WORKERS]


_WORKERS = ("RnnConverter", "EquivalenceEvaluator")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Fails a task for good where the migration is refused: it would be refused again."""
    try:
        yield
    except MigrationError as e:
        raise AirflowFailException(str(e)) from e


@task(task_id=PREPARE)
def _prepare(config_file: str, model: str, components: list[str]) -> dict[str, Any]:
    """Checks the migration of a model, and compiles one run of it for the tasks to come.

    The digests of all files are taken here: what changes while the run is under way is refused.
    """
    with _refusals():
        config = _config(config_file, model)
        check_config(config)

        from google.protobuf import json_format

        from pipelines.migration import create_pipeline
        from pipelines.runs import compile_run, connect, node_ids

        compiled = compile_run(create_pipeline(config), run_id := _run_id(model))
        if {*node_ids(compiled)} != {*components, PUSHER}:
            raise UsageError(_changed(config_file, [*components, PUSHER], node_ids(compiled)))
        # Airflow shows and keeps what tasks return, and a store may have a password.
        connect(compiled, None)
    return {"model": model, "run_id": run_id, "pipeline": json_format.MessageToDict(compiled)}


def _config(config_file: str, model: str) -> MigrationConfig:
    """The migration of a model, as the config has it now."""
    models = load_migrations(Path(config_file)).models
    if model in models:
        return models[model]
    raise UsageError(_changed(config_file, [model], list(models)))


def _run_id(model: str) -> str:
    """A name that no other DAG or model has, nor this run when it is cleared and begins anew."""
    context = get_current_context()
    run, attempt = context["dag_run"], context["ti"].try_number
    return ".".join(filter(None, (run.dag_id, model, run.run_id, str(attempt))))


def _changed(config_file: str, tasks: list[str], nodes: list[str]) -> Problem:
    return Problem(
        where=config_file,
        expected=f"what the DAG has tasks for: {', '.join(tasks)}",
        received=", ".join(nodes),
        remedy="wait until Airflow has read the changed config, then start another run",
    )


@task
def _component(config_file: str, run: dict[str, Any], name: str) -> None:
    """Runs one component."""
    _launch(config_file, run, name)


def _launch(config_file: str, run: dict[str, Any], name: str) -> None:
    from google.protobuf import json_format

    # TFX's first: it registers the messages that are packed into the pipeline.
    from tfx.orchestration.local import local_dag_runner  # noqa: F401
    from tfx.proto.orchestration import pipeline_pb2

    from pipelines.runs import connect, launch_node

    # TFX logs where it connects to, with the password.
    logging.getLogger("absl").setLevel(logging.WARNING)
    with _refusals(), own_temporary_folder():
        connection = _config(config_file, run["model"]).output.metadata.connection()
        compiled = json_format.ParseDict(run["pipeline"], pipeline_pb2.Pipeline())
        connect(compiled, connection)
        if not launch_node(compiled, name):
            _logger.info("%s is complete in run %s; clear %s too", name, run["run_id"], PREPARE)


@task(task_id=PUSHER)
def _push(config_file: str, run: dict[str, Any]) -> str:
    """Pushes a blessed model; skipped, with the reason, where the model is not blessed.

    Either way Pusher runs, so that ML Metadata says that nothing was pushed.
    """
    _launch(config_file, run, PUSHER)
    result = _result(config_file, run)
    if result.pushed is None:
        raise AirflowSkipException(f"pushed nothing: {result.evaluation['reason']}")
    return str(result.pushed)


@task(task_id=VERDICT, trigger_rule=TriggerRule.NONE_FAILED)
def _verdict(config_file: str, run: dict[str, Any]) -> dict[str, str]:
    """Ends the run: it fails where the model is not blessed, and no retry changes that."""
    result = _result(config_file, run)
    reason = result.evaluation["reason"]
    if not result.blessed:
        raise AirflowFailException(f"not blessed, and pushed nowhere: {reason}")
    _logger.info("blessed: %s", reason)
    return {
        "reason": reason,
        "model": str(result.model),
        "pushed": str(result.pushed),
        "evaluation": str(result.evaluation_file),
    }


def _result(config_file: str, run: dict[str, Any]) -> Any:
    from pipelines.local import read_result

    with _refusals():
        return read_result(_config(config_file, run["model"]), run["run_id"])


@task(task_id=SUMMARY, trigger_rule=TriggerRule.ALL_DONE)
def _summary(config_file: str, runs: dict[str, dict[str, Any] | None]) -> dict[str, str]:
    """Ends the run of many models: says what became of each, and fails unless all are blessed."""
    said = {model: _said(config_file, model, run) for model, run in runs.items()}
    for model, (_, words) in said.items():
        _logger.info("%s: %s", model, words)
    failed = [model for model, (blessed, _) in said.items() if not blessed]
    if failed:
        raise AirflowFailException(
            f"{len(said) - len(failed)} of {len(said)} blessed; not: {', '.join(failed)}"
        )
    return {model: words for model, (_, words) in said.items()}


def _said(config_file: str, model: str, run: dict[str, Any] | None) -> tuple[bool, str]:
    """Whether a model is blessed, and why; without a verdict the logs of its tasks say why."""
    if run is None:
        return False, f"refused; see the log of its task {model}.{PREPARE}"
    try:
        result = _result(config_file, run)
    except (AirflowFailException, LookupError):
        return False, "ended without a verdict; see the logs of its tasks"
    return result.blessed, result.evaluation["reason"]
