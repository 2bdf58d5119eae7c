"""Which computed (derived) facts the snapshot accepts, and why it refuses the others.

A computed price is kept only when the rule behind it is published. Each accepted row
carries `rule: <id>` in its note; each refused row is counted under its reason.
"""
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from snapshot_common import SnapshotError
from snapshot_services import UNNAMED

GIBPS = Decimal(1024)


@dataclass(frozen=True)
class Rule:
    """A published way to compute a price, and the facts it explains."""

    id: str
    text: str
    publication: str
    matches: Callable = lambda fact: False


@dataclass(frozen=True)
class Reason:
    """A way of computing a price that is not published."""

    id: str
    text: str
    matches: Callable = lambda fact: False


@dataclass(frozen=True)
class OneRate:
    """A price that AWS prints once for every commercial region."""

    rule: str
    usd: Decimal
    unit: str
    fill: bool  # also add it to regions where the raw facts lack it


ONE_RATES = {
    ("AmazonEC2", "cpu-credits-t2"): OneRate("one-rate-cpu-credits", Decimal("0.05"), "vCPU-Hours", True),
    ("AmazonEC2", "cpu-credits-t3"): OneRate("one-rate-cpu-credits", Decimal("0.05"), "vCPU-Hours", True),
    ("AmazonEC2", "cpu-credits-t3a"): OneRate("one-rate-cpu-credits", Decimal("0.05"), "vCPU-Hours", True),
    ("AmazonEC2", "cpu-credits-t4g"): OneRate("one-rate-cpu-credits", Decimal("0.04"), "vCPU-Hours", True),
    ("AmazonVPC", "ipv4-hour"): OneRate("one-rate-public-ipv4", Decimal("0.005"), "Hrs", True),
    ("AmazonVPC", "ipv4-idle-hour"): OneRate("one-rate-public-ipv4", Decimal("0.005"), "Hrs", True),
    ("AmazonEKS", "eks-cluster-hour"): OneRate("one-rate-eks", Decimal("0.10"), "Hours", True),
    ("AmazonEKS", "eks-extended-hour"): OneRate("one-rate-eks", Decimal("0.50"), "Hours", True),
    ("awskms", "kms-key-month"): OneRate("one-rate-kms", Decimal("1"), "Keys", False),
    ("awskms", "kms-request"): OneRate("one-rate-kms", Decimal("0.000003"), "Requests", False),
    ("AmazonECR", "ecr-storage"): OneRate("one-rate-ecr", Decimal("0.10"), "GB-Mo", False),
    ("AmazonSES", "ses-recipient"): OneRate("one-rate-ses", Decimal("0.0001"), "Count", False),
    ("AWSSecretsManager", "secret-month"): OneRate("one-rate-secrets", Decimal("0.40"), "Secrets", False),
    ("AWSSecretsManager", "secret-api-call"): OneRate(
        "one-rate-secrets", Decimal("0.000005"), "API Requests", False),
    ("AWSSystemsManager", "ssm-advanced-param-month"): OneRate(
        "one-rate-ssm", Decimal("0.05"), "Parameter-Mo", False),
    ("AWSSystemsManager", "ssm-advanced-api"): OneRate(
        "one-rate-ssm", Decimal("0.000005"), "API interactions", False),
    ("AWSDataTransfer", "dt-cross-az"): OneRate("one-rate-cross-zone", Decimal("0.01"), "GB", False),
    ("AmazonCloudWatch", "cw-metric"): OneRate("one-rate-metrics", Decimal("0.3"), "Metrics", False),
    ("awswaf", "waf-acl-month"): OneRate("one-rate-waf", Decimal("5"), "Month", True),
    ("awswaf", "waf-rule-month"): OneRate("one-rate-waf", Decimal("1"), "Month", True),
    ("awswaf", "waf-request"): OneRate("one-rate-waf", Decimal("0.0000006"), "Request", True),
}

# AWS prints one Fargate price for ECS and EKS: EKS slug -> ECS slug.
FARGATE = {"eks-fargate-vcpu-hour": "fargate-vcpu-hour",
           "eks-fargate-gb-hour": "fargate-gb-hour"}


def is_commercial(region):
    """Tell whether a region is an ordinary one: no GovCloud, no China, no local zone."""
    return len(region.split("-")) == 3 and not region.startswith("cn-")


def _one_rate(rule_id):
    """Match facts computed from other regions where AWS prints one rate for all."""
    def matches(fact):
        rate = ONE_RATES.get((fact.service_code, fact.product))
        if not rate or rate.rule != rule_id or not (fact.source.startswith("derived") or rate.rule == "one-rate-waf"):
            return False
        if fact.begin not in ("", "0"):
            return False  # the page prints the first tier only
        if fact.usd != rate.usd or not is_commercial(fact.region):
            raise SnapshotError(f"{fact.where}: {fact.usd} in {fact.region} breaks {rule_id}")
        return True
    return matches


def _page(rule_id, what, page):
    """Return the rule for a price that one AWS page prints for every region."""
    return Rule(rule_id, f"AWS prints one rate for every commercial region: {what}",
                page, _one_rate(rule_id))


