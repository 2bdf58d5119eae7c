"""The Pricing API through the real client: boto3 over HTTP against a server that replays recorded products."""
from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from datetime import date, timedelta
from decimal import Decimal

import boto3
import pytest
from pricing_server import PricingServer, constructed, recorded

from pretamane_analysis.base.cache import keep, recall
from pretamane_analysis.bill.architectures import architecture
from pretamane_analysis.bill.bill import bill
from pretamane_analysis.prices import api_book
from pretamane_analysis.prices.api import (
    ApiError,
    BadAnswer,
    NoAccess,
    Throttled,
    TokenBucket,
    Unreachable,
    filters,
    rows_of,
    searches,
)
from pretamane_analysis.prices.api_book import ApiBook, client, status
from pretamane_analysis.prices.book import GLOBAL, AmbiguousPrice, MissingPrice, Query
from pretamane_analysis.prices.rows import RowBook, prices_of
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example

SECRET = "THIS-IS-THE-SECRET-KEY"
LINUX = {"operatingSystem": "Linux", "tenancy": "Shared"}
ALB = {"productFamily": "Load Balancer-Application"}


def ask(service: str, usage_type: str, unit: str, region: str, option: str = "OnDemand", **attributes: str) -> Query:
    """Return a query in one call"""
    return Query(service, usage_type, unit, region, option, tuple(sorted(attributes.items())))


@pytest.fixture(scope="module")
def entries():
    """All products of the data files"""
    return recorded()


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """An account of nobody: no profile, no proxy, no metadata service, a cache of its own, and retries without long
    waits"""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
                 "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET,
                        "AWS_DEFAULT_REGION": "eu-west-1",
                        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "none"),
                        "NO_PROXY": "127.0.0.1",
                        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
                        "PRETAMANE_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)


@pytest.fixture
def server(entries, monkeypatch):
    """A server of all recorded products"""
    with PricingServer(entries) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", running.url)
        yield running


def book(**settings) -> ApiBook:
    """Return a book with few attempts and a quota of its own; a test that waits for the end of its patience says so,
    the others outlast a busy machine"""
    return ApiBook(**{"attempts": 3, "connect_seconds": 10, "read_seconds": 30, "patience": 60,
                      "bucket": TokenBucket(1000, 1000.0), **settings})


