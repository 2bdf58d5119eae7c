"""Drift between a snapshot and live prices, what it does to the bills, and a refresh for a stack."""
from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.base.tables import to_json
from pretamane_analysis.bill.architectures import architecture, bill_of, compared, names_for
from pretamane_analysis.bill.options import options as ways
from pretamane_analysis.bill.sizing import candidates, host_for
from pretamane_analysis.bill.verify import buildable, document, refresh, required_queries, verify
from pretamane_analysis.cli.main import main
from pretamane_analysis.prices.book import MissingPrice, Price, PriceBook, Query
from pretamane_analysis.prices.rows import RowBook, prices_of, rows_of_term
from pretamane_analysis.prices.snapshot import Snapshot, bundled
from pretamane_analysis.prices.snapshot_writer import intact
from pretamane_analysis.stack.stack import example

STACK, BOOK, DAY = example(), bundled(), date(2026, 11, 22)
OFFERS = [{"service": "all", "region": "us-east-1", "version": "1", "publication_date": "2026-11-22T00:00:00Z",
           "source": "example", "sha256": ""}]
HOST, DISK, TRAFFIC = "BoxUsage:t3a.large", "EBS:VolumeUsage.gp3", "DataTransfer-Out-Bytes"


@dataclass
class Live(PriceBook):
    """The bundled prices, except where one is moved, gone or doubled"""

    source: str = "live"
    factors: dict[str, Decimal] | None = None
    gone: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()

    def candidates(self, service: str, region: str, usage_type: str) -> list[Price]:
        """What the bundled snapshot holds, changed"""
        if usage_type in self.gone:
            return []
        factor = (self.factors or {}).get(usage_type, Decimal(1))
        found = [replace(price, tiers=tuple(replace(tier, usd=tier.usd * factor) for tier in price.tiers))
                 for price in BOOK.candidates(service, region, usage_type)]
        return found * 2 if usage_type in self.doubled else found

    def usage_types(self, service: str, region: str) -> list[str]:
        """As bundled"""
        return BOOK.usage_types(service, region)

    def regions(self, service: str) -> list[str]:
        """As bundled"""
        return BOOK.regions(service)


def by_type(drift) -> dict[str, dict]:
    """Rows of what is not the same, by usage type"""
    return {row["usage_type"]: row for row in drift.rows()}


def test_nothing_moved():
    """Against itself nothing has drifted, and both totals are the bills'"""
    drift = verify(compared(STACK), STACK, BOOK, BOOK)
    assert not drift.drifted and drift.rows() == [] and set(drift.counts()) == {"same"}
    bills = {name: bill_of(architecture(name, STACK, BOOK), STACK, BOOK).total for name in compared(STACK)}
    assert {each.architecture: (each.snapshot, each.live)
            for each in drift.totals} == {name: (total, total) for name, total in bills.items()}


def test_what_moved_and_what_it_makes():
    """Percent, old and new rate, and the exact effect on each bill; tiers are billed as the bill does"""
    live = Live(factors={HOST: Decimal("1.25"), DISK: Decimal("0.5"), TRAFFIC: Decimal(2)})
    drift = verify(compared(STACK), STACK, BOOK, live)
    rows = by_type(drift)
    assert set(rows) == {HOST, DISK, TRAFFIC} and all(row["status"] == "moved" for row in rows.values())
    assert (rows[HOST]["snapshot"], rows[HOST]["live"], rows[HOST]["percent"]) == ("0.0752", "0.094", 25)
    assert rows[HOST]["ec2 USD/month"] == Decimal("0.0188") * 730 and rows[HOST]["eks USD/month"] is None
    for total in drift.totals:
        chosen = architecture(total.architecture, STACK, BOOK)
        assert total.snapshot == bill_of(chosen, STACK, BOOK).total and total.live == bill_of(chosen, STACK, live).total
        moved = sum(row[f"{total.architecture} USD/month"] or 0 for row in rows.values())
        assert total.live - total.snapshot == moved == total.row()["difference"]


