"""Savings Plans and spot as purchase options: files, APIs over HTTP, bills.

The plan files' layout is real (the first two rates are), the rates of t3.medium in it are made up.
"""
from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import boto3
import pytest
import yaml
from botocore.config import Config

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.bill import bill
from pretamane_analysis.cli.main import main
from pretamane_analysis.prices.book import (
    ON_DEMAND,
    MissingPrice,
    PriceBook,
    PriceError,
    Query,
)
from pretamane_analysis.prices.purchase_options import (
    advisor,
    fetch_advisor,
    plan_rates,
    savings_plan_prices,
    savings_plans_live,
    spot_prices,
    spot_quotes,
)
from pretamane_analysis.prices.rows import Row
from pretamane_analysis.prices.snapshot import Snapshot, bundled
from pretamane_analysis.prices.snapshot_writer import write_snapshot
from pretamane_analysis.resources import Instances, NodeGroup
from pretamane_analysis.stack.stack import example_text, loads

DAY = date(2026, 11, 22)
FILE = Path(__file__).parent / "data" / "savings_plans.csv"
LINUX = (("operatingSystem", "Linux"), ("tenancy", "Shared"))


def hour(option: str, instance_type: str = "t3.medium", region: str = "us-east-1", attributes=LINUX) -> Query:
    """What an instance's hour asks"""
    return Query("AmazonEC2", f"BoxUsage:{instance_type}", "Hrs", region, option, attributes)


def lines() -> list[dict[str, str]]:
    """The rates of the CSV file, by column"""
    with FILE.open(newline="") as handle:
        return list(csv.DictReader(list(handle)[5:]))


# Savings Plan files

RATES = {"SavingsPlanEC2Instance-1yr-NoUpfront": "0.0262", "SavingsPlanCompute-1yr-NoUpfront": "0.0303"}


def test_plans_from_csv():
    """Shared Linux and Windows hours and Fargate; dedicated, unused and Lambda are left out"""
    prices = list(savings_plan_prices(lines(), "AmazonComputeSavingsPlan 20250911184447"))
    assert [(price.service, price.usage_type, price.purchase_option) for price in prices] == [
        ("AmazonEC2", "BoxUsage:t3.medium", "SavingsPlanEC2Instance-1yr-NoUpfront"),
        ("AmazonEC2", "BoxUsage:t3.medium", "SavingsPlanCompute-1yr-NoUpfront"),
        ("AmazonEC2", "BoxUsage:t3.medium", "SavingsPlanCompute-1yr-NoUpfront"),
        ("AmazonECS", "Fargate-vCPU-Hours:perCPU", "SavingsPlanCompute-1yr-NoUpfront")]
    book = PriceBook(prices)
    for option, usd in RATES.items():
        found = book.find(hour(option))
        assert (found.tiers[0].usd, found.as_of, found.confidence,
                found.sku) == (Decimal(usd), "2025-09-01", "listed", "MADEUPSKU0000001")
        assert found.tiers[0].rate_code.endswith(
            ".MADEUPSKU0000001") and found.tiers[0].source == "AmazonComputeSavingsPlan 20250911184447"
    assert book.find(hour("SavingsPlanCompute-1yr-NoUpfront",
                          attributes=(("operatingSystem", "Windows"),))).tiers[0].usd == Decimal("0.0487")


def test_plans_from_json_and_rows_are_the_same():
    """The JSON layout and rows of a reader give the prices of the CSV file"""
    expected = list(savings_plan_prices(lines(), "x"))
    document = {"products": [], "terms": {"savingsPlan": []}}
    for each in lines():
        if each["SKU"] not in {product["sku"] for product in document["products"]}:
            document["products"].append({"sku": each["SKU"], "productFamily": each["Product Family"], "attributes": {
                "purchaseOption": each["PurchaseOption"], "purchaseTerm": "1yr"}})
        document["terms"]["savingsPlan"].append({
            "sku": each["SKU"], "effectiveDate": each["EffectiveDate"],
            "leaseContractLength": {"duration": int(each["LeaseContractLength"]), "unit": "year"},
            "rates": [{"discountedSku": each["DiscountedSKU"], "discountedUsageType": each["DiscountedUsageType"],
                       "discountedOperation": each["DiscountedOperation"],
                       "discountedServiceCode": each["DiscountedServiceCode"], "rateCode": each["RateCode"],
                       "unit": each["Unit"], "discountedRate": {"price": each["DiscountedRate"], "currency": "USD"}}]})
    assert list(savings_plan_prices(plan_rates(document), "x")) == expected
    rows = [Row(each["DiscountedSKU"], each["SKU"], each["RateCode"], "SavingsPlan", f"{each['LeaseContractLength']}yr",
                each["PurchaseOption"], "", each["Unit"], "0", "Inf",
                each["DiscountedRate"], "USD", each["EffectiveDate"], each["DiscountedRegionCode"],
                each["DiscountedUsageType"], each["DiscountedOperation"],
                each["Product Family"], json.dumps({"discountedServiceCode": each["DiscountedServiceCode"]}))
            for each in lines()]
    assert list(savings_plan_prices(rows, "x")) == expected