PRICES = [  # query, USD of each tier
    (ask("AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1", **LINUX), ["0.0416"]),
    (ask("AmazonEC2", "BoxUsage:m5.large", "Hrs", "sa-east-1", **LINUX), ["0.153"]),
    (ask("AmazonEC2", "EBS:VolumeUsage.gp3", "GB-Mo", "us-east-1"), ["0.08"]),
    (ask("AmazonEC2", "EBS:VolumeUsage", "GB-Mo", "us-east-1"), ["0.05"]),
    (ask("AmazonEC2", "EBS:VolumeUsage.piops", "GB-Mo", "eu-west-1"), ["0.138"]),
    (ask("AmazonEC2", "EBS:VolumeP-IOPS.gp3", "IOPS-Mo", "us-east-1"), ["0.005"]),
    (ask("AmazonEC2", "EBS:VolumeP-IOPS.io2.tier2", "IOPS-Mo", "us-east-1"), ["0.0455"]),
    (ask("AmazonEC2", "EBS:VolumeP-Throughput.gp3", "GiBps-Mo", "us-east-1"), ["40.96"]),
    (ask("AmazonEC2", "EBS:SnapshotUsage", "GB-Mo", "us-east-1"), ["0.05"]),
    (ask("AmazonEC2", "EBS:SnapshotUsage", "GB-Mo", "eu-west-1"), ["0.05"]),
    (ask("AmazonVPC", "PublicIPv4:InUseAddress", "Hrs", "us-east-1"), ["0.005"]),
    (ask("AmazonVPC", "PublicIPv4:IdleAddress", "Hrs", "eu-west-1"), ["0.005"]),
    (ask("AmazonEKS", "AmazonEKS-Hours:perCluster", "Hrs", "ap-southeast-2"), ["0.1"]),
    (ask("AmazonEKS", "AmazonEKS-Hours:perCluster", "Hrs", "sa-east-1"), ["0.1"]),
    (ask("AmazonEKS", "AmazonEKS-Hours:extendedSupport", "Hrs", "sa-east-1"), ["0.5"]),
    (ask("AmazonEKS", "EKS-Auto:m7i.large-management-hours", "Hrs", "sa-east-1"), ["0.01928"]),
    (ask("AWSELB", "LoadBalancerUsage", "Hrs", "sa-east-1", **ALB), ["0.034"]),
    (ask("AWSELB", "LCUUsage", "LCU-Hrs", "sa-east-1", **ALB), ["0.011"]),
    (ask("AWSDataTransfer", "DataTransfer-Out-Bytes", "GB", "sa-east-1"), ["0.15", "0.138", "0.126", "0.114"]),
    (ask("AWSDataTransfer", "Global-DataTransfer-Out-Bytes", "GB", GLOBAL), ["0"]),
    (ask("AWSDataTransfer", "DataTransfer-Regional-Bytes", "GB", "sa-east-1"), ["0.01"]),
    (ask("AWSDataTransfer", "AWS-Out-Bytes", "GB", "sa-east-1", toRegionCode="us-east-1"), ["0.138"]),
    (ask("AmazonS3", "TimedStorage-ByteHrs", "GB-Mo", "sa-east-1"), ["0.0405", "0.039", "0.037"]),
    (ask("AmazonS3", "Requests-Tier1", "Requests", "sa-east-1"), ["0.000007"]),
    (ask("AWSLambda", "Lambda-GB-Second", "GB-Second", "sa-east-1"), ["0.0000166667", "0.0000150000", "0.0000133334"]),
]


def test_price_of_each_recorded_product(server):
    """Each recorded product is found by the query of its charge"""
    asked = book()
    for query, usd in PRICES:
        assert [tier.usd for tier in asked.find(query).tiers] == [Decimal(each) for each in usd], query


