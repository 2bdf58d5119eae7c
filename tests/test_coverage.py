"""In which regions a stack can be priced, what is missing elsewhere, and rates that the reader gives."""
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.bill import bill
from pretamane_analysis.bill.compare import compare
from pretamane_analysis.bill.coverage import coverage, options
from pretamane_analysis.prices.book import (
    AmbiguousPrice,
    MissingPrice,
    PriceBook,
    Query,
)
from pretamane_analysis.prices.own_prices import with_own_prices
from pretamane_analysis.prices.rows import PREFIX, ending
from pretamane_analysis.prices.snapshot import allowances, bundled
from pretamane_analysis.resources import Logs
from pretamane_analysis.stack.stack import dump, example, example_text, loads

ROOT = Path(__file__).resolve().parents[1]
NAMED = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-west-2", "eu-central-1", "eu-west-3", "ap-southeast-1",
         "ap-southeast-2", "ap-northeast-1", "ap-northeast-2", "ap-south-1")
RATE = ("prices:\n  - {usage_type: TimedStorage-ByteHrs, service: AmazonDynamoDB, usd: 0.30, unit: GB-Mo, source: "
        "our contract, date: 2026-11-20%s}\n")


def guide_stacks():
    """The example and each stack file that a guide writes, by its name there."""
    found = {"example": example()}
    for page in sorted((ROOT / "docs" / "guide").glob("*.md")):
        for name, text in re.findall(r"^\$ cat > (\S+) <<'END'\n((?:> .*\n)+?)> END$", page.read_text(encoding="utf-8"),
                                     re.MULTILINE):
            if name.endswith(".yaml") and not page.stem.startswith("import-"):  # there it is what somebody has
                found[f"{page.stem} {name}"] = loads(re.sub("^> ", "", text, flags=re.MULTILINE), name)
    return found


@pytest.mark.parametrize("region", NAMED)
def test_the_named_regions_have_every_price(region):
    """The example and the guides' stacks compare without a missing price"""
    stacks = guide_stacks()
    assert len(stacks) > 1
    for name, stack in stacks.items():
        found = compare(stack.model_copy(update={"region": region}), bundled())
        assert found.baseline.bill.total > found.alternative.bill.total > 0, name
        for line in found.baseline.bill.lines:
            assert line.query.region in (region, "global"), line
    assert set(found.unanswered) <= {"high usage"}


def test_every_missing_price_is_named_for_both_sides_at_once():
    """The cluster lacks DynamoDB, the host a disk's price: one message names both, each once, and what to do"""
    stack = example().model_copy(update={"region": "mx-central-1"})
    with pytest.raises(MissingPrice) as caught:
        compare(stack, bundled())
    text = str(caught.value)
    assert "AmazonDynamoDB WriteRequestUnits" in text and "EBS:SnapshotUsage" in text and "`prices:`" in text
    assert len(set(text.split(";\n"))) == len(text.split(";\n")) == len(caught.value.queries) > 2


def test_a_scenario_that_lacks_a_price_costs_that_row_only():
    """30 GB of DynamoDB are not free in Paris and their rate is not known: the high row says so"""
    found = compare(example().model_copy(update={"region": "eu-west-3"}), bundled())
    assert list(found.ranges) == ["low", "typical"] and "TimedStorage-ByteHrs" in found.unanswered["high usage"]


def test_a_rate_of_the_readers_own():
    """It fills the hole, is shown as yours with source and day, and stays in its region"""
    stack = loads(example_text() + "\n" + RATE % ", region: eu-west-3")
    assert loads(dump(stack)) == stack
    paris = stack.model_copy(update={"region": "eu-west-3"})
    found = bill_of(architecture("eks", paris, bundled(), "high"), paris, bundled())
    line, = (each for each in found.lines if each.confidence == "yours")
    assert (line.unit_price, line.as_of, line.source) == (Decimal("0.30"), "2026-11-20",
                                                          "our contract") and "yours" in line.note
    assert coverage(paris, bundled(), scenario="high")[0].complete
    home = bill_of(architecture("eks", stack, bundled(), "high"), stack, bundled())
    assert not [each for each in home.lines if each.confidence == "yours"]


def test_a_rate_without_a_region_is_for_the_stacks_own():
    """Asked for elsewhere, the stack does not carry it along"""
    stack = loads(example_text() + "\n" + RATE % "")
    assert stack.prices[0].region == "us-east-1"
    query = Query("AmazonDynamoDB", "TimedStorage-ByteHrs", "GB-Mo")
    assert with_own_prices(bundled(), stack).find(query.at("us-east-1")).confidence == "yours"
    with pytest.raises(MissingPrice):
        with_own_prices(bundled(), stack.model_copy(update={"region": "eu-west-3"})).find(query.at("eu-west-3"))


