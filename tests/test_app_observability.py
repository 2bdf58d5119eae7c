"""What the reference application tells of itself: ids, logs, metrics."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from uuid import uuid4

import pytest
from app_server import API_KEY, Relay, until

CONTACT = {"name": "Grace Hopper", "email": "grace@example.org"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def logged(app, request_id: str) -> list[dict]:
    """The log lines of one request"""
    return [line for line in app.lines() if line.get("request_id") == request_id]


def broken_document(app, platform) -> str:
    """The id of a document whose content vanished from the object store: asking for it is an error that nobody
    expects"""
    made = app.upload(b"soon gone").json["id"]
    until(lambda: app.indexed(made))
    (platform.s3.folder / platform.bucket / "documents" / made).unlink()
    return made


# One id

def test_an_id_goes_everywhere(make_app, platform):
    """Answer, log, SQL, object store, search: each has the caller's id and trace, the background work too"""
    relay = Relay(platform.s3.port)
    app = make_app(S3_ENDPOINT_URL=relay.url)

    def traced() -> str | None:
        mine = f"caller-{uuid4()}"
        made = app.upload(b"to be traced", headers={"X-Request-ID": mine, "traceparent": TRACE})
        assert made.headers["X-Request-ID"] == mine
        until(lambda: app.indexed(made.json["id"]))
        return mine if any(line["message"] == "change carried out" for line in logged(app, mine)) else None

    mine = until(traced, seconds=40)  # another process on this database may take a change, so try until this one does
    lines = until(lambda: len(found := logged(app, mine)) >= 3 and found)
    assert {"request", "document uploaded", "change carried out"} <= {line["message"] for line in lines}
    assert {line["trace_id"] for line in lines} == {TRACE.split("-")[1]}
    statements = [line for line in platform.postgres.log.read_text().splitlines() if f"request_id='{mine}'" in line]
    assert any("INSERT INTO documents" in line and f"traceparent='{TRACE}'" in line and "route='%2Fdocuments'" in line
               for line in statements)
    heads = re.findall(r"(PUT|GET) (/\S+/documents/\S+) HTTP/1.1\r\n(.*?)\r\n\r\n", relay.text(), re.DOTALL)
    assert {method for method, _, head in heads if f"X-Request-ID: {mine}" in head
            and f"traceparent: {TRACE}" in head} == {"PUT", "GET"}
    relay.close()
    sent = [headers for _, path, headers in platform.search.seen if headers.get("x-request-id") == mine]
    assert sent and {headers["traceparent"] for headers in sent} == {TRACE}


@pytest.mark.parametrize("sent", ["short", "a" * 65, "with space in it", "-leading-dash", "semi;colon;here",
                                  "quote'quote'quote", "*/ DROP TABLE contacts"])
def test_an_id_that_is_not_valid_is_replaced(app, sent):
    """What could not be searched for, or could mean something elsewhere, goes nowhere"""
    answer = app.call("GET", "/contacts",
                      headers={"X-Request-ID": sent, "traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"})
    assert answer.status == 200 and re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
    lines = until(lambda: logged(app, answer.headers["X-Request-ID"]))
    assert lines[0]["trace_id"] != "0" * 32


# Logs