def test_rounding_is_no_drift():
    """Hourly rates of leases with a fee are spread over 8,760 hours; digits that the list does not print are none"""
    drift = verify(["ec2"], STACK, BOOK, Live(factors={HOST: Decimal("1.0000000001")}))
    assert not drift.drifted


@pytest.mark.parametrize("snapshot, live, status", [
    (BOOK, Live(gone=(DISK,)), "missing live"), (Live(gone=(DISK,)), BOOK, "missing in the snapshot"),
    (Live(gone=(DISK,)), Live(gone=(DISK,)), "missing"), (BOOK, Live(doubled=(DISK,)), "ambiguous"),
    (Live(doubled=(DISK,)), BOOK, "ambiguous")])
def test_what_is_missing_is_no_zero(snapshot, live, status):
    """A price that is not there has no effect and no total, on the side that lacks it"""
    drift = verify(["ec2"], STACK, snapshot, live)
    row = by_type(drift)[DISK]
    assert drift.drifted and row["status"] == status and row["ec2 USD/month"] is None and row["percent"] is None
    assert ("no price for" in row["message"]) == status.startswith("missing") and drift.counts()[status] == 1
    total = drift.totals[0]
    known = bill_of(architecture("ec2", STACK, BOOK), STACK, BOOK).total
    assert (total.snapshot, total.live) == tuple(known if book is BOOK else None for book in (snapshot, live))
    assert total.row()["difference"] is None


def test_a_lost_connection_is_an_error():
    """An error that is no missing price ends the check"""
    class Broken(PriceBook):
        """No network"""

        def find(self, query: Query) -> Price:
            """Always fails"""
            raise PretamaneError("no network")

    with pytest.raises(PretamaneError, match="no network"):
        verify(["ec2"], STACK, BOOK, Broken())
    with pytest.raises(PretamaneError, match="unknown architecture"):
        verify(["eck2"], STACK, BOOK, BOOK)


def test_document():
    """The JSON of a drift: both books, counts, every price, both totals of every bill; amounts as text"""
    drift = verify(["ec2", "eks"], STACK, BOOK, Live(factors={HOST: Decimal(2)}))
    found = json.loads(to_json(document(drift)))
    assert found["drift"] is True and found["counts"]["moved"] == 1
    assert found["live"]["source"] == "live" and found["snapshot"]["as_of"] == str(BOOK.as_of)
    assert len(found["prices"]) == sum(found["counts"].values()) and len({tuple(row) for row in found["prices"]}) == 1
    assert [row["architecture"] for row in found["bills"]] == ["ec2", "eks"]
    assert Decimal(found["bills"][0]["difference"]) == Decimal("54.896")


def test_list_prices_are_checked_too():
    """A committed host asks for the on-demand rate as well: it moves no bill, but ListCost"""
    stack = STACK.model_copy(update={"host": STACK.host.model_copy(
        update={"instance_type": "t3.medium", "purchase_option": "Reserved-1yr-NoUpfront"})})
    drift = verify(["ec2"], stack, BOOK, BOOK)
    rows = {row["option"]: row for row in drift.rows(same=True) if row["usage_type"] == "BoxUsage:t3.medium"}
    assert set(rows) == {"OnDemand", "Reserved-1yr-NoUpfront"} and rows["OnDemand"]["ec2 USD/month"] is None


# The real price list

def offer_book() -> RowBook:
    """Load balancers of São Paulo, as the offer file of 2026-07-20 prints them"""
    offer = json.loads((Path(__file__).parent / "data" / "elb_sa_east_1.json").read_text(encoding="utf-8"))
    book = RowBook(source="AWSELB 20260720184950")
    book.add(prices_of((row for sku, terms in offer["terms"]["OnDemand"].items() for term in terms.values()
                        for row in rows_of_term(offer["products"][sku], "OnDemand", term)), "AWSELB", "AWSELB"))
    return book


