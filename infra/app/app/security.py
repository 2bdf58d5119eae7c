# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Who may call: whoever presents one of the keys in the file. Without keys the service does not start."""
from __future__ import annotations

from typing import Annotated

from fastapi import HTTPException, Security
from fastapi.security import APIKeyHeader

from .correlation import current
from .keys import accepted, mark
from .services import Given

HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="One of the keys of this service")


def require_api_key(services: Given, key: Annotated[str | None, Security(HEADER)]) -> None:
    """Refuse a request without a valid key with 401"""
    if key and accepted(key, services.api_keys):
        if found := current():
            found.caller = mark(key)
        return
    services.metrics.refused.labels("wrong" if key else "missing").inc()
    raise HTTPException(401, "a valid key is expected in the header X-API-Key",
                        {"WWW-Authenticate": 'ApiKey realm="api"'})
