"""A real Caddy with the emitted files, stand-ins for the services behind it, and a client that sends what no library
would.

Only what depends on the machine is replaced in what Caddy made of the files: addresses, the folder of the secrets,
and how
often health is checked. Loopback addresses play the networks: 127.0.0.2 is in the tunnel's, 127.0.0.3 in
Prometheus's, and
127.0.0.9 in none.
"""
from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from needed import program

from pretamane_analysis.emit.containers import SUBNETS
from pretamane_analysis.emit.host.caddy import upstreams
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example

PASSWORD = "a password for this test"
CREDENTIALS = ("Authorization", "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode())
TUNNEL, SCRAPER, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.9"
ALLOWED, ALSO_ALLOWED, OTHER = "https://www.example.com", "http://localhost:5173", "https://evil.example"
HEALTH_INTERVAL = 0.1  # seconds, where the files say 1
TRY_DURATION = 1.0  # seconds, where the files say 5
HEADER_TIMEOUT = 2.0  # seconds, where the files say 10


def varied(**changes) -> Stack:
    """Return the example stack, two origins allowed and presigned addresses served, with more `changes`"""
    data = example().model_dump(exclude_unset=True)
    data["edge"] = data.get("edge", {}) | {"cors_origins": [ALLOWED, ALSO_ALLOWED]} | changes.pop("edge", {})
    data["services"]["minio"]["routes"].append({"path": "/pretamane-documents", "port": "s3"})
    for name, each in changes.pop("services", {}).items():
        data["services"][name] |= each
    data["host"] = data.get("host", {}) | changes.pop("host", {})
    return Stack.model_validate(data | changes)


def direct(**changes) -> Stack:
    """Return the same stack without a tunnel"""
    stack = varied(**changes).model_dump(exclude_unset=True)
    stack["host"]["edge"] = "direct"
    stack["volumes"]["caddy-data"] = {"size_gb": 1}
    stack["services"]["caddy"]["mounts"] = [{"volume": "caddy-data", "path": "/data"}]
    return Stack.model_validate(stack)


def caddy(*arguments, folder=None, **options) -> subprocess.CompletedProcess:
    """Run Caddy to its end"""
    home = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)} if folder else {}
    return subprocess.run([program("caddy"), *arguments], capture_output=True, text=True, timeout=60, check=False,
                          env=os.environ | home, **options)


def written(folder, files: dict[str, str]) -> Path:
    """Write the edge's files; return the Caddyfile"""
    for path, text in files.items():
        if path.startswith("caddy/"):
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_text(text)
    return Path(folder) / "caddy/Caddyfile"


def adapted(folder, files: dict[str, str]) -> dict:
    """Return what Caddy makes of the files; AssertionError with its words where it refuses them"""
    made = caddy("adapt", "--config", str(written(folder, files)), folder=folder)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


# Stand-ins

class Answers(BaseHTTPRequestHandler):
    """Says what reached it. The last part of the path asks for something else: missing, crash, slow, cors, policy,
    moved."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body that waits for the acknowledgment of its head takes 40 ms

    def do_GET(self):
        path = urlsplit(self.path)
        if path.path == "/readyz":
            self.server.looks += 1
            return self.answer(200 if self.server.ready else 503, b"")
        with self.server.busy(self.connection):
            body = self.body()
            self.server.requests += 1
            last = path.path.rpartition("/")[2]
            if number := self.headers.get("X-Number"):
                with self.server.lock:
                    self.server.done[number] = self.server.done.get(number, 0) + 1
            if last == "crash":
                self.close_connection = True
                return None
            if last == "slow":
                time.sleep(float(parse_qs(path.query).get("seconds", ["1"])[0]))
            seen = {"upstream": self.server.name, "path": self.path, "method": self.command,
                    "headers": [*self.headers.items()], "body": len(body)}
            return self.answer(404 if last == "missing" else 302 if last == "moved" else 200,
                               json.dumps(seen).encode(), last)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_GET

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status, body, last=""):
        own = {"cors": [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true")],
               "policy": [("Content-Security-Policy", "default-src 'none'")],
               "moved": [("Location", "https://objects.example/7?X-Amz-Signature=SECRET-moved")]}
        self.send_response(status)
        if self.server.stopping:
            self.send_header("Connection", "close")
            self.close_connection = True
        for name, value in [("Content-Length", str(len(body))), ("X-Powered-By", "a stand-in"), *own.get(last, [])]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Upstream(ThreadingHTTPServer):
    """One container of a service: it can be not ready, stop as a container stops, and come back where it was."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name, port=0):
        self.name, self.ready, self.stopping, self.lock = name, True, False, threading.Lock()
        self.requests, self.looks = 0, 0
        self.open, self.working, self.done = set(), set(), {}
        super().__init__(("127.0.0.1", port), Answers)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @contextmanager
    def busy(self, connection):
        self.working.add(connection)
        try:
            yield
        finally:
            self.working.discard(connection)

    def process_request(self, request, client_address):
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # a connection that was cut

    def stop(self):
        """Take no more connections, hang up where nothing is under way, finish what is: as a web server does when
        told to end"""
        self.stopping = True
        self.shutdown()
        self.server_close()
        for each in {*self.open} - {*self.working}:
            _hang_up(each)
        until(lambda: not self.working)

    def again(self) -> Upstream:
        """Return a new container in the place of this one"""
        found = Upstream(self.name, self.server_port)
        found.done = self.done
        return found