def test_own_rates_that_contradict_each_other():
    """Two answers are no answer; the book that is shared keeps none of them"""
    stack = loads(example_text() + "\n" + RATE % "" + (RATE % "").removeprefix("prices:\n").replace("0.30", "0.31"))
    query = Query("AmazonDynamoDB", "TimedStorage-ByteHrs", "GB-Mo", "us-east-1")
    with pytest.raises(AmbiguousPrice, match="your own prices"):
        with_own_prices(bundled(), stack).find(query)
    assert bundled().own == () and bundled().find(query).confidence == "listed"


@pytest.mark.parametrize("change, words", [
    (("usd: 0.30", "usd: -1"), "prices.0.usd"), (("usd: 0.30", "usd: .nan"), "prices.0.usd"),
    (("date: 2026-11-20", "date: soon"), "prices.0.date"),
    (("source: our contract, ", ""), "prices.0.source: this key is required"),
    (("usd: 0.30", "usd: 0.30, euro: 1"), "prices.0.euro: unknown key"),
    (("usd: 0.30", "usd: 0.30, region: Paris"), "prices.0.region")])
def test_bad_own_rates(change, words):
    """File, line and key of what is wrong"""
    with pytest.raises(PretamaneError, match=re.escape(words)):
        loads(example_text() + "\n" + (RATE % "").replace(*change))


def test_log_allowances_are_not_pooled():
    """5 GB ingested, 5 GB stored and 5 GB scanned are free each"""
    assert bill([Logs(ingested_gb=Decimal(5), stored_gb=Decimal(5), scanned_gb=Decimal(5))], bundled(),
                "us-east-1").total == 0
    found = bill([Logs(ingested_gb=Decimal(10), stored_gb=Decimal(10))], bundled(), "us-east-1")
    assert found.total == 5 * Decimal("0.50") + 5 * Decimal("0.03")
    assert [each.quantity for each in allowances() if each.service == "AmazonCloudWatch"
            and each.unit == "GB"] == [5, 5, 5]


def test_the_sovereign_cloud_has_a_prefix():
    """Usage types of eusc-de-east-1 begin with ESC1-"""
    assert PREFIX["eusc-de-east-1"] == "ESC1" and ending("ESC1-BoxUsage:t3.medium",
                                                         "eusc-de-east-1") == "BoxUsage:t3.medium"
    assert len(set(PREFIX.values())) == len(PREFIX)


@pytest.mark.parametrize("service, region, usage_type, written", [  # as bills write them
    ("AWSSecretsManager", "us-east-1", "AWSSecretsManager-Secrets", "USE1-AWSSecretsManager-Secrets"),
    ("AWSSecretsManager", "us-east-1", "AWSSecretsManagerAPIRequest", "USE1-AWSSecretsManagerAPIRequest"),
    ("AWSQueueService", "us-east-1", "Requests-Tier1", "Requests-RBP"),
    ("AWSQueueService", "eu-central-1", "Requests-FIFO-Tier1", "EUC1-Requests-FIFO-Tier1"),
    ("AmazonRDS", "us-east-1", "InstanceUsage:db.t4g.medium", "InstanceUsage:db.t4g.medium"),
    ("AmazonRDS", "eu-west-1", "Multi-AZUsage:db.m5.xl", "EU-Multi-AZUsage:db.m5.xl"),
    ("AmazonRDS", "us-east-1", "Aurora:ServerlessV2Usage", "Aurora:ServerlessV2Usage"),
    ("AmazonElastiCache", "eu-central-1", "NodeUsage:cache.t4g.small", "EUC1-NodeUsage:cache.t4g.small"),
    ("AmazonMSK", "us-east-1", "Kafka.t3.small", "USE1-Kafka.t3.small"),
    ("AmazonMSK", "us-east-1", "Kafka.Storage.GP2", "USE1-Kafka.Storage.GP2"),
    ("AmazonMQ", "us-east-1", "RabbitMQ:mq.t3.micro", "USE1-RabbitMQ:mq.t3.micro"),
    ("AmazonCloudFront", "global", "EU-DataTransfer-Out-Bytes", "EU-DataTransfer-Out-Bytes"),
    ("AmazonCloudFront", "global", "US-Requests-Tier2-HTTPS", "US-Requests-Tier2-HTTPS"),
    ("AmazonECS", "us-west-2", "Fargate-GB-Hours", "USW2-Fargate-GB-Hours"),
    ("AmazonEKS", "eu-west-2", "AmazonEKS-Hours:perCluster", "EUW2-AmazonEKS-Hours:perCluster"),
    ("awswaf", "ap-south-1", "WebACLV2", "APS3-WebACLV2"), ("awskms", "us-east-1", "KMS-Keys", "us-east-1-KMS-Keys"),
    ("AmazonCognito", "eu-west-2", "CognitoEssentialsMAU", "EUW2-CognitoEssentialsMAU"),
    ("AmazonSNS", "eu-west-3", "Requests-Tier1", "EUW3-Requests-Tier1")])
def test_names_are_those_of_bills(service, region, usage_type, written):
    """What a bill writes leads to a price of the snapshot"""
    assert ending(written, region) == usage_type
    assert list(bundled().candidates(service, region, usage_type))


