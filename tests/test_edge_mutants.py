"""Every defect of the edge, put into the emitted files, makes the behavior fail that it names."""
from __future__ import annotations

import edge_behaviors
import pytest
from edge import configuration, running, varied
from mutants.edge import MUTANTS
from needed import needs

from pretamane_analysis.emit.tree import emitted

STACK = varied()
FILES = emitted(STACK, ["caddy", "compose"])
NAMES = {each.__name__: each for each in (*edge_behaviors.SEEN, *edge_behaviors.READ)}
pytestmark = needs("caddy")


@pytest.fixture(scope="module")
def edge():
    """One Caddy that is given the files of one mutant after the other"""
    with running(STACK, FILES) as found:
        yield found


@pytest.mark.parametrize("mutant", MUTANTS, ids=[each.id for each in MUTANTS])
def test_the_behavior_notices(edge, mutant, tmp_path):
    """The files of a mutant are taken by Caddy, and the behavior fails; with the right files it holds
    (test_edge_answers)"""
    changed = mutant.mutate(dict(FILES))
    assert changed != FILES
    behavior = NAMES[mutant.behavior]
    if behavior in edge_behaviors.READ:
        with pytest.raises(AssertionError):
            behavior(changed, tmp_path)
        return
    edge.config = configuration(edge, STACK, changed)
    edge.load()
    with pytest.raises((AssertionError, OSError)):
        behavior(edge)


def test_every_defect_of_the_audit_has_a_mutant():
    """D39 to D52"""
    assert {f"D{number}" for number in range(39, 53)} <= {each.defect for each in MUTANTS}


def test_every_behavior_kills_something():
    """A behavior that no defect can break proves nothing"""
    assert {*NAMES} == {each.behavior for each in MUTANTS}
