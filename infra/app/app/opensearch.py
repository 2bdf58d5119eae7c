# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The search engine: OpenSearch over its HTTP interface, with requests signed as AWS wants them."""
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import get_session

from .correlation import outgoing_headers
from .problems import Unavailable
from .search import TaskFailed
from .settings import Settings

# Every word that is looked for must be in `words`; where it is found decides the order.
_TEXT = {"type": "text", "copy_to": "words"}
MAPPINGS = {"dynamic": False, "properties": {
    "id": {"type": "keyword"}, "file_name": _TEXT, "description": _TEXT, "text": _TEXT, "words": {"type": "text"},
    "content_type": {"type": "keyword"}, "contact_id": {"type": "keyword"}, "created_at": {"type": "double"}}}
RANKED = ["file_name^3", "description^2", "text"]
PAGE = 1000
JSON, LINES = "application/json", "application/x-ndjson"


class OpenSearch:
    """One index"""

    def __init__(self, settings: Settings) -> None:
        """Make the client; nothing is sent yet"""
        self.index, self.region, self.session = settings.opensearch_index, settings.aws_region, get_session()
        self.signed = settings.opensearch_signed
        self.client = httpx.Client(base_url=str(settings.opensearch_url).rstrip("/"), trust_env=False,
                                   timeout=settings.search_timeout_seconds,
                                   headers={"User-Agent": settings.service_name},
                                   event_hooks={"request": [self._prepared]})
        self.ready = False

    def _prepared(self, request: httpx.Request) -> None:
        """The ids of the work at hand, and the signature of the credentials of the pod, the host or the environment"""
        request.headers.update(outgoing_headers())
        if self.signed:
            kept = {name: request.headers[name] for name in ("content-type",) if name in request.headers}
            asked = AWSRequest(request.method, str(request.url), data=request.content, headers=kept)
            SigV4Auth(self.session.get_credentials(), "es", self.region).add_auth(asked)
            request.headers.update(dict(asked.headers.items()))

    def find(self, query: str, limit: int, offset: int, contact_id: str | None) -> tuple[list[str], int]:
        """The ids of the documents that have every word or its beginning, best first, and how many there are"""
        body = {"from": offset, "size": limit, "_source": False, "track_total_hits": True, "query": {"bool": {
            "must": {"match_bool_prefix": {"words": {"query": query, "operator": "and"}}},
            "should": {"multi_match": {"query": query, "fields": RANKED}},
            "filter": [{"term": {"contact_id": contact_id}}] if contact_id else []}}}
        hits = self._send("POST", "/_search", json.dumps(body), absent={"hits": {"hits": [], "total": {"value": 0}}})
        return [each["_id"] for each in hits["hits"]["hits"]], int(hits["hits"]["total"]["value"])

    def put(self, documents: Sequence[dict[str, Any]]) -> None:
        """Add or replace documents, and wait until they can be found"""
        self._bulk([line for each in documents for line in ({"index": {"_id": each["id"]}}, each)])

    def remove(self, ids: Sequence[str]) -> None:
        """Remove documents, and wait until that is done; ids that are not there are no error"""
        self._bulk([{"delete": {"_id": each}} for each in ids])

    def _bulk(self, lines: list[dict[str, Any]]) -> None:
        self._make_index()
        body = "".join(f"{json.dumps(each)}\n" for each in lines)
        answer = self._send("POST", "/_bulk?refresh=wait_for", body, kind=LINES)
        done = [next(iter(each.values())) for each in answer["items"]]
        if failed := [each["error"]["type"] for each in done if "error" in each]:
            self.ready = self.ready and "index_not_found_exception" not in failed
            raise TaskFailed(f"{len(failed)} of {len(done)} changes: {failed[0]}")

    def ids(self) -> Iterator[str]:
        """The ids in the index"""
        body: dict[str, Any] = {"size": PAGE, "_source": False, "sort": [{"id": "asc"}]}
        while hits := self._send("POST", "/_search", json.dumps(body), absent={"hits": {"hits": []}})["hits"]["hits"]:
            yield from (each["_id"] for each in hits)
            body["search_after"] = hits[-1]["sort"]

    def _make_index(self) -> None:
        """Make the index, once for each process; an index that exists is left as it is"""
        if not self.ready:
            self._send("PUT", "", json.dumps({"mappings": MAPPINGS}), allowed="resource_already_exists_exception")
            self.ready = True

    def check(self) -> None:
        """Raise Unavailable unless the search engine answers, takes the credentials and has its data"""
        if self._answer("GET", "/_cluster/health", None, JSON).get("status") not in {"green", "yellow"}:
            raise Unavailable("search")

    def _send(self, method: str, path: str, body: str, kind: str = JSON, allowed: str = "",
              absent: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of the index; `absent` for one that nobody made yet"""
        answer = self._answer(method, f"/{self.index}{path}", body, kind, {allowed} if allowed else {
            "index_not_found_exception"} if absent is not None else set())
        return absent if absent is not None and "error" in answer else answer

    def _answer(self, method: str, path: str, body: str | None, kind: str,
                expected: set[str] = frozenset()) -> dict[str, Any]:
        try:
            response = self.client.request(method, path, content=body, headers={"Content-Type": kind} if body else None)
            answer = response.json()
            if response.is_error and answer.get("error", {}).get("type") in expected:
                return answer
            response.raise_for_status()
        except (httpx.HTTPError, BotoCoreError, ValueError, AttributeError) as error:
            raise Unavailable("search") from error
        return answer