@pytest.mark.parametrize("change, words",
                         [({"DiscountedRate": "free"}, "is not a number"), ({"DiscountedRate": "-1"}, "is not a price"),
                          ({"DiscountedRate": "Infinity"}, "is not a price"),
                          ({"DiscountedUsageType": None}, "not a Savings Plan rate")])
def test_bad_plans(change, words):
    """A rate that is none is an error, not a price"""
    with pytest.raises(PretamaneError, match=words):
        list(savings_plan_prices([{**lines()[2], **change}], "x"))


@pytest.mark.parametrize("usage_type, region",
                         [("BoxUsage:u-6tb1.metal", "us-east-1"), ("EU-BoxUsage:t3.medium", "eu-west-1"),
                          ("SAE1-BoxUsage:t3.medium", "sa-east-1"), ("LAX1-BoxUsage:t3.medium", None)])
def test_the_region_of_a_usage_type(usage_type, region):
    """Where a file does not name the region, the prefix does; zones inside a region are left out"""
    found = list(savings_plan_prices([{**lines()[2], "DiscountedRegionCode": "", "DiscountedUsageType": usage_type}],
                                     "x"))
    assert [price.region for price in found] == ([region] if region else [])


def test_other_files_are_refused():
    """Neither a plan file nor its lines"""
    with pytest.raises(PriceError, match="not a Savings Plan file"):
        list(plan_rates({"products": {}, "terms": {"OnDemand": {}}}))
    with pytest.raises(PriceError, match="not a Savings Plan rate"):
        list(savings_plan_prices([{"SKU": "x"}], "x"))
    assert list(savings_plan_prices([{**lines()[2], "Currency": "CNY"}], "x")) == []


# APIs, over HTTP

