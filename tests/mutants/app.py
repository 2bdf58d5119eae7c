"""Defects of the reference application: only running it shows them. tests/test_app_mutants.py runs each killer on
its mutant."""
from __future__ import annotations

from mutants import Mutant, replaced

APP = "app/app/"
API, SEEN = "behaviour:tests/test_app_api.py::", "behaviour:tests/test_app_observability.py::"
DOWN, JOBS = "behaviour:tests/test_app_outages.py::", "behaviour:tests/test_app_commands.py::"

# Two processes behind the same ports, each with counters of its own.
TWO_WORKERS = '''    import os, socket, socketserver

    socketserver.TCPServer.allow_reuse_port = True
    os.fork()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((given.host, given.port))
    app = make_app(given)
'''

# As psycopg2's SimpleConnectionPool: it hands out what it has and fails when it has no more.
SIMPLE_POOL = '''class SimplePool:
    def __init__(self, *arguments, **options):
        self.pool, self.free = ConnectionPool(*arguments, **options), options["max_size"]
        self.open, self.close, self.get_stats = self.pool.open, self.pool.close, self.pool.get_stats

    def connection(self, **options):
        from contextlib import contextmanager

        @contextmanager
        def given():
            if self.free <= 0:
                raise RuntimeError("connection pool exhausted")
            self.free -= 1
            try:
                with self.pool.connection() as connection:
                    yield connection
            finally:
                self.free += 1

        return given()


def make_pool('''

