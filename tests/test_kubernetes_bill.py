"""What the tree for a cluster asks for costs what the bill of EKS with open source says: its manifests, read back as
any stranger's are, priced, to the cent and line by line."""
from __future__ import annotations

import copy
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
import yaml
from kubernetes_objects import Cluster, built

from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.bill import Bill, bill
from pretamane_analysis.emit.tree import OF_KUBERNETES, emitted
from pretamane_analysis.intake.import_inputs import Input
from pretamane_analysis.intake.kubernetes_import import kubernetes_import
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.resources import LoadBalancer, Resource, Volume
from pretamane_analysis.stack.service import Requests
from pretamane_analysis.stack.stack import Stack, example, load

STACKS = Path(__file__).parent / "stacks"


def without_balancer(stack: Stack) -> Stack:
    """The same stack in a cluster without a balancer of AWS's: the tree makes none, for the tunnel or an Ingress
    controller of one's own lets callers in"""
    return stack.model_copy(update={"eks": stack.eks.model_copy(update={"load_balancer": "none"})})


def large() -> Stack:
    """The example with more of everything: copies, memory, data"""
    content = example().model_dump(exclude_unset=True)
    content["services"]["fastapi-app"] |= {"replicas": 4, "memory": "1Gi"}
    content["services"]["prometheus"]["memory"] = "3Gi"
    content["volumes"]["postgres-data"].pop("holds")
    content["volumes"]["postgres-data"] |= {"size_gb": "137.5"}
    return Stack.model_validate(content)


READ = {"example": example, "large": large, "wiki": lambda: load(STACKS / "wiki.yaml"),
        "ledger": lambda: load(STACKS / "ledger.yaml"), "site": lambda: load(STACKS / "site.yaml")}


@pytest.fixture(scope="module", params=READ)
def side(request) -> tuple[Stack, list[dict]]:
    """A stack, and what the overlay `single` of its tree holds"""
    stack = without_balancer(READ[request.param]())
    return stack, started(stack)


def started(stack: Stack) -> list[dict]:
    """What the overlay `single` of a stack's tree holds; what waits with no copy until an administrator wants it is
    there once, as in the bill"""
    found = built(emitted(stack, of=OF_KUBERNETES), "kubernetes/overlays/single")
    for each in found:
        if each["kind"] in ("Deployment", "StatefulSet") and each["spec"].get("replicas") == 0:
            each["spec"]["replicas"] = 1
    return found


def claimed(objects: list[dict]) -> Volume | None:
    """The disks that pods claim, as the importer reads them; a claim that names no class gets the cluster's default,
    gp3 as in the bill"""
    lines = kubernetes_import(Input("all.yaml", yaml.safe_dump_all(objects).encode())).cloud
    gb = sum(each.fields["gb"] * each.fields.get("count", 1) for each in lines if each.feature == "disks")
    return Volume(feature="disks", name="data disk", volume_type="gp3", gb=Decimal(gb)) if gb else None


def balancers(objects: list[dict]) -> list[Resource]:
    """The load balancers that manifests make"""
    lines = kubernetes_import(Input("all.yaml", yaml.safe_dump_all(objects).encode())).cloud
    return [LoadBalancer(feature="edge", balancer=each.fields["balancer"]) for each in lines if each.feature == "edge"]


def running(stack: Stack, objects: list[dict]) -> Stack:
    """The stack with what the manifests ask for in place of what it says: memory, CPU and copies of each service.
    Services that no manifest starts are gone; usage, nodes and region, which no manifest knows, stay"""
    services = {}
    for pod in Cluster(objects).pods:
        if pod.kind != "Job" and (each := stack.services.get(pod.owner)):
            given = pod.spec["containers"][0]["resources"]
            asked = Requests(memory=given["requests"]["memory"], cpu=None)
            services[pod.owner] = each.model_copy(update={
                "memory": given["limits"]["memory"], "requests": asked, "replicas": pod.count})
    return stack.model_copy(update={"services": services})


def read_back(stack: Stack, objects: list[dict]) -> Bill:
    """The bill of manifests: nodes that hold the pods, the disks they claim, the balancers they make, and for the
    rest what the stack's usage costs in the same cluster"""
    plan = architecture("eks-open-source", running(stack, objects), bundled())
    kept = [each for each in plan.resources if not (isinstance(each, Volume) and each.name == "data disk")
            and not isinstance(each, LoadBalancer)]
    disk = claimed(objects)
    return bill([*kept, *([disk] if disk else []), *balancers(objects)], bundled(), stack.region)


def cents(found: Bill) -> Counter:
    """Count the lines of a bill by resource, description and cents; what costs nothing is left out"""
    return Counter((line.resource, line.description, line.cost.quantize(Decimal("0.01"), ROUND_HALF_UP))
                   for line in found.lines if line.cost)


def test_the_manifests_cost_what_the_bill_says(side):
    """Each line that costs something is there on both sides, with the same amount, and so are the totals"""
    stack, objects = side
    wanted = bill_of(architecture("eks-open-source", stack, bundled()), stack, bundled())
    found = read_back(stack, objects)
    assert cents(found) == cents(wanted)
    assert found.total == wanted.total


def changed(objects: list[dict], kind: str, name: str, *path: str | int, value: object) -> list[dict]:
    """The same objects with one value changed"""
    copied = copy.deepcopy(objects)
    at = next(each for each in copied if each["kind"] == kind and each["metadata"]["name"] == name)
    for key in path[:-1]:
        at = at[key]
    assert path[-1] in at
    at[path[-1]] = value
    return copied


@pytest.mark.parametrize("change", [
    ("Deployment", "fastapi-app", "spec", "replicas", 16),
    ("PersistentVolumeClaim", "uploads-data", "spec", "resources", "requests", "storage", "200Gi"),
    ("Cluster", "postgresql", "spec", "storage", "size", "500Gi"),
    ("StatefulSet", "pgadmin", "spec", "replicas", 40)], ids=lambda change: " ".join(map(str, change[:2])))
def test_other_manifests_have_another_bill(change):
    """The comparison sees more copies, with and without a claim, a larger claim, a larger database"""
    stack = without_balancer(example())
    objects = started(stack)
    kind, name, *path, value = change
    wanted = bill_of(architecture("eks-open-source", stack, bundled()), stack, bundled())
    assert read_back(stack, changed(objects, kind, name, *path, value=value)).total > wanted.total
