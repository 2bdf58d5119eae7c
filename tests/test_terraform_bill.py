"""What is planned is what was priced: plans of both sides, read back, cost what the bill says, to the cent and line
by line."""
from __future__ import annotations

import json
import re
from collections import Counter
from copy import deepcopy
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from plan_to_resources import READERS, planned_resources
from terraform_runner import (
    cluster_files,
    first_plan,
    host_files,
    needs_terraform,
    pair_files,
    ready,
    resources,
)
from test_terraform_host import varied

from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.bill import Bill, bill
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import Stack, example, load

pytestmark = needs_terraform


def balanced(kind: str) -> Stack:
    """The example on EKS with another load balancer, more zones and gateways, spot nodes, an older version, no
    search engine"""
    data = example().model_dump(exclude_unset=True)
    data["eks"] |= {"load_balancer": kind, "availability_zones": 3, "nat_gateways": 3,
                    "purchase_option": "Spot-typical", "version": "1.33", "node_disk_gb": 50, "nodes": 4}
    if kind == "clb":
        data["services"].pop("meilisearch")
        data["services"]["fastapi-app"]["depends_on"].pop("meilisearch")
        data["volumes"].pop("meilisearch-data")
    return Stack.model_validate(data)


def network() -> Stack:
    """With a network load balancer"""
    return balanced("nlb")


def classic() -> Stack:
    """With a classic load balancer"""
    return balanced("clb")


def groups() -> Stack:
    """Two kinds of nodes, half of one bought on the spot market, whole prefixes of addresses, logs of the control plane"""  # noqa: E501
    stack = load(STACKS / "telemetry.yaml")
    return stack.model_copy(update={"eks": stack.eks.model_copy(update={"prefix_delegation": True})})


def open_nodes() -> Stack:
    """No gateway, no balancer, nodes with addresses of their own and a disk with IOPS"""
    stack = load(STACKS / "maps.yaml")
    return stack.model_copy(update={"eks": stack.eks.model_copy(update={"node_disk_iops": Decimal(4000), "node_disk_throughput": Decimal(250)})})  # noqa: E501


def managed() -> Stack:
    """PostgreSQL and Redis, replaced by RDS and ElastiCache, each the smallest class that has their memory"""
    return load(Path(__file__).parent / "data" / "managed_shop.yaml")


def standby() -> Stack:
    """A larger database in two zones, beside a cache of two nodes with Valkey"""
    data = managed().model_dump(exclude_unset=True)
    data["services"]["postgres"]["memory"] = "4Gi"
    data["services"]["redis"] |= {"image": "valkey/valkey:9.0.0", "replicas": 2}
    data["managed"] = {"postgres": {"provider": "rds-postgresql", "settings": {"multi_az": True, "disk_type": "gp2"}}}
    return Stack.model_validate(data)


STACKS = Path(__file__).parent / "stacks"
SIDES = {
    "ec2": (example, host_files), "ec2, the other choices": (varied, host_files),
    "ec2-pair": (example, pair_files), "ec2-pair, the other choices": (varied, pair_files),
    "eks": (example, cluster_files),
    "eks, network load balancer": (network, cluster_files), "eks, classic load balancer": (classic, cluster_files),
    "eks, groups of nodes": (groups, cluster_files), "eks, nodes with addresses": (open_nodes, cluster_files),
    "eks, managed database and cache": (managed, cluster_files), "eks, with a standby": (standby, cluster_files),
}


@pytest.fixture(scope="module", params=SIDES)
def side(request):
    """A stack, its architecture's name, the emitted files and what Terraform plans of them"""
    stack, emit = SIDES[request.param]
    return stack(), request.param.partition(",")[0], emit(stack()), first_plan(ready(emit, stack))


def cents(found: Bill) -> Counter:
    """Count the lines of a bill by resource, description and cents; what costs nothing is left out"""
    return Counter((line.resource, line.description, line.cost.quantize(Decimal("0.01"), ROUND_HALF_UP))
                   for line in found.lines if line.cost)


def read_back(stack: Stack, plan: dict) -> Bill:
    """Return the bill of a plan"""
    return bill(planned_resources(plan, stack), bundled(), stack.region)


def test_bill_of_the_plan_is_the_bill(side):
    """Each line that costs something is there on both sides, with the same amount, and so are the totals"""
    stack, name, _, plan = side
    wanted, found = bill_of(architecture(name, stack, bundled()), stack, bundled()), read_back(stack, plan)
    assert cents(found) == cents(wanted)
    assert found.total == wanted.total


def test_every_line_has_a_cause(side):
    """Each line of the EKS bill names resources that are planned, and each kind of billed resource is named"""
    stack, name, files, plan = side
    if name != "eks":
        return
    lines = json.loads(files["bill-resources.json"])["lines"]
    wanted = bill_of(architecture(name, stack, bundled()), stack, bundled())
    assert {(each["resource"],
             each["description"]) for each in lines} == {(line.resource, line.description) for line in wanted.lines}
    planned = {re.sub(r"\[.*", "", address) for address in resources(plan)}
    named = {address for each in lines for address in each["addresses"]}
    assert named <= planned
    assert {each["resource"] for each in lines if not each["addresses"]} <= {"backups", "edge"}
    assert {address.split(".")[0]
            for address in planned} & set(READERS) == {address.split(".")[0] for address in named} & set(READERS)


@pytest.mark.parametrize(("kind", "change"), [
    ("aws_ebs_volume", {"size": 480}), ("aws_instance", {"instance_type": "t3a.xlarge"}),
    ("aws_ebs_volume", {"type": "gp2"}), ("aws_ebs_volume", {"iops": 4000})])
def test_a_different_plan_has_a_different_bill(kind, change, side):
    """The comparison sees a larger disk, a larger host, another kind of disk, more IOPS"""
    stack, name, _, plan = side
    if name != "ec2" or stack.host.edge == "direct":
        return
    plan = deepcopy(plan)
    for each in plan["planned_values"]["root_module"]["resources"]:
        if each["type"] == kind:
            each["values"] |= change
    wanted = bill_of(architecture("ec2", example(), bundled()), example(), bundled())
    assert read_back(example(), plan).total > wanted.total