MUTANTS = [
    Mutant("D38", "the application may be a superuser",
           replaced(f"{APP}migrate.py", "if superuser and not", "if superuser and None and not"),
           f"{JOBS}test_a_superuser_is_refused"),
    Mutant("D38", "a statement may take for ever",
           replaced(f"{APP}database.py", "-c statement_timeout={timeout} -c lock_timeout={timeout} ", ""),
           f"{DOWN}test_a_statement_that_waits_too_long_is_ended"),
    Mutant("D58", "nothing listens on the port of the metrics",
           replaced(f"{APP}main.py", "start_http_server(services.settings.metrics_port", "start_http_server(0"),
           f"{SEEN}test_metrics_are_served_on_a_port_of_their_own"),
    Mutant("D59", "two workers count for themselves",
           lambda files: replaced(f"{APP}__main__.py", ").run()", ").run(sockets=[listener])")(
               replaced(f"{APP}__main__.py", "    app = make_app(given)\n", TWO_WORKERS)(files)),
           f"{SEEN}test_counts_are_exact_and_never_go_back"),
    Mutant("D60", "a crash is not counted",
           lambda files: replaced(f"{APP}middleware.py", "            finally:\n                self._note",
                                  "            if True:\n                self._note")(
                                      replaced(f"{APP}middleware.py", "        except Exception as error:\n",
                                               "        except Exception as error:\n            raise\n")(
                                                   replaced(f"{APP}middleware.py", "            try:\n                "
                                                            "await self._answered(scope, receive, answer)\n",
                                                            "            await self._answered(scope, receive, "
                                                            "answer)\n")(files))),
           f"{SEEN}test_an_exception_is_counted_logged_and_answered"),
    Mutant("D61", "the path as a label", replaced(f"{APP}middleware.py", '    return getattr(scope.get("route"), '
                                                  '"path", "")', '    return scope["path"]'),
           f"{SEEN}test_routes_are_templates"),
    Mutant("D62", "healthy whatever is down",
           replaced(f"{APP}health.py", 'frozenset({"database", "object_store"})', "frozenset()"),
           f"{DOWN}test_ready_means_the_database_answers"),
    Mutant("D63", "no bucket at the latency objective",
           replaced(f"{APP}metrics.py", "{*BUCKETS, latency_slo_seconds}", "{*BUCKETS}"),
           f"{SEEN}test_the_latency_objective_is_a_bucket"),
    Mutant("D56", "no series before the first request",
           replaced(f"{APP}main.py", "    services.metrics.declare(_routes(app))\n", ""),
           f"{SEEN}test_every_series_is_there_from_the_start"),
    Mutant("D75", "extras are dropped", replaced(f"{APP}logs.py", "if name not in _STANDARD:", "if False:"),
           f"{SEEN}test_log_lines_are_whole"),
    Mutant("D75", "tracebacks are dropped",
           replaced(f"{APP}logs.py", "if record.exc_info and record.exc_info[0]:", "if False:"),
           f"{SEEN}test_log_lines_are_whole"),
    Mutant("D75", "any id is taken",
           replaced(f"{APP}correlation.py", 're.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")', 're.compile(r".+")'),
           f"{SEEN}test_an_id_that_is_not_valid_is_replaced"),
    Mutant("D75", "the id is not passed on",
           replaced(f"{APP}correlation.py", "    found = current()\n    return {", "    found = None\n    return {"),
           f"{SEEN}test_an_id_goes_everywhere"),
    Mutant("D75", "the id is not in SQL",
           replaced(f"{APP}database.py", "    comment = sql_comment()", '    comment = ""'),
           f"{SEEN}test_an_id_goes_everywhere"),
    Mutant("D76", "open without keys",
           lambda files: replaced(f"{APP}settings.py", '    if not (found := [', '    if None is (found := [')(
               replaced(f"{APP}keys.py", "    return found\n", "    return found or not digests\n")(files)),
           f"{API}test_without_keys_the_service_does_not_start"),
    Mutant("D76", "keys are compared letter by letter",
           replaced(f"{APP}keys.py", "found |= hmac.compare_digest(digest, each)", "found |= digest == each"),
           f"{API}test_keys_are_compared_in_constant_time"),
    Mutant("D76", "the log has the start of a key",
           replaced(f"{APP}keys.py", "return _digest(given).hex()[:8]", "return given[:8]"),
           f"{SEEN}test_every_line_is_json_and_no_line_has_a_secret"),
    Mutant("D76", "contacts without a key",
           replaced(f"{APP}contacts.py", "dependencies=[Depends(require_api_key)], ", ""),
           f"{API}test_every_route_wants_a_key"),
    Mutant("D76", "any origin may call", replaced(f"{APP}main.py", "    app.add_middleware(Observe", '''    from fastapi.middleware.cors import CORSMiddleware
    app.add_middleware(CORSMiddleware, allow_origin_regex=".*", allow_credentials=True)
    app.add_middleware(Observe'''), f"{API}test_no_page_of_another_origin_may_call"),  # noqa: E501
    Mutant("D77", "uploads are never indexed",
           replaced(f"{APP}postgres.py", "            _enqueue(connection, document_id)\n        return row\n",
                    "        return row\n"),
           f"{API}test_upload_search_fetch"),
    Mutant("D77", "the whole file in memory",
           replaced(f"{APP}documents.py", "upload.file, upload.size, upload.content_type)\n",
                    "upload.file.read(), upload.size, upload.content_type)\n"),
           f"{API}test_memory_stays_bounded_under_large_uploads"),
    Mutant("D78", "a pool that threads exhaust",
           lambda files: replaced(f"{APP}database.py", "    return ConnectionPool(\n", "    return SimplePool(\n")(
               replaced(f"{APP}database.py", "def make_pool(", SIMPLE_POOL)(files)),
           f"{API}test_concurrent_requests_wait_for_a_connection"),
    Mutant("D78", "values in the text of a statement", replaced(f"{APP}postgres.py", '''"INSERT INTO contacts (id, name, email, company, phone, notes) VALUES (%s, %s, %s, %s, %s, %s) RETURNING *",
            (uuid4(), contact["name"], ''', '''f"INSERT INTO contacts (id, name, email, company, phone, notes) VALUES (%s, '{contact['name']}', %s, %s, %s, %s) RETURNING *",
            (uuid4(), '''),  # noqa: E501
           f"{API}test_values_are_sent_apart_from_statements"),
]
