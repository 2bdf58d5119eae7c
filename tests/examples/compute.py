"""Clusters, instances and how they are paid for, node groups, tasks."""
from __future__ import annotations

import re
from decimal import Decimal

from pretamane_analysis.prices.book import ON_DEMAND
from pretamane_analysis.prices.snapshot import instance_type
from pretamane_analysis.resources import (
    EksCluster,
    FargatePods,
    FargateTasks,
    Instances,
    Monitoring,
    NodeGroup,
    Resource,
)
from pretamane_analysis.resources.compute import DETAILED_METRICS
from pretamane_analysis.resources.delivery import OVERHEAD_GB, fargate_configuration

from .network import hours
from .rates import Line, Unsupported, parse
from .row import Row, Work
from .storage import DISK_LINES, each, volumes
from .traffic import egress

EXTENDED = "(?:cluster_)?hour_extended|cluster_extended_hour|extended_(?:cluster_)?hour"
CLUSTER = [Line("AmazonEKS-Hours:perCluster", "(?:cluster_|eks_)?(?:standard_)?hour", "clusters|hours"),
           Line("AmazonEKS-Hours:extendedSupport", "extended_(?:support|surcharge)(?:_hour)?")]


def cluster(row: Row) -> Work:
    """Control planes; past standard support, pages print the sum of the cluster hour and the surcharge."""
    extended = row.printed(f"{EXTENDED}|{CLUSTER[1].rate}")
    if names := [name for name, usd in row.rates.items() if re.fullmatch(EXTENDED, parse(name, usd).stem)]:
        whole = row.rates.pop(names[0])
        base = row.rates.setdefault("cluster_hour", Decimal(0))  # however the sum is split, it stays the sum
        row.rates["extended_surcharge_hour"] = whole - base
    version = row.take("version|kubernetes_version", "")
    return Work([EksCluster(count=row.whole("clusters|count", 1), version=str(version),
                            support="extended" if extended else "standard")], CLUSTER, hours(row))


TERMS = ((r"\b(1|3) ?-?(?:yr|y|years?)\b", {"1": "1yr", "3": "3yr"}),
         (r"\b(nu|pu|au|no|partial|all)(?:[ _-]?upfront)?\b",
          {"nu": "NoUpfront", "no": "NoUpfront", "pu": "PartialUpfront", "partial": "PartialUpfront",
           "au": "AllUpfront", "all": "AllUpfront"}))


def purchase_option(row: Row) -> str:
    """The package's name of how instances are paid for, from the row's words or from the rate's name."""
    given = row.text("purchase(?:_option)?", "")
    words = re.sub(r"[_-]+", " ", given.lower())
    if not words:
        return "Reserved" if row.printed("ri_hour") else "SavingsPlan" if row.printed("sp_hour") else ON_DEMAND
    if words in ("on demand", "ondemand", "spot"):
        return "Spot-typical" if words == "spot" else ON_DEMAND
    found = [re.search(pattern, words) for pattern, _ in TERMS]
    plan = re.search(r"\b(?:sp|savings plans?)\b", words)
    reserved = re.search(r"\b(?:ri|reserved|std|standard|conv|convertible)\b", words)
    if not all(found) or bool(plan) == bool(reserved):
        raise Unsupported(f"purchase {given!r}")
    years, upfront = (names[match[1]] for match, (_, names) in zip(found, TERMS, strict=True))
    if upfront != "NoUpfront" and not row.given("upfront_fee") or row.text("upfront_fee", "excluded") != "excluded":
        raise Unsupported("an upfront fee that is not excluded")
    if plan:
        kind = "SavingsPlanEC2Instance" if "instance" in words else "SavingsPlanCompute"
        return f"{kind}-{years}-{upfront}"
    return f"Reserved-{years}-{upfront}" + ("-Convertible" if "conv" in words else "")


