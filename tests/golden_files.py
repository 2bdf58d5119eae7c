"""Files of expected text: a test compares what it made with the file, and writes it where that is asked for.

    PRETAMANE_GOLDEN=write python -m pytest tests/test_formats.py   # then read the diff before it is committed
"""
from __future__ import annotations

import difflib
import os
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "golden"
WRITE = os.environ.get("PRETAMANE_GOLDEN") == "write"


def same(path: Path, text: str) -> None:
    """Fail with the difference where a file has another text; write the file instead when that is asked for"""
    text = text.rstrip("\n") + "\n"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if WRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    elif old != text:
        lines = difflib.unified_diff(old.splitlines(), text.splitlines(), path.name, "made now", lineterm="", n=1)
        raise AssertionError("\n".join([*list(lines)[:60], "If that is meant: make golden, and read the diff"]))
