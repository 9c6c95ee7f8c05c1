"""The ML Metadata store of a run: where it lies, and how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rnn_migrator.errors import Problem, UsageError

if TYPE_CHECKING:
    from ml_metadata import MetadataStore

METADATA_FILE = "metadata.sqlite"
"""Name of the store, where a config does not name another."""

_SQLITE = b"SQLite format 3\0"


def find_store(path: Path) -> Path:
    """The store of the run that wrote a path: the nearest `metadata.sqlite` in a folder above it.

    Raises:
      UsageError: There is none.
    """
    for folder in (path, *path.parents):
        if (folder / METADATA_FILE).is_file():
            return folder / METADATA_FILE
    raise UsageError(
        Problem(
            where=str(path),
            expected=f"a path below the folder of a run, which holds {METADATA_FILE}",
            received=f"no {METADATA_FILE} in any folder above it",
            remedy="name the ML Metadata store of the run: --metadata FILE",
        )
    )


def open_store(file: Path) -> MetadataStore:
    """A store on SQLite, for reading.

    Raises:
      UsageError: The file is none.
    """
    import ml_metadata
    from ml_metadata import errors
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    if not _is_sqlite(file):
        raise _no_store(file, "no SQLite file")
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    try:
        store = ml_metadata.MetadataStore(config)
        store.get_artifact_types()
    except (errors.StatusError, RuntimeError) as e:
        received = str(e).partition(" query:")[0]
        raise _no_store(file, f"a database of something else ({received})") from e
    return store


def _is_sqlite(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(_SQLITE)) == _SQLITE


def _no_store(file: Path, received: str) -> UsageError:
    return UsageError(
        Problem(
            where=str(file),
            expected="an ML Metadata store, as `rnn-migrate run` leaves it on SQLite",
            received=received,
            remedy="name the store of the run: --metadata FILE",
        )
    )
