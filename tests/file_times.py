"""Where the minutes of a run go: processor and wall seconds by test file, fixtures and children included.

The slowest files also begin first, so that no worker is left alone with one of them at the end.
"""
from __future__ import annotations

import contextlib
import os
import resource
from collections import Counter
from pathlib import Path

import pytest

BEGIN = ("test_site", "test_newcomer", "test_backup_restore", "test_deploy", "test_mutants", "test_slo_rules",
         "test_check_tools", "test_check", "test_terraform_cluster", "test_bootstrap_host", "test_edge_mutants",
         "test_terraform_mutants")
SHOWN, WORTH_A_LINE = 40, 300  # files; seconds of a whole run below which nobody asks


def of_running() -> float:
    """Processor seconds of the children that still run, and of theirs that have ended: servers that tests share"""
    found = 0
    for each in Path("/proc/self/task").glob("*/children"):
        for child in each.read_text().split():
            with contextlib.suppress(OSError):
                found += sum(map(int, Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return found / os.sysconf("SC_CLK_TCK")


def processor() -> float:
    """Processor seconds of this process and of its children"""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) + of_running()


class FileTimes:
    """Adds up what tests and their fixtures took"""

    def __init__(self) -> None:
        """Begin with none"""
        self.last, self.wall, self.processor = processor(), Counter[str](), Counter[str]()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self):
        """Give the report of a phase what was used since the last one"""
        made = yield
        now = processor()
        made.get_result().user_properties.append(("processor", now - self.last))
        self.last = now

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase of a test"""
        name = report.nodeid.partition("::")[0]
        self.wall[name] += report.duration
        self.processor[name] += dict(report.user_properties).get("processor", 0)

    def pytest_terminal_summary(self, terminalreporter) -> None:
        """One line for each of the slowest files of a long run"""
        if (total := sum(self.wall.values())) < WORTH_A_LINE:
            return
        terminalreporter.section(f"{sum(self.processor.values()):.0f} s of processor, {total:.0f} s of all workers")
        for name, seconds in self.processor.most_common(SHOWN):
            terminalreporter.write_line(f"{seconds:6.0f} s {self.wall[name]:6.0f} s  {name}")


def pytest_configure(config: pytest.Config) -> None:
    """In workers and where their reports arrive"""
    config.pluginmanager.register(FileTimes(), "file-times")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first; the order within a file stays"""
    place = {name: index for index, name in enumerate(BEGIN)}
    items.sort(key=lambda item: place.get(item.path.stem, len(BEGIN)))
