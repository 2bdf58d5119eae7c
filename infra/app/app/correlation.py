# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""One id for one request, wherever it leaves a trace: log, response, SQL, object store, search."""
from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass
class Correlation:
    """What identifies the work that is being done"""

    request_id: str
    traceparent: str
    caller: str = ""  # the mark of the key that was presented, once it was accepted
    scope: dict[str, Any] = field(default_factory=dict)  # the router notes its route here, later than this is made

    @property
    def trace_id(self) -> str:
        """The trace's 32 hexadecimal digits"""
        return self.traceparent.split("-")[1]

    @property
    def route(self) -> str:
        """The template of the route, such as /documents/{document_id}; empty before routing and outside a request"""
        return getattr(self.scope.get("route"), "path", "")


_current: ContextVar[Correlation | None] = ContextVar("correlation", default=None)


def current() -> Correlation | None:
    """The correlation of the work at hand, None outside any"""
    return _current.get()


def new_traceparent() -> str:
    """The start of a trace that nobody samples"""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def from_scope(scope: dict[str, Any]) -> Correlation:
    """The ids that a caller sent, where they are valid; else new ones. An id that is sent twice is not valid."""
    sent: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        sent.setdefault(name, []).append(value)
    request_id = _single(sent.get(b"x-request-id"), REQUEST_ID) or uuid.uuid4().hex
    traceparent = _single(sent.get(b"traceparent"), TRACEPARENT) or new_traceparent()
    return Correlation(request_id, traceparent, scope=scope)


def _single(values: list[bytes] | None, valid: re.Pattern[str]) -> str | None:
    text = values[0].decode("latin-1") if values and len(values) == 1 else ""
    return text if valid.fullmatch(text) else None


@contextmanager
def correlated(correlation: Correlation) -> Iterator[Correlation]:
    """Everything inside carries these ids"""
    token = _current.set(correlation)
    try:
        yield correlation
    finally:
        _current.reset(token)


def outgoing_headers() -> dict[str, str]:
    """Headers for a call to another service; none outside any work"""
    found = current()
    return {"X-Request-ID": found.request_id, "traceparent": found.traceparent} if found else {}


def sql_comment() -> str:
    """A comment in the format of sqlcommenter: sorted keys, values URL-encoded; empty outside any work"""
    if not (found := current()):
        return ""
    tags = {"request_id": found.request_id, "route": found.route, "traceparent": found.traceparent}
    return "/*" + ",".join(f"{name}='{quote(value, safe='')}'" for name, value in tags.items() if value) + "*/"
