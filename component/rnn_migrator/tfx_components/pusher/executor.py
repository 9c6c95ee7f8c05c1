"""Executor of `Pusher`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tfx.components.pusher import executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.types.artifact import Artifact
from tfx.utils import proto_utils

from rnn_migrator.lineage import record
from rnn_migrator.readers import content_digest

_KEY = standard_component_specs.PUSH_DESTINATION_KEY


class Executor(executor.Executor):
    """TFX's executor, which copies file by file, made safe against a kill.

    A model is copied to a hidden folder beside the versions, and becomes a version by one rename.
    Where the newest version holds the very same files already, since a run was killed between the
    push and its record, it counts. In a bucket, which knows no renames, TFX's own way is taken.
    """

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes a model if it is blessed; see `tfx.components.pusher.executor.Executor.Do`."""
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[_KEY], destination)
        base = destination.filesystem.base_directory.rstrip("/")
        serving = _local(base)
        if serving is None or not self.CheckBlessing(input_dict):
            super().Do(input_dict, output_dict, exec_properties)
            return
        serving.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pushing-", dir=serving) as scratch:
            destination.filesystem.base_directory = scratch
            changed = {**exec_properties, _KEY: proto_utils.proto_to_json(destination)}
            super().Do(input_dict, output_dict, changed)
            pushed = artifact_utils.get_single_instance(
                output_dict[standard_component_specs.PUSHED_MODEL_KEY]
            )
            copied = Path(pushed.get_string_custom_property(record.PUSHED_DESTINATION))
            version = _same(serving, copied) or _publish(copied, serving)
        pushed.set_string_custom_property(record.PUSHED_DESTINATION, f"{base}/{version.name}")
        pushed.set_string_custom_property(record.PUSHED_VERSION, version.name)


def _local(uri: str) -> Path | None:
    """The folder of a URI, None where it is on no file system."""
    scheme, separator, path = uri.partition("://")
    if separator and scheme != "file":
        return None
    return Path(path if separator else uri)


def _same(serving: Path, model: Path) -> Path | None:
    """The newest version, if it holds the very same files."""
    versions = (folder for folder in serving.iterdir() if folder.name.isdecimal())
    newest = max(versions, key=lambda folder: int(folder.name), default=None)
    return newest if newest and _digest(newest) == _digest(model) else None


def _digest(model: Path) -> tuple[list[str], str]:
    files = sorted(file for file in model.rglob("*") if file.is_file())
    return [str(file.relative_to(model)) for file in files], content_digest(tuple(files))


def _publish(model: Path, serving: Path) -> Path:
    """Gives a model the next free version from its own on."""
    version = int(model.name)
    while True:
        try:
            return model.rename(serving / str(version))
        except OSError:
            if not (serving / str(version)).exists():
                raise
            version += 1  # another pipeline pushed within the same second