@pytest.mark.parametrize("service, usage_type, unit, attributes", [
    ("AmazonRDS", "InstanceUsage:db.t4g.micro", "Hrs", {"databaseEngine": "PostgreSQL"}),
    ("AmazonRDS", "Multi-AZUsage:db.t4g.micro", "Hrs", {"databaseEngine": "PostgreSQL"}),
    ("AmazonRDS", "RDS:GP2-Storage", "GB-Mo", {}),
    ("AmazonElastiCache", "NodeUsage:cache.t4g.micro", "Hrs", {"cacheEngine": "Valkey"}),
    ("AmazonElastiCache", "NodeUsage:cache.t4g.micro", "Hrs", {"cacheEngine": "Redis"}),
    ("AmazonECS", "Fargate-vCPU-Hours:perCPU", "Hrs", {}), ("AmazonEKS", "Fargate-vCPU-Hours:perCPU", "Hrs", {}),
    ("AWSQueueService", "Requests-Tier1", "Requests", {}), ("awswaf", "WebACLV2", "Month", {})])
def test_new_products_answer_in_the_named_regions(service, usage_type, unit, attributes):
    """Databases, caches, queues, Fargate and web ACLs: one price each"""
    missing = []
    for region in NAMED:
        try:
            bundled().find(Query(service, usage_type, unit, region, attributes=tuple(attributes.items())))
        except MissingPrice:
            missing.append(region)
    assert missing == []


def test_bills_find_plans_and_what_follows_from_reservations():
    """A Savings Plan is a way of buying instances; a size of a family follows from the others, and says so"""
    medium = Query("AmazonEC2", "BoxUsage:t3.medium", "Hrs", "us-east-1", "SavingsPlanEC2Instance-1yr-NoUpfront",
                   (("operatingSystem", "Linux"),))
    found = bundled().find(medium)
    assert (found.tiers[0].usd, found.confidence) == (Decimal("0.0261"), "derived") and found.tiers[0].note.startswith(
        "rule: plan-like-reserved")
    large = bundled().find(Query("AmazonEC2", "BoxUsage:t3.large", "Hrs", "us-east-1", "Reserved-1yr-NoUpfront",
                                 (("operatingSystem", "Linux"),)))
    assert abs(large.tiers[0].usd
               - 2 * Decimal("0.0261")) < Decimal("0.0001") and "rule: reserved-family-ratio" in large.tiers[0].note
    assert "ComputeSavingsPlans" not in bundled().manifest["services"]


def test_the_site_has_the_table():
    """One row for each region that sells EKS; the twelve say yes, and how machines are bought stands beneath"""
    from site_pages import coverage_page

    text = coverage_page()["coverage.md"]
    rows = {each[0]: each for line in text.split("## How machines")[0].splitlines()
            if len(each := [cell.strip() for cell in line.strip("|").split("|")]) == 4}
    assert set(bundled().regions("AmazonEKS")) <= set(rows)
    assert [rows[region][1:] for region in NAMED] == [["yes", "0", "none"]] * len(NAMED)
    assert "DynamoDB" in rows["ca-central-1"][3] and all(f"| {region}" in text.split("## How machines")[1]
                                                         for region in NAMED)


def test_options_that_are_offered_can_be_answered():
    """Each option that coverage names has a bill on both sides, and `--help` gives such a one as its example"""
    stack = example()
    offered = options(stack, bundled())
    assert "OnDemand" in offered and len(offered) > 2
    for option in offered:
        bought = stack.model_copy(update={"eks": stack.eks.model_copy(update={"purchase_option": option}),
                                          "host": stack.host.model_copy(update={"purchase_option": option})})
        for name in ("eks", "ec2"):
            assert bill_of(architecture(name, bought, bundled()), bought, bundled()).total > 0
    done = subprocess.run([sys.executable, "-m", "pretamane_analysis", "compare", "--help"], capture_output=True,
                          text=True, check=True)
    named = set(re.findall(r"(?:Reserved|SavingsPlan|Spot)[A-Za-z0-9-]+\w", done.stdout))
    assert named and named <= set(offered)


def test_the_verb(capsys):
    """A table for people, rows for programs; a rate in the stack file closes its hole"""
    from pretamane_analysis.cli.price_verbs import prices

    assert prices(["coverage", "--region", "ca-central-1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["regions"]["ca-central-1"]
    assert not found["complete"] and {each["usage_type"] for each in found["missing"]} == {
        "NatGateway-Bytes", "WriteRequestUnits", "ReadRequestUnits"}
    assert prices(["coverage", "--region", "us-east-1"]) == 0 and "1 of 1 regions" in capsys.readouterr().out


def test_a_book_in_memory_takes_own_rates_too():
    """Whatever the book is"""
    stack = loads(example_text() + "\n" + RATE % "")
    assert with_own_prices(PriceBook(), stack).find(Query("AmazonDynamoDB", "TimedStorage-ByteHrs", "GB-Mo",
                                                          "us-east-1")).tiers[0].usd == Decimal("0.30")
