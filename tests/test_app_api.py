"""The reference application as its callers see it, with a real PostgreSQL and a real S3 server."""
from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import parity
import pytest
from app_server import API_KEY, SIDES, SOURCE, form, until

from pretamane_analysis.emit.targets import probe_targets
from pretamane_analysis.facts.images import facts
from pretamane_analysis.stack.stack import example

CONTACT = {"name": "Ada Lovelace", "email": "ada@example.org", "company": "Engines", "phone": "+44 20 7946 0000",
           "notes": "first\nsecond"}
OPEN = {"/livez", "/readyz"}


def pytest_generate_tests(metafunc):
    """Each test that asks something of a database, a bucket or an index runs on both sides; where the table of
    `make parity` says that it failed, it must fail"""
    if "side" in metafunc.fixturenames:
        known = {} if os.environ.get(parity.RECORDING) else parity.recorded()
        lacking = pytest.mark.xfail(strict=True, reason="this side has not got it: see data/parity.csv")
        metafunc.parametrize("side", [
            pytest.param(side, marks=[] if known.get((metafunc.function.__name__, side), True) else [lacking])
            for side in SIDES], indirect=True, scope="session")



def pdf(words: str) -> bytes:
    """Return a PDF of one page with these words"""
    drawn = f"BT /F1 18 Tf 20 50 Td ({words}) Tj ET".encode()
    parts = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
             b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
             b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
             b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    file, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(file))
        file += b"%d 0 obj%s endobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return file + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        table, len(file))


# Documents

def test_upload_search_fetch(app, platform):
    """What is uploaded is found by its words, comes back byte for byte, and is gone everywhere once deleted"""
    word, content = f"zq{uuid4().hex[:12]}", b"the quick brown fox %s jumps"
    content = content % word.encode()
    made = app.upload(content, name="fox.txt", description="an animal")
    assert made.status == 201 and made.headers["Location"] == f"/documents/{made.json['id']}"
    assert made.json["sha256"] == hashlib.sha256(content).hexdigest() and made.json["size_bytes"] == len(content)
    until(lambda: app.indexed(made.json["id"]), seconds=8)
    found = app.call("GET", f"/documents/search?q={word}").json
    assert [each["id"] for each in found["items"]] == [made.json["id"]] and found["estimated_total"] == 1
    sent = app.call("GET", f"/documents/{made.json['id']}/content")
    assert sent.body == content and sent.headers["Content-Type"] == "application/octet-stream"
    assert sent.headers["Content-Disposition"] == "attachment; filename*=UTF-8''fox.txt"
    assert app.call("GET", f"/documents/{made.json['id']}/content",
                    headers={"If-None-Match": sent.headers["ETag"]}).status == 304
    assert platform.stored(made.json["id"]) == content
    assert app.call("DELETE", f"/documents/{made.json['id']}").status == 204
    assert app.call("DELETE", f"/documents/{made.json['id']}").status == 404
    assert app.call("GET", f"/documents/{made.json['id']}").status == 404
    assert app.call("GET", f"/documents/search?q={word}").json["items"] == []
    until(lambda: platform.stored(made.json["id"]) is None and made.json["id"] not in platform.search.documents())


@pytest.mark.parametrize(("name", "kind", "content", "word"), [
    ("report.pdf", "application/pdf", pdf("quarterly zeppelin report"), "zeppelin"),
    ("page.html", "text/html", b"<html><script>var hiddenword</script><body><p>visible&amp;heliotrope</p>",
     "heliotrope"),
    ("data.json", "application/json", b'{"key": "petrichor"}', "petrichor"),
])
def test_text_is_found_in_each_kind_of_document(app, platform, name, kind, content, word):
    """PDF, HTML and JSON can be searched by the text that a reader sees"""
    made = app.upload(content, name=name, kind=f"{kind}; charset=utf-8")
    assert made.status == 201, made.body
    until(lambda: app.indexed(made.json["id"]))
    assert made.json["id"] in [each["id"] for each in app.call("GET", f"/documents/search?q={word}").json["items"]]
    assert "hiddenword" not in platform.search.documents()[made.json["id"]]["text"]


