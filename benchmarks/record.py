"""Run benchmarks and write what they print, with the day, the machine and the command, into docs/benchmarks.md.

    python benchmarks/record.py [NAME ...]

NAME is a script beside this one without its ending; all of them unless given. Sections of others stay as they are.
Exit code 1 when a script failed or a limit was exceeded; what it printed is written all the same.
"""
from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
ABOUT = {
    "start": "The start of the command, from the wheel in an environment of its own",
    "offer_files": "Reading AWS's bulk offer files, against ijson, polars and DuckDB",
    "bill_rows": "Reading a large Cost and Usage Report, against DuckDB doing a bare sum",
    "many_bills": "Bills for many cases of usage, against the exact bill in a loop and NumPy by hand",
    "slo_histories": "Alert rules over simulated histories, against promtool",
}


def machine() -> str:
    """Return the processor, how many of it, and the Python"""
    known = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", known, re.MULTILINE)
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def section(name: str) -> tuple[str, bool]:
    """Run a script; return its part of the page, and whether all was well"""
    done = subprocess.run([sys.executable, HERE / f"{name}.py"], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="", end="")
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    state = "" if done.returncode == 0 else " A limit was exceeded, or the script failed."
    head = f"## {ABOUT[name]}\n\n`python benchmarks/{name}.py`, {date.today()}, {machine()}{load}.{state}"
    text = f"<!-- {name} -->\n{head}\n\n```text\n{done.stdout.rstrip()}\n```\n<!-- end of {name} -->"
    return text, done.returncode == 0


def put(page: str, name: str, text: str) -> str:
    """Return the page with a section replaced, or added at its end"""
    place = re.compile(rf"<!-- {name} -->.*?<!-- end of {name} -->", re.DOTALL)
    return place.sub(lambda _: text, page) if place.search(page) else f"{page.rstrip()}\n\n{text}\n"


def main() -> int:
    """Run what was asked for, one after the other"""
    names, fine = sys.argv[1:] or list(ABOUT), True
    if unknown := [name for name in names if name not in ABOUT]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; known: {', '.join(ABOUT)}")
    for name in names:
        print(f"== {name}")
        text, good = section(name)
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), name, text), encoding="utf-8")
        fine &= good
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
