"""Stores of ML Metadata written by hand, as the orchestrators would have left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnn_migrator.lineage.store import Metadata, address_of


class Writer:
    """Writes artifacts and executions into a store."""

    def __init__(self, metadata: Metadata) -> None:
        import ml_metadata
        from ml_metadata.proto import metadata_store_pb2

        self.mlmd = metadata_store_pb2
        self.store = ml_metadata.MetadataStore(address_of(metadata).connection())

    def artifact(self, kind: str, uri: str, **properties: str | int | float) -> int:
        """An artifact with custom properties; gives its number."""
        number = self.store.put_artifact_type(self.mlmd.ArtifactType(name=kind))
        artifact = self.mlmd.Artifact(type_id=number, uri=uri, state=self.mlmd.Artifact.LIVE)
        _set(artifact, properties)
        return int(self.store.put_artifacts([artifact])[0])

    def execution(
        self,
        component: str,
        inputs: Sequence[int] = (),
        outputs: Sequence[int] = (),
        state: str = "COMPLETE",
        output_event: str = "OUTPUT",
        **properties: str,
    ) -> int:
        """An execution with custom properties and its events; gives its number."""
        number = self.store.put_execution_type(self.mlmd.ExecutionType(name=component))
        execution = self.mlmd.Execution(
            type_id=number, last_known_state=self.mlmd.Execution.State.Value(state)
        )
        _set(execution, properties)
        [identity] = self.store.put_executions([execution])
        kinds: Mapping[str, Sequence[int]] = {"INPUT": inputs, output_event: outputs}
        events: list[Any] = [
            self.mlmd.Event(
                artifact_id=artifact,
                execution_id=identity,
                type=self.mlmd.Event.Type.Value(kind),
            )
            for kind, artifacts in kinds.items()
            for artifact in artifacts
        ]
        self.store.put_events(events)
        return int(identity)


def _set(written: Any, properties: Mapping[str, str | int | float]) -> None:
    """Sets custom properties of an artifact or an execution."""
    for key, value in properties.items():
        field = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
        setattr(written.custom_properties[key], field, value)
