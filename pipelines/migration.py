"""The pipeline: a legacy model is imported, converted, evaluated, and pushed if it is blessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.types.artifact_utils import encode_split_names

from pipelines.config import Evaluation, ExamplesConfig, MigrationConfig
from rnn_migrator.equivalence.inputs.examples import find_files
from rnn_migrator.lineage.record import source_properties
from rnn_migrator.lineage.store import StoreAddress
from rnn_migrator.migration import describe_source
from rnn_migrator.readers import content_digest, open_artifact
from rnn_migrator.tfx_components.artifacts import LegacyModel
from rnn_migrator.tfx_components.converter.component import RnnConverter
from rnn_migrator.tfx_components.evaluator.component import EquivalenceEvaluator
from rnn_migrator.tfx_components.evaluator.executor import DataOptions
from rnn_migrator.tfx_components.pusher.component import Pusher

_SPLIT = "Split-"
"""What names of folders begin with that are splits of a data set."""


def create_pipeline(
    config: MigrationConfig,
    uri_of: Callable[[Path], str] = str,
    behind: Callable[[Mapping[str, BaseNode]], Sequence[BaseNode]] = lambda made: (),
) -> tfx.dsl.Pipeline:
    """The pipeline of a migration, for any orchestrator.

    The digest of the source is computed here and goes into the artifact that is imported, so that
    earlier results are taken for the same bytes only.

    Args:
      config: The migration; its files are read here, for their digests.
      uri_of: How components reach a file or folder of the config, where they run elsewhere.
      behind: Makes further components, given those of the migration by their names.

    Raises:
      MigrationError: The source, the architecture or a recording is not there.
    """
    importer = _source_importer(config, uri_of)
    legacy_model = importer.outputs["result"]
    converter = RnnConverter(
        legacy_model=legacy_model,
        settings=config.source.set,
        target=config.target,
        strict=config.strict,
        examples_signature=config.examples_signature,
        architecture=config.source.architecture,
        layers=config.source.declared,
        uri_of=uri_of,
    )
    importers = _importers(config.evaluation.examples, uri_of)
    evaluator = EquivalenceEvaluator(
        legacy_model=legacy_model,
        model=converter.outputs["model"],
        golden=config.evaluation.golden,
        data=_data_options(config.evaluation),
        **{name: one.outputs["result"] for name, one in importers.items()},
        thresholds=config.evaluation.thresholds,
        uri_of=uri_of,
    )
    pusher = Pusher(
        model=converter.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=uri_of(config.output.serving)
            )
        ),
    )
    components = [importer, *importers.values(), converter, evaluator, pusher]
    components += behind({component.id: component for component in components})
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=uri_of(config.output.root),
        components=components,
        enable_cache=config.cache,
        metadata_connection_config=_connection(config.output.metadata),
        beam_pipeline_args=list(config.beam_pipeline_args),
    )


def _source_importer(config: MigrationConfig, uri_of: Callable[[Path], str]) -> tfx.dsl.Importer:
    """What brings in the legacy model, with its digest."""
    source, architecture = config.source.path, config.source.architecture
    described = describe_source(config.request, open_artifact(source, architecture))
    if architecture:
        described["architecture"] = uri_of(architecture)
    return tfx.dsl.Importer(
        source_uri=uri_of(source),
        artifact_type=LegacyModel,
        reimport=False,
        custom_properties=source_properties(described),
    ).with_id("LegacyModel")


def _connection(metadata: StoreAddress) -> Any:
    """The connection to a store, the folder of its file made as TFX does it."""
    if metadata.file is None:
        return metadata.connection()
    return tfx.orchestration.metadata.sqlite_metadata_connection_config(str(metadata.file))


def _data_options(evaluation: Evaluation) -> DataOptions:
    data, search = evaluation.examples, evaluation.search
    options = DataOptions(search=dataclasses.asdict(search.space) if search else None)
    if data is None:
        return options
    return dataclasses.replace(
        options, splits=data.splits, features=data.features, batch=data.batch
    )


def _importers(
    data: ExamplesConfig | None, uri_of: Callable[[Path], str]
) -> dict[str, tfx.dsl.Importer]:
    """What brings in a data set and its schema, by the evaluator's argument.

    The digests go into the artifacts, so that no verdict on other data is taken from the cache.
    """
    if data is None:
        return {}
    files = [Path(file) for file in find_files(data.paths)]
    found = {
        "examples": _import(
            "Examples", uri_of(data.path), standard_artifacts.Examples, files, _splits(files)
        )
    }
    if data.schema_file is not None:
        file = data.schema_file
        found["schema"] = _import("Schema", uri_of(file), standard_artifacts.Schema, [file])
    return found


def _splits(files: Sequence[Path]) -> dict[str, str]:
    """The property by which TFX's own components know the splits of a data set, if it has any."""
    folders = {folder.name for file in files for folder in file.parents}
    names = sorted(name.removeprefix(_SPLIT) for name in folders if name.startswith(_SPLIT))
    return {"split_names": encode_split_names(names)} if names else {}


def _import(
    name: str,
    uri: str,
    kind: type[Artifact],
    files: Sequence[Path],
    properties: Mapping[str, str] | None = None,
) -> tfx.dsl.Importer:
    return tfx.dsl.Importer(
        source_uri=uri,
        artifact_type=kind,
        reimport=False,
        properties=dict(properties or {}),
        custom_properties={"sha256": content_digest(tuple(files))},
    ).with_id(name)
