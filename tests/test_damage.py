"""Every part of a price file left out or wrong, one at a time: what is read instead, or what the message says."""
from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from golden_files import GOLDEN, same, spoiled, told
from offer_writer import to_csv

from pretamane_analysis.prices.api import rows_of
from pretamane_analysis.prices.api_book import answer
from pretamane_analysis.prices.book import Price, PriceBook, Query, Tier
from pretamane_analysis.prices.offer_book import OfferBook, matching
from pretamane_analysis.prices.offer_files import rows
from pretamane_analysis.prices.purchase_options import advisor, plan_rates, savings_plan_prices
from pretamane_analysis.prices.rows import prices_of
from pretamane_analysis.prices.snapshot import Snapshot
from pretamane_analysis.prices.snapshot_diff import diff, summary
from pretamane_analysis.prices.snapshot_writer import citations, intact, prices_in, write_snapshot

DATA = Path(__file__).parent / "data"
DAY = date(2026, 11, 22)
READ = {"usagetype": "*"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing is kept in the user's cache folder"""
    monkeypatch.setenv("PRETAMANE_CACHE", str(tmp_path / "cache"))


def spoiled_table(text: str, head: int) -> Iterator[tuple[str, str]]:
    """Yield a CSV file with each column left out, renamed, emptied or wrong, and lines that are broken"""
    lines = text.splitlines(keepends=True)
    before, table = lines[:head], list(csv.reader(lines[head:]))
    for number, name in enumerate(table[0]):
        for what, title, cell in (("left out", None, None), ("renamed", "Other", None), ("empty", name, ""),
                                  ("wrong", name, "?")):
            out = io.StringIO()
            changed = [[title if row is table[0] else row[number] if cell is None else cell] for row in table]
            csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
                [*row[:number], *([] if what == "left out" else new), *row[number + 1:]]
                for row, new in zip(table, changed))
            yield f"{name} {what}", "".join(before) + out.getvalue()
    for number in range(len(lines)):
        yield f"line {number + 1} left out", "".join(lines[:number] + lines[number + 1:])
    yield from (("no end", text.rstrip("\n")), ("a NUL byte", text[:-9] + "\0" + text[-8:]),
                ("one field more", text[:-1] + ",more\n"), ("an open quote", text[:-3] + '"\n'), ("nothing", ""),
                ("twice the column", text.replace("Currency", "Unit")))


def excerpt() -> dict:
    """A price list of one load balancer, with a Reserved term made of its own"""
    document = json.loads((DATA / "offers" / "AWSDataTransfer" / "sa-east-1.json").read_text(encoding="utf-8"))
    sku = next(sku for sku, terms in document["terms"]["OnDemand"].items()
               if any(len(each["priceDimensions"]) > 2 for each in terms.values()))
    return {**document, "products": {sku: document["products"][sku]},
            "terms": {"OnDemand": {sku: document["terms"]["OnDemand"][sku]}}}


def plan() -> dict:
    """A Savings Plan file of one rate"""
    return {"version": "1", "products": [{"sku": "PLAN", "productFamily": "EC2InstanceSavingsPlans", "serviceCode": "X",
                                          "usageType": "Y", "operation": "",
                                          "attributes": {"purchaseOption": "No Upfront", "purchaseTerm": "1yr"}}],
            "terms": {"savingsPlan": [{
                "sku": "PLAN", "description": "a plan", "effectiveDate": "2026-09-01T00:00:00Z",
                "leaseContractLength": {"duration": 1, "unit": "year"}, "rates": [
                    {"discountedSku": "USED", "discountedUsageType": "EUC1-BoxUsage:t3.medium", "unit": "Hrs",
                     "discountedOperation": "RunInstances", "discountedServiceCode": "AmazonEC2",
                     "rateCode": "PLAN.USED", "discountedRegionCode": "eu-central-1",
                     "discountedRate": {"price": "0.0123", "currency": "USD"}}]}]}}


def written(folder: Path, name: str, text: str) -> Path:
    """Write a file anew, so that nothing that was kept of another fits"""
    path = folder / str(len(list(folder.iterdir()))) / name
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def read_offers(folder: Path, name: str) -> Callable[[Any], list[str]]:
    """Return what reads a file in both ways"""
    def read(content: Any) -> list[str]:
        path = written(folder, name, content if isinstance(content, str) else json.dumps(content))
        found = [" | ".join(map(str, row)) for row in rows(path)]
        again = [" | ".join(map(str, row)) for row in matching(path, READ, kinds=("OnDemand", "SavingsPlan"))]
        return found + ([] if sorted(again) == sorted(found) else [f"asked: {each}" for each in again])
    return read


