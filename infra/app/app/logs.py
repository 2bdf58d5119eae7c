# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Logs as one JSON object a line, complete: ids, extras and tracebacks."""
from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any

from . import __version__
from .correlation import current

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON. It never fails: what JSON cannot hold is written as text."""

    def __init__(self, service: str) -> None:
        """Keep the name of the service, which every line carries"""
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line"""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created,
                                           UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": _message(record),
            "logger": record.name,
            "service": self.service,
            "version": __version__,
        }
        if found := current():
            line |= {"request_id": found.request_id,
                     "trace_id": found.trace_id} | ({"caller": found.caller} if found.caller else {})
        if record.exc_info and record.exc_info[0]:
            line["exception"] = _exception(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[f"extra_{name}" if name in line else name] = value
        try:
            return json.dumps(line, default=str, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            return json.dumps({name: value if isinstance(value, str) else repr(value) for name, value in line.items()})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a wrong placeholder must not lose the line
        return f"{record.msg} {record.args!r}"


def _exception(info: Any) -> dict[str, str]:
    kind, error, _ = info
    return {"type": f"{kind.__module__}.{kind.__qualname__}", "message": str(error),
            "stack": "".join(traceback.format_exception(*info))}


def configure(service: str, level: str) -> None:
    """Send every logger, warnings and uncaught exceptions of all threads to standard output as JSON"""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in ("httpx", "httpcore", "botocore", "urllib3", "multipart", "python_multipart"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    sys.excepthook = lambda *info: logging.getLogger("app").critical("uncaught exception", exc_info=info)
    threading.excepthook = lambda given: logging.getLogger("app").critical(
        "uncaught exception in a thread", exc_info=(given.exc_type, given.exc_value, given.exc_traceback))
