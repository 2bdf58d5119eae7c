# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""One table of DynamoDB: items as Python values, pages, transactions, and errors that mean what PostgreSQL's mean."""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from .problems import Unavailable
from .settings import Settings

Key = tuple[str, str]  # partition and place in it
MOMENTS = frozenset({"created_at", "indexed_at", "due_at"})
IDENTITIES = frozenset({"id", "document_id", "contact_id"})
MOST_KEYS = 100  # that BatchGetItem takes
_NAME = re.compile(r"(?<=\()\w+(?=\))|\b\w+(?= [=<])")  # a name in an expression: in parentheses or compared


class Refused(Exception):
    """The condition of a write did not hold, so nothing was written"""


def stamp(moment: datetime) -> str:
    """A moment as text that sorts as moments do"""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def place(moment: datetime, identity: UUID | str) -> str:
    """Where something stands in a list that is ordered by moments"""
    return f"{stamp(moment)}#{identity}"


def now() -> datetime:
    """This moment"""
    return datetime.now(UTC)


def packed(row: dict[str, Any]) -> dict[str, Any]:
    """Values as DynamoDB has them"""
    return {name: _packed(value) for name, value in row.items()}


def _packed(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    return {"S": stamp(value) if isinstance(value, datetime) else str(value)}


def unpacked(item: dict[str, Any]) -> dict[str, Any]:
    """An item of DynamoDB as values, its key left out"""
    return {name: _unpacked(name, value) for name, value in item.items() if name not in {"pk", "sk"}}


def _unpacked(name: str, value: dict[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    if kind == "NULL":
        return None
    if kind == "N":
        return int(content)
    if name in MOMENTS:
        return datetime.fromisoformat(content)
    return UUID(content) if name in IDENTITIES else content


def key_of(key: Key) -> dict[str, Any]:
    """A key as DynamoDB has it"""
    return packed({"pk": key[0], "sk": key[1]})


def make_client(settings: Settings, seconds: float, attempts: int) -> Any:
    """A client with the credentials of the pod, the host or the environment"""
    return get_session().create_client("dynamodb", region_name=settings.aws_region, config=Config(
        connect_timeout=2, read_timeout=seconds, max_pool_connections=40, user_agent_extra=settings.service_name,
        retries={"total_max_attempts": attempts, "mode": "standard"}))


class Table:
    """The table: every read sees what was written before"""

    def __init__(self, settings: Settings) -> None:
        """Make the clients; nothing is sent yet"""
        self.name = settings.dynamodb_table
        self.client = make_client(settings, settings.db_statement_timeout_seconds, 3)
        self.probe = make_client(settings, 1.5, 1)

    def get(self, key: Key, probe: bool = False) -> dict[str, Any] | None:
        """One item, None where there is none"""
        client = self.probe if probe else self.client
        found = self._call(client.get_item, TableName=self.name, Key=key_of(key), ConsistentRead=True)
        return unpacked(found["Item"]) if "Item" in found else None

    def several(self, keys: Sequence[Key]) -> list[dict[str, Any]]:
        """Those of these items that exist, in any order"""
        found: list[dict[str, Any]] = []
        left = [key_of(key) for key in dict.fromkeys(keys)]
        while left:
            asked, left = left[:MOST_KEYS], left[MOST_KEYS:]
            answer = self._call(self.client.batch_get_item,
                                RequestItems={self.name: {"Keys": asked, "ConsistentRead": True}})
            found += map(unpacked, answer["Responses"].get(self.name, []))
            left += answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
        return found

    def pages(self, partition: str, below: str | None = None, most: int = 200, newest: bool = True,
              **more: Any) -> Iterator[dict[str, Any]]:
        """The answers of a query on one partition, page by page; `below` names a place that none reaches"""
        condition, values = "pk = :pk", {":pk": partition}
        if below is not None:
            condition, values = f"{condition} AND sk < :below", {**values, ":below": below}
        more |= {"KeyConditionExpression": condition, "ExpressionAttributeValues": packed(values), "Limit": most,
                 "ScanIndexForward": not newest, "ConsistentRead": True}
        while True:
            answer = self._call(self.client.query, TableName=self.name, **more)
            yield answer
            if "LastEvaluatedKey" not in answer:
                return
            more["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def put(self, key: Key, row: dict[str, Any]) -> dict[str, Any]:
        """A part of a transaction: an item"""
        return {"Put": {"TableName": self.name, "Item": key_of(key) | packed(row)}}

    def remove(self, key: Key, condition: str = "", **values: Any) -> dict[str, Any]:
        """A part of a transaction: an item goes, if it is there, or where a condition holds"""
        return {"Delete": self._named(key, values, ConditionExpression=condition) if condition else {
            "TableName": self.name, "Key": key_of(key)}}

    def change(self, key: Key, assignments: str, condition: str, **values: Any) -> dict[str, Any]:
        """A part of a transaction: attributes of an item, where a condition holds"""
        return {"Update": self._named(key, values, UpdateExpression=f"SET {assignments}",
                                      ConditionExpression=condition)}

    def _named(self, key: Key, values: dict[str, Any], **expressions: str) -> dict[str, Any]:
        """A write with expressions. Many words are reserved, so each name stands behind a #."""
        names = {name for text in expressions.values() for name in _NAME.findall(text)}
        found = {name: _NAME.sub(r"#\g<0>", text) for name, text in expressions.items()}
        if values:
            found["ExpressionAttributeValues"] = packed({f":{name}": value for name, value in values.items()})
        return {"TableName": self.name, "Key": key_of(key), **found,
                "ExpressionAttributeNames": {f"#{name}": name for name in sorted(names)}}

    def update(self, key: Key, assignments: str, condition: str, **values: Any) -> None:
        """Change an item. Raises Refused where the condition does not hold."""
        self._call(self.client.update_item, **self.change(key, assignments, condition, **values)["Update"])

    def together(self, *parts: dict[str, Any]) -> None:
        """All of these writes or none. Raises Refused where a condition does not hold."""
        self._call(self.client.transact_write_items, TransactItems=list(parts))

    def delete(self, key: Key) -> None:
        """Remove an item, if it is there"""
        self._call(self.client.delete_item, TableName=self.name, Key=key_of(key))

    @staticmethod
    def _call(function: Any, **arguments: Any) -> Any:
        try:
            return function(**arguments)
        except ClientError as error:
            reasons = {each.get("Code") for each in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in reasons or error.response["Error"]["Code"].startswith("ConditionalCheck"):
                raise Refused from error
            raise Unavailable("database") from error
        except BotoCoreError as error:
            raise Unavailable("database") from error