# Products of which no raw answer was recorded, printed as the notes on the price list describe them:
# query, usage type as printed, more attributes
DESCRIBED = [
    (ask("AmazonEC2", "NatGateway-Hours", "Hrs", "us-east-1"), "NatGateway-Hours", {"productFamily": "NAT Gateway"}),
    (ask("AmazonEC2", "NatGateway-Bytes", "GB", "ap-southeast-1"), "APS1-NatGateway-Bytes",
     {"productFamily": "NAT Gateway"}),
    (ask("AmazonVPC", "VpcEndpoint-Hours", "Hrs", "us-east-1"), "USE1-VpcEndpoint-Hours",
     {"productFamily": "VpcEndpoint"}),
    (ask("AmazonECS", "Fargate-vCPU-Hours:perCPU", "Hrs", "us-east-1"), "USE1-Fargate-vCPU-Hours:perCPU", {}),
    (ask("AmazonECS", "Fargate-GB-Hours", "Hrs", "ap-southeast-1"), "APS1-Fargate-GB-Hours", {}),
    (ask("AmazonDynamoDB", "WriteRequestUnits", "WriteRequestUnits", "us-east-1"), "WriteRequestUnits",
     {"productFamily": "Amazon DynamoDB PayPerRequest Throughput", "group": "DDB-WriteUnits"}),
    (ask("AmazonES", "ESInstance:t3.small", "Hrs", "us-east-1", instanceType="t3.small.search"), "ESInstance:t3.small",
     {"productFamily": "Amazon OpenSearch Service Instance"}),
    (ask("AmazonES", "ES:GP3-Storage", "GB-Mo", "us-east-1"), "ES:GP3-Storage",
     {"productFamily": "Amazon OpenSearch Service Volume"}),
    (ask("AmazonCloudWatch", "DataProcessing-Bytes", "GB", "us-east-1"), "USE1-DataProcessing-Bytes",
     {"productFamily": "Data Payload", "operation": "PutLogEvents"}),
    (ask("AmazonCloudWatch", "CW:AlarmMonitorUsage", "Alarms", "us-east-1"), "CW:AlarmMonitorUsage",
     {"productFamily": "Alarm"}),
    (ask("AmazonCloudWatch", "CW:MetricMonitorUsage", "Metrics", "us-east-1"), "CW:MetricMonitorUsage",
     {"productFamily": "Metric"}),
    (ask("AmazonEFS", "TimedStorage-ByteHrs", "GB-Mo", "us-east-1"), "TimedStorage-ByteHrs",
     {"productFamily": "Storage"}),
    (ask("AmazonECR", "TimedStorage-ByteHrs", "GB-Mo", "ap-southeast-1"), "APS1-TimedStorage-ByteHrs",
     {"productFamily": "EC2 Container Registry"}),
    (ask("AmazonApiGateway", "ApiGatewayHttpRequest", "Requests", "us-east-1"), "USE1-ApiGatewayHttpRequest",
     {"productFamily": "API Calls"}),
    (ask("AWSSecretsManager", "AWSSecretsManager-Secrets", "Secrets", "us-east-1"), "USE1-AWSSecretsManager-Secrets",
     {"productFamily": "Secret"}),
    (ask("AWSSystemsManager", "PS-Advanced-Param-Tier1", "Parameter-Mo", "us-east-1"), "USE1-PS-Advanced-Param-Tier1",
     {"productFamily": "AWS Systems Manager"}),
    (ask("awskms", "KMS-Keys", "Keys", "ap-southeast-1"), "ap-southeast-1-KMS-Keys",
     {"productFamily": "Encryption Key"}),
    (ask("awskms", "KMS-Requests", "Requests", "us-east-1"), "us-east-1-KMS-Requests",
     {"productFamily": "API Request"}),
    (ask("AmazonRoute53", "HostedZone", "HostedZone", GLOBAL), "HostedZone", {"productFamily": "DNS Zone"}),
    (ask("AmazonSES", "Recipients", "Count", "us-east-1"), "USE1-Recipients", {"productFamily": "Sending Email"}),
]


def test_price_of_each_described_product(monkeypatch):
    """Products that were not recorded are found under the usage types that AWS is known to print, with the
    snapshot's price"""
    made = [constructed(bundled().find(query), printed, f"SKU{number}",
                        **more) for number, (query, printed, more) in enumerate(DESCRIBED)]
    with PricingServer(made) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        asked = book()
        asked.prefetch(query for query, _, _ in DESCRIBED)
        for query, printed, _ in DESCRIBED:
            found = asked.find(query)
            assert [tier.usd for tier in found.tiers] == [tier.usd for tier in bundled().find(query).tiers], query
            assert dict(found.attributes)["usagetype"] == printed


def test_samples_are_served(server, entries):
    """The server selects a product by its own attributes, as the calls written for the samples do"""
    client = boto3.client("pricing", region_name="us-east-1")
    for wanted, sku in (({"volumeApiName": "gp3", "productFamily": "Storage", "regionCode": "us-east-1"},
                         "JG3KUJMBRGHV3N8G"),
                        ({"usagetype": "SAE1-LCUUsage", "productFamily": ALB["productFamily"]}, "57V3ETTKU499QBWM"),
                        ({"transferType": "AWS Outbound", "fromRegionCode": "sa-east-1"}, "QKTPK3975YUWDU3Q")):
        service = next(entry["serviceCode"] for entry in entries if entry["product"]["sku"] == sku)
        answer = client.get_products(ServiceCode=service, Filters=[{"Type": "TERM_MATCH", "Field": name,
                                                                    "Value": value} for name, value in wanted.items()])
        assert [json.loads(text)["product"]["sku"] for text in answer["PriceList"]] == [sku]