RULES = (
    Rule("spot-typical",
         "typical Spot price = on-demand price x (1 - the saving of the Spot Advisor, a 30-day "
         "average); not a price list entry. Recomputed here from the on-demand row kept",
         "Spot Advisor data (spot-bid-advisor, spot-advisor-data.json)",
         lambda fact: fact.term == "Spot-typical"),
    Rule("month-hours-730", "a price per month is the price per hour x 730",
         "AWS Pricing Calculator convention: 730 hours in a month",
         lambda fact: fact.raw_note.startswith("billed per hour")),
    Rule("printed-cost-over-quantity",
         "a printed cost divided by the printed quantity it was charged for",
         "the public test output or bill named in the source",
         lambda fact: ".golden" in fact.source or "cost / quantity" in fact.source),
    Rule("fargate-one-price", "Fargate has one price for ECS tasks and EKS pods",
         "aws.amazon.com/eks/pricing and aws.amazon.com/fargate/pricing",
         lambda fact: fact.raw_note == "Fargate is one price for ECS and EKS"),
    Rule("unit-conversion-1024", "1 GiBps = 1024 MiBps",
         "the list prices gp3 throughput per GiBps-mo, AWS pages per MiB/s"),
    Rule("reserved-family-ratio",
         "the Reserved rate over the on-demand rate is one for all sizes of a family in a region: a reservation covers "
         "other sizes by their normalization factors, as on-demand prices go",
         "EC2 User Guide, How Reserved Instance discounts are applied: instance size flexibility"),
    Rule("plan-like-reserved",
         "an EC2 Instance Savings Plan costs what a standard Reserved Instance costs, a Compute Savings Plan what a "
         "convertible one costs",
         "aws.amazon.com/savingsplans/faqs: up to 72 % just like Standard RIs, up to 66 % just like Convertible RIs"),
    _page("one-rate-eks", "EKS cluster hour and extended support hour",
          "aws.amazon.com/eks/pricing"),
    _page("one-rate-public-ipv4", "public IPv4 address hour, in use or idle",
          "aws.amazon.com/vpc/pricing; AWS News Blog on the public IPv4 charge, 2023-07-28"),
    _page("one-rate-cpu-credits", "CPU credits of T2, T3, T3a (0.05) and T4g (0.04) on Linux, "
          "the same for all instance sizes and regions",
          "aws.amazon.com/ec2/pricing/on-demand"),
    _page("one-rate-kms", "KMS key month and request", "aws.amazon.com/kms/pricing"),
    _page("one-rate-ecr", "ECR private storage", "aws.amazon.com/ecr/pricing"),
    _page("one-rate-ses", "outgoing email, 0.10 per 1,000", "aws.amazon.com/ses/pricing"),
    _page("one-rate-secrets", "secret month and API calls",
          "aws.amazon.com/secrets-manager/pricing"),
    _page("one-rate-ssm", "advanced parameters and their API interactions",
          "aws.amazon.com/systems-manager/pricing"),
    _page("one-rate-cross-zone", "traffic between zones, 0.01 per GB in each direction",
          "aws.amazon.com/ec2/pricing/on-demand, data transfer within the same AWS Region"),
    _page("one-rate-metrics",
          "EC2 detailed monitoring is 2.10 for the 7 metrics of an instance, without a region: 0.30 "
          "for each of the first 10,000 metrics; equal in all 11 regions read",
          "aws.amazon.com/cloudwatch/pricing, EC2 Detailed Monitoring"),
    _page("one-rate-waf", "web ACL, rule and request prices are consistent across all AWS Regions",
          "AWS blog networking-and-content-delivery, cost-effective ways of using AWS WAF"),
)

REASONS = (
    Reason("unnamed", "its name in the price list is not known, so that no bill could be matched with it",
           lambda fact: (fact.service_code, fact.product) in UNNAMED),
    Reason("conflict", "contradicts a better row of the same price",
           lambda fact: fact.raw_note.startswith("CONFLICT")
           or (fact.product, fact.begin) == ("cloudfront-egress-us", "1024")),  # the free TB, taken off inside the tier
    Reason("gp3-throughput-duplicate", "gp3 throughput per MiBps where the GiBps list row exists",
           lambda fact: fact.raw_note.startswith("GiBps-mo price / 1024")),
    Reason("damaged-row", "single damaged source, kept in the raw facts by a family rule",
           lambda fact: fact.raw_note.startswith("single source with damaged rows")),
    Reason("size-extrapolation", "computed from another size of the family",
           lambda fact: fact.raw_note.startswith("linear in size")),
    Reason("ratio", "computed with a ratio seen in other products or regions",
           lambda fact: fact.source in (
               "derived from alb-hour", "derived from gp3-storage", "derived from io1-iops",
               "derived from io1-storage",
               "derived: equals nat-hour") or fact.source.startswith("derived: 0.75 x ALB LCU")
           or fact.raw_note.startswith(("0.8 x gp2", "2018 map x 0.6", "per-GB price equals"))),
    Reason("region-extrapolation", "copied from other regions without a published single rate",
           lambda fact: fact.source.startswith(
               ("derived: equal in ", "derived: one rate, equal in ", "derived from us-east-1",
                "derived from the eu-west-1 tiers", "derived: 0.05 in us-east-1", "derived: us-west-2 equals"))),
)

# Reasons found while building, not from the raw row alone.
LATE_REASONS = (
    Reason("spot-base-missing", "Spot row whose on-demand price is not in the raw facts"),
    Reason("spot-base-excluded", "Spot row computed from an on-demand row that is excluded"),
    Reason("spot-base-dedicated", "Spot row whose only on-demand price is a Dedicated one"),
    Reason("contradicts-rule", "the price is not what its own rule gives; replaced when possible"),
    Reason("collision", "another source for the same price is better or newer"),
)


def judge(fact):
    """Return (rule id, exclusion reason) of a fact; both empty for a read price."""
    for reason in REASONS[:2]:
        if reason.matches(fact):
            return "", reason.id
    if fact.confidence != "derived":
        return "", ""
    for reason in REASONS[2:3]:
        if reason.matches(fact):
            return "", reason.id
    for rule in RULES:
        if rule.matches(fact):
            return rule.id, ""
    for reason in REASONS[3:]:
        if reason.matches(fact):
            return "", reason.id
    raise SnapshotError(f"{fact.where}: no rule and no reason for the derived {fact.source!r}")
