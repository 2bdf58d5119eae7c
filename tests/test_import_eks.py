"""The EKS side that we emit, planned by Terraform and imported as any stranger's plan, costs what the bill says; the
cluster's tree beside it gives the services back."""
from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

import pytest
from terraform_runner import cluster_files, first_plan, needs_terraform, ready
from test_terraform_bill import STACKS, classic, groups, managed, network, open_nodes, standby

from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.bill import Bill, LineItem, bill
from pretamane_analysis.bill.building_blocks import POD_VOLUMES
from pretamane_analysis.emit.tree import OF_KUBERNETES, emitted
from pretamane_analysis.intake.evidence import Imported
from pretamane_analysis.intake.import_files import imported
from pretamane_analysis.intake.import_inputs import Input
from pretamane_analysis.intake.plan_costs import line_resource_of
from pretamane_analysis.intake.terraform_import import terraform_import
from pretamane_analysis.intake.usage_files import usage_file
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import Stack, example, load

pytestmark = needs_terraform
EKS: dict[str, Callable[[], Stack]] = {
    "example": example, "network": network, "classic": classic, "groups": groups, "open": open_nodes,
    "managed": managed, "standby": standby, "wiki": lambda: load(STACKS / "wiki.yaml"),
    "ledger": lambda: load(STACKS / "ledger.yaml"), "site": lambda: load(STACKS / "site.yaml"),
    "answers": lambda: load(STACKS / "answers.yaml"), "vision": lambda: load(STACKS / "vision.yaml")}
CENT = Decimal("0.01")
IN_NO_PLAN = re.compile("custom metrics|mails sent|CPU credits|capacity units")  # what follows from what programs do


@pytest.fixture(scope="module", params=EKS)
def side(request) -> tuple[Stack, dict]:
    """A stack, and what Terraform plans of its EKS side"""
    return EKS[request.param](), first_plan(ready(cluster_files, EKS[request.param]))


def told(stack: Stack, plan: dict) -> str:
    """A usage file of Infracost with the stack's own figures"""
    use, by_address = stack.usage.at("typical"), dict[str, dict]()
    requests = use["requests"]
    planned = [each for each in plan["planned_values"]["root_module"]["resources"] if each["mode"] == "managed"]
    nodes = sum(each["values"]["scaling_config"][0]["desired_size"] for each in planned
                if each["type"] == "aws_eks_node_group")
    images = sum(each["type"] == "aws_ecr_repository" for each in planned)
    gateways = sum(each["type"] == "aws_nat_gateway" for each in planned)
    figures = {
        "aws_lb": {"processed_bytes": use["egress_gb"]}, "aws_elb": {"monthly_data_processed_gb": use["egress_gb"]},
        "aws_nat_gateway": {"monthly_data_processed_gb": use.get("nat_gb", use["log_gb"] + use["image_gb"] * nodes)
                            / max(1, gateways)},
        "aws_dynamodb_table": {"storage_gb": use["database_gb"],
                               "monthly_write_request_units": requests * use["database_writes_per_request"],
                               "monthly_read_request_units": requests * use["database_reads_per_request"]},
        "aws_ecr_repository": {"storage_gb": use["image_gb"] / max(1, images)},
        "aws_route53_zone": {"monthly_standard_queries": requests * use["dns_queries_per_request"]}}
    for each in planned:
        name, values = each["type"], each["values"]
        if name == "aws_s3_bucket":
            audit = "-audit-" in values["bucket"]
            written = use["audit_writes"] if audit else requests * use["object_writes_per_request"]
            by_address[each["address"]] = {"standard": {
                "storage_gb": use["audit_gb" if audit else "stored_gb"],
                "monthly_tier_1_requests": written,
                "monthly_tier_2_requests": 0 if audit else requests * use["object_reads_per_request"]}}
        elif name == "aws_cloudwatch_log_group":
            gb = use["control_plane_log_gb" if values["name"].startswith("/aws/eks/") else "log_gb"]
            by_address[each["address"]] = {"monthly_data_ingested_gb": gb, "storage_gb": gb}
        elif name in figures:
            by_address[each["address"]] = figures[name]
    by_address["aws_data_transfer.all"] = {"region": stack.region, "monthly_outbound_internet_gb": use["egress_gb"],
                                           "monthly_intra_region_gb": use["cross_zone_gb"]}
    return json.dumps({"version": 0.1, "resource_usage": by_address}, default=str)


def read(stack: Stack, plan: dict) -> Imported:
    """The plan as a stranger's, with a usage file"""
    usage = usage_file(Input("usage.yml", told(stack, plan).encode()))
    return terraform_import(Input("plan.json", json.dumps(plan, indent=1).encode()), usage=usage, day=stack.day())


def priced(stack: Stack, found: Imported) -> Bill:
    """The bill of what was imported"""
    return bill([line_resource_of(each, stack.day()) for each in found.cloud], bundled(), found.region)


def left(line: LineItem) -> bool:
    """Whether no plan can have a line: it follows from what programs do, or their manifests claim it"""
    return bool(IN_NO_PLAN.search(line.description)) or line.resource == POD_VOLUMES


def by_price(found: Bill) -> dict[tuple, Decimal]:
    """How much of each price a bill has, whatever stands together on a line"""
    amounts: dict[tuple, Decimal] = defaultdict(Decimal)
    for line in found.lines:
        if line.cost and not left(line):
            amounts[line.sku or str(line.query), line.unit_price] += line.quantity
    return {key: amount.quantize(Decimal("0.0001")) for key, amount in amounts.items()}


def test_the_plan_costs_what_the_bill_says(side):
    """Every price, as often as in the bill of the EKS side: machines, disks, addresses, data services, traffic"""
    stack, plan = side
    found = read(stack, plan)
    wanted = bill_of(architecture("eks", stack, bundled()), stack, bundled())
    assert found.region == stack.region
    made = priced(stack, found)
    assert by_price(made) == by_price(wanted)
    sums = [sum((line.cost for line in each.lines if not left(line)), Decimal(0)) for each in (made, wanted)]
    assert sums[0].quantize(CENT) == sums[1].quantize(CENT) > 100


def test_nothing_of_the_plan_is_left_over(side):
    """Each kind is priced or free"""
    stack, plan = side
    assert [each.what for each in read(stack, plan).left] == []


def test_plan_and_tree_together_are_the_stack(side, tmp_path):
    """Services with their sizes from the tree for a cluster, what AWS runs from the plan"""
    stack, plan = side
    for path, text in emitted(stack, of=OF_KUBERNETES).items():
        place = tmp_path / path
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_text(text)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    found = imported([str(tmp_path / "kubernetes" / "base"), str(tmp_path / "plan.json")])
    kept = {name: each for name, each in stack.services.items() if each.role not in ("host-metrics", "edge")}
    assert (found.region, set(found.services) - set(stack.with_role("edge"))) == (stack.region, set(kept))
    sizes = {name: (each["memory"], each.get("replicas", 1)) for name, each in found.services.items() if name in kept}
    assert sizes == {name: (f"{each.memory_mib}Mi", each.replicas) for name, each in kept.items()}
    assert {"EksCluster", "NodeGroup"} <= {each.fields["kind"] for each in found.cloud}
