"""Every named defect of the audit, put into the emitted tree, is noticed by what should notice it."""
from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from mutants import Fate, all_mutants, fate, test_exists
from mutants._outcomes import fates, tally
from needed import reason
from trees import example_files

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.tools.runs import _run_one as run_one
from pretamane_analysis.check.tools.runs import every_tool

MUTANTS = [each for each in all_mutants() if not each.killer.startswith("behaviour:")]
NAMED = [each for each in all_mutants() if each.killer.startswith("behaviour:")]


@pytest.fixture(scope="module")
def files():
    """The example's tree"""
    return example_files()


@cache
def installed(name: str) -> bool:
    """Whether a tool is there: its version is asked for, in an empty folder"""
    tool = next(each for each in every_tool() if each.name == name)
    asked = replace(tool, files=lambda tree: ["any"], run=lambda *_: [])
    return run_one(asked, Tree({}), Path()).status != "skipped"


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.id for mutant in MUTANTS])
def test_mutant_is_killed(mutant, files):
    """The expected rule or tool notices the defect"""
    if mutant.killer.startswith("tool:") and not installed(tool := mutant.killer.removeprefix("tool:")):
        pytest.skip(reason(tool))
    found = fate(mutant, files, everybody=False)
    assert found.killed, f"expected {mutant.killer}, noticed by {found.killers or 'nothing'}"


def test_named_tests_exist():
    """A test that a mutant names is there; that proves no kill (`make mutants` runs them, the last lines of a run
    count them)"""
    assert [each.killer for each in NAMED if not test_exists(each.killer.partition(":")[2])] == []


def test_a_test_that_was_not_run_kills_nothing():
    """Only outcomes of this run count: passed is killed, failed survived, all else was not run"""
    rule, behavior = MUTANTS[0], next(each for each in NAMED if "test_edge_mutants" in each.killer)
    first = f"tests/test_mutants.py::test_mutant_is_killed[{rule.id}]"
    second = f"tests/test_edge_mutants.py::test_the_behavior_notices[{behavior.id}]"
    total = len(MUTANTS) + len(NAMED)
    assert (tally(fates({})) == f"{total} mutants, killed in this run: 0 by a rule, 0 by a tool, 0 by a test; "
            f"0 survived; {total} not run")
    assert f"1 by a rule, 0 by a tool, 1 by a test; 0 survived; {total - 2} not run" in tally(
        fates({first: "passed", second: "passed"}))
    assert f"0 by a test; 1 survived; {total - 1} not run" in tally(fates({second: "failed"}))
    assert f"0 survived; {total} not run" in tally(fates({second: "skipped"}))
    assert fate(behavior, {}) == Fate(behavior, (), 0.0, ran=False)
