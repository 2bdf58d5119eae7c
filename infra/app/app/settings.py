# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""What the service is told: names from the environment, secrets from files, nothing from code."""
from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

SHORTEST_API_KEY = 16
SECRETS = Path("/run/secrets")

Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]

# Which settings each engine needs; nobody has to give those of an engine that is not used.
ENGINES = {"database_engine": {"postgresql": ("db_host", "db_name", "db_user", "db_password_file"),
                               "dynamodb": ("dynamodb_table", "aws_region")},
           "search_engine": {"meilisearch": ("meilisearch_url", "meilisearch_key_file"),
                             "opensearch": ("opensearch_url", "aws_region")},
           "object_store": {"s3-compatible": ("s3_endpoint_url", "s3_secret_key_file"), "s3": ("aws_region",)}}


def _used(name: str, chosen: dict[str, Any]) -> bool:
    """Whether a setting is needed by one of the engines that are chosen"""
    return any(name in needed.get(chosen.get(kind), ()) for kind, needed in ENGINES.items())



class Settings(BaseSettings):
    """Each field is read from the environment variable of the same name in capitals.

    The description of a field is the remedy that a person reads when the field is missing or wrong.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, validate_default=True)

    service_name: str = Field("fastapi-app", description="the name that logs and database sessions carry")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")
    host: str = Field("0.0.0.0", description="the address to listen on")
    port: Port = Field(8000, description="the port of the API")
    metrics_port: Port = Field(9091, description="the port of the metrics, for the monitoring network only")
    drain_seconds: float = Field(5, ge=0, le=300,
                                 description="seconds between SIGTERM and closing the door; /readyz is 503 meanwhile")
    shutdown_seconds: Seconds = Field(15, description="seconds that requests in flight have to finish after the "
                                      "door closed")
    # Longer than the two minutes that Caddy keeps an idle connection: whoever closes first, it must not be the server.
    keep_alive_seconds: int = Field(130, ge=1, le=3600, description="seconds that an idle connection stays open")
    trusted_proxies: str = Field("127.0.0.1",
                                 description="addresses whose X-Forwarded-For is believed, separated by commas")

    database_engine: Literal["postgresql", "dynamodb"] = Field("postgresql", description="postgresql or dynamodb")
    search_engine: Literal["meilisearch", "opensearch"] = Field("meilisearch", description="meilisearch or opensearch")
    object_store: Literal["s3-compatible", "s3"] = Field("s3-compatible", description="s3-compatible, with an address "
                                                         "and a key of its own, or s3, with those of AWS")
    aws_region: str | None = Field(None, description="the region of the managed services, such as us-east-1")
    dynamodb_table: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{3,255}$", description="the table of DynamoDB")

    db_host: str | None = Field(None, description="the host name of PostgreSQL, such as postgresql")
    db_port: Port = Field(5432, description="the port of PostgreSQL")
    db_name: str | None = Field(None, description="the name of the database, such as pretamane")
    db_user: str | None = Field(None, description="the database role of the service; it must not be a superuser")
    db_password_file: Path = Field(SECRETS / "postgres_password", description="the file with the password of DB_USER")
    db_pool_min: int = Field(2, ge=0, le=100, description="connections kept open")
    db_pool_max: int = Field(10, ge=1, le=100, description="most connections at one time, at least DB_POOL_MIN")
    db_pool_wait_seconds: Seconds = Field(3, description="seconds that a request waits for a connection")
    db_statement_timeout_seconds: Seconds = Field(5, description="seconds that one statement may take")
    db_allow_superuser: bool = Field(False, description="true only to migrate a database whose one role is a superuser")
    migrate_wait_seconds: Seconds = Field(60, description="seconds that a migration waits for the database and "
                                          "for another one")

    s3_endpoint_url: Url | None = Field(None, description="the object store, such as http://minio:9000")
    s3_bucket: str = Field("documents", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
                           description="the bucket of the documents")
    s3_region: str = Field("us-east-1", description="the region that requests are signed for")
    s3_access_key: str = Field("pretamane", min_length=1, description="the access key of the object store")
    s3_secret_key_file: Path = Field(SECRETS / "object_store_password",
                                     description="the file with the secret of S3_ACCESS_KEY")

    opensearch_index: str = Field("documents", pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$", description="the name of the "
                                  "index")
    opensearch_url: Url | None = Field(None, description="the search engine, such as https://search.example.org")
    opensearch_signed: bool = Field(True, description="false only where OpenSearch asks for no signature of AWS")
    meilisearch_url: Url | None = Field(None, description="the search engine, such as http://meilisearch:7700")
    meilisearch_key_file: Path = Field(SECRETS / "meilisearch_master_key",
                                       description="the file with the key of the search engine")
    meilisearch_index: str = Field("documents", pattern=r"^[A-Za-z0-9_-]{1,100}$", description="the name of the index")
    search_timeout_seconds: Seconds = Field(3, description="seconds that a search may take")

    api_key_file: Path = Field(SECRETS / "api_key",
                               description=f"the file with the keys that callers present, one a line, each of "
                                                                f"{SHORTEST_API_KEY} characters or more")
    caller_rate: float = Field(200, ge=0, le=1e6, description="requests a second that one key may send on average, "
                               "five seconds' worth at once; 0 for no limit")
    stranger_rate: float = Field(20, ge=0, le=1e6, description="requests a second that one address may send on "
                                 "average without an accepted key; 0 for no limit")
    max_upload_bytes: int = Field(20 * 1024 * 1024, ge=1024, le=5 * 1024**3,
                                  description="bytes of the largest document")
    uploads_folder: Path = Field(Path("/data/uploads"),
                                 description="a writable folder for uploads on their way to the object store")
    processed_folder: Path = Field(Path("/data/processed"),
                                   description="a writable folder for the text found in documents")
    audit_folder: Path | None = Field(None, description="a writable folder for a file a day with who did what")
    audit_days: int = Field(90, ge=1, le=3650, description="days that such a file is kept")
    latency_slo_seconds: float = Field(0.5, gt=0, le=60, description="seconds of the latency objective; becomes "
                                       "a bucket of the histogram")

    outbox_poll_seconds: Seconds = Field(1, description="seconds between two looks into the outbox")
    outbox_lease_seconds: Seconds = Field(30,
                                          description="seconds after which work that nobody finished is taken up again")
    outbox_max_delay_seconds: Seconds = Field(60, description="seconds of the longest pause between two tries")

    @field_validator(*{name for needed in ENGINES.values() for names in needed.values() for name in names})
    @classmethod
    def _is_given(cls, value: Any, info: ValidationInfo) -> Any:
        if _used(info.field_name or "", info.data):
            if value is None:
                raise PydanticCustomError("missing", "is not set")
            if isinstance(value, Path):
                secret_lines(value)
        return value

    @field_validator("api_key_file")
    @classmethod
    def _holds_long_keys(cls, path: Path) -> Path:
        if any(len(key) < SHORTEST_API_KEY for key in secret_lines(path)):
            raise ValueError(f"a key in {path} is shorter than {SHORTEST_API_KEY} characters")
        return path

    @field_validator("uploads_folder", "processed_folder", "audit_folder")
    @classmethod
    def _is_writable(cls, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        probe = folder / ".writable"
        try:
            probe.touch()
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(f"{folder} cannot be written to: {error.strerror}") from error
        return folder

    @field_validator("db_pool_max")
    @classmethod
    def _holds_the_minimum(cls, value: int, info: object) -> int:
        if value < info.data.get("db_pool_min", 0):
            raise ValueError("is smaller than DB_POOL_MIN")
        return value


def secret_lines(path: Path) -> list[str]:
    """The lines of a secret file without the empty ones; a ValueError that names the file when there is none"""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    if not (found := [line.strip() for line in lines if line.strip()]):
        raise ValueError(f"{path} is empty")
    return found


def secret(path: Path) -> str:
    """The secret in a file: its first line"""
    return secret_lines(path)[0]


def problems(error: ValidationError) -> list[str]:
    """What is wrong, one line for each variable, with the remedy and without the value"""
    lines = []
    for each in error.errors(include_input=False, include_url=False):
        name = str(each["loc"][0])
        what = "is not set" if each["type"] == "missing" else each["msg"].removeprefix("Value error, ")
        lines.append(f"{name.upper()}: {what}. Set it to {Settings.model_fields[name].description}.")
    return lines


def load() -> Settings:
    """The settings; exit code 2, with one line for each variable that is wrong"""
    try:
        return Settings()
    except ValidationError as error:
        for line in problems(error):
            print(line, file=sys.stderr)
        logging.shutdown()
        raise SystemExit(2) from None
