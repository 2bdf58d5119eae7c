"""Tests of the bundled price snapshot and of the tool that builds it."""
import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "pretamane_analysis" / "data"
TOOL = ROOT / "tools" / "build_snapshot.py"
COLUMNS = (
    "sku,rate_code,usage_type,operation,product_family,attributes,purchase_option,unit,"
    "begin,end,usd,hourly_usd,upfront_usd,as_of,confidence,source,note"
).split(",")
PRICE = ("service_code", "region", "usage_type", "operation", "product_family", "attributes",
         "purchase_option", "unit")
PLAIN = re.compile(r"\d+(\.\d*[1-9])?")


def read(path):
    """Return (header, rows) of a CSV file, plain or compressed."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        return reader.fieldnames, list(reader)


@pytest.fixture(scope="module")
def manifest():
    """Return the manifest of the snapshot."""
    return json.loads((DATA / "prices" / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows():
    """Return every price row with its service and region."""
    found = []
    for path in sorted((DATA / "prices").glob("*/*.csv.gz")):
        header, prices = read(path)
        assert header == COLUMNS, path
        found += [dict(row, service_code=path.parent.name, region=path.name.split(".")[0]) for row in prices]
    return found


def tiers(rows, service_code, region, usage_type, option="OnDemand", **wanted):
    """Return the prices of one product, tier by tier."""
    found = [row for row in rows
             if (row["service_code"], row["region"]) == (service_code, region)
             and row["usage_type"] == usage_type and row["purchase_option"] == option
             and all(row[name] == value for name, value in wanted.items())]
    return [Decimal(row["usd"]) for row in sorted(found, key=lambda row: Decimal(row["begin"]))]


def test_every_row_is_well_formed(rows, manifest):
    units = set(manifest["units"].values())
    for row in rows:
        assert row["usage_type"] and row["source"], row
        assert row["unit"] in units, row
        assert row["confidence"] in ("listed", "page", "derived"), row
        assert PLAIN.fullmatch(row["usd"]) and PLAIN.fullmatch(row["begin"]), row
        assert row["end"] == "Inf" or PLAIN.fullmatch(row["end"]), row
        assert re.fullmatch(r"(\d{4}(-\d\d(-\d\d)?)?)?", row["as_of"]), row
        assert Decimal(row["usd"]) >= 0, row


def test_usage_types_have_no_region_prefix(rows):
    prefix = re.compile(r"(USE|USW|EUW|EUC|EUN|EUS|APN|APS|APE|SAE|CAN|AFS|ME[CS])\d-|EU-|[a-z]")
    assert not [row for row in rows if prefix.match(row["usage_type"]) and row["service_code"] != "AmazonCloudFront"]


def test_attributes_are_sorted_pairs(rows):
    for row in rows:
        pairs = row["attributes"].split(";") if row["attributes"] else []
        assert pairs == sorted(pairs) and all("=" in pair for pair in pairs), row


def test_instances_name_type_system_and_tenancy(rows):
    boxes = [row for row in rows
             if row["usage_type"].startswith(("BoxUsage:", "DedicatedUsage:"))]
    assert len(boxes) > 10_000
    for row in boxes:
        kind, _, name = row["usage_type"].partition(":")
        pairs = dict(pair.split("=") for pair in row["attributes"].split(";"))
        assert set(pairs) == {"instanceType", "operatingSystem", "tenancy"}, row
        assert pairs["instanceType"] == name, row
        assert pairs["tenancy"] == {"BoxUsage": "Shared", "DedicatedUsage": "Dedicated"}[kind]


def test_reserved_prices_add_up(rows):
    hours = {"1yr": Decimal(8760), "3yr": Decimal(26280)}
    for row in rows:
        reserved = row["purchase_option"].startswith("Reserved-")
        assert reserved or not (row["hourly_usd"] or row["upfront_usd"]), row
        if row["hourly_usd"] and row["upfront_usd"]:
            length = row["purchase_option"].split("-")[1]
            usd = Decimal(row["hourly_usd"]) + Decimal(row["upfront_usd"]) / hours[length]
            assert Decimal(row["usd"]) == usd.quantize(Decimal("1e-10")), row


def test_prices_are_unique_and_tiers_contiguous(rows):
    prices = {}
    for row in rows:
        prices.setdefault(tuple(row[name] for name in PRICE), []).append(row)
    for price, group in prices.items():
        bounds = sorted((Decimal(row["begin"]), Decimal(row["end"].replace("Inf", "Infinity")))
                        for row in group)
        assert bounds[0][0] == 0, price
        assert all(begin < end for begin, end in bounds), price
        assert all(left[1] == right[0] for left, right in zip(bounds, bounds[1:])), price


def test_derived_rows_name_a_published_rule(rows, manifest):
    for row in rows:
        rule = re.match(r"rule: ([a-z0-9-]+)", row["note"])
        assert bool(rule) == (row["confidence"] == "derived"), row
        assert not rule or rule[1] in manifest["rules"], row
        assert (row["purchase_option"] == "Spot-typical") == bool(
            rule and rule[1] == "spot-typical"), row


def test_spot_is_derived_from_a_price_in_the_snapshot(rows):
    listed = {(row["region"], row["usage_type"]): Decimal(row["usd"]) for row in rows
              if row["purchase_option"] == "OnDemand" and row["operation"] == "RunInstances"}
    for row in rows:
        if row["purchase_option"] == "Spot-typical":
            saving = Decimal(re.search(r"saving (\d+)%", row["note"])[1])
            base = listed[row["region"], row["usage_type"]]
            assert Decimal(row["usd"]) == base * (100 - saving) / 100, row


@pytest.mark.parametrize("service_code, region, usage_type, expected, wanted", [
    ("AmazonEC2", "us-east-1", "BoxUsage:t3.medium", ["0.0416"], {}),
    ("AmazonEC2", "ap-southeast-1", "BoxUsage:t3.medium", ["0.0528"], {}),
    ("AmazonEC2", "us-east-1", "EBS:VolumeUsage.gp3", ["0.08"], {}),
    ("AmazonEC2", "us-east-1", "EBS:VolumeP-Throughput.gp3", ["40.96"], {"unit": "GiBps-Mo"}),
    ("AmazonEC2", "us-east-1", "NatGateway-Hours", ["0.045"], {}),
    ("AmazonEC2", "us-east-1", "NatGateway-Bytes", ["0.045"], {}),
    ("AmazonEC2", "us-east-1", "CPUCredits:t3", ["0.05"], {}),
    ("AmazonEC2", "us-west-2", "CPUCredits:t4g", ["0.04"], {}),
    ("AmazonEKS", "us-east-1", "AmazonEKS-Hours:perCluster", ["0.10"], {}),
    ("AmazonEKS", "us-east-1", "AmazonEKS-Hours:extendedSupport", ["0.50"], {}),
    ("AmazonEKS", "us-east-1", "Fargate-vCPU-Hours:perCPU", ["0.04048"], {}),
    ("AmazonVPC", "us-east-1", "PublicIPv4:InUseAddress", ["0.005"], {}),
    ("AmazonVPC", "eu-north-1", "PublicIPv4:InUseAddress", ["0.005"], {}),
    ("AWSELB", "us-east-1", "LoadBalancerUsage", ["0.0225"],
     {"product_family": "Load Balancer-Application"}),
    ("AWSDataTransfer", "us-east-1", "DataTransfer-Out-Bytes",
     ["0.09", "0.085", "0.07", "0.05"], {}),
    ("AWSDataTransfer", "global", "Global-DataTransfer-Out-Bytes", ["0"], {}),
    ("AmazonDynamoDB", "us-east-1", "TimedStorage-ByteHrs", ["0.25"], {"begin": "0"}),
    ("AmazonCloudWatch", "us-east-1", "CW:MetricMonitorUsage", ["0.30"], {"end": "10000"}),
])
def test_known_prices(rows, service_code, region, usage_type, expected, wanted):
    found = tiers(rows, service_code, region, usage_type, **wanted)
    assert found == [Decimal(price) for price in expected]


def test_manifest_counts_equal_the_files(rows, manifest):
    found = Counter(row["service_code"] for row in rows)
    regions = {}
    for row in rows:
        regions.setdefault(row["service_code"], set()).add(row["region"])
    assert manifest["format"] == 3
    assert manifest["services"] == {
        code: {"regions": sorted(regions[code]), "rows": count}
        for code, count in found.items()}
    assert manifest["kept"]["rows"] == len(rows)
    assert manifest["kept"]["by_confidence"] == Counter(row["confidence"] for row in rows)
    excluded, added = manifest["excluded"], manifest["added"]
    assert manifest["facts"]["rows"] - excluded["rows"] + added["rows"] == len(rows)
    assert sum(item["rows"] for item in excluded["by_reason"].values()) == excluded["rows"]
    assert sum(added["by_rule"].values()) == added["rows"]
    dates = sorted(row["as_of"] for row in rows if row["as_of"])
    assert (manifest["oldest"], manifest["as_of"]) == (dates[0], dates[-1])


def test_every_source_is_cited(rows):
    header, sources = read(DATA / "prices" / "sources.csv")
    assert header == ["id", "citation"]
    identifiers = [source["id"] for source in sources]
    assert len(set(identifiers)) == len(identifiers)
    assert all(source["citation"] for source in sources)
    assert {row["source"] for row in rows} == set(identifiers)


def test_instances():
    header, instances = read(DATA / "instances.csv")
    assert header == (
        "instance_type,vcpu,memory_gib,architecture,burstable,baseline_cpu_percent,"
        "credits_per_hour,max_credits,network,ebs_baseline_mbps,max_pods,current_generation,"
        "network_baseline_mbps,ebs_baseline_iops"
    ).split(",")
    names = [row["instance_type"] for row in instances]
    assert len(names) == 1401 and names == sorted(set(names))
    for row in instances:
        assert PLAIN.fullmatch(row["vcpu"]) and PLAIN.fullmatch(row["memory_gib"]), row
        assert {row["burstable"], row["current_generation"]} <= {"true", "false"}, row
        assert row["network_baseline_mbps"] == "" or int(row["network_baseline_mbps"]) > 0, row
    medium = instances[names.index("t3.medium")]
    assert (medium["network_baseline_mbps"], medium["ebs_baseline_iops"]) == ("256", "2000")
    assert (medium["vcpu"], medium["memory_gib"], medium["max_pods"]) == ("2", "4", "17")
    assert (medium["baseline_cpu_percent"], medium["credits_per_hour"]) == ("20", "24")


def test_eks_versions():
    header, versions = read(DATA / "eks_versions.csv")
    assert header == ["version", "standard_support_until", "extended_support_until", "source"]
    assert [row["version"] for row in versions] == [f"1.{minor}" for minor in range(23, 37)]
    for row in versions:
        standard = date.fromisoformat(row["standard_support_until"])
        extended = date.fromisoformat(row["extended_support_until"])
        assert standard.replace(year=standard.year + 1) == extended and row["source"], row
    until = {row["version"]: row["standard_support_until"] for row in versions}
    assert (until["1.28"], until["1.33"]) == ("2024-11-26", "2026-07-29")


def test_allowances():
    header, allowances = read(DATA / "allowances.csv")
    assert header == ("id,service_code,sku,usage_type,applies_to,quantity,unit,scope,reason,"
                      "source,as_of").split(",")
    found = {row["id"]: row for row in allowances}
    assert list(found) == sorted(found) and len(found) == len(allowances)
    assert all(row["scope"] in ("account", "region") and row["source"] for row in allowances)
    egress = found["internet-egress"]
    assert (egress["sku"], egress["applies_to"], egress["quantity"], egress["unit"]) == (
        "PB257JUQ8U6E6UPM", "DataTransfer-Out-Bytes", "100", "GB")
    assert found["lambda-requests"]["quantity"] == "1000000"
    assert found["lambda-duration"]["quantity"] == "400000"


def facts_folder():
    """Return the folder of raw facts, or None where there is none."""
    named = os.environ.get("PRETAMANE_PRICE_FACTS")
    folder = Path(named) if named else ROOT.parent / "shared" / "prices"
    return folder if named or (folder / "prices.csv").exists() else None


def run_tool(facts, out):
    """Run the build tool and return the finished process."""
    return subprocess.run([sys.executable, str(TOOL), str(facts), "--out", str(out)],
                          capture_output=True, text=True)


def contents(folder):
    """Return the bytes of every data file by its name inside the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.suffix in (".csv", ".json", ".gz")}


