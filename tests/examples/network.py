"""Load balancers, NAT, addresses, endpoints, traffic and DNS."""
from __future__ import annotations

from decimal import Decimal

from pretamane_analysis.resources import (
    CrossZoneTraffic,
    HostedZones,
    InternetIngress,
    InterRegionTraffic,
    Load,
    LoadBalancer,
    NatGateway,
    PublicAddresses,
    Resource,
    VpcEndpoint,
)
from pretamane_analysis.resources.network import FREE_RULES

from .rates import Line, Unsupported
from .row import Adapter, Row, Work, values
from .traffic import egress, egress_line

MONTH = "hours|hours_each|month_hours"
LOAD = ("new_connections_per_s|connection_minutes|active_connections|kb_per_s|gb_per_hour|requests_per_s|rules"
        "|rule_evaluations_per_s")
GB = "(?:processed_)?gb(?:_month)?"


def hours(row: Row) -> Decimal:
    """Hours of the month."""
    return row.number(MONTH, Decimal(730))


def balancer(kind: str) -> Adapter:
    """The adapter of one kind of load balancer."""
    lines = [Line("LoadBalancerUsage", f"(?:{kind}_|lb_)?hour", "load_balancers|count|" + MONTH),
             Line("LCUUsage", "n?lcu(?:_hour)?", f"n?lcu_.*|{GB}|{LOAD}"),
             Line("DataProcessing-Bytes", "(?:processed_)?gb", GB),
             Line("TS-LoadBalancerUsage", "trust_store_hour", "trust_stores")]

    def adapter(row: Row) -> Work:
        month, count = hours(row), row.whole("load_balancers|count|[anc]lbs", 1)
        gb, measured = row.number(GB, Decimal(0)), row.number("n?lcu_hours", None)
        if row.given("n?lcu_avg_each"):
            measured = row.number("n?lcu_avg_each") * count * month + (measured or 0)
        loads = _loads(row, count, gb / month if month else Decimal(0))
        if measured is not None and (loads or measured < gb):
            raise Unsupported("measured capacity units beside a load, or fewer than the GB")
        if loads and kind == "clb":
            raise Unsupported("a load of a CLB")
        return Work([LoadBalancer(balancer=kind, count=count, loads=loads, lcu_hours=measured, processed_gb=gb,
                                  trust_stores=row.whole("trust_stores", 0))], lines, month)

    return adapter


def _loads(row: Row, count: int, gb_per_hour: Decimal) -> tuple[Load, ...]:
    "What the balancer does in every hour, in the units of the package."
    if not row.given(LOAD):
        return ()
    if count != 1:
        raise Unsupported("a load of each balancer or of all?")
    new, active = row.number("new_connections_per_s", Decimal(0)), row.number("active_connections", Decimal(0))
    active += new * 60 * row.number("connection_minutes", Decimal(0))
    gb_per_hour += row.number("gb_per_hour", Decimal(0)) + row.number("kb_per_s", Decimal(0)) * 3600 / 10**6
    requests, rules = row.number("requests_per_s", Decimal(0)), row.whole("rules", 0)
    if row.given("rule_evaluations_per_s"):
        if requests and rules > FREE_RULES:
            raise Unsupported("rule evaluations told twice")
        requests, rules = row.number("rule_evaluations_per_s"), FREE_RULES + 1
    return (Load(new_connections_per_second=new, active_connections=active, gb_per_hour=gb_per_hour,
                 requests_per_second=requests, rules=rules),)


NAT = [Line("NatGateway-Hours", "(?:nat_)?hour", "nat_gateways|gateways|count|" + MONTH),
       Line("NatGateway-Bytes", "(?:nat_)?(?:processed_)?gb", "(?:nat_)?(?:processed_)?gb")]
ADDRESSES = [Line("PublicIPv4:.*", "(?:(?:public_)?ipv4_|address_|eip_)?hour",
                  "(?:.*addresses|.*eips?|public_ipv4)", shared=True)]


def _nat(row: Row) -> list[Resource]:
    return [NatGateway(count=row.whole("nat_gateways|gateways|count", 1),
                       gb=row.number("(?:nat_)?(?:processed_)?gb", 0))]