def test_log_lines_are_whole(source, tmp_path):
    """Extras of any kind, tracebacks, stacks, wrong placeholders: one line of JSON each, nothing lost"""
    script = """
import logging, sys, threading; sys.path.insert(0, sys.argv[1])
from app import logs
logs.configure("test", "INFO")
log = logging.getLogger("any")
log.info("with extras", extra={"document": "d1", "level": "mine", "odd": {1, 2}, "number": float("nan"), "key": {(1, 2): 3}})
try:
    {}["missing"]
except KeyError:
    log.exception("it broke\\nover lines")
log.info("%d %d", 1)
log.warning("where", stack_info=True)
threading.Thread(target=lambda: 1 / 0).start()
import warnings; warnings.warn("a warning")
raise SystemError("uncaught")
"""  # noqa: E501
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, tmp_path / "script.py", str(source)], capture_output=True,
                          text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    first, second, third, fourth, thread, warning, uncaught = lines
    assert (first["document"] == "d1" and first["extra_level"] == "mine" and first["level"] == "info"
            and "1, 2" in first["odd"])
    assert second["exception"]["type"] == "builtins.KeyError" and 'raise' not in second["message"]
    assert '{}["missing"]' in second["exception"]["stack"] and second["message"] == "it broke\nover lines"
    assert third["message"].startswith("%d %d") and "stack" in fourth
    assert thread["exception"]["type"] == "builtins.ZeroDivisionError" and "a warning" in warning["message"]
    assert uncaught["level"] == "critical" and done.returncode == 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["time"]) and line["service"] == "test" for line in lines)


def test_every_line_is_json_and_no_line_has_a_secret(app, platform):
    """The whole log of the application under test, its start included"""
    app.call("GET", "/contacts")
    app.call("GET", "/contacts?name=secret-in-query", key=API_KEY[:-3] + "xyz")
    lines = app.lines()
    assert len(lines) > 3 and all({"time", "level", "message", "logger", "service", "version"} <= line.keys()
                                  for line in lines)
    text = app.output()
    for file in platform.folder.iterdir():
        for secret in filter(None, map(str.strip, file.read_text().split("\n"))):
            assert secret[:8] not in text, f"part of a secret of {file.name}"
    assert "secret-in-query" not in text


def test_who_did_what_is_kept(make_app, tmp_path):
    """Each change and each download: action, document, request and the mark of the key, in a file of the day"""
    app = make_app(AUDIT_FOLDER=str(tmp_path), LOG_LEVEL="ERROR")
    (tmp_path / "audit-2020-01-01.jsonl").touch()
    made = app.upload(b"audited")
    app.call("GET", f"/documents/{made.json['id']}/content")
    app.call("DELETE", f"/documents/{made.json['id']}")
    (file,) = tmp_path.glob("audit-*.jsonl")
    notes = [json.loads(line) for line in file.read_text().splitlines()]
    assert [note["message"] for note in notes] == ["document uploaded", "document downloaded", "document deleted"]
    assert {note["document_id"] for note in notes} == {made.json["id"]} and len({note["caller"] for note in notes}) == 1
    assert notes[0]["request_id"] == made.headers["X-Request-ID"]


# Metrics

def test_metrics_are_served_on_a_port_of_their_own(app):
    """The port is open from the start and the API has no such route"""
    samples = app.metrics()
    assert samples['app_info{version="0.1.0"}'] == 1 and samples["process_resident_memory_bytes"] > 0
    assert app.call("GET", "/metrics").status == 404


def test_every_series_is_there_from_the_start(make_app):
    """Each route has its four classes at 0, so that the first error is an increase and no error is a 0"""
    app = make_app()
    samples = app.metrics()
    for path, methods in app.call("GET", "/openapi.json").json["paths"].items():
        for method in methods:
            for status in ("2xx", "3xx", "4xx", "5xx"):
                name = f'http_requests_total{{method="{method.upper()}",route="{path}",status_class="{status}"}}'
                assert samples.get(name, -1) >= 0, name
            assert f'http_request_duration_seconds_count{{method="{method.upper()}",route="{path}"}}' in samples
    for name in ("documents_uploaded_total", "documents_uploaded_bytes_total", "documents_deleted_total",
                 "contacts_created_total", 'searches_total{outcome="error"}', 'auth_failures_total{reason="missing"}'):
        assert samples[name] == 0, name
    # The database is shared with other tests, whose last changes may be on their way.
    until(lambda: app.metrics()["outbox_pending"] == app.metrics()["outbox_oldest_seconds"] == 0)


