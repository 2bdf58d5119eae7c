"""Real programs of the observability stack as processes of a test, and the servers that they talk to."""
from __future__ import annotations

import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from needed import program


def free_port() -> int:
    """Return a port of the loopback that nobody uses"""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetched(url: str, data: Any = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Return status and text of an answer; `data` is sent as JSON"""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"} | (headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(question: Callable[[], Any], seconds: float = 15, what: str = "it") -> Any:
    """Return the first true answer to `question`; fail after `seconds`"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if answer := question():
                return answer
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"{what} did not happen within {seconds} s")


@contextmanager
def running(command: list[str], ready: str, log: Path,
            environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """Run a program until the block ends; the block starts when `ready` answers below 500"""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                   env=os.environ | (environment or {}))
        try:
            def answers() -> bool:
                assert process.poll() is None, log.read_text()[-3000:]
                return fetched(ready)[0] < 500
            until(answers, what=f"{command[0]} on {ready}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Sink(socketserver.ThreadingTCPServer):
    """A server that keeps what is posted to it, and answers GET with what `answers` says for a path"""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answers: dict[str, tuple[int, dict[str, str], str]] | None = None,
                 certificate: Path | None = None, key: Path | None = None) -> None:
        self.received: list[tuple[str, Any]] = []
        self.answers = answers or {}
        super().__init__(("127.0.0.1", 0), SinkHandler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class SinkHandler(BaseHTTPRequestHandler):
    """Answers for a Sink"""

    def log_message(self, *_: Any) -> None:
        """Say nothing"""

    def _answer(self, status: int, headers: dict[str, str], text: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(text.encode()))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        """Answer as the sink was told to"""
        self._answer(*self.server.answers.get(self.path.partition("?")[0], (404, {}, "")))

    def do_POST(self) -> None:
        """Keep the body"""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append((self.path, json.loads(body)))
        self._answer(200, {}, "")


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for the name localhost that lasts ten days; return it and its key"""
    made, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run([program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj",
                    "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", made], check=True,
                   capture_output=True)
    return made, key
