"""Stacks that share no word with the example: from stack to bill, and claims about them. Each test is a fault that
was there."""
from __future__ import annotations

import re
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture, bill_of, names_for
from pretamane_analysis.bill.audit import audit, defensible
from pretamane_analysis.bill.claim import Claim
from pretamane_analysis.bill.compare import compare, document
from pretamane_analysis.bill.sides import feature_rows, lost
from pretamane_analysis.bill.sizing import Machine, cheapest, host_for
from pretamane_analysis.bill.what_if import with_egress, with_host
from pretamane_analysis.cli.main import main
from pretamane_analysis.prices.book import MissingPrice, PriceBook
from pretamane_analysis.prices.snapshot import bundled, instance_type
from pretamane_analysis.resources import (
    LoadBalancer,
    NatGateway,
    NodeGroup,
    PublicAddresses,
)
from pretamane_analysis.stack.model_file import parse
from pretamane_analysis.stack.stack import example, load, loads

BOOK = bundled()
FOLDER = Path(__file__).parent / "stacks"
STACKS = {path.stem: load(path) for path in sorted(FOLDER.glob("*.yaml"))}
MAPS, VISION, WIKI, TELEMETRY = (STACKS[name] for name in ("maps", "vision", "wiki", "telemetry"))


def eks(stack, **settings):
    """The stack with other settings of its cluster, checked"""
    content = stack.model_dump(exclude_unset=True)
    content["eks"] = content.get("eks", {}) | settings
    return type(stack).model_validate(content)


def of(found, kind):
    """The resources of a kind"""
    return [each for each in found.resources if isinstance(each, kind)]


def claim(text):
    """A claim from YAML"""
    return parse(text, Claim, "claim.yaml")


# Sizing

def test_nodes_hold_the_busy_cpu():
    """12 busy cores and 8Gi are not two m5.xlarge"""
    assert architecture("eks", MAPS, BOOK).machines == "4 x m5.xlarge"
    assert architecture("ec2", MAPS, BOOK).capacity.vcpu >= 12


def test_nodes_have_places_for_pods():
    """40 services of 64Mi do not run on 22 places for pods; prefix delegation makes more"""
    text = "name: hive\nservices:\n" + "".join(f"  cell{i}: {{image: 'cell:1', memory: 64Mi}}\n" for i in range(40))
    found = architecture("eks", loads(text + "eks: {node_instance_type: t3.small}\n"), BOOK)
    assert found.capacity.machines * (11 - 3) >= 42
    many = [architecture("eks", loads(text + f"eks: {{node_instance_type: t3.medium, prefix_delegation: {each}}}\n"),
                         BOOK).capacity.machines
            for each in ("false", "true")]
    assert many == [3, 2]


def test_nodes_that_are_too_few_are_said():
    """`nodes:` that cannot hold the services is said in the answer, not silently billed"""
    few = compare(eks(MAPS, nodes=2), BOOK)
    assert few.baseline.architecture.machines == "2 x m5.xlarge"
    assert "12 are busy" in document(few)["shortfalls"]["eks"][0]
    small = architecture("ec2", with_host(WIKI, "t4g.small"), BOOK)
    assert any("MiB of memory needed, t4g.small has 2,048" in each for each in small.shortfalls)


@pytest.mark.parametrize("machine, text", [
    (Machine(1024, Decimal(3000)), "no x86_64 instance type has 3,000 vCPU"),
    (Machine(10**9), "MiB of memory; the largest has"), (Machine(1024, gpus=9), "no x86_64 instance type has 9 GPUs")])
def test_the_failing_constraint_is_named(machine, text):
    """A search that finds nothing says whether memory, vCPU or GPUs are missing"""
    with pytest.raises(PretamaneError, match=re.escape(text)):
        cheapest(BOOK, "us-east-1", machine)


def test_much_cpu_and_little_memory_has_a_host():
    """40 busy cores with 1 GiB are found, although such a type has far more than 8 GiB"""
    assert cheapest(BOOK, "us-east-1", Machine(1024, Decimal(40))).vcpu >= 40