def test_a_broken_pdf_is_kept_and_found_by_its_name(app):
    """A document whose text cannot be read is a document all the same"""
    made = app.upload(b"%PDF-1.7 nothing that follows is true", name="wreckage.pdf", kind="application/pdf")
    until(lambda: app.indexed(made.json["id"]))
    assert [each["id"] for each in app.call("GET", "/documents/search?q=wreckage").json["items"]] == [made.json["id"]]


@pytest.mark.parametrize(("content", "name", "kind", "status"), [
    (b"MZ\x90", "a.exe", "application/x-msdownload", 415),
    (b"not a picture", "a.png", "image/png", 415),
    (b"zero\x00byte", "a.txt", "text/plain", 415),
    (b"text", "", "text/plain", 422),
    (b"", "empty.txt", "text/plain", 201),
    (b"text", "../../etc/passwd", "text/plain", 201),
    ("ä".encode(), "übergrößenträger ☂.txt", "text/plain", 201),
])
def test_what_an_upload_may_be(app, content, name, kind, status):
    """Kinds are checked against the content, names lose their folders, and odd but honest files are taken"""
    made = app.upload(content, name=name, kind=kind)
    assert made.status == status, made.body
    if status == 201:
        assert made.json["file_name"] == name.rpartition("/")[2]
        assert app.call("GET", f"/documents/{made.json['id']}/content").body == content


def test_a_form_that_is_none_is_refused(app):
    """Neither JSON, nor a form without a file, nor a torn form, nor an unknown contact gets in or breaks anything"""
    body, headers = form(b"text")
    assert app.call("POST", "/documents", {"file": "text"}).status == 415
    assert app.call("POST", "/documents", body.replace(b'name="file"; filename="note.txt"', b'name="file"'),
                    headers).status == 422
    assert app.call("POST", "/documents", body[:60], headers).status in {400, 422}
    assert app.call("POST", "/documents", body, {"Content-Type": "multipart/form-data"}).status == 400
    assert app.upload(b"text", contact_id=str(uuid4())).status == 422
    assert app.upload(b"text", contact_id="none").status == 422
    assert app.upload(b"text", description="a\x00b").status == 422


def test_too_large_is_refused_early(make_app):
    """By the length that is announced, before anything is sent; and by what is sent, where no length is announced"""
    app = make_app(MAX_UPLOAD_BYTES="100000")
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=10)
    connection.putrequest("POST", "/documents")
    for name, value in {"X-API-Key": API_KEY, "Content-Type": "multipart/form-data; boundary=x",
                        "Content-Length": str(10**9)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and json.loads(answer.read())["title"].endswith("Too Large")
    connection.close()

    body, headers = form(b"a" * 400_000)
    pieces = (body[start:start + 20_000] for start in range(0, 220_000, 20_000))
    assert app.call("POST", "/documents", pieces, headers).status == 413
    assert app.upload(b"a" * 100_001).status == 413
    assert app.upload(b"a" * 100_000).status == 201
    assert app.call("POST", "/contacts", CONTACT | {"notes": "n" * 100_000}).status == 413
    assert app.metrics()['uploads_rejected_total{reason="too_large"}'] == 3
    assert list((app.folder / "uploads").iterdir()) == []


def test_memory_stays_bounded_under_large_uploads(make_app, platform):
    """Two documents of 64 MB at once cost a few MB of memory, going in and coming out"""
    app, size = make_app(MAX_UPLOAD_BYTES=str(10**9), OUTBOX_POLL_SECONDS="60"), 64 * 1024 * 1024
    app.upload(b"warm")
    before, content = app.high_water(), b"large " * (size // 6)
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda _: app.upload(content), range(2)))
    assert [each.status for each in made] == [201, 201]
    grown = (app.high_water() - before) / 1024**2
    assert grown < 40, f"{grown:.0f} MB for two uploads of {size / 1024**2:.0f} MB"
    sent = app.call("GET", f"/documents/{made[0].json['id']}/content", timeout=60)
    assert hashlib.sha256(sent.body).hexdigest() == made[0].json["sha256"]
    for each in made:
        app.call("DELETE", f"/documents/{each.json['id']}")
    assert (app.high_water() - before) / 1024**2 < 60


