"""The services of the tests; here PostgreSQL: temporary, on the loopback at a free port, ended by its own number."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.long_runs import study, whole  # noqa: F401 - fixtures
from tests.cluster.s3 import bucket, s3_server, url  # noqa: F401 - fixtures
from tests.cluster.slurm_service import slurm  # noqa: F401 - a fixture
from tests.cluster.slurm_work import cluster, work  # noqa: F401 - fixtures

PASSWORD = "s3cr/t@x"


class Server:
    """A server with a data folder of its own, and further options of `postgres`."""

    def __init__(self, folder: Path, binaries: Path, *options: str) -> None:
        self.folder, self.binaries, self.options = folder, binaries, options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres")
            shutil.chown(folder / "password", "postgres")
        self._call(
            binaries / "initdb", "-D", folder / "data", "-U", "me", "--pwfile", folder / "password",
            "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--no-locale",
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def _as_user(self, *command: object) -> list[str]:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return [*user, *map(str, command)]

    def _call(self, *command: object) -> None:
        subprocess.run(self._as_user(*command), check=True, capture_output=True, cwd=self.folder)

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._as_user(
                self.binaries / "postgres", "-D", self.folder / "data", "-p", self.port, "-h", "127.0.0.1",
                "-k", self.folder, "-F", *self.options,
            ),
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                self._process.wait()
                raise RuntimeError("the server does not start")
            time.sleep(0.1)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(
                host="127.0.0.1", port=self.port, user="me", password=PASSWORD, dbname="postgres", connect_timeout=5
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Drop all connections at once, as a restart in the middle of work does."""
        if self._process is not None:
            self._call(self.binaries / "pg_ctl", "-D", self.folder / "data", "-m", "fast", "-w", "stop")
            self._process.wait(timeout=60)
            self._process = None

    def create(self, name: str) -> None:
        """Make an empty database."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="me", password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f'create database "{name}"')  # type: ignore[arg-type,unused-ignore]


def server_binaries() -> Path:
    """Where the programs of PostgreSQL's server are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    in_path = shutil.which("initdb")
    binaries = found[-1].parent if found else Path(in_path).resolve().parent if in_path else None
    assert binaries is not None, "PostgreSQL's server must be installed: apt-get install postgresql"
    return binaries


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    binaries = server_binaries()
    # others must get through to it, which pytest's own folders do not let them
    with tempfile.TemporaryDirectory(prefix="embudget-postgresql-", ignore_cleanup_errors=True) as name:
        running = Server(Path(name), binaries)
        running.start()
        try:
            yield running
        finally:
            running.stop()
