# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The search engine: Meilisearch over its HTTP interface."""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from .correlation import outgoing_headers
from .problems import Unavailable
from .search import TaskFailed
from .settings import Settings, secret

INDEX_SETTINGS = {"searchableAttributes": ["file_name", "description", "text"], "displayedAttributes": ["id"],
                  "filterableAttributes": ["contact_id", "content_type"], "sortableAttributes": ["created_at"]}
TASK_SECONDS = 15
PAGE = 1000


class Meilisearch:
    """One index"""

    def __init__(self, settings: Settings) -> None:
        """Make the client; nothing is sent yet"""
        self.index = settings.meilisearch_index
        self.client = httpx.Client(
            base_url=str(settings.meilisearch_url), timeout=settings.search_timeout_seconds,
            headers={"Authorization": f"Bearer {secret(settings.meilisearch_key_file)}",
                     "User-Agent": settings.service_name},
            event_hooks={"request": [lambda request: request.headers.update(outgoing_headers())]}, trust_env=False)
        self.ready = False

    def find(self, query: str, limit: int, offset: int, contact_id: str | None) -> tuple[list[str], int]:
        """The ids of the documents that fit, best first, and an estimate of how many there are"""
        body: dict[str, Any] = {"q": query, "limit": limit, "offset": offset, "attributesToRetrieve": ["id"]}
        if contact_id:
            body["filter"] = f'contact_id = "{contact_id}"'
        answer = self._send("POST", f"/indexes/{self.index}/search", json=body, absent={"hits": []})
        return [hit["id"] for hit in answer["hits"]], int(answer.get("estimatedTotalHits", 0))

    def put(self, documents: Sequence[dict[str, Any]]) -> None:
        """Add or replace documents, and wait until that is done"""
        self.prepare()
        self.wait(self._send("PUT", f"/indexes/{self.index}/documents", json=list(documents))["taskUid"])

    def remove(self, ids: Sequence[str]) -> None:
        """Remove documents, and wait until that is done; ids that are not there are no error"""
        self.prepare()
        self.wait(self._send("POST", f"/indexes/{self.index}/documents/delete-batch", json=list(ids))["taskUid"])

    def ids(self) -> Iterator[str]:
        """The ids in the index"""
        offset = 0
        while page := self._send("GET", f"/indexes/{self.index}/documents", absent={"results": []},
                                 params={"fields": "id", "limit": PAGE, "offset": offset})["results"]:
            yield from (each["id"] for each in page)
            offset += len(page)

    def prepare(self) -> None:
        """Make the index, once for each process; an index that exists is left as it is"""
        if not self.ready:
            made = self._send("POST", "/indexes", json={"uid": self.index, "primaryKey": "id"})
            self.wait(made["taskUid"], allowed="index_already_exists")
            self.wait(self._send("PATCH", f"/indexes/{self.index}/settings", json=INDEX_SETTINGS)["taskUid"])
            self.ready = True

    def wait(self, task: int, allowed: str = "") -> None:
        """Wait until a task is done. Raises TaskFailed, or Unavailable when it takes too long."""
        deadline, pause = time.monotonic() + TASK_SECONDS, 0.01
        while time.monotonic() < deadline:
            state = self._send("GET", f"/tasks/{task}")
            if state["status"] == "succeeded":
                return
            if state["status"] in {"failed", "canceled"}:
                error = state.get("error") or {}
                if allowed and error.get("code") == allowed:
                    return
                if error.get("code") == "index_not_found":
                    self.ready = False
                raise TaskFailed(f"task {task}: {error.get('code', state['status'])}")
            time.sleep(pause)
            pause = min(pause * 2, 0.5)
        raise Unavailable("search")

    def check(self) -> None:
        """Raise Unavailable unless the search engine answers, and takes the key"""
        if self._send("GET", "/health").get("status") != "available":
            raise Unavailable("search")
        self._send("GET", "/version")

    def _send(self, method: str, path: str, absent: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        try:
            response = self.client.request(method, path, **options)
            if absent is not None and response.status_code == 404 and response.json().get("code") == "index_not_found":
                return absent
            return response.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable("search") from error
