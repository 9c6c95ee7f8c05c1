"""One run of the pipeline by TFX's own launcher: all of it here, or a component at a time."""

from __future__ import annotations

import enum
from typing import Any

from rnn_migrator.errors import MigrationError, Problem, UsageError


class DagRunner(str, enum.Enum):
    """What goes from component to component of a run on this machine."""

    LOCAL = "local"
    BEAM = "beam"


def compile_run(pipeline: Any, run_id: str) -> Any:
    """What TFX's launcher works from, a `pipeline_pb2.Pipeline`.

    Args:
      pipeline: From `pipelines.migration.create_pipeline`.
      run_id: Name of the run in ML Metadata, which no other run of the same store may have.
    """
    from tfx.dsl.compiler import constants
    from tfx.dsl.compiler.compiler import Compiler
    from tfx.orchestration.portable.runtime_parameter_utils import substitute_runtime_parameter

    # The runner gives a run a name that it keeps to itself, unless it has one already.
    compiled = Compiler().compile(pipeline)
    substitute_runtime_parameter(compiled, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    return compiled


def launch(compiled: Any, dag_runner: DagRunner = DagRunner.LOCAL) -> None:
    """Runs all components of a compiled run.

    Args:
      compiled: From `compile_run`.
      dag_runner: LocalDagRunner goes from one to the next; BeamDagRunner makes each a step of a
        pipeline on Beam's direct runner.

    Raises:
      MigrationError: A component refused; those after it have not run.
    """
    if dag_runner is DagRunner.LOCAL:
        from tfx.orchestration.local.local_dag_runner import LocalDagRunner

        LocalDagRunner().run_with_ir(compiled)
        return
    from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner

    from rnn_migrator.equivalence.beam import as_raised

    try:
        BeamDagRunner().run_with_ir(compiled)
    except MigrationError as e:
        raise as_raised(e) from None


def connect(compiled: Any, connection: Any | None) -> None:
    """Says where ML Metadata of a compiled run is; None takes it out, with its password.

    Args:
      compiled: From `compile_run`; it is changed.
      connection: A `ConnectionConfig` of ML Metadata.
    """
    from tfx.proto.orchestration import pipeline_pb2

    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    compiled.deployment_config.Unpack(deployment)
    deployment.ClearField("metadata_connection_config")
    if connection is not None:
        deployment.metadata_connection_config.Pack(connection)
    compiled.deployment_config.Pack(deployment)


def node_ids(compiled: Any) -> list[str]:
    """Names of the components of a compiled run."""
    return [node.pipeline_node.node_info.id for node in compiled.nodes]


def launch_node(compiled: Any, node_id: str) -> bool:
    """Runs one component of a compiled run; those before it have run, here or elsewhere.

    Args:
      compiled: From `compile_run`.
      node_id: Name of the component.

    Returns:
      Whether it ran. What is complete in this very run is left alone: TFX would hand two results
      of one component to the next.

    Raises:
      UsageError: There is no such component.
    """
    if node_id not in node_ids(compiled):
        raise UsageError(
            Problem(
                where=node_id,
                expected=f"one of {', '.join(node_ids(compiled))}",
                received="a component that this run does not have",
                remedy="start another run: the config was changed after this one began",
            )
        )
    # The launcher finds what earlier components made in ML Metadata, not in what it is given.
    alone = type(compiled)()
    alone.CopyFrom(compiled)
    del alone.nodes[:]
    alone.nodes.extend(n for n in compiled.nodes if n.pipeline_node.node_info.id == node_id)
    if _is_complete(alone):
        return False
    launch(alone)
    return True


def _is_complete(compiled: Any) -> bool:
    """Whether the only component of a compiled run has succeeded in that run already."""
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable.mlmd import context_lib, execution_lib

    deployment = runner_utils.extract_local_deployment_config(compiled)
    connection = deployment.metadata_connection_config
    connection = getattr(connection, connection.WhichOneof("connection_config"))
    [node] = compiled.nodes
    with metadata.Metadata(connection) as handle:
        contexts = context_lib.prepare_contexts(handle, node.pipeline_node.contexts)
        found = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
        return any(execution_lib.is_execution_successful(execution) for execution in found)