def snapshot_queries(entries) -> list[tuple[Query, str]]:
    """Return a query and SKU for each on-demand price of the snapshot whose SKU the data files have"""
    skus = {entry["product"]["sku"]: entry for entry in entries}
    places = {(entry["serviceCode"], entry["product"]["attributes"].get("regionCode")
               or entry["product"]["attributes"].get("fromRegionCode") or GLOBAL)
              for entry in entries}
    prices = [price for service, region in sorted(places) for usage_type in bundled().usage_types(service, region)
              for price in bundled().candidates(service, region, usage_type) if price.sku in skus]
    return [(Query(price.service, price.usage_type, price.unit, price.region, price.purchase_option,
                   tuple(each for each in price.attributes if each[0] != "volumeApiName")),
             price.sku) for price in prices]


def test_same_answers_as_the_snapshot(server, entries):
    """Where the snapshot has the SKU, the API gives the same rates for the same query"""
    queries = snapshot_queries(entries)
    assert len(queries) > 60
    asked = book()
    asked.prefetch(query for query, _ in queries)
    for query, sku in queries:
        mine, theirs = asked.find(query), bundled().find(query)
        assert mine.sku == sku == theirs.sku
        assert [(tier.begin, tier.end) for tier in mine.tiers] == [(tier.begin, tier.end) for tier in theirs.tiers]
        for one, other in zip(mine.tiers, theirs.tiers, strict=True):
            assert abs(one.usd - other.usd) <= Decimal("0.00001") * other.usd, query


def test_same_answers_as_the_offer_files(server, entries):
    """The rows of the same products, read whole, give the same price or the same error"""
    whole = RowBook()
    for entry in entries:
        query = Query(entry["serviceCode"], "", "", "us-east-1")
        whole.add(prices_of(rows_of([entry], query), entry["serviceCode"], "offers"))
    asked = book()
    queries = {Query(price.service, price.usage_type, price.unit, price.region,
                     price.purchase_option) for found in whole.index.values() for price in found}
    asked.prefetch(queries)
    for query in queries:
        outcomes = []
        for each in (whole, asked):
            try:
                outcomes.append(each.find(query).sku)
            except (AmbiguousPrice, MissingPrice) as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1], query


def test_reserved_terms(server):
    """All twelve Reserved terms are found by their purchase option; an upfront fee is in the hour"""
    asked, found = book(), {}
    for lease in ("1yr", "3yr"):
        for option in ("NoUpfront", "PartialUpfront", "AllUpfront"):
            for suffix in ("", "-Convertible"):
                name = f"Reserved-{lease}-{option}{suffix}"
                found[name] = asked.find(ask("AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1", name,
                                             **LINUX)).tiers[0].usd
    assert len(set(found.values())) == 12
    assert found["Reserved-1yr-NoUpfront"] == Decimal("0.0261")
    assert found["Reserved-1yr-PartialUpfront"] == Decimal("0.0124") + Decimal(109) / 8760
    assert found["Reserved-3yr-AllUpfront-Convertible"] == Decimal(492) / 26280
    assert len(server.calls) == 1


def test_missing_attribute_is_ambiguous(server):
    """Without the kind of load balancer there are three or four prices, and none is chosen"""
    asked = book()
    assert asked.find(ask("AWSELB", "LCUUsage", "LCU-Hrs", "sa-east-1", **ALB)).sku == "57V3ETTKU499QBWM"
    with pytest.raises(AmbiguousPrice, match="3 prices match AWSELB LCUUsage"):
        asked.find(ask("AWSELB", "LCUUsage", "LCU-Hrs", "sa-east-1"))


def test_region_without_known_prefix(monkeypatch, entries):
    """In a region that is newer than the table, the ending is matched and the trust store does not pass for the
    balancer"""
    new = [json.loads(json.dumps(entry).replace("SAE1-", "XYZ1-").replace("sa-east-1", "xx-new-1"))
           for entry in entries if entry["serviceCode"] == "AWSELB"]
    with PricingServer(new) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        assert book().find(ask("AWSELB", "LoadBalancerUsage", "Hrs", "xx-new-1", **ALB)).sku == "4AJP3GA9ECKSCY5M"


