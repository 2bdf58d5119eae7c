"""A stand-in for the application, for tests of the deploy: one color, one port, ends as the application ends.

On SIGTERM it says 503 on /readyz for a while and goes on
answering, so that the edge looks elsewhere, then stops listening and lets requests that have begun end. What else it
does is
in its release: `app/mode` is `ok`, `broken` (never listens), `unready` (never ready), `late` (ready after some
seconds), `slow`
(listens after some seconds, as an application with many imports does) or `errors` (500 to users, ready all the same).
Usage: color_app.py PORT DRAIN_SECONDS
"""
from __future__ import annotations

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RELEASE = Path(os.environ["RELEASE"])
MODE = (RELEASE / "app" / "mode").read_text().strip()
STARTED = time.monotonic()
DRAINING = threading.Event()


class App(BaseHTTPRequestHandler):
    """GET and POST: the release, echoed bodies; `/slow` takes its time, `/stream` sends a part every tenth of a
    second"""

    protocol_version = "HTTP/1.1"

    def answer(self, code: int, body: bytes) -> None:
        """Send an answer"""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer a request without a body"""
        if self.path == "/readyz":
            late = MODE == "late" and time.monotonic() - STARTED < 1.5
            return self.answer(503 if DRAINING.is_set() or MODE == "unready" or late else 200, b"")
        if self.path == "/livez":
            return self.answer(200, b"")
        if MODE == "errors":
            return self.answer(500, b"broken")
        if self.path.startswith("/slow"):
            time.sleep(2)
        if self.path.startswith("/stream"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(10):
                time.sleep(0.1)
                self.wfile.write(b"4\r\npart\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return None
        return self.answer(200, RELEASE.name.encode())

    def do_POST(self) -> None:
        """Answer a request with a body: the body"""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if MODE == "errors":
            return self.answer(500, b"broken")
        return self.answer(200, body)

    def log_message(self, *arguments) -> None:
        """Say nothing"""


class Server(ThreadingHTTPServer):
    """Ends only after what has begun"""

    daemon_threads = False
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True


def main() -> None:
    """Serve until SIGTERM, drain, end"""
    port, drain = int(sys.argv[1]), float(sys.argv[2])
    if MODE == "broken":
        sys.exit("this release cannot start")
    if MODE == "slow":
        time.sleep(4)
    server = Server(("127.0.0.1", port), App)
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked.wait()
    DRAINING.set()
    time.sleep(drain)
    server.shutdown()
    server.socket.close()
    deadline = time.monotonic() + 10
    while any(each.name.startswith("Thread-") and each.is_alive() and not each.daemon
              for each in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.02)
    os._exit(0)


if __name__ == "__main__":
    main()
