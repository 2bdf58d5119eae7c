# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The search index: what every search engine does for this service.

Two engines do it: Meilisearch (meilisearch.py) and OpenSearch (opensearch.py). SEARCH_ENGINE says which.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class TaskFailed(Exception):
    """The search engine took a change and then could not make it"""


class Search(Protocol):
    """One index. Everything may raise Unavailable; changes may raise TaskFailed."""

    def find(self, query: str, limit: int, offset: int, contact_id: str | None) -> tuple[list[str], int]:
        """The ids of the documents that fit, best first, and an estimate of how many there are"""

    def put(self, documents: Sequence[dict[str, Any]]) -> None:
        """Add or replace documents; they can be found when this returns"""

    def remove(self, ids: Sequence[str]) -> None:
        """Remove documents; ids that are not there are no error"""

    def ids(self) -> Iterator[str]:
        """The ids in the index"""

    def check(self) -> None:
        """Raise Unavailable unless the search engine answers, and takes the credentials"""
