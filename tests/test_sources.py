"""One question, three places to ask: the command gives the same answer from each, and works with what it wrote
itself."""
from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pricing_server import PricingServer, recorded

from pretamane_analysis.prices.rows import Row

HERE = Path(__file__).resolve().parent
OFFERS = HERE / "data" / "offers"
COMMAND = [sys.executable, "-m", "pretamane_analysis"]
PLAIN = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "nobody", "AWS_DEFAULT_REGION": "eu-west-1",
         "NO_PROXY": "127.0.0.1",
         "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@pytest.fixture
def run(tmp_path):
    """Return a function that calls the command in a folder and a cache of its own, with the credentials of nobody"""
    def call(*words: str, **more: str) -> subprocess.CompletedProcess:
        kept = {key: value
                for key, value in os.environ.items() if not key.startswith("AWS_") and "proxy" not in key.lower()}
        environment = {**kept, **PLAIN, "PRETAMANE_CACHE": str(tmp_path / "cache"),
                       "PYTHONPATH": str(HERE.parent), **more}
        return subprocess.run([*COMMAND, *words], capture_output=True, text=True, cwd=tmp_path,
                              env=environment, timeout=120)
    return call


SAME = [  # words after `prices find`, the USD of the first tier; found by the snapshot and by the source
    ("offers", ["AWSELB", "LoadBalancerUsage", "--region", "sa-east-1", "--attribute",
                "productFamily=Load Balancer-Application"], "0.034"),
    ("offers", ["AWSDataTransfer", "DataTransfer-Out-Bytes", "--region", "sa-east-1"], "0.15"),
    ("api", ["AmazonEC2", "BoxUsage:t3.medium", "--attribute", "operatingSystem=Linux", "--attribute",
             "tenancy=Shared"], "0.0416"),
    ("api", ["AmazonEC2", "EBS:VolumeUsage.gp3"], "0.08"),
    ("api", ["AmazonVPC", "PublicIPv4:InUseAddress"], "0.005"),
]


@pytest.mark.parametrize("source, words, usd", SAME)
def test_same_answer(run, source, words, usd):
    """The snapshot and a live source give the same tiers and the same SKU"""
    with PricingServer(recorded()) as server:
        live = run("prices", "find", *words, "--format", "json", "--source", source,
                   *(["--prices", str(OFFERS)] if source == "offers" else []), AWS_ENDPOINT_URL_PRICING=server.url)
    kept = run("prices", "find", *words, "--format", "json")
    assert live.returncode == kept.returncode == 0, live.stderr
    rows, known = json.loads(live.stdout)["rows"], json.loads(kept.stdout)["rows"]
    assert float(rows[0]["usd"]) == float(usd)
    assert [(float(row["usd"]), row["tier"]) for row in rows] == [(float(row["usd"]), row["tier"]) for row in known]
    # not every capture printed the SKU
    assert all(old["sku"] in ("", new["sku"]) for old, new in zip(known, rows, strict=True))


@pytest.mark.parametrize("source", ["snapshot", "offers"])
@pytest.mark.parametrize("words, error", [
    (["AWSELB", "LoadBalancerUsage", "--region", "sa-east-1"], "prices match"),
    (["AWSELB", "LoadBalancerUsages", "--region", "sa-east-1"], "no price for AWSELB"),
])
def test_same_error(run, source, words, error):
    """What is missing or ambiguous in one source is so in the other"""
    result = run("prices", "find", *words, "--source", source,
                 *(["--prices", str(OFFERS)] if source == "offers" else []))
    assert result.returncode == 2 and error in result.stderr and "Traceback" not in result.stderr


def test_rows_of_json_and_csv(run):
    """An offer file gives one row for each price dimension, as CSV and as JSON lines, with the columns that were
    promised"""
    path = next(path for path in sorted(OFFERS.rglob("*.json")) if "ELB" in str(path))
    document = json.loads(path.read_text())
    count = sum(len(term["priceDimensions"]) for kind in document["terms"].values() for terms in kind.values()
                for term in terms.values())
    table = list(csv.DictReader(io.StringIO(run("prices", "rows", str(path)).stdout)))
    lines = [json.loads(line) for line in run("prices", "rows", str(path), "--format", "json").stdout.splitlines()]
    assert table == lines and len(table) == count and tuple(table[0]) == Row._fields


