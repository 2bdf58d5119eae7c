# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The database: a pool that threads may share, bounded in connections, waiting and statement time."""
from __future__ import annotations

from typing import Any

from psycopg import Connection, Cursor
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from .correlation import sql_comment
from .settings import Settings, secret

Pool = ConnectionPool[Connection[DictRow]]


class CommentedCursor(Cursor[DictRow]):
    """A cursor whose statements say which request they belong to"""

    def execute(self, query: Any, params: Any = None, **options: Any) -> CommentedCursor:
        """Run a statement; values are always sent apart from the text"""
        return super().execute(_commented(query, params), params, **options)


def _commented(query: str, params: Any) -> str:
    comment = sql_comment()
    if params is not None:
        comment = comment.replace("%", "%%")  # psycopg reads % as a placeholder only when there are parameters
    return f"{query} {comment}" if comment else query


def conninfo(settings: Settings, **options: Any) -> str:
    """How to connect; a host that vanished is noticed within seconds"""
    return make_conninfo("", host=settings.db_host, port=settings.db_port, dbname=settings.db_name,
                         user=settings.db_user,
                         password=secret(settings.db_password_file), application_name=settings.service_name,
                         connect_timeout=3,
                         keepalives_idle=10, keepalives_interval=3, keepalives_count=3,
                         tcp_user_timeout=10_000, **options)


def make_pool(settings: Settings) -> Pool:
    """The pool, not yet open. A request waits at most DB_POOL_WAIT_SECONDS; the threads are the most that wait."""
    timeout = int(settings.db_statement_timeout_seconds * 1000)
    limits = (f"-c statement_timeout={timeout} -c lock_timeout={timeout} -c "
              f"idle_in_transaction_session_timeout={2 * timeout}")
    return ConnectionPool(
        conninfo(settings, options=limits),
        # The comment makes each text different, so a prepared statement would never be used twice.
        kwargs={"cursor_factory": CommentedCursor, "row_factory": dict_row, "prepare_threshold": None},
        min_size=settings.db_pool_min,
        max_size=settings.db_pool_max,
        timeout=settings.db_pool_wait_seconds,
        max_lifetime=1800,
        reconnect_timeout=5,
        check=ConnectionPool.check_connection,
        name="database",
        open=False,
    )
