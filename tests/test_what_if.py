"""Changes of a stack, and the table from which the report's page adds up the bill of each."""
from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.sides import side
from pretamane_analysis.bill.what_if import changed
from pretamane_analysis.prices.book import Price, PriceBook, Tier
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.report.controls import MEMORY, SIDES, Question, document
from pretamane_analysis.stack.settings import PURCHASE_OPTIONS
from pretamane_analysis.stack.stack import example

STACK, BOOK = example(), bundled()
BALANCERS = {name: STACK.model_copy(update={"eks": STACK.eks.model_copy(update={"load_balancer": name})})
             for name in ("alb", "nlb", "clb")}
EGRESS = st.decimals(0, 200_000, places=6, allow_nan=False)


@pytest.fixture(scope="module", params=BALANCERS)
def asked(request) -> tuple:
    """A stack with each kind of balancer, and its table"""
    question = Question(BALANCERS[request.param], BOOK, "typical", Decimal(730))
    return question, document(question, places=["us-east-1"])


def added(answers: dict, name: str, egress: Decimal, memory: str, option: str, region: str = "us-east-1") -> Decimal | None:  # noqa: E501
    """The total as the page adds it up; None where an amount is missing"""
    found = answers["regions"][region][name]
    bought = found["machines"][memory if name == "ec2" else ""]
    machines = bought.get(option, bought["missing"])
    entries = [*(found["features"] | machines["features"] if "features" in machines else found["features"]).values(), machines["usd"]] \
        if isinstance(machines, dict) else [machines]  # noqa: E501
    lines = [each if isinstance(each, list) else [["0", each, "0"]] for each in entries if not isinstance(each, int)]
    at = [next(line for line in reversed(lines) if Decimal(line[0]) <= egress) for lines in lines]
    return sum((Decimal(usd) + (egress - Decimal(begin)) * Decimal(rate) for begin, usd, rate in at),
               Decimal(0)) if len(at) == len(entries) else None


@settings(max_examples=60, deadline=None)
@given(egress=EGRESS, memory=st.sampled_from(MEMORY), pick=st.integers(0), name=st.sampled_from(SIDES))
def test_the_table_adds_up_to_the_bill(asked, egress, memory, pick, name):
    """Any choice: what the table gives is the bill of the changed stack, and it is missing where the bill is"""
    question, answers = asked
    option = answers["options"][pick % len(answers["options"])]
    try:
        expected = side(name, changed(question.stack, str(egress), memory, option), BOOK).bill.total
    except PretamaneError:
        expected = None
    found = added(answers, name, egress, memory, option)
    assert (found is None) == (expected is None)
    assert found is None or abs(found - expected) < Decimal("1e-10")


@cache
def ended(service: str, region: str, usage_type: str) -> list[Price]:
    """The prices that come with the package, where egress has one rate up to 500 GB and none beyond"""
    return [replace(each, tiers=(Tier(Decimal("0.09"), Decimal(0), Decimal(500)),))
            if each.usage_type == "DataTransfer-Out-Bytes" else each
            for each in BOOK.candidates(service, region, usage_type)]


class EndedBook(PriceBook):
    """A book that is no snapshot, and asks for what it is asked for alone: to look through all takes 20 s"""

    def candidates(self, service: str, region: str, usage_type: str) -> list[Price]:
        """Those with an end"""
        return ended(service, region, usage_type)


def test_a_line_ends_where_the_known_rates_end():
    """A last tier with an end ends the line: nothing is billed beyond"""
    answers = document(Question(STACK, EndedBook(), "typical", Decimal(730)))
    line = answers["regions"]["us-east-1"]["ec2"]["features"]["egress"]
    assert line == [["0", "0", "0"], ["100", "0", "0.09"], ["600", "", ""]]
    assert (list(answers["regions"]), answers["memory"]) == (["us-east-1"], [""])


def test_a_missing_price_is_a_sentence():
    """A region without a price for a feature: the number of a sentence that names it, never 0"""
    answers = document(Question(STACK, BOOK, "typical", Decimal(730)), places=["us-east-1", "ap-east-2"])
    entry = answers["regions"]["ap-east-2"]["ec2"]["features"]["disks"]
    assert "EBS:VolumeUsage.gp3" in answers["sentences"][entry] and "ap-east-2" in answers["sentences"][entry]
    assert all(option in PURCHASE_OPTIONS for option in answers["options"][1:])


def test_memory_never_shrinks_a_host_below_its_services():
    """1 GiB asked for: still the host that holds the services"""
    assert side("ec2", changed(STACK, memory="1Gi"), BOOK).architecture.instance_type == side("ec2", STACK, BOOK).architecture.instance_type  # noqa: E501


@pytest.mark.parametrize(("option", "value"),
                         [("egress", "-1"), ("egress", "many"), ("egress", "NaN"), ("memory", "16"), ("memory", "16GB"),
                          ("memory", "9999999Gi"), ("purchase_option", "Spot")])
def test_bad_changes_are_named(option, value):
    """A change that cannot be made says which and what is expected"""
    with pytest.raises(PretamaneError, match=r"expected|unknown|no x86_64 instance type"):
        side("ec2", changed(STACK, **{option: value}), BOOK)