def test_a_real_offer_file():
    """Thirteen attributes there, three here: the same product, the same rates; one of them raised shows"""
    stack = STACK.model_copy(update={"region": "sa-east-1"})
    queries = [query
               for query in required_queries([stack], ["eks"], ["typical"], chooser=BOOK) if query.service == "AWSELB"]
    assert {query.usage_type for query in queries} == {"LoadBalancerUsage", "LCUUsage"}
    live = offer_book()
    raised = RowBook(source="raised")
    raised.add(replace(price, tiers=(replace(price.tiers[0], usd=price.tiers[0].usd + Decimal("0.001")),))
               for found in live.index.values() for price in found)
    for book, status in ((live, "same"), (raised, "moved")):
        rows = [row for row in verify(["eks"], stack, BOOK, book).rows(same=True) if row["service"] == "AWSELB"]
        assert {row["usage_type"]: row["status"] for row in rows} == {"LoadBalancerUsage": status, "LCUUsage": status}
    hour = next(row for row in rows if row["usage_type"] == "LoadBalancerUsage")
    assert hour["eks USD/month"] == Decimal("0.73") and (hour["snapshot"], hour["live"]) == ("0.034", "0.035")


# Refresh

@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-1"])
def test_refreshed_prices_give_the_same_bills(tmp_path, region):
    """What `required_queries` asks is all that four architectures, three scenarios and sizing need"""
    stack, seen = STACK.model_copy(update={"region": region}), []
    done = refresh(BOOK, required_queries([stack]), tmp_path, lambda: OFFERS, DAY, progress=seen.append)
    assert len(seen) == done.asked == len(done.unanswered) + len(
        {query for query in seen} - {query for query, _ in done.unanswered})
    book = Snapshot(folder=tmp_path)
    for scenario in ("low", "typical", "high"):
        machine = host_for(stack, None, scenario)
        assert candidates(book, region, machine) == candidates(BOOK, region, machine)
        for name in compared(stack):
            try:
                expected = bill_of(architecture(name, stack, BOOK, scenario), stack, BOOK).total
            except MissingPrice as error:
                assert any(query.usage_type in str(error) for query, _ in done.unanswered)
                with pytest.raises(MissingPrice):
                    bill_of(architecture(name, stack, book, scenario), stack, book)
            else:
                assert bill_of(architecture(name, stack, book, scenario), stack, book).total == expected


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-3"])
def test_all_ways_can_be_refreshed(tmp_path, region):
    """With what all ways ask for, the table of options is the same from the refreshed folder"""
    stack = STACK.model_copy(update={"region": region})
    refresh(BOOK, required_queries([stack], buildable(stack), ["typical"]), tmp_path, lambda: OFFERS, DAY)
    before, after = (ways(stack, book) for book in (BOOK, Snapshot(folder=tmp_path)))
    assert [(each.name, each.side and each.side.bill.total) for each in before] == [
        (each.name, each.side and each.side.bill.total) for each in after] and len(before) == 8


def test_prices_verbs_know_all_ways(capsys):
    """`--architecture all` in coverage and verify; what cannot run a stack at all is no missing price"""
    assert main(["prices", "coverage", "--region", "us-east-1", "--architecture", "all"]) == 0
    assert "1 of 1 regions" in capsys.readouterr().out
    assert main(["prices", "coverage", "--region", "ca-central-1", "--architecture", "ec2-pair"]) == 0
    assert "1 of 1 regions" in capsys.readouterr().out  # a comparison lacks DynamoDB's prices there
    again = ["prices", "verify", "--architecture", "all", "--prices", str(BOOK.folder), "--format", "json"]
    assert main(again) == 0
    row = json.loads(capsys.readouterr().out)["prices"][0]
    assert {f"{name} USD/month" for name in names_for(STACK)} <= {*row}
    gpu = STACK.model_copy(update={"services": {name: each.model_copy(update={"gpus": int(each.role == "application")})
                                                for name, each in STACK.services.items()}})
    assert "ecs-fargate" not in buildable(gpu) and "ec2" in buildable(gpu)


