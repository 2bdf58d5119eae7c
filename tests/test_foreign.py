"""Trees in the manner of public stacks: exactly the findings that a reviewer would sign."""
from __future__ import annotations

import gc
import time

import pytest
from foreign import AS_OF, judged, names, precision

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check


@pytest.mark.parametrize("name", names())
def test_a_tree_has_the_findings_that_were_signed(name):
    """Nothing beside them, and none is missed"""
    found = judged(name)
    assert not found.wrong and not found.missed


def test_rules_of_correctness_are_right():
    """At least 25 trees; of what the rules of correctness find there, 95 of 100 are right"""
    right, total = precision("correctness")
    assert len(names()) >= 25 and total >= 40 and right >= 0.95 * total


def test_many_services_take_little_time():
    """A rule that compares each service with each other shows here: eight times the services take less than twenty
    times as long"""
    def spent(count):
        """Seconds of a processor for so many services"""
        services = "".join(f"  s{number}:\n    image: redis:7.4\n    depends_on: [s{number - 1}]\n"
                           f"    environment: {{PEER_HOST: s{number - 1}}}\n"
                           for number in range(1, count))
        tree = Tree({"compose.yaml": f"services:\n  s0:\n    image: redis:7.4\n{services}"}, AS_OF)
        began = time.process_time()
        assert not check(tree)
        return time.process_time() - began

    gc.freeze()  # what other tests of this process have left is not gone through again
    try:
        spent(20)
        few, many = spent(125), spent(1000)
    finally:
        gc.unfreeze()
    assert many < 20 * few, (few, many)


def test_many_files_take_little_time():
    """A repository of 1,000 files, a hundred of them compose files, in under five seconds of a processor"""
    files = {f"src/part{number}/module.py": "value = 1\n" * 100 for number in range(900)}
    files |= {f"stacks/s{number}/compose.yml": "services:\n  web:\n    image: nginx:1.27\n    ports: ['80:80']\n"
              for number in range(100)}
    began = time.process_time()
    assert not check(Tree(files, AS_OF))
    assert time.process_time() - began < 5
