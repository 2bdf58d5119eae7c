# Made by `pretamane emit` from model 6826de63cc5a. Change the stack, not this file.
"""Documents: upload, list, fetch, search, delete."""
from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from . import audit, outbox
from .contacts import Line
from .pages import Cursor, Limit, Page, decoded, page_of
from .problems import Unavailable, responses
from .security import require_api_key
from .services import Given, Services
from .store import ObjectMissing
from .uploads import FORM, Upload, read_form

router = APIRouter(dependencies=[Depends(require_api_key)], tags=["documents"], responses=responses(401, 422, 503))
COLUMNS = "id, file_name, content_type, size_bytes, sha256, description, contact_id, created_at, indexed_at"
BINARY = "application/octet-stream"


class Document(BaseModel):
    """What is known about a document"""

    id: UUID
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str
    description: str
    contact_id: UUID | None
    created_at: datetime
    indexed_at: datetime | None


class Found(BaseModel):
    """What a search found, best first"""

    items: list[Document]
    estimated_total: int


@router.post("/documents", status_code=201, response_model=Document, openapi_extra=FORM,
             responses=responses(400, 413, 415))
async def upload_document(request: Request, services: Given, response: Response) -> Any:
    """Store a document. Its content can be searched shortly after: `indexed_at` says when."""
    async with read_form(request, services) as upload:
        row = await run_in_threadpool(_store, services, upload)
    response.headers["Location"] = f"/documents/{row['id']}"
    return row


def _store(services: Services, upload: Upload) -> dict[str, Any]:
    """Note the document as pending, store its content, then make it visible together with its outbox entry.

    A process that dies in between leaves a pending row; the outbox worker clears it away, and the object with it.
    """
    upload.digest()
    with services.pool.connection() as connection:
        if upload.contact_id and not connection.execute("SELECT 1 FROM contacts WHERE id = %s",
                                                        (upload.contact_id,)).fetchone():
            raise HTTPException(422, "there is no contact with this contact_id")
        connection.execute(
            "INSERT INTO documents (id, file_name, content_type, size_bytes, sha256, description, contact_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (upload.id, upload.file_name, upload.content_type, upload.size, upload.sha256, upload.description,
             upload.contact_id))
    services.store.put(object_key(upload.id), upload.file, upload.size, upload.content_type)
    with services.pool.connection() as connection:
        row = connection.execute(f"UPDATE documents SET stored = true WHERE id = %s RETURNING {COLUMNS}",
                                 (upload.id,)).fetchone()
        outbox.enqueue(connection, upload.id)
    services.outbox_filled.set()
    services.metrics.uploaded.inc()
    services.metrics.uploaded_bytes.inc(upload.size)
    audit.note("document uploaded", document_id=str(upload.id), bytes=upload.size, sha256=upload.sha256)
    return row


def object_key(document_id: UUID) -> str:
    """Where the content of a document lies in the bucket"""
    return f"documents/{document_id}"


@router.get("/documents", response_model=Page[Document])
def list_documents(services: Given, limit: Limit = 50, cursor: Cursor = None, contact_id: UUID | None = None) -> Any:
    """Documents, newest first, all or those of one contact."""
    moment, identity = decoded(cursor) or (None, None)
    with services.pool.connection() as connection:
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM documents WHERE stored"
            " AND (%(contact)s::uuid IS NULL OR contact_id = %(contact)s)"
            " AND (%(moment)s::timestamptz IS NULL OR (created_at, id) < (%(moment)s, %(identity)s))"
            " ORDER BY created_at DESC, id DESC LIMIT %(rows)s",
            {"contact": contact_id, "moment": moment, "identity": identity, "rows": limit + 1}).fetchall()
    return page_of(rows, limit)


# Above /documents/{document_id}, which would take the word for an id.
@router.get("/documents/search", response_model=Found)
def search_documents(services: Given, q: Annotated[Line, Query(description="words to look for")],
                     limit: Annotated[int, Query(ge=1, le=100)] = 20, offset: Annotated[int, Query(ge=0, le=1000)] = 0,
                     contact_id: UUID | None = None) -> Any:
    """Documents whose name, description or text has the words, best first."""
    try:
        ids, total = services.search.find(q, limit, offset, str(contact_id) if contact_id else None)
    except Unavailable:
        services.metrics.searches.labels("error").inc()
        raise
    with services.pool.connection() as connection:  # the index may still have what was deleted a moment ago
        rows = connection.execute(f"SELECT {COLUMNS} FROM documents WHERE stored AND id = ANY(%s::uuid[])",
                                  (ids,)).fetchall()
    known = {str(row["id"]): row for row in rows}
    items = [known[each] for each in ids if each in known]
    services.metrics.searches.labels("found" if items else "nothing").inc()
    return {"items": items, "estimated_total": max(total, len(items))}


def _existing(services: Services, document_id: UUID) -> dict[str, Any]:
    with services.pool.connection() as connection:
        row = connection.execute(f"SELECT {COLUMNS} FROM documents WHERE stored AND id = %s", (document_id,)).fetchone()
    if row is None:
        raise HTTPException(404, "there is no such document")
    return row


@router.get("/documents/{document_id}", response_model=Document, responses=responses(404))
def get_document(document_id: UUID, services: Given) -> Any:
    """What is known about one document."""
    return _existing(services, document_id)


@router.get("/documents/{document_id}/content", response_class=Response, responses={
    200: {"description": "The content", "content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The content is the one that the caller has"}, **responses(404)})
def get_content(document_id: UUID, services: Given, request: Request) -> Response:
    """The content of one document, as a file to save."""
    row = _existing(services, document_id)
    headers = {"ETag": f'"{row["sha256"]}"', "Cache-Control": "private, no-cache",
               "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row['file_name'], safe='')}",
               "Content-Security-Policy": "sandbox; default-src 'none'"}
    if headers["ETag"] in (request.headers.get("If-None-Match") or ""):
        return Response(status_code=304, headers=headers)
    try:
        pieces = services.store.open(object_key(document_id))
    except ObjectMissing as error:
        raise RuntimeError(f"the content of document {document_id} is missing in the object store") from error
    services.metrics.downloaded_bytes.inc(row["size_bytes"])
    audit.note("document downloaded", document_id=str(document_id))
    # Whatever it is, a browser saves it and never shows it; the kind stands with the document.
    return StreamingResponse(pieces, headers={**headers, "Content-Length": str(row["size_bytes"])}, media_type=BINARY)


@router.delete("/documents/{document_id}", status_code=204, responses=responses(404))
def delete_document(document_id: UUID, services: Given) -> None:
    """Delete a document: at once for callers, shortly after in the object store and the index."""
    with services.pool.connection() as connection:
        gone = connection.execute("DELETE FROM documents WHERE stored AND id = %s RETURNING id",
                                  (document_id,)).fetchone()
        if gone is None:
            raise HTTPException(404, "there is no such document")
        outbox.enqueue(connection, document_id)
    services.outbox_filled.set()
    services.metrics.deleted.inc()
    audit.note("document deleted", document_id=str(document_id))
