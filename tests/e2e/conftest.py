"""A host with the emitted stack for each half of the stage, side by side; the tests of a half act on it in the order in
which they stand."""
from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import images  # noqa: E402
import measure  # noqa: E402
import stage as stage_module  # noqa: E402
from content import REPOSITORY, how_much, objects, rows, sql  # noqa: E402
from watch import FACTOR, write_compressed  # noqa: E402

FOUND: dict[str, object] = {"timings": {}, "measured": []}


def pytest_collection_modifyitems(config, items):
    """Without an engine of its own the stage cannot run, and says so; the long tests run when they are asked for"""
    reason = images.is_possible()
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"allowed: no stage here: {reason}"))


@pytest.fixture(scope="session")
def timings():
    """Seconds by what took them, printed at the end"""
    return FOUND["timings"]


@pytest.fixture(scope="session")
def stage(tmp_path_factory, timings):
    """The host with its stack, up"""
    began = time.monotonic()
    found = stage_module.Stage(tmp_path_factory.mktemp("stage"))
    timings["tree, images, boot"] = time.monotonic() - began
    try:
        began = time.monotonic()
        found.install()
        timings["release and secrets"] = time.monotonic() - began
        began = time.monotonic()
        found.said = found.up()
        timings["first `up --wait`, image built"] = time.monotonic() - began
        timings[f"(start and health: {found.meter.first(time.time() - time.monotonic() + began)})"] = 0.0
        versions = found.versions()
        yield found
        FOUND["measured"] = found.meter.rows(versions)
    finally:
        timings |= {f"{number:2} {what}": seconds for number, (what, seconds) in enumerate(found.engine.steps)}
        found.close()


@pytest.fixture(scope="session")
def saved(stage, timings):
    """A backup under twelve users, and what is there once they are gone: a moment, hashes of rows and objects, and a
    backup of it; then an accident, and the log of that"""
    began = time.monotonic()
    with stage_module.Clients(stage) as clients:
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


@pytest.fixture(scope="session")
def hurried(stage):
    """A second Prometheus beside the stack's own, whose files are the emitted ones with each duration divided by
    FACTOR: since when it runs, and its name. Its image is the stack's, its alerts go nowhere, it ends with the host."""
    write_compressed(images.ROOT / "infra", stage.engine.shared / "hurried", FACTOR)
    image = stage.containers()["prometheus"]["Config"]["Image"]
    stage.run("docker", "run", "--detach", "--name", "hurried", "--network", "pretamane_obs", "--volume",
              "/outside/hurried:/etc/prometheus:ro", image, "--config.file=/etc/prometheus/prometheus.yml",
              "--storage.tsdb.path=/prometheus", "--web.external-url=http://hurried/prometheus")
    return time.monotonic(), "hurried"


def pytest_unconfigure(config):
    """Print timings; what the programs took goes into the file that PRETAMANE_E2E_PART names"""
    print("\n".join(f"{seconds:8.1f} s  {what}" for what, seconds in FOUND["timings"].items()))
    for row in FOUND["measured"]:
        print(" ".join(f"{name}={value}" for name, value in row.items()))
    if place := os.environ.get("PRETAMANE_E2E_PART"):
        measure.write(Path(place), FOUND["measured"])
