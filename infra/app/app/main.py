# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The application: routes, what surrounds them, and what starts and stops with them."""
from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import start_http_server

from . import __version__, contacts, documents, health, problems, site
from .health import Readiness
from .middleware import LimitBody, Observe
from .outbox import Worker
from .rates import LimitRate
from .services import Services
from .settings import Settings
from .uploads import FORM_OVERHEAD

log = logging.getLogger("app")
SMALL_BODY = 64 * 1024  # bytes of a request that is no upload


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start without waiting: a database that is down makes the service unready, not absent"""
    services: Services = app.state.services
    services.records.open(wait=False)
    server, thread = start_http_server(services.settings.metrics_port, services.settings.host,
                                       services.metrics.registry)
    worker = Worker(services)
    worker.start()
    log.info("started", extra={"port": services.settings.port, "metrics_port": services.settings.metrics_port})
    yield
    worker.stop(seconds=4)
    services.records.close()
    server.shutdown()
    thread.join(2)
    log.info("stopped")


def make_app(settings: Settings) -> FastAPI:
    """The application for these settings"""
    services = Services.make(settings)
    app = FastAPI(title="Documents", version=__version__, docs_url=None, redoc_url=None, lifespan=_lifespan,
                  description="Contacts and documents with full-text search.")
    app.state.services, app.state.readiness = services, Readiness(services)
    for module in (site, health, contacts, documents):
        app.include_router(module.router)
    problems.install(app)
    # The last one added is the outermost.
    app.add_middleware(LimitBody, metrics=services.metrics, limit=SMALL_BODY,
                       larger={"/documents": settings.max_upload_bytes + FORM_OVERHEAD})
    app.add_middleware(LimitRate, metrics=services.metrics, keys=services.api_keys, of_keys=settings.caller_rate,
                       of_addresses=settings.stranger_rate)
    app.add_middleware(Observe, metrics=services.metrics, drain=services.drain)
    services.metrics.declare(_routes(app))
    tempfile.tempdir = str(settings.uploads_folder)  # where the form parser puts what is too large for memory
    return app


def _routes(app: FastAPI) -> Iterable[tuple[str, Iterable[str]]]:
    methods: dict[str, set[str]] = {"/": {"GET"}, "/docs": {"GET"}, "/openapi.json": {"GET"}}
    for path, operations in app.openapi()["paths"].items():
        methods[path] = {method.upper() for method in operations}
    return methods.items()
