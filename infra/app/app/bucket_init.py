# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""`python -m app.bucket_init`: makes the bucket if it is missing, and proves that objects can be written and read."""
from __future__ import annotations

import logging
import sys
import time
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from . import logs, settings
from .store import make_client

log = logging.getLogger("app.bucket_init")
SECONDS = 60
CREDENTIALS = {"s3-compatible": "S3_ACCESS_KEY and S3_SECRET_KEY_FILE",
               "s3": "the credentials of the pod or of the environment"}


def _code(error: Exception) -> str:
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""


def ensure(client: Any, bucket: str) -> bool:
    """Make the bucket unless it exists; returns whether it was made. It is private, as every new bucket is."""
    try:
        client.head_bucket(Bucket=bucket)
        return False
    except ClientError as error:
        if _code(error) not in {"404", "NoSuchBucket", "NotFound"}:
            raise
    try:
        client.create_bucket(Bucket=bucket)
        return True
    except ClientError as error:
        if _code(error) != "BucketAlreadyOwnedByYou":  # another job was faster
            raise
        return False


def prove(client: Any, bucket: str) -> None:
    """Write, read and delete one small object"""
    key, body = f"bucket-init/{uuid4()}", b"written to be read"
    client.put_object(Bucket=bucket, Key=key, Body=body)
    try:
        if client.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
            raise RuntimeError("the object store gave back something else than it was given")
    finally:
        client.delete_object(Bucket=bucket, Key=key)


def main() -> int:
    """The command"""
    given = settings.load()
    logs.configure(f"{given.service_name}-bucket-init", given.log_level)
    client, deadline = make_client(given), time.monotonic() + SECONDS
    while True:
        try:
            made = ensure(client, given.s3_bucket)
            prove(client, given.s3_bucket)
        except ClientError as error:
            refused = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in {401, 403}
            log.error(f"refused: look at {CREDENTIALS[given.object_store]}" if refused else "failed", exc_info=error)
            return 2 if refused else 1
        except BotoCoreError as error:
            if time.monotonic() > deadline:
                log.error("no answer from S3_ENDPOINT_URL", exc_info=error)
                return 1
            log.info("waiting for the object store", extra={"reason": str(error)})
            time.sleep(1)
        else:
            log.info("the bucket is there", extra={"bucket": given.s3_bucket, "made": made})
            return 0


if __name__ == "__main__":
    sys.exit(main())
