"""Executor of `RnnConverter`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils.path_utils import serving_model_dir

from rnn_migrator.files import atomic_folder, write_json
from rnn_migrator.keras_model.targets import Target
from rnn_migrator.lineage import record
from rnn_migrator.lineage.audit import file_digests
from rnn_migrator.migration import CONVERSION_FILE, Request, convert
from rnn_migrator.recognition.declared import from_json
from rnn_migrator.tfx_components import keys
from rnn_migrator.tfx_components.recording import write_properties
from rnn_migrator.tfx_components.staging import Staging, check_digest

_SAVED_MODEL = "saved_model"

_logger = logging.getLogger(__name__)


class Executor(BaseExecutor):
    """Calls `rnn_migrator.convert`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Converts one legacy model.

        Args:
          input_dict: `legacy_model`: one `LegacyModel`; its `sha256` is checked, if it has one.
          output_dict: `model`: one `Model`. Its folder is an output of `rnn-migrate convert` with
            the SavedModel at `Format-Serving` (`saved_model` is a link to it); its custom
            properties say where it came from, see `record.conversion_properties`.
          exec_properties: `settings` and `layers` (JSON lists), `target`, `strict` and
            `examples_signature` (JSON), `architecture` (path or URI), `architecture_sha256`;
            `converter_version` is there for the cache.

        Raises:
          MigrationError: It cannot be converted; nothing is written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        legacy_model = artifact_utils.get_single_instance(input_dict[keys.LEGACY_MODEL])
        model = artifact_utils.get_single_instance(output_dict[keys.MODEL])
        architecture = exec_properties.get(keys.ARCHITECTURE)
        sha256 = exec_properties.get(keys.ARCHITECTURE_SHA256, "")
        with Staging() as staging:
            request = Request(
                source=staging.source(legacy_model.uri),
                architecture=staging.source(architecture, sha256) if architecture else None,
                settings=tuple(json.loads(exec_properties[keys.SETTINGS])),
                target=Target(exec_properties[keys.TARGET]),
                strict=json.loads(exec_properties[keys.STRICT]),
                layers=tuple(map(from_json, json.loads(exec_properties[keys.LAYERS]))),
                examples_signature=json.loads(exec_properties[keys.EXAMPLES_SIGNATURE]),
            )
            sha256 = legacy_model.get_string_custom_property(record.SHA256)
            folder = staging.output(model.uri)
            document = convert_to_artifact(request, folder, sha256, staging.uri_of)
            properties = record.conversion_properties(document, file_digests(folder))
        write_properties(self._context, properties, model)


def convert_to_artifact(
    request: Request, folder: Path, sha256: str, uri_of: Callable[[str], str] = str
) -> dict[str, Any]:
    """Converts a source into the folder of a `Model` artifact.

    Args:
      request: What and how.
      folder: The artifact's; an empty one that exists already is replaced.
      sha256: Digest the source should have; "" for any.
      uri_of: What the files of the request, given by path, are called in `conversion.json`.

    Returns:
      The content of `conversion.json`.

    Raises:
      MigrationError: It cannot be converted, or is not what was imported; nothing is written.
    """
    with atomic_folder(folder, force=True) as scratch:
        document = convert(request, scratch, force=True, progress=_logger.info)
        source = document["source"]
        source |= {key: uri_of(source[key]) for key in ("path", "architecture") if source[key]}
        check_digest(source["path"], sha256, source["sha256"])
        write_json(scratch / CONVERSION_FILE, document)
        serving = Path(serving_model_dir(str(scratch)))
        (scratch / _SAVED_MODEL).rename(serving)
        (scratch / _SAVED_MODEL).symlink_to(serving.name)
    return document