def test_requests_count_where_they_are_given():
    """A request of 256Mi is what a node keeps for a limit of 512Mi; a request above the limit is refused"""
    assert TELEMETRY.services["broker"].kept_mib == 256 and host_for(TELEMETRY).cores >= Decimal("0.5")
    with pytest.raises(PretamaneError, match="at most as large as the limit"):
        loads("name: a\nservices: {b: {image: 'c:1', memory: 64Mi, requests: {memory: 1Gi}}}")


def test_gpus_are_needed_on_both_sides():
    """Two services with a GPU each get a host with two, of that memory; nodes with GPUs that nobody asks for are
    said"""
    found = compare(VISION, BOOK)
    assert found.baseline.architecture.capacity.gpus >= 2 and found.alternative.architecture.capacity.gpus >= 2
    plain = loads("name: optic\nregion: us-west-2\nservices: {viewer: {image: 'v:1', memory: 4Gi}}\n"
                  "eks: {node_instance_type: g5.xlarge, nodes: 2}\nhost: {instance_type: c6a.2xlarge}")
    assert "have GPUs and this host has none" in architecture("ec2", plain, BOOK).shortfalls[0]


def test_ten_thousand_services_take_a_moment():
    """Placing is not square: ten times the services take about ten times the time"""
    def seconds(count):
        stack = loads("name: hive\nservices:\n"
                      + "".join(f"  c{i}: {{image: 'c:1', memory: {64 + i % 9}Mi, cpu: 0.01}}\n" for i in range(count)))
        start = time.process_time()
        architecture("eks", stack, BOOK)
        return time.process_time() - start
    small, large = seconds(300), seconds(3000)
    assert large < 25 * small + 1


# Nodes, network, disks

def test_a_cluster_without_gateway_and_balancer():
    """No NAT bytes, no balancer, an address for each node"""
    found = architecture("eks", MAPS, BOOK)
    assert not of(found, NatGateway) and not of(found, LoadBalancer)
    assert sum(each.count for each in of(found, PublicAddresses)) == found.capacity.machines
    assert sum(each.count for each in of(architecture("eks", eks(MAPS, load_balancer="alb"), BOOK),
                                         PublicAddresses)) == found.capacity.machines + 2


def test_groups_of_nodes_and_spot_share():
    """Several groups, each with its type, number and part on the spot market"""
    found = of(architecture("eks", TELEMETRY, BOOK), NodeGroup)
    assert [(each.instance_type, each.nodes, each.purchase_option) for each in found] == [
        ("m6i.large", 2, "OnDemand"), ("m5.large", 2, "OnDemand"), ("m5.large", 2, "Spot-typical")]
    with pytest.raises(PretamaneError, match="says this for itself"):
        loads("name: a\nservices: {b: {image: 'c:1', memory: 64Mi}}\n"
              "eks: {nodes: 2, node_groups: {x: {instance_type: m5.large}}}")


def test_usage_of_gateway_and_control_plane():
    """GB through NAT and logs of the control plane are usage fields"""
    found = architecture("eks", TELEMETRY, BOOK)
    assert of(found, NatGateway)[0].gb == 700
    assert any(each.name == "control plane logs" and each.ingested_gb == 6 for each in found.resources)


@pytest.mark.parametrize("key, text", [
    ("host: {disk_type: io2}", "disk_iops: AWS makes no io2 disk without provisioned IOPS"),
    ("host: {disk_type: io1, disk_iops: 70000}", "at most 64,000 IOPS"),
    ("host: {disk_throughput: 1500}", "at most 750 MiB/s"),
    ("eks: {node_disk_type: sc1}", "not one of"), ("host: {root_disk_type: st1}", "not one of"),
    ("eks: {node_disk_type: io2}", "node_disk_iops")])
def test_disks_that_aws_refuses(key, text):
    """What AWS does not make is an error with its line, not a bill"""
    with pytest.raises(PretamaneError, match=re.escape(text)):
        loads(f"name: a\nservices: {{b: {{image: 'c:1', memory: 64Mi}}}}\n{key}\n")


