"""Back to a moment between two backups, with real servers: exactly the rows of before that moment, on this host and
on a new one; and whoever cannot go there says so."""
from __future__ import annotations

import json
import re
import shutil
import time

import pytest
from backup_host import make_host, make_server
from cheap_restic import cheap_repository
from needed import programs
from postgres_server import PostgresServer
from test_backup_restore import KEY, restic, snapshots

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import example

ROWS = "select count(*) || ' ' || coalesce(max(n), 0) from rows"


def add(server: PostgresServer, upto: int) -> str:
    """More rows, each in a transaction of its own, and a moment after the last one"""
    server.psql(f"do $$ begin for i in (select coalesce(max(n), 0) + 1 from rows)..{upto} loop "
                "insert into rows values (i); commit; end loop; end $$", "pretamane")
    moment = server.psql("select clock_timestamp()")
    time.sleep(0.05)
    return moment


class Place:
    """A host whose log is archived, and moments of its past"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Rows, a backup, rows, the log, rows, an accident, the log"""
    programs("initdb", "pg_basebackup", "restic", "openssl", "flock", "gzip")
    found = Place()
    found.folder = tmp_path_factory.mktemp("moment")
    found.repository, found.server = found.folder / "repository", make_server()
    found.host = make_host(found.folder / "host", found.server, found.repository)
    found.server.psql("create role pretamane login; create database pretamane owner pretamane")
    found.server.psql("create table rows (n int primary key)", "pretamane")
    cheap_repository(found.repository, KEY)
    with (found.host.volume("minio-data") / "large").open("w") as file:
        file.truncate(64 << 20)
    found.before = add(found.server, 100)
    time.sleep(1)
    found.runs = [found.host.run("backup.sh")]
    time.sleep(1)
    found.first = add(found.server, 200)
    found.second = add(found.server, 300)
    found.runs.append(found.host.run("wal.sh"))
    found.server.psql("delete from rows", "pretamane")
    found.runs.append(found.host.run("wal.sh"))
    yield found
    found.host.close()
    found.server.remove()


@pytest.fixture
def fresh(place, tmp_path):
    """A new host with an empty server"""
    server = make_server()
    host = make_host(tmp_path / "new", server, place.repository)
    yield host, server
    host.close()
    server.remove()


def test_the_log_leaves_the_host(place):
    """A backup holds the server's files beside the dump; each run sends what was committed, and says until when"""
    assert [each.returncode for each in place.runs] == [0, 0, 0], [each.stderr for each in place.runs]
    hosts = [each["hostname"] for each in snapshots(place.repository)]
    assert hosts == ["pretamane", "pretamane-postgresql-wal", "pretamane-postgresql-wal"]
    found = place.host.metrics("wal")
    assert found["pretamane_wal_last_run_success"] == 1 and found["pretamane_wal_archive_bytes"] > 1000
    assert 0 <= time.time() - found["pretamane_wal_last_success_timestamp_seconds"] < 120
    # One segment is 16 MiB; what was not written of it costs next to nothing.
    assert found["pretamane_wal_archive_bytes"] < 3 << 20


@pytest.mark.parametrize("when, rows", [("first", "200 200"), ("latest", "0 0")])
def test_a_new_host_goes_to_a_moment(place, fresh, when, rows):
    """Exactly the rows of before it, from the repository alone; at the end of the log they were deleted"""
    host, server = fresh
    done = host.run("restore.sh", "--to-time", getattr(place, when, when))
    assert done.returncode == 0, done.stderr
    assert server.psql(ROWS, "pretamane") == rows
    assert not (host.data / "backup" / "restore").exists()


def test_going_back_needs_no_room_for_objects(place, fresh):
    """They stay as they are, so they are not fetched either"""
    host, server = fresh
    manifest = json.loads(restic(place.repository, "dump", "--host", "pretamane", "latest", "/manifest.json"))
    volumes = sum(each["bytes"] for each in manifest["volumes"].values())
    assert volumes >= 64 << 20
    host.program("df", f"echo {manifest['bytes'] - volumes + 2 * manifest['database_bytes'] + (1 << 30)}")
    done = host.run("restore.sh", "--to-time", place.second)
    assert done.returncode == 0, done.stderr
    assert server.psql(ROWS, "pretamane") == "300 300"


