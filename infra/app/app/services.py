# Made by `pretamane emit` from model 6826de63cc5a. Change the stack, not this file.
"""What one process shares among its requests."""
from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Annotated

from fastapi import Depends, Request

from .database import Pool, make_pool
from .keys import key_digests
from .metrics import Metrics
from .middleware import Drain
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
    pool: Pool
    store: Store
    search: Search
    outbox_filled: Event

    @classmethod
    def make(cls, settings: Settings) -> Services:
        """Everything that the settings describe; nothing is connected yet"""
        metrics = Metrics(settings.latency_slo_seconds)
        pool = make_pool(settings)
        metrics.watch_pool(pool)
        return cls(settings, key_digests(settings.api_key_file), metrics, Drain(metrics), pool, Store(settings),
                   Search(settings), Event())


def _services(request: Request) -> Services:
    return request.app.state.services


Given = Annotated[Services, Depends(_services)]