def test_a_data_disk_has_limits():
    """gp3 ends at 64 TiB; IOPS of io2 are billed"""
    text = ("name: a\nservices: {{b: {{image: 'c:1', memory: 64Mi, mounts: [{{volume: v, path: /v}}]}}}}\n"
            "volumes: {{v: {{size_gb: {}}}}}\n")
    architecture("ec2", loads(text.format(50_000)), BOOK)
    with pytest.raises(PretamaneError, match=re.escape("a gp3 disk has 1 to 65,536 GB")):
        architecture("ec2", loads(text.format(60_000)), BOOK)
    assert any(line.description == "io2 IOPS" and line.quantity == 8000
               for line in bill_of(architecture("ec2", TELEMETRY, BOOK), TELEMETRY, BOOK).lines)


SHOP = """
name: shop
region: eu-west-1
services:
  web: {image: "me/shop:2.1", memory: 512Mi, ports: {http: 8000}, networks: [app, data], routes: [{path: /}],
        depends_on: {mysql: healthy},
        mounts: [{volume: photos, path: /photos}, {volume: thumbnails, path: /thumbnails}]}
  mysql: {image: "mysql:8.4.7", role: database, memory: 1Gi, ports: {mysql: 3306}, networks: [data],
          mounts: [{volume: rows, path: /var/lib/mysql}]}
volumes:
  rows: {size_gb: 12, backup: dump}
  photos: {size_gb: 90, backup: copy}
  thumbnails: {size_gb: 30, backup: derived}
usage: {stored_gb: 700, database_gb: 12}
"""


@pytest.mark.parametrize("name", ("ec2", "ec2-pair", "eks-open-source"))
def test_the_backup_bucket_holds_what_the_stack_saves(name):
    """Not the documents of a stack that has no object store, and not what is made again from the rest"""
    found = architecture(name, loads(SHOP), BOOK).resources
    assert [each.standard_gb for each in found if each.name == "backup bucket"] == [102]


def test_images_for_another_architecture():
    """t4g with images for x86_64 starts and runs nothing: refused on both sides"""
    for broken in (with_host(MAPS, "t4g.large"), eks(MAPS, node_instance_type="t4g.large", architecture="x86_64")):
        with pytest.raises(PretamaneError, match="t4g.large is arm64, the images are built for x86_64"):
            [architecture(name, broken, BOOK) for name in ("ec2", "eks")]


def test_auto_mode_without_a_price():
    """The fee is named as missing, or taken as the published percentage, and marked as derived"""
    auto = eks(TELEMETRY, auto_mode=True)
    unknown = type(auto).model_validate(auto.model_dump(exclude_unset=True) | {"region": "eu-west-3"})
    with pytest.raises(MissingPrice, match="EKS-Auto"):
        bill_of(architecture("eks", unknown, BOOK), unknown, BOOK)
    known = eks(TELEMETRY, auto_mode=True, auto_mode_percent=12)
    lines = [line for line in bill_of(architecture("eks", known, BOOK), known, BOOK).lines
             if "Auto Mode" in line.description]
    assert lines and all("derived: 12 %" in line.note for line in lines)


# Rows that cost only themselves

class Without(PriceBook):
    """The bundled prices without those of some instance types"""

    def __init__(self, *types):
        super().__init__([], "test", BOOK.as_of)
        self.types = types

    def candidates(self, service, region, usage_type):
        return [] if usage_type.removeprefix("BoxUsage:") in self.types else BOOK.candidates(service,
                                                                                             region, usage_type)

    def regions(self, service):
        return BOOK.regions(service)


def test_an_optional_row_costs_only_itself():
    """Where no host with the cluster's memory has a price, the row says so and the answer stays"""
    large = with_host(eks(WIKI, node_instance_type="t4g.medium", nodes=400), "t4g.xlarge")
    found = compare(large, BOOK)
    assert found.same_memory is None or found.same_memory.architecture.capacity.memory_mib >= 400 * 4096
    from pretamane_analysis.prices.snapshot import instance_types
    book = Without(*(name for name, kind in instance_types().items() if kind.memory_gib > 16))
    gone = compare(large, book)
    assert gone.same_memory is None and "same memory" in gone.unanswered and gone.saving.usd == found.saving.usd
    assert document(gone)["same_memory"]["why"]


# Texts, numbers

