# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""`python -m app.migrate`: brings the schema up to date. Running it again changes nothing; two runs wait for each
other.

Migrations only expand the schema, because the version before keeps running while the new one starts, and is what a
rollback
returns to. What they may not do is refused before anything is done.
"""
from __future__ import annotations

import hashlib
import logging
import re
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg

from . import dynamo_schema, logs, settings
from .database import conninfo

log = logging.getLogger("app.migrate")
FOLDER = Path(__file__).resolve().parent.parent / "migrations"
LOCK = 0x70726574616D616E  # any number that nobody else locks in this database
LOCK_SECONDS = 5  # that a change may hold up requests while it waits for a table
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_SHRINKS = re.compile(r"\b(DROP\s+(TABLE|COLUMN|SCHEMA|TYPE|VIEW)|RENAME\s+(TO|COLUMN)|TRUNCATE"
                      r"|ALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE|SET\s+NOT\s+NULL|DELETE\s+FROM)\b",
                      re.IGNORECASE)


class Refused(Exception):
    """The migrations cannot be applied; a person has to decide"""


@dataclass(frozen=True)
class Migration:
    """One file"""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the statements; comments do not count"""
        return hashlib.sha256(self.statements.encode()).hexdigest()

    @property
    def statements(self) -> str:
        """The file without comments of a whole line and without empty lines"""
        lines = (line.rstrip() for line in self.sql.splitlines())
        return "\n".join(line for line in lines if line and not line.lstrip().startswith("--"))


def read(folder: Path = FOLDER) -> list[Migration]:
    """The migrations in order. Raises Refused for a gap, a strange name, or one that shrinks the schema."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        if not (match := _NAME.fullmatch(file.name)):
            raise Refused(f"{file.name}: a name such as 0002_what_it_adds.sql is expected")
        found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
        if found[-1].version != len(found):
            raise Refused(f"{file.name}: number {len(found):04} is expected")
        if shrinks := _SHRINKS.search(found[-1].statements):
            raise Refused(f"{file.name}: '{shrinks[0]}' would break the version that still runs")
    return found


@cache
def newest() -> int:
    """The version of the schema that this code needs"""
    return len(read())


def _connected(given: settings.Settings) -> psycopg.Connection:
    deadline = time.monotonic() + given.migrate_wait_seconds
    while True:
        try:
            return psycopg.connect(conninfo(given), autocommit=True)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or "authentication" in str(error):
                raise
            log.info("waiting for the database", extra={"reason": str(error).strip()})
            time.sleep(1)


def _refuse_superuser(connection: psycopg.Connection, given: settings.Settings) -> None:
    superuser = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]
    if superuser and not given.db_allow_superuser:
        raise Refused(f"DB_USER: {given.db_user} is a superuser. Set it to a role that only owns the database "
                      f"{given.db_name}, "
                      "or set DB_ALLOW_SUPERUSER=true")


def _applied(connection: psycopg.Connection) -> dict[int, str]:
    connection.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
                       " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
    return dict(connection.execute("SELECT version, checksum FROM schema_migrations").fetchall())


def migrate(given: settings.Settings, folder: Path = FOLDER) -> list[Migration]:
    """Apply what is missing, each migration in a transaction of its own; returns what was applied"""
    wanted, done = read(folder), []
    with _connected(given) as connection:
        _refuse_superuser(connection, given)
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{given.migrate_wait_seconds}s",))
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{LOCK_SECONDS}s",))
        applied = _applied(connection)
        for each in wanted:
            if applied.get(each.version, each.checksum) != each.checksum:
                raise Refused(f"migration {each.version:04} was changed after it was applied: put it back and "
                              f"add a new one")
        for each in (each for each in wanted if each.version not in applied):
            with connection.transaction():
                connection.execute(each.sql)
                connection.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                                   (each.version, each.name, each.checksum))
            log.info("applied", extra={"migration": f"{each.version:04}_{each.name}"})
            done.append(each)
        if ahead := sorted(set(applied) - {each.version for each in wanted}):
            log.warning("the schema is newer than this code", extra={"versions": ahead})
    return done


def main() -> int:
    """The command"""
    given = settings.load()
    logs.configure(f"{given.service_name}-migrate", given.log_level)
    if given.database_engine == "dynamodb":
        return dynamo_schema.main(given)
    try:
        done = migrate(given)
    except Refused as error:
        log.error("refused", extra={"reason": str(error)})
        return 2
    except psycopg.Error as error:
        log.error("failed", exc_info=error)
        return 1
    log.info("the schema is up to date", extra={"applied": len(done)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