@pytest.mark.parametrize("when, why", [("before", "no backup is older than"), ("2100-01-01", "is not over yet"),
                                       ("half past nonsense", "is no time that date understands")])
def test_where_there_is_no_way_nothing_is_touched(place, when, why):
    """Before the first backup, after now, at no time at all"""
    calls = place.host.engine_folder / "calls"
    calls.write_text("")
    done = place.host.run("restore.sh", "--force", "--to-time", getattr(place, when, when))
    assert done.returncode != 0 and why in done.stderr, done.stderr
    assert " stop " not in calls.read_text()


def test_this_host_goes_back_and_keeps_what_it_had(place):
    """After an accident: what was not sent yet is sent first, the old database stands beside the new one"""
    server = place.server
    moment = add(server, 5)
    server.psql("delete from rows where n > 1", "pretamane")
    objects = place.host.volume("minio-data") / "later"
    objects.write_text("written after the backup")
    done = place.host.run("restore.sh", "--force", "--to-time", moment)
    assert done.returncode == 0, done.stderr
    assert server.psql(ROWS, "pretamane") == "5 5"
    old = server.psql("select datname from pg_database where datname like 'pretamane_before_restore_%'")
    assert server.psql("select count(*) from rows", old) == "1"
    assert objects.read_text() == "written after the backup"


def test_a_log_that_does_not_leave_is_noticed(place):
    """The server cannot write into the archive: the run fails in time, and the moment of the last good one stays"""
    before = place.host.metrics("wal")["pretamane_wal_last_success_timestamp_seconds"]
    place.server.psql("alter system set archive_command = 'false'")
    place.server.psql("select pg_reload_conf()")
    try:
        done = place.host.run("wal.sh", SEGMENT_SECONDS="2")
    finally:
        place.server.psql("alter system reset archive_command")
        place.server.psql("select pg_reload_conf()")
    assert done.returncode != 0
    assert re.search(r"has not archived \w{24} within 2 s: failed \d+ times", done.stderr), done.stderr
    found = place.host.metrics("wal")
    assert found["pretamane_wal_last_run_success"] == 0
    assert found["pretamane_wal_last_success_timestamp_seconds"] == before
    assert place.host.run("wal.sh").returncode == 0


def test_tablespaces_are_refused(place):
    """A copy of the server's files is without them: the backup says so rather than keep one that leads nowhere"""
    folder = place.server.folder / "elsewhere"
    folder.mkdir()
    shutil.chown(folder, place.server.data.owner())
    place.server.psql(f"create tablespace elsewhere location '{folder}'")
    try:
        done = place.host.run("backup.sh")
    finally:
        place.server.psql("drop tablespace elsewhere")
    assert done.returncode != 0 and "postgresql has tablespaces" in done.stderr, done.stderr
    assert place.host.metrics("backup")["pretamane_backup_last_run_success"] == 0


def test_old_log_goes_when_a_backup_has_succeeded(place):
    """What is older than the last backup that is old enough; the history of the server's own files stays whole"""
    archive = place.server.folder / "archive"
    first = min(file.name for file in archive.iterdir())
    assert place.host.run("backup.sh", BASE_AGE="0").returncode == 0
    assert not (archive / first).exists() and any(archive.iterdir())
    assert len((place.host.state / "bases.postgresql").read_text().splitlines()) == 1


def ended(server: PostgresServer) -> str:
    """End the segment of the log that is written now, and wait until it is in the archive: its name"""
    name = server.psql("select pg_logical_emit_message(true, 'test', ''); select pg_walfile_name(pg_switch_wal())")
    name = name.splitlines()[-1]
    deadline = time.monotonic() + 60
    while not (server.folder / "archive" / f"{name}.gz").exists():
        assert time.monotonic() < deadline, name
        time.sleep(0.1)
    return name


