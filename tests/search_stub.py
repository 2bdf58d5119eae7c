"""A stand-in with Meilisearch's interface, as far as an application needs it, with its rules.

As in Meilisearch v1: changes are tasks that are done later and can fail; adding replaces by primary key; deleting
what is not
there succeeds; every route but /health wants the key; an index that exists cannot be made again; the search matches the
beginnings of words in the searchable attributes. It can be told to fail, and notes the headers that it was sent.
"""
from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "a master key of sixteen or more"


class SearchStub:
    """The state of the engine, and its server on a free port"""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Start serving"""
        self.host = host
        self.indexes, self.tasks, self.seen = {}, {}, []
        self.failing, self.failing_tasks, self.stuck = False, False, False
        self.lock = threading.Lock()
        self._serve(port)

    def _serve(self, port: int) -> None:
        stub, self.connections, self.serving = self, [], True

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            log_message = lambda *_: None  # noqa: E731

            def setup(self) -> None:
                super().setup()
                stub.connections.append(self.connection)

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with stub.lock:
                    status, answer = stub.answer(self.command, self.path, dict(self.headers),
                                                 json.loads(body) if body else None)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        self.server = ThreadingHTTPServer((self.host, port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens"""
        return f"http://127.0.0.1:{self.port}"

    def documents(self) -> dict[str, dict]:
        """What the index `documents` holds, by id"""
        return dict(self.indexes.get("documents", {}).get("documents", {}))

    def answer(self, method: str, target: str, headers: dict[str, str], body: object) -> tuple[int, dict]:
        """Status and content for one request"""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self.seen.append((method, path, {name.lower(): value for name, value in headers.items()}))
        if self.failing:
            return 500, {"code": "internal", "message": "told to fail"}
        if path == "/health":
            return 200, {"status": "available"}
        if headers.get("Authorization") != f"Bearer {KEY}":
            return 403, {"code": "invalid_api_key", "message": "The provided API key is invalid."}
        if path == "/version":
            return 200, {"pkgVersion": "1.53.1"}
        if match := re.fullmatch(r"/tasks/(\d+)", path):
            task = self.tasks.get(int(match[1]))
            return (200, {**task, "status": "processing"} if self.stuck
                    else task) if task else (404, {"code": "task_not_found"})
        if path == "/indexes" and method == "POST":
            return self._task(self._make, body)
        if match := re.fullmatch(r"/indexes/([^/]+)(/.*)?", path):
            return self._of_index(method, match[1], match[2] or "", query, body)
        return 404, {"code": "not_found"}

    def _of_index(self, method: str, name: str, rest: str, query: dict, body: object) -> tuple[int, dict]:
        if (method, rest) == ("PATCH", "/settings"):
            return self._task(lambda _: self.indexes.setdefault(name, _new()).update(settings=body), None)
        if (method, rest) in {("PUT", "/documents"), ("POST", "/documents")}:
            return self._task(lambda _: self._add(name, body), None)
        if name not in self.indexes and not rest.startswith("/documents/delete"):
            return 404, {"code": "index_not_found", "message": f"Index `{name}` not found."}
        if (method, rest) == ("POST", "/documents/delete-batch"):
            return self._task(lambda _: [self._existing(name)["documents"].pop(each, None) for each in body], None)
        if (method, rest) == ("GET", "/documents"):
            every = list(self.indexes[name]["documents"].values())
            offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["20"])[0])
            return 200, {"results": every[offset:offset + limit], "total": len(every), "offset": offset, "limit": limit}
        if (method, rest) == ("POST", "/search"):
            return self._search(self.indexes[name], body)
        return 404, {"code": "not_found"}

    def _task(self, work: object, body: object) -> tuple[int, dict]:
        uid, state = len(self.tasks), {"status": "succeeded", "error": None}
        try:
            if self.failing_tasks:
                raise LookupError("internal")
            work(body)
        except LookupError as error:
            state = {"status": "failed", "error": {"code": str(error.args[0])}}
        self.tasks[uid] = {"uid": uid, **state}
        return 202, {"taskUid": uid, "status": "enqueued"}

    def _make(self, body: dict) -> None:
        if body["uid"] in self.indexes:
            raise LookupError("index_already_exists")
        self.indexes[body["uid"]] = _new()

    def _existing(self, name: str) -> dict:
        if name not in self.indexes:
            raise LookupError("index_not_found")
        return self.indexes[name]

    def _add(self, name: str, body: list[dict]) -> None:
        kept = self.indexes.setdefault(name, _new())["documents"]
        for each in body:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,511}", str(each.get("id", ""))):
                raise LookupError("invalid_document_id")
            kept[each["id"]] = {**kept.get(each["id"], {}), **each}

    def _search(self, index: dict, body: dict) -> tuple[int, dict]:
        words = re.findall(r"\w+", body.get("q", "").lower())
        allowed = index["settings"].get("searchableAttributes", [])
        hits = []
        for each in index["documents"].values():
            if (wanted := re.fullmatch(r'(\w+) = "([^"]*)"',
                                       body.get("filter", ""))) and each.get(wanted[1]) != wanted[2]:
                continue
            have = re.findall(r"\w+", " ".join(str(each.get(name, "")) for name in allowed).lower())
            if all(any(word.startswith(asked) for word in have) for asked in words):
                hits.append({"id": each["id"]})
        offset, limit = body.get("offset", 0), body.get("limit", 20)
        return 200, {"hits": hits[offset:offset + limit], "estimatedTotalHits": len(hits)}

    def stop(self) -> None:
        """Stop serving; the state stays, so `start` brings the same engine back"""
        self.serving = False
        self.server.shutdown()
        self.server.server_close()
        for each in self.connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def start(self) -> None:
        """Serve again on the same port, unless it serves already"""
        if not self.serving:
            self._serve(self.port)


def _new() -> dict:
    return {"documents": {}, "settings": {}}
