# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""What one process shares among its requests."""
from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Annotated

from fastapi import Depends, Request

from .database import make_pool
from .dynamo_changes import DynamoChanges
from .dynamo_records import DynamoRecords
from .dynamodb import Table
from .keys import key_digests
from .meilisearch import Meilisearch
from .metrics import Metrics
from .middleware import Drain
from .opensearch import OpenSearch
from .postgres import PostgresChanges, PostgresRecords
from .records import Changes, Records
from .search import Search
from .settings import Settings
from .store import Store


@dataclass
class Services:
    """Clients, metrics and flags, made once"""

    settings: Settings
    api_keys: list[bytes]
    metrics: Metrics
    drain: Drain
    records: Records
    changes: Changes
    store: Store
    search: Search
    outbox_filled: Event

    @classmethod
    def make(cls, settings: Settings) -> Services:
        """Everything that the settings describe; nothing is connected yet"""
        metrics = Metrics(settings.latency_slo_seconds)
        search = OpenSearch if settings.search_engine == "opensearch" else Meilisearch
        return cls(settings, key_digests(settings.api_key_file), metrics, Drain(metrics), *_database(settings, metrics),
                   Store(settings), search(settings), Event())


def _database(settings: Settings, metrics: Metrics) -> tuple[Records, Changes]:
    if settings.database_engine == "dynamodb":
        table = Table(settings)
        return DynamoRecords(table), DynamoChanges(table)
    pool = make_pool(settings)
    metrics.watch_pool(pool)
    return PostgresRecords(pool), PostgresChanges(pool)


def _services(request: Request) -> Services:
    return request.app.state.services


Given = Annotated[Services, Depends(_services)]
