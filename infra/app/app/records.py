# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Where contacts, documents and the outbox are kept: what every database does for this service.

Two databases do it: PostgreSQL (postgres.py) and DynamoDB (dynamodb.py). DATABASE_ENGINE says which.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

Row = dict[str, Any]
Place = tuple[datetime, UUID]  # when a row was made, and its id: where a page of a list begins
BATCH = 100  # rows that `every_document` gives at a time


class NewDocument(Protocol):
    """What is known about a document before its content is stored"""

    id: UUID
    size: int
    file_name: str
    content_type: str
    description: str
    contact_id: UUID | None
    sha256: str


class Records(Protocol):
    """The database. Everything may raise Unavailable, or the driver's own error that means the same."""

    def open(self, wait: bool) -> None:
        """Get ready to be used; with `wait` only return once the database answers"""

    def close(self) -> None:
        """Let go of what is held"""

    def check(self, seconds: float) -> None:
        """Raise unless the database answers within these seconds and is prepared for this version"""

    def add_contact(self, contact: Row) -> Row:
        """Keep a contact"""

    def contacts(self, before: Place | None, most: int) -> list[Row]:
        """Contacts, newest first"""

    def contact(self, contact_id: UUID) -> Row | None:
        """One contact"""

    def begin_document(self, upload: NewDocument) -> bool:
        """Note a document that nobody sees yet; False when its contact does not exist"""

    def finish_document(self, document_id: UUID) -> Row:
        """Make a document visible and note the change in the outbox, both or neither"""

    def documents(self, contact_id: UUID | None, before: Place | None, most: int) -> list[Row]:
        """Visible documents, newest first, all or those of one contact"""

    def document(self, document_id: UUID) -> Row | None:
        """One visible document"""

    def documents_with(self, ids: Sequence[str | UUID]) -> list[Row]:
        """Those of these documents that are visible, in any order"""

    def every_document(self) -> Iterator[list[Row]]:
        """All visible documents, in pieces"""

    def delete_document(self, document_id: UUID) -> bool:
        """Remove a visible document and note the change in the outbox, both or neither; False when there is none"""

    def mark_indexed(self, ids: Sequence[str | UUID]) -> None:
        """Note that the search index has these documents now"""


class Changes(Protocol):
    """The outbox: changes of documents that the index and the object store do not have yet"""

    def claim(self, seconds: float, most: int) -> list[Row]:
        """Take changes that are due for so many seconds, of each document only the oldest"""

    def settle(self, change: Row) -> None:
        """Forget a change that was carried out"""

    def delay(self, change: Row, seconds: float, reason: str) -> None:
        """Put off a change that could not be carried out"""

    def waiting(self) -> tuple[int, float]:
        """How many changes wait, and the age of the oldest in seconds"""
