"""What holds for every stack, not only for the example."""
from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretamane_analysis.bill.architectures import (
    architecture,
    bill_of,
    names_for,
)
from pretamane_analysis.bill.bill import bill
from pretamane_analysis.bill.compare import attribution, compare
from pretamane_analysis.bill.features import features_of
from pretamane_analysis.bill.sides import feature_rows
from pretamane_analysis.prices.book import Price, PriceBook, Tier, spread
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.resources import InternetEgress, Volume
from pretamane_analysis.stack.stack import Stack, dump, example, loads

EXAMPLE = example()
BOOK = bundled()
AMOUNT = st.decimals(0, 5000, places=2)


@st.composite
def stacks(draw):
    """The example with services taken away, other memory and other usage"""
    kept = draw(st.sets(st.sampled_from(sorted(EXAMPLE.services)), min_size=1))
    named = draw(st.booleans())  # the type of the nodes, so that what runs on each of them must be small
    services = {}
    for name, each in EXAMPLE.services.items():
        if name in kept:
            depends_on = {other: how for other, how in each.depends_on.items() if other in kept}
            services[name] = each.model_copy(update={"depends_on": depends_on,
                                                     "memory": f"{draw(st.integers(16, 1000 if named else 3000))}Mi"})
    usage = {name: sorted(draw(st.lists(AMOUNT, min_size=3, max_size=3)))
             for name in ("egress_gb", "stored_gb", "log_gb", "database_gb")}
    content = EXAMPLE.model_dump()
    content["services"] = {name: each.model_dump() for name, each in services.items()}
    content["managed"] = {name: each for name, each in content["managed"].items() if name in services}
    content["eks"] |= {} if named else {"node_instance_type": None, "nodes": None}
    content["usage"] |= {name: dict(zip(("low", "typical", "high"), values, strict=True))
                         for name, values in usage.items()}
    return Stack.model_validate(content)


@settings(max_examples=25, deadline=None)
@given(stacks(), st.sampled_from(["low", "typical", "high"]))
def test_bills_add_up(stack, scenario):
    """Totals are the sums of their features, features are those of the stack, nothing is negative, free lines have a
    reason"""
    for name in names_for(stack):
        priced = bill_of(architecture(name, stack, BOOK, scenario), stack, BOOK)
        assert sum(priced.by().values()) == priced.total == sum(line.cost for line in priced.lines)
        assert set(priced.by()) <= {each.key for each in features_of(stack)}
        assert all(line.cost >= 0 for line in priced.lines)
        assert all(line.note for line in priced.lines if not line.cost and line.tier.startswith("free"))


@settings(max_examples=10, deadline=None)
@given(stacks())
def test_comparisons_add_up(stack):
    """Feature rows add up to both totals, the attribution to the saving; the host of equal memory has it"""
    found = compare(stack, BOOK)
    rows = feature_rows(found.baseline, found.alternative, stack)
    assert sum(row["baseline"] for row in rows) == found.baseline.bill.total
    assert sum(row["alternative"] for row in rows) == found.alternative.bill.total
    assert abs(sum(row["usd"] for row in attribution(found.totals)) - found.saving.usd) < Decimal("1e-15")  # 28 digits
    assert found.same_memory.architecture.capacity.memory_mib >= found.baseline.architecture.capacity.memory_mib


@settings(max_examples=25, deadline=None)
@given(stacks())
def test_yaml_keeps_everything(stack):
    """A stack written as YAML and read again is the same stack"""
    assert loads(dump(stack)) == stack


@settings(max_examples=200, deadline=None)
@given(st.lists(st.decimals("0.01", 100, places=2), min_size=1, max_size=5, unique=True),
       st.decimals(0, 1000, places=3), st.decimals(0, 1000, places=3))
def test_tiers_cover_and_never_depend_on_how_usage_is_cut(widths, first, second):
    """Spreading two quantities one after the other costs what spreading their sum costs, and covers all of it"""
    bounds = [Decimal(0)]
    for width in widths:
        bounds.append(bounds[-1] + width)
    tiers = [Tier(Decimal(10 - i), begin,
                  end) for i, (begin, end) in enumerate(zip(bounds, [*bounds[1:-1], None], strict=False))]
    price = Price("X", "x", "GB", "r", "OnDemand", tuple(tiers))
    whole = list(spread(price, first + second))
    parts = [*spread(price, first), *spread(price, second, used=first)]
    assert sum(quantity for _, quantity in whole) == first + second
    assert sum(tier.usd * quantity for tier, quantity in parts) == sum(tier.usd * quantity for tier, quantity in whole)


@settings(max_examples=50, deadline=None)
@given(st.lists(AMOUNT, min_size=1, max_size=6))
def test_egress_is_one_account(amounts):
    """However egress is divided among resources, the allowance and the tiers count once"""
    apart = bill([InternetEgress(gb=each) for each in amounts], BOOK, "us-east-1").total
    assert apart == bill([InternetEgress(gb=sum(amounts))], BOOK, "us-east-1").total


@given(st.integers(1, 50), st.integers(1, 2000), st.integers(3000, 16000))
@settings(max_examples=50, deadline=None)
def test_free_iops_count_for_each_volume(count, gb, iops):
    """The 3,000 IOPS of gp3 are included in each volume, not pooled"""
    one = bill([Volume(gb=gb, iops=iops)], BOOK, "us-east-1").total
    assert bill([Volume(gb=gb, iops=iops, count=count)], BOOK, "us-east-1").total == count * one


def test_a_missing_price_is_never_zero():
    """A book without prices cannot bill anything"""
    with pytest.raises(Exception, match="no price for"):
        bill([Volume(gb=1)], PriceBook([]), "us-east-1")
