"""Files of expected text: a test compares what it made with the file, and writes it where that is asked for.

    PRETAMANE_GOLDEN=write python -m pytest tests/test_formats.py   # then read the diff before it is committed
"""
from __future__ import annotations

import copy
import difflib
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pretamane_analysis.base.errors import PretamaneError

GOLDEN = Path(__file__).resolve().parent / "golden"
WRONG = (None, 5, "?")  # in place of each value
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


def spoiled(document: Any, wrongs: tuple = WRONG, place: tuple = ()) -> Iterator[tuple[str, Any]]:
    """Yield a document with each key left out, each value replaced; of a list the first element stands for all"""
    part = document
    for key in place:
        part = part[key]
    keys = list(part) if isinstance(part, dict) else [0] if isinstance(part, list) and part else []
    for key in keys:
        for wrong in ("left out", *wrongs):
            changed = copy.deepcopy(document)
            inner = changed
            for each in place:
                inner = inner[each]
            if wrong == "left out":
                del inner[key]
            else:
                inner[key] = wrong
            yield f"{'/'.join(map(str, (*place, key)))} {wrong if wrong == 'left out' else json.dumps(wrong)}", changed
        yield from spoiled(document, wrongs, (*place, key))


def outcome(read: Callable[[], list[str]], folder: Path) -> list[str]:
    """Return what is read as lines, or the message; any other error than ours fails the test"""
    try:
        return read()
    except PretamaneError as error:
        return [f"{type(error).__name__}: {error}".replace(str(folder), "FOLDER")]


def change(old: str, new: str) -> str:
    """Return what differs between two lines, part by part"""
    pairs = list(zip_longest(old.split(" | "), new.split(" | "), fillvalue="nothing"))
    return "; ".join(" => ".join(each or "nothing" for each in apart(*pair)) for pair in pairs if pair[0] != pair[1])


def apart(one: str, other: str) -> tuple[str, str]:
    """Return two texts without what both begin and end with, where they are long"""
    if len(one) < 60:
        return one, other
    begin = len(os.path.commonprefix([one, other]))
    end = len(os.path.commonprefix([one[begin:][::-1], other[begin:][::-1]]))
    return one[max(0, begin - 20):len(one) - end], other[max(0, begin - 20):len(other) - end]


def differing(right: list[str], found: list[str]) -> tuple[str, ...]:
    """Return what was read in other words than the right ones"""
    if found == right:
        return ("the same",)
    if len(found) == len(right) and "Error: " not in found[0][:40]:
        return tuple(change(old, new) for old, new in zip(right, found) if old != new)
    return (f"{len(found)} lines", *(each for each in found if each not in right))


def told(title: str, whole: Any, cases: Iterator[tuple[str, Any]], read: Callable[[Any], list[str]],
         folder: Path) -> list[str]:
    """Return what is read of the whole, and what differs of each case; what was told before is not told again"""
    right = outcome(lambda: read(whole), folder)
    lines = [f"{title}, whole:", *(f"    {each}" for each in right)]
    seen: dict[tuple[str, ...], str] = {}
    for name, case in cases:
        other = differing(right, outcome(partial(read, case), folder))
        known = seen.setdefault(other, name)
        lines += [f"  {name}", *([f"    {each}" for each in other] if known == name else [f"    as: {known}"])]
    return lines