def test_a_wrong_key_of_the_object_store_is_noticed(make_app, platform):
    """The store refuses it; uploads answer 503, readiness names the store, and the bucket's job says what to look at"""
    wrong, down, remedy = platform.wrong_key()
    app = make_app(**wrong)
    ready = app.call("GET", "/readyz")
    assert (ready.status, ready.json["down"]) == (503, down)
    assert app.upload(b"text").status == 503
    job = app.run("-m", "app.bucket_init")
    assert job.returncode == 2 and remedy in job.stdout


# Contacts

def test_contacts(app):
    """Create, fetch, list in pages without gaps or repeats while others are added"""
    made = [app.call("POST", "/contacts", CONTACT | {"name": f"Contact {number}"}) for number in range(7)]
    assert {each.status for each in made} == {201}
    assert app.call("GET", made[0].headers["Location"]).json == made[0].json
    assert app.call("GET", f"/contacts/{uuid4()}").status == 404
    wanted, seen, cursor = [each.json["id"] for each in reversed(made)], [], ""
    while len(seen) < 7:
        page = app.call("GET", f"/contacts?limit=3{cursor}").json
        seen += [each["id"] for each in page["items"]]
        app.call("POST", "/contacts", CONTACT)
        cursor = f"&cursor={page['next']}"
    assert seen[:7] == wanted


@pytest.mark.parametrize("change", [
    {"name": ""}, {"name": "a" * 201}, {"name": "a\x00b"}, {"name": "\ud800"}, {"email": "nobody"}, {"email": "a@b"},
    {"phone": "call me"}, {"notes": "n" * 4001}, {"notes": "\x07"}, {"surprise": 1}, {"name": None}, {"name": ["a"]},
], ids=repr)
def test_a_contact_that_does_not_fit_is_refused(app, change):
    """422 with the place and without what was sent"""
    answer = app.call("POST", "/contacts", CONTACT | change)
    assert answer.status == 422 and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["errors"][0]["where"][:2] == ["body",
                                                     next(iter(change))] and "input" not in answer.json["errors"][0]


def test_values_are_sent_apart_from_statements(app):
    """Text that means something to SQL is text"""
    name = "Robert'); DROP TABLE contacts; -- %s %(name)s */"
    made = app.call("POST", "/contacts", CONTACT | {"name": name})
    assert made.status == 201 and app.call("GET", f"/contacts/{made.json['id']}").json["name"] == name
    assert app.call("GET", "/contacts?cursor=nonsense").status == 422
    assert app.call("GET", "/documents?cursor=MjAyNi0xMS0yMnxub25l").status == 422


def test_the_database_names_the_request(app, platform):
    """Who looks at the database sees which request a statement belongs to"""
    mine = f"asked-{uuid4().hex[:12]}"
    assert app.call("POST", "/contacts", CONTACT, headers={"X-Request-ID": mine}).status == 201
    assert f"request_id='{mine}'" in platform.statements()


# Who may call

def test_every_route_wants_a_key(app):
    """Each route of the API, but for the two of health, is closed to no key and to a wrong one"""
    for path, methods in app.call("GET", "/openapi.json").json["paths"].items():
        for method in methods:
            if path not in OPEN:
                for key in (None, "", "a wrong key of some length", API_KEY[:-1], API_KEY + "x"):
                    answer = app.call(method.upper(), path.replace("{document_id}", str(uuid4())).replace(
                        "{contact_id}", str(uuid4())), key=key)
                    assert answer.status == 401, f"{method} {path} with {key!r}: {answer.status}"


def test_the_routes_of_the_example_are_those_of_its_application(app):
    """What the edge leads to the application exists there; all that it describes has a way in; probes are answered"""
    described = [path for path in app.call("GET", "/openapi.json").json["paths"] if path not in OPEN]
    stack = example()
    name, service = next((name, each) for name, each in stack.services.items() if facts(each.image).build)
    closed = [route.path for route in service.routes if route.auth == "application"]
    for path in closed:
        assert any(f"{each}/".startswith(f"{path}/") for each in described), f"the application has nothing at {path}"
    for each in described:
        assert any(f"{each}/".startswith(f"{path}/") for path in closed), f"no route with a key leads to {each}"
    expected = {"probe-open": 200, "probe-locked": 401}
    jobs = [job for job in probe_targets(stack) if job.job in expected]
    asked = {urlsplit(each.target).path: expected[job.job]
             for job in jobs for each in job.probes if each.service == name}
    assert asked and {path: app.call("GET", path, key=None).status for path in asked} == asked


