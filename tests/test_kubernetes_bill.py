"""EKS with open source costs what its bill says: the Terraform of the cluster, planned by the real one, and the
manifests that run there, read back, to the cent and line by line. Balancer, gateways, addresses, nodes, disks of nodes
and of pods, snapshots and the bucket are among the lines."""
from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
import yaml
from kubernetes_objects import Cluster, built
from plan_to_resources import planned_resources
from terraform_runner import PROGRAM, Configuration, first_plan, needs_terraform, ready, resources
from test_terraform_bill import cents as exact_cents

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.bill import Bill, bill
from pretamane_analysis.bill.building_blocks import DISK_OF
from pretamane_analysis.bill.nodes import Group, filled, work
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.emit.tree import OF_OPEN_CLUSTER, emitted
from pretamane_analysis.intake.import_inputs import Input
from pretamane_analysis.intake.kubernetes_import import kubernetes_import
from pretamane_analysis.prices.snapshot import bundled, instance_type
from pretamane_analysis.resources import Volume
from pretamane_analysis.stack.service import Requests
from pretamane_analysis.stack.stack import Stack, example, load

pytestmark = needs_terraform
HERE = Path(__file__).parent
NAME = "eks-open-source"
MEASURES = ("gb", "iops", "throughput_mibps")  # Of a disk


def large() -> Stack:
    """The example with more of everything: copies, memory, data, gateways, zones; a trail of who read which secret"""
    content = example().model_dump(exclude_unset=True)
    content["services"]["fastapi-app"] |= {"replicas": 4, "memory": "1Gi"}
    content["services"]["prometheus"]["memory"] = "3Gi"
    content["volumes"]["postgres-data"].pop("holds")
    content["volumes"]["postgres-data"] |= {"size_gb": "137.5"}
    content["eks"] |= {"availability_zones": 3, "nat_gateways": 3, "node_disk_gb": 50}
    more = {"audit_trail_days": 90, "mail_senders": ["fastapi-app"]}
    content["provisioning"] = content.get("provisioning", {}) | more
    return Stack.model_validate(content)


def on_eks(path: str, **eks: object) -> Stack:
    """A stack of the tests, hosted otherwise"""
    stack = load(HERE / path)
    return stack.model_copy(update={"eks": stack.eks.model_copy(update=eks)})


def maps() -> Stack:
    """No balancer, no gateway: nodes with addresses of their own"""
    return on_eks("stacks/maps.yaml")


def site() -> Stack:
    """ARM, no gateway, a web server as the edge"""
    return on_eks("stacks/site.yaml")


def telemetry() -> Stack:
    """Two groups of nodes, half of one bought on the spot market, logs of the control plane"""
    return on_eks("stacks/telemetry.yaml", load_balancer="none")


def vision() -> Stack:
    """A group of nodes with GPUs"""
    return on_eks("stacks/vision.yaml")


def wiki() -> Stack:
    """A network load balancer"""
    return on_eks("stacks/wiki.yaml")


def login() -> Stack:
    """A gateway in place of an edge"""
    return on_eks("products/login.yaml")


def saas() -> Stack:
    """Caddy that keeps no certificates in a cluster, workers with several copies"""
    return on_eks("products/saas.yaml")


def rails() -> Stack:
    """A classic load balancer"""
    return on_eks("products/rails.yaml", load_balancer="clb")


STACKS = {each.__name__: each for each in (example, large, maps, site, telemetry, vision, wiki, login, saas, rails)}


def cluster_of(stack: Stack) -> dict[str, str]:
    """The emitted files of a cluster, without the application's"""
    return emitted(stack, ["eks"], OF_OPEN_CLUSTER)


def started(files: dict[str, str]) -> list[dict]:
    """What the overlay `single` holds; what waits with no copy until an administrator wants it is there once, as in the
    bill"""
    found = built(files, "kubernetes/overlays/single")
    for each in found:
        if each["kind"] in ("Deployment", "StatefulSet") and each["spec"].get("replicas") == 0:
            each["spec"]["replicas"] = 1
    return found


