"""Backup, drill and restore with real PostgreSQL and restic: what was saved comes back, and what fails says so
(BR1-BR6)."""
from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from backup_host import (
    HASHES,
    PASSWORDS,
    SEED,
    attributes,
    fill_objects,
    grafana,
    make_host,
    make_server,
)
from cheap_restic import cheap_repository, cheapen_bucket
from needed import programs

KEY = "the key of this test"
AUDIT = '{"event": "document deleted", "actor": "ကျော်"}\n'


def restic(repository: Path, *arguments: str) -> str:
    """Run restic on a repository of these tests"""
    return subprocess.run(["restic", "-r", repository, "--no-cache", *arguments],
                          env=os.environ | {"RESTIC_PASSWORD": KEY}, capture_output=True, text=True, check=True).stdout


def snapshots(repository: Path) -> list[dict]:
    """All snapshots, oldest first"""
    return json.loads(restic(repository, "snapshots", "--json"))


class Place:
    """The host that is backed up, its server, and what was in it when the first backup was made"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A host with data and one backup"""
    programs("initdb", "restic", "pg_dump", "openssl", "flock")
    found = Place()
    found.folder = tmp_path_factory.mktemp("backup")
    found.repository = found.folder / "repository"
    found.server = make_server()
    found.host = make_host(found.folder / "host", found.server, found.repository)
    found.server.psql(SEED)
    fill_objects(found.host.volume("minio-data"))
    (found.host.volume("logs-data") / "audit.jsonl").write_text(AUDIT)
    (found.host.volume("postgres-data") / "files").write_bytes(bytes(9 << 20))  # the server's own are elsewhere
    found.grafana = grafana(found.host)
    cheap_repository(found.repository, KEY)
    found.done = found.host.run("backup.sh")
    found.hashes = found.server.psql(HASHES, "pretamane")
    found.objects = attributes(found.host.volume("minio-data"))
    yield found
    found.grafana.close()
    found.host.close()
    found.server.remove()


@pytest.fixture
def fresh(place, tmp_path):
    """A new host with an empty server: all it shares with the old one is the release, the secrets and the repository"""
    server = make_server()
    host = make_host(tmp_path / "new", server, place.repository)
    yield host, server
    host.close()
    server.remove()


# BR1, BR6: what was saved comes back, on a host that never saw it

def test_a_backup_says_that_it_succeeded(place):
    """Exit code, metrics, one snapshot, nothing left on the disk, no service touched"""
    assert place.done.returncode == 0, place.done.stderr
    metrics = place.host.metrics("backup")
    assert metrics["pretamane_backup_last_run_success"] == 1
    assert abs(metrics["pretamane_backup_last_success_timestamp_seconds"] - time.time()) < 120
    assert metrics["pretamane_backup_bytes"] > 100_000 and metrics["pretamane_backup_added_bytes"] > 0
    assert (place.host.metrics_folder / "backup.prom").stat().st_mode & 0o777 == 0o644
    assert len(snapshots(place.repository)) == 1
    assert not (place.host.data / "backup" / "staging").exists()
    calls = (place.host.engine_folder / "calls").read_text()
    assert not any(f" {verb} " in calls for verb in ("stop", "down", "rm", "kill", "restart", "pause"))


def test_a_new_host_gets_everything_back(place, fresh):
    """Rows, large objects, sequences, roles, rights, files with their attributes; today's passwords open the
    database"""
    host, server = fresh
    done = host.run("restore.sh")
    assert done.returncode == 0, done.stderr
    assert server.psql(HASHES, "pretamane") == place.hashes
    assert attributes(host.volume("minio-data")) == place.objects
    before = int(server.psql("select max(id) from contacts", "pretamane"))
    assert int(server.psql("insert into contacts (name) values ('new') returning id", "pretamane")) == before + 1
    assert server.psql("select nextval('down')", "pretamane") == "993"
    assert server.psql("select pg_has_role('pretamane', 'readers', 'member'), count(*) from pg_extension where "
                       "extname = 'uuid-ossp'") == "t|0"
    assert server.psql("select count(*) from pg_extension where extname = 'uuid-ossp'", "pretamane") == "1"
    for role, secret in (("pretamane", "postgres_password"), ("postgres", "postgres_superuser_password")):
        login = subprocess.run(["psql", "-X", "-h", "127.0.0.1", "-p", str(server.port), "-U", role, "-d", "pretamane",
                                "-c", "select 1"],
                               env=os.environ | {"PGPASSWORD": PASSWORDS[secret]}, capture_output=True,
                               text=True, check=False)
        assert login.returncode == 0, login.stderr
    with sqlite3.connect(host.volume("grafana-data") / "grafana.db") as database:
        assert database.execute("select count(*), min(theme) from preferences").fetchone() == (100, "dark")
    assert (host.volume("grafana-data") / "plugins" / "note.txt").read_text() == "kept"
    assert not (host.data / "backup" / "restore").exists()


