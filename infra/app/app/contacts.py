# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Contacts: create, list, fetch."""
from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from . import audit
from .pages import Cursor, Limit, Page, decoded, page_of
from .problems import responses
from .security import require_api_key
from .services import Given

router = APIRouter(dependencies=[Depends(require_api_key)], tags=["contacts"], responses=responses(401, 422, 503))

# Line breaks are allowed in notes only; no other control character is, for PostgreSQL takes no NUL and logs take no
# bells.
Line = Annotated[str,
                 StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Email = Annotated[str, StringConstraints(
    max_length=254, pattern=r"^[A-Za-z0-9._%+'-]+@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$")]
Text = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]


class NewContact(BaseModel):
    """A contact as a caller sends it"""

    model_config = ConfigDict(extra="forbid")

    name: Line
    email: Email
    company: Line | None = None
    phone: Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ()./-]{2,30}$")] | None = None
    notes: Text = Field("", description="free text")


class Contact(NewContact):
    """A contact as it is kept"""

    model_config = ConfigDict(extra="ignore")

    id: UUID
    created_at: datetime


@router.post("/contacts", status_code=201, response_model=Contact, responses=responses(400, 413))
def create_contact(contact: NewContact, services: Given, response: Response) -> Any:
    """Keep a contact."""
    row = services.records.add_contact(contact.model_dump())
    services.metrics.contacts.inc()
    audit.note("contact created", contact_id=str(row["id"]))
    response.headers["Location"] = f"/contacts/{row['id']}"
    return row


@router.get("/contacts", response_model=Page[Contact])
def list_contacts(services: Given, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """Contacts, newest first."""
    return page_of(services.records.contacts(decoded(cursor), limit + 1), limit)


@router.get("/contacts/{contact_id}", response_model=Contact, responses=responses(404))
def get_contact(contact_id: UUID, services: Given) -> Any:
    """One contact."""
    row = services.records.contact(contact_id)
    if row is None:
        raise HTTPException(404, "there is no such contact")
    return row
