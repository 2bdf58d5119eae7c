# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The part of `python -m app.migrate` for DynamoDB: notes in the table which layout its items have.

Terraform makes the table, with its key and its backups; this job waits for it and makes none, so the service needs no
right to.
"""
from __future__ import annotations

import logging
import time
from contextlib import suppress

from botocore.exceptions import ClientError

from .dynamo_records import LAYOUT, SCHEMA
from .dynamodb import Refused, Table
from .problems import Unavailable
from .settings import Settings

log = logging.getLogger("app.migrate")
FINAL = {"AccessDeniedException": "refused: look at what the role may do with DYNAMODB_TABLE",
         "ResourceNotFoundException": "there is no table with the name in DYNAMODB_TABLE: Terraform makes it",
         "UnrecognizedClientException": "refused: look at the credentials of the pod or of the environment"}


def migrate(settings: Settings) -> bool:
    """Note the layout, unless a newer one is noted; returns whether that changed anything"""
    table, deadline = Table(settings), time.monotonic() + settings.migrate_wait_seconds
    while True:
        try:
            with suppress(Refused):
                table.update(SCHEMA, "version = :layout", "attribute_not_exists(version) OR version < :layout",
                             layout=LAYOUT)
                return True
            return False
        except Unavailable as error:
            if _code(error) in FINAL or time.monotonic() > deadline:
                raise
            log.info("waiting for the database", extra={"reason": str(error.__cause__)})
            time.sleep(1)


def _code(error: Unavailable) -> str:
    cause = error.__cause__
    return cause.response["Error"]["Code"] if isinstance(cause, ClientError) else ""


def main(settings: Settings) -> int:
    """The command"""
    try:
        done = migrate(settings)
    except Unavailable as error:
        log.error(FINAL.get(_code(error), "failed"), exc_info=error)
        return 2 if _code(error) in FINAL else 1
    log.info("the schema is up to date", extra={"applied": int(done)})
    return 0