def test_a_restore_asks_for_room_before_it_touches_anything(place, fresh):
    """What it fetches, the databases beside those that are there, and the log of that: with a byte less it ends, and
    nothing was stopped; with that much it goes through"""
    host, server = fresh
    manifest = json.loads(restic(place.repository, "dump", "--host", "pretamane", "latest", "/manifest.json"))
    assert manifest["database_bytes"] >= 9 << 20
    room = manifest["bytes"] + 2 * manifest["database_bytes"] + (1 << 30)
    calls = host.engine_folder / "calls"
    calls.write_text("")
    host.program("df", f"echo {room - 1}")
    done = host.run("restore.sh", "--force")
    assert done.returncode == 1 and "and 1024 to spare" in done.stderr, done.stderr
    assert " stop " not in calls.read_text() and not list((host.data / "backup").rglob("*.dump"))
    host.program("df", f"echo {room}")
    done = host.run("restore.sh", "--force")
    assert done.returncode == 0, done.stderr
    assert server.psql(HASHES, "pretamane") == place.hashes


def test_the_audit_trail_comes_back_while_the_application_is_stopped(place, fresh):
    """Its volume belongs to a service with two colors: both are stopped before, and no store is started by its name"""
    host, _ = fresh
    done = host.run("restore.sh")
    assert done.returncode == 0, done.stderr
    assert (host.volume("logs-data") / "audit.jsonl").read_text() == AUDIT
    calls = (host.engine_folder / "calls").read_text().splitlines()
    stores, = [call for call in calls if " --no-deps postgresql " in call and " --wait " in call]
    assert "fastapi-app" not in stores
    assert [call for call in calls if call.endswith("stop --timeout 60 fastapi-app-blue fastapi-app-green")]


def test_a_restore_refuses_what_is_not_empty_and_force_keeps_it(place, fresh):
    """Rows or objects stop it before anything changes; --force moves them aside"""
    host, server = fresh
    server.psql("create database pretamane")
    server.psql("create table schema_migrations (version int); insert into schema_migrations values (1); create "
                "table contacts (id int)", "pretamane")
    (host.volume("minio-data") / "documents").mkdir()
    (host.volume("minio-data") / ".sys").mkdir()
    (host.volume("minio-data") / ".sys" / "format.json").write_text("{}")
    server.psql("insert into contacts values (7)", "pretamane")
    refused = host.run("restore.sh")
    assert refused.returncode != 0 and "has rows in" in refused.stderr and "--force" in refused.stderr
    assert server.psql("select id from contacts", "pretamane") == "7"
    server.psql("delete from contacts", "pretamane")  # as a first start leaves it: bookkeeping and empty tables
    (host.volume("minio-data") / "documents" / "mine").write_text("mine")
    refused = host.run("restore.sh")
    assert refused.returncode != 0 and "minio-data is not empty" in refused.stderr
    server.psql("insert into contacts values (7)", "pretamane")
    done = host.run("restore.sh", "--force")
    assert done.returncode == 0, done.stderr
    assert server.psql(HASHES, "pretamane") == place.hashes
    old = server.psql("select datname from pg_database where datname like 'pretamane_before_restore_%'")
    assert server.psql("select id from contacts", old) == "7"
    kept = [path.read_text() for path in host.data.glob("backup/replaced-*/minio-data/documents/mine")]
    assert kept == ["mine"]


