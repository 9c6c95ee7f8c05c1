"""`EquivalenceEvaluator`: blesses a converted model that computes what its source computes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from rnn_migrator.equivalence.comparison import Thresholds
from rnn_migrator.readers import content_digest
from rnn_migrator.tfx_components import keys
from rnn_migrator.tfx_components.artifacts import LegacyModel
from rnn_migrator.tfx_components.evaluator.executor import DataOptions, Executor
from rnn_migrator.version import converter_version


class EquivalenceEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `EquivalenceEvaluator`; see `Executor.Do`."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        keys.GOLDEN: ExecutionParameter(type=str),
        keys.DATA: ExecutionParameter(type=str),
        keys.THRESHOLDS: ExecutionParameter(type=str),
        keys.CONVERTER_VERSION: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        keys.LEGACY_MODEL: ChannelParameter(type=LegacyModel),
        keys.MODEL: ChannelParameter(type=standard_artifacts.Model),
        keys.EXAMPLES: ChannelParameter(type=standard_artifacts.Examples, optional=True),
        keys.SCHEMA: ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        keys.BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing),
        keys.EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }


class EquivalenceEvaluator(BaseBeamComponent):
    """Compares a converted model with its source, as a Beam pipeline.

    Outputs: `blessing`, a `standard_artifacts.ModelBlessing` that Pusher understands, and
    `evaluation`, a `standard_artifacts.ModelEvaluation` that holds `evaluation.json`.
    """

    SPEC_CLASS = EquivalenceEvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        legacy_model: BaseChannel,
        model: BaseChannel,
        golden: Sequence[Path] = (),
        thresholds: Thresholds | None = None,
        examples: BaseChannel | None = None,
        schema: BaseChannel | None = None,
        data: DataOptions | None = None,
        uri_of: Callable[[Path], str] = str,
    ) -> None:
        """Makes the component.

        Args:
          legacy_model: Channel of `LegacyModel`: what was converted.
          model: Channel of `Model`: what `RnnConverter` made of it.
          golden: NPZ files of recorded inputs and outputs. Their digests are in the execution
            property too, so that a cached verdict is not taken for other recordings.
          thresholds: What counts as equivalent. They travel as JSON: ML Metadata keeps six
            decimals of a number.
          examples: Channel of `Examples`: a data set of tf.Example or tf.SequenceExample.
          schema: Channel of `Schema`, which may say what features the model's inputs are.
          data: How the data set is read, and where to search for the worst input.
          uri_of: How the component reaches a file of this machine.
        """
        recorded = [{"path": uri_of(file), "sha256": content_digest((file,))} for file in golden]
        spec = EquivalenceEvaluatorSpec(
            legacy_model=legacy_model,
            model=model,
            blessing=Channel(type=standard_artifacts.ModelBlessing),
            evaluation=Channel(type=standard_artifacts.ModelEvaluation),
            examples=examples,
            schema=schema,
            golden=json.dumps(recorded),
            data=json.dumps(dataclasses.asdict(data or DataOptions())),
            thresholds=json.dumps(dataclasses.asdict(thresholds or Thresholds())),
            converter_version=converter_version(),
        )
        super().__init__(spec=spec)
