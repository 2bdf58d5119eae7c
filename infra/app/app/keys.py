# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The keys that callers present, compared in constant time."""
from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path

from .settings import secret_lines


def key_digests(path: Path) -> list[bytes]:
    """The digests of the accepted keys: of equal length, so a comparison tells nothing about theirs"""
    return [_digest(key) for key in secret_lines(path)]


def accepted(given: str, digests: list[bytes]) -> bool:
    """Whether a key is one of those accepted; takes the same time for each"""
    digest, found = _digest(given), False
    for each in digests:
        found |= hmac.compare_digest(digest, each)
    return found


def mark(given: str) -> str:
    """What a log may say about a key: enough to tell keys apart, nothing to guess one from"""
    return _digest(given).hex()[:8]


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
