"""The reference application as a real process, with what it needs: PostgreSQL, an S3 server, a search stub."""
from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from app_starter import Started
from needed import program
from postgres_server import PostgresServer, free_port
from search_stub import KEY as SEARCH_KEY
from search_stub import SearchStub

ROOT = Path(__file__).resolve().parent.parent
STARTER = Path(__file__).with_name("app_starter.py")
SOURCE = ROOT / "pretamane_analysis" / "templates" / "app"
API_KEY = "a key of a caller in this test"
S3_KEY, S3_SECRET = "pretamane", "the secret of the object store"
DB_PASSWORD = "the role of the application"
PATIENCE = 600  # the most seconds that anything is waited for; less where a test is meant to fail
SIDES = ("host", "managed")  # PostgreSQL, Meilisearch and an S3-compatible store; DynamoDB, OpenSearch and S3
PYCACHE = Path(tempfile.gettempdir()) / "pretamane-app-pycache"


@cache
def starter() -> str:
    """The socket of the process that has the application's libraries loaded; it ends with this one"""
    folder = Path(tempfile.mkdtemp(prefix="starter-"))
    process = subprocess.Popen([sys.executable, STARTER, folder / "socket", SOURCE], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]})

    def end() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    assert process.stdout.readline() == b"ready\n"
    return str(folder / "socket")


