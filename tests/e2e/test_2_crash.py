"""What dies comes back, with its data and its health."""
from __future__ import annotations

import json
import time

import pytest
from engine import patience
from stage import Clients, settle
from test_1_up import LONG_RUNNING


def test_every_service_survives_a_kill(stage, timings):
    """CO2, all at once: SIGKILL, and back to healthy by the engine alone"""
    began = time.monotonic()
    with Clients(stage) as clients:
        for name, each in stage.containers().items():
            if name in LONG_RUNNING:
                stage.run("sh", "-c", f"kill -9 {each['State']['Pid']}")
        # What died a moment ago still counts as healthy until the engine has seen it.
        stage.engine.wait_until(lambda: all(each["RestartCount"] for name, each in stage.containers().items()
                                            if name in LONG_RUNNING), 60, "every service started again")
        settle(stage, (*LONG_RUNNING, "fastapi-app-blue"))
    timings["all services killed, healthy again"] = time.monotonic() - began
    assert clients.bad, "the control: who counts no failure in a deployment can count one"
    assert {*LONG_RUNNING} <= {*stage.containers()}


def test_memory_ends_where_the_limit_is(stage):
    """CO5: a hog in one container is killed, and the others live"""
    stage.run("docker", "exec", "pretamane-grafana-1", "/usr/lib/stand-in/bin/python", "-c",
              "x = []\nwhile True: x.append(bytearray(16 << 20))", check=False)
    settle(stage, (*LONG_RUNNING, "fastapi-app-blue"))


@pytest.mark.parametrize("name", ["caddy"])
def test_logs_have_an_end(stage, name):
    """CO6: as the engine was told"""
    assert stage.containers()[name]["HostConfig"]["LogConfig"] == {
        "Type": "json-file", "Config": {"labels": "com.docker.compose.service", "max-file": "3", "max-size": "10m"}}


def test_a_full_disk_is_survived(stage):
    """What must write fails and says so, what only reads goes on, a deploy is refused; with room again all is as
    before"""
    contact = json.dumps({"name": "Ann", "email": "ann@example.com", "notes": "x" * 1000}).encode()

    def write():
        return stage.request("POST", "/contacts", contact, Content_Type="application/json")[0]

    stage.run("sh", "-c", "fallocate -l $(($(df --output=avail -B1 /data | tail -n 1))) /data/full; dd if=/dev/zero "
              "of=/data/full2 bs=4k 2>/dev/null; df /data >&2")
    try:
        codes = []
        deadline = time.monotonic() + 60 * patience()
        while not {*codes} & {500, 502, 503, 507} and time.monotonic() < deadline:
            codes.append(write())
        assert codes[-1] >= 500, codes
        assert stage.request("GET", "/docs")[0] == 200
        refused = stage.script("deploy.sh")
        assert refused.returncode != 0 and "MiB are free on /data" in refused.stderr, refused.stderr[-2000:]
    finally:
        stage.run("rm", "-f", "/data/full", "/data/full2")
    settle(stage, (*LONG_RUNNING, "fastapi-app-blue"))
    deadline = time.monotonic() + 60 * patience()
    while (code := write()) != 201:
        assert time.monotonic() < deadline, code
        time.sleep(0.5)


def test_the_engine_is_restarted(stage):
    """live-restore: the containers go on meanwhile"""
    before = stage.containers()["fastapi-app-blue"]["State"]["StartedAt"]
    stage.run("sh", "-c", "kill $(cat /outside/dockerd.pid)")
    time.sleep(1)
    stage.engine.wait_for_engine()
    assert stage.containers()["fastapi-app-blue"]["State"]["StartedAt"] == before
    settle(stage, LONG_RUNNING)