def claimed(objects: list[dict]) -> list[Volume]:
    """The disks that pods claim, as the importer reads them and the class that the tree makes"""
    lines = kubernetes_import(Input("all.yaml", yaml.dump_all(objects, Dumper=yaml.CSafeDumper).encode())).cloud
    return [Volume(name=DISK_OF, **{key: Decimal(value) if key in MEASURES else value
                                    for key, value in each.fields.items() if key != "kind"})
            for each in lines if each.feature == "disks"]


def cents(found: Bill) -> Counter:
    """Count lines by resource, description and cents. Manifests name a claim after its owner, the bill after its
    volume: both are just claims here"""
    counted = Counter()
    for (resource, *rest), times in exact_cents(found).items():
        counted[DISK_OF if resource.startswith(DISK_OF) else resource, *rest] += times
    return counted


def running(stack: Stack, objects: list[dict]) -> Stack:
    """The stack with what the manifests ask for in place of what it says: memory, CPU and copies of each service.
    Services that no manifest starts are gone; usage, nodes and region, which no manifest knows, stay"""
    services = {}
    for pod in Cluster(objects).pods:
        if pod.kind != "Job" and (each := stack.services.get(pod.owner)):
            given = pod.spec["containers"][0]["resources"]
            asked = Requests(memory=given["requests"]["memory"], cpu=given["requests"]["cpu"])
            services[pod.owner] = each.model_copy(update={
                "memory": given["limits"]["memory"], "requests": asked, "replicas": pod.count})
    return stack.model_copy(update={"services": services})


@dataclass
class Side:
    """A stack, its emitted cluster, what Terraform plans of it, what the manifests hold"""

    stack: Stack
    files: dict[str, str]
    configuration: Configuration
    plan: dict
    objects: list[dict]


@cache
def side_of(name: str) -> Side:
    """One of them, planned once"""
    stack = STACKS[name]()
    files, configuration = cluster_of(stack), ready(cluster_of, STACKS[name])
    return Side(stack, files, configuration, first_plan(configuration), started(files))


@pytest.fixture(params=STACKS)
def side(request) -> Side:
    """Each of them"""
    return side_of(request.param)


def test_the_tree_costs_what_the_bill_says(side):
    """Each line that costs something is there on both sides, with the same amount, and so are the totals"""
    wanted = bill_of(architecture(NAME, side.stack, bundled()), side.stack, bundled())
    read = planned_resources(side.plan, side.stack, claimed=claimed(side.objects))
    found = bill(read, bundled(), side.stack.region)
    assert cents(found) == cents(wanted)
    assert found.total == wanted.total


def test_the_nodes_are_those_that_the_manifests_need(side):
    """The pods that the manifests start, placed by the bill's own arithmetic, need the nodes that Terraform plans"""
    planned = Counter()
    for each in resources(side.plan, "aws_eks_node_group").values():
        planned[each["instance_types"][0]] += each["scaling_config"][0]["desired_size"]
    needed = Counter()
    for count, kind in architecture(NAME, running(side.stack, side.objects), bundled()).groups:
        needed[kind] += count
    assert planned == needed


def test_the_planned_nodes_hold_the_pods(side):
    """Each pod has a place on one of the nodes, with the memory and the CPU that are kept for it"""
    plan = architecture(NAME, side.stack, bundled())
    held = work(running(side.stack, side.objects), [name for name in plan.on_machines if name in running(
        side.stack, side.objects).services])
    nodes = [Group(str(at), instance_type(kind), count) for at, (count, kind) in enumerate(plan.groups)]
    filled_ = filled(nodes, held, prefix_delegation=side.stack.eks.prefix_delegation)
    assert not any(filled_.waiting.values())


def test_the_load_balancer_leads_to_the_edge(side):
    """Terraform's balancer leads to a port of every node; one Service listens there and picks pods that a policy lets
    it reach; without a balancer there is neither, and in no case an Ingress or a Service that makes another one"""
    cluster = Cluster(side.objects)
    doors = [each for each in cluster.by_kind.get("Service", ()) if each["spec"].get("type")]
    assert "Ingress" not in cluster.by_kind and "Gateway" not in cluster.by_kind
    if side.stack.eks.load_balancer == "none":
        assert not doors and "terraform/balancer.tf" not in side.files
        return
    door, = doors
    listening, = door["spec"]["ports"]
    assert door["spec"]["type"] == "NodePort"
    assert f"node_port = {listening['nodePort']}\n" in side.files["terraform/balancer.tf"]
    pods = [pod for pod in cluster.pods if door["spec"]["selector"].items() <= pod.labels.items()]
    assert len(pods) == 1 and pods[0].count
    assert listening["targetPort"] in {each["containerPort"] for each in pods[0].spec["containers"][0]["ports"]}
    assert cluster.allowed("203.0.113.9", pods[0], listening["targetPort"])
    assert not [each for each in cluster.pods if "tunnel" in each.owner or each.owner == "cloudflared"]


