# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
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

from . import audit
from .contacts import Line
from .pages import Cursor, Limit, Page, decoded, page_of
from .problems import Unavailable, responses
from .security import require_api_key
from .services import Given, Services
from .store import ObjectMissing
from .uploads import FORM, Upload, read_form

router = APIRouter(dependencies=[Depends(require_api_key)], tags=["documents"], responses=responses(401, 422, 503))
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
    if not services.records.begin_document(upload):
        raise HTTPException(422, "there is no contact with this contact_id")
    services.store.put(object_key(upload.id), upload.file, upload.size, upload.content_type)
    row = services.records.finish_document(upload.id)
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
    return page_of(services.records.documents(contact_id, decoded(cursor), limit + 1), limit)


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
    # The index may still have what was deleted a moment ago.
    known = {str(row["id"]): row for row in services.records.documents_with(ids)}
    items = [known[each] for each in ids if each in known]
    services.metrics.searches.labels("found" if items else "nothing").inc()
    return {"items": items, "estimated_total": max(total, len(items))}


def _existing(services: Services, document_id: UUID) -> dict[str, Any]:
    row = services.records.document(document_id)
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
    if not services.records.delete_document(document_id):
        raise HTTPException(404, "there is no such document")
    services.outbox_filled.set()
    services.metrics.deleted.inc()
    audit.note("document deleted", document_id=str(document_id))
