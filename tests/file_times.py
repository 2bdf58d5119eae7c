"""Where the minutes of a run go: seconds by test file, fixtures included, the slowest first."""
from __future__ import annotations

from collections import Counter

import pytest

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