def test_counts_are_exact_and_never_go_back(app):
    """Twenty requests are twenty more in each of eight scrapes: one process counts, whoever asks"""
    name = 'http_requests_total{method="GET",route="/contacts",status_class="2xx"}'
    before = app.metrics()[name]
    for _ in range(20):
        app.call("GET", "/contacts")
    until(lambda: app.metrics()[name] > before)
    assert [app.metrics()[name] - before for _ in range(8)] == [20] * 8


def test_routes_are_templates(app):
    """Twenty ids make no twenty series; what matches no route is one series; a strange method is OTHER"""
    before = app.metrics()
    for number in range(20):
        app.call("GET", f"/documents/{uuid4()}")
        app.call("GET", f"/nowhere/{number}")
    app.call("BREW", "/contacts")
    after = app.metrics()
    new = {name for name in after if name.startswith("http_requests_total") and name not in before}
    assert all("OTHER" in name for name in new), new
    missing = 'http_requests_total{method="GET",route="/documents/{document_id}",status_class="4xx"}'
    unmatched = 'http_requests_total{method="GET",route="unmatched",status_class="4xx"}'
    assert after[missing] - before[missing] == 20 and after[unmatched] - before[unmatched] == 20


def test_an_exception_is_counted_logged_and_answered(app, platform):
    """A crash is a 5xx for the metrics too; the log has the traceback; the caller learns the request's id and
    nothing else"""
    made, name = broken_document(
        app, platform), 'http_requests_total{method="GET",route="/documents/{document_id}/content",status_class="5xx"}'
    before = app.metrics()
    answers = []
    while sum(answer.status == 500 for answer in answers) < 3 and len(answers) < 12:  # 503 where the store is too busy
        answers.append(app.call("GET", f"/documents/{made}/content"))
    assert {answer.status for answer in answers} <= {500, 503}
    failed = [answer for answer in answers if answer.status == 500]
    assert failed[0].headers["Content-Type"] == "application/problem+json"
    assert (failed[0].json["request_id"] == failed[0].headers["X-Request-ID"]
            and "RuntimeError" not in failed[0].body.decode())
    after = until(lambda: (samples := app.metrics())[name] - before[name] == len(answers) and samples)
    crashed = 'http_exceptions_total{exception="RuntimeError",route="/documents/{document_id}/content"}'
    assert after[crashed] - before.get(crashed, 0) == 3
    (failure,) = [line for line in logged(app, failed[0].headers["X-Request-ID"]) if "exception" in line]
    assert ("get_content" in failure["exception"]["stack"]
            and "is missing in the object store" in failure["exception"]["message"])


def test_the_latency_objective_is_a_bucket(make_app):
    """The share of requests under the objective can be computed, whatever the objective is"""
    app = make_app(LATENCY_SLO_SECONDS="0.3")
    samples = app.metrics()
    assert 'http_request_duration_seconds_bucket{le="0.3",method="GET",route="/contacts"}' in samples
    assert 'http_request_duration_seconds_bucket{le="0.5",method="GET",route="/contacts"}' in samples
    assert samples["app_latency_slo_seconds"] == 0.3


def test_the_business_is_counted(app):
    """Contacts, documents, bytes, searches by outcome"""
    before, word = app.metrics(), f"zx{uuid4().hex[:10]}"
    app.call("POST", "/contacts", CONTACT)
    made = app.upload(word.encode()).json["id"]
    until(lambda: app.indexed(made))
    for query in (word, "nothing-has-this-word"):
        app.call("GET", f"/documents/search?q={query}")
    app.call("GET", f"/documents/{made}/content")
    app.call("GET", "/contacts", key=None)
    app.call("DELETE", f"/documents/{made}")
    after = app.metrics()
    grown = {name: after[name] - before[name] for name in (
        "contacts_created_total", "documents_uploaded_total", "documents_uploaded_bytes_total",
        "documents_downloaded_bytes_total",
        "documents_deleted_total", 'searches_total{outcome="found"}', 'searches_total{outcome="nothing"}',
        'auth_failures_total{reason="missing"}')}
    assert list(grown.values()) == [1, 1, len(word), len(word), 1, 1, 1, 1], grown
