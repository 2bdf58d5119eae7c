"""Turn raw facts into snapshot rows, and decide which of them are kept."""
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal

from snapshot_common import UNITS, SnapshotError, bound, decimal_of, plain
from snapshot_offers import dimension_price, find_dimension, find_upfront
from snapshot_products import check_usage_type, identify
from snapshot_rules import FARGATE, GIBPS, ONE_RATES, is_commercial, judge
from snapshot_services import SUPPOSED, UNNAMED
from snapshot_sources import source_id

HOURS = {"1yr": Decimal(8760), "3yr": Decimal(26280)}
PLACES = Decimal("0.0000000001")
DATE = re.compile(r"(\d{4}(-\d\d(-\d\d)?)?)?")
IDENTITY = ("service_code", "region", "usage_type", "operation", "product_family",
            "attributes", "purchase_option", "unit", "begin")
RANK = {"listed": 0, "page": 1, "derived": 2}
# Notes that a column or a rule already says, or says shorter.
NOTES = {
    "usd = hourly_usd + upfront_usd / hours of the term": "",
    "effective hourly as in the file": "effective hour",
    "the generator filters bare metal with tenancy=Dedicated; for many families 6 or 10 per "
    "cent above Shared": "bare metal read with tenancy=Dedicated",
    "meaning inferred: 68 of 68 common types equal the sa-east-1 2026-08 standard 3yr All "
    "Upfront price": "3yr All Upfront inferred: 68 of 68 types equal the sa-east-1 list",
    "usd = on-demand row x (1 - savings); Spot Advisor 30-day average": "",
}
# Tiers the raw facts leave open, with what the row says about it.
FIRST_TIER_END = "10000"
# Lists that begin after what is free each month: service, slugs, where the first paid tier begins.
FREE_FIRST = {(service, slug): Decimal(begin) for service, slugs, begin in (
    ("AmazonDynamoDB", "ddb-storage", 25), ("AmazonDynamoDB", "ddb-rcu-hour ddb-wcu-hour", 18600),
    ("AmazonStates", "states-transition", 4000), ("AWSEvents", "events-scheduler-invocation", 14_000_000),
    ("AmazonSNS", "sns-requests", 1_000_000), ("AmazonSNS", "sns-http-deliveries", 100_000),
    ("AmazonCloudFront", "cloudfront-http-requests-us cloudfront-https-requests-us", 10_000_000),
    ("AmazonCloudFront", "cloudfront-invalidation-path", 1000)) for slug in slugs.split()}


@dataclass
class Result:
    """The kept rows and the counts of what was excluded or added."""

    rows: list = field(default_factory=list)
    excluded: Counter = field(default_factory=Counter)
    excluded_confidence: Counter = field(default_factory=Counter)
    added: Counter = field(default_factory=Counter)

    def exclude(self, fact, reason):
        """Count an excluded fact."""
        self.excluded[reason] += 1
        self.excluded_confidence[fact.confidence] += 1


def _note(fact, rule):
    """Join what is worth saying about a row."""
    parts = [f"rule: {rule}"] if rule else []
    note = NOTES.get(fact.raw_note, fact.raw_note)
    parts.append(note.replace("eks-cluster-hour", "AmazonEKS-Hours:perCluster"))
    if SUPPOSED.match(f"{fact.service_code} {fact.product}"):
        parts.append("name of the usage type supposed")
    if rule == "spot-typical":
        parts.append(f"saving {fact.attribute('savings_over_od_pct')}%")
        parts.append(f"interruption {fact.attribute('interruption')}")
    if "conflict" in fact.attributes:
        parts.append(f"conflict: {fact.attributes['conflict']}")
    if "confirmed_by" in fact.attributes:
        parts.append(f"confirmed by {len(fact.attributes['confirmed_by'])}")
    if not DATE.fullmatch(fact.date):
        parts.append(f"dated {fact.date}")
    return "; ".join(part for part in parts if part)


def _tier(fact):
    """Return (begin, end, note) of a row, filling what the source leaves open."""
    begin, end = bound(fact.begin or "0", fact.where), bound(fact.end or "Inf", fact.where)
    if fact.product == "cw-metric" and not fact.begin:
        return begin, FIRST_TIER_END, ""
    free = FREE_FIRST.get((fact.service_code, fact.product))
    if free is not None and begin == plain(free):
        return "0", end if end == "Inf" else plain(
            Decimal(end) - free), f"the list starts at {begin}, after what is free"
    return begin, end, ""


