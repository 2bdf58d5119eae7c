"""The reference application when what it needs goes away and comes back: really stopped, really started."""
from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from app_server import Platform, S3Server, until
from postgres_server import make_postgres

CONTACT = {"name": "Edsger Dijkstra", "email": "edsger@example.org"}


@pytest.fixture(scope="module")
def fragile():
    """A platform that only these tests use, for they stop its parts"""
    postgres, store = make_postgres(), S3Server()
    made = Platform(postgres, store)
    made.prepare()
    yield made
    made.remove()
    store.remove()
    postgres.remove()


@pytest.fixture(scope="module")
def running(fragile):
    """The application on that platform"""
    made = fragile.app().start()
    yield made
    made.remove()


@pytest.fixture
def fragile_app(fragile, running):
    """The same, with everything in order"""
    fragile.search.failing = fragile.search.failing_tasks = fragile.search.stuck = False
    fragile.search.seen.clear()
    fragile.search.start()
    if running.process.poll() is not None:
        running.start()
    until(lambda: running.call("GET", "/readyz").json["status"] == "ready")
    return running


def delete(fragile, app, ids):
    """Delete documents and wait until the search engine has none of them"""
    for each in ids:
        app.call("DELETE", f"/documents/{each}")
    until(lambda: not {*ids} & {*fragile.search.documents()}, seconds=60)


def ready(app):
    """Status and what is down"""
    answer = app.call("GET", "/readyz")
    return answer.status, answer.json["down"], answer.json["status"]


def test_the_database_goes_and_comes_back(fragile, fragile_app):
    """Ready no more within seconds, alive all the time, requests answered 503 and not 500, back without a restart"""
    fragile.postgres.stop(signal.SIGQUIT)
    until(lambda: ready(fragile_app) == (503, ["database"], "unready"), seconds=6)
    began = time.monotonic()
    refused = fragile_app.call("POST", "/contacts", CONTACT)
    assert refused.status == 503 and refused.json["dependency"] == "database" and refused.headers["Retry-After"]
    assert time.monotonic() - began < 5 and fragile_app.call("GET", "/livez").status == 200
    assert fragile_app.metrics()['dependency_up{dependency="database"}'] == 0
    time.sleep(3)
    fragile.postgres.start()
    until(lambda: ready(fragile_app) == (200, [], "ready"), seconds=15)
    assert fragile_app.call("POST", "/contacts", CONTACT).status == 201
    log = fragile_app.lines()
    assert [line["dependency"] for line in log if line["message"] == "dependency back"] == ["database"]


def test_ready_means_the_database_answers(make_app):
    """A service whose database nobody started is not ready, says which dependency is down, and lives"""
    app = make_app(DB_PORT="1")
    answer = app.call("GET", "/readyz")
    assert (answer.status, answer.json["down"]) == (503, ["database"]) and app.call("GET", "/livez").status == 200


def test_the_object_store_goes_and_comes_back(fragile, fragile_app):
    """Uploads answer 503 and leave nothing behind; contacts go on"""
    fragile.s3.stop()
    until(lambda: ready(fragile_app) == (503, ["object_store"], "unready"), seconds=6)
    assert fragile_app.upload(b"nowhere to go").status == 503
    assert fragile_app.call("POST", "/contacts", CONTACT).status == 201
    assert fragile_app.call("GET", "/documents").json["items"] == []
    fragile.s3.start()
    until(lambda: ready(fragile_app)[0] == 200, seconds=15)
    # The upload that failed is cleared away once it is old enough that nobody can still be at it.
    fragile.postgres.psql("UPDATE documents SET created_at = now() - interval '2 hours'", fragile.name)
    until(lambda: fragile.postgres.psql("SELECT count(*) FROM documents", fragile.name) == "0")
    until(lambda: fragile.postgres.psql("SELECT count(*) FROM outbox", fragile.name) == "0")


def test_search_goes_and_comes_back(fragile, fragile_app):
    """Ready but degraded; uploads work and are found later; searching answers 503; the lag can be seen"""
    fragile.search.stop()
    until(lambda: ready(fragile_app) == (200, [], "degraded"), seconds=6)
    made = [fragile_app.upload(f"catching up {number}".encode()) for number in range(3)]
    assert [each.status for each in made] == [201] * 3
    searched = fragile_app.call("GET", "/documents/search?q=catching")
    assert searched.status == 503 and searched.json["dependency"] == "search"
    until(lambda: (samples := fragile_app.metrics())["outbox_pending"] >= 3 and samples["outbox_oldest_seconds"] > 0.5)
    # Only of these documents and only while nobody listens: a request that a stop or a start cuts off fails otherwise.
    ids = [each.json["id"] for each in made]
    failed = [line for line in fragile_app.lines()
              if line["message"] == "change not carried out" and line["document_id"] in ids]
    assert failed and all("ConnectError" in line["exception"]["stack"] for line in failed)
    fragile.search.start()
    until(lambda: all(fragile_app.indexed(each) for each in ids))
    assert fragile_app.call("GET", "/documents/search?q=catching").json["estimated_total"] == 3
    until(lambda: fragile_app.metrics()["outbox_pending"] == 0)
    delete(fragile, fragile_app, ids)


