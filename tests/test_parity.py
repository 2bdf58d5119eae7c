"""The table of what both sides can do is about the tests that there are; test_app_api.py holds its outcomes to it."""
from __future__ import annotations

import parity

from pretamane_analysis.facts.parity import parity as behaviors

REPORT = """<testsuite><testcase name="test_a[host-x]"/><testcase name="test_a[managed-x]"/>
<testcase name="test_a[managed-y]"><failure message="no"/></testcase><testcase name="test_b[host]"><skipped/></testcase>
<testcase name="test_other"/></testsuite>"""


def test_the_table_is_about_these_tests():
    """Every test that needs a side is in it, with its own words: else run `make parity`"""
    said = parity.behaviors(parity.TESTS.read_text(encoding="utf-8"))
    assert [(each.test, each.says) for each in behaviors()] == list(said.items())


def test_one_case_that_fails_is_a_behavior_that_is_missing():
    """A test passed on a side when each of its cases did; one that was skipped did not pass"""
    found = parity.outcomes(REPORT)
    assert found == {("test_a", "host"): True, ("test_a", "managed"): False, ("test_b", "host"): False}
    made = parity.table({"test_a": "Says a, and b"}, found)
    assert made == 'test,says,host,managed\ntest_a,"Says a, and b",passed,failed\n'