def test_reserved_capacity_and_other_software_are_not_meant(monkeypatch, entries):
    """Rows of unused reservations, of Windows with SQL Server and of capacity blocks do not disturb"""
    plain = next(entry for entry in entries if entry["product"]["sku"] == "NN4EGUUQRWVYP98C")
    others = [{"capacitystatus": "AllocatedCapacityReservation"}, {"preInstalledSw": "SQL Web"},
              {"marketoption": "CapacityBlock"}, {"tenancy": "Dedicated"}]
    made = [json.loads(json.dumps(plain).replace("NN4EGUUQRWVYP98C", f"OTHER{number}"))
            for number in range(len(others))]
    for entry, changed in zip(made, others, strict=True):
        entry["product"]["attributes"].update(changed)
    older = json.loads(json.dumps(plain))
    del older["product"]["attributes"]["marketoption"]
    for each in (plain, older):
        with PricingServer([each, *made]) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
            assert book().find(ask("AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1",
                                   **LINUX)).sku == "NN4EGUUQRWVYP98C"


GP3, IPV4 = PRICES[2][0], PRICES[10][0]
OTHERWISE = "--source snapshot"
FAILURES = [  # fault, kind of error, words of the message
    ("denied", NoAccess, "pricing:GetProducts"), ("expired", NoAccess, "session has expired"),
    ("unrecognized", NoAccess, "does not accept these credentials"), ("signature", NoAccess, "clock"),
    ("throttle", Throttled, "quota of the account is used up"), ("internal", Unreachable, "has a fault"),
    ("unavailable", Unreachable, "has a fault"), ("cut", Unreachable, "connection was cut"),
    ("hang", Unreachable, "no answer in time"),
    ("html", BadAnswer, "text/html"), ("forbidden", BadAnswer, "proxy or a sign-in page"),
    ("redirect", BadAnswer, "proxy or a sign-in page"),
    ("malformed", BadAnswer, "damaged"), ("shapeless", BadAnswer, "damaged"),
    ("broken", BadAnswer, "not one of the Pricing API|no PriceList"), ("no list", BadAnswer, "no PriceList"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), FAILURES, ids=[fault for fault, _, _ in FAILURES])
def test_failure_says_what_to_do(server, fault, kind, words):
    """Each failure ends soon, says what happened and what to do, names the cause and holds no secret"""
    server.always, asked = fault, book(attempts=2, read_seconds=0.4 if fault == "hang" else 30)
    asked.connect()
    begin = time.monotonic()
    with pytest.raises(kind, match=words) as caught:
        asked.find(GP3)
    assert time.monotonic() - begin < 8
    assert OTHERWISE in str(caught.value)
    assert SECRET not in "".join(map(str, (caught.value, caught.value.__cause__, caught.value.__context__)))
    assert caught.value.__cause__ is not None or fault in ("html", "no list", "broken")


@pytest.mark.parametrize("fault", ["throttle", "internal", "unavailable", "cut"])
def test_passing_failure_is_retried(server, fault):
    """A failure that passes is not seen"""
    server.faults.append(fault)
    assert book().find(GP3).tiers[0].usd == Decimal("0.08")
    assert len(server.calls) == 2


def test_throttled_twice_with_the_real_waits(server, monkeypatch):
    """Two refusals are waited for as botocore does it"""
    monkeypatch.undo()
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET,
                        "AWS_ENDPOINT_URL_PRICING": server.url, "PRETAMANE_CACHE": "", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    server.faults.extend(["throttle", "throttle"])
    assert book(attempts=4).find(GP3).tiers[0].usd == Decimal("0.08")
    assert len(server.calls) == 3


def test_slow_bytes_do_not_hang(server):
    """A byte now and then keeps the socket alive, not the program"""
    server.always, asked = "slow", book(patience=1)
    asked.connect()
    begin = time.monotonic()
    with pytest.raises(Unreachable, match="no whole answer in 1 seconds"):
        asked.find(GP3)
    assert time.monotonic() - begin < 3


