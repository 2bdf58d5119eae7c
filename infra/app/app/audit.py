# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Who did what: one line for each change and each download, in the log and, kept longer, in a file for each day."""
from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .logs import JsonFormatter

log = logging.getLogger("app.audit")


def note(action: str, **what: Any) -> None:
    """Note an action; the line carries the ids of the request and the mark of the caller's key"""
    log.info(action, extra=what)


def keep(folder: Path, days: int, service: str) -> None:
    """Keep the notes in `folder` too, each day's for `days` days"""
    handler = _DailyFile(folder, days)
    handler.setFormatter(JsonFormatter(service))
    log.addHandler(handler)
    log.setLevel(logging.INFO)  # whatever else the service may leave out


class _DailyFile(logging.Handler):
    """Appends to a file named after the day; several processes may, for each line is one write"""

    def __init__(self, folder: Path, days: int) -> None:
        super().__init__()
        self.folder, self.days, self.today = folder, days, ""

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line; what fails is reported by the log of the process"""
        try:
            today = datetime.fromtimestamp(record.created, UTC).date().isoformat()
            if today != self.today:
                self.today = today
                self._prune()
            number = os.open(self.folder / f"audit-{today}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                os.write(number, f"{self.format(record)}\n".encode())
            finally:
                os.close(number)
        except OSError:
            logging.getLogger("app").exception("the audit note was not kept")

    def _prune(self) -> None:
        oldest = (datetime.now(UTC).date() - timedelta(days=self.days)).isoformat()
        for file in self.folder.glob("audit-????-??-??.jsonl"):
            if file.name < f"audit-{oldest}":
                file.unlink(missing_ok=True)