class S3Server:
    """`rclone serve s3` over a folder: signatures are checked, a wrong key is refused"""

    def __init__(self) -> None:
        """Start serving"""
        self.program, self.port, self.folder = program("rclone"), free_port(), Path(tempfile.mkdtemp(prefix="objects-"))
        self.start()

    @property
    def url(self) -> str:
        """Where it listens"""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve the folder"""
        self.log = (self.folder.parent / f"{self.folder.name}.log").open("ab")
        self.process = subprocess.Popen(
            [self.program, "serve", "s3", "--config", "", "--addr", f"127.0.0.1:{self.port}", "--auth-key",
             f"{S3_KEY},{S3_SECRET}",
             "--vfs-cache-mode", "off", "--dir-cache-time", "100ms", "--poll-interval", "0s", str(self.folder)],
            stdout=self.log, stderr=self.log)
        wait_for_port(self.port)

    def stop(self) -> None:
        """Stop serving; the objects stay"""
        self.process.terminate()
        self.process.wait(10)

    def remove(self) -> None:
        """Stop, and remove the objects"""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(self.log.name).unlink(missing_ok=True)


class Relay:
    """Passes what it is sent on to a port, byte by byte, and notes it"""

    def __init__(self, port: int) -> None:
        """Start listening"""
        self.to, self.noted, self.listener = port, bytearray(), socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, there = self.listener.accept()[0], socket.create_connection(("127.0.0.1", self.to))
                threading.Thread(target=self._pass, args=(here, there, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(there, here, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, note: bool) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                if note:
                    self.noted += data
                target.sendall(data)

    def text(self) -> str:
        """What was sent so far"""
        return self.noted.decode("latin-1")

    def close(self) -> None:
        """Stop listening"""
        self.listener.close()


def wait_for_port(port: int, seconds: float = 20) -> None:
    """Return when somebody listens on a port of the loopback address"""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.02)


def until(condition, seconds: float = 15, pause: float = 0.03):
    """Return the first true value of `condition`, asked again and again"""
    deadline = time.monotonic() + min(seconds, PATIENCE)
    while not (value := condition()):
        assert time.monotonic() < deadline, "this did not become true in time"
        time.sleep(pause)
    return value


class Answer:
    """What came back"""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        """Read the response"""
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        """The body as JSON"""
        return json.loads(self.body)


def form(content: bytes, name: str = "note.txt", kind: str = "text/plain",
         **fields: str) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of an upload"""
    mark = uuid4().hex
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
             for key, value in fields.items()]
    head = (f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n").encode()
    return b"".join([*parts, head, content,
                     f"\r\n--{mark}--\r\n".encode()]), {"Content-Type": f"multipart/form-data; boundary={mark}"}


class App:
    """One process of the application. `environment` overrides what it is told."""

    def __init__(self, platform: Platform, source: Path = SOURCE,
                 environment: dict[str, str | None] | None = None) -> None:
        """Prepare; `start` starts it"""
        self.platform, self.source, self.folder = platform, source, Path(tempfile.mkdtemp(prefix="app-"))
        self.port, self.metrics_port, self.process = free_port(), free_port(), None
        for name in ("uploads", "processed"):
            (self.folder / name).mkdir()
        self.environment = platform.environment | {
            "HOST": "127.0.0.1", "PORT": str(self.port), "METRICS_PORT": str(self.metrics_port), "DRAIN_SECONDS": "0",
            "UPLOADS_FOLDER": str(self.folder / "uploads"), "PROCESSED_FOLDER": str(self.folder / "processed")}
        for name, value in (environment or {}).items():
            self.environment.pop(name, None)
            if value is not None:
                self.environment[name] = value

    def start(self, wait: bool = True) -> App:
        """Start the process and wait until it listens"""
        with (self.folder / "log").open("ab") as log:
            self.process = self._started(["-m", "app"], log.fileno(), log.fileno())
        if wait:
            deadline = time.monotonic() + 60
            while not self._listens() and self.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.03)
            assert self.process.poll() is None, self.output()
        return self

    def _listens(self) -> bool:
        try:
            return self.call("GET", "/livez").status == 200
        except OSError:
            return False

    def run(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess:
        """Run one of the application's commands and return what it did"""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            process = self._started(list(command), out.fileno(), error.fileno())
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                raise
            for each in (out, error):
                each.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), error.read())

    def _started(self, command: list[str], *streams: int) -> Started:
        return Started(starter(), command, self.environment, str(self.source), *streams)

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str | None] | None = None,
             key: str | None = API_KEY, timeout: float = 20) -> Answer:
        """One request on a connection of its own; a dict is sent as JSON"""
        sent = {"X-API-Key": key} if key is not None else {}
        if isinstance(body, dict):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def upload(self, content: bytes, name: str = "note.txt", kind: str = "text/plain",
               headers: dict[str, str] | None = None, **fields: str) -> Answer:
        """Upload a document"""
        body, sent = form(content, name, kind, **fields)
        return self.call("POST", "/documents", body, {**sent, **(headers or {})})

    def indexed(self, document_id: str) -> bool:
        """Whether a document can be found"""
        return self.call("GET", f"/documents/{document_id}").json["indexed_at"] is not None

    def metrics(self) -> dict[str, float]:
        """The samples of one scrape, by name with labels"""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {match[1]: float(match[2]) for match in re.finditer(r"^([^#\s]\S*(?:\{.*\})?) (\S+)$", text,
                                                                   re.MULTILINE)}

    def output(self) -> str:
        """Everything that it printed"""
        return (self.folder / "log").read_text()

    def lines(self) -> list[dict]:
        """Its log; every line must be JSON"""
        return [json.loads(line) for line in self.output().splitlines()]

    def high_water(self) -> int:
        """The most memory that it had in use, bytes"""
        return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Stop the process and return its exit code"""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)

    def remove(self) -> None:
        """Stop at once, and remove its folder"""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


def environment_of_apps() -> dict[str, str]:
    """What every application in these tests is told"""
    return {"PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": str(PYCACHE), "PYTHONUNBUFFERED": "1",
            "OUTBOX_POLL_SECONDS": "0.2", "OUTBOX_MAX_DELAY_SECONDS": "0.5", "OUTBOX_LEASE_SECONDS": "2",
            "MIGRATE_WAIT_SECONDS": "10", "CALLER_RATE": "0", "STRANGER_RATE": "0"}


class Platform:
    """What the application needs on the host: a database with a role of its own, a bucket, an index, secrets in
    files"""

    side = "host"

    def __init__(self, postgres: PostgresServer, s3: S3Server) -> None:
        """Make a database, a role and secrets; the schema and the bucket are made by the application's own commands"""
        self.postgres, self.s3, self.search, self.apps = postgres, s3, SearchStub(), []
        self.name, self.folder = f"app_{uuid4().hex[:8]}", Path(tempfile.mkdtemp(prefix="secrets-"))
        postgres.psql(f"CREATE ROLE {self.name} LOGIN NOSUPERUSER PASSWORD '{DB_PASSWORD}';")
        postgres.psql(f"CREATE DATABASE {self.name} OWNER {self.name};")
        for name, value in {"db": DB_PASSWORD, "s3": S3_SECRET, "search": SEARCH_KEY, "api": API_KEY}.items():
            (self.folder / name).write_text(f"{value}\n")
        self.bucket = self.name.replace("_", "-")
        self.environment = environment_of_apps() | {
            "DB_HOST": "127.0.0.1", "DB_PORT": str(postgres.port), "DB_NAME": self.name, "DB_USER": self.name,
            "DB_PASSWORD_FILE": str(self.folder / "db"), "S3_ENDPOINT_URL": s3.url, "S3_BUCKET": self.bucket,
            "S3_ACCESS_KEY": S3_KEY, "S3_SECRET_KEY_FILE": str(self.folder / "s3"), "MEILISEARCH_URL": self.search.url,
            "MEILISEARCH_KEY_FILE": str(self.folder / "search"), "API_KEY_FILE": str(self.folder / "api")}

    def app(self, source: Path = SOURCE, **environment: str | None) -> App:
        """The application on this platform, not yet started"""
        self.apps.append(App(self, source, environment))
        return self.apps[-1]

    def prepare(self) -> None:
        """Run the jobs that come before the application"""
        app = self.app()
        for module in ("app.migrate", "app.bucket_init"):
            done = app.run("-m", module)
            assert done.returncode == 0, done.stdout + done.stderr
        app.remove()

    def stored(self, document_id: str) -> bytes | None:
        """What the bucket has of a document"""
        place = self.s3.folder / self.bucket / "documents" / document_id
        return place.read_bytes() if place.exists() else None

    def statements(self) -> str:
        """What the database notes of what it was asked"""
        return self.postgres.log.read_text()

    def contacts_of(self, company: str) -> int:
        """How many contacts name a company"""
        return int(self.postgres.psql(f"SELECT count(*) FROM contacts WHERE company = '{company}'", self.name))

    def wrong_key(self) -> tuple[dict[str, str], list[str], str]:
        """Settings with a key that the object store refuses, what is down then, what the bucket's job says of it"""
        (wrong := self.folder / "wrong").write_text("another secret of the object store\n")
        return {"S3_SECRET_KEY_FILE": str(wrong)}, ["object_store"], "look at S3_ACCESS_KEY and S3_SECRET_KEY_FILE"

    def remove(self) -> None:
        """Remove everything"""
        for each in self.apps:
            each.remove()
        self.search.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3():
    """A running S3 server"""
    server = S3Server()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def side(request):
    """Which adapters the application uses: `host` unless a test file asks for each side"""
    return getattr(request, "param", SIDES[0])


@pytest.fixture(scope="session")
def platform(side, request):
    """What the application needs on a side, made ready by the application's own jobs"""
    if side == "managed":
        from managed_services import ManagedPlatform

        made = ManagedPlatform()
    else:
        made = Platform(request.getfixturevalue("postgres"), request.getfixturevalue("s3"))
    made.prepare()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def app(platform):
    """The application, running; the tests of a file share it and leave it as they found it. It ends with them: it looks
    into its outbox five times a second, which took moto 85 s of processor beside all the other tests"""
    made = platform.app().start()
    yield made
    made.remove()


@pytest.fixture
def make_app(platform):
    """A function that starts an application of one's own; its keywords are environment variables"""
    made = []

    def make(start: bool = True, **environment: str | None) -> App:
        made.append(platform.app(**environment))
        return made[-1].start() if start else made[-1]

    yield make
    for each in made:
        each.remove()


@pytest.fixture
def fresh(postgres, s3):
    """A platform on which no job has run"""
    made = Platform(postgres, s3)
    yield made
    made.remove()


@pytest.fixture
def source():
    """The folder with the sources of the application"""
    return SOURCE