def test_texts_follow_the_stack():
    """Another search, database and edge have their own names; no tunnel, no Cloudflare"""
    found = compare(WIKI, BOOK)
    rows = {row["feature"]: row for row in feature_rows(found.baseline, found.alternative, WIKI)}
    assert [rows[key]["alternative_provider"] for key in ("search", "database", "edge")] == ["OpenSearch",
                                                                                             "MariaDB", "nginx"]
    assert rows["edge"]["baseline_provider"] == "Network Load Balancer"
    texts = str([rows, document(found), [line.description + line.note for line in found.alternative.bill.lines]])
    assert not re.search("cloudflare|caddy|meilisearch|tunnel", texts, re.IGNORECASE)
    assert "typo" not in str(lost(found.baseline.architecture, found.alternative.architecture, WIKI))


@pytest.mark.parametrize("option, value", [("--hours", "NaN"), ("--hours", "1e999"), ("--egress", "1e30"),
                                           ("--egress", "1e999"), ("--egress", "NaN")])
def test_numbers_that_are_none(option, value, capsys):
    """Not a number, or far too large: a sentence, exit code 2"""
    assert main(["cost", option, value]) == 2
    assert "unexpected" not in capsys.readouterr().err


@pytest.mark.parametrize("value", ["1e30", "1e999", ".nan"])
def test_usage_that_is_far_too_large(value):
    """The same in a stack file, with its line"""
    with pytest.raises(PretamaneError, match=r"stack.yaml:3: usage.egress_gb"):
        loads(f"name: a\nservices: {{b: {{image: 'c:1', memory: 64Mi, cpu: 0}}}}\nusage: {{egress_gb: {value}}}")


def test_no_cpu_limit_at_all():
    """CPU limits of 0 share the work evenly instead of dividing by 0"""
    assert host_for(
        loads("name: a\nservices: {b: {image: 'c:1', memory: 64Mi, cpu: 0}}\nusage: {cpu_cores: 3}")).busy_cores == 3


# Claims

NODES = "{what: nodes, usd: 700, resources: [{kind: NodeGroup, instance_type: t3.medium, nodes: 3}]}"
HOST = "{what: host, usd: %s, resources: [{kind: Instances, instance_type: %s}]}"


def test_an_inflated_baseline_defends_nothing():
    """Three t3.medium printed at 700 USD are corrected before anything is compared"""
    found = audit(claim(f"claim: 83 % saved\nbaseline: {{title: a, total: 700, lines: [{NODES}]}}\n"
                        f"alternative: {{title: b, total: 120, lines: [{HOST % (120, 'm5.large')}]}}"), None, BOOK)
    said = defensible(found)
    assert said["claimed_percent"] > 82 and said["high_percent"] < 30 and not said["claim_holds"]


def test_memory_parity_by_any_type():
    """96 GiB against 4 GiB: the t3 family ends at 32, another type does not"""
    found = audit(claim("claim: c\nbaseline: {title: a, total: 1, lines: [{what: n, usd: 1, resources: [{kind: "
                        "NodeGroup, instance_type: "
                        f"c6a.4xlarge, nodes: 3}}]}}]}}\n"
                        f"alternative: {{title: b, total: 30, lines: [{HOST % (30, 't3.medium')}]}}"), None, BOOK)
    step = next(each for each in found.steps if each.kind == "memory")
    assert step.counted and instance_type(step.what.split(": ")[1]).memory_gib >= 96
    assert defensible(found)["high_percent"] - defensible(found)["low_percent"] > 10


def test_egress_is_what_lines_stand_for():
    """Traffic as a resource, with its GB: 50 GB printed at 51 USD are free; the side without it gets it"""
    text = ("claim: c\nbaseline: {title: a, total: 751, lines: [" + NODES
            + ", {what: traffic, usd: 51, egress_gb: 50}]}\n"
            "alternative: {title: b, total: 30, lines: [" + HOST % (30, "t3.medium") + "]}")
    found = audit(claim(text), None, BOOK)
    assert next(each.priced_usd for each in found.lines if each.what == "traffic") == 0
    more = audit(claim(text.replace("egress_gb: 50", "resources: [{kind: InternetEgress, gb: 1100}]")), None, BOOK)
    assert next(each.alternative_usd for each in more.steps if each.kind == "egress") == 90
    turned = audit(claim(text.replace(", {what: traffic, usd: 51, egress_gb: 50}", "").replace("751", "700").replace(
        "]}]}", "]}, {what: traffic, usd: 90, egress_gb: 1100}]}").replace("total: 30", "total: 120")), None, BOOK)
    assert [each.kind for each in turned.steps].count("egress") <= 1


