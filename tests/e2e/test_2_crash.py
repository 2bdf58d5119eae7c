"""What dies comes back, with its data and its health."""
from __future__ import annotations

import time

import pytest
from test_1_up import LONG_RUNNING


def settle(stage, names, seconds=90):
    """Until all are healthy"""
    deadline = time.monotonic() + seconds
    while (states := stage.states()) and any(states.get(name) != "running healthy" for name in names):
        assert time.monotonic() < deadline, states
        time.sleep(0.3)


def test_every_service_survives_a_kill(stage, timings):
    """CO2, all at once: SIGKILL, and back to healthy by the engine alone"""
    began = time.monotonic()
    for name in LONG_RUNNING:
        stage.run("sh", "-c", f"kill -9 {stage.containers()[name]['State']['Pid']}")
    settle(stage, LONG_RUNNING)
    timings["all services killed, healthy again"] = time.monotonic() - began
    assert all(stage.containers()[name]["RestartCount"] >= 1 for name in LONG_RUNNING)


def test_memory_ends_where_the_limit_is(stage):
    """CO5: a hog in one container is killed, and the others live"""
    stage.run("docker", "exec", "pretamane-grafana-1", "/usr/lib/stand-in/bin/python", "-c",
              "x = []\nwhile True: x.append(bytearray(16 << 20))", check=False)
    settle(stage, LONG_RUNNING)


@pytest.mark.parametrize("name", ["caddy"])
def test_logs_have_an_end(stage, name):
    """CO6: as the engine was told"""
    assert stage.containers()[name]["HostConfig"]["LogConfig"] == {
        "Type": "json-file", "Config": {"labels": "com.docker.compose.service", "max-file": "3", "max-size": "10m"}}


def test_the_engine_is_restarted(stage):
    """live-restore: the containers go on meanwhile"""
    before = stage.containers()["fastapi-app-blue"]["State"]["StartedAt"]
    stage.run("sh", "-c", "kill $(cat /outside/dockerd.pid)")
    time.sleep(1)
    stage.engine.wait_for_engine()
    assert stage.containers()["fastapi-app-blue"]["State"]["StartedAt"] == before
    settle(stage, LONG_RUNNING)
