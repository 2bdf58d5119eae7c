"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a free port of the loopback address.

As root it runs as the user `postgres`, for PostgreSQL refuses root; as anybody else it runs as oneself.
"""
from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from needed import found, program

CONFIGURATION = """
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 60
log_line_prefix = '%m [%p] %q%u@%d %a '
log_statement = 'all'
"""


def find_binaries() -> Path | None:
    """Return the folder with initdb of the newest PostgreSQL that is installed, None where there is none"""
    initdb = found("initdb")
    return Path(initdb).resolve().parent if initdb else None


def free_port() -> int:
    """Return a port of the loopback address that nobody uses now"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    """One cluster; start it, stop it, start it again on the same port. The superuser is `postgres`, with `password`."""

    password = "the superuser of this test"

    def __init__(self, binaries: Path, files: str | None = None, places: Mapping[str, str] | None = None) -> None:
        """Make the cluster, or continue a copy of the files of another, with places in its settings moved; it does
        not run yet"""
        self.binaries, self.port = binaries, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.data, self.log, self.process = self.folder / "data", self.folder / "log", None
        self.identity = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        if files:
            self._take(Path(files), places or {})
            return
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        self._run("initdb", "--pgdata", str(self.data), "--username=postgres", "--auth=scram-sha-256",
                  "--auth-local=trust", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{CONFIGURATION}port = {self.port}\nunix_socket_directories = '{self.folder}'\n")

    def _take(self, files: Path, places: Mapping[str, str]) -> None:
        """The files of another cluster, on a port of its own"""
        shutil.copytree(files, self.data)
        settings = self.data / "postgresql.auto.conf"
        text = settings.read_text()
        for inside, outside in places.items():
            shutil.copytree(outside, self.folder / "beside")
            text = text.replace(inside, f"{self.folder}/beside/")
        settings.write_text(f"{text}port = {self.port}\nunix_socket_directories = '{self.folder}'\n"
                            "archive_mode = off\n")
        if self.identity:
            subprocess.run(["chown", "-R", "postgres:postgres", self.folder], check=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([self.binaries / program, *arguments], capture_output=True, text=True,
                              timeout=60, check=False, cwd=self.folder, **self.identity)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, wait: bool = True) -> None:
        """Start the server and wait until it answers"""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.binaries / "postgres", "-D", self.data], stdout=log, stderr=log,
                                            cwd=self.folder, **self.identity)
        deadline = time.monotonic() + 30
        while wait and subprocess.run([self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                             check=False).returncode:
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop the server; SIGINT ends its sessions, SIGQUIT is a crash"""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def psql(self, sql: str, database: str = "postgres", user: str = "postgres") -> str:
        """Run SQL as the superuser through the socket and return what it printed, unaligned"""
        command = [self.binaries / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder,
                   "-p", str(self.port), "-U", user, "-d", database]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def remove(self) -> None:
        """Stop the server and remove its folder"""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def make_postgres() -> PostgresServer:
    """Return a running server; skip the test where PostgreSQL is not installed"""
    server = PostgresServer(Path(program("initdb")).resolve().parent)
    server.start()
    return server


@pytest.fixture(scope="session")
def postgres():
    """A running PostgreSQL for the whole session; make a database of your own in it"""
    server = make_postgres()
    yield server
    server.remove()
