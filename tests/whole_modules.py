"""So that no module need run twice: one that the bare root has passed whole, without a skip, can be left out where
every tool is installed.

`WHOLE_TO=FILE` writes the names of the modules that passed whole; `WHOLE_FROM=FILE` leaves those out. A module that
lacked a tool, or was
skipped in part for any reason, is on no list and runs in both places. CI uses it once `make test` passes in the bare
root.
"""
from __future__ import annotations

import os
from pathlib import Path

import pytest


class WholeModules:
    """Notes which modules ran to their end with nothing but passes"""

    def __init__(self) -> None:
        """Begin with none"""
        self.whole: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase of a test"""
        module = report.nodeid.partition("::")[0]
        self.whole[module] = self.whole.get(module, True) and (report.passed or hasattr(report, "wasxfail"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that could not be read, or was skipped as a whole"""
        if not report.passed:
            self.whole[report.nodeid.partition("::")[0]] = False

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the list, unless this is a worker that has seen a part only"""
        if not hasattr(session.config, "workerinput"):
            Path(os.environ["WHOLE_TO"]).write_text(
                "".join(f"{name}\n" for name, fine in sorted(self.whole.items()) if fine), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Note, where a list is asked for"""
    if os.environ.get("WHOLE_TO"):
        config.pluginmanager.register(WholeModules(), "whole-modules")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what the list of another run names"""
    given = os.environ.get("WHOLE_FROM")
    if not given or collection_path.suffix != ".py":
        return None
    return True if collection_path.relative_to(config.rootpath).as_posix() in Path(given).read_text(
        encoding="utf-8").splitlines() else None