def test_slow_start_is_not_the_network(server, monkeypatch):
    """The time that the client takes to be made on a busy machine is not taken for a slow answer, and nobody goes on
    asking later"""
    monkeypatch.setattr(api_book, "client", lambda *settings: time.sleep(1.2) or client(*settings))
    assert book(patience=1).find(GP3).tiers[0].usd == Decimal("0.08")
    assert len(server.calls) == 1


def test_program_ends_while_bytes_drip(server):
    """A thread that still waits does not keep the program from ending"""
    server.always = "slow"
    code = (f"from pretamane_analysis.prices.api_book import ApiBook; from pretamane_analysis.prices.book import "
            f"Query; ApiBook(patience=2).find({GP3!r})")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, "Unreachable" in done.stderr, len(server.calls)) == (1, True, 1)


def test_empty_answer_is_a_missing_price(server):
    """An empty list is an error that names the filters, never a price of 0, and it is not kept"""
    server.always = "empty"
    with pytest.raises(MissingPrice, match="has no product for: .*volumeApiName=gp3.*--source snapshot"):
        book().find(GP3)
    server.always = ""
    assert book().find(GP3).tiers[0].usd == Decimal("0.08")


def test_unknown_service(server):
    """AWS's refusal of a service code is passed on"""
    with pytest.raises(ApiError, match="does not know what was asked for .*NotFound"):
        book().find(ask("AmazonNothing", "X", "Hrs", "us-east-1"))


def test_what_the_api_does_not_sell(server):
    """Spot and Savings Plan rates are not asked for; a query without region neither"""
    with pytest.raises(MissingPrice, match="on-demand and Reserved rates only"):
        book().find(ask("AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1", "Spot-typical", **LINUX))
    with pytest.raises(MissingPrice, match="Name a region"):
        book().find(ask("AmazonEC2", "EBS:VolumeUsage.gp3", "GB-Mo", ""))
    assert not server.calls


def test_no_credentials(server, monkeypatch):
    """Without credentials nothing is sent"""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NoAccess, match="no complete AWS credentials were found.*aws configure.*--source snapshot"):
        book().find(GP3)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(NoAccess, match="profile cannot be read"):
        book().find(GP3)
    assert not server.calls


def test_half_of_the_credentials(server, monkeypatch):
    """A key without its secret is no credential"""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NoAccess, match="no complete AWS credentials"):
        book().find(GP3)


def test_nobody_listens(monkeypatch):
    """A refused connection and a name that does not exist are told apart from a bad answer"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", f"http://127.0.0.1:{port}")
    with pytest.raises(Unreachable, match="no connection .*--source snapshot"):
        book(attempts=2).find(GP3)
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "not a url")
    with pytest.raises(ApiError, match="AWS_ENDPOINT_URL_PRICING"):
        book(attempts=1).find(GP3)


def test_encryption_and_proxy(server, monkeypatch):
    """A server that speaks no TLS and a proxy that is not there are named, the proxy's password is not"""
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url.replace("http:", "https:"))
    with pytest.raises(Unreachable, match="encrypted connection failed"):
        book(attempts=1).find(GP3)
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://prices.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://someone:PASSWORD@127.0.0.1:9")
    with pytest.raises(Unreachable, match="proxy does not answer") as caught:
        book(attempts=1).find(GP3)
    assert "PASSWORD" not in f"{caught.value} {caught.value.__cause__}"


def test_pages(entries, monkeypatch):
    """One product on each page: all pages are read, into one answer"""
    snapshots = [entry["product"]["sku"] for entry in entries
                 if entry["product"].get("productFamily") == "Storage Snapshot"
                 and entry["product"]["attributes"]["regionCode"] == "us-east-1"]
    with PricingServer(entries, page=1) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        asked = book()
        assert asked.find(ask("AmazonEC2", "EBS:SnapshotUsage", "GB-Mo", "us-east-1")).sku == "7U7TWP44UP36AT3R"
        assert [[entry["product"]["sku"] for entry in answer.entries]
                for answer in asked.answers.values()] == [snapshots]
        assert len(server.calls) == len(snapshots) > 3


