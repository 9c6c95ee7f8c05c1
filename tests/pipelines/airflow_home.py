"""An Airflow of its own for a test: its home, a database on PostgreSQL, and a real scheduler."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.servers import postgresql

_STARTED = 300.0
_ENDED = 420.0
_LEFT = 60.0


class Airflow:
    """An Airflow with LocalExecutor whose scheduler runs.

    Attributes:
      home: Its folder.
      packages: Folder whose packages go before those that are installed.
      environment: That of its processes.
    """

    def __init__(self, home: Path, database: str, configs: Path) -> None:
        self.home = home
        self.packages = home / "packages"
        self.environment = {
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "1",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self.packages), *sys.path))),
            "RNN_MIGRATOR_CONFIGS": str(configs),
        }
        self._database = database

    def cli(self, *arguments: str) -> str:
        """What a command of Airflow says.

        Raises:
          RuntimeError: It failed.
        """
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=_STARTED,
        )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def trigger(self, dag: str, run: str) -> None:
        """Starts a run as soon as the scheduler knows the DAG."""
        known = "SELECT 1 FROM serialized_dag WHERE dag_id = %s"
        wait_until(lambda: self.ask(known, dag), _STARTED, self.log)
        self.cli("dags", "trigger", dag, "--run-id", run)

    def kill(self, dag: str, run: str, task: str) -> None:
        """Kills the process of a task as soon as it has one."""
        running = (
            "SELECT pid FROM task_instance WHERE dag_id = %s AND run_id = %s AND task_id = %s"
            " AND state = 'running' AND pid IS NOT NULL"
        )
        [[process]] = wait_until(lambda: self.ask(running, dag, run, task), _ENDED, self.log)
        os.kill(process, signal.SIGKILL)

    def clear(self, dag: str, run: str) -> None:
        """Has a run that has ended begin anew."""
        asked = "SELECT execution_date FROM dag_run WHERE dag_id = %s AND run_id = %s"
        [[date]] = self.ask(asked, dag, run)
        day = ("--start-date", date.isoformat(), "--end-date", date.isoformat())
        self.cli("tasks", "clear", dag, "--yes", *day)

    def end(self, dag: str, run: str) -> str:
        """How a run ends."""
        ended = (
            "SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s AND end_date IS NOT NULL"
        )
        [[state]] = wait_until(lambda: self.ask(ended, dag, run), _ENDED, self.log)
        return str(state)

    def tasks(self, dag: str, run: str) -> dict[str, tuple[str, int]]:
        """How every task of a run ended, and in which attempt."""
        asked = (
            "SELECT task_id, state, try_number FROM task_instance WHERE dag_id = %s AND run_id = %s"
        )
        return {name: (state, tries) for name, state, tries in self.ask(asked, dag, run)}

    def result(self, dag: str, run: str, task: str) -> Any:
        """What a task returned; None if it returned nothing."""
        asked = (
            "SELECT value FROM xcom WHERE dag_id = %s AND run_id = %s AND task_id = %s"
            " AND key = 'return_value'"
        )
        for [value] in self.ask(asked, dag, run, task):
            return json.loads(bytes(value))
        return None

    def task_log(self, dag: str, run: str, task: str) -> str:
        """What a task logged, in all its attempts."""
        folder = self.home / "logs" / f"dag_id={dag}" / f"run_id={run}" / f"task_id={task}"
        return "".join(file.read_text("utf-8") for file in sorted(folder.iterdir()))

    def log(self) -> str:
        """The end of what the scheduler and the tasks logged."""
        texts = [file.read_text("utf-8", "replace") for file in sorted(self.home.rglob("*.log"))]
        return "\n".join(text[-3000:] for text in texts)

    def ask(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Rows of Airflow's own database."""
        import psycopg2

        with contextlib.closing(psycopg2.connect(self._database)) as connection:
            cursor = connection.cursor()
            cursor.execute(query, values)
            return list(cursor.fetchall())


@contextlib.contextmanager
def airflow(home: Path, configs: Path, dags: Mapping[str, Path]) -> Iterator[Airflow]:
    """An Airflow whose DAG files are copies, by their names among the DAGs."""
    (home / "dags").mkdir(parents=True)
    for name, file in dags.items():
        (home / "dags" / name).write_bytes(file.read_bytes())
    with postgresql("airflow", password="plain") as server:
        started = Airflow(home, server.address("airflow"), configs)
        started.cli("db", "migrate")
        with (home / "scheduler.log").open("wb") as output:
            scheduler = subprocess.Popen(
                [sys.executable, "-m", "airflow", "scheduler"],
                env=started.environment,
                cwd=home,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                yield started
            finally:
                _end(scheduler)


def _end(scheduler: subprocess.Popen[bytes]) -> None:
    """Ends a scheduler and all it has started, which stays in its session."""
    scheduler.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        scheduler.wait(_LEFT)
    for process in session(scheduler.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    scheduler.wait(_LEFT)
    wait_until(lambda: not session(scheduler.pid), _LEFT)


def session(leader: int) -> list[int]:
    """Processes of a session that are alive."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, number = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
            if int(number) == leader and state != "Z":
                found.append(int(folder.name))
    return found


def wait_until(condition: Callable[[], Any], seconds: float, log: Callable[[], str] = str) -> Any:
    """What a condition gives as soon as it gives something.

    Raises:
      TimeoutError: It gave nothing for so long; with a log.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.5)
    raise TimeoutError(f"nothing within {seconds:.0f} s\n{log()}")
