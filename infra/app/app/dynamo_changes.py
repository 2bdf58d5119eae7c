# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The outbox in DynamoDB: one partition, in the order in which changes were made."""
from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from .correlation import current
from .dynamodb import Refused, Table, now, place, unpacked
from .records import Row

OUTBOX = "OUTBOX"
PENDING_FOR = timedelta(hours=1)  # after which an upload that never ended is cleared away
CLEARED, LOOKED_AT = 20, 1000  # most uploads cleared away, and changes looked through, at one time


def change_of(table: Table, document_id: UUID) -> dict[str, Any]:
    """A part of a transaction: the change of a document, with the ids of the request that makes it"""
    found, moment = current(), now()
    return table.put((OUTBOX, place(moment, uuid4())), {
        "document_id": document_id, "request_id": found.request_id if found else "",
        "traceparent": found.traceparent if found else "", "created_at": moment, "due_at": moment, "attempts": 0,
        "last_error": None})


class DynamoChanges:
    """The outbox"""

    def __init__(self, table: Table) -> None:
        """Keep the table; nothing is sent yet"""
        self.table = table

    def claim(self, seconds: float, most: int) -> list[Row]:
        """Clear away uploads that never ended, then take changes that are due"""
        self._clear()
        moment, seen, taken, looked = now(), set(), [], 0
        for page in self.table.pages(OUTBOX, newest=False):
            for item in page["Items"]:
                row = {**unpacked(item), "id": item["sk"]["S"]}
                oldest = row["document_id"] not in seen
                seen.add(row["document_id"])
                if oldest and row["due_at"] <= moment and len(taken) < most and self._take(row, seconds):
                    taken.append(row)
            looked += len(page["Items"])
            if len(taken) >= most or looked >= LOOKED_AT:
                break
        return taken

    def _take(self, row: Row, seconds: float) -> bool:
        """Take one change, unless another worker is faster"""
        with suppress(Refused):
            self.table.update((OUTBOX, row["id"]), "attempts = :more, due_at = :later",
                              "attempts = :attempts AND due_at = :due", more=row["attempts"] + 1,
                              later=now() + timedelta(seconds=seconds), attempts=row["attempts"], due=row["due_at"])
            row["attempts"] += 1
            return True
        return False

    def _clear(self) -> None:
        """Remove uploads that never ended; the change that is noted lets their content go, too"""
        page = next(self.table.pages("PENDING", place(now() - PENDING_FOR, ""), most=CLEARED, newest=False))
        for item in page["Items"]:
            identity = unpacked(item)["id"]
            gone = self.table.remove((f"DOCUMENT#{identity}", "-"), "stored = :no", no=False)
            with suppress(Refused):  # it ended after all
                self.table.together(gone, self.table.remove(("PENDING", item["sk"]["S"])),
                                    change_of(self.table, identity))

    def settle(self, change: Row) -> None:
        """Forget a change that was carried out"""
        self.table.delete((OUTBOX, change["id"]))

    def delay(self, change: Row, seconds: float, reason: str) -> None:
        """Put off a change, unless somebody else has taken it"""
        with suppress(Refused):
            self.table.update((OUTBOX, change["id"]), "due_at = :later, last_error = :reason", "attempts = :attempts",
                              later=now() + timedelta(seconds=seconds), reason=reason, attempts=change["attempts"])

    def waiting(self) -> tuple[int, float]:
        """How many changes wait, and the age of the oldest in seconds"""
        count, oldest = 0, None
        for page in self.table.pages(OUTBOX, most=LOOKED_AT, newest=False):
            count += page["Count"]
            oldest = oldest or next((unpacked(item)["created_at"] for item in page["Items"]), None)
        return count, (now() - oldest).total_seconds() if oldest else 0.0
