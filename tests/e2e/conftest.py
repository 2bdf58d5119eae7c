"""One host with the emitted stack for the whole stage; the tests act on it in the order in which they stand."""
from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import images  # noqa: E402
import stage as stage_module  # noqa: E402


def pytest_collection_modifyitems(config, items):
    """Without an engine of its own the stage cannot run, and says so; the long tests run when they are asked for"""
    here = [item for item in items if Path(__file__).parent in Path(item.path).parents]
    if reason := images.is_possible():
        for item in here:
            item.add_marker(pytest.mark.skip(reason=f"allowed: no stage here: {reason}"))


@pytest.fixture(scope="session")
def timings():
    """Seconds by what took them, printed at the end"""
    found: dict[str, float] = {}
    yield found
    print("\n" + "\n".join(f"{seconds:8.1f} s  {what}" for what, seconds in found.items()))


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
        yield found
    finally:
        timings |= {f"{number:2} {what}": seconds for number, (what, seconds) in enumerate(found.engine.steps)}
        found.close()
