"""Downloads over a line that breaks, a server that stumbles and a file that changes."""
from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.prices.offer_download import download, fetched, offer_url

CONTENT = random.Random(1).randbytes(700_000)
OTHER = random.Random(2).randbytes(600_000)


class Server(ThreadingHTTPServer):
    """A server with one file and a plan of what goes wrong"""

    daemon_threads = True
    content = CONTENT
    md5 = True
    wrong = ()  # per request: a state, ("cut", bytes) or ("slow", seconds)

    def __init__(self):
        """Listen on a free port"""
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []

    @property
    def base(self) -> str:
        """The address"""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers as the plan says"""

    def log_message(self, *words):
        """Say nothing"""

    def do_GET(self):  # noqa: N802
        """Send the file, or what the plan says"""
        server, number = self.server, len(self.server.seen)
        server.seen.append(self.headers.get("Range", ""))
        wrong = server.wrong[number] if number < len(server.wrong) else None
        content = server.content
        tag = f'"{hashlib.md5(content).hexdigest()}"' if server.md5 is True else f'"{server.md5}"'
        if isinstance(wrong, int):
            self.send_response(wrong)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.end_headers()
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.headers.get("If-Range") == tag else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        kind, amount = wrong or ("", 0)
        if kind == "slow":
            self.wfile.write(content[start:start + 1000])
            time.sleep(amount)
            start += 1000
        self.wfile.write(content[start:start + amount] if kind == "cut" else content[start:])


@pytest.fixture
def server():
    """A running server"""
    running = Server()
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("wrong", [(), (503, 500), (("cut", 300_000), ("cut", 100_000)), (("slow", 0.2),),
                                   (("cut", 0), ("cut", 300_000), 502)])
def test_arrives_whole(wrong, server, tmp_path):
    """Whatever goes wrong on the way, the file is the one that was sent"""
    server.wrong = wrong
    path = download(offer_url("AWSELB", "sa-east-1", base=server.base), tmp_path, pause=0.01)
    assert path.read_bytes() == CONTENT
    note = json.loads((tmp_path / "index.json.note.json").read_text())
    assert (note["size"], note["sha256"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["index.json", "index.json.note.json"]


def test_resumes_in_a_later_call(server, tmp_path):
    """What arrived is kept, and only the rest is asked for"""
    server.wrong = (("cut", 300_000), *[("cut", 0)] * 6)
    with pytest.raises(PretamaneError, match="goes on where it stopped"):
        download(server.base + "/index.csv", tmp_path, pause=0.001)
    assert not (tmp_path / "index.csv").exists()
    seen = len(server.seen)
    assert download(server.base + "/index.csv", tmp_path).read_bytes() == CONTENT
    assert server.seen[seen] == "bytes=300000-"
    download(server.base + "/index.csv", tmp_path)
    assert len(server.seen) == seen + 2


def test_changed_between_attempts(server, tmp_path):
    """Another file on the server: begun anew, never two halves"""
    server.wrong = (("cut", 300_000), *[("cut", 0)] * 6)
    with pytest.raises(PretamaneError):
        download(server.base + "/index.csv", tmp_path, pause=0.001)
    server.content = OTHER
    assert download(server.base + "/index.csv", tmp_path).read_bytes() == OTHER


def test_wrong_checksum(server, tmp_path):
    """A file with another MD5 than the server says is thrown away"""
    server.md5 = "0" * 32
    with pytest.raises(PretamaneError, match="not the one that was sent"):
        download(server.base + "/index.csv", tmp_path)
    assert not list(tmp_path.glob("index.csv*[tv]"))


def test_says_what_is_wrong(server, tmp_path):
    """An address that the server does not know is an error with its status"""
    server.wrong = (404,)
    with pytest.raises(PretamaneError, match="404"):
        download(server.base + "/index.csv", tmp_path)


def test_fetched_once(server, tmp_path, monkeypatch):
    """A file in the cache folder is not asked for again within a day"""
    monkeypatch.setenv("PRETAMANE_CACHE", str(tmp_path))
    monkeypatch.setenv("PRETAMANE_OFFERS_URL", server.base)
    url = offer_url("AWSELB", "sa-east-1", "csv")
    assert fetched(url) == fetched(url)
    assert len(server.seen) == 1