def instance_lines(row: Row, option: str) -> list[Line]:
    """The rate of an instance has many names; of a commitment it is the one that says so."""
    prefix = {"R": "(?:ri|reserved)_", "S": "sp_"}.get(option[0], "")
    committed = prefix and row.printed(f"{prefix}hour")
    name = (f"{prefix}hour" if committed
            else r"(?:{0}_?)?(?:(?:od|on_demand|spot|windows|linux|arm64|dedicated|instance|node|ec2)_?)*(?:hour)?")
    return [Line("(?:Box|Dedicated)Usage:([^ ]+)", f"(?!$){name}", "instance_type|type|instances|count|nodes|hours.*"),
            Line("CPUCredits:[^ ]+", "cpu_credits?(?:_vcpu)?(?:_hour)?", "surplus_.*|.*cpu_(?:pct|percent)"),
            Line("EBSOptimized:.+", "ebs_optimi[sz]ed(?:_hour)?", "ebs_optimized.*"),
            Line("CW:MetricMonitorUsage", "(?:detailed_)?(?:monitoring_)?metrics?(?:_month)?", "detailed_monitoring.*")]


def _running(row: Row) -> tuple[Decimal, Decimal]:
    "Hours that each instance runs, and the part of the month that the calculator also takes of its disks."
    month = row.number("month_hours", Decimal(730))
    shares = [row.number(name) / whole for name, whole in
              (("hours_per_week", 168), ("hours_per_day", 24), ("utilization_pct", 100)) if row.given(name)]
    if len(shares) > 1 or shares and (shares[0] > 1 or row.given("hours|hours_each") and shares[0] != 1):
        raise Unsupported("hours that contradict each other")
    if shares and not row.given("hours|hours_each"):
        return month * shares[0], shares[0]
    return row.number("hours|hours_each", month), Decimal(1)


def _system(row: Row) -> str:
    system = row.text("os|operating_system", "linux").lower()
    if system not in ("linux", "windows"):
        raise Unsupported(f"operating system {system!r}")
    return system.capitalize()


def _surplus(row: Row, kind: str, count: int) -> Decimal | None:
    "vCPU-hours above the baseline, of all instances."
    if row.given("surplus_vcpu_hours"):
        row.take("vcpu", None)
        return row.number("surplus_(?:vcpu_hours|credit_hours.*)")
    if not row.given("surplus_credit_hours_per_vcpu.*"):
        row.take("vcpu", None)
        return None
    per_vcpu = row.number("surplus_credit_hours_per_vcpu(?:_per_(?:node|instance))?")
    return per_vcpu * (row.number("vcpu") if row.given("vcpu") else instance_type(kind).vcpu) * count


def instances(row: Row) -> Work:
    """Instances with their disks, credits and monitoring."""
    option, (running, share) = purchase_option(row), _running(row)
    lines = instance_lines(row, option)
    count = row.whole("count|instances|instance_count", 1)
    kind, tenancy = row.text("instance_type", "unnamed"), row.text("tenancy", "shared").lower()
    if tenancy not in ("shared", "default", "dedicated"):
        raise Unsupported(f"tenancy {tenancy!r}")
    arch = row.text("arch|architecture", "")
    if arch and arch not in ("x86", "x86_64", "arm64"):
        raise Unsupported(f"architecture {arch!r}")
    monitored, more = _monitoring(row, count)
    extra, others = egress(row)
    surplus, billed = _surplus(row, kind, count), count
    if surplus and not row.given("hours.*|count|instances") and not row.printed(lines[0].rate.replace("{0}",
                                                                                                      re.escape(kind))):
        billed = 0  # only credits are printed
    machines = Instances(
        instance_type=kind, count=billed, operating_system=_system(row),
        tenancy="Dedicated" if tenancy == "dedicated" else "Shared",
        purchase_option=option, running_hours=running, surplus_vcpu_hours=surplus, detailed_monitoring=monitored,
        cpu_percent=row.number("(?:average_|avg_)?cpu_(?:pct|percent)", None),
        ebs_optimized_fee=row.flag("ebs_optimized(?:_previous_gen|_fee)?"))
    disks = volumes(row, count, share)
    return Work([machines, *disks, *more, *extra], lines + DISK_LINES + others)