def test_a_gap_in_the_log_is_told(place, fresh, tmp_path):
    """A segment never left the host, later ones did: `latest` says from when to when is lost and touches nothing, and
    goes to the gap when it is told to. Where an older snapshot has the segment there is no gap."""
    (host, server), archive = fresh, place.server.folder / "archive"
    assert place.host.run("backup.sh").returncode == 0
    time.sleep(1)
    kept = place.server.psql(ROWS, "pretamane")
    last = ended(place.server)
    add(place.server, 1000)
    lost = ended(place.server)
    add(place.server, 2000)
    shutil.move(archive / f"{lost}.gz", tmp_path)
    assert place.host.run("wal.sh").returncode == 0
    calls = host.engine_folder / "calls"
    calls.write_text("")
    done = host.run("restore.sh", "--to-time", "latest")
    assert done.returncode == 3, done.stderr
    assert f"has a gap after segment {last}: " in done.stderr and "is lost" in done.stderr
    assert f"segment {lost[8:]} of the log of postgresql is in no snapshot" in done.stderr
    assert " stop " not in calls.read_text()
    done = host.run("restore.sh", "--accept-gap", "--to-time", "latest")
    assert done.returncode == 0 and "has a gap after" in done.stderr, done.stderr
    assert server.psql(ROWS, "pretamane") == kept
    drill = place.host.run("restore-drill.sh", DRILL_PARTS="1")
    assert drill.returncode == 1 and "has a gap after" in drill.stderr, drill.stderr
    shutil.move(tmp_path / f"{lost}.gz", archive)
    assert place.host.run("wal.sh").returncode == 0
    (archive / f"{lost}.gz").unlink()
    assert place.host.run("wal.sh").returncode == 0
    done = host.run("restore.sh", "--force", "--to-time", "latest")
    assert done.returncode == 0, done.stderr
    assert server.psql(ROWS, "pretamane") == "2000 2000"


def test_the_log_of_a_new_server_is_not_that_of_the_old_one(place, fresh):
    """Everything is lost, the last backup comes back, the new server's log is sent too, with segments of the same
    names: `latest` follows the old one's to its end"""
    host, server = fresh
    shutil.copytree(place.repository, host.folder / "copy")
    alone = {"RESTIC_REPOSITORY": str(host.folder / "copy")}
    assert place.host.run("backup.sh", **alone).returncode == 0
    time.sleep(1)
    add(place.server, 3000)
    assert place.host.run("wal.sh", **alone).returncode == 0
    done = host.run("restore.sh", **alone)
    assert done.returncode == 0, done.stderr
    while ended(server) <= max(file.name[:24] for file in (place.server.folder / "archive").glob("*.gz")):
        pass
    time.sleep(1)
    assert host.run("wal.sh", **alone).returncode == 0
    done = host.run("restore.sh", "--force", "--to-time", "latest", **alone)
    assert done.returncode == 0, done.stderr
    assert server.psql(ROWS, "pretamane") == "3000 3000"


def without(**changes):
    """The example with some of its operations changed"""
    stack = example()
    return stack.model_copy(update={"operations": stack.operations.model_copy(update=changes)})


@pytest.mark.parametrize("stack", ["off", "no database"])
def test_without_a_log_nothing_of_it_is_emitted(stack):
    """No setting, no volume, no script but the library that others read, no unit, no alert"""
    if stack == "off":
        found = emitted(without(archive_every="off"))
    else:
        text = example()
        volumes = {name: each.model_copy(update={"backup": "none"}) if each.backup == "dump" else each
                   for name, each in text.volumes.items()}
        found = emitted(text.model_copy(update={"volumes": volumes}))
    assert [path for path in found if "wal" in path.rpartition("/")[2]] == ["scripts/lib/wal.sh"]
    whole = "\n".join(text for path, text in found.items() if not path.startswith(("scripts/", "app/")))
    assert "archive_command" not in whole and "pretamane_wal" not in whole and "postgresql-archive" not in whole
    assert "ARCHIVED=()" in found["scripts/lib/stack.sh"]


def test_how_often_is_one_of_a_few():
    """A word that is none of them is refused where it stands"""
    with pytest.raises((PretamaneError, ValueError)):
        type(example().operations).model_validate({"archive_every": "7m"})