@pytest.mark.parametrize("form", ["json", "csv"])
def test_offer_files(form, tmp_path):
    """A price list without each of its parts, through both readers"""
    whole = excerpt() if form == "json" else to_csv(excerpt())
    cases = spoiled(whole) if form == "json" else spoiled_table(whole, 5)
    text = told("price list", whole, cases, read_offers(tmp_path, f"sa-east-1.{form}"), tmp_path)
    same(GOLDEN / "damage" / f"offers-{form}.txt", "\n".join(text))


def test_plan_files(tmp_path):
    """A Savings Plan file without each of its parts: as rows, as prices; and the CSV form"""
    def priced(document: Any) -> list[str]:
        return [text_of(each) for each in savings_plan_prices(plan_rates(document), "file")]

    table = (DATA / "savings_plans.csv").read_text(encoding="utf-8")
    short = "".join(table.splitlines(keepends=True)[:7])

    def of_table(text: str) -> list[str]:
        return [text_of(each) for each in savings_plan_prices(csv.DictReader(text.splitlines()[5:]), "file")]

    text = [*told("plan as rows", plan(), spoiled(plan()), read_offers(tmp_path, "plan.json"), tmp_path),
            *told("plan as prices", plan(), spoiled(plan()), priced, tmp_path),
            *told("plan as CSV", short, spoiled_table(short, 5), read_offers(tmp_path, "plan.csv"), tmp_path),
            *told("prices of CSV", short, spoiled_table(short, 5), of_table, tmp_path)]
    same(GOLDEN / "damage" / "plans.txt", "\n".join(text))


def test_answers_of_the_pricing_api(tmp_path):
    """An element of PriceList without each of its parts"""
    entry = json.loads((DATA / "getproducts" / "recorded.json").read_text(encoding="utf-8"))["entries"][0]
    entry["product"]["attributes"] = {name: value for name, value in entry["product"]["attributes"].items() if name in (
        "regionCode", "usagetype", "operation", "tenancy", "operatingSystem", "preInstalledSw", "servicecode")}
    entry["terms"] = {kind: dict(list(terms.items())[:1]) for kind, terms in entry["terms"].items()}
    query = Query("AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1")

    def read(document: Any) -> list[str]:
        found = answer([json.dumps(document)], datetime(2026, 11, 22, tzinfo=UTC))
        prices = prices_of(rows_of(found.entries, query), "AmazonEC2", "api")
        return [f"published {found.published}", *map(text_of, prices)]

    same(GOLDEN / "damage" / "api.txt", "\n".join(told("element", entry, spoiled(entry), read, tmp_path)))


ADVISOR = {"ranges": [{"index": 0, "label": "<5%", "dots": 0, "max": 5}],
           "spot_advisor": {"us-east-1": {"Linux": {"t3.medium": {"s": 60, "r": 0}}}}}


def product(**changes: Any) -> Price:
    """An instance's hour"""
    known = dict(service="AmazonEC2", usage_type="BoxUsage:t3.medium", unit="Hrs", region="us-east-1", sku="SKU",
                 purchase_option="OnDemand", attributes=(("operatingSystem", "Linux"), ("tenancy", "Shared")),
                 tiers=(Tier(Decimal("0.04"), Decimal(0), Decimal(10), "RATE", "2026-10-01", source="a"),
                        Tier(Decimal("0.03"), Decimal(10), None, "MORE", "2026-10-02", "page", "b", "note")))
    return Price(**{**known, **changes})


def test_the_spot_advisor(tmp_path):
    """The Spot Advisor's file without each of its parts"""
    book = PriceBook([product()])

    def read(document: Any) -> list[str]:
        return [text_of(advisor(json.dumps(document), "2026-11-01").typical(book, "us-east-1", "t3.medium"))]

    same(GOLDEN / "damage" / "advisor.txt", "\n".join(told("advisor", ADVISOR, spoiled(ADVISOR), read, tmp_path)))


def text_of(price: Price) -> str:
    """A price with its parts divided as `change` expects them"""
    return " | ".join(f"{name}={value}" for name, value in vars(price).items())


def wrong_prices() -> Iterator[tuple[str, list[Price]]]:
    """Yield prices with one field, of the price or of its tiers, that cannot be written or that is another"""
    for each in fields(Price):
        for value in ("", "a b", "\x01", "other", ()) if each.name not in ("tiers", "attributes") else ((),):
            if isinstance(value, str) or each.name in ("tiers", "attributes"):
                yield f"{each.name} {value!r}", [product(**{each.name: value})]
    first, last = product().tiers
    for each in fields(Tier):
        for value in (Decimal(-1), Decimal("NaN"), Decimal(20)) if each.name in ("usd", "begin", "end", "upfront_usd") \
                else ("", "\x01", "other"):
            yield f"tier {each.name} {value!r}", [product(tiers=(replace(first, **{each.name: value}), last))]
    yield from (("no price", []), ("the same twice", [product(), product()]), ("an end below", [product(tiers=(
        first, replace(last, end=Decimal(10))))]), ("tiers turned", [product(tiers=(last, first))]),
        ("other rates", [product(), product(tiers=(last,))]), ("other SKU", [product(), product(sku="S2")]),
        ("signs", [product(attributes=(("a;b=c%", "d;e=f%\n"), ("operation", "x\ny"), ("productFamily", "p;")))]))


