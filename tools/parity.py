"""Which behavior of the reference application each side has: the tests of its API, run over both sets of adapters.

    python tools/parity.py            run them and write pretamane_analysis/data/parity.csv
"""
from __future__ import annotations

import ast
import csv
import io
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS, TABLE = ROOT / "tests" / "test_app_api.py", ROOT / "pretamane_analysis" / "data" / "parity.csv"
SIDES = ("host", "managed")
FIXTURES = {"app", "platform", "make_app"}
RECORDING = "PRETAMANE_PARITY"  # set while this runs: then no test is expected to fail


def behaviors(text: str) -> dict[str, str]:
    """Return the tests that need a database, a bucket or an index, each with its first sentence, in order"""
    return {each.name: (ast.get_docstring(each) or "").partition("\n\n")[0].replace("\n", " ")
            for each in ast.parse(text).body
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
            and FIXTURES & {argument.arg for argument in each.args.args}}


def outcomes(report: str) -> dict[tuple[str, str], bool]:
    """Return whether every case of a test passed, by test and side, from pytest's XML"""
    found: dict[tuple[str, str], bool] = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        name, _, parameters = case.attrib["name"].partition("[")
        if side := re.match(r"|".join(SIDES), parameters):
            bad = any(each.tag in ("failure", "error", "skipped") for each in case)
            found[name, side[0]] = found.get((name, side[0]), True) and not bad
    return found


def table(said: dict[str, str], found: dict[tuple[str, str], bool]) -> str:
    """Return the table as CSV"""
    words = {True: "passed", False: "failed"}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["test", "says", *SIDES])
    rows.writerows([name, says, *(words[found[name, side]] for side in SIDES)] for name, says in said.items())
    return text.getvalue()


def recorded() -> dict[tuple[str, str], bool]:
    """Return what the table says: whether a test passed, by test and side"""
    rows = csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())
    return {(row["test"], side): row[side] == "passed" for row in rows for side in SIDES}


def main() -> int:
    """Run the tests and write the table"""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", f"--junitxml={report}", str(TESTS)],
                       cwd=ROOT, env={**os.environ, RECORDING: "1"}, check=False)
        found = outcomes(report.read_text(encoding="utf-8"))
    TABLE.write_text(table(behaviors(TESTS.read_text(encoding="utf-8")), found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
