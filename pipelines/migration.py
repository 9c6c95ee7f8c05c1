"""The pipeline: a legacy model is imported, converted, evaluated, and pushed if it is blessed."""

from __future__ import annotations

from tfx import v1 as tfx

from pipelines.config import MigrationConfig
from rnn_migrator.lineage.record import source_properties
from rnn_migrator.migration import describe_source
from rnn_migrator.readers import open_artifact
from rnn_migrator.tfx_components.artifacts import LegacyModel
from rnn_migrator.tfx_components.converter.component import RnnConverter
from rnn_migrator.tfx_components.evaluator.component import EquivalenceEvaluator


def create_pipeline(config: MigrationConfig) -> tfx.dsl.Pipeline:
    """The pipeline of a migration, for any orchestrator.

    The digest of the source is computed here and goes into the artifact that is imported, so that
    earlier results are taken for the same bytes only.

    Args:
      config: The migration.

    Raises:
      MigrationError: The source, the architecture or a recording is not there.
    """
    artifact = open_artifact(config.source.path, config.source.architecture)
    importer = tfx.dsl.Importer(
        source_uri=str(config.source.path),
        artifact_type=LegacyModel,
        reimport=False,
        custom_properties=source_properties(describe_source(config.request, artifact)),
    ).with_id("LegacyModel")
    legacy_model = importer.outputs["result"]
    converter = RnnConverter(
        legacy_model=legacy_model,
        settings=config.source.set,
        target=config.target,
        strict=config.strict,
        architecture=config.source.architecture,
        layers=config.source.declared,
    )
    evaluator = EquivalenceEvaluator(
        legacy_model=legacy_model,
        model=converter.outputs["model"],
        golden=config.evaluation.golden,
        thresholds=config.evaluation.thresholds,
    )
    pusher = tfx.components.Pusher(
        model=converter.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=str(config.output.serving)
            )
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.output.root),
        components=[importer, converter, evaluator, pusher],
        enable_cache=config.cache,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(config.output.metadata)
        ),
        beam_pipeline_args=list(config.beam_pipeline_args),
    )
