"""Executor of `EquivalenceEvaluator`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from rnn_migrator.equivalence.beam import EVALUATION_FILE, Job, evaluate_on_beam
from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.equivalence.inputs.examples import (
    DEFAULT_BATCH,
    Examples,
    find_files,
    split_paths,
)
from rnn_migrator.equivalence.inputs.plan import Inputs
from rnn_migrator.equivalence.inputs.search import SearchSpace
from rnn_migrator.equivalence.report import REPORT_FILE, write_report
from rnn_migrator.lineage import record
from rnn_migrator.migration import read_conversion
from rnn_migrator.tfx_components import keys
from rnn_migrator.tfx_components.recording import write_properties
from rnn_migrator.tfx_components.staging import Staging

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """How data is taken, as it travels in an execution property.

    Attributes:
      splits: Of the examples, all for none.
      features: Name of the feature by name of the model's input, where they differ.
      batch: Records that are compared at a time, at most.
      search: Fields of a `SearchSpace`, None for no search.
    """

    splits: Sequence[str] = ()
    features: Mapping[str, str] = dataclasses.field(default_factory=dict)
    batch: int = DEFAULT_BATCH
    search: Mapping[str, Any] | None = None


class Executor(BaseBeamExecutor):
    """Calls `evaluate_on_beam`."""

    def __init__(self, context: BaseBeamExecutor.Context | None = None) -> None:
        """Takes Beam's arguments as they are.

        Args:
          context: What TFX says of the execution.
        """
        # Not BaseBeamExecutor's: at every run it packs the source of TFX for workers elsewhere,
        # which need this package too (docs/runners.md), leaves 49 MB of it in the temporary
        # folder, and reads the arguments of whatever command is running as flags of its own.
        BaseExecutor.__init__(self, context)
        self._beam_pipeline_args = list(context.beam_pipeline_args or ()) if context else []
        self._make_beam_pipeline_fn = context.make_beam_pipeline_fn if context else None

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Compares one converted model with its source, and blesses it or not.

        Args:
          input_dict: `legacy_model`: one `LegacyModel`; `model`: the `Model` that `RnnConverter`
            made of it; perhaps `examples`: any number of `Examples`, and `schema`: one `Schema`.
          output_dict: `evaluation`: one `ModelEvaluation`, gets `evaluation.json` and the page
            `report.html`. `blessing`: one
            `ModelBlessing`, gets the empty file `BLESSED` or `NOT_BLESSED` and the custom
            properties of TFX's own Evaluator (`blessed`, `current_model`, `current_model_id`).
            Both get `record.evaluation_properties`: verdict, reason, figures.
          exec_properties: `golden` (JSON list of objects with `path`, a path or URI, and
            `sha256`), `thresholds` and `data` (JSON objects: `Thresholds`, `DataOptions`);
            `converter_version` is there for the cache.

        Raises:
          MigrationError: Source, model or recordings cannot be read, or do not belong together.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        legacy_model = artifact_utils.get_single_instance(input_dict[keys.LEGACY_MODEL])
        model = artifact_utils.get_single_instance(input_dict[keys.MODEL])
        blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING])
        evaluation = artifact_utils.get_single_instance(output_dict[keys.EVALUATION])
        with Staging() as staging:
            job = Job(
                source=str(staging.source(legacy_model.uri)),
                output=str(staging.source(model.uri)),
                inputs=_inputs(input_dict, exec_properties, staging),
                thresholds=Thresholds(**json.loads(exec_properties[keys.THRESHOLDS])),
            )
            folder = staging.output(evaluation.uri)
            _logger.info("comparing the model with its source, on Beam")
            document = evaluate_on_beam(job, folder / EVALUATION_FILE, self._make_beam_pipeline)
            conversion = read_conversion(Path(job.output))
            write_report(document, conversion, folder / REPORT_FILE)
            _bless(blessing, model, staging.output(blessing.uri), record.is_blessed(document))
        _logger.info(document["reason"])
        properties = record.evaluation_properties(document)
        write_properties(self._context, properties, evaluation, blessing)


def _inputs(
    input_dict: Mapping[str, Any], exec_properties: Mapping[str, Any], staging: Staging
) -> Inputs:
    """What to compare on, as artifacts and execution properties say it."""
    options = DataOptions(**json.loads(exec_properties[keys.DATA]))
    recorded = json.loads(exec_properties[keys.GOLDEN])
    golden = tuple(str(staging.source(file["path"], file["sha256"])) for file in recorded)
    uris = [artifact.uri for artifact in input_dict.get(keys.EXAMPLES) or ()]
    schemas = input_dict.get(keys.SCHEMA)
    examples = search = None
    if uris:
        files = find_files(path for uri in uris for path in split_paths(uri, options.splits))
        schema = str(staging.source(artifact_utils.get_single_uri(schemas))) if schemas else ""
        examples = Examples(files, options.features, schema, options.batch)
    if options.search is not None:
        search = SearchSpace(**options.search)
    return Inputs(golden, examples, search)


def _bless(blessing: Artifact, model: Artifact, folder: Path, blessed: bool) -> None:
    """Says it as TFX's own Evaluator does."""
    Path(folder, keys.BLESSED_FILE if blessed else keys.NOT_BLESSED_FILE).touch()
    blessing.set_int_custom_property(keys.BLESSED, int(blessed))
    blessing.set_string_custom_property(keys.CURRENT_MODEL, model.uri)
    blessing.set_int_custom_property(keys.CURRENT_MODEL_ID, model.id)