def test_format(side):
    """`terraform fmt` would change nothing"""
    done = side.configuration.run("fmt", "-check", "-diff", "-recursive")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["large", "maps", "rails"])
def test_own_tests(name):
    """The emitted tests pass"""
    assert "Success! 4 passed, 0 failed." in side_of(name).configuration.must("test", "-no-color")


def test_pods_have_roles_of_their_own():
    """The database writes its bucket, External Secrets reads the stack's path, who sends mail may; each by the service
    account that the manifests name"""
    side = side_of("large")
    roles = resources(side.plan, "aws_eks_pod_identity_association")
    accounts = Cluster(side.objects).names("ServiceAccount") | Cluster(side.objects).names("Cluster")
    inside = {each["service_account"] for each in roles.values() if each["namespace"] == "pretamane"}
    assert inside == {"postgresql", "fastapi-app"} <= accounts
    bucket = resources(side.plan)["aws_s3_bucket.backup"]
    store, = Cluster(side.objects).by_kind["ObjectStore"]
    assert store["spec"]["configuration"]["destinationPath"] == f"s3://{bucket['bucket']}/postgresql"
    policies = [each["policy"] for each in resources(side.plan, "aws_iam_role_policy").values()]
    assert any(f"arn:aws:s3:::{bucket['bucket']}/postgresql/*" in each for each in policies)
    assert any("parameter/pretamane/production/*" in each for each in policies)


def test_check_has_nothing_to_say():
    """Of the example's whole tree"""
    assert check(Tree(emitted(example(), None, OF_OPEN_CLUSTER), as_of=example().day())) == []


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
    ("PersistentVolumeClaim", "uploads-data", "spec", "resources", "requests", "storage", "200Gi"),
    ("Cluster", "postgresql", "spec", "storage", "size", "500Gi"),
    ("StatefulSet", "pgadmin", "spec", "replicas", 40)], ids=lambda change: " ".join(map(str, change[:2])))
def test_other_claims_have_another_bill(change):
    """The comparison sees a larger claim, a larger database, more copies with claims"""
    side = side_of("example")
    kind, name, *path, value = change
    totals = [bill(planned_resources(side.plan, side.stack, claimed=claimed(each)), bundled(), side.stack.region).total
              for each in (side.objects, changed(side.objects, kind, name, *path, value=value))]
    assert totals[0] < totals[1]


def test_more_copies_need_more_nodes():
    """And so does a service that runs sixteen times"""
    side = side_of("example")
    more = changed(side.objects, "Deployment", "fastapi-app", "spec", "replicas", value=16)
    counts = [sum(count for count, _ in architecture(NAME, running(side.stack, each), bundled()).groups)
              for each in (side.objects, more)]
    assert counts[0] < counts[1]


def test_a_tunnel_without_a_balancer_has_room_on_the_nodes():
    """`load_balancer: none` with a tunnel: callers come through its pods, which the bill places and the tree starts;
    with a balancer neither has them"""
    stack = example()
    none = stack.model_copy(update={"eks": stack.eks.model_copy(update={"load_balancer": "none"})})
    assert "cloudflared" in architecture(NAME, none, bundled()).on_machines
    assert "cloudflared" in Cluster(started(cluster_of(none))).names("Deployment")
    assert "cloudflared" not in architecture(NAME, stack, bundled()).on_machines
    assert "cloudflared" not in architecture("ec2-pair", none, bundled()).on_machines


def test_what_a_balancer_cannot_choose_is_said():
    """No edge, no gateway, no route"""
    with pytest.raises(PretamaneError, match="no edge or gateway") as caught:
        cluster_of(on_eks("stacks/telemetry.yaml"))
    assert "load_balancer: none" in caught.value.remedy and PROGRAM