def test_totals_and_disks():
    """A total that its lines do not add up to is a finding, and a host without a disk gets one"""
    found = audit(claim(f"claim: c\nbaseline: {{title: a, total: 999, lines: [{NODES}]}}\n"
                        f"alternative: {{title: b, total: 30, lines: [{HOST % (30, 't3.medium')}]}}"), None, BOOK)
    kinds = {each.kind: each for each in found.steps}
    assert kinds["total"].baseline_usd == -299 and kinds["disk"].alternative_usd == Decimal("2.4")


def test_a_bill_lines_as_printed_and_a_server_elsewhere(capsys, tmp_path):
    """One side, `usd:` alone, a machine that AWS does not sell: each is an answer; nothing of the example is in it"""
    (tmp_path / "bill.yaml").write_text(f"claim: July\nbaseline: {{title: ours, total: 720, lines: [{NODES}, {{what: "
                                        f"support, usd: 20}}]}}")
    assert main(["audit", "--claim", str(tmp_path / "bill.yaml")]) == 1
    said = capsys.readouterr().out
    assert "Printed 720.00 USD a month" in said and "1 line could not be checked" in said
    found = audit(claim(f"claim: c\nbaseline: {{title: a, total: 700, lines: [{NODES}]}}\n"
                        f"alternative: {{title: b, total: 9, lines: "
                        "[{what: server, usd: 9, elsewhere: a hosting company, memory: 8Gi}]}"), None, BOOK)
    assert found.steps[-1].kind == "memory" and not found.steps[-1].counted
    assert not {each.kind for each in found.steps} & {"disk", "address"}
    assert not {"OpenSearch",
                "DynamoDB"} & {row["what"].split()[0] for row in found.left_out} and "OpenSearch" not in said


def test_free_allowances_count_once_for_a_side():
    """Two lines of traffic do not have 100 free GB each"""
    found = audit(claim("claim: c\nbaseline: {title: a, total: 18, lines: [{what: x, usd: 9, egress_gb: 100}, "
                        "{what: y, usd: 9, egress_gb: 100}]}"), None, BOOK)
    assert [each.priced_usd for each in found.lines] == [0, 9]


# Nothing of the example

def words():
    """What only the example says: its names and the programs that none of the stacks here has"""
    stack = example()
    images = {part for each in stack.services.values() for part in re.split(r"[/:]", each.image)[:-1]}
    return {word for word in {*stack.services, *stack.volumes, *stack.secrets, *images, "cloudflare",
                              "caddy", "fastapi"}
            if len(word) > 4 and word not in ("search", "pretamane")}


@pytest.mark.parametrize("name", sorted(STACKS))
def test_nothing_of_the_example_is_said(name, capsys):
    """No output of the verbs that answer for a stack has a word of the example"""
    path = str(FOLDER / f"{name}.yaml")
    asked = [["cost", "--architecture", each, "--format", form] for each in names_for(STACKS[name])
             for form in ("md", "json")]
    for verb in (*asked, ["compare"], ["compare", "--format", "json"], ["size"], ["stack", "check"]):
        code = main([*verb, *(["--stack"] if verb[0] != "stack" else []), path])
        said = capsys.readouterr()
        assert code == 0 or ("ecs-fargate" in verb and "Fargate" in said.err), said.err
        own = tuple(each.image.split(":")[0].rpartition("/")[2] for each in STACKS[name].services.values())
        found = {word for word in words() if not word.startswith(own)
                 and re.search(rf"(?<![\w/]){re.escape(word)}(?![\w/])", said.out, re.IGNORECASE)}
        assert not found, f"{verb}: {found}"
    assert main(["audit", "--stack", path]) == 2 and "example's claim" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["maps", "wiki"])
