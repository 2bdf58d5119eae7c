# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""What happens to every request: ids, one log line, metrics, a limit on its size."""
from __future__ import annotations

import logging
from time import perf_counter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .correlation import correlated, from_scope
from .metrics import Metrics
from .problems import problem

log = logging.getLogger("app.access")
CLIENT_LEFT = 499  # the code that proxies note for a caller who did not wait
PROBES = frozenset({"/livez", "/readyz"})


class Drain:
    """Whether the service sends callers away before it stops"""

    def __init__(self, metrics: Metrics) -> None:
        """Start in service"""
        self.active, self.metrics = False, metrics

    def set(self, active: bool) -> None:
        """Start or end the draining"""
        self.active = active
        self.metrics.draining.set(active)
        log.info("draining" if active else "in service")


class Observe:
    """Correlates, logs and counts a request, whatever becomes of it"""

    def __init__(self, app: Any, metrics: Metrics, drain: Drain) -> None:
        """Wrap `app`"""
        self.app, self.metrics, self.drain = app, metrics, drain

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Handle one request; anything else passes"""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with correlated(from_scope(scope)) as correlation, self.metrics.in_progress.track_inprogress():
            answer, started = _Answer(send, correlation.request_id, self.drain), perf_counter()
            try:
                await self._answered(scope, receive, answer)
            finally:
                self._note(scope, answer, perf_counter() - started)

    async def _answered(self, scope: dict[str, Any], receive: Any, answer: _Answer) -> None:
        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            answer.status = CLIENT_LEFT
        except Exception as error:
            self.metrics.exceptions.labels(_route(scope), type(error).__name__).inc()
            log.exception("request failed", extra={"method": scope["method"], "path": scope["path"]})
            begun, answer.status = answer.status, 500
            if begun:
                raise  # too late for an answer; the server breaks the connection off, so the caller notices
            await problem(500, "the service failed; its log has the request id")(scope, receive, answer)

    def _note(self, scope: dict[str, Any], answer: _Answer, seconds: float) -> None:
        status, route = answer.status or CLIENT_LEFT, _route(scope)
        self.metrics.observe(scope["method"], route, status, seconds)
        log.log(logging.DEBUG if scope["path"] in PROBES else logging.INFO, "request", extra={
            "method": scope["method"], "path": scope["path"], "route": route, "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "bytes": answer.bytes, "client": (scope.get("client") or [None])[0]})


def _route(scope: dict[str, Any]) -> str:
    return getattr(scope.get("route"), "path", "")


class _Answer:
    """Passes an answer on, adds its headers and remembers what was sent"""

    def __init__(self, send: Any, request_id: str, drain: Drain) -> None:
        self.send, self.request_id, self.drain, self.status, self.bytes = send, request_id, drain, 0, 0

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            more = [(b"x-request-id", self.request_id.encode()), (b"x-content-type-options", b"nosniff")]
            if self.drain.active:
                more.append((b"connection", b"close"))  # callers leave before the door closes
            message = {**message, "headers": [*message.get("headers", []), *more]}
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self.send(message)


class LimitBody:
    """Refuses a body that is too large, by what it says and by what it sends"""

    def __init__(self, app: Any, metrics: Metrics, limit: int, larger: dict[str, int]) -> None:
        """Wrap `app`; `larger` has the limits in bytes of the paths of uploads, which may take more than `limit`"""
        self.app, self.metrics, self.limit, self.larger = app, metrics, limit, larger

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Handle one request; anything else passes"""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, taken = self.larger.get(scope["path"], self.limit), 0
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > limit:
            self._count(scope)
            await problem(413, _more_than(limit), _CLOSE)(scope, receive, send)
            return

        async def counted() -> dict[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                self._count(scope)
                raise HTTPException(413, _more_than(limit), _CLOSE)
            return message

        await self.app(scope, counted, send)

    def _count(self, scope: dict[str, Any]) -> None:
        if scope["path"] in self.larger:
            self.metrics.rejected.labels("too_large").inc()


_CLOSE = {"Connection": "close"}  # what the caller still sends is not read


def _more_than(limit: int) -> str:
    return f"the request has more than {limit} bytes"
