"""What was watched all the while, then everything lost, and everything back."""
from __future__ import annotations

import json
import re
import time
from pathlib import Path

import yaml
from content import REPOSITORY, objects, rows, sql
from engine import patience
from images import ROOT
from stage import settle
from test_1_up import LONG_RUNNING
from watch import asked

UNSEEN = yaml.safe_load((Path(__file__).parent / "unseen.yaml").read_text())


def test_everything_that_is_watched_was_there(stage, saved):
    """Each selector of each rule and panel has matched something since the start: after users, a crash, a full disk,
    backup and drill. What need not be seen here is listed with the reason."""
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
    assert missing <= {*UNSEEN}, {each: places[each] for each in missing - {*UNSEEN}}


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
