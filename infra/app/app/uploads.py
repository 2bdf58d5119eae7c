# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Reading an upload: piece by piece into a file, never whole into memory."""
from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from fastapi import HTTPException, Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile

from .contacts import Line, Text
from .kinds import KINDS, fits, plain
from .services import Services

FORM_OVERHEAD = 64 * 1024  # bytes of a form beside the file
START = 8192

FORM = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {
    "type": "object", "required": ["file"], "properties": {
        "file": {"type": "string", "format": "binary", "description": "the content, with its name and type"},
        "description": {"type": "string", "maxLength": 4000},
        "contact_id": {"type": "string", "format": "uuid"}}},
    "encoding": {"file": {"contentType": ", ".join(sorted(KINDS))}}}}}}

_NAME = TypeAdapter(Line)


class _Fields(BaseModel):
    description: Text = ""
    contact_id: UUID | None = None


@dataclass
class Upload:
    """A document on its way to the object store"""

    id: UUID
    file: BinaryIO
    size: int
    file_name: str
    content_type: str
    description: str
    contact_id: UUID | None
    sha256: str = ""

    def digest(self) -> None:
        """Compute the SHA-256 of the content and go back to its start"""
        self.file.seek(0)
        self.sha256 = hashlib.file_digest(self.file, "sha256").hexdigest()
        self.file.seek(0)


@asynccontextmanager
async def read_form(request: Request, services: Services) -> AsyncIterator[Upload]:
    """The upload in a form. Parts above 1 MiB lie in the uploads folder, in files without a name, so nothing stays
    behind."""
    refused = services.metrics.rejected
    if plain(request.headers.get("content-type")) != "multipart/form-data":
        refused.labels("form").inc()
        raise HTTPException(415, "a form is expected: multipart/form-data with a part 'file'")
    async with request.form(max_files=1, max_fields=10, max_part_size=FORM_OVERHEAD) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            refused.labels("form").inc()
            raise HTTPException(422, "the form has no file in its part 'file'")
        content_type, size = plain(file.content_type), file.size or 0
        if size > services.settings.max_upload_bytes:
            refused.labels("too_large").inc()
            raise HTTPException(413, f"the document has more than {services.settings.max_upload_bytes} bytes")
        start = await file.read(START)
        if content_type not in KINDS or not fits(content_type, start):
            refused.labels("type").inc()
            raise HTTPException(415, f"the content is none of these, or not what it says: {', '.join(sorted(KINDS))}")
        fields = _valid(form)
        yield Upload(uuid4(), file.file, size, _file_name(file), content_type, fields.description, fields.contact_id)


def _valid(form: Any) -> _Fields:
    try:
        return _Fields.model_validate({name: form[name] for name in _Fields.model_fields if form.get(name)})
    except ValidationError as error:
        raise HTTPException(422, "; ".join(f"{each['loc'][0]}: {each['msg']}"
                                           for each in error.errors(include_input=False))) from error


def _file_name(file: UploadFile) -> str:
    """The last part of the name that was sent; folders mean nothing here"""
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
    try:
        return _NAME.validate_python(name)
    except ValidationError as error:
        raise HTTPException(422,
                            "the file has no name, or one with control characters or more than 200 letters") from error
