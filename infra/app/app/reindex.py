# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""`python -m app.reindex`: builds the search index again from the database and the object store, while the service
runs.

First every document is added or replaced, then whatever the database does not know is removed. Changes made
meanwhile go
through the outbox as always.
"""
from __future__ import annotations

import logging
import sys

import psycopg

from . import logs, settings
from .outbox import entry
from .problems import Unavailable
from .search import TaskFailed
from .services import Services

log = logging.getLogger("app.reindex")
PAGE = 1000


def add_all(services: Services) -> int:
    """Add or replace every stored document; returns how many"""
    count = 0
    for rows in services.records.every_document():
        services.search.put([entry(services, row) for row in rows])
        services.records.mark_indexed([row["id"] for row in rows])
        count += len(rows)
        log.info("added", extra={"documents": count})
    return count


def remove_unknown(services: Services) -> int:
    """Remove from the index what the database does not have; returns how many"""
    found = list(services.search.ids())
    known = {str(row["id"]) for rows in services.records.every_document() for row in rows}
    unknown = [each for each in found if each not in known]
    for start in range(0, len(unknown), PAGE):
        services.search.remove(unknown[start:start + PAGE])
    return len(unknown)


def main() -> int:
    """The command"""
    given = settings.load()
    logs.configure(f"{given.service_name}-reindex", given.log_level)
    services = Services.make(given)
    services.records.open(wait=True)
    try:
        added, removed = add_all(services), remove_unknown(services)
    except (Unavailable, TaskFailed, psycopg.Error) as error:
        log.error("failed; the index may be incomplete, run it again", exc_info=error)
        return 1
    finally:
        services.records.close()
    log.info("the index agrees with the database", extra={"added": added, "removed": removed})
    return 0


if __name__ == "__main__":
    sys.exit(main())