@contextmanager
def server(answer: Callable[[str, bytes],
                            tuple[int, dict[str, str], bytes]]) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server on this machine that answers by path and body, and what it was asked"""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        """Every method is answered alike"""

        def do_POST(self):
            """Answer once"""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.path, body))
            status, headers, content = answer(self.path, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *arguments):
            """Be quiet"""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        running.server_close()


def client(service: str, url: str) -> object:
    """A boto3 client of a local server"""
    return boto3.client(service, region_name="us-east-1", endpoint_url=url, aws_access_key_id="none",
                        aws_secret_access_key="none",
                        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5, proxies={}))


def offering(rate: str, plan: str, seconds: int = 31_536_000, **changes) -> dict:
    """One result of DescribeSavingsPlansOfferingRates"""
    return {"savingsPlanOffering": {"offeringId": f"offer-{plan}", "paymentOption": "No Upfront", "planType": plan,
                                    "durationSeconds": seconds, "currency": "USD"},
            "rate": rate, "unit": "Hrs", "productType": "EC2", "serviceCode": "AmazonEC2",
            "usageType": "BoxUsage:t3.medium", "operation": "RunInstances",
            "properties": [{"name": "region", "value": "us-east-1"}], **changes}


def test_plans_from_the_api():
    """All pages, by plan and years, dated by the day; the question names region, types and shared Linux"""
    pages = {"": {"searchResults": [offering("0.0262", "EC2Instance"), offering(
        "0.5", "Compute", usageType="DedicatedUsage:t3.medium")], "nextToken": "two"},
             "two": {"searchResults": [offering("0.0207", "Compute", 94_608_000)]}}

    def answer(path: str, body: bytes):
        return 200, {"Content-Type": "application/json"}, json.dumps(
            pages[json.loads(body).get("nextToken", "")]).encode()

    with server(answer) as (url, asked):
        prices = savings_plans_live("us-east-1", ["t3.medium"], DAY, client("savingsplans", url))
    assert [(price.purchase_option, price.tiers[0].usd, price.as_of) for price in prices] == [
        ("SavingsPlanEC2Instance-1yr-NoUpfront", Decimal("0.0262"), "2026-11-22"),
        ("SavingsPlanCompute-3yr-NoUpfront", Decimal("0.0207"), "2026-11-22")]
    assert PriceBook(prices).find(hour("SavingsPlanCompute-3yr-NoUpfront")).tiers[0].rate_code == "offer-Compute"
    question = json.loads(asked[0][1])
    assert (asked[0][0] == "/DescribeSavingsPlansOfferingRates"
            and {each["name"]: each["values"] for each in question["filters"]} == {
                "region": ["us-east-1"], "instanceType": ["t3.medium"], "productDescription": ["Linux/UNIX"],
                "tenancy": ["shared"]})


@pytest.mark.parametrize("status, content, words", [
    (403, {"__type": "AccessDeniedException", "message": "not authorized"},
     "Savings Plans cannot be read.*not authorized.*Check credentials"),
    (200, {"searchResults": [], "nextToken": "again"}, "same page twice"),
    (200, {"searchResults": [offering("0.1", "Compute", 5)]}, "not an offering"),
    (200, {"searchResults": [{"rate": "0.1"}]}, "not an offering"),
])
def test_plan_api_errors(status, content, words):
    """Refused, endless and unknown answers are errors that say so"""
    with server(lambda path, body: (status, {}, json.dumps(content).encode())) as (url, _), pytest.raises(
            PretamaneError, match=words):
        savings_plans_live("us-east-1", ["t3.medium"], DAY, client("savingsplans", url))


def test_no_network_and_no_credentials(monkeypatch, tmp_path):
    """A closed port and missing credentials"""
    with server(lambda path, body: (200, {}, b"")) as (url, _):
        pass
    with pytest.raises(PretamaneError, match="cannot be read"):
        savings_plans_live("us-east-1", ["t3.medium"], DAY, client("savingsplans", url))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    boto3.setup_default_session()
    try:
        with pytest.raises(PretamaneError, match="Unable to locate credentials"):
            savings_plans_live("us-east-1", ["t3.medium"], DAY)
    finally:
        boto3.DEFAULT_SESSION = None


def item(zone: str, usd: str, since: str = "2026-11-22T08:00:00.000Z", kind: str = "t3.medium") -> str:
    """One entry of the spot history as EC2 prints it"""
    return (f"<item><instanceType>{kind}</instanceType><productDescription>Linux/UNIX</productDescription>"
            f"<spotPrice>{usd}</spotPrice><timestamp>{since}</timestamp><availabilityZone>{zone}</availabilityZone></item>")


def history(items: str, token: str = "") -> bytes:
    """A page of the spot history"""
    return ('<?xml version="1.0"?><DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<requestId>1</requestId><spotPriceHistorySet>{items}</spotPriceHistorySet><nextToken>{token}</nextToken>"
            "</DescribeSpotPriceHistoryResponse>").encode()


def test_spot_now():
    """The newest price of each zone of the region over all pages; mean and cheapest, every zone in the note"""
    pages = {"": history(item("us-east-1b", "0.018000") + item("us-east-1a",
                                                               "0.012500") + item("us-east-1-bos-1a", "0.001"), "two"),
             "two": history(item("us-east-1a", "0.099", "2026-11-21T08:00:00.000Z") + item("us-east-1c", "0.0145")
                            + item("us-east-1a", "0.03", kind="t3.large"))}
    with server(lambda path, body: (200, {}, pages[parse_qs(body.decode()).get("NextToken", [""])[0]])) as (url, asked):
        quotes = spot_quotes("us-east-1", ["t3.medium", "t3.large", "t3.nano"], datetime(2026, 11, 22, 9, tzinfo=UTC),
                             client("ec2", url))
    assert [(quote.instance_type, len(quote.zones)) for quote in quotes] == [("t3.medium", 3), ("t3.large", 1)]
    assert quotes[0].mean == Decimal("0.015") and quotes[0].cheapest == Decimal("0.0125")
    mean, cheapest = spot_prices(quotes[0])
    assert (mean.purchase_option, cheapest.purchase_option,
            mean.as_of) == ("Spot-current", "Spot-current-cheapest", "2026-11-22")
    assert (mean.tiers[0].note
            == "mean of the zones at 2026-11-22T09:00:00+00:00: us-east-1a 0.0125, us-east-1b 0.018, us-east-1c 0.0145")
    form = parse_qs(asked[0][1].decode())
    assert form["ProductDescription.1"] == ["Linux/UNIX"] and form["StartTime"] == form["EndTime"] == [
        "2026-11-22T09:00:00Z"]
    assert PriceBook([mean]).find(hour("Spot-current")).tiers[0].usd == Decimal("0.015")


def test_spot_errors():
    """Refused, and a price that is none"""
    denied = (b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>not "
              b"authorized</Message></Error></Errors></Response>")
    with server(lambda path, body: (403, {}, denied)) as (url, _), pytest.raises(
            PretamaneError, match="spot prices cannot be read.*not authorized"):
        spot_quotes("us-east-1", ["t3.medium"], client=client("ec2", url))
    with server(lambda path, body: (200, {}, history(item("us-east-1a", "cheap")))) as (url, _), pytest.raises(
            PretamaneError, match="is not a number"):
        spot_quotes("us-east-1", ["t3.medium"], client=client("ec2", url))


ADVISED = {"global_rate": "<10%", "ranges": [{"index": 0, "label": "<5%", "dots": 0, "max": 5},
                                             {"index": 4, "label": ">20%", "dots": 4, "max": 100}],
           "instance_types": {"t3.medium": {"emr": False, "cores": 2, "ram_gb": 4.0}},
           "spot_advisor": {"us-east-1": {"Linux": {"t3.medium": {"r": 0, "s": 56}, "t3.large": {"r": 3, "s": 50},
                                                    "zz9.large": {"r": 0, "s": 50}}}}}


def test_spot_typical():
    """The bundled rate from the public file: on demand x (1 - saving), called derived and typical, with the file's
    date"""
    dated = {"Last-Modified": "Sat, 28 Jun 2025 10:00:00 GMT"}
    with server(lambda path, body: (200, dated, json.dumps(ADVISED).encode())) as (url, _):
        found = fetch_advisor(url).typical(bundled(), "us-east-1", "t3.medium")
    assert found.tiers[0].usd == bundled().find(hour("Spot-typical")).tiers[0].usd == Decimal("0.018304")
    assert (found.purchase_option, found.as_of, found.confidence) == ("Spot-typical", "2025-06-28", "derived")
    assert "typical, not a price list" in found.tiers[0].note and "interruption <5%" in found.tiers[0].note


def test_spot_advisor_errors():
    """A page instead of the file, a refused one, an unknown type or band, no price on demand"""
    for status, content, words in ((200, b"<html>", "not the Spot Advisor"), (
            200, b'{"ranges": [], "spot_advisor": {"a": {"Linux": {"t": {"s": "x"}}}}}', "not the Spot Advisor"),
                                   (404, b"", "cannot be read"), (200, b'\xff', "not the Spot Advisor")):
        with server(lambda path, body: (status, {}, content)) as (url, _), pytest.raises(PretamaneError, match=words):
            fetch_advisor(url)
    with server(lambda path, body: (200, {"Content-Length": "9999"},
                                    b"{}")) as (url, _), pytest.raises(PretamaneError, match="cannot be read"):
        fetch_advisor(url, timeout=2)
    known = advisor(json.dumps(ADVISED))
    for kind, words in (("t3.small", "does not know"), ("t3.large", "not an entry"), ("zz9.large", "no price for")):
        with pytest.raises(PriceError, match=words):
            known.typical(bundled(), "us-east-1", kind)


# On the bill

@pytest.mark.parametrize("option, usd, kind", [
    ("OnDemand", "0.0416", "Standard"), ("Reserved-1yr-NoUpfront", "0.0261", "Committed"),
    ("Spot-typical", "0.018304", "Dynamic"),
    ("SavingsPlanEC2Instance-1yr-NoUpfront", "0.0262", "Committed"),
    ("SavingsPlanCompute-1yr-NoUpfront", "0.0303", "Committed")])
@pytest.mark.parametrize("resource", [Instances, NodeGroup])
def test_options_on_the_bill(tmp_path, resource, option, usd, kind):
    """From files into a snapshot and onto a bill: the rate, its kind, and on demand beside it"""
    hours = [price for price in bundled().candidates("AmazonEC2", "us-east-1", "BoxUsage:t3.medium")
             if not price.purchase_option.startswith("SavingsPlan")]
    disk = list(bundled().candidates("AmazonEC2", "us-east-1", "EBS:VolumeUsage.gp3"))
    offers = [{"service": "AmazonEC2", "region": "us-east-1", "source": "example"}]
    write_snapshot(tmp_path, [*hours, *disk, *savings_plan_prices(lines(), "plans")], offers, DAY)
    line = bill([resource(instance_type="t3.medium", purchase_option=option)], Snapshot(folder=tmp_path),
                "us-east-1").rows()[0]
    assert (line["EffectiveCost"], line["ListCost"]) == (Decimal(usd) * 730, Decimal("0.0416") * 730)
    assert line["PricingCategory"] == kind and line["as_of"]


def cost(folder: Path, capsys, architecture: str, **sections) -> dict:
    """The hour of t3.medium on the bill of `pretamane cost` for a stack file"""
    stack = yaml.safe_load(example_text())
    for name, fields in sections.items():
        stack[name] = {**(stack.get(name) or {}), **fields}
    (folder / "stack.yaml").write_text(yaml.safe_dump(stack))
    assert main(["cost", "--stack", str(folder / "stack.yaml"), "--architecture", architecture,
                 "--format", "json"]) == 0
    return next(line
                for line in json.loads(capsys.readouterr().out)["lines"] if line["usage_type"] == "BoxUsage:t3.medium")


def test_a_reserved_host(tmp_path, capsys):
    """`host: {purchase_option: Reserved-1yr-NoUpfront}` bills 0.0261 an hour, lists 0.0416, and says Committed"""
    line = cost(tmp_path, capsys, "ec2",
                host={"instance_type": "t3.medium", "purchase_option": "Reserved-1yr-NoUpfront"})
    assert (Decimal(line["EffectiveCost"]) == Decimal("0.0261") * 730
            and Decimal(line["ListCost"]) == Decimal("0.0416") * 730)
    assert line["PricingCategory"] == "Committed" and Decimal(line["ListUnitPrice"]) == Decimal("0.0416")


def test_spot_nodes(tmp_path, capsys):
    """`eks: {purchase_option: Spot-typical}` bills the nodes as Dynamic"""
    line = cost(tmp_path, capsys, "eks",
                eks={"node_instance_type": "t3.medium", "nodes": 2, "purchase_option": "Spot-typical"})
    assert Decimal(line["EffectiveCost"]) == 2 * 730 * Decimal("0.018304") and line["PricingCategory"] == "Dynamic"


@pytest.mark.parametrize("option", ["Reserved", "Reserved-2yr-NoUpfront", "reserved-1yr-noupfront", "Spot",
                                    "SavingsPlan-1yr-NoUpfront", "", "OnDemand "])
def test_options_that_do_not_exist(option):
    """A purchase option that no price can have is refused with the stack file"""
    stack = yaml.safe_load(example_text())
    stack["host"] = {**(stack.get("host") or {}), "purchase_option": option}
    with pytest.raises(PretamaneError, match="purchase_option"):
        loads(yaml.safe_dump(stack))


def test_an_option_without_a_price_is_missing():
    """Where no rate is known for an option, the bill says so and does not fall back to on demand"""
    with pytest.raises(MissingPrice, match="SavingsPlanCompute-3yr-AllUpfront"):
        bill([Instances(instance_type="t3a.medium", purchase_option="SavingsPlanCompute-3yr-AllUpfront")],
             bundled(), "us-east-1")
    assert bill([Instances(instance_type="t3.medium")], bundled(),
                "us-east-1").lines[0].query.purchase_option == ON_DEMAND
