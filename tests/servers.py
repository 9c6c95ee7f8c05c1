"""Real servers from the distribution's packages, each in a folder and on a port of its own.

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
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

USER = "migrator"

_PACKAGES = map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))
_PATH = os.pathsep.join([os.environ.get("PATH", ""), *_PACKAGES])
_PATIENCE = 60.0


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that is running, for anybody on this machine who names its user.

    Attributes:
      scheme: Of its connection strings.
      port: On this machine.
    """

    scheme: str
    port: int

    def address(self, database: str) -> str:
        """A connection string."""
        return f"{self.scheme}://{USER}@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def postgresql(*databases: str) -> Iterator[Server]:
    """A PostgreSQL server with empty databases."""
    initdb, server, createdb = map(_binary, ("initdb", "postgres", "createdb"))
    with _folder("postgres") as (folder, as_user):
        data, port = folder / "data", _free_port()
        _run(*as_user, initdb, "-D", str(data), "-E", "UTF8", "-A", "trust", "-U", USER)
        command = (server, "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1")
        with _process([*as_user, *command], port, folder / "log"):
            for database in databases:
                _run(createdb, "-h", "127.0.0.1", "-p", str(port), "-U", USER, database)
            yield Server("postgresql", port)


def _binary(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed; on Debian: apt-get install postgresql")
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


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd="/")


@contextlib.contextmanager
def _process(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """A server for as long as the block runs."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd="/", start_new_session=True
        )
        try:
            _wait(process, port, log)
            yield
        finally:
            # For PostgreSQL: do not wait for those who are still connected.
            process.send_signal(signal.SIGINT)
            process.wait(_PATIENCE)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