def test_the_repository_in_a_bucket_is_made_once_and_missed_when_it_is_gone(place, tmp_path, monkeypatch):
    """S3: the first backup makes the repository, a drill reads it; where it vanished, no empty one takes its place"""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = {"RESTIC_REPOSITORY": f"s3:{url}/bucket/backups", "STATE_DIR": str(tmp_path / "state"),
                   "METRICS_DIR": str(tmp_path / "metrics"), **credentials}
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    try:
        import boto3
        store = boto3.client("s3", endpoint_url=url)
        store.create_bucket(Bucket="bucket")
        for script in ("backup.sh", "restore-drill.sh"):
            done = place.host.run(script, **environment, DRILL_PARTS="1")
            assert done.returncode == 0, done.stderr
            if script == "backup.sh":
                cheapen_bucket(store, "bucket", "backups", KEY)
        names = {each["Key"] for each in store.list_objects_v2(Bucket="bucket")["Contents"]}
        assert "backups/config" in names and any(name.startswith("backups/snapshots/") for name in names)
        assert not any(name.startswith("backups/locks/") for name in names)
        for name in names:
            store.delete_object(Bucket="bucket", Key=name)
        gone = place.host.run("backup.sh", **environment)
        assert gone.returncode != 0 and "cannot be opened" in gone.stderr
        assert "Contents" not in store.list_objects_v2(Bucket="bucket")
    finally:
        server.stop()


# BR2: services go on

def test_writes_go_on_during_a_backup_and_it_is_still_of_one_moment(place):
    """No write fails; the dump and its fingerprint are of the same moment, as the drill proves"""
    ended, written, errors = threading.Event(), [0], []
    live = place.host.volume("minio-data") / "documents"

    def write():
        while not ended.is_set():
            try:
                place.server.psql("insert into contacts (name) values ('during'); delete from events where at "
                                  "< '2025-12-20'; "
                                  "insert into events values ('2025-12-10', 'again'); select lo_from_bytea(0, 'x')",
                                  "pretamane")
                place.grafana.execute("insert into preferences (theme) values ('during')")
                (live / "new.part").write_text(str(written))
                (live / "new.part").rename(live / f"new-{written[0] % 5}")
                (live / f"new-{random.randrange(5)}").unlink(missing_ok=True)
                written[0] += 1
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        done = place.host.run("backup.sh")
        during = written[0]
    finally:
        ended.set()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert not errors and during >= 5
    drill = place.host.run("restore-drill.sh", DRILL_PARTS="1")
    assert drill.returncode == 0, drill.stderr
    metrics = place.host.metrics("drill")
    assert metrics["pretamane_drill_last_run_success"] == 1
    assert (metrics["pretamane_drill_last_success_timestamp_seconds"]
            >= metrics["pretamane_drill_snapshot_timestamp_seconds"] > 0)
    assert not list(place.host.engine_folder.glob("scratch-*")), "the scratch server is still there"


# BR3: what fails says so, and takes nothing with it

def without(tool: str, folder: Path) -> str:
    """A PATH on which one tool is not"""
    folder.mkdir()
    for each in "/usr/sbin:/usr/bin:/sbin:/bin".split(":"):
        for file in Path(each).iterdir():
            if file.name != tool and not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
    return str(folder)


@pytest.mark.parametrize("fault", ["tool", "room", "disk", "file limit", "database", "store", "volume",
                                   "half a snapshot", "other repository", "killed"])
