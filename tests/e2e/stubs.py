"""Programs that no registry at hand has, as far as the stack speaks to them. One file: which one it is, stub.sh says.

Each takes the command line, reads the secrets, listens on the ports and writes into the folders of the program that
it stands for,
with the same user and the same rights. None of them does the program's work; `GET /calls` says what was asked of it.
"""
from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME = {"run.sh": "grafana"}.get(os.environ["STAND_IN"], os.environ["STAND_IN"])
CALLS: list[str] = []
LINES: list[dict] = []


def option(name: str, default: str = "") -> str:
    """An option of the command line, as `--name value` or `--name=value`"""
    for number, each in enumerate(sys.argv):
        if each == name:
            return sys.argv[number + 1]
        if each.startswith(f"{name}="):
            return each.partition("=")[2]
    return default


class Handler(BaseHTTPRequestHandler):
    """Answers every path with 200, and keeps count"""

    protocol_version = "HTTP/1.1"
    metrics = ""

    def answer(self, status: int, body: bytes = b"ok", kind: str = "text/plain; version=0.0.4") -> None:
        """Send an answer"""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self) -> None:
        """One request"""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/calls":
            return self.answer(200, json.dumps({"calls": CALLS, "lines": LINES[-5000:]}).encode())
        CALLS.append(f"{self.command} {self.path}")
        if self.path.endswith("/metrics"):
            return self.answer(200, f"# TYPE up_stub gauge\nup_stub 1\n{self.metrics}".encode())
        if self.path == "/loki/api/v1/push":
            for stream in json.loads(body)["streams"]:
                LINES.extend({"labels": stream["stream"], "line": line} for _, line in stream["values"])
            return self.answer(204, b"")
        return self.answer(200)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

    def log_message(self, *arguments) -> None:
        """Say nothing"""


def serve(port: int, **attributes: object) -> None:
    """Serve until SIGTERM"""
    server = ThreadingHTTPServer(("0.0.0.0", port), type("Handler", (Handler,), attributes))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


def ship(folder: Path) -> None:
    """What Alloy does with Docker's log files: new lines to Loki, with their service"""
    places: dict[Path, int] = {}
    positions = folder / "positions.yml"
    while True:
        streams: dict[str, list[list[str]]] = {}
        for file in Path("/var/lib/docker/containers").glob("*/*-json.log"):
            with open(file) as lines:
                lines.seek(places.get(file, 0))
                while (line := lines.readline()).endswith("\n"):
                    found = json.loads(line)
                    service = found.get("attrs", {}).get("com.docker.compose.service", "")
                    streams.setdefault(service, []).append([str(time.time_ns()), found["log"]])
                places[file] = lines.tell()
        if streams:
            body = {"streams": [{"stream": {"service": service},
                                 "values": values} for service, values in streams.items()]}
            request = urllib.request.Request("http://loki:3100/loki/api/v1/push", json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except OSError:
                pass
        positions.write_text(json.dumps({str(file): at for file, at in places.items()}))
        time.sleep(1)


def alloy() -> None:
    """Log shipper"""
    folder = Path(option("--storage.path"))
    # fails where the folder cannot be written to, as Alloy does
    (folder / "loki.source.file.containers").mkdir(parents=True, exist_ok=True)
    Path(sys.argv[-1]).read_text()
    threading.Thread(target=ship, args=[folder / "loki.source.file.containers"], daemon=True).start()
    serve(int(option("--server.http.listen-addr").rpartition(":")[2]))


def loki() -> None:
    """Store of logs"""
    Path(option("-config.file")).read_text()
    Path("/loki/chunks").mkdir(exist_ok=True)
    serve(3100)


def grafana() -> None:
    """Dashboards"""
    if "reset-admin-password" in sys.argv:
        sys.stdin.readline()
        return
    Path("/etc/grafana/grafana.ini").read_text()
    Path(os.environ["GF_SECURITY_ADMIN_PASSWORD__FILE"]).read_text()
    import sqlite3
    with sqlite3.connect("/var/lib/grafana/grafana.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS dashboard (title TEXT)")
    serve(3000)


def cloudflared() -> None:
    """The tunnel's end"""
    port = option("--metrics").rpartition(":")[2]
    Path(option("--token-file")).read_text()
    serve(int(port), metrics="# TYPE cloudflared_tunnel_ha_connections gauge\ncloudflared_tunnel_ha_connections 4\n")


def meilisearch() -> None:
    """Search: the stand-in of the other tests, which keeps Meilisearch's rules, with a file for what it must not
    forget"""
    sys.path.insert(0, "/usr/lib/stand-in")
    import search_stub
    search_stub.KEY = os.environ["MEILI_MASTER_KEY"]
    kept = Path("/meili_data/data.ms/state.json")
    kept.parent.mkdir(exist_ok=True)
    stub = search_stub.SearchStub(int(os.environ["MEILI_HTTP_ADDR"].rpartition(":")[2]), "0.0.0.0")
    if kept.exists():
        stub.indexes = json.loads(kept.read_text())
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    known = ""
    while not ended.wait(0.5):
        with stub.lock:
            now = json.dumps(stub.indexes)
        if now != known:
            kept.with_suffix(".part").write_text(now)
            kept.with_suffix(".part").rename(kept)
            known = now


if __name__ == "__main__":
    {each.__name__: each for each in (alloy, loki, grafana, cloudflared, meilisearch)}[NAME]()
