# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Contacts, documents and the outbox in one table of DynamoDB.

    CONTACT#id, -          a contact               CONTACTS, moment#id             its place in the list
    DOCUMENT#id, -         a document              DOCUMENTS, moment#id            its place, once it is visible
    PENDING, moment#id     an upload under way     DOCUMENTS#contact, moment#id    its place among those of a contact
    OUTBOX, moment#id      a change to carry out   SCHEMA, -                       which layout the table has

A list is one partition, so a table takes about a thousand new rows a second.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from .dynamo_changes import change_of
from .dynamodb import Key, Refused, Table, now, place, unpacked
from .problems import Unavailable
from .records import BATCH, NewDocument, Place, Row

LAYOUT = 1  # of the items, as above; a new one only adds to the one before
SCHEMA: Key = ("SCHEMA", "-")


def _document(identity: UUID | str) -> Key:
    return f"DOCUMENT#{identity}", "-"


def _lists(row: Row) -> list[Key]:
    """Where a visible document is listed"""
    where = place(row["created_at"], row["id"])
    return [("DOCUMENTS", where), *([(f"DOCUMENTS#{row['contact_id']}", where)] if row["contact_id"] else [])]


class DynamoRecords:
    """Records in DynamoDB"""

    def __init__(self, table: Table) -> None:
        """Keep the table; nothing is sent yet"""
        self.table = table

    def open(self, wait: bool) -> None:
        """Nothing is held: each request makes or takes a connection"""

    def close(self) -> None:
        """Nothing is held"""

    def check(self, seconds: float) -> None:
        """Raise unless the table answers and has the layout of this code"""
        if ((self.table.get(SCHEMA, probe=True) or {}).get("version") or 0) < LAYOUT:
            raise RuntimeError("migrations are pending: run python -m app.migrate")

    def add_contact(self, contact: Row) -> Row:
        """Keep a contact and list it"""
        row = {"id": uuid4(), **contact, "created_at": now()}
        self.table.together(self.table.put((f"CONTACT#{row['id']}", "-"), row),
                            self.table.put(("CONTACTS", place(row["created_at"], row["id"])), row))
        return row

    def contacts(self, before: Place | None, most: int) -> list[Row]:
        """Contacts, newest first"""
        rows: list[Row] = []
        for page in self.table.pages("CONTACTS", place(*before) if before else None, most):
            rows += map(unpacked, page["Items"])
            if len(rows) >= most:
                break
        return rows[:most]

    def contact(self, contact_id: UUID) -> Row | None:
        """One contact"""
        return self.table.get((f"CONTACT#{contact_id}", "-"))

    def begin_document(self, upload: NewDocument) -> bool:
        """Note a document that nobody sees yet; False when its contact does not exist"""
        if upload.contact_id and not self.contact(upload.contact_id):
            return False
        row = {"id": upload.id, "file_name": upload.file_name, "content_type": upload.content_type,
               "size_bytes": upload.size, "sha256": upload.sha256, "description": upload.description,
               "contact_id": upload.contact_id, "created_at": now(), "indexed_at": None, "stored": False}
        self.table.together(self.table.put(_document(upload.id), row),
                            self.table.put(("PENDING", place(row["created_at"], upload.id)), {"id": upload.id}))
        return True

    def finish_document(self, document_id: UUID) -> Row:
        """Make a document visible, list it and note the change in the outbox"""
        row = self.table.get(_document(document_id))
        if row is None:
            raise Unavailable("database")  # cleared away: the upload took longer than PENDING_FOR
        table, listed = self.table, {"id": document_id}
        table.together(table.change(_document(document_id), "stored = :yes", "stored = :no", yes=True, no=False),
                       table.remove(("PENDING", place(row["created_at"], document_id))),
                       *(table.put(key, listed) for key in _lists(row)), change_of(table, document_id))
        return row

    def documents(self, contact_id: UUID | None, before: Place | None, most: int) -> list[Row]:
        """Visible documents, newest first"""
        rows: list[Row] = []
        partition = f"DOCUMENTS#{contact_id}" if contact_id else "DOCUMENTS"
        for page in self.table.pages(partition, place(*before) if before else None, most):
            rows += self._in_order(page)
            if len(rows) >= most:
                break
        return rows[:most]

    def _in_order(self, page: dict[str, Any]) -> list[Row]:
        ids = [unpacked(item)["id"] for item in page["Items"]]
        known = {row["id"]: row for row in self.documents_with(ids)}
        return [known[each] for each in ids if each in known]

    def document(self, document_id: UUID) -> Row | None:
        """One visible document"""
        row = self.table.get(_document(document_id))
        return row if row and row["stored"] else None

    def documents_with(self, ids: Sequence[str | UUID]) -> list[Row]:
        """Those of these documents that are visible"""
        return [row for row in self.table.several([_document(each) for each in ids]) if row["stored"]]

    def every_document(self) -> Iterator[list[Row]]:
        """All visible documents, in pieces"""
        for page in self.table.pages("DOCUMENTS", most=BATCH):
            if rows := self._in_order(page):
                yield rows

    def delete_document(self, document_id: UUID) -> bool:
        """Remove a visible document from everywhere and note the change in the outbox"""
        row = self.document(document_id)
        if row is None:
            return False
        gone = self.table.remove(_document(document_id), "attribute_exists(pk)")
        with suppress(Refused):
            self.table.together(gone, *map(self.table.remove, _lists(row)), change_of(self.table, document_id))
            return True
        return False

    def mark_indexed(self, ids: Sequence[str | UUID]) -> None:
        """Note that the search index has these documents now"""
        for each in ids:
            with suppress(Refused):  # deleted meanwhile
                self.table.update(_document(each), "indexed_at = :moment", "attribute_exists(pk)", moment=now())
