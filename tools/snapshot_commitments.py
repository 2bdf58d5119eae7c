"""Reserved and Savings Plan rates that follow from others by what AWS publishes of them."""
from decimal import Decimal
from statistics import median

from snapshot_common import plain

PLACES = Decimal("0.0000000001")
SPREAD = Decimal("0.02")  # ratios of one family that differ by more are no ratio
# A plan costs what this kind of reservation costs: AWS FAQ of Savings Plans, "just like Standard RIs", "just like
# Convertible RIs".
PLANS = {"SavingsPlanEC2Instance-{}": "Reserved-{}", "SavingsPlanCompute-{}": "Reserved-{}-Convertible"}
LEASES = tuple(f"{years}yr-{paid}Upfront" for years in (1, 3) for paid in ("No", "Partial", "All"))


def _instances(rows):
    """Index shared Linux instances by purchase option, region and type."""
    found = {}
    for row in rows:
        if row["usage_type"].startswith("BoxUsage:") and "operatingSystem=Linux" in row["attributes"]:
            place = found.setdefault(row["purchase_option"], {})
            place.setdefault((row["region"], row["usage_type"].removeprefix("BoxUsage:")), row)
    return found


def _derived(base, option, usd, rule, how):
    """Make a row under a rule; what is paid up front is not known apart."""
    return {**base, "sku": "", "rate_code": "", "purchase_option": option, "usd": plain(usd.quantize(PLACES)),
            "hourly_usd": "", "upfront_usd": "", "confidence": "derived", "note": f"rule: {rule}; {how}"}


def _of_families(rows):
    """Yield the Reserved rates of the other sizes of a family in a region, by the ratio of those that were read."""
    found = _instances(rows)
    listed = found["OnDemand"]
    for option in (option for option in found if option.startswith("Reserved-")):
        ratios = {}
        for (region, name), row in found[option].items():
            if (region, name) in listed:
                ratio = Decimal(row["usd"]) / Decimal(listed[region, name]["usd"])
                ratios.setdefault((region, name.split(".")[0]), []).append((ratio, name, row))
        for (region, name), base in listed.items():
            known = ratios.get((region, name.split(".")[0]))
            if (region, name) in found[option] or not known or "metal" in name:
                continue
            ratio = median(each[0] for each in known)
            if max(abs(each[0] - ratio) for each in known) > SPREAD:
                continue
            oldest = min(known, key=lambda each: each[2]["as_of"])[2]
            yield _derived({**base, "as_of": oldest["as_of"], "source": oldest["source"]}, option,
                           Decimal(base["usd"]) * ratio,
                           "reserved-family-ratio",
                           f"{ratio:.4f} x on demand, as {', '.join(sorted(each[1] for each in known)[:3])}")


def _of_plans(rows):
    """Yield the Savings Plan rates that equal a Reserved one."""
    found = _instances(rows)
    for lease in LEASES:
        for plan, reserved in PLANS.items():
            option, same = plan.format(lease), reserved.format(lease)
            for key, row in found.get(same, {}).items():
                if key not in found.get(option, {}):
                    yield _derived(row, option, Decimal(row["usd"]), "plan-like-reserved", f"as {same}")


def add_commitments(result):
    """Add what follows from the rates that were read, first within families, then for the plans."""
    for rule, rates in (("reserved-family-ratio", _of_families), ("plan-like-reserved", _of_plans)):
        found = list(rates(result.rows))
        result.rows += found
        result.added[rule] += len(found)