def test_missing_is_reported_and_stays_missing(tmp_path):
    """A price that the live source lacks is in the report and in no bill"""
    done = refresh(Live(gone=(DISK,)), required_queries([STACK]), tmp_path, OFFERS, DAY, note="without a disk")
    assert DISK in {row["usage_type"] for row in done.rows()} and {row["status"] for row in done.rows()} == {"missing"}
    book = Snapshot(folder=tmp_path)
    with pytest.raises(MissingPrice, match=DISK):
        bill_of(architecture("ec2", STACK, book), STACK, book)


def test_ambiguous_is_not_made_clear(tmp_path):
    """Of two prices that match a wide question, the one that a narrow question found is not kept alone"""
    cheap, dear = (Price("AWSELB", "LCUUsage", "LCU-Hrs", "us-east-1", "OnDemand",
                         BOOK.find(Query("AmazonEC2", DISK, "GB-Mo", "us-east-1")).tiers,
                         attributes=(("operation", operation),))
                   for operation in ("LoadBalancing:Network", "LoadBalancing:Application"))
    other = replace(cheap, usage_type="LoadBalancerUsage")
    wide = Query("AWSELB", "LCUUsage", "LCU-Hrs", "us-east-1")
    queries = [replace(wide, attributes=cheap.attributes), wide, replace(wide, usage_type="LoadBalancerUsage")]
    done = refresh(PriceBook([cheap, dear, other]), queries, tmp_path, OFFERS, DAY)
    assert [row["status"] for row in done.rows()] == ["ambiguous"] and done.manifest["kept"]["prices"] == 1
    with pytest.raises(MissingPrice):
        Snapshot(folder=tmp_path).find(wide)


def test_a_failed_refresh_changes_nothing(tmp_path):
    """A connection lost half way, or a source that knows nothing, leaves the old snapshot"""
    refresh(BOOK, required_queries([STACK], ["ec2"], ["typical"]), tmp_path, OFFERS, DAY)
    before = intact(tmp_path)

    class Cut(Live):
        """Fails at the tenth question"""

        asked = 0

        def find(self, query: Query) -> Price:
            """Fails once"""
            Cut.asked += 1
            if Cut.asked == 10:
                raise PretamaneError("connection lost")
            return super().find(query)

    for live, words in ((Cut(), "connection lost"), (PriceBook(), "none of")):
        with pytest.raises(PretamaneError, match=words):
            refresh(live, required_queries([STACK]), tmp_path, OFFERS, DAY)
        assert intact(tmp_path) == before


def test_extra_prices_are_kept(tmp_path):
    """Spot and plans go into the same snapshot"""
    spot = replace(BOOK.find(Query("AmazonEC2", HOST, "Hrs", "us-east-1",
                                   attributes=(("operatingSystem", "Linux"), ("tenancy", "Shared")))),
                   purchase_option="Spot-current")
    refresh(BOOK, required_queries([STACK], ["ec2"], ["typical"]), tmp_path, OFFERS, DAY, extra=[spot])
    assert Snapshot(folder=tmp_path).find(Query("AmazonEC2", HOST, "Hrs", "us-east-1",
                                                "Spot-current")).tiers == spot.tiers


def test_wanted_follows_the_purchase_option():
    """A host that is not named may be any candidate, each under the stack's option"""
    reserved = STACK.model_copy(
        update={"host": STACK.host.model_copy(update={"purchase_option": "Reserved-3yr-AllUpfront"})})
    plain, more = set(required_queries([STACK])), set(required_queries([reserved]))
    hours = {query.usage_type for query in plain if query.usage_type.startswith("BoxUsage:")}
    assert {query.usage_type for query in more if query.purchase_option == "Reserved-3yr-AllUpfront"} == hours
    assert len(hours) > 20 and plain <= more and len(required_queries([STACK, STACK])) == len(plain)