def test_what_a_snapshot_holds(tmp_path):
    """Prices that are written and read again, or refused; the difference from the first; what the manifest says"""
    def read(prices: list[Price]) -> list[str]:
        folder = tmp_path / "s" / str(len(list((tmp_path / "s").iterdir())))
        about = write_snapshot(folder, prices, [{"service": "AmazonEC2", "source": "here"}], DAY, note="n",
                               citations={"a": "where it stood"})
        found = list(prices_in(Snapshot(folder=folder)))
        changes = list(diff([product()], found))
        return [*map(text_of, found), *map(str, changes), *map(str, summary(changes)), str(citations(folder)),
                json.dumps({key: value for key, value in about.items() if key != "files"}, sort_keys=True)]

    (tmp_path / "s").mkdir()
    text = told("snapshot", [product()], wrong_prices(), read, tmp_path / "s")
    same(GOLDEN / "damage" / "written.txt", "\n".join(text))


def test_a_damaged_snapshot(tmp_path):
    """A snapshot whose manifest or table lacks each of its parts"""
    folder = tmp_path / "whole"
    write_snapshot(folder, [product()], [], DAY, citations={"a": "where it stood"})
    table = next(folder.rglob("us-east-1.csv"))
    manifest, prices = json.loads((folder / "manifest.json").read_text()), table.read_text()

    def read(content: Any) -> list[str]:
        (folder / "manifest.json").write_text(json.dumps(content if isinstance(content, dict) else manifest))
        table.write_text(content if isinstance(content, str) else prices)
        return [*map(str, PriceBook.find(book := Snapshot(folder=folder), Query(
            "AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1")).tiers), str(book.as_of), str(bool(intact(folder)))]

    some = {key: value for key, value in manifest.items() if key != "files"}
    text = [*told("manifest", manifest, spoiled(some), read, folder),
            *told("table", prices, spoiled_table(prices, 0), read, folder)]
    same(GOLDEN / "damage" / "snapshots.txt", "\n".join(text))


def test_questions_without_an_answer(tmp_path):
    """A question with each field wrong, to a list of prices, a snapshot and offer files"""
    whole = Query("AWSDataTransfer", "DataTransfer-Out-Bytes", "GB", "sa-east-1",
                  attributes=(("operation", ""), ("transferType", "AWS Outbound")))
    cases = [(f"{each.name} {value!r}", replace(whole, **{each.name: value})) for each in fields(Query)
             for value in (("", "DataTransfer-Out", "eu-west-1", "Reserved-1yr-NoUpfront") if each.name != "attributes"
                           else ((), (("transferType", "?"),), (("color", "red"),)))]
    offers = OfferBook(place=str(DATA / "offers"))
    file = DATA / "offers" / "AWSDataTransfer" / "sa-east-1.json"
    listed = PriceBook(prices_of(rows(file), "AWSDataTransfer", "list"))
    text: list[str] = []
    for name, book in (("offers", offers), ("list", listed)):
        text += told(name, whole, iter(cases), lambda query, book=book: [text_of(book.find(query))], DATA)
    same(GOLDEN / "damage" / "questions.txt", "\n".join(text))


@pytest.mark.parametrize(("attribute", "value"), [
    ("preInstalledSw", "SQL Web"), ("capacitystatus", "UnusedReservation"), ("locationType", "AWS Local Zone"),
    ("regionCode", "us-east-1")])
def test_what_is_not_usual_is_no_answer(attribute, value, tmp_path):
    """Of two products with one usage type, the one with software, in a zone or of another region is not asked for"""
    document = excerpt()
    sku, = document["products"]
    other = json.loads(json.dumps(document).replace(sku, "OTHERSKU"))
    other["products"]["OTHERSKU"]["attributes"][attribute] = value
    document["products"] |= other["products"]
    document["terms"]["OnDemand"] |= other["terms"]["OnDemand"]
    path = written(tmp_path, "sa-east-1.json", json.dumps(document))
    found = OfferBook(place=str(path)).candidates("AWSDataTransfer", "sa-east-1", "DataTransfer-Out-Bytes")
    assert [each.sku for each in found] == [sku]
