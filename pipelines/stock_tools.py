"""A migration with TFX's own Evaluator and BulkInferrer behind it: stock tools on the new model."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import tensorflow_model_analysis as tfma
from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode

from pipelines import migration
from pipelines.config import MigrationConfig
from rnn_migrator.errors import Problem, UsageError
from rnn_migrator.keras_model.examples import EXAMPLES
from rnn_migrator.tfx_components import keys

METRIC = "MeanAbsoluteError"
"""How far the converted model is from the recorded outputs, by TensorFlow Model Analysis."""


def create_pipeline(config: MigrationConfig, output: str, bound: float) -> tfx.dsl.Pipeline:
    """The pipeline of a migration, and behind it stock components that try the converted model.

    TFX's Evaluator holds an output against what the legacy framework gave for the same records;
    TFX's BulkInferrer runs on the records if this evaluator and EquivalenceEvaluator both bless
    the model.

    Args:
      config: The migration, with `examples_signature` and a data set in `evaluation.examples` that
        is laid out as TFX does it, in folders `Split-NAME`. Its records are tf.Example protos;
        what the legacy framework gave lies in them under the name of the output.
      output: An output without a time axis.
      bound: Largest mean absolute error that is blessed.

    Raises:
      MigrationError: The config has no such signature or data set, or its files are not there.
    """
    _check(config)
    return migration.create_pipeline(
        config, behind=functools.partial(_components, config, output, bound)
    )


def _components(
    config: MigrationConfig, output: str, bound: float, made: Mapping[str, BaseNode]
) -> list[BaseNode]:
    """The stock components behind those of a migration."""
    examples = made["Examples"].outputs["result"]
    model = made["RnnConverter"].outputs["model"]
    equivalence = made["EquivalenceEvaluator"].outputs["blessing"]
    splits = list(config.evaluation.examples.splits) if config.evaluation.examples else []
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=model,
        example_splits=splits or None,
        eval_config=_eval_config(output, bound),
    )
    with tfx.dsl.Cond(equivalence.future()[0].custom_property(keys.BLESSED) == 1):
        inferrer = tfx.components.BulkInferrer(
            examples=examples,
            model=model,
            model_blessing=evaluator.outputs["blessing"],
            data_spec=tfx.proto.DataSpec(example_splits=splits),
            model_spec=tfx.proto.ModelSpec(model_signature_name=[EXAMPLES]),
        )
    return [evaluator, inferrer]


def _check(config: MigrationConfig) -> None:
    """Refuses a config that leaves the stock components nothing to run."""
    if config.examples_signature and config.evaluation.examples is not None:
        return
    raise UsageError(
        Problem(
            where=config.name,
            expected="a model and a data set that stock TFX components understand",
            received="a config without them",
            remedy="set examples_signature: true, and name a data set in evaluation.examples",
        )
    )


def _eval_config(output: str, bound: float) -> tfma.EvalConfig:
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(upper_bound={"value": bound})
    )
    metric = tfma.MetricConfig(class_name=METRIC, threshold=threshold)
    return tfma.EvalConfig(
        # The output is named by key, since there are others; the label is the record's.
        model_specs=[
            tfma.ModelSpec(signature_name=EXAMPLES, prediction_key=output, label_key=output)
        ],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
        slicing_specs=[tfma.SlicingSpec()],
    )
