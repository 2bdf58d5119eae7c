# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""What the service counts. One process serves all requests, so a counter never goes back while it lives."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily

from . import __version__

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")
UNMATCHED = "unmatched"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All metrics of one process, in a registry of their own"""

    def __init__(self, latency_slo_seconds: float) -> None:
        """Make the metrics; the latency objective becomes a bucket, so the share of fast requests can be computed"""
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        buckets = sorted({*BUCKETS, latency_slo_seconds})
        self.requests = self._counter("http_requests_total", "HTTP requests by outcome", "method", "route",
                                      "status_class")
        self.duration = Histogram("http_request_duration_seconds", "Seconds from the first byte to the last",
                                  ["method", "route"], buckets=buckets, registry=self.registry)
        self.in_progress = self._gauge("http_requests_in_progress", "HTTP requests that are being answered")
        self.exceptions = self._counter("http_exceptions_total", "Requests that ended with an exception",
                                        "route", "exception")
        self.draining = self._gauge("app_draining", "1 while the service sends callers away")
        self._gauge("app_info", "The version that runs", "version").labels(__version__).set(1)
        self._gauge("app_latency_slo_seconds", "Seconds of the latency objective").set(latency_slo_seconds)
        self._business()
        self._dependencies()

    def _business(self) -> None:
        self.uploaded = self._counter("documents_uploaded_total", "Documents stored")
        self.uploaded_bytes = self._counter("documents_uploaded_bytes_total", "Bytes of the documents stored")
        self.downloaded_bytes = self._counter("documents_downloaded_bytes_total", "Bytes of documents sent")
        self.deleted = self._counter("documents_deleted_total", "Documents deleted")
        self.rejected = self._counter("uploads_rejected_total", "Uploads refused", "reason")
        self.contacts = self._counter("contacts_created_total", "Contacts created")
        self.searches = self._counter("searches_total", "Searches by outcome", "outcome")
        self.refused = self._counter("auth_failures_total", "Requests without a valid API key", "reason")
        self.rate_limited = self._counter("rate_limited_total", "Requests of callers that asked too often", "caller")
        self._zero(self.rate_limited, "key", "address")
        self._zero(self.rejected, "too_large", "type", "form")
        self._zero(self.searches, "found", "nothing", "error")
        self._zero(self.refused, "missing", "wrong")

    def _dependencies(self) -> None:
        self.outbox_pending = self._gauge("outbox_pending",
                                          "Changes that the search index and the store do not have yet")
        self.outbox_lag = self._gauge("outbox_oldest_seconds", "Age in seconds of the oldest such change")
        self.outbox = self._counter("outbox_processed_total",
                                    "Tries to bring a change to the search index and the store", "outcome")
        self.dependency_up = self._gauge("dependency_up", "1 when the last readiness check reached it", "dependency")
        self.dependency_errors = self._counter("dependency_errors_total",
                                               "Requests and jobs that it failed", "dependency")
        self._zero(self.outbox, "done", "failed")
        self._zero(self.dependency_errors, "database", "object_store", "search")
        self._zero(self.dependency_up, "database", "object_store", "search")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    @staticmethod
    def _zero(metric: Counter | Gauge, *values: str) -> None:
        for value in values:
            metric.labels(value)

    def declare(self, routes: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Make the series of every route with 0, so that a first error is an increase and no errors is a 0"""
        for route, methods in [*routes, (UNMATCHED, ("GET",))]:
            for method in sorted(methods):
                self.duration.labels(method, route)
                for status_class in STATUS_CLASSES:
                    self.requests.labels(method, route, status_class)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. Unknown methods share a label, for callers can send any word."""
        method = method if method in METHODS else "OTHER"
        self.requests.labels(method, route or UNMATCHED, f"{status // 100}xx").inc()
        self.duration.labels(method, route or UNMATCHED).observe(seconds)

    def watch_pool(self, pool: Any) -> None:
        """Report a connection pool at each scrape"""
        self.registry.register(_PoolCollector(pool))


class _PoolCollector:
    """The state of the connection pool"""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def describe(self) -> list[Any]:
        """Nothing is promised before the first scrape"""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Connections and waiting requests"""
        stats = self.pool.get_stats()
        family = GaugeMetricFamily("db_pool_connections", "Connections of the database pool", labels=["state"])
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        family.add_metric(["idle"], idle)
        family.add_metric(["used"], max(size - idle, 0))
        yield family
        yield GaugeMetricFamily("db_pool_max_connections", "Most connections that the pool opens",
                                value=stats.get("pool_max", 0))
        yield GaugeMetricFamily("db_pool_waiting", "Requests that wait for a connection",
                                value=stats.get("requests_waiting", 0))
