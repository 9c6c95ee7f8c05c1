"""`RnnConverter`: from a `LegacyModel` to a standard `Model`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from rnn_migrator.keras_model.targets import Target
from rnn_migrator.readers import content_digest
from rnn_migrator.recognition.declared import DeclaredLayer
from rnn_migrator.tfx_components import keys
from rnn_migrator.tfx_components.artifacts import LegacyModel
from rnn_migrator.tfx_components.converter.executor import Executor
from rnn_migrator.version import converter_version


class RnnConverterSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `RnnConverter`; see `Executor.Do`."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        keys.SETTINGS: ExecutionParameter(type=str),
        keys.LAYERS: ExecutionParameter(type=str),
        keys.TARGET: ExecutionParameter(type=str),
        keys.STRICT: ExecutionParameter(type=str),
        keys.EXAMPLES_SIGNATURE: ExecutionParameter(type=str),
        keys.ARCHITECTURE: ExecutionParameter(type=str, optional=True),
        keys.ARCHITECTURE_SHA256: ExecutionParameter(type=str, optional=True),
        keys.CONVERTER_VERSION: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {keys.LEGACY_MODEL: ChannelParameter(type=LegacyModel)}
    OUTPUTS: ClassVar[dict[str, Any]] = {
        keys.MODEL: ChannelParameter(type=standard_artifacts.Model)
    }


class RnnConverter(BaseComponent):
    """Converts a legacy model and checks the result before anybody sees it.

    Outputs: `model`, a `standard_artifacts.Model`.
    """

    SPEC_CLASS = RnnConverterSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        legacy_model: BaseChannel,
        settings: Sequence[str] = (),
        target: Target = Target.PORTABLE,
        strict: bool = False,
        architecture: Path | None = None,
        layers: Sequence[DeclaredLayer] = (),
        examples_signature: bool = False,
        uri_of: Callable[[Path], str] = str,
    ) -> None:
        """Makes the component.

        The version of the converter and the digest of the architecture are execution properties
        so that a cached result is not taken for another version or another file.

        Args:
          legacy_model: Channel of `LegacyModel`.
          settings: `KEY=VALUE` texts: what the artifact cannot say.
          target: Where the converted model is to run.
          strict: Whether a mere assumption is refused.
          architecture: Keras JSON or YAML file that goes with weights-only HDF5.
          layers: The layers of an array dump whose names do not tell.
          examples_signature: Whether the SavedModel also takes serialized tf.Example protos.
          uri_of: How the component reaches a file of this machine.
        """
        spec = RnnConverterSpec(
            legacy_model=legacy_model,
            model=Channel(type=standard_artifacts.Model),
            settings=json.dumps(list(settings)),
            layers=json.dumps([layer.to_json() for layer in layers]),
            target=target.value,
            strict=json.dumps(strict),
            examples_signature=json.dumps(examples_signature),
            architecture=uri_of(architecture) if architecture else None,
            architecture_sha256=content_digest((architecture,)) if architecture else None,
            converter_version=converter_version(),
        )
        super().__init__(spec=spec)