def _monitoring(row: Row, count: int) -> tuple[bool, list[Resource]]:
    "Detailed monitoring by the package's rule, or another number of metrics that the row tells."
    if row.given("detailed_monitoring"):
        return row.flag("detailed_monitoring"), []
    metrics = row.whole("detailed_monitoring_metrics", 0)
    if metrics in (0, DETAILED_METRICS, DETAILED_METRICS * count):
        return bool(metrics), []
    if count != 1:
        raise Unsupported("metrics of each instance or of all?")
    return False, [Monitoring(metrics=metrics)]


def node_group(row: Row) -> Work:
    """EKS nodes with their root disks."""
    option, nodes = purchase_option(row), row.whole("nodes|count|instances", 1)
    running, share = _running(row)
    disks = [kind for kind in ("gp2", "gp3", "ebs", "disk") if row.given(f"{kind}_gb(?:_each|_total)?")]
    if len(disks) > 1 or share != 1:
        raise Unsupported("disks of several kinds, or nodes for a part of the week")
    prefix = f"{disks[0]}_" if disks else ""
    size = each(row, f"{prefix}gb", nodes) if disks else Decimal(0)
    kind = row.text("instance_type")
    named = [name for name in ("gp2", "gp3") if row.printed(f"{name}(?:_gb)?(?:_month)?")]
    disk = disks[0] if disks and disks[0].startswith("gp") else named[0] if len(named) == 1 else "gp3"
    group = NodeGroup(instance_type=kind, nodes=nodes, disk_gb=size, disk_type=disk, operating_system=_system(row),
                      purchase_option=option, surplus_vcpu_hours=_surplus(row, kind, nodes))
    return Work([group], instance_lines(row, option) + DISK_LINES, running)


TASKS = [Line("Fargate-.*vCPU-Hours:perCPU", "vcpu_(?:s|hour)", "vcpu"),
         Line("Fargate-Windows-OS-Hours:perCPU", "os_(?:s|hour)", "os"),
         Line("Fargate-EphemeralStorage-GB-Hours", "(?:eph|ephemeral)_gb_(?:s|hour)", "ephemeral_gb"),
         Line("Fargate-(?:ARM-|Windows-)?GB-Hours", "(?:memory_)?gb_(?:s|hour)", "gb|memory_gb")]


def _pods(row: Row) -> Work:
    "Pods of EKS: the configuration that holds one is the package's to know."
    pods = FargatePods(vcpu=row.number("requested_vcpu"), memory_gb=row.number("requested_gb"),
                       count=row.whole("pods", 1))
    vcpu, gb = fargate_configuration(pods.vcpu, pods.memory_gb)
    for name, value in (("vcpu", vcpu), ("gb", gb), ("overhead_mib", OVERHEAD_GB * 1024)):
        row.agree(name, value, "what EKS gives the pod")
    return Work([pods], TASKS, hours(row))


def tasks(row: Row) -> Work:
    """Tasks or pods: how many, how long, how large."""
    if row.text("orchestrator", "ecs") == "eks":
        return _pods(row)
    count = row.number("tasks|pods|tasks_per_day|pods_per_day|count", Decimal(1))
    lengths = [row.number(f"{name}|{name}_per_day|{name}_each") / seconds for name, seconds in
               (("hours", 1), ("minutes", 60), ("seconds", 3600)) if row.given(f"{name}|{name}_per_day|{name}_each")]
    if len(lengths) > 1:
        raise Unsupported("durations that contradict each other")
    if row.given(".*_per_day") and not row.given("days"):
        raise Unsupported("a number for each day without days")
    length = lengths[0] if lengths else Decimal(730)
    if row.given("days"):
        if not lengths:
            length = Decimal(24)
        length *= row.number("days")
    if row.given("free_ephemeral_gb"):
        row.agree("free_ephemeral_gb", 20, "what is included")
    arch = row.text("arch|architecture", "x86_64")
    if arch not in ("x86", "x86_64", "arm64"):
        raise Unsupported(f"architecture {arch!r}")
    return Work([FargateTasks(vcpu=row.number("vcpu"), memory_gb=row.number("gb|memory_gb"), task_hours=count * length,
                              ephemeral_gb=row.number("ephemeral_gb", Decimal(20)),
                              architecture="arm64" if arch == "arm64" else "x86_64",
                              operating_system=_system(row))], TASKS)
