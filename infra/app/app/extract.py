# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The text in a document, for the search index. What others sent is read in a process of its own, with limits."""
from __future__ import annotations

import logging
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

from .kinds import PDF, TEXT
from .services import Services

log = logging.getLogger("app.extract")
MOST_BYTES = {PDF: 20 * 1024 * 1024}  # of a document that is looked into
MOST_BYTES |= dict.fromkeys(TEXT, 2 * 1024 * 1024)  # text and markup of more than the letters below
MOST_LETTERS = 200_000  # of its text that can be searched
SECONDS = 20
MEMORY_BYTES = 400 * 1024 * 1024
PAGES = 300


def text_of(services: Services, row: dict[str, Any]) -> str:
    """The text in a stored document, kept in the processed folder for the next time; empty where there is none to
    find"""
    kept = services.settings.processed_folder / f"{row['id']}.txt"
    if row["content_type"] not in TEXT and row["content_type"] != PDF:
        return ""
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    text = _text(row["content_type"], services.store.read(f"documents/{row['id']}", MOST_BYTES[row["content_type"]]))
    _keep(kept, text)
    return text


def _keep(place: Path, text: str) -> None:
    beside = place.with_name(f".{place.name}.{uuid4().hex}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(place)
    except OSError as error:  # a full disk costs time later, not the search
        log.warning("text not kept", extra={"file": str(place), "error": str(error)})
        beside.unlink(missing_ok=True)


def _text(content_type: str, content: bytes) -> str:
    if content_type == PDF:
        return _pdf(content)
    text = content.decode("utf-8", "replace")
    return _searchable(_html(text) if content_type == "text/html" else text)


def _searchable(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in text[:MOST_LETTERS])


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, _: Any) -> None:
        self.hidden += tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in {"script", "style"} and self.hidden > 0

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words.append(data)


def _html(text: str) -> str:
    parser = _Words()
    parser.feed(text)
    parser.close()
    return " ".join(" ".join(parser.words).split())


def _pdf(content: bytes) -> str:
    """The text in a PDF, empty for one that cannot be read; the reader gets no secrets and cannot take memory or
    time"""
    command = [sys.executable, "-I", "-c",
               f"import sys; sys.path[:0] = {sys.path!r}; from app.extract import read_pdf; read_pdf()"]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=SECONDS, check=False,
                              env={"PATH": ""})
    except subprocess.TimeoutExpired:
        log.warning("PDF not read", extra={"reason": f"took longer than {SECONDS} s"})
        return ""
    if done.returncode:
        log.warning("PDF not read", extra={"reason": done.stderr.decode("utf-8", "replace").strip()[-300:]})
        return ""
    return _searchable(done.stdout.decode("utf-8", "replace"))


def read_pdf() -> None:
    """In the process of its own: a PDF from standard input, its text to standard output"""
    import io
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    from pypdf import PdfReader

    letters = 0
    for page in PdfReader(io.BytesIO(sys.stdin.buffer.read())).pages[:PAGES]:
        text = page.extract_text() + "\n"
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        letters += len(text)
        if letters > MOST_LETTERS:
            break