def test_a_fault_fails_the_backup_and_nothing_else(place, tmp_path, fault):
    """Exit code and metric say it, the last success stays, the old snapshots stay, no service was touched"""
    host, before = place.host, snapshots(place.repository)
    success = host.metrics("backup")["pretamane_backup_last_success_timestamp_seconds"]
    (host.engine_folder / "calls").write_text("")
    command, environment, mounted = host.command("backup.sh"), {}, None
    if fault == "tool":
        environment = {"PATH": f"{host.folder / 'bin'}:{without('restic', tmp_path / 'path')}"}
    elif fault == "room":
        environment = {"SPARE_MIB": str(2 ** 40)}
    elif fault == "disk":
        mounted = tmp_path / "small"
        mounted.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", mounted], capture_output=True,
                          check=False).returncode:
            pytest.skip("allowed: no file system can be mounted here; the limit on the size of files stands for "
                        "a full disk")
        environment = {"STAGING": f"{mounted}/staging"}
    elif fault == "file limit":
        command = ["bash", "-c", 'ulimit -f 32; exec "$0" "$@"', *command]
    elif fault == "database":
        place.server.stop()
    elif fault == "store":
        environment = {"RESTIC_REPOSITORY": "s3:http://127.0.0.1:9/nowhere", "REPOSITORY_SECONDS": "2",
                       "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    elif fault == "volume":
        host.volume("minio-data").rename(tmp_path / "away")
    elif fault == "half a snapshot":
        real = shutil.which("restic")
        (tmp_path / "restic").write_text(f'#!/bin/sh\n{real} "$@" || exit\ncase "$1" in backup) exit 3 ;; esac\n')
        (tmp_path / "restic").chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{host.environment['PATH']}"}
    elif fault == "other repository":
        restic(tmp_path / "other", "init")
        environment = {"RESTIC_REPOSITORY": str(tmp_path / "other")}
    elif fault == "killed":
        command = ["timeout", "--signal", "TERM", "0.4", *command]
    try:
        done = subprocess.run(command, env=os.environ | host.environment | environment, capture_output=True, text=True,
                              timeout=60, check=False)
    finally:
        if mounted:
            subprocess.run(["umount", mounted], check=True)
        if fault == "database":
            place.server.start()
        if fault == "volume":
            (tmp_path / "away").rename(host.engine_folder / "volumes" / "pretamane_minio-data" / "_data")
    assert done.returncode != 0, done.stderr
    assert fault != "room" or "MiB are free on" in done.stderr and "step databases" not in done.stderr
    metrics = host.metrics("backup")
    assert metrics["pretamane_backup_last_run_success"] == 0, done.stderr
    assert metrics["pretamane_backup_last_success_timestamp_seconds"] == success
    assert [each["id"] for each in snapshots(place.repository)] == [each["id"] for each in before]
    assert not (host.data / "backup" / "staging").exists()
    assert all(" exec " in call
               or call.startswith("volume inspect") for call in (host.engine_folder / "calls").read_text().splitlines())


def test_a_second_backup_at_once_is_refused_and_changes_no_metric(place):
    """The lock, and nothing that looks like a failure"""
    before = (place.host.metrics_folder / "backup.prom").read_text()
    with (place.host.state / "backup.lock").open("w") as lock:
        subprocess.run(["flock", "-n", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
        done = place.host.run("backup.sh")
    assert done.returncode == 75 and "another backup is at work" in done.stderr
    assert (place.host.metrics_folder / "backup.prom").read_text() == before


def test_the_key_is_shown_on_a_terminal_only(place):
    """A log never holds it"""
    done = place.host.run("backup.sh", "--print-key")
    assert done.returncode != 0 and KEY not in done.stdout + done.stderr
    import pty
    shown = []
    os.environ.update(place.host.environment)
    try:
        assert pty.spawn(place.host.command("backup.sh", "--print-key"),
                         lambda fd: shown.append(os.read(fd, 1024)) or shown[-1]) == 0
    finally:
        for name in place.host.environment:
            if name != "PATH" and name != "HOME":
                os.environ.pop(name, None)
    assert KEY.encode() in b"".join(shown)


# BR4: a repository that rots

@pytest.mark.parametrize("fault", ["bit", "manifest", "object", "room", "old"])
def test_the_drill_fails_for_a_backup_that_cannot_be_trusted(place, tmp_path, fault):
    """A flipped bit, a fingerprint that does not fit, an object that is another, no room to look, a backup that is too
    old"""
    copy = tmp_path / "repository"
    shutil.copytree(place.repository, copy)
    environment = {"RESTIC_REPOSITORY": str(copy), "DRILL_PARTS": "1"}
    if fault == "bit":
        pack = max((file for file in (copy / "data").rglob("*") if file.is_file()),
                   key=lambda file: file.stat().st_size)
        content = bytearray(pack.read_bytes())
        content[len(content) // 3] ^= 1
        pack.chmod(0o644)
        pack.write_bytes(content)
    elif fault == "room":
        environment["SPARE_MIB"] = str(2 ** 40)
    elif fault == "object":
        work = tmp_path / "work"
        restic(copy, "restore", "--host", "pretamane", "latest", "--target", str(work))
        (work / "volumes/minio-data/documents/a.pdf").write_text("b" * 5000)
        subprocess.run(["restic", "-r", copy, "--no-cache", "backup", "--quiet", "--host", "pretamane", "."],
                       cwd=work, env=os.environ | {"RESTIC_PASSWORD": KEY}, check=True)
    elif fault == "manifest":
        work = tmp_path / "work"
        restic(copy, "restore", "--host", "pretamane", "latest", "--target", str(work))
        file, = work.rglob("databases.json")
        text = json.loads(file.read_text())
        text["databases"]["pretamane"]["tables"]['"public"."contacts"']["rows"] += 1
        file.write_text(json.dumps(text))
        manifest, = work.rglob("manifest.json")
        facts = json.loads(manifest.read_text())
        path = str(file.relative_to(manifest.parent / "databases"))
        facts["dumps"][path] = {"bytes": file.stat().st_size,
                                "sha256": subprocess.run(["sha256sum", file], capture_output=True, text=True,
                                                         check=True).stdout.split()[0]}
        manifest.write_text(json.dumps(facts))
        subprocess.run(["restic", "-r", copy, "--no-cache", "backup", "--quiet", "--host", "pretamane", "."],
                       cwd=manifest.parent, env=os.environ | {"RESTIC_PASSWORD": KEY}, check=True)
    else:
        environment["DRILL_MAX_AGE"] = "0"
        time.sleep(1)
    done = place.host.run("restore-drill.sh", **environment)
    assert done.returncode != 0
    assert {"bit": "repository contains errors", "manifest": "in the backup", "object": "volumes/minio-data: ",
            "room": "MiB are free on", "old": "is older than"}[fault] in done.stderr, done.stderr
    assert place.host.metrics("drill")["pretamane_drill_last_run_success"] == 0
    assert not list(place.host.engine_folder.glob("scratch-*"))


# BR5: retention

def kept(days: list[datetime], daily: int, weekly: int, monthly: int) -> list[datetime]:
    """What the policy keeps, told again: the last backup of each of the newest so many days, weeks and months"""
    found = set()
    for limit, bucket in ((daily, "%Y-%m-%d"), (weekly, "%G-%V"), (monthly, "%Y-%m")):
        seen = []
        for day in sorted(days, reverse=True):
            if (name := day.strftime(bucket)) not in seen and len(seen) < limit:
                seen.append(name)
                found.add(day)
    return sorted(found)


def test_after_a_hundred_days_exactly_the_policy_is_left(place, tmp_path):
    """One backup a day, the scripts' own retention every ten days, a second backup on some days"""
    repository, first = tmp_path / "repository", datetime(2026, 8, 15, 3, 15)
    cheap_repository(repository, KEY)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("x")
    script = place.host.root / "current" / "scripts" / "lib"
    retain = f'. {script}/common.sh; . {script}/repository.sh; retain'
    def save(moment: datetime) -> None:
        restic(repository, "backup", "--quiet", "--host", "pretamane", "--time", f"{moment:%Y-%m-%d %H:%M:%S}",
               str(tmp_path / "data"))

    left = []
    for ten in range(0, 100, 10):
        moments = [first + timedelta(days=day) for day in range(ten, ten + 10)]
        moments += [first + timedelta(days=day, hours=9) for day in range(ten, ten + 10) if day % 33 == 0]
        with ThreadPoolExecutor(len(moments)) as at_once:  # each waits for others' locks, a quarter of a second
            list(at_once.map(save, moments))
        done = subprocess.run(["bash", "-c", retain],
                              env=os.environ | place.host.environment | {"RESTIC_REPOSITORY": str(repository)},
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        left = kept(left + moments, 7, 5, 12)
    found = sorted(datetime.fromisoformat(each["time"][:19]) for each in snapshots(repository))
    assert found == left
    assert len(found) == 7 + 4 + 3  # the newest week and month are in the newest days already
