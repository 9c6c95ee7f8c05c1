"""Executor of `EquivalenceEvaluator`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
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
          exec_properties: `golden` (JSON list of objects with `path`), `thresholds` and `data`
            (JSON objects: `Thresholds`, `DataOptions`); `converter_version` is there for the cache.

        Raises:
          MigrationError: Source, model or recordings cannot be read, or do not belong together.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        legacy_model = artifact_utils.get_single_instance(input_dict[keys.LEGACY_MODEL])
        model = artifact_utils.get_single_instance(input_dict[keys.MODEL])
        blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING])
        evaluation = artifact_utils.get_single_instance(output_dict[keys.EVALUATION])
        job = Job(
            source=legacy_model.uri,
            output=model.uri,
            inputs=_inputs(input_dict, exec_properties),
            thresholds=Thresholds(**json.loads(exec_properties[keys.THRESHOLDS])),
        )
        _logger.info("comparing the model with its source, on Beam")
        document = evaluate_on_beam(
            job, Path(evaluation.uri) / EVALUATION_FILE, self._make_beam_pipeline
        )
        conversion = read_conversion(Path(model.uri))
        write_report(document, conversion, Path(evaluation.uri) / REPORT_FILE)
        _logger.info(document["reason"])
        properties = record.evaluation_properties(document)
        write_properties(self._context, properties, evaluation, blessing)
        _bless(blessing, model, record.is_blessed(document))


def _inputs(input_dict: Mapping[str, Any], exec_properties: Mapping[str, Any]) -> Inputs:
    """What to compare on, as artifacts and execution properties say it."""
    options = DataOptions(**json.loads(exec_properties[keys.DATA]))
    golden = tuple(file["path"] for file in json.loads(exec_properties[keys.GOLDEN]))
    uris = [artifact.uri for artifact in input_dict.get(keys.EXAMPLES) or ()]
    schemas = input_dict.get(keys.SCHEMA)
    examples = search = None
    if uris:
        files = find_files(path for uri in uris for path in split_paths(uri, options.splits))
        schema = artifact_utils.get_single_uri(schemas) if schemas else ""
        examples = Examples(files, options.features, schema, options.batch)
    if options.search is not None:
        search = SearchSpace(**options.search)
    return Inputs(golden, examples, search)


def _bless(blessing: Artifact, model: Artifact, blessed: bool) -> None:
    """Says it as TFX's own Evaluator does."""
    Path(blessing.uri, keys.BLESSED_FILE if blessed else keys.NOT_BLESSED_FILE).touch()
    blessing.set_int_custom_property(keys.BLESSED, int(blessed))
    blessing.set_string_custom_property(keys.CURRENT_MODEL, model.uri)
    blessing.set_int_custom_property(keys.CURRENT_MODEL_ID, model.id)