def _reserved(fact):
    """Return (usd, hourly, upfront) of a Reserved row; unknown parts are None."""
    _, length, option, *_ = fact.term.split("-")
    parts = [None if fact.attributes.get(name) is None
             else decimal_of(fact.attributes[name], fact.where)
             for name in ("hourly_usd", "upfront_usd")]
    hourly, upfront = parts
    if option == "AllUpfront" and upfront is not None:
        hourly = hourly if hourly is not None else Decimal(0)
    if option == "NoUpfront" and hourly is None:
        hourly, upfront = fact.usd, Decimal(0)
    if hourly is None or upfront is None:
        return fact.usd, hourly, upfront
    usd = (hourly + upfront / HOURS[length]).quantize(PLACES)
    if abs(usd - fact.usd) > Decimal("0.000001"):
        raise SnapshotError(f"{fact.where}: {fact.usd} is not {hourly} + {upfront} / {length}")
    return usd, hourly, upfront


def _join(fact, product, offers, usd, upfront):
    """Return the rate code of a fact whose SKU was captured, after checking the price."""
    offer = offers.get(fact.attributes.get("sku", ""))
    if offer is None:
        return ""
    check_usage_type(fact, product, offer.usage_type)
    if (offer.operation, offer.family) != (product.operation, product.family):
        raise SnapshotError(f"{fact.where}: {offer.operation!r} {offer.family!r} is not "
                            f"{product.operation!r} {product.family!r}")
    begin = decimal_of(fact.begin or "0", fact.where)
    dimension = find_dimension(offer, fact.term, begin, fact.where)
    if dimension_price(dimension, fact.where) != usd:
        raise SnapshotError(f"{fact.where}: {usd} is not the price of its SKU")
    if upfront is not None and find_upfront(offer, fact.term, fact.where) != upfront:
        raise SnapshotError(f"{fact.where}: {upfront} is not the upfront fee of its SKU")
    return dimension["rateCode"]


def _service(fact):
    """Return the service whose usage a rate is for: Savings Plans are a way of buying, not a service."""
    if fact.service_code != "ComputeSavingsPlans":
        return fact.service_code
    return {"fargate": "AmazonECS", "lambda-": "AWSLambda"}.get(fact.product[:7], "AmazonEC2")


def make_row(fact, rule, offers):
    """Turn one fact into a snapshot row."""
    product = identify(fact)
    if "usagetype" in fact.attributes:
        check_usage_type(fact, product, fact.attributes["usagetype"])
    if fact.unit not in UNITS:
        raise SnapshotError(f"{fact.where}: unknown unit {fact.unit!r}")
    begin, end, tier_note = _tier(fact)
    usd, hourly, upfront = fact.usd, None, None
    if fact.term.startswith("Reserved-"):
        usd, hourly, upfront = _reserved(fact)
    elif "hourly_usd" in fact.attributes or "upfront_usd" in fact.attributes:
        raise SnapshotError(f"{fact.where}: an upfront price on {fact.term}")
    rate_code = _join(fact, product, offers, usd if hourly is None else hourly, upfront)
    return {
        "service_code": _service(fact), "region": fact.region, "slug": fact.product,
        "sku": fact.attributes.get("sku", ""), "rate_code": rate_code,
        "usage_type": product.usage_type, "operation": product.operation,
        "product_family": product.family, "attributes": product.attributes,
        "purchase_option": fact.term, "unit": UNITS[fact.unit], "begin": begin, "end": end,
        "usd": plain(usd), "hourly_usd": "" if hourly is None else plain(hourly),
        "upfront_usd": "" if upfront is None else plain(upfront), "as_of": DATE.match(fact.date)[0],
        "confidence": "derived" if rule else fact.confidence, "source": source_id(fact),
        "note": "; ".join(part for part in (_note(fact, rule), tier_note) if part),
    }


def _spot(fact, facts_by_type, kept):
    """Recompute a Spot price from its on-demand row; return (fact, reason)."""
    key = (fact.region, fact.product)
    base = kept.get(key)
    if base is None:
        return fact, "spot-base-excluded" if key in facts_by_type else "spot-base-missing"
    if base.attributes.get("tenancy") != "Shared":
        return fact, "spot-base-dedicated"
    saving = decimal_of(fact.attribute("savings_over_od_pct"), fact.where)
    usd = (base.usd * (100 - saving) / 100).quantize(PLACES)
    if abs(usd - fact.usd) > Decimal("0.00001"):
        return fact, "contradicts-rule"
    return replace(fact, usd=usd), ""


def _on_demand(facts):
    """Index the Linux on-demand facts of EC2 instances by region and type."""
    return {(fact.region, fact.product): fact for fact in facts
            if fact.service_code == "AmazonEC2" and fact.term == "OnDemand"
            and fact.attributes.get("os") == "Linux" and "." in fact.product}