def test_without_keys_the_service_does_not_start(make_app, platform):
    """A missing, an empty or a short key file: exit code 2 and a line that names the variable"""
    for name, content in {"missing": None, "empty": "\n \n", "short": "short\n"}.items():
        file = platform.folder / f"keys-{name}"
        if content is not None:
            file.write_text(content)
        app = make_app(start=False, API_KEY_FILE=str(file)).start(wait=False)
        until(lambda: app.process.poll() is not None, seconds=20)
        assert app.process.returncode == 2, name
        assert app.output().startswith("API_KEY_FILE: ") and "Traceback" not in app.output()


def test_two_keys_work_while_one_replaces_the_other(make_app, platform):
    """A key file may hold several keys, one a line"""
    file = platform.folder / "keys-two"
    file.write_text(f"{API_KEY}\na second key of a caller\n")
    app = make_app(API_KEY_FILE=str(file))
    assert [app.call("GET", "/contacts", key=key).status
            for key in (API_KEY, "a second key of a caller", "a third key of a caller")] == [200, 200, 401]


def test_keys_are_compared_in_constant_time(source):
    """Whatever is presented, every key is compared, in full, by the function made for it"""
    script = """
import sys, hmac; sys.path.insert(0, sys.argv[1])
calls, real = [], hmac.compare_digest
hmac.compare_digest = lambda a, b: calls.append((len(a), len(b))) or real(a, b)
from app.keys import _digest, accepted
digests = [_digest(key) for key in ("the first key of three", "the second key of three", "the third key of three")]
for given, fits in (("the first key of three", True), ("the third key of three", True), ("x", False), ("\\ud800", False)):
    calls.clear()
    assert accepted(given, digests) is fits, given
    assert calls == [(32, 32)] * 3, calls
"""  # noqa: E501
    done = subprocess.run([sys.executable, "-c", script, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_page_of_another_origin_may_call(app):
    """The service sends no CORS header: which origins may call is the edge's to say"""
    for method in ("GET", "OPTIONS"):
        answer = app.call(method, "/contacts",
                          headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"})
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


# The whole

def test_concurrent_requests_wait_for_a_connection(make_app):
    """Forty callers share two connections; each gets its own answer, none an error"""
    app = make_app(DB_POOL_MIN="1", DB_POOL_MAX="2", DB_POOL_WAIT_SECONDS="10")

    def call(number: int) -> bool:
        made = app.call("POST", "/contacts", CONTACT | {"name": f"Caller {number}"})
        return made.status == 201 and app.call("GET", f"/contacts/{made.json['id']}").json["name"] == f"Caller {number}"

    with ThreadPoolExecutor(40) as threads:
        assert all(threads.map(call, range(120)))


def test_no_request_is_dropped_when_the_service_stops(make_app, platform):
    """Callers that heed /readyz, as the edge does, see no failure; a slow upload that had begun is finished"""
    app, sent, failed, stop, lock = make_app(DRAIN_SECONDS="1"), [], [], threading.Event(), threading.Lock()
    mark = uuid4().hex

    def caller(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
        while not stop.is_set():
            try:
                connection.request("POST", "/contacts", json.dumps(CONTACT | {"company": mark}),
                                   {"X-API-Key": API_KEY, "Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                with lock:
                    (sent if answer.status == 201 else failed).append(answer.status)
            except OSError as error:
                failed.append(error)
                connection.close()

    def probe() -> None:
        while app.call("GET", "/readyz").status == 200:
            stop.wait(0.05)
        stop.set()

    def slow() -> int:
        body, headers = form(b"slow " * 1000)
        parts = (body[start:start + 500] for start in range(0, len(body), 500))

        def dripping():
            for part in parts:
                yield part
                threading.Event().wait(0.2)

        return app.call("POST", "/documents", dripping(), headers).status

    with ThreadPoolExecutor(12) as threads:
        uploading = threads.submit(slow)
        working = [threads.submit(caller, number) for number in range(8)]
        until(lambda: len(sent) > 200)
        probing = threads.submit(probe)
        app.process.terminate()
        for each in (*working, probing):
            each.result(20)
        assert failed == [] and len(sent) > 200
        assert uploading.result(20) == 201 and app.process.wait(20) == 0
    assert platform.contacts_of(mark) == len(sent)


def test_no_input_of_its_own_description_breaks_it(app, tmp_path):
    """Schemathesis, from the OpenAPI document: no 5xx, and every answer is one that the document promises"""
    command = [Path(sys.executable).parent / "schemathesis", "run", f"http://127.0.0.1:{app.port}/openapi.json",
               "--header", f"X-API-Key: {API_KEY}",
               "--checks",
               "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
               "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "20261122", "--no-color",
               "--suppress-health-check", "all", "--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_pages_for_people_need_no_script(app):
    """The first page and the description of the API hold no script and no style, so the strictest policy fits"""
    for path in ("/", "/docs"):
        page = app.call("GET", path, key=None)
        text = page.body.decode()
        assert (page.status == 200 and "<script" not in text and "style" not in text
                and "http" not in text.replace("http-", ""))
    assert "POST /documents" in app.call("GET", "/docs", key=None).body.decode()


# Who asks too often

def test_who_asks_too_often_waits(make_app):
    """Strangers by address, callers by key: 429 with when to come back, and nobody else is kept out"""
    app = make_app(STRANGER_RATE="2", CALLER_RATE="4")
    strangers = [app.call("GET", "/contacts", key=None) for _ in range(15)]
    assert [each.status for each in strangers[:10]] == [401] * 10
    refused = strangers[-1]
    assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["Content-Type"] == "application/problem+json" and refused.headers["X-Request-ID"]
    assert refused.json["status"] == 429
    guesses = [app.call("GET", "/contacts", key=f"a key that somebody guessed {n}").status for n in range(3)]
    assert 429 in guesses, "another key each time is the same address"
    assert app.call("GET", "/contacts").status == 200, "a caller with a key is no stranger"
    assert {app.call("GET", "/readyz", key=None).status for _ in range(40)} == {200}, "checks of health are not counted"
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: app.call("GET", "/contacts?limit=1").status, range(60)))
    assert answers.count(200) >= 15 and {*answers} == {200, 429}
    samples = app.metrics()
    assert samples['rate_limited_total{caller="address"}'] >= 4 and samples['rate_limited_total{caller="key"}'] >= 1
    until(lambda: app.call("GET", "/contacts").status == 200, seconds=5, pause=0.3)


def test_addresses_have_buckets_of_their_own(make_app):
    """What the edge says of a caller's address counts: one that floods does not keep another out; IPv6 by network"""
    app = make_app(STRANGER_RATE="1", TRUSTED_PROXIES="127.0.0.1")

    def ask(address):
        return app.call("GET", "/contacts", key=None, headers={"X-Forwarded-For": address}).status

    assert {ask("198.51.100.7") for _ in range(5)} == {401} and 429 in [ask("198.51.100.7") for _ in range(5)]
    assert ask("198.51.100.8") == 401
    assert 429 in [ask(f"2001:db8::{n}") for n in range(1, 12)] and ask("2001:db8:0:1::1") == 401


def test_buckets_fill_again_and_forget():
    """Ten a second: fifty at once, then one each tenth of a second; the quietest of ten thousand is forgotten"""
    done = subprocess.run([sys.executable, "-c", """
from app.rates import MOST_CALLERS, Buckets
clock = [0.0]
found = Buckets(10, lambda: clock[0])
assert [found.wait("a") == 0 for _ in range(51)] == [True] * 50 + [False]
assert 0.09 < found.wait("a") <= 0.1
clock[0] = 0.1001
assert found.wait("a") == 0 < found.wait("a")
clock[0] = 1000
assert sum(found.wait("a") == 0 for _ in range(60)) == 50
for number in range(MOST_CALLERS + 5):
    found.wait(f"caller {number}")
assert len(found.callers) == MOST_CALLERS and "a" not in found.callers
assert not any(Buckets(0).wait("a") for _ in range(1000))
"""], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
