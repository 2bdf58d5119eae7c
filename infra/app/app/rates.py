# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""How often one caller may ask: whoever has a key by that key, everybody else by address.

The edge cannot do this: Caddy has no such limit without a plugin. A process counts for itself, so with several
replicas a caller gets up to as many times the rate.
"""
from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import Any

from .keys import accepted, mark
from .metrics import Metrics
from .middleware import PROBES
from .problems import problem

BURST_SECONDS = 5  # of its rate that a caller who was quiet may send at once
MOST_CALLERS = 10_000  # that are remembered; the one that was quiet longest is forgotten first


class Buckets:
    """A bucket of tokens for each caller: a request takes one, and they come back at a rate"""

    def __init__(self, rate: float, now: Callable[[], float] = monotonic) -> None:
        """Allow `rate` requests a second on average; 0 allows all"""
        self.rate, self.most, self.now = rate, max(1.0, rate * BURST_SECONDS), now
        self.callers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """The seconds until this caller may ask; 0 when it may now, and then the request is counted"""
        if not self.rate:
            return 0
        now = self.now()
        left, at = self.callers.pop(caller, (self.most, now))
        left = min(self.most, left + (now - at) * self.rate)
        allowed = left >= 1
        self.callers[caller] = (left - allowed, now)
        if len(self.callers) > MOST_CALLERS:
            self.callers.popitem(last=False)
        return 0 if allowed else (1 - left) / self.rate


def network(address: str) -> str:
    """What one caller has of addresses: one of IPv4, the 64 bits of a network of IPv6"""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


class LimitRate:
    """Answers 429 to whoever asks too often, before anything is done for the request"""

    def __init__(self, app: Any, metrics: Metrics, keys: list[bytes], of_keys: float, of_addresses: float) -> None:
        """Wrap `app`; `keys` are the digests of those accepted, the others requests a second"""
        self.app, self.metrics, self.keys = app, metrics, keys
        self.buckets = {"key": Buckets(of_keys), "address": Buckets(of_addresses)}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Handle one request; anything else passes, and so does who asks for the service's health"""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        kind, caller = self._caller(scope)
        if seconds := self.buckets[kind].wait(caller):
            self.metrics.rate_limited.labels(kind).inc()
            await problem(429, "too many requests; the header Retry-After says when the next one is taken",
                          {"Retry-After": str(ceil(seconds)), "Connection": "close"})(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _caller(self, scope: dict[str, Any]) -> tuple[str, str]:
        given = dict(scope["headers"]).get(b"x-api-key", b"").decode("latin-1")
        if given and accepted(given, self.keys):
            return "key", mark(given)
        return "address", network((scope.get("client") or [""])[0])
