"""A backup while users work, everything lost, everything back; and a backup that was changed is noticed."""
from __future__ import annotations

import json
import re
import time
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from engine import patience
from images import ROOT
from stage import Clients, settle
from test_1_up import LONG_RUNNING
from watch import asked

REPOSITORY = {"RESTIC_REPOSITORY": "s3:http://127.0.0.1:5055/backups/backups"}
ROWS = ("SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM (SELECT 'c', to_jsonb(contacts)::text "
        "FROM contacts "
        "UNION ALL SELECT 'd', (to_jsonb(documents) - 'indexed_at')::text FROM documents) AS t")


def rows(stage):
    """One hash over all that the application keeps in its database"""
    return stage.run("docker", "exec", "pretamane-postgresql-1", "psql", "-U", "postgres", "-d", "pretamane", "-Atc",
                     ROWS).stdout.strip()


def objects(stage):
    """Hash by name of what is in the object store"""
    folder = stage.run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}",
                       "pretamane_minio-data").stdout.strip()
    root = stage.path(folder)
    return {str(each.relative_to(root)): sha256(each.read_bytes()).hexdigest()
            for each in root.rglob("*") if each.is_file() and "/." not in f"/{each.relative_to(root)}"}


def sql(stage, query):
    """The answer of the database"""
    return stage.run("docker", "exec", "pretamane-postgresql-1", "psql", "-U", "postgres", "-d", "pretamane", "-Atc",
                     query).stdout.strip()


def how_much(stage):
    """What there is to lose, in words: without it nobody knows what the seconds stand for"""
    size = sql(stage, "select pg_database_size('pretamane')")
    count = sql(stage, "select (select count(*) from contacts) || ' contacts, ' || (select count(*) from documents) "
                "|| ' documents'")
    folder = stage.run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}",
                       "pretamane_minio-data").stdout.strip()
    stored = sum(each.stat().st_size for each in stage.path(folder).rglob("*") if each.is_file())
    kept = sum(each["Size"] for each in json.loads(stage.beside(
        "import boto3, json\ns3 = boto3.client('s3')\npages = s3.get_paginator('list_objects_v2').paginate("
        "Bucket='backups')\nprint(json.dumps([{'Size': each['Size']} for page in pages for each in "
        "page.get('Contents', [])]))")))
    return f"a database of {int(size):,} bytes ({count}), {stored:,} bytes of objects, {kept:,} bytes of backups"


@pytest.fixture(scope="module")
def saved(stage, timings):
    """A backup under twelve users, and what is there once they are gone: a moment, hashes of rows and objects, and a
    backup of it; then an accident, and the log of that"""
    began = time.monotonic()
    with Clients(stage) as clients:
        done = stage.script("backup.sh", **REPOSITORY)
    timings["backup under load"] = time.monotonic() - began
    print(clients.told())
    assert done.returncode == 0, done.stderr[-3000:]
    assert clients.bad == [] and clients.good > 50
    hashes, moment = rows(stage), sql(stage, "select clock_timestamp()")
    done = stage.script("backup.sh", **REPOSITORY)
    assert done.returncode == 0, done.stderr[-3000:]
    found = objects(stage)
    print(how_much(stage))
    time.sleep(1)
    sql(stage, "delete from contacts")
    began = time.monotonic()
    done = stage.script("wal.sh", **REPOSITORY)
    timings["the log sent"] = time.monotonic() - began
    assert done.returncode == 0, done.stderr[-3000:]
    return hashes, found, moment


def test_a_changed_backup_is_noticed(stage, saved, timings):
    """The drill passes; with one bit of one pack turned it fails and its metric says so"""
    began = time.monotonic()
    done = stage.script("restore-drill.sh", DRILL_PARTS="1", **REPOSITORY)
    timings["restore drill"] = time.monotonic() - began
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the log of postgresql leads to" in done.stderr
    turn = ("import boto3\ns3 = boto3.client('s3')\n"
            "largest = max(s3.list_objects_v2(Bucket='backups', Prefix='backups/data/')['Contents'], key=lambda "
            "each: each['Size'])['Key']\n"
            "body = bytearray(s3.get_object(Bucket='backups', Key=largest)['Body'].read())\nbody[len(body) // 2] ^= 1\n"
            "s3.put_object(Bucket='backups', Key=largest, Body=bytes(body))")
    stage.beside(turn)
    stage.run("rm", "-rf", "/data/backup/cache")
    try:
        done = stage.script("restore-drill.sh", DRILL_PARTS="1", **REPOSITORY)
    finally:
        stage.beside(turn)
    assert done.returncode != 0, "nobody noticed"
    assert "pretamane_drill_last_run_success 0" in stage.path("/var/lib/pretamane/metrics/drill.prom").read_text()


UNSEEN = yaml.safe_load((Path(__file__).parent / "unseen.yaml").read_text())


def test_everything_that_is_watched_was_there(stage, saved):
    """Each selector of each rule and panel has matched something since the start: after users, a crash, a full disk,
    backup and drill. What cannot be seen here is listed with the reason, and is not there."""
    stage.run("sh", "-c", "ip link add wire type bridge && ip addr add 192.0.2.2/24 dev wire && ip link set wire up && "
              "ip route add default via 192.0.2.1")  # for a moment, or the health watch finds no way out to count on
    try:
        assert stage.script("healthwatch.sh").returncode == 0
    finally:
        stage.run("ip", "link", "delete", "wire")
    places, deadline = asked(ROOT / "infra"), time.monotonic() + 45 * patience()
    missing = {*places}
    while missing - {*UNSEEN} and time.monotonic() < deadline:
        time.sleep(1)
        missing -= stage.matched(missing)
    print(f"{len(places)} selectors, {len(missing)} not seen")
    assert missing == {*UNSEEN}, {each: places.get(each) for each in missing ^ {*UNSEEN}}


def test_everything_is_lost_and_comes_back(stage, saved, timings):
    """`down -v`, then the last backup, then a moment of the past: the same rows, the same objects, and a search that
    finds"""
    hashes, kept, moment = saved
    color = next(each for each in ("fastapi-app-blue", "fastapi-app-green") if each in stage.states())
    began = time.monotonic()
    stage.compose("down", "--volumes")
    done = stage.script("restore.sh", **REPOSITORY)
    assert done.returncode == 0, done.stderr[-3000:]
    settle(stage, (*LONG_RUNNING, color))
    timings["`down -v`, restore, all healthy"] = time.monotonic() - began
    assert (rows(stage), objects(stage)) == (hashes, kept)
    code, found = stage.request("GET", "/documents/search?q=quick")
    assert code == 200 and json.dumps(found).count("fox") >= 1, found
    sql(stage, "delete from contacts")
    began = time.monotonic()
    done = stage.script("restore.sh", "--force", "--to-time", moment, **REPOSITORY)
    timings["back to a moment"] = time.monotonic() - began
    assert done.returncode == 0, done.stderr[-3000:]
    settle(stage, (*LONG_RUNNING, color))
    assert (rows(stage), objects(stage)) == (hashes, kept)


def test_nobody_owns_more_than_it_needs(stage):
    """What came back from a backup belongs to whom its service runs as"""
    for volume, owner in re.findall(r"'([\w-]+) (\d+:\d+)'", stage.path(
            "/opt/pretamane/current/scripts/lib/stack.sh").read_text().partition("OWNERS=")[2].partition("\n")[0]):
        folder = stage.run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", f"pretamane_{volume}").stdout
        others = stage.run("find", folder.strip(), "!", "-uid", owner.partition(":")[0]).stdout
        assert not others, (volume, others[:500])
