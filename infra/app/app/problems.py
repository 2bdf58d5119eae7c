# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Errors as callers see them: RFC 9457 problem documents that name the request and give nothing away."""
from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from .correlation import current

log = logging.getLogger("app.problems")
RETRY_AFTER = "2"


class Unavailable(Exception):
    """A service that this one needs does not answer"""

    def __init__(self, dependency: str) -> None:
        """Name the dependency: database, object_store or search"""
        super().__init__(f"{dependency} is unavailable")
        self.dependency = dependency


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """A problem document"""
    found = current()
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail,
               "request_id": found.request_id if found else None, **more}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def _http(_: Request, error: HTTPException) -> JSONResponse:
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    # What was sent is not sent back: it can be a secret, or text that no encoder takes.
    errors = [{"where": [str(part).encode("ascii", "backslashreplace").decode() for part in each["loc"]],
               "what": each["msg"].encode("ascii", "backslashreplace").decode()} for each in error.errors()]
    return problem(422, "the request does not fit the API", errors=errors)


def _unavailable(request: Request, error: Unavailable) -> JSONResponse:
    log.error("dependency failed", extra={"dependency": error.dependency}, exc_info=error)
    request.app.state.services.metrics.dependency_errors.labels(error.dependency).inc()
    return problem(503, f"{error.dependency} is unavailable", {"Retry-After": RETRY_AFTER}, dependency=error.dependency)


def _database(request: Request, error: psycopg.OperationalError) -> JSONResponse:
    unavailable = Unavailable("database")
    unavailable.__cause__ = error
    return _unavailable(request, unavailable)


def install(app: FastAPI) -> None:
    """Answer every expected error with a problem document; the unexpected are the middleware's"""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(psycopg.OperationalError, _database)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the API's description says about these errors"""
    schema = {"type": "object", "required": ["title", "status", "detail"], "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}, "request_id": {"type": ["string", "null"]}}}
    return {status: {"description": HTTPStatus(status).phrase,
                     "content": {"application/problem+json": {"schema": schema}}}
            for status in statuses}
