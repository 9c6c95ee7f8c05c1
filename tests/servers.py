"""Real database servers from the distribution's packages, each in a folder of its own.

They refuse to run as root, and are then run as the user whom their package made for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

USER = "migrator"
PASSWORD = "s3cret p@ss:w/ö%'rd"
"""With everything in it that wants quoting."""

_PACKAGES = ["/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
_PATH = os.pathsep.join([os.environ.get("PATH", ""), *_PACKAGES])
_PATIENCE = 180.0


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that is running.

    Attributes:
      scheme: Of its connection strings.
      port: On this machine.
      password: Of its only user.
    """

    scheme: str
    port: int
    password: str = PASSWORD

    def address(self, database: str, password: str = "") -> str:
        """A connection string; the password is quoted unless it is a variable."""
        stated = password or self.password
        quoted = stated if stated.startswith("${") else urllib.parse.quote(stated, safe="")
        return f"{self.scheme}://{USER}:{quoted}@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def mariadb(*databases: str) -> Iterator[Server]:
    """A MariaDB server with empty databases."""
    install, server = _binary("mariadb-install-db"), _binary("mariadbd")
    with _folder("mysql") as (folder, as_user):
        data, port = folder / "data", _free_port()
        _run(
            *as_user,
            install,
            "--no-defaults",
            f"--datadir={data}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        )
        name = PASSWORD.replace("'", "''")
        statements = [
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{name}';",
            f"GRANT ALL ON *.* TO '{USER}'@'%';",
            *(f"CREATE DATABASE {database};" for database in databases),
        ]
        (folder / "init.sql").write_text("\n".join(statements) + "\n", "utf-8")
        command = (
            server,
            "--no-defaults",
            f"--datadir={data}",
            f"--init-file={folder / 'init.sql'}",
            "--character-set-server=utf8mb4",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--socket={folder / 'socket'}",
            "--skip-name-resolve",
        )
        with _process([*as_user, *command], port, folder / "log", signal.SIGTERM):
            yield Server("mysql", port)


@contextlib.contextmanager
def postgresql(*databases: str, password: str = PASSWORD) -> Iterator[Server]:
    """A PostgreSQL server with empty databases."""
    initdb, server, createdb = map(_binary, ("initdb", "postgres", "createdb"))
    with _folder("postgres") as (folder, as_user):
        data, port = folder / "data", _free_port()
        (folder / "password").write_text(password, "utf-8")
        login = ("-A", "scram-sha-256", "-U", USER, f"--pwfile={folder / 'password'}")
        _run(*as_user, initdb, "-D", str(data), "-E", "UTF8", *login)
        command = (server, "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1")
        # On SIGTERM it would wait for clients that are still connected.
        with _process([*as_user, *command], port, folder / "log", signal.SIGINT):
            for database in databases:
                where = ("-h", "127.0.0.1", "-p", str(port), "-U", USER)
                _run(createdb, *where, database, PGPASSWORD=password)
            yield Server("postgresql", port, password)


def _binary(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: mariadb-server, postgresql)")
    return found


@contextlib.contextmanager
def _folder(user: str) -> Iterator[tuple[Path, Sequence[str]]]:
    """A folder for a server, and what to put before its command."""
    with tempfile.TemporaryDirectory(prefix="rnn-server-") as name:
        if os.geteuid() != 0:
            yield Path(name), ()
            return
        entry = pwd.getpwnam(user)
        os.chown(name, entry.pw_uid, entry.pw_gid)
        numbers = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}")
        yield Path(name), (_binary("setpriv"), *numbers, "--clear-groups")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*command: str, **environment: str) -> None:
    subprocess.run(
        command, check=True, capture_output=True, env={**os.environ, **environment}, cwd="/"
    )


@contextlib.contextmanager
def _process(command: Sequence[str], port: int, log: Path, stop: signal.Signals) -> Iterator[None]:
    """A server for as long as the block runs."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd="/", start_new_session=True
        )
        try:
            _wait(process, port, log)
            yield
        finally:
            process.send_signal(stop)
            process.wait(_PATIENCE)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
