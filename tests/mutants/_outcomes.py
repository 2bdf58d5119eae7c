"""Which mutants were killed by what in a run of pytest, from the outcomes of its tests; what was not run is not
counted."""
from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from mutants import ROOT, Fate, Mutant, by_module

# The tests that put a mutant in its place and pass when it is noticed; the id of the mutant is their parameter.
RUNNERS = {"app": "tests/test_app_mutants.py::test_its_test_notices",
           "edge": "tests/test_edge_mutants.py::test_the_behavior_notices"}
RULES = "tests/test_mutants.py::test_mutant_is_killed"
# Tests that make their own mutants; a mutant without a mutation stands for what they do.
MUTATING = ("test_a_damaged_rule_is_noticed", "test_a_different_plan_has_a_different_bill", "test_terraform_refuses")
WAYS = ("a rule", "a tool", "a test", "nothing", "not run")


def node(module: str, mutant: Mutant) -> str | None:
    """The test whose outcome tells of a mutant; None where pytest alone runs none"""
    kind, _, name = mutant.killer.partition(":")
    if kind != "behaviour":
        return f"{RULES}[{mutant.id}]"
    if module in RUNNERS:
        return f"{RUNNERS[module]}[{mutant.id}]"
    return name if name.partition("::")[2].partition("[")[0] in MUTATING else None


def fates(outcomes: dict[str, str]) -> list[Fate]:
    """What became of every mutant, from outcomes such as `passed` by the ids of tests"""
    found = []
    for module, mutants in by_module().items():
        for mutant in mutants:
            name = node(module, mutant)
            said = {outcome for each, outcome in outcomes.items() if name
                    and (each == name or each.startswith(f"{name}["))}
            ran = said & {"passed", "failed"}
            found.append(Fate(mutant, (mutant.killer,) if ran == {"passed"} else (), 0.0, bool(ran)))
    return found


def tally(found: Iterable[Fate]) -> str:
    """How many mutants were killed by what, in one line"""
    counts = Counter(each.killed_by for each in found)
    killed = ", ".join(f"{counts[way]} by {way}" for way in WAYS[:3])
    return (f"{sum(counts.values())} mutants, killed in this run: {killed}; {counts['nothing']} survived; "
            f"{counts['not run']} not run")


def outcomes_of(*tests: str) -> dict[str, str]:
    """Run tests and return their outcomes by id"""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1",
                   f"--junitxml={report}", *tests]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
        return {f"{each.get('file')}::{each.get('name')}": outcome(each) for each in cases}


def outcome(case: ElementTree.Element) -> str:
    """`passed`, `failed` or `skipped`"""
    kinds = {each.tag for each in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
