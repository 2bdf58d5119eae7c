# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The object store, over the S3 interface: S3 itself, or a store that speaks like it."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from .correlation import outgoing_headers
from .problems import Unavailable
from .settings import Settings, secret

CHUNK = 64 * 1024
_MISSING = {"404", "NoSuchKey", "NotFound"}


class ObjectMissing(Exception):
    """The database knows the document, the object store does not"""


def make_client(settings: Settings, read_timeout: float = 20, attempts: int = 2) -> Any:
    """An S3 client with short timeouts; every request carries the ids of the work at hand"""
    client = get_session().create_client(
        "s3", **_place(settings),
        config=Config(signature_version="s3v4", connect_timeout=2, read_timeout=read_timeout,
                      s3={"addressing_style": "auto" if settings.object_store == "s3" else "path"},
                      retries={"total_max_attempts": attempts, "mode": "standard"}, max_pool_connections=40,
                      user_agent_extra=settings.service_name,
                      # Not every store knows the newer checksums; the signature covers the body already.
                      request_checksum_calculation="when_required", response_checksum_validation="when_required"))
    client.meta.events.register("before-sign.s3", _correlate)
    return client


def _place(settings: Settings) -> dict[str, Any]:
    """Where the bucket is and who asks: S3 itself with the credentials of the pod, the host or the environment, or a
    store of one's own"""
    if settings.object_store == "s3":
        return {"region_name": settings.aws_region}
    return {"endpoint_url": settings.s3_endpoint_url, "region_name": settings.s3_region,
            "aws_access_key_id": settings.s3_access_key,
            "aws_secret_access_key": secret(settings.s3_secret_key_file)}


def _correlate(request: Any, **_: Any) -> None:
    for name, value in outgoing_headers().items():
        if name in request.headers:
            del request.headers[name]
        request.headers[name] = value


class Store:
    """The bucket of the documents"""

    def __init__(self, settings: Settings) -> None:
        """Make the clients; nothing is sent yet"""
        self.bucket = settings.s3_bucket
        self.client = make_client(settings)
        self.probe = make_client(settings, read_timeout=2, attempts=1)

    def put(self, key: str, body: BinaryIO, size: int, content_type: str) -> None:
        """Store an object, read from a file in pieces"""
        self._call(self.client.put_object, Key=key, Body=body, ContentLength=size, ContentType=content_type)

    def open(self, key: str) -> Iterator[bytes]:
        """The content in pieces. Raises ObjectMissing before the first of them."""
        return self._pieces(self._call(self.client.get_object, Key=key)["Body"])

    @staticmethod
    def _pieces(body: Any) -> Iterator[bytes]:
        try:
            yield from body.iter_chunks(CHUNK)
        finally:
            body.close()

    def read(self, key: str, most: int) -> bytes:
        """The first `most` bytes of an object"""
        body = self._call(self.client.get_object, Key=key)["Body"]
        try:
            return body.read(most)
        except BotoCoreError as error:
            raise Unavailable("object_store") from error
        finally:
            body.close()

    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is no error"""
        with suppress(ObjectMissing):
            self._call(self.client.delete_object, Key=key)

    def check(self) -> None:
        """Raise Unavailable, or ObjectMissing for a bucket that nobody made"""
        self._call(self.probe.head_bucket)

    def _call(self, function: Any, **arguments: Any) -> Any:
        try:
            return function(Bucket=self.bucket, **arguments)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise ObjectMissing(arguments.get("Key", self.bucket)) from error
            raise Unavailable("object_store") from error
        except BotoCoreError as error:
            raise Unavailable("object_store") from error
