"""Releases under twelve users, with the emitted scripts, the real engine and the real edge."""
from __future__ import annotations

import os
import shutil
import signal
import time

import pytest
from images import ROOT
from stage import Clients

LONG = pytest.mark.skipif(os.environ.get("PRETAMANE_E2E") != "long", reason="allowed: make e2e-long")


def changed(stage, name, path, old, new):
    """A tree with one file edited by hand, packed"""
    tree = stage.folder / name
    shutil.copytree(ROOT / "infra", tree)
    text = (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new))
    return stage.bundle(tree, name, BUNDLE_EDITED="yes")


def test_a_bundle_is_deployed_and_nobody_notices(stage, timings):
    """An edited release, from its bundle: containers can read what they mount, the idle color takes over, no request
    fails"""
    began = time.monotonic()
    bundle, total = changed(stage, "edited", "app/app/site.py", "from __future__", "# edited\nfrom __future__")
    with Clients(stage) as clients:
        done = stage.script("deploy.sh", "--bundle", bundle, total, BAKE_SECONDS="10")
    timings["deploy of a bundle"] = time.monotonic() - began
    print(clients.told())
    assert done.returncode == 0, done.stderr[-3000:]
    assert os.path.basename(os.readlink(stage.path("/opt/pretamane/current"))) == total
    assert stage.states()["fastapi-app-green"] == "running healthy"
    assert clients.bad == [] and clients.good > 100


def test_a_release_that_fails_under_traffic_goes_back(stage):
    """500s while it bakes: under 1 % of the requests, and none 3 s after the decision"""
    bundle, total = changed(stage, "failing", "app/app/security.py", "    if key and accepted(key, services.api_keys):",
                            "    raise RuntimeError('broken release')\n"
                            "    if key and accepted(key, services.api_keys):")
    with Clients(stage) as clients:
        time.sleep(20)
        done = stage.script("deploy.sh", "--bundle", bundle, total, BAKE_SECONDS="30")
        ended = time.time()
    print(clients.told())
    assert done.returncode != 0 and "requests failed since" in done.stderr, done.stderr[-3000:]
    assert clients.bad and all("500" in each for each in clients.bad)
    moments = [float(each.split()[0]) for each in clients.bad]
    assert max(moments) - min(moments) < 8 and max(moments) < ended
    assert stage.states()["fastapi-app-green"] == "running healthy"
    image = stage.containers()["fastapi-app-green"]
    named = stage.run("docker", "image", "inspect", "--format", "{{.Id}}", image["Config"]["Image"]).stdout.strip()
    assert named == image["Image"], "a restart would start the release that failed"


def test_a_secret_is_rotated_and_nobody_notices(stage):
    """Through the idle color"""
    with Clients(stage) as clients:
        done = stage.script("rotate-secret.sh", "postgres_password")
    print(clients.told())
    assert done.returncode == 0, done.stderr[-3000:]
    assert clients.bad == [] and clients.good > 100


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
    """DP1"""
    with Clients(stage) as clients:
        for _ in range(20):
            assert stage.script("deploy.sh", BAKE_SECONDS="5").returncode == 0
    print(clients.told())
    assert clients.bad == []
