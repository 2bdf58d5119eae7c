"""Every named defect of the audit, put into the emitted tree, is noticed by what should notice it."""
from __future__ import annotations

import pytest
from mutants import all_mutants, fate
from needed import reason

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.tools.validators import TOOLS, run_tools
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack_file import example

MUTANTS = all_mutants()


@pytest.fixture(scope="module")
def files():
    """The example's tree"""
    return emitted(example())


@pytest.fixture(scope="module")
def absent(files):
    """The tools that are not installed"""
    return {each.tool for each in run_tools(Tree(files), [tool.name for tool in TOOLS]) if each.status == "skipped" and "not installed" in each.reason}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.id for mutant in MUTANTS])
def test_mutant_is_killed(mutant, files, absent):
    """The expected rule, tool or test notices the defect"""
    if mutant.killer.removeprefix("tool:") in absent:
        pytest.skip(reason(mutant.killer.removeprefix("tool:")))
    found = fate(mutant, files, everybody=False)
    assert found.killed, f"expected {mutant.killer}, noticed by {found.killers or 'nothing'}"
