"""How fast the command starts, as ratios to `python -c pass` in the same run.

    python benchmarks/start.py [RUNS]

`first` works the answer out (no kept answers), `again` asks the same question a second time. The shortest of all runs counts:
what is measured is the work, not what else the machine was doing.
"""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pretamane_analysis.base.tables import to_table

LIMITS = {"pretamane --help": 2, "pretamane cost, again": 10}


def shortest(command: list[str], runs: int, environment: dict[str, str]) -> float:
    """Return the shortest wall-clock time of a command, seconds; the first run is not counted"""
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def main() -> int:
    """Measure, print, and return 1 when a limit is exceeded"""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    script = str(Path(sys.executable).with_name("pretamane"))
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as kept:
        measured = {
            "python -c pass": shortest([sys.executable, "-c", "pass"], runs, plain),
            "pretamane --help": shortest([script, "--help"], runs, plain),
            "pretamane cost, first": shortest([script, "cost"], runs, {**plain, "PRETAMANE_CACHE": ""}),
            "pretamane cost, again": shortest([script, "cost"], runs, {**plain, "PRETAMANE_CACHE": kept}),
        }
    ratios = {name: seconds / measured["python -c pass"] for name, seconds in measured.items()}
    print(to_table([{"command": name, "ms": f"{seconds * 1000:.0f}", "ratio": f"{ratios[name]:.1f}",
                     "limit": str(LIMITS.get(name, ""))} for name, seconds in measured.items()]))
    return int(any(ratios[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
