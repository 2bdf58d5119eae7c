"""Where the minutes of a run go: seconds by test file, fixtures included, the slowest first.

The slowest files also begin first, so that no worker is left alone with one of them at the end.
"""
from __future__ import annotations

from collections import Counter

import pytest

BEGIN = ("test_site", "test_newcomer", "test_backup_restore", "test_deploy", "test_mutants", "test_slo_rules",
         "test_check", "test_terraform_cluster", "test_bootstrap_host", "test_edge_mutants", "test_terraform_mutants")
SHOWN, WORTH_A_LINE = 40, 300  # files; seconds of a whole run below which nobody asks


class FileTimes:
    """Adds up what tests and their fixtures took"""

    def __init__(self) -> None:
        """Begin with none"""
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase of a test"""
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_terminal_summary(self, terminalreporter) -> None:
        """One line for each of the slowest files of a long run"""
        if (total := sum(self.seconds.values())) >= WORTH_A_LINE:
            terminalreporter.section(f"{total:.0f} s of all workers, by file", sep="=")
            for name, seconds in self.seconds.most_common(SHOWN):
                terminalreporter.write_line(f"{seconds:6.0f} s  {name}")


def pytest_configure(config: pytest.Config) -> None:
    """Only where all reports arrive"""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FileTimes(), "file-times")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first; the order within a file stays"""
    place = {name: index for index, name in enumerate(BEGIN)}
    items.sort(key=lambda item: place.get(item.path.stem, len(BEGIN)))
