"""A Terraform plan read back into billed resources, so that what is planned can be held to what was priced.

It reads the JSON of `terraform show -json`, which knows nothing of the model, takes sizes and counts from there, and
what no plan can
know (traffic, GB kept, requests) from the stack's usage. Every kind of resource is either billed or free for a
reason; one that is
neither is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.bill import HOURS_PER_MONTH
from pretamane_analysis.bill.building_blocks import database_log, pod_volumes, saved_gb
from pretamane_analysis.bill.features import FEATURE
from pretamane_analysis.bill.sizing import needs
from pretamane_analysis.prices.snapshot import eks_support, instance_type
from pretamane_analysis.resources import (
    Bucket,
    CacheNodes,
    CrossZoneTraffic,
    DbInstance,
    DiskSnapshots,
    EksCluster,
    HostedZones,
    ImageRegistry,
    Instances,
    InternetEgress,
    Load,
    LoadBalancer,
    Logs,
    Mail,
    Monitoring,
    NatGateway,
    NodeGroup,
    Parameters,
    PublicAddresses,
    Resource,
    SearchDomain,
    Secrets,
    Table,
    Volume,
)
from pretamane_analysis.stack.quantities import Scenario
from pretamane_analysis.stack.stack import Stack

FREE = {
    "no price": ("aws_vpc", "aws_route_table", "aws_route_table_association", "aws_security_group",
                 "aws_default_security_group",
                 "aws_vpc_security_group_egress_rule", "aws_vpc_security_group_ingress_rule", "aws_iam_role",
                 "aws_iam_role_policy",
                 "aws_iam_role_policy_attachment", "aws_iam_instance_profile", "aws_iam_service_linked_role",
                 "aws_volume_attachment",
                 "aws_autoscaling_attachment", "aws_eks_addon", "aws_eks_pod_identity_association",
                 "aws_ecr_lifecycle_policy",
                 "aws_ses_domain_dkim", "aws_lb_listener", "aws_lb_listener_rule", "aws_lb_target_group",
                 "aws_lb_target_group_attachment", "aws_route53_record",
                 "aws_db_subnet_group", "aws_elasticache_subnet_group"),
    "gateway endpoints are free": ("aws_vpc_endpoint",),
    "public certificates are free": ("aws_acm_certificate", "aws_acm_certificate_validation"),
    "a setting of a bucket": ("aws_s3_bucket_versioning", "aws_s3_bucket_server_side_encryption_configuration",
                              "aws_s3_bucket_policy",
                              "aws_s3_bucket_public_access_block", "aws_s3_bucket_ownership_controls",
                              "aws_s3_bucket_lifecycle_configuration", "aws_s3_bucket_object_lock_configuration"),
    "some hundred kilobytes": ("aws_s3_object",),
    "a thousand mails a month are free": ("aws_sns_topic",),
    "the first copy of management events is free": ("aws_cloudtrail",),
}
_FREE_KINDS = {kind for kinds in FREE.values() for kind in kinds}


@dataclass(frozen=True)
class Planned:
    "A plan, and the usage that it will serve."
    stack: Stack
    scenario: Scenario
    resources: dict[str, list[dict[str, Any]]]  # Values of each managed resource, by kind
    claimed: list[Volume] | None = None  # What manifests claim, where they were read; else the stack is asked

    @property
    def use(self) -> dict[str, Decimal]:
        "Usage figures of the scenario."
        return self.stack.usage.at(self.scenario)

    def busy(self, kind: str, machines: int, services: tuple[str, ...]) -> Decimal:
        "Average CPU use of so many machines, in percent."
        return min(Decimal(100),
                   100 * needs(self.stack, services, self.scenario).busy_cores / (instance_type(kind).vcpu * machines))

    def __getitem__(self, kind: str) -> list[dict[str, Any]]:
        return self.resources.get(kind, [])


def _by_kind(plan: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in plan["planned_values"]["root_module"].get("resources", ()):
        if each["mode"] == "managed":
            found.setdefault(each["type"], []).append(each["values"])
    return found


Reader = Callable[[Planned, list[dict[str, Any]]], Iterator[Resource]]


def _alike(found: list[dict[str, Any]], what: str, *keys: str) -> tuple[dict[str, Any], int, str]:
    "One of several that are billed alike, their number, and what they are called together."
    if len({str([each.get(key) for key in keys]) for each in found}) > 1:
        raise PretamaneError(f"the {what}s of the plan are not alike", remedy="Compare with the stack's bill")
    return found[0], len(found), what if len(found) == 1 else f"{what}s"


def _instances(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    each, count, name = _alike(found, "EC2 host", "instance_type", "monitoring", "credit_specification")
    credit = (each.get("credit_specification") or [{}])[0].get("cpu_credits") or "unlimited"
    services = tuple(name for name, one in plan.stack.services.items()
                     if count == 1 or one.role not in {"tunnel", *FEATURE["objects"].roles})
    yield Instances(name=name, instance_type=each["instance_type"], cpu_credits=credit, count=count,
                    detailed_monitoring=each["monitoring"], purchase_option=plan.stack.host.purchase_option,
                    cpu_percent=plan.busy(each["instance_type"], count, services))
    root, count, name = _alike([one["root_block_device"][0] for one in found], "root disk", "volume_type",
                               "volume_size")
    yield Volume(name=name, volume_type=root["volume_type"], gb=root["volume_size"], count=count)


def _disks(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    each, count, name = _alike(found, "data disk", "type", "size", "iops", "throughput")
    yield Volume(name=name, volume_type=each["type"], gb=each["size"], iops=each.get("iops"),
                 throughput_mibps=each.get("throughput"), count=count)


def _buckets(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    requests, use = plan.use["requests"], plan.use
    for each in found:
        if "-audit-" in each["bucket"]:
            yield Bucket(name="audit trail", standard_gb=use["audit_gb"], put_requests=use["audit_writes"])
        elif "-backup" in each["bucket"]:
            elsewhere = FEATURE["objects"].roles if any("-objects-" in one["bucket"] for one in found) else ()
            own = [name for name, one in plan.stack.services.items() if one.role not in elsewhere]
            yield Bucket(name="backup bucket", standard_gb=saved_gb(plan.stack, plan.scenario, own),
                         put_requests=use["backup_writes"])
            if plan["aws_instance"]:  # in a cluster the operator of the database keeps it with its backups
                yield from database_log(plan.stack, use, plan.stack.services)
        else:
            yield Bucket(standard_gb=use["stored_gb"], put_requests=requests * use["object_writes_per_request"],
                         get_requests=requests * use["object_reads_per_request"])


def _addresses(plan: Planned) -> Iterator[Resource]:
    "Addresses stand on no resource alone: instances ask for them, balancers take one in each zone, others are named."
    asked = sum(bool(each["associate_public_ip_address"]) for each in plan["aws_instance"])
    of_cluster = 2 if plan["aws_eks_cluster"] else 1  # Where each zone has a private subnet too
    zones = sum(len(plan["aws_subnet"]) // of_cluster for _ in (*plan["aws_lb"], *plan["aws_elb"]))
    nodes = sum(each["scaling_config"][0]["desired_size"] for each in plan["aws_eks_node_group"]) if any(
        each.get("map_public_ip_on_launch") for each in plan["aws_subnet"]) else 0
    if total := asked + zones + len(plan["aws_eip"]) + nodes:
        yield PublicAddresses(count=total)


def _nodes(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    disk = plan["aws_launch_template"][0]["block_device_mappings"][0]["ebs"][0]
    stay = tuple(each["name"].rpartition("/")[2] for each in plan["aws_ecr_repository"])
    counts = [(each, each["instance_types"][0], each["scaling_config"][0]["desired_size"]) for each in found]
    vcpu = sum(instance_type(kind).vcpu * count for _, kind, count in counts)
    percent = min(Decimal(100), 100 * needs(plan.stack, stay, plan.scenario).busy_cores / vcpu)
    for each, kind, count in counts:
        group = each["node_group_name"]
        name = group.removesuffix("-spot")
        settings = plan.stack.eks.node_groups.get(name, plan.stack.eks)
        option = "Spot-typical" if each["capacity_type"] == "SPOT" else settings.purchase_option
        alone = len(found) == 1 and group == "main"
        title = "" if alone else f"nodes {name}{', spot' if group.endswith('-spot') else ''}"
        yield NodeGroup(name=title, instance_type=kind, nodes=count, disk_gb=Decimal(0), purchase_option=option,
                        cpu_percent=percent)
    yield Volume(name="node disks", volume_type=disk["volume_type"], gb=disk["volume_size"],
                 count=sum(count for *_, count in counts), iops=disk.get("iops") or None,
                 throughput_mibps=disk.get("throughput") or None)
    if any(each["addon_name"] == "aws-ebs-csi-driver" for each in plan["aws_eks_addon"]):
        yield from plan.claimed or pod_volumes(plan.stack, plan.scenario, stay)


def _clusters(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    for each in found:
        yield EksCluster(version=each["version"], support=eks_support(each["version"], plan.stack.day()))


def _balancers(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    load = Load(new_connections_per_second=plan.use["requests"] / (HOURS_PER_MONTH * 3600),
                gb_per_hour=plan.use["egress_gb"] / HOURS_PER_MONTH)
    for each in found:
        kind = {"application": "alb", "network": "nlb"}.get(str(each.get("load_balancer_type")), "clb")
        yield LoadBalancer(balancer=kind,
                           **({"processed_gb": plan.use["egress_gb"]} if kind == "clb" else {"loads": (load,)}))


def _gateways(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    nodes = sum(each["scaling_config"][0]["desired_size"] for each in plan["aws_eks_node_group"])
    yield NatGateway(count=len(found), gb=plan.use.get("nat_gb", plan.use["log_gb"] + plan.use["image_gb"] * nodes))


def _tables(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    requests, use = plan.use["requests"], plan.use
    for each in found:
        if each["billing_mode"] != "PAY_PER_REQUEST" or any(one.get("enabled")
                                                            for one in each.get("point_in_time_recovery") or ()):
            raise PretamaneError(f"table {each['name']!r} is not billed by the request alone",
                                 remedy="Compare with the stack's bill")
        yield Table(storage_gb=use["database_gb"], write_units=requests * use["database_writes_per_request"],
                    read_units=requests * use["database_reads_per_request"])


def _search(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    for each in found:
        cluster, disk = each["cluster_config"][0], each["ebs_options"][0]
        yield SearchDomain(instance_type=cluster["instance_type"], count=cluster["instance_count"],
                           disk_type=disk["volume_type"], disk_gb=cluster["instance_count"] * disk["volume_size"])


def _databases(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    for each in found:
        engine = {"postgres": "postgresql"}.get(each["engine"], each["engine"])
        yield DbInstance(instance_type=each["instance_class"], engine=engine, multi_az=bool(each.get("multi_az")),
                         disk_type=each["storage_type"], disk_gb=Decimal(each["allocated_storage"]),
                         disk_iops=Decimal(each.get("iops") or 0))


def _caches(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    for each in found:
        yield CacheNodes(instance_type=each["node_type"], engine=each["engine"], count=each["num_cache_clusters"])


def _mail(plan: Planned) -> Iterator[Resource]:
    "Mail costs by the message, whether this plan makes the sender's identity or the account has one already."
    if emails := plan.use["emails"]:
        yield Mail(recipients=emails)


def _used(make: Callable[[dict[str, Decimal]], Resource]) -> Reader:
    "A reader for what is billed by use, however many resources of the kind there are."
    def reader(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
        yield make(plan.use)
    return reader


def _logs(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    for each in found:
        of_control_plane = each["name"].startswith("/aws/eks/")
        gb = plan.use["control_plane_log_gb" if of_control_plane else "log_gb"]
        yield Logs(name="control plane logs" if of_control_plane else "", ingested_gb=gb, stored_gb=gb)


def _none(plan: Planned, found: list[dict[str, Any]]) -> Iterator[Resource]:
    "Read with another kind, or billed by use alone."
    return iter(())


READERS: dict[str, Reader] = {
    "aws_instance": _instances, "aws_ebs_volume": _disks, "aws_s3_bucket": _buckets, "aws_eip": _none,
    "aws_launch_template": _none, "aws_ses_domain_identity": _none,
    "aws_eks_cluster": _clusters, "aws_eks_node_group": _nodes, "aws_lb": _balancers, "aws_elb": _balancers,
    "aws_nat_gateway": _gateways, "aws_dynamodb_table": _tables, "aws_opensearch_domain": _search,
    "aws_db_instance": _databases, "aws_elasticache_replication_group": _caches,
    "aws_subnet": lambda plan, found: iter([CrossZoneTraffic(gb=plan.use["cross_zone_gb"])] if len(found) > 1 else []),
    "aws_internet_gateway": _used(lambda use: InternetEgress(gb=use["egress_gb"])),
    "aws_dlm_lifecycle_policy": _used(lambda use: DiskSnapshots(gb=use["snapshot_gb"])),
    "aws_ecr_repository": _used(lambda use: ImageRegistry(gb=use["image_gb"])),
    "aws_route53_zone": lambda plan,
    found: iter([HostedZones(zones=len(found), queries=plan.use["requests"] * plan.use["dns_queries_per_request"])]),
    "aws_cloudwatch_log_group": _logs,
    "aws_cloudwatch_metric_alarm": lambda plan,
    found: iter([Monitoring(metrics=plan.use["metrics"], alarms=max(Decimal(len(found)), plan.use["alarms"]))]),
    "aws_secretsmanager_secret": lambda plan, found: iter([Secrets(count=Decimal(len(found)))]),
    "aws_ssm_parameter": lambda plan, found: iter([Parameters(standard=len(found))]),
}


def planned_resources(
    plan: dict[str, Any],  # What `terraform show -json` prints of a plan
    stack: Stack,  # For usage and purchase options
    scenario: Scenario = "typical",
    claimed: list[Volume] | None = None,  # What manifests claim that run there
) -> list[Resource]:
    """The billed resources of a plan. Raises PretamaneError for a kind of resource that is neither known to be
    billed nor free."""
    found = Planned(stack, scenario, _by_kind(plan), claimed)
    for kind in found.resources:
        if kind not in READERS and kind not in _FREE_KINDS:
            raise PretamaneError(f"it is not known what {kind} costs", remedy="Add it to tools/plan_to_resources.py")
    billed = [each for kind, reader in READERS.items() if found[kind] for each in reader(found, found[kind])]
    return [*billed, *_addresses(found), *_mail(found)]