def test_failure_on_a_later_page(entries, monkeypatch):
    """What is cut after the first page is not taken for the whole"""
    with PricingServer(entries, page=1) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        server.faults.extend(["", "denied"])
        asked = book()
        with pytest.raises(NoAccess):
            asked.find(PRICES[8][0])
        assert not asked.answers


def test_answers_are_kept(server, tmp_path):
    """The second book asks nothing; a refresh, an age of 0 and another endpoint ask again"""
    first = book()
    first.find(GP3)
    assert (len(server.calls), book().find(GP3).tiers[0].usd) == (1, Decimal("0.08"))
    assert len(server.calls) == 1
    assert "1 answers, the oldest asked 0 min ago" in status(first)
    book(refresh=True).find(GP3)
    book(max_age=timedelta(0)).find(GP3)
    assert len(server.calls) == 3
    assert len(list((tmp_path / "cache" / "pricing-api").iterdir())) == 1
    assert SECRET not in next((tmp_path / "cache" / "pricing-api").iterdir()).read_text()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"asked": "2026-01-01T00:00:00+00:00"}',
                                     b'{"asked": 1, "PriceList": []}'])
def test_damaged_answer_on_disk(server, tmp_path, content):
    """A damaged file is asked for again and mended"""
    book().find(GP3)
    kept = next((tmp_path / "cache" / "pricing-api").iterdir())
    kept.write_bytes(content)
    assert book().find(GP3).tiers[0].usd == Decimal("0.08")
    keep("pricing-api", kept.name, content)  # whole, but no answer
    assert book().find(GP3).tiers[0].usd == Decimal("0.08")
    assert len(server.calls) == 3
    assert json.loads(recall("pricing-api", kept.name))["PriceList"]


def test_price_changed_on_disk(server, tmp_path):
    """An answer in which one digit differs is not believed"""
    book().find(GP3)
    kept = next((tmp_path / "cache" / "pricing-api").iterdir())
    kept.write_bytes(kept.read_bytes().replace(b"0.0800000000", b"0.0900000000"))
    assert book().find(GP3).tiers[0].usd == Decimal("0.08")
    assert len(server.calls) == 2


def test_kept_answer_in_part_and_from_the_future(server, tmp_path):
    """A cut element, another question's answer and a clock that was set back do not pass"""
    book().find(GP3)
    kept = next((tmp_path / "cache" / "pricing-api").iterdir())
    whole = json.loads(recall("pricing-api", kept.name))
    for change in ({"PriceList": [whole["PriceList"][0][:-9]]}, {"question": "AmazonEC2, x=y"},
                   {"asked": "2999-01-01T00:00:00+00:00"}):
        keep("pricing-api", kept.name, json.dumps({**whole, **change}).encode())
        assert book().find(GP3).sku == "JG3KUJMBRGHV3N8G"
    assert len(server.calls) == 4


def test_folder_that_cannot_be_written(server, monkeypatch, tmp_path):
    """Without a place to keep answers the price is found all the same"""
    (tmp_path / "file").write_text("")
    for place in ("", str(tmp_path / "file")):
        monkeypatch.setenv("PRETAMANE_CACHE", place)
        assert book().find(GP3).tiers[0].usd == Decimal("0.08")


def test_date_of_the_oldest_answer(server):
    """The book is as old as the oldest list that it used"""
    asked = book()
    asked.find(GP3)
    assert asked.as_of == date(2026, 8, 10)
    asked.find(IPV4)
    assert asked.as_of == date(2026, 7, 24)


def test_bucket_never_gives_more_than_the_quota():
    """In any span of time there are at most 10 + 5/s calls, and no more waiting than that takes"""
    now = [0.0]
    bucket, times = TokenBucket(clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)), []
    for number in range(200):
        bucket.take()
        times.append(now[0])
        now[0] += (0, 0.01, 0.3, 4.0)[number % 4] if number % 50 > 40 else 0
    for first in range(200):
        for last in range(first, 200):
            assert last - first + 1 <= 10 + 5 * (times[last] - times[first]) + 1e-6
    assert times[-1] < 200 / 5 + 40


