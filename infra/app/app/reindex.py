# Made by `pretamane emit` from model 6826de63cc5a. Change the stack, not this file.
"""`python -m app.reindex`: builds the search index again from the database and the object store, while the service
runs.

First every document is added or replaced, then whatever the database does not know is removed. Changes made
meanwhile go
through the outbox as always.
"""
from __future__ import annotations

import logging
import sys
from typing import Any

import psycopg

from . import logs, settings
from .outbox import entry
from .problems import Unavailable
from .search import TaskFailed
from .services import Services

log = logging.getLogger("app.reindex")
BATCH = 100
PAGE = 1000


def add_all(services: Services) -> int:
    """Add or replace every stored document; returns how many"""
    after, count = "00000000-0000-0000-0000-000000000000", 0
    while rows := _rows(services, "SELECT * FROM documents WHERE stored AND id > %s ORDER BY id LIMIT %s",
                        (after, BATCH)):
        services.search.wait(services.search.add([entry(services, row) for row in rows]))
        ids = [row["id"] for row in rows]
        _rows(services, "UPDATE documents SET indexed_at = now() WHERE id = ANY(%s) RETURNING id", (ids,))
        after, count = ids[-1], count + len(rows)
        log.info("added", extra={"documents": count})
    return count


def remove_unknown(services: Services) -> int:
    """Remove from the index what the database does not have; returns how many"""
    found: list[str] = []
    while page := services.search.ids(PAGE, len(found)):
        found += page
    known = {str(row["id"]) for row in _rows(services, "SELECT id FROM documents WHERE stored", ())}
    if unknown := [each for each in found if each not in known]:
        services.search.wait(services.search.remove(unknown))
    return len(unknown)


def _rows(services: Services, query: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    with services.pool.connection() as connection:
        return connection.execute(query, values).fetchall()


def main() -> int:
    """The command"""
    given = settings.load()
    logs.configure(f"{given.service_name}-reindex", given.log_level)
    services = Services.make(given)
    services.pool.open()
    try:
        added, removed = add_all(services), remove_unknown(services)
    except (Unavailable, TaskFailed, psycopg.Error) as error:
        log.error("failed; the index may be incomplete, run it again", exc_info=error)
        return 1
    finally:
        services.pool.close()
    log.info("the index agrees with the database", extra={"added": added, "removed": removed})
    return 0


if __name__ == "__main__":
    sys.exit(main())