def _late_reason(fact, rule, indexes):
    """Return (fact, rule, reason) after the checks that need other rows."""
    every, kept, gibps, fargate = indexes
    if rule == "spot-typical":
        fact, reason = _spot(fact, every, kept)
        return fact, rule, reason
    if fact.service_code == "AmazonEC2" and fact.product == "gp3-throughput":
        if fact.region in gibps:
            return fact, rule, "gp3-throughput-duplicate"
        return replace(fact, usd=fact.usd * GIBPS, unit="GiBps-mo"), "unit-conversion-1024", ""
    if rule == "fargate-one-price" and fact.service_code == "AmazonEKS":
        if fargate.get((fact.region, FARGATE[fact.product])) != fact.usd:
            return fact, rule, "contradicts-rule"
    return fact, rule, ""


def keep_facts(facts, offers, result):
    """Add the rows of every admissible fact; count the others."""
    facts = [replace(fact, region="global") if fact.service_code == "AmazonCloudFront" else fact for fact in facts]
    for fact in facts:
        if (fact.service_code, fact.product) not in UNNAMED:
            identify(fact)
    judged = [(fact, *judge(fact)) for fact in facts]
    kept = _on_demand(fact for fact, _, reason in judged if not reason)
    indexes = (
        _on_demand(facts), kept,
        {fact.region for fact in facts if fact.product == "gp3-throughput-gibps"},
        {(fact.region, fact.product): fact.usd for fact in facts
         if fact.service_code == "AmazonECS"},
    )
    for fact, rule, reason in judged:
        if not reason:
            fact, rule, reason = _late_reason(fact, rule, indexes)
        if reason:
            result.exclude(fact, reason)
        else:
            result.rows.append(make_row(fact, rule, offers))


def _copy(row, fact_region, slug, service_code, rule):
    """Copy a row into a region or service under a published rule."""
    copied = dict(row, region=fact_region, slug=slug, service_code=service_code, sku="",
                  rate_code="", confidence="derived")
    copied["note"] = f"rule: {rule}; as in {row['service_code']} {row['region']}"
    return copied


def add_one_rates(result):
    """Add prices that AWS prints once for all regions where EC2 is priced."""
    regions = sorted({row["region"] for row in result.rows
                      if row["service_code"] == "AmazonEC2" and "instanceType" in row["attributes"]
                      and row["purchase_option"] == "OnDemand" and is_commercial(row["region"])})
    present = {(row["service_code"], row["region"], row["slug"]) for row in result.rows}
    for (service_code, slug), rate in sorted(ONE_RATES.items()):
        if not rate.fill:
            continue
        read = [row for row in result.rows
                if (row["service_code"], row["slug"]) == (service_code, slug)
                and row["confidence"] != "derived" and Decimal(row["usd"]) == rate.usd]
        if not read:
            raise SnapshotError(f"prices.csv: no listed price of {service_code} {slug}")
        newest = max(read, key=lambda row: (row["as_of"], row["region"]))
        for region in regions:
            if (service_code, region, slug) not in present:
                result.rows.append(_copy(newest, region, slug, service_code, rate.rule))
                result.added[rate.rule] += 1


def add_fargate(result):
    """Add the EKS Fargate price where only the ECS one was read."""
    present = {(row["region"], row["slug"]) for row in result.rows
               if row["service_code"] == "AmazonEKS"}
    for slug, ecs_slug in sorted(FARGATE.items()):
        for row in [row for row in result.rows if row["service_code"] == "AmazonECS"
                    and row["slug"] == ecs_slug and row["purchase_option"] == "OnDemand"]:
            if (row["region"], slug) not in present:
                result.rows.append(
                    _copy(row, row["region"], slug, "AmazonEKS", "fargate-one-price"))
                result.added["fargate-one-price"] += 1


def resolve_collisions(result):
    """Keep the best row of each price: listed before page before derived, then newer."""
    best, raw_confidence = {}, Counter()
    for row in result.rows:
        key = tuple(row[name] for name in IDENTITY)
        other = best.setdefault(key, row)
        if other is row:
            continue
        newer, older = sorted((row, other), key=lambda item: item["as_of"], reverse=True)
        if RANK[newer["confidence"]] > RANK[older["confidence"]]:
            newer, older = older, newer
        best[key] = newer
        result.excluded["collision"] += 1
        raw_confidence[older["confidence"]] += 1
    result.excluded_confidence.update(raw_confidence)
    result.rows = list(best.values())


def sort_rows(result):
    """Put the rows in the order of the files."""
    result.rows.sort(key=lambda row: (
        row["service_code"], row["region"], row["usage_type"], row["operation"],
        row["product_family"], row["attributes"], row["purchase_option"], row["unit"],
        Decimal(row["begin"])))
