"""Values at the edge of a rule: each of these was once changed by a mutation and no test noticed."""
from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.base.tables import less
from pretamane_analysis.bill.bill import AllowanceLedger
from pretamane_analysis.emit.targets import served_under
from pretamane_analysis.prices.book import Price, PriceError, Tier, spread
from pretamane_analysis.prices.rows import Row, prices_of
from pretamane_analysis.prices.snapshot import age_text
from pretamane_analysis.resources import SearchDomain
from pretamane_analysis.stack.service import Service
from pretamane_analysis.stack.stack import loads

SHOP = """
name: shop
region: us-east-1
services:
  front: {role: application, image: "example/front:1", memory: 256Mi, ports: {http: 8000}, routes: [{path: /, port: http}]}
  back: {role: application, image: "example/back:1", memory: 256Mi, ports: {http: 9000, admin: 9001}, routes: [%s]}
"""  # noqa: E501


@pytest.mark.parametrize(("routes", "owner"), [
    ("{path: /, port: http}", "front"),
    ("{path: /api, port: http}, {path: /api, port: admin}", "back"),
])
def test_a_path_that_is_routed_twice_is_refused(routes, owner):
    """Two services, or one service twice: the request can go to one place only"""
    with pytest.raises(PretamaneError, match=f"is already routed to '{owner}'"):
        loads(SHOP % routes)
    assert len(loads(SHOP % "{path: /api, port: http}, {path: /admin, port: admin}").services["back"].routes) == 2


def rate(region: str, *tiers: Tier) -> Price:
    """A price of internet egress in a region"""
    return Price("AWSDataTransfer", "DataTransfer-Out-Bytes", "GB", region, "OnDemand", tiers)


def test_each_region_fills_its_own_tiers():
    """Ten terabytes in each of two regions are each billed at the first tier of their own region"""
    edge = Decimal(10240)
    here, there = (rate(region, Tier(Decimal("0.09"), Decimal(0), edge), Tier(Decimal("0.085"), edge))
                   for region in ("us-east-1", "eu-west-1"))
    used = AllowanceLedger()
    rates = [tier.usd for price in (here, there, here) for tier, _ in used.tiers(price, edge)]
    assert rates == [Decimal("0.09"), Decimal("0.09"), Decimal("0.085")]


@pytest.mark.parametrize(("gb", "included"), [(1, 250), (3072, 250), (3073, 500), (6144, 500), (6145, 750)])
def test_search_throughput_is_included_for_each_started_3_tb(gb, included):
    """OpenSearch includes 250 MiB/s of gp3 throughput for each started 3,072 GB"""
    def billed(mibps: int) -> list[Decimal]:
        domain = SearchDomain(name="search", instance_type="m6g.large.search", disk_gb=Decimal(gb),
                              disk_mibps=Decimal(mibps))
        return [each.quantity for each in domain.charges(Decimal(730)) if "Throughput" in each.query.usage_type]

    assert billed(included) == [] and billed(included + 1) == [Decimal(1)]


def tool(*paths: str) -> Service:
    """A tool behind basic auth at some paths"""
    routes = [{"path": path, "port": "http", "auth": "basic", "strip_prefix": False} for path in paths]
    return Service(role="dashboards", image="example/tool:1", memory="64Mi", ports={"http": 3000}, routes=routes)


def test_a_tool_with_several_paths_is_served_under_none():
    """One path is a prefix; with two, none of them is, and neither is with none"""
    assert served_under(tool("/grafana")) == served_under(tool("/grafana/")) == "/grafana"
    assert served_under(tool("/grafana", "/charts")) == served_under(tool()) == ""


def dimension(begin: str, end: str, usd: str) -> Row:
    """A price dimension as an offer file has it"""
    return Row("SKU1", "JRTC", f"SKU1.JRTC.{begin}", "OnDemand", "", "", "", "GB", begin, end, usd, "USD",
               "2026-01-01", "us-east-1", "DataTransfer-Out-Bytes", "", "Data Transfer", "{}")


def test_offer_tiers_keep_where_they_begin():
    """A product whose first tier begins above 0 has no rate below it, and each later tier begins where the file says"""
    rows = [dimension("10240", "51200", "0.085"), dimension("51200", "Inf", "0.07")]
    price, = prices_of(rows, "AWSDataTransfer", "offers")
    assert [(tier.begin, tier.end) for tier in price.tiers] == [(10240, 51200), (51200, None)]
    with pytest.raises(PriceError, match="no rate is known for 1 GB"):
        list(spread(price, Decimal(1)))
    assert [part for _, part in spread(price, Decimal(50000), Decimal(10240))] == [40960, 9040]


def test_prices_are_old_after_180_days_not_before():
    """180 days are no reason for a warning, 181 are"""
    day = date(2026, 1, 1)
    assert "WARNING" not in age_text(day, day + timedelta(180))
    assert "WARNING" in age_text(day, day + timedelta(181))


def test_no_difference_is_not_more():
    """A saving of nothing is no extra cost"""
    assert (less(Decimal(0)) == "0 % less"
            and less(Decimal("-0.1")).endswith("more") and less(Decimal("0.1")).endswith("less"))
