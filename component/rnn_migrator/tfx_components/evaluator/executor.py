"""Executor of `EquivalenceEvaluator`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from rnn_migrator.equivalence.beam import EVALUATION_FILE, Job, evaluate_on_beam
from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.equivalence.report import REPORT_FILE, write_report
from rnn_migrator.lineage import record
from rnn_migrator.migration import read_conversion
from rnn_migrator.tfx_components import keys
from rnn_migrator.tfx_components.recording import write_properties

_logger = logging.getLogger(__name__)


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
            made of it.
          output_dict: `evaluation`: one `ModelEvaluation`, gets `evaluation.json` and the page
            `report.html`. `blessing`: one
            `ModelBlessing`, gets the empty file `BLESSED` or `NOT_BLESSED` and the custom
            properties of TFX's own Evaluator (`blessed`, `current_model`, `current_model_id`).
            Both get `record.evaluation_properties`: verdict, reason, figures.
          exec_properties: `golden` (JSON list of objects with `path`), `thresholds` (JSON object);
            `converter_version` is there for the cache.

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
            golden=tuple(file["path"] for file in json.loads(exec_properties[keys.GOLDEN])),
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


def _bless(blessing: Artifact, model: Artifact, blessed: bool) -> None:
    """Says it as TFX's own Evaluator does."""
    Path(blessing.uri, keys.BLESSED_FILE if blessed else keys.NOT_BLESSED_FILE).touch()
    blessing.set_int_custom_property(keys.BLESSED, int(blessed))
    blessing.set_string_custom_property(keys.CURRENT_MODEL, model.uri)
    blessing.set_int_custom_property(keys.CURRENT_MODEL_ID, model.id)
