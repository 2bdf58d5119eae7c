# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Contacts, documents and the outbox in PostgreSQL."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

from .correlation import current
from .database import Pool
from .migrate import newest
from .records import BATCH, NewDocument, Place, Row

COLUMNS = "id, file_name, content_type, size_bytes, sha256, description, contact_id, created_at, indexed_at"
PENDING_FOR = "1 hour"  # after which an upload that never ended is cleared away

_CLAIM = """
UPDATE outbox SET attempts = attempts + 1, due_at = now() + make_interval(secs => %(lease)s)
WHERE id IN (
    SELECT id FROM outbox AS mine
    WHERE due_at <= now() AND NOT EXISTS (
        SELECT 1 FROM outbox AS older WHERE older.document_id = mine.document_id AND older.id < mine.id)
    ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
RETURNING id, document_id, request_id, traceparent, attempts
"""
_DELAY = """
UPDATE outbox SET due_at = now() + make_interval(secs => %s), last_error = %s WHERE id = %s AND attempts = %s
"""
_CLEAR = f"""
WITH gone AS (DELETE FROM documents WHERE NOT stored AND created_at < now() - interval '{PENDING_FOR}' RETURNING id)
INSERT INTO outbox (document_id) SELECT id FROM gone
"""
_COUNT = "SELECT count(*) AS pending, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS oldest FROM outbox"


def _enqueue(connection: Any, document_id: UUID) -> None:
    """Note a change of a document, in the transaction that makes it"""
    found = current()
    connection.execute("INSERT INTO outbox (document_id, request_id, traceparent) VALUES (%s, %s, %s)",
                       (document_id, found.request_id if found else "", found.traceparent if found else ""))


