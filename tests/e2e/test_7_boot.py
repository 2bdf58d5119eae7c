"""The host ends, politely or not, and starts again."""
from __future__ import annotations

import subprocess
import time

from content import objects, rows, sql
from stage import LONG, Clients, settle
from test_1_up import LONG_RUNNING


@LONG
def test_a_reboot(stage, timings):
    """The unit stops the stack, the engine ends, the host ends; after the next boot all is there and healthy"""
    color = next(each for each in ("fastapi-app-blue", "fastapi-app-green") if each in stage.states())
    before, parameters = (rows(stage), objects(stage)), stage.parameters()
    began = time.monotonic()
    assert stage.unit("ExecStop").returncode == 0
    stage.run("sh", "-c", "kill $(cat /outside/dockerd.pid); sleep 1; sync")
    stage.engine.power_cut()
    timings["stack stopped, host ended"] = time.monotonic() - began
    began = time.monotonic()
    stage.boot_again(parameters)
    settle(stage, (*LONG_RUNNING, color))
    timings["next boot, all healthy"] = time.monotonic() - began
    assert (rows(stage), objects(stage)) == before
    assert stage.request("GET", "/contacts")[0] == 200


@LONG
def test_the_power_goes(stage, timings):
    """Users write; from one moment on the data disk takes nothing and forgets what was not brought to it, and all
    processes end. After the next boot each contact that was answered with 201 is there, and all is healthy."""
    color = next(each for each in ("fastapi-app-blue", "fastapi-app-green") if each in stage.states())
    parameters = stage.parameters()
    with Clients(stage) as clients:
        time.sleep(20)
        stage.engine.forget()
        stage.engine.power_cut()
    print(clients.told())
    print(subprocess.run(["dumpe2fs", "-h", str(stage.engine.work / "data.img")], capture_output=True, text=True,
                         check=True).stdout.partition("features:")[2].splitlines()[0])  # `needs_recovery`
    began = time.monotonic()
    stage.boot_again(parameters)
    settle(stage, (*LONG_RUNNING, color))
    timings["boot after the power went, all healthy"] = time.monotonic() - began
    there = {*sql(stage, "select id from contacts").split()}
    missing = [each for each in clients.written if each not in there]
    print(f"{len(clients.written)} contacts acknowledged, {len(missing)} lost")
    assert len(clients.written) > 50 and not missing
    assert stage.request("GET", "/contacts")[0] == 200
    code, _ = stage.request("GET", "/documents/search?q=quick")
    assert code == 200
