# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Whether the process lives, and whether it can serve.

Without the database or the object store nothing that matters works, so the service is not ready. Without the search
engine
everything but searching works and the outbox catches up, so the service is ready but degraded: sending callers away
would
turn a small outage into a whole one.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .services import Services

log = logging.getLogger("app.health")
router = APIRouter(tags=["health"])
REQUIRED = frozenset({"database", "object_store"})
SECONDS = 2.0  # that all checks together may take: the edge and the container engine wait three
SPARE_SECONDS = 0.3  # and those that nothing hangs on, once the others have answered
KEPT_SECONDS = 1.0  # a result is used again, so probes cannot become a load


class Readiness:
    """The state of what the service needs"""

    def __init__(self, services: Services) -> None:
        """Prepare the checks; none is made yet"""
        self.services, self.lock, self.at, self.states = services, threading.Lock(), float("-inf"), {}
        self.executor = ThreadPoolExecutor(max_workers=6, thread_name_prefix="health")
        self.futures: dict[str, Future[None]] = {}
        self.checks: dict[str, Callable[[], None]] = {
            "database": lambda: services.records.check(SECONDS * 0.75), "object_store": services.store.check,
            "search": services.search.check}

    def look(self) -> dict[str, str]:
        """`ok` or `down` for each dependency, not older than a second"""
        with self.lock:
            if time.monotonic() - self.at > KEPT_SECONDS:
                self.states, self.at = self._looked(), time.monotonic()
            return self.states

    def _looked(self) -> dict[str, str]:
        # One that still hangs is not asked again: it must not take the threads of the others.
        hanging = {name: future for name, future in self.futures.items() if not future.done()}
        futures = self.futures = hanging | {name: self.executor.submit(check)
                                            for name, check in self.checks.items() if name not in hanging}
        wait([futures[name] for name in REQUIRED], timeout=SECONDS)
        wait(futures.values(), timeout=SPARE_SECONDS)
        states = {}
        for name, future in futures.items():
            error: Any = TimeoutError(f"no answer within {SECONDS} s") if not future.done() else future.exception()
            states[name] = "down" if error else "ok"
            self.services.metrics.dependency_up.labels(name).set(not error)
            if error and self.states.get(name) != "down":
                log.error("dependency down", exc_info=error, extra={"dependency": name})
            elif not error and self.states.get(name) == "down":
                log.info("dependency back", extra={"dependency": name})
        return states


@router.get("/livez")
async def live() -> dict[str, str]:
    """200 while the process can answer. It says nothing about others: restarting this process would not mend them."""
    return {"status": "alive"}


@router.get("/readyz", responses={503: {"description": "The service cannot serve, or is about to stop"}})
def ready(request: Request) -> JSONResponse:
    """200 when requests can be served; 503 with the dependency that is down, or while the service drains."""
    if request.app.state.services.drain.active:
        return _answer("draining", request.app.state.readiness.states, 503)
    states = request.app.state.readiness.look()
    if down := [name for name in sorted(REQUIRED) if states[name] != "ok"]:
        return _answer("unready", states, 503, down)
    return _answer("ready" if set(states.values()) == {"ok"} else "degraded", states, 200)


def _answer(status: str, states: dict[str, str], code: int, down: list[str] | None = None) -> JSONResponse:
    return JSONResponse({"status": status, "checks": states, "down": down or []}, code, {"Cache-Control": "no-store"})
