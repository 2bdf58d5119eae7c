# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Which kinds of documents are taken, and whether a content is what it says."""
from __future__ import annotations

TEXT = frozenset({"text/plain", "text/markdown", "text/csv", "text/html", "application/json"})
PDF = "application/pdf"
_OFFICE = "application/vnd.openxmlformats-officedocument."
STARTS = {
    PDF: (b"%PDF-",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    f"{_OFFICE}wordprocessingml.document": (b"PK\x03\x04",),
    f"{_OFFICE}spreadsheetml.sheet": (b"PK\x03\x04",),
    f"{_OFFICE}presentationml.presentation": (b"PK\x03\x04",),
}
KINDS = TEXT | STARTS.keys()


def plain(content_type: str | None) -> str:
    """A content type without its parameters, in small letters"""
    return (content_type or "").partition(";")[0].strip().lower()


def fits(content_type: str, start: bytes) -> bool:
    """Whether the first bytes of a content fit its type: a signature, or text without NUL"""
    if content_type in TEXT:
        return b"\x00" not in start
    return start.startswith(STARTS[content_type])