def test_many_documents_are_indexed_together(fragile, fragile_app):
    """The search engine takes as long for one task of twenty documents as for one of one"""
    fragile.search.failing = True
    made = [fragile_app.upload(f"together {number}".encode()) for number in range(30)]
    assert [each.status for each in made] == [201] * 30
    # Stopped, so that no round is under way that would carry out one by one what it holds as a failed batch.
    fragile_app.stop()
    fragile.search.failing = False
    fragile.search.seen.clear()
    fragile.postgres.psql("UPDATE outbox SET due_at = now()", fragile.name)
    fragile_app.start()
    until(lambda: fragile.postgres.psql("SELECT count(*) FROM outbox", fragile.name) == "0")
    tasks = [path for method, path, _ in fragile.search.seen if method == "PUT" and path.endswith("/documents")]
    assert len(tasks) <= 6, f"{len(tasks)} tasks for 30 documents"
    ids = {each.json["id"] for each in made}
    assert ids <= {*fragile.search.documents()}
    delete(fragile, fragile_app, ids)


def test_a_kill_in_the_middle_of_the_outbox_loses_nothing(fragile, fragile_app):
    """Killed while the search engine works on its changes; the next process takes them up when the lease ends"""
    fragile.search.stuck = True
    made = [fragile_app.upload(f"survivor {number}".encode()).json["id"] for number in range(5)]
    until(lambda: any(path.startswith("/tasks/") for _, path, _ in fragile.search.seen))
    fragile_app.stop(signal.SIGKILL)
    fragile.search.stuck = False
    with_lease = fragile.postgres.psql("SELECT count(*) FROM outbox WHERE attempts > 0", fragile.name)
    assert int(with_lease) > 0
    fragile_app.start()
    until(lambda: all(fragile_app.indexed(each) for each in made))
    until(lambda: fragile.postgres.psql("SELECT count(*) FROM outbox", fragile.name) == "0")
    assert set(made) <= set(fragile.search.documents())


def test_a_change_that_fails_does_not_hold_up_others(fragile, fragile_app):
    """Failures are tried again with growing pauses, and meanwhile others pass"""
    fragile.search.failing_tasks = True
    first = fragile_app.upload(b"fails at first").json["id"]
    until(lambda: int(fragile.postgres.psql(f"SELECT max(attempts) FROM outbox WHERE document_id = '{first}'",
                                            fragile.name) or 0) >= 2)
    fragile.postgres.psql(f"UPDATE outbox SET due_at = now() + interval '1 hour', attempts = attempts + 10 WHERE "
                          f"document_id = '{first}'", fragile.name)
    fragile.search.failing_tasks = False
    second = fragile_app.upload(b"passes").json["id"]
    until(lambda: fragile_app.indexed(second))
    assert not fragile_app.indexed(first)
    fragile.postgres.psql("UPDATE outbox SET due_at = now()", fragile.name)
    until(lambda: fragile_app.indexed(first))


def test_the_index_is_built_again(fragile, fragile_app):
    """After the loss of the index, or when it has what is gone, one command makes it agree with the database"""
    made = [fragile_app.upload(f"rebuilt {number}".encode()).json["id"] for number in range(3)]
    until(lambda: all(fragile_app.indexed(each) for each in made))
    known = set(fragile.search.documents())
    fragile.search.indexes.clear()
    job = fragile_app.run("-m", "app.reindex")
    assert job.returncode == 0 and set(fragile.search.documents()) == known, job.stdout + job.stderr
    fragile.search.documents()
    fragile.search.indexes["documents"]["documents"]["stranger"] = {"id": "stranger", "text": "rebuilt"}
    job = fragile_app.run("-m", "app.reindex")
    assert job.returncode == 0 and set(fragile.search.documents()) == known and '"removed": 1' in job.stdout
    assert len(fragile_app.call("GET", "/documents/search?q=rebuilt").json["items"]) == 3


def test_a_statement_that_waits_too_long_is_ended(make_app, platform):
    """A table that somebody holds locked costs a caller its time limit and a 503, not a thread for ever"""
    app, sql = make_app(DB_STATEMENT_TIMEOUT_SECONDS="0.5"), platform.postgres.psql
    locked = ("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = "
              "'contacts'::regclass")
    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(sql, "BEGIN; LOCK TABLE contacts; SELECT pg_sleep(3); COMMIT;", platform.name)
        until(lambda: sql(locked, platform.name) == "1")
        assert app.call("GET", "/contacts").status == 503 and not holding.done()
        holding.result(10)
    assert app.call("GET", "/contacts").status == 200


def test_a_store_that_hangs_does_not_hang_the_probe(fragile):
    """Something that takes connections and never answers is down within the two seconds that a probe may take"""
    import socket

    silent = socket.create_server(("127.0.0.1", 0), backlog=50)
    port = silent.getsockname()[1]
    app = fragile.app(S3_ENDPOINT_URL=f"http://127.0.0.1:{port}", MEILISEARCH_URL=f"http://127.0.0.1:{port}").start()
    began = time.monotonic()
    assert ready(app) == (503, ["object_store"], "unready") and time.monotonic() - began < 2.9
    assert app.call("GET", "/livez").status == 200
    app.remove()
    threading.Thread(target=silent.close).start()
