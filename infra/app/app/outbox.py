# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Brings each change of a document to the search index and the object store: at least once, in order, however long
it takes.

An upload or a deletion writes its outbox row in the same transaction as the document, so neither can be there
without the
other. A worker takes rows on a lease, does what the document's present state asks for, and removes the rows. A
worker that
dies leaves its rows to the next when the lease ends. Several workers may run: of one document only the oldest row is
taken.
"""
from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .correlation import Correlation, correlated, new_traceparent
from .extract import text_of
from .problems import Unavailable
from .services import Services

log = logging.getLogger("app.outbox")
BATCH = 20


@dataclass
class Worker:
    """A thread that empties the outbox"""

    services: Services

    def __post_init__(self) -> None:
        """Make the thread; `start` starts it"""
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self.start = self.thread.start

    def stop(self, seconds: float) -> None:
        """Ask the thread to stop and wait for it; what it has begun is taken up again after the lease"""
        self.stopping.set()
        self.services.outbox_filled.set()
        self.thread.join(seconds)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                worked = self._round()
            except Exception:  # the thread must outlive every error; the next round tries again
                log.exception("the outbox could not be read")
                self.services.metrics.outbox.labels("failed").inc()
                worked = 0
            if worked < BATCH:
                self.services.outbox_filled.wait(self.services.settings.outbox_poll_seconds)
                self.services.outbox_filled.clear()

    def _round(self) -> int:
        rows = self.services.changes.claim(self.services.settings.outbox_lease_seconds, BATCH)
        done, indexed = 0, self._index_together([row["document_id"] for row in rows])
        for row in rows:
            if self.stopping.is_set():
                break
            with correlated(Correlation(row["request_id"] or f"outbox-{row['id']}",
                                        row["traceparent"] or new_traceparent())):
                done += self._handle(row, row["document_id"] in indexed)
        self._measure()
        return done

    def _index_together(self, ids: list[UUID]) -> set[UUID]:
        """Send all documents to the search engine in one task, for which it takes as long as for one

        Those that are not among the answer are handled one by one, so that one that cannot be indexed keeps no other
        from it.
        """
        if len(ids) < 2:
            return set()
        try:
            found = self.services.records.documents_with(ids)
            if not found:
                return set()
            self.services.search.put([entry(self.services, row) for row in found])
            indexed = [row["id"] for row in found]
            self.services.records.mark_indexed(indexed)
        except Exception as error:
            log.info("a batch was not carried out; its documents follow one by one",
                     extra={"documents": len(ids), "reason": f"{type(error).__name__}: {error}"[:200]})
            return set()
        return set(indexed)

    def _handle(self, row: dict[str, Any], indexed: bool) -> bool:
        try:
            if not indexed:
                synchronize(self.services, row["document_id"])
        except Exception as error:
            self._delay(row, error)
            return False
        self.services.changes.settle(row)
        self.services.metrics.outbox.labels("done").inc()
        log.info("change carried out", extra={"document_id": str(row["document_id"]), "attempts": row["attempts"]})
        return True

    def _delay(self, row: dict[str, Any], error: Exception) -> None:
        seconds = min(2.0 ** min(row["attempts"] - 1, 20),
                      self.services.settings.outbox_max_delay_seconds) * random.uniform(0.5, 1)
        log.warning("change not carried out", exc_info=error, extra={
            "document_id": str(row["document_id"]), "attempts": row["attempts"], "next_try_seconds": round(seconds, 1)})
        self.services.metrics.outbox.labels("failed").inc()
        if isinstance(error, Unavailable):
            self.services.metrics.dependency_errors.labels(error.dependency).inc()
        self.services.changes.delay(row, seconds, f"{type(error).__name__}: {error}"[:500])

    def _measure(self) -> None:
        pending, oldest = self.services.changes.waiting()
        self.services.metrics.outbox_pending.set(pending)
        self.services.metrics.outbox_lag.set(oldest)


def synchronize(services: Services, document_id: UUID) -> None:
    """Make index and object store agree with the database about one document; doing it again changes nothing"""
    row = services.records.document(document_id)
    if row is None:
        services.store.delete(f"documents/{document_id}")
        services.search.remove([str(document_id)])
        (services.settings.processed_folder / f"{document_id}.txt").unlink(missing_ok=True)
        return
    services.search.put([entry(services, row)])
    services.records.mark_indexed([document_id])


def entry(services: Services, row: dict[str, Any]) -> dict[str, Any]:
    """A document as the index has it"""
    return {"id": str(row["id"]), "file_name": row["file_name"], "description": row["description"],
            "content_type": row["content_type"], "contact_id": str(row["contact_id"]) if row["contact_id"] else None,
            "created_at": row["created_at"].timestamp(), "text": text_of(services, row)}
