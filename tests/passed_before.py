"""So that no test need run twice: one that has passed in the bare root can be left out where every tool is installed.

`PASSED_TO=FILE` writes the tests that passed, by their ids; `PASSED_FROM=FILE` leaves those out. A test that was
skipped or failed,
or whose fixture broke, is on no list and runs in both places. So does every test of a module that asks `run_tools`,
which passes over a
tool that is missing: such a test can pass without having seen the tool. Beside the list lies the site that test_site
built (FILE.site), for the tests of it that need a browser.
"""
from __future__ import annotations

import os
from pathlib import Path

import pytest

ASKS_FOR_TOOLS = "run_tools"


class PassedTests:
    """Notes which tests passed in every phase"""

    def __init__(self) -> None:
        """Begin with none"""
        self.passed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase of a test"""
        fine = report.passed or hasattr(report, "wasxfail")
        self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and fine

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the list, unless this is a worker that has seen a part only"""
        if not hasattr(session.config, "workerinput"):
            found = "".join(f"{name}\n" for name, fine in sorted(self.passed.items()) if fine and "\n" not in name)
            Path(os.environ["PASSED_TO"]).write_text(found, encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Note, where a list is asked for"""
    if os.environ.get("PASSED_TO"):
        config.pluginmanager.register(PassedTests(), "passed-tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the list of another run names"""
    if not os.environ.get("PASSED_FROM"):
        return
    passed = set(Path(os.environ["PASSED_FROM"]).read_text(encoding="utf-8").splitlines())
    texts = {path: path.read_text(encoding="utf-8") for path in {item.path for item in items}}
    again = [item for item in items if item.nodeid not in passed or ASKS_FOR_TOOLS in texts[item.path]]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(again)])
    items[:] = again