def test_rebuild_gives_the_same_bytes(tmp_path):
    folder = facts_folder()
    if folder is None:
        pytest.skip("allowed: no raw price facts; set PRETAMANE_PRICE_FACTS")
    process = run_tool(folder, tmp_path)
    assert process.returncode == 0, process.stderr
    built, committed = contents(tmp_path), contents(DATA)
    assert [name for name in built if built[name] != committed.get(name)] == []
    assert {name for name in committed if name.startswith("prices/")} <= set(built)


@pytest.mark.parametrize("row, message", [
    ("AmazonEC2,us-east-1,no-such-slug,{},OnDemand,Hrs,,,1,2026-01-01,x,listed", "no-such-slug"),
    ("AmazonEC2,us-east-1,t3.medium,{},OnDemand,Hrs,,,abc,2026-01-01,x,listed", "'abc'"),
    ("AmazonEC2,us-east-1,t3.medium,{,OnDemand,Hrs,,,1,2026-01-01,x,listed", "unreadable"),
    ("AmazonEC2,us-east-1,nat-gb,{},OnDemand,GB,,,1,,derived from a guess,derived", "no rule"),
    ("AmazonEC2,us-east-1,t3.medium,{}", "columns"),
])
def test_an_unreadable_row_stops_the_build(tmp_path, row, message):
    header = ("service_code,region,product,attributes_json,term,unit,tier_begin,tier_end,usd,"
              "effective_date,source,confidence")
    (tmp_path / "prices.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    process = run_tool(tmp_path, tmp_path / "out")
    assert process.returncode == 2
    assert "prices.csv line 2" in process.stderr and message in process.stderr
    assert not (tmp_path / "out").exists()
