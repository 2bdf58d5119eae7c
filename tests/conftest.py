"""Shared by every test: where the project is, and the rule that CI skips nothing by accident.

A test that lacks a tool skips on a developer's machine and says so (needed.py has the words). With CI=true such a
skip fails the run, because a
tool that can be installed belongs in `make tools` or in the dev requirements. A skip that is meant has a reason that
starts with `allowed:`.
"""
from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

# what is for development only, and tested here all the same
sys.path.append(str(Path(__file__).resolve().parent.parent / "tools"))
pytest_plugins = ("postgres_server", "app_server", "passed_before", "file_times")
ALLOWED = "allowed:"
SKIPPED = pytest.StashKey[list]()
# `make e2e` runs them: they need root and some minutes
collect_ignore = [] if os.environ.get("PRETAMANE_E2E") else ["e2e"]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root folder of the repository"""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed breaks no word that is looked for, however wide the terminal is"""
    monkeypatch.setenv("COLUMNS", "200")


def pytest_configure(config: pytest.Config) -> None:
    """Start the list of skips that CI does not allow"""
    config.stash[SKIPPED] = []
    config.pluginmanager.register(SkipWatch(config), "skip-watch")


def skip_reason(report: pytest.CollectReport | pytest.TestReport) -> str | None:
    """Return why `report` was skipped, None if it was not (an expected failure is no skip)"""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def in_ci() -> bool:
    """Return whether every tool has to be there"""
    return os.environ.get("CI", "").lower() == "true"


class SkipWatch:
    """Collects the skips that are not allowed and, in CI, fails the run for them"""

    def __init__(self, config: pytest.Config) -> None:
        """Keep `config`, which holds the list"""
        self.skips = config.stash[SKIPPED]
        self.outcomes: dict[str, str] = {}

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        reason = skip_reason(report)
        if reason is not None and not reason.startswith(ALLOWED):
            self.skips.append((report.nodeid, reason))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test, and how one ended that may have killed a mutant"""
        self._note(report)
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a skipped module"""
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run in CI if something was skipped"""
        if self.skips and in_ci() and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter) -> None:
        """Count the mutants where some were run; list the skips: in CI each, as the error that it is; elsewhere by
        need"""
        if any("mutant" in each for each in self.outcomes):
            from mutants._outcomes import fates, tally

            terminalreporter.write_line(tally(fates(self.outcomes)))
        if not self.skips:
            return
        if in_ci():
            terminalreporter.section("skipped for want of something, which is an error in CI", sep="=", red=True)
            found = [f"{name}: {reason}" for name, reason in self.skips]
        else:
            terminalreporter.section("skipped for want of something", sep="=")
            counted = Counter(reason for _, reason in self.skips)
            found = [f"{count} {'test' if count == 1 else 'tests'}: {reason}"
                     for reason, count in counted.most_common()]
        for line in found:
            terminalreporter.write_line(line)
