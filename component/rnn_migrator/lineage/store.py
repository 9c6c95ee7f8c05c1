"""The ML Metadata store of a run: where it lies, and how it is opened.

It is a file of SQLite, or a database of a MySQL, MariaDB or PostgreSQL server, named by a
connection string: `mysql://user:password@host:port/database`, `postgresql://…`. The password may
stand there as `${NAME}`, which the environment then holds; it is never shown.
"""

from __future__ import annotations

import dataclasses
import os
import re
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_migrator.errors import Problem, UsageError

if TYPE_CHECKING:
    from ml_metadata import MetadataStore

METADATA_FILE = "metadata.sqlite"
"""Name of the store, where a config does not name another."""

_SQLITE = b"SQLite format 3\0"

_PORTS = {"mysql": 3306, "mariadb": 3306, "postgresql": 5432, "postgres": 5432}
"""Schemes of connection strings, with the port each server listens on."""

_FORM = "mysql://user:password@host:port/database, or the same with postgresql"

_PASSWORD = re.compile(r"(\w+://[^:\s]*):.*@|(\w+://[^:@\s]*):\S+")
_VARIABLE = re.compile(r"\$\{(\w+)\}")

_RETRIES = 20
"""How often a transaction is begun again that another client came in between of."""


def without_password(text: str) -> str:
    """A text with the passwords of connection strings in it replaced, well-formed or not."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}:***", text)


@dataclasses.dataclass(frozen=True, repr=False)
class StoreAddress:
    """Where a store lies.

    Attributes:
      text: A path, or a connection string with its password.
    """

    text: str

    def __str__(self) -> str:
        """The address without its password."""
        return without_password(self.text)

    __repr__ = __str__

    @property
    def file(self) -> Path | None:
        """The file of SQLite, None where a server holds the store."""
        return None if "://" in self.text else Path(self.text)

    def check(self) -> None:
        """Refuses what is no address, without looking whether a store is there.

        Raises:
          ValueError: It is neither a path nor a connection string.
        """
        if self.file is None:
            self._parts()

    def connection(self) -> Any:
        """What ML Metadata is to connect to, as its `ConnectionConfig`.

        Raises:
          UsageError: It is no address, or its password is not in the environment.
        """
        from ml_metadata.proto import metadata_store_pb2 as mlmd

        config = mlmd.ConnectionConfig()
        if self.file is not None:
            config.sqlite.filename_uri = str(self.file)
            config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
            return config
        try:
            parts = self._parts()
        except ValueError as e:
            raise _no_store(self, "another form") from e
        port = parts.port or _PORTS[parts.scheme]
        database, user = parts.path.strip("/"), urllib.parse.unquote(parts.username or "")
        password = self._password(parts)
        if _PORTS[parts.scheme] == _PORTS["mysql"]:
            server = config.mysql
            server.host, server.port, server.database = parts.hostname, port, database
            server.user, server.password = user, password
        else:
            server = config.postgresql
            server.host, server.port, server.dbname = parts.hostname, str(port), database
            server.user, server.password = _for_libpq(user), _for_libpq(password)
        config.retry_options.max_num_retries = _RETRIES
        return config

    def _parts(self) -> urllib.parse.SplitResult:
        parts = urllib.parse.urlsplit(self.text)
        named = parts.hostname and parts.username and re.fullmatch(r"/[^/]+", parts.path)
        if parts.scheme not in _PORTS or not named or parts.query or parts.fragment:
            raise ValueError(f"a path, or {_FORM}")
        _ = parts.port  # raises if it is no number
        return parts

    def _password(self, parts: urllib.parse.SplitResult) -> str:
        """The password; one from the environment is taken as it is, one in the text unquoted."""
        password = parts.password or ""
        variable = _VARIABLE.fullmatch(password)
        if variable is None:
            return urllib.parse.unquote(password)
        if variable[1] not in os.environ:
            raise UsageError(
                Problem(
                    where=str(self),
                    expected=f"the password in the environment, as {variable[1]}",
                    received="no such variable",
                    remedy=f"set {variable[1]}, or name another variable in its place",
                )
            )
        return os.environ[variable[1]]


def _for_libpq(value: str) -> str:
    """A value quoted for a connection string of libpq, into which ML Metadata puts it as it is."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


Metadata = StoreAddress | Path | str
"""A store as callers name it."""


def address_of(metadata: Metadata) -> StoreAddress:
    """The address of a store; a path with or without `~` is one too."""
    if isinstance(metadata, StoreAddress):
        return metadata
    text = str(metadata)
    return StoreAddress(text if "://" in text else str(Path(text).expanduser()))


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
            remedy="name the ML Metadata store of the run: --metadata STORE",
        )
    )


def open_store(metadata: Metadata) -> MetadataStore:
    """A store that is there already, for reading.

    Raises:
      UsageError: There is none.
    """
    import ml_metadata
    from ml_metadata import errors
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    address = address_of(metadata)
    config = address.connection()
    if address.file is not None:
        if not _is_sqlite(address.file):
            raise _no_store(address, "no SQLite file")
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    else:
        getattr(config, config.WhichOneof("config")).skip_db_creation = True
    try:
        store = ml_metadata.MetadataStore(config)
        store.get_artifact_types()
    except (errors.StatusError, RuntimeError) as e:
        received = str(e).partition(" query:")[0].strip()
        raise _no_store(address, f"none that could be opened ({received})") from e
    return store


def _is_sqlite(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(_SQLITE)) == _SQLITE


def _no_store(address: StoreAddress, received: str) -> UsageError:
    return UsageError(
        Problem(
            where=str(address),
            expected="an ML Metadata store, as `rnn-migrate run` leaves it: a file of SQLite, or "
            + _FORM,
            received=received,
            remedy="name the store of the run: --metadata STORE"
            + ("" if address.file else ", see that its server runs and that the user may log in"),
        )
    )
