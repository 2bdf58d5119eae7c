# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Lists in pages: a cursor says where the next page begins, so rows that arrive meanwhile shift nothing."""
from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import HTTPException, Query
from pydantic import BaseModel

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, le=200, description="rows on a page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


class Page(BaseModel, Generic[Item]):
    """A part of a list, newest first"""

    items: list[Item]
    next: str | None = None


def encoded(row: dict[str, Any]) -> str:
    """The cursor that stands behind a row"""
    return base64.urlsafe_b64encode(f"{row['created_at'].isoformat()}|{row['id']}".encode()).decode()


def decoded(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The row that a cursor stands behind; 422 for text that is no cursor"""
    if cursor is None:
        return None
    try:
        created_at, _, identity = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").partition("|")
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None or not 1970 <= moment.year <= 9000:
            raise ValueError(created_at)
        return moment, UUID(identity)
    except (ValueError, binascii.Error) as error:
        raise HTTPException(422, "the cursor is not one that this service gave") from error


def page_of(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page from up to `limit` + 1 rows"""
    return {"items": rows[:limit], "next": encoded(rows[limit - 1]) if len(rows) > limit else None}
