"""The stage in two halves, each with a host of its own, side by side: halves.py [OPTIONS OF PYTEST]. What both say is
printed as it comes; the exit code is that of a half that failed; however this ends, both end with it."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
# The host is well until its services are killed, and has had a backup and a drill by then.
HALVES = {"first": ("test_1_up.py", "test_4_backup.py", "test_2_crash.py", "test_6_lost.py", "test_7_boot.py"),
          "second": ("test_5_deploy.py", "test_3_alert.py", "test_8_cloud_init.py")}


def begin(name: str, options: list[str], part: Path) -> tuple[subprocess.Popen, threading.Thread]:
    """Start a half, and a thread that says what it says"""
    command = [sys.executable, "-u", "-m", "pytest", "-p", "no:xdist", *options]
    begun = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command, *(str(HERE / each) for each in HALVES[name])],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             env=os.environ | {"PRETAMANE_E2E_PART": str(part)})

    def say() -> None:
        for line in begun.stdout:
            print(f"{name}: {line}" if not line.startswith("=") else line, end="", flush=True)

    thread = threading.Thread(target=say)
    thread.start()
    return begun, thread


def main() -> int:
    """Run both; what the genuine programs took goes into the file that PRETAMANE_E2E_MEASURED names"""
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder, name) for name in HALVES]
        halves = [begin(name, sys.argv[1:], part) for name, part in zip(HALVES, parts)]
        codes = [begun.wait() for begun, _ in halves]
        for _, thread in halves:
            thread.join()
        if not any(codes) and (place := os.environ.get("PRETAMANE_E2E_MEASURED")):
            measure.write(Path(place), measure.merged([measure.read(part) for part in parts if part.exists()]))
    return max(codes, key=abs)


if __name__ == "__main__":
    sys.exit(main())