class PostgresRecords:
    """Records in PostgreSQL"""

    def __init__(self, pool: Pool) -> None:
        """Keep the pool; nothing is connected yet"""
        self.pool = pool

    def open(self, wait: bool) -> None:
        """Open the pool"""
        self.pool.open(wait=wait)

    def close(self) -> None:
        """Close the pool"""
        self.pool.close(timeout=2)

    def check(self, seconds: float) -> None:
        """Raise unless the database answers and its schema is as new as this code"""
        with self.pool.connection(timeout=seconds) as connection:
            row = connection.execute("SELECT max(version) AS version FROM schema_migrations").fetchone()
        if (row["version"] or 0) < newest():
            raise RuntimeError("migrations are pending: run python -m app.migrate")

    def _rows(self, query: str, values: Any) -> list[Row]:
        with self.pool.connection() as connection:
            return connection.execute(query, values).fetchall()

    def _row(self, query: str, values: Any) -> Row | None:
        return next(iter(self._rows(query, values)), None)

    def add_contact(self, contact: Row) -> Row:
        """Keep a contact"""
        return self._rows(
            "INSERT INTO contacts (id, name, email, company, phone, notes) VALUES (%s, %s, %s, %s, %s, %s) RETURNING *",
            (uuid4(), contact["name"], contact["email"], contact["company"], contact["phone"], contact["notes"]))[0]

    def contacts(self, before: Place | None, most: int) -> list[Row]:
        """Contacts, newest first"""
        moment, identity = before or (None, None)
        return self._rows(
            "SELECT * FROM contacts WHERE %(moment)s::timestamptz IS NULL OR (created_at, id) < (%(moment)s, "
            "%(identity)s)"
            " ORDER BY created_at DESC, id DESC LIMIT %(rows)s",
            {"moment": moment, "identity": identity, "rows": most})

    def contact(self, contact_id: UUID) -> Row | None:
        """One contact"""
        return self._row("SELECT * FROM contacts WHERE id = %s", (contact_id,))

    def begin_document(self, upload: NewDocument) -> bool:
        """Note a document that nobody sees yet; False when its contact does not exist"""
        with self.pool.connection() as connection:
            if upload.contact_id and not connection.execute("SELECT 1 FROM contacts WHERE id = %s",
                                                            (upload.contact_id,)).fetchone():
                return False
            connection.execute(
                "INSERT INTO documents (id, file_name, content_type, size_bytes, sha256, description, contact_id)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (upload.id, upload.file_name, upload.content_type, upload.size, upload.sha256, upload.description,
                 upload.contact_id))
        return True

    def finish_document(self, document_id: UUID) -> Row:
        """Make a document visible and note the change in the outbox"""
        with self.pool.connection() as connection:
            row = connection.execute(f"UPDATE documents SET stored = true WHERE id = %s RETURNING {COLUMNS}",
                                     (document_id,)).fetchone()
            _enqueue(connection, document_id)
        return row

    def documents(self, contact_id: UUID | None, before: Place | None, most: int) -> list[Row]:
        """Visible documents, newest first"""
        moment, identity = before or (None, None)
        return self._rows(
            f"SELECT {COLUMNS} FROM documents WHERE stored"
            " AND (%(contact)s::uuid IS NULL OR contact_id = %(contact)s)"
            " AND (%(moment)s::timestamptz IS NULL OR (created_at, id) < (%(moment)s, %(identity)s))"
            " ORDER BY created_at DESC, id DESC LIMIT %(rows)s",
            {"contact": contact_id, "moment": moment, "identity": identity, "rows": most})

    def document(self, document_id: UUID) -> Row | None:
        """One visible document"""
        return self._row(f"SELECT {COLUMNS} FROM documents WHERE stored AND id = %s", (document_id,))

    def documents_with(self, ids: Sequence[str | UUID]) -> list[Row]:
        """Those of these documents that are visible"""
        return self._rows(f"SELECT {COLUMNS} FROM documents WHERE stored AND id = ANY(%s::uuid[])",
                          ([str(each) for each in ids],))

    def every_document(self) -> Iterator[list[Row]]:
        """All visible documents, in pieces, by their ids"""
        after = UUID(int=0)
        while rows := self._rows(f"SELECT {COLUMNS} FROM documents WHERE stored AND id > %s ORDER BY id LIMIT %s",
                                 (after, BATCH)):
            yield rows
            after = rows[-1]["id"]

    def delete_document(self, document_id: UUID) -> bool:
        """Remove a visible document and note the change in the outbox"""
        with self.pool.connection() as connection:
            gone = connection.execute("DELETE FROM documents WHERE stored AND id = %s RETURNING id",
                                      (document_id,)).fetchone()
            if gone is not None:
                _enqueue(connection, document_id)
        return gone is not None

    def mark_indexed(self, ids: Sequence[str | UUID]) -> None:
        """Note that the search index has these documents now"""
        with self.pool.connection() as connection:
            connection.execute("UPDATE documents SET indexed_at = now() WHERE id = ANY(%s::uuid[])",
                               ([str(each) for each in ids],))


class PostgresChanges:
    """The outbox"""

    def __init__(self, pool: Pool) -> None:
        """Keep the pool; nothing is connected yet"""
        self.pool = pool

    def claim(self, seconds: float, most: int) -> list[Row]:
        """Clear away uploads that never ended, then take changes that are due"""
        with self.pool.connection() as connection:
            connection.execute(_CLEAR)
            return connection.execute(_CLAIM, {"lease": seconds, "batch": most}).fetchall()

    def settle(self, change: Row) -> None:
        """Forget a change that was carried out"""
        with self.pool.connection() as connection:
            connection.execute("DELETE FROM outbox WHERE id = %s", (change["id"],))

    def delay(self, change: Row, seconds: float, reason: str) -> None:
        """Put off a change, unless somebody else has taken it"""
        with self.pool.connection() as connection:
            connection.execute(_DELAY, (seconds, reason, change["id"], change["attempts"]))

    def waiting(self) -> tuple[int, float]:
        """How many changes wait, and the age of the oldest in seconds"""
        with self.pool.connection() as connection:
            row = connection.execute(_COUNT).fetchone()
        return row["pending"], float(row["oldest"])