def _addresses(row: Row) -> list[Resource]:
    "Addresses in use and idle ones."
    used = row.whole("(?:in_use_)?(?:addresses|eips?)|public_ipv4|public_addresses", 0)
    idle = row.whole("idle_(?:addresses|eips?)", 0)
    return [PublicAddresses(count=used)] * bool(used) + [PublicAddresses(count=idle, idle=True)] * bool(idle)


def nat(row: Row) -> Work:
    """NAT gateways, perhaps with the addresses and the egress behind them."""
    resources, lines = egress(row)
    return Work(_nat(row) + _addresses(row) + resources, NAT + ADDRESSES + lines, hours(row))


def addresses(row: Row) -> Work:
    """Public IPv4 addresses; used and idle ones cost the same."""
    return Work(_addresses(row), ADDRESSES, hours(row))


def vpc(row: Row) -> Work:
    """What a private network costs: NAT, addresses, traffic."""
    resources, lines = egress(row)
    if row.given("nat_.*"):
        resources, lines = resources + _nat(row), lines + NAT
    more, others = _between(row)
    return Work(resources + _addresses(row) + more, lines + ADDRESSES + others, hours(row))


def endpoint(row: Row) -> Work:
    """Interface endpoints."""
    lines = [Line("VpcEndpoint-Hours", "(?:endpoint_(?:az_)?)?hour", "endpoint.*|azs|count|hours"),
             Line("VpcEndpoint-Bytes", f"(?:{GB}|data)?", GB, ends=(10**6, 1024**2, 5 * 10**6, 5 * 1024**2))]
    measured = row.number("endpoint_(?:az_)?hours", None)
    zones = row.whole("endpoints|count", 1) * row.whole("azs(?:_each)?|endpoint_azs", 1)
    if row.given("endpoints") and row.given("azs"):
        row.agree("endpoint_(?:az_)?hours", zones * hours(row), "endpoints times zones times hours")
    return Work([VpcEndpoint(zones=zones, zone_hours=measured, gb=row.number(GB, 0))], lines, hours(row))


def _between(row: Row) -> tuple[list[Resource], list[Line]]:
    "Traffic between zones and regions."
    pair = "us-east-1" if row.region == "us-east-2" else "us-east-2"
    found: list[Resource] = []
    if row.given("cross_az_gb_one_way"):
        found.append(CrossZoneTraffic(gb=row.number("cross_az_gb_one_way")))
    if row.given("other_region_gb"):
        found.append(InterRegionTraffic(gb=row.number("other_region_gb"), to_region="other"))
    if row.given("us_east_to_us_east_gb"):
        if row.number("us_east_to_us_east_gb") and row.region not in ("us-east-1", "us-east-2"):
            raise Unsupported(f"traffic between the us-east regions in {row.region}")
        found.append(InterRegionTraffic(gb=row.number("us_east_to_us_east_gb"), to_region=pair))
    return found, [Line("DataTransfer-Regional-Bytes", "cross_az(?:_gb)?(?:_each_direction)?", "cross_az_gb_one_way"),
                   Line("AWS-Out-Bytes other", "other(?:_region)?(?:_gb)?", "other_region_gb"),
                   Line(r"AWS-Out-Bytes us-east-\d", "use1_use2|us_east_to_us_east(?:_gb)?", "us_east_to_us_east_gb")]


def transfer(row: Row) -> Work:
    """Traffic of every direction."""
    resources, _ = egress(row)
    more, lines = _between(row)
    inward = [InternetIngress(gb=row.number("internet_(?:in|ingress)_gb"))] if row.given(
        "internet_(?:in|ingress)_gb") else []
    return Work(resources + more + inward, [egress_line(bare=True), *lines])


def _queries(kind: str, usage: str, field: str) -> Line:
    return Line(usage, rf"(?:{kind}(?:_queries)?|queries)?", f"{kind}_queries", field, tier_per=10**6, ends=(10**9,))


DNS = [Line("HostedZone", "(?:hosted_)?zone(?:_month)?", "(?:hosted_)?zones", "zones", ends=(25,)),
       _queries("standard", "DNS-Queries", "queries"), _queries("latency", "LBR-Queries", "latency_queries"),
       _queries("geo", "Geo-Queries", "geo_queries"),
       Line("Health-Check-AWS", "health_checks?(?:_month)?", "(?:aws_)?health_checks", "health_checks")]


def dns(row: Row) -> Work:
    """Hosted zones, queries of each kind, health checks."""
    return Work([HostedZones(**values(row, DNS))], DNS)