@pytest.mark.parametrize("side", ["eks", "ec2"])
def test_nothing_of_the_example_is_drawn(name, side, tmp_path):
    """No drawing has a word of the example: a stack without its tunnel has no Cloudflare in front"""
    picture = tmp_path / "drawing.svg"
    assert main(["draw", "--stack", str(FOLDER / f"{name}.yaml"), "--architecture", side, "--out", str(picture)]) == 0
    said = picture.read_text(encoding="utf-8")
    assert not {word for word in words() if re.search(rf"(?<![\w/]){re.escape(word)}(?![\w/])", said, re.IGNORECASE)}


def test_each_claim_has_the_performance_that_it_is_given():
    """In a cluster each volume is a disk of its own: two of 6,000 IOPS pay for 3,000 above the free ones each"""
    stack = loads("""
name: press
host: {disk_iops: 6000}
services:
  db: {role: database, image: "postgres:17.5", memory: 1Gi, mounts: [{volume: rows, path: /var/lib/postgresql/data}]}
  cms: {role: application, image: "cms:3", memory: 512Mi, replicas: 2, mounts: [{volume: media, path: /media}]}
volumes: {rows: {size_gb: 40, backup: dump}, media: {size_gb: 30, backup: copy}}
""")
    for name, disks in (("eks-open-source", 3), ("ec2", 1), ("ec2-pair", 2)):
        lines = bill_of(architecture(name, stack, BOOK), stack, BOOK).lines
        paid = sum(line.quantity * line.unit_price for line in lines if "IOPS" in line.description)
        assert paid == disks * 3000 * Decimal("0.005"), name
    tight = loads("name: tight\nhost: {disk_iops: 4000}\nservices: {a: {image: 'a:1', memory: 64Mi, mounts: "
                  "[{volume: v, path: /v}]}}\nvolumes: {v: {size_gb: 1, backup: none}}\n")
    with pytest.raises(PretamaneError, match="a gp3 disk of 2 GB has at most 1,000 IOPS, not 4,000"):
        architecture("eks-open-source", tight, BOOK)


# What holds for every stack

@st.composite
def stranger(draw):
    """A random stack of few services in one of three regions"""
    cpu = st.sampled_from(["0.1", "1", "2"])
    role = st.sampled_from(["other", "application", "database", "search", "edge", "log-shipper"])
    services = "".join(f"  s{i}: {{image: 'thing:1', memory: {draw(st.integers(32, 6000))}Mi, cpu: {draw(cpu)}, "
                       f"role: {draw(role)}}}\n"
                       for i in range(draw(st.integers(1, 6))))
    nat, balancer = draw(st.integers(0, 2)), draw(st.sampled_from(["alb", "nlb", "clb", "none"]))
    region, busy = draw(st.sampled_from(["us-east-1", "eu-west-1", "ap-southeast-1"])), draw(
        st.sampled_from(["0.1", "2", "9"]))
    return loads(f"name: anything\nregion: {region}\nas_of: 2026-11-22\nservices:\n"
                 f"{services}usage: {{cpu_cores: {busy}}}\n"
                 f"eks: {{nat_gateways: {nat}, load_balancer: {balancer}}}\n")


@settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate])
@given(stranger(), st.integers(0, 3000), st.integers(1, 500))
def test_more_never_costs_less(stack, gb, more):
    """More traffic never costs less, a tighter constraint never makes the host cheaper, everything has room"""
    for name in ("eks", "ec2"):
        low, high = (with_egress(stack, Decimal(each)) for each in (gb, gb + more))
        try:
            cheaper, dearer = (bill_of(architecture(name, each, BOOK), each, BOOK).total for each in (low, high))
        except MissingPrice as missing:
            assert "AWSELB" in str(missing)  # some load balancers have no source in some regions
            reject()
        assert cheaper <= dearer
        assert not architecture(name, stack, BOOK).shortfalls
    machine = host_for(stack)
    from pretamane_analysis.bill.sizing import candidates
    usual = candidates(BOOK, stack.region, machine)[0].monthly_usd
    for tighter in (replace(machine, memory_mib=2 * machine.memory_mib),
                    replace(machine, cores=machine.busy_cores + 4)):
        assert candidates(BOOK, stack.region, tighter)[0].monthly_usd >= usual