def test_quota_with_threads_and_retries(entries, monkeypatch):
    """Against a server that refuses more than the quota nothing is refused: pages and attempts count"""
    with PricingServer(entries, page=1, quota=True) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        book(bucket=TokenBucket(9, 4.8)).prefetch(query for query, _ in PRICES[6:10])
        assert (server.refused, len(server.calls) > 11) == (0, True)


def test_twenty_queries_at_once(server):
    """Twenty queries together get their own answers, several at a time, each question once"""
    server.always = "delay"
    asked, queries = book(), [query for query, _ in PRICES[:21]]
    asked.prefetch(queries, progress=False)
    calls = len(server.calls)
    assert [[tier.usd for tier in asked.find(query).tiers]
            for query in queries] == [[Decimal(each) for each in usd] for _, usd in PRICES[:21]]
    assert len(server.calls) == calls == len(asked.answers)
    assert 4 <= server.most_busy <= 8


def test_error_ends_a_prefetch(server):
    """The first refusal is raised; the questions that are left are not asked"""
    server.always = "denied"
    with pytest.raises(NoAccess):
        book(threads=2).prefetch(query for query, _ in PRICES)
    time.sleep(0.2)
    assert len(server.calls) <= 4


def test_progress_on_a_terminal_only(server, capsys):
    """The bar goes to stderr, and only where a terminal is or it is asked for"""
    book().prefetch([GP3])
    assert capsys.readouterr() == ("", "")
    book(refresh=True).prefetch([GP3], progress=True)
    shown = capsys.readouterr()
    assert (shown.out, "Pricing API" in shown.err) == ("", True)


@pytest.mark.parametrize(("home", "signed"), [("eu-west-1", "eu-central-1"), ("ap-southeast-1", "ap-south-1"),
                                              ("us-west-2", "us-east-1"), ("", "us-east-1")])
def test_endpoint_region(server, monkeypatch, home, signed):
    """The nearest region that serves the API is asked, and says who asks"""
    monkeypatch.setenv("AWS_DEFAULT_REGION", home)
    book().find(GP3)
    assert (server.calls[0].region, "pretamane_analysis/" in server.calls[0].agent) == (signed, True)


def test_chosen_endpoint_region(server):
    """The endpoint's region can be chosen"""
    book(endpoint="ap-south-1").find(GP3)
    assert server.calls[0].region == "ap-south-1"


def test_bill_of_the_example_stack(monkeypatch):
    """The whole bill of the example is the same from the API as from the snapshot"""
    found = architecture("eks", example(), bundled())
    charges = [charge for each in found.resources for charge in each.charges(Decimal(730)) if not charge.free
               and charge.quantity]
    queries = list(dict.fromkeys(charge.query.at("us-east-1") for charge in charges))
    made = [constructed(bundled().find(query), query.usage_type if query.service != "awskms"
                        else f"us-east-1-{query.usage_type}", f"SKU{number}",
                        **dict(query.attributes)) for number, query in enumerate(queries)]
    with PricingServer(made) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        asked = book()
        asked.prefetch(queries)
        assert len(queries) >= 10
        mine, theirs = (bill(found.resources, each, "us-east-1") for each in (asked, bundled()))
    assert mine.total == theirs.total > 100
    assert (mine.source, str(mine.as_of)) == ("Pricing API", "2026-08-01")


def test_starts_without_the_client():
    """Importing the book does not import boto3 or tqdm"""
    code = ("import sys, pretamane_analysis.prices.api_book; print(sorted({'boto3', 'botocore', 'tqdm', 'pandas'} "
            "& set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=True).stdout.strip() == "[]"


def test_filters_are_exact_matches():
    """Every filter is TERM_MATCH, and the region is always among them unless the product has none"""
    for query, _ in PRICES:
        fields = {each["Field"]: each["Value"] for each in filters(query)}
        assert {each["Type"] for each in filters(query)} == {"TERM_MATCH"}
        assert query.region in (fields.get("regionCode"), fields.get("fromRegionCode"), GLOBAL)
        assert all(len(group) <= 3 for group in searches(query))