def test_refresh_is_used_and_verified(run, tmp_path):
    """A refreshed snapshot answers, does not differ from its source, and differs from the bundled one by what it
    lacks"""
    source = ["--source", "offers", "--prices", str(OFFERS)]
    made = run("prices", "refresh", *source, "--regions", "sa-east-1", "--out", "mine")
    assert made.returncode == 1 and "missing" in made.stderr  # the excerpts do not hold everything
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert all(each["sha256"] and each["version"] and each["publication_date"] for each in manifest["offers"])
    found = run("prices", "find", *SAME[0][1], "--prices", "mine", "--format", "json")
    assert json.loads(found.stdout)["rows"][0]["usd"].startswith("0.034")
    live = json.loads(run("prices", "verify", *source, "--snapshot", "mine", "--region", "sa-east-1", "--architecture",
                          "eks", "--format", "json").stdout)
    assert live["counts"].get("moved", 0) == 0 and live["counts"]["same"] > 3
    differs = run("prices", "diff", "bundled", "mine", "--format", "json")
    assert differs.returncode == 1
    # the excerpt was captured as the bundled rates were: nothing changed, much is gone
    assert {row["change"] for row in json.loads(differs.stdout)["changes"]} <= {"removed", "added"}


def test_drift_is_found(run, tmp_path):
    """A rate that moved: exit code 1, the price, and what it makes on the bill"""
    changed = tmp_path / "offers" / "AWSELB"
    changed.mkdir(parents=True)
    path = next(path for path in sorted(OFFERS.rglob("*.json")) if "ELB" in str(path))
    text = path.read_text()
    (changed / "sa-east-1.json").write_text(text.replace('"0.0340000000"', '"0.0440000000"'))
    result = run("prices", "verify", "--source", "offers", "--prices", str(tmp_path / "offers"),
                 "--region", "sa-east-1", "--architecture", "eks", "--format", "json")
    assert result.returncode == 1, result.stderr
    moved = [row for row in json.loads(result.stdout)["prices"]
             if row["status"] not in ("same", "missing", "missing live")]
    assert [row["usage_type"] for row in moved] == ["LoadBalancerUsage"]
    assert float(moved[0]["eks USD/month"]) == pytest.approx(0.01 * 730)


def test_a_bill_from_the_api(run):
    """`cost --source api` stops at the first thing that the API does not have, and says so; nothing is billed 0"""
    with PricingServer(recorded()) as server:
        result = run("cost", "--architecture", "ec2", "--source", "api", AWS_ENDPOINT_URL_PRICING=server.url)
    assert (result.returncode == 2 and "does not know" in result.stderr and result.stdout == ""
            and "Traceback" not in result.stderr)


@pytest.mark.parametrize("words, error", [
    (["cost", "--source", "offers", "--prices", "nowhere"], "nowhere: there is no such file or folder"),
    (["cost", "--prices", "nowhere"], "not a price snapshot"),
    (["prices", "refresh"], "a live source is expected"),
    (["prices", "verify"], "something to compare with"),
    (["prices", "diff", "bundled", "nowhere"], "not a price snapshot"),
    (["prices", "rows", "nowhere.json"], "nowhere.json"),
])
def test_bad_places(run, words, error):
    """A place that is none: exit code 2, named, no traceback"""
    result = run(*words)
    assert result.returncode == 2 and error in result.stderr and "Traceback" not in result.stderr, result.stderr


def test_cut_offer_file_gives_no_rows_as_if_whole(run, tmp_path):
    """A file that was cut ends in an error, however far it was read"""
    path = next(path for path in sorted(OFFERS.rglob("*.json")) if "ELB" in str(path))
    (tmp_path / "cut.json").write_text(path.read_text()[:-200])
    result = run("prices", "rows", "cut.json")
    assert result.returncode == 2 and "cut.json" in result.stderr and "Traceback" not in result.stderr


def test_savings_plans_become_purchase_options(run):
    """The rates of a Savings Plan file are in a refreshed snapshot, under their own purchase option"""
    made = run("prices", "refresh", "--source", "offers", "--prices", str(OFFERS), "--regions", "us-east-1",
               "--out", "mine", "--savings-plans", str(HERE / "data" / "savings_plans.csv"))
    assert "prices, read from" in made.stdout, made.stderr
    words = ["AmazonEC2", "BoxUsage:t3.medium", "--unit", "Hrs", "--attribute", "operatingSystem=Linux", "--attribute",
             "tenancy=Shared", "--prices", "mine"]
    for option, usd in (("SavingsPlanEC2Instance-1yr-NoUpfront", "0.0262"),
                        ("SavingsPlanCompute-1yr-NoUpfront", "0.0303")):
        found = run("prices", "find", *words, "--option", option, "--format", "json")
        assert json.loads(found.stdout)["rows"][0]["usd"] == usd, found.stderr