def _hang_up(connection) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def until(condition, seconds=10.0):
    """Wait for a condition"""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def free_port() -> int:
    """Return a port that nobody uses"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# The edge

@dataclass
class Answer:
    """What came back"""

    status: int
    headers: Message
    body: bytes

    @property
    def seen(self) -> dict | None:
        """What reached the service, None where nothing did"""
        return json.loads(self.body) if self.body.startswith(b"{") else None

    @property
    def upstream(self) -> str | None:
        """The address that was asked for in the stack's own words"""
        return self.seen and self.seen["upstream"]

    @property
    def path(self) -> str | None:
        """The path that the service saw"""
        return self.seen and self.seen["path"]

    def forwarded(self, name: str) -> list[str]:
        """Return the values of a header as the service saw it"""
        return [value for each, value in self.seen["headers"] if each.lower() == name.lower()] if self.seen else []


@dataclass
class Edge:
    """A running Caddy and what is behind it"""

    folder: Path
    ports: dict[str, int]
    behind: dict[str, Upstream]
    config: dict
    process: subprocess.Popen | None = None
    tls: bool = False
    reloads: int = field(default=0)

    def ask(self, path, *headers, method="GET", body=b"", door="public", source=TUNNEL, host=None, chunked=False,
            name=None, timeout=20) -> Answer:
        """Send one request, byte for byte"""
        admin = door == "admin"
        host = host or ("admin.app.example.com" if admin else "app.example.com")
        framing = [("Transfer-Encoding",
                    "chunked")] if chunked else [("Content-Length", str(len(body)))] if body else []
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}",
                 *(f"{key}: {value}" for key, value in [*headers, *framing]), "Connection: close", "", ""]
        sent = "\r\n".join(lines).encode("latin-1") + (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
                                                       if chunked else body)
        with self.connection(door, source, name or host, timeout) as connection:
            try:
                connection.sendall(sent)
            except OSError:
                pass  # refused before it had read everything
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            try:
                content = response.read()
            except ConnectionResetError:  # the rest of what was sent came after the end
                content = b""
            return Answer(response.status, response.headers, content)

    def admin(self, path, *headers, **options) -> Answer:
        """Send one request to the administrators' door, with the password"""
        return self.ask(path, CREDENTIALS, *headers, door="admin", **options)

    def connection(self, door, source, name, timeout=20):
        """Return a connection from one of the networks"""
        plain = socket.create_connection(("127.0.0.1", self.ports["public" if self.tls and door == "admin" else door]),
                                         timeout, (source, 0))
        if not self.tls or door not in ("public", "admin"):
            return plain
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(plain, server_hostname=name)

    def log(self) -> str:
        """Return what Caddy wrote"""
        return (self.folder / "log").read_text()

    def load(self, config=None) -> None:
        """Load a configuration as `caddy reload` does, from the start and without asking whether it changed"""
        self.reloads += 1
        body = json.dumps(config or self.config).encode()
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(30)
            admin.connect(str(self.folder / "admin.sock"))
            admin.sendall(b"POST /load HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          b"Cache-Control: must-revalidate\r\n"
                          b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            response = http.client.HTTPResponse(admin)
            response.begin()
            assert response.status == 200, response.read()

    def pool(self, door="public") -> list[dict]:
        """Return what Caddy knows of its upstreams"""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.folder / "admin.sock"))
            admin.sendall(b"GET /reverse_proxy/upstreams HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            response = http.client.HTTPResponse(admin)
            response.begin()
            return json.loads(response.read())


def localized(config, places: dict[str, str]) -> dict:
    """Return a configuration whose addresses and folders are those of the test"""
    text = json.dumps(config)
    for old, new in places.items():
        text = text.replace(old, new)

    def mended(found):
        if isinstance(found, list):
            return [mended(each) for each in found]
        if not isinstance(found, dict):
            return found
        if "try_duration" in found:
            found["try_duration"] = int(TRY_DURATION * 1e9)
        if "read_header_timeout" in found:
            found["read_header_timeout"] = int(HEADER_TIMEOUT * 1e9)
        if "active" in found and "interval" in found["active"]:
            found["active"]["interval"] = int(HEALTH_INTERVAL * 1e9)
        return {key: mended(each) for key, each in found.items()}

    return mended(json.loads(text))


def configuration(edge: Edge, stack: Stack, files: dict[str, str]) -> dict:
    """Return what Caddy makes of the files, in the places of this edge"""
    own = stack.services["caddy"].ports
    numbers = {"public": 8443 if edge.tls else own["http"], "admin": own["admin"], "metrics": own["metrics"],
               "redirect": own["http"], "probes": own.get("probes", 8082)}
    places = {f'"{each}"': f'"127.0.0.1:{server.server_port}"' for each, server in edge.behind.items()}
    places |= {f'":{numbers[door]}"': f'"127.0.0.1:{port}"' for door, port in edge.ports.items() if edge.tls
               or door != "redirect"}
    places |= {"/run/secrets": str(edge.folder), "/run/caddy": str(edge.folder), SUBNETS["edge"]: f"{TUNNEL}/32",
               SUBNETS["obs"]: f"{SCRAPER}/32"}
    config = localized(adapted(edge.folder, files), places)
    if edge.tls:
        config["apps"]["tls"] = {"automation": {"policies": [{"issuers": [{"module": "internal"}]}]}}
        config["apps"]["pki"] = {"certificate_authorities": {"local": {"install_trust": False}}}
    return config


@contextmanager
def running(stack: Stack, files: dict[str, str] | None = None) -> Iterator[Edge]:
    """Run a real Caddy with the stack's files, or with those given in their place"""
    files = files or emitted(stack, ["caddy"])
    is_direct = stack.host.edge == "direct"
    with tempfile.TemporaryDirectory() as name:
        folder, behind = Path(name), {}
        dials = sorted({each for found in upstreams(stack).values() for each in found})
        try:
            behind |= {each: Upstream(each) for each in dials}
            ports = {door: free_port() for door in ("public", "admin", "metrics", "redirect", "probes")}
            (folder / "edge_admin_password_hash").write_text(password_hash())
            edge = Edge(folder, ports, behind, {}, tls=is_direct)
            edge.config = configuration(edge, stack, files)
            with _process(edge):
                yield edge
        finally:
            for server in behind.values():
                server.shutdown()
                server.server_close()


_HASHES: dict[str, str] = {}


def password_hash() -> str:
    """Return the hash of the password of these tests, made once"""
    if not _HASHES:
        made = caddy("hash-password", "--algorithm", "bcrypt", "--bcrypt-cost", "8", "--plaintext", PASSWORD)
        _HASHES[PASSWORD] = made.stdout
        assert made.stdout.startswith("$2a$"), made.stderr
    return _HASHES[PASSWORD]


@contextmanager
def _process(edge: Edge) -> Iterator[None]:
    (edge.folder / "caddy.json").write_text(json.dumps(edge.config))
    environment = os.environ | {"XDG_DATA_HOME": str(edge.folder), "XDG_CONFIG_HOME": str(edge.folder)}
    with open(edge.folder / "log", "w") as log:
        edge.process = subprocess.Popen([program("caddy"), "run", "--config", str(edge.folder / "caddy.json")],
                                        stdout=log, stderr=log, env=environment)
        try:
            _listening(edge)
            yield
        finally:
            edge.process.terminate()
            try:
                edge.process.wait(5)
            except subprocess.TimeoutExpired:
                edge.process.kill()
                edge.process.wait()


def _listening(edge: Edge) -> None:
    for _ in range(400):
        assert edge.process.poll() is None, edge.log()
        time.sleep(0.02)
        try:
            socket.create_connection(("127.0.0.1", edge.ports["public"]), 1).close()
        except OSError:
            continue
        if not edge.tls or edge.log().count("certificate obtained successfully") == 2:
            return
    raise AssertionError("caddy did not listen: " + edge.log())
