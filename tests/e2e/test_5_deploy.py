"""Releases under twelve users, with the emitted scripts, the real engine and the real edge."""
from __future__ import annotations

import os
import shutil
import signal
import time

import pytest
from engine import patience
from images import ROOT
from stage import LONG, Clients


def changed(stage, name, path, old, new):
    """A tree with one file edited by hand, packed"""
    tree = stage.folder / name
    shutil.copytree(ROOT / "infra", tree)
    text = (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new))
    return stage.bundle(tree, name, BUNDLE_EDITED="yes")


def test_a_bundle_is_deployed_and_nobody_notices(stage, timings):
    """An edited release, from its bundle: containers can read what they mount, the idle color takes over, no
    request fails;
    a second deploy at the same time is refused and disturbs nobody"""
    began = time.monotonic()
    bundle, total = changed(stage, "edited", "app/app/site.py", "from __future__", "# edited\nfrom __future__")
    with Clients(stage) as clients:
        first, said = stage.engine.begin("/opt/pretamane/current/scripts/deploy.sh", "--bundle", bundle, total,
                                         **stage.settings, BAKE_SECONDS="10"), ""
        for line in stage.engine.lines(first, first.stdout):
            said += line
            if line.endswith("step start\n"):
                second = stage.script("deploy.sh")
    timings["deploy of a bundle"] = time.monotonic() - began
    print(clients.told())
    assert first.returncode == 0, said[-3000:]
    assert second.returncode == 75 and "another deploy is at work" in second.stderr
    assert stage.run("readlink", "-e", "/opt/pretamane/current").stdout.strip().endswith(total)
    assert stage.states()["fastapi-app-green"] == "running healthy"
    assert clients.bad == [] and clients.good > 100


def test_a_tag_that_moved_restarts_nobody(stage):
    """What somebody pulled since under the edge's tag is another image: a deploy would have to recreate the edge,
    says so and leaves it alone"""
    before = stage.containers()["caddy"]
    tag, other = before["Config"]["Image"], stage.containers()["alertmanager"]["Image"]
    stage.run("docker", "tag", other, tag)
    try:
        done = stage.script("deploy.sh", "--no-jobs")
    finally:
        stage.run("docker", "tag", before["Image"], tag)
    after = stage.containers()["caddy"]
    assert done.returncode != 0 and "recreates caddy, which is an outage" in done.stderr, done.stderr[-3000:]
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert sum(name.startswith("fastapi-app-") for name in stage.states()) == 1


@pytest.fixture(scope="module")
def failing(stage):
    """A release that says it is ready and answers each user with 500"""
    return changed(stage, "failing", "app/app/security.py", "    if key and accepted(key, services.api_keys):",
                   "    raise RuntimeError('broken release')\n    if key and accepted(key, services.api_keys):")


def goes_back(stage, failing, old):
    """Under 1 % of the requests fail, none 3 s after the decision, and the old color serves on with its own image"""
    assert stage.states().get(f"fastapi-app-{old}") == "running healthy"
    with Clients(stage) as clients:
        begun, said, decided = stage.engine.begin("/opt/pretamane/current/scripts/deploy.sh", "--bundle", *failing,
                                                  **stage.settings, BAKE_SECONDS="16"), "", 0.0
        for line in stage.engine.lines(begun, begun.stdout):
            decided = time.time() if "requests failed since" in line else decided
            said += line
    moments = [float(each.split()[0]) for each in clients.bad]
    print(clients.told())
    assert begun.returncode != 0 and decided, said[-3000:]
    print(f"{len(moments)} of {clients.good + len(moments)} failed, {decided - min(moments):.1f} s before the "
          f"decision and {max(moments) - decided:.1f} s after it")
    assert clients.bad and all("500" in each for each in clients.bad)
    assert len(moments) < (clients.good + len(moments)) / 100 and max(moments) - decided < 3 * patience()
    image = stage.containers()[f"fastapi-app-{old}"]
    assert stage.states()[f"fastapi-app-{old}"] == "running healthy"
    named = stage.run("docker", "image", "inspect", "--format", "{{.Id}}", image["Config"]["Image"]).stdout.strip()
    assert named == image["Image"], "a restart would start the release that failed"


def test_a_release_that_fails_in_blue_goes_back(stage, failing):
    """The edge prefers the old color of two that are ready, until the new one has shown what it does"""
    goes_back(stage, failing, "green")


def test_a_secret_is_rotated_and_nobody_notices(stage):
    """Through the idle color"""
    with Clients(stage) as clients:
        done = stage.script("rotate-secret.sh", "postgres_password", BAKE_SECONDS="10")
    print(clients.told())
    assert done.returncode == 0, done.stderr[-3000:]
    assert clients.bad == [] and clients.good > 100


@LONG
def test_a_release_that_fails_in_green_goes_back(stage, failing):
    """The other way round"""
    goes_back(stage, failing, "blue")


@LONG
def test_a_plain_recreate_is_seen_by_these_users(stage):
    """The control: who counts no failure above can count one"""
    color = next(each for each in ("blue", "green") if f"fastapi-app-{each}" in stage.states())
    with Clients(stage) as clients:
        stage.compose("up", "--detach", "--no-deps", "--force-recreate", "--wait", f"fastapi-app-{color}")
        time.sleep(2)
    assert clients.bad, clients.told()


@LONG
@pytest.mark.parametrize("step", ["settle", "preflight", "secrets", "images", "jobs", "start", "healthy", "edge",
                                  "bake", "drain", "record", "rest"])
def test_killed_at_a_step_and_run_again(stage, step):
    """SIGKILL when a step begins; the second run brings the release into service, and no request fails"""
    with Clients(stage) as clients:
        begun = stage.engine.begin("/opt/pretamane/current/scripts/deploy.sh", **stage.settings, BAKE_SECONDS="10")
        for line in begun.stdout:
            if line.endswith(f"step {step}\n"):
                break
        os.killpg(begun.pid, signal.SIGKILL)
        stage.run("pkill", "-9", "-f", "scripts/deploy.sh", check=False)  # on the host, which is this stage's own
        begun.wait()
        done = stage.script("deploy.sh", BAKE_SECONDS="10")
    print(step, clients.told())
    assert done.returncode == 0, done.stderr[-3000:]
    assert clients.bad == []


@LONG
def test_twenty_deploys(stage):
    """DP1, told one by one: they take half an hour"""
    for number in range(1, 21):
        with Clients(stage) as clients:
            done = stage.script("deploy.sh", BAKE_SECONDS="5")
        print(number, clients.told())
        assert done.returncode == 0, done.stderr[-3000:]
        assert clients.bad == []
