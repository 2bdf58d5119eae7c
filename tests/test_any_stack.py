"""What holds for any stack, in any region, bought in any way: the page and the command agree, more is never cheaper, nothing of anybody else is said."""  # noqa: E501
from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_own_stacks import STACKS, words
from test_what_if import added

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import ARCHITECTURES, architecture, bill_of
from pretamane_analysis.bill.compare import side
from pretamane_analysis.bill.coverage import options, sold_options
from pretamane_analysis.bill.nodes import filled, room, work
from pretamane_analysis.bill.sizing import (
    Machine,
    candidates,
    cheapest,
    current_types,
    lacking,
)
from pretamane_analysis.bill.what_if import changed, with_purchase_option
from pretamane_analysis.cli.main import main
from pretamane_analysis.cli.options import what_if_options
from pretamane_analysis.emit.tree import OF_CLUSTER, emitted
from pretamane_analysis.facts.known_images import program
from pretamane_analysis.prices.book import MissingPrice, PriceBook
from pretamane_analysis.prices.own_prices import with_own_prices
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.report.controls import MEMORY, SIDES, Question, document
from pretamane_analysis.stack.quantities import SCENARIOS
from pretamane_analysis.stack.settings import PURCHASE_OPTIONS
from pretamane_analysis.stack.stack import dump, example, loads

BOOK = bundled()
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-west-3", "ap-south-1", "ap-northeast-2", "sa-east-1", "mx-central-1")  # noqa: E501
CHEAP = settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
USAGE = ("requests", "egress_gb", "stored_gb", "log_gb", "image_gb", "cross_zone_gb", "emails", "metrics", "alarms", "snapshot_gb", "database_gb")  # noqa: E501


@st.composite
def strangers(draw):
    """A stack of few services, with or without edge and balancer, in any of eight regions"""
    services = [f"  part{i}: {{image: 'maker/part{i}:1', memory: {draw(st.integers(32, 5000))}Mi, cpu: {draw(st.sampled_from(['0.1', '1', '2']))}, "  # noqa: E501
                f"role: {draw(st.sampled_from(['other', 'application', 'database', 'search', 'object-store', 'logs']))}}}\n" for i in range(draw(st.integers(1, 5)))]  # noqa: E501
    edge = "  door: {image: 'traefik:3.5.0', role: edge, memory: 64Mi, ports: {http: 8081}}\n" if draw(st.booleans()) else ""  # noqa: E501
    zones, region = draw(st.integers(0, 2)), draw(st.sampled_from(REGIONS))
    machine = draw(st.sampled_from(["", "node_instance_type: t3.medium, ", "node_instance_type: m5.large, nodes: 2, "]))
    return loads(f"name: anything\nregion: {region}\nas_of: 2026-11-22\nservices:\n{''.join(services)}{edge}"
                 f"usage: {{cpu_cores: {draw(st.sampled_from(['0.1', '1.5', '7']))}, egress_gb: {draw(st.integers(0, 30_000))}, requests: {draw(st.integers(0, 10**9))}}}\n"  # noqa: E501
                 f"eks: {{{machine}nat_gateways: {zones}, load_balancer: {draw(st.sampled_from(['alb', 'nlb', 'clb', 'none']))}}}\nhost: {{edge: direct}}\n")  # noqa: E501


@CHEAP
@given(strangers(), st.data())
def test_the_page_and_the_command_have_the_same_bill(stack, data):
    """Whatever is chosen: what the page adds up is the total of `pretamane cost` with the options that it prints, and it lacks what that lacks"""  # noqa: E501
    answers = document(Question(stack, BOOK, "typical", Decimal(730)), places=[stack.region])
    for _ in range(4):
        option, memory = data.draw(st.sampled_from(["", *PURCHASE_OPTIONS])), data.draw(st.sampled_from(MEMORY))
        egress = data.draw(st.decimals(0, 60_000, places=3))
        for name in SIDES:
            try:
                wanted = side(name, changed(stack, str(egress), memory if name == "ec2" else "", option), BOOK).bill.total  # noqa: E501
            except PretamaneError:
                wanted = None
            found = added(answers, name, egress, memory, option, stack.region)
            assert (found is None) == (wanted is None), (name, option, memory, egress, stack.model_dump(exclude_unset=True))  # noqa: E501
            assert found is None or abs(found - wanted) < Decimal("1e-9"), (name, option, memory)


@CHEAP
@given(strangers(), st.sampled_from(USAGE), st.integers(1, 10**6), st.sampled_from(PURCHASE_OPTIONS))
def test_more_usage_never_costs_less(stack, field, more, option):
    """One usage figure raised, everything else the same, bought in any way: no bill falls"""
    stack = with_purchase_option(stack, option)
    usage = stack.model_dump(exclude_unset=True)
    at = stack.usage.at("typical")[field]
    usage["usage"][field] = at + more
    raised = type(stack).model_validate(usage | {"usage": usage["usage"] | {field: at + more}})
    for name in ARCHITECTURES:
        try:
            low, high = (bill_of(architecture(name, each, BOOK), each, BOOK).total for each in (stack, raised))
        except PretamaneError:
            continue
        assert low <= high, (name, field)


@CHEAP
@given(st.sampled_from(REGIONS), st.sampled_from(["OnDemand", "Spot-typical", "Reserved-3yr-AllUpfront"]), st.sampled_from(["x86_64", "arm64"]),  # noqa: E501
       st.integers(256, 200_000), st.integers(0, 90), st.integers(0, 90), st.data())
def test_a_tighter_constraint_is_never_cheaper(region, option, kind, memory, cores, busy, data):
    """The cheapest host is the cheapest of all that are large enough, so with more memory, vCPU or work it costs the same or more"""  # noqa: E501
    machine = Machine(memory, Decimal(min(cores, busy)), kind, Decimal(cores))
    tighter = Machine(memory + data.draw(st.integers(0, 100_000)), machine.busy_cores + data.draw(st.integers(0, 20)), kind, machine.cores + data.draw(st.integers(0, 20)))  # noqa: E501
    before, after = (candidates(BOOK, region, each, option) for each in (machine, tighter))
    assert not after or before[0].monthly_usd <= after[0].monthly_usd
    assert all(not lacking(each.kind, machine) for each in before)


def test_the_cheapest_type_may_have_far_more_memory():
    """Four vCPU and 1 GiB of ARM in Cape Town: a t4g.xlarge with 16 GiB is cheaper than any compute-optimized type"""
    assert cheapest(BOOK, "af-south-1", Machine(1024, cores=Decimal(4), architecture="arm64")).name == "t4g.xlarge"


GPUS = """name: lens
region: af-south-1
as_of: 2026-11-22
services:
  model: {image: "vllm/vllm-openai:v0.12.0", role: model-server, memory: 12Gi, cpu: 3, gpus: 1, gpu_memory: 20Gi}
host: {edge: direct}
"""


@pytest.mark.parametrize("name", ["eks", "ec2", "k3s"])
def test_a_gpu_without_a_price_is_what_the_message_names(name):
    """Cape Town is known to sell T4 GPUs of 16 GiB: what fails is the GPU, not the pods; where larger ones are sold is told, and how a rate is given"""  # noqa: E501
    with pytest.raises(PretamaneError) as caught:
        architecture(name, loads(GPUS), BOOK)
    text = str(caught.value)
    assert "20,480 MiB of memory in each GPU; the most is 16,384" in text and "pods" not in text
    assert "us-east-1" in text and "`prices:`" in text and re.search(
        r"usage_type 'BoxUsage:g\w+\.xlarge', unit 'Hrs', service 'AmazonEC2', region 'af-south-1'", text)
    own = ("prices: [{usage_type: 'BoxUsage:g5.xlarge', unit: Hrs, service: AmazonEC2, region: af-south-1, usd: 1.4, "
           "source: our contract, date: 2026-11-20}]\n")
    stack = loads(GPUS + own)
    assert "g5.xlarge" in str(architecture(name, stack, with_own_prices(BOOK, stack)).resources)


def test_a_need_that_no_priced_type_meets_is_named_alone():
    """GPUs, then their memory, then vCPU, then memory: the first that fails is said, with the most that has a price"""
    book = PriceBook([each for kind in ("t3.medium", "t3.large") for each in BOOK.candidates("AmazonEC2", "us-east-1", f"BoxUsage:{kind}")])  # noqa: E501
    for machine, said in ((Machine(1024, gpus=1), "1 GPU; the most is 0"),
                          (Machine(1024, cores=Decimal(16)), "16 vCPU; the most is 2"),
                          (Machine(64 * 1024), "65,536 MiB of memory; the most is 8,192")):
        with pytest.raises(PretamaneError, match=said):
            cheapest(book, "us-east-1", machine)


@pytest.mark.parametrize("option", ["Reserved-3yr-NoUpfront", "SavingsPlanCompute-1yr-NoUpfront", "Spot-typical"])
def test_a_machine_is_chosen_by_the_price_of_its_option(option):
    """Sold so is a t3.large, not the t3a.large that is the cheapest on demand; of all that are sold so it is the cheapest"""  # noqa: E501
    stack = with_purchase_option(example(), option)
    chosen = architecture("ec2", stack, BOOK)
    total = bill_of(chosen, stack, BOOK).total
    ranked = candidates(BOOK, "us-east-1", Machine(6656, Decimal("0.3")), option)
    assert chosen.instance_type == ranked[0].kind.name and total < bill_of(architecture("ec2", example(), BOOK), example(), BOOK).total  # noqa: E501
    assert min(each.monthly_usd for each in ranked) == ranked[0].monthly_usd


def test_where_nothing_is_sold_so_the_bill_says_it():
    """No type has a current spot price in a snapshot: the host of on demand is taken, and its missing price named"""
    stack = with_purchase_option(example(), "Spot-current")
    with pytest.raises(MissingPrice, match="t3a.large .*Spot-current"):
        bill_of(architecture("ec2", stack, BOOK), stack, BOOK)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "eu-west-3"])
def test_options_are_those_that_answer(region):
    """Every option that is offered has a bill on both sides, no other one has"""
    stack = example().model_copy(update={"region": region})
    offered = options(stack, BOOK)
    assert set(offered) <= sold_options(stack, BOOK)
    for option in PURCHASE_OPTIONS:
        bought = with_purchase_option(stack, option)
        try:
            answers = all(side(name, bought, BOOK).bill.total for name in SIDES)
        except PretamaneError:
            answers = False
        assert answers == (option in offered), option


def test_help_names_options_that_answer():
    """The examples of `--help` have a price for the stack that is used without `--stack`"""
    from argparse import ArgumentParser

    parser = ArgumentParser()
    what_if_options(parser)
    said = next(each.help for each in parser._actions if each.dest == "purchase_option")
    named = [each for each in PURCHASE_OPTIONS if re.search(rf"{each}(?![\w-])", said)]
    assert len(named) >= 2 and set(named) <= set(options(example(), BOOK))


def test_nodes_are_the_cheapest_of_all_types():
    """No type of the region holds the example's pods for less, tried one by one"""
    from pretamane_analysis.bill.node_types import cheapest_nodes
    from pretamane_analysis.bill.nodes import Group
    from pretamane_analysis.bill.sizing import priced

    held = work(STACKS["ledger"], STACKS["ledger"].services)
    best = cheapest_nodes(BOOK, "eu-central-1", held, 2)

    def usd(kind):
        if not room(kind, held.daemons).holds(max(held.pods)):
            return None
        cluster = filled([Group("main", kind)], held, 2)
        found = priced(BOOK, "eu-central-1", kind, held.busy_cores, cluster.counts["main"])
        return found and found.monthly_usd
    costs = {kind.name: found for kind in current_types() if (found := usd(kind))}
    assert costs[best.name] == min(costs.values())


# Nothing of anybody else

def foreign(texts: str, stack) -> set[str]:
    """Words of the example and of programs that a stack does not have"""
    own = " ".join(f"{each.image} {program(each.image).lower()}" for each in stack.services.values())
    return {word for word in words() | {"caddy", "meilisearch", "minio", "grafana", "fastapi"} if word not in own
            and re.search(rf"(?<![\w/]){re.escape(word)}(?![\w/])", texts, re.IGNORECASE)}


@pytest.mark.parametrize("name", sorted(STACKS))
def test_nothing_of_the_example_is_emitted_for_a_cluster(name):
    """The cluster's Terraform names what the stack has, whatever its nodes, gateways and balancer"""
    stack = STACKS[name]
    tree = emitted(stack, of=OF_CLUSTER)
    assert not foreign("\n".join(tree.values()), stack)
    assert "terraform/cluster.tf" in tree and ("terraform/managed.tf" in tree) == (name in ("ledger", "wiki"))


DOOR = """name: kassabuch
region: eu-central-1
services:
  door: {image: "caddy:2.11.4", role: edge, memory: 128Mi, ports: {http: 8080}, mounts: [{volume: door-data, path: /data}], networks: [edge, app]}
  ledger: {image: "ghcr.io/kassabuch/ledger:7.1", role: application, memory: 1Gi, ports: {http: 5000}, routes: [{path: /}], networks: [app]}
volumes: {door-data: {size_gb: 1, backup: none}}
host: {edge: direct}
"""  # noqa: E501


@pytest.mark.parametrize("stack", [STACKS["maps"], loads(DOOR)], ids=["without an edge", "with an edge alone"])
def test_nothing_of_the_example_is_emitted_for_a_host(stack, tmp_path, capsys):
    """A stack that only works has no edge, another one nothing but an edge: what is emitted names no program beside (scripts that serve every stack do)"""  # noqa: E501
    (tmp_path / "stack.yaml").write_text(dump(stack), encoding="utf-8")
    assert main(["emit", str(tmp_path / "tree"), "--stack", str(tmp_path / "stack.yaml")]) == 0
    texts = {str(each.relative_to(tmp_path / "tree")): each.read_text(encoding="utf-8") for each in (tmp_path / "tree").rglob("*") if each.is_file()}  # noqa: E501
    said = capsys.readouterr()
    assert not foreign(said.out + said.err + "\n".join(text for name, text in texts.items() if not name.startswith(("scripts/", "bootstrap/lib/"))), stack)  # noqa: E501
    assert ("caddy/Caddyfile" in texts) == bool(stack.with_role("edge"))


@pytest.mark.parametrize(("change", "said"), [
    ("door: {image: 'haproxy:3.2.6', role: edge, memory: 64Mi}", "the edge runs haproxy, and the host's edge is configured for Caddy alone"),  # noqa: E501
    ("api: {image: 'a/b:1', role: application, memory: 64Mi, ports: {http: 80}, routes: [{path: /}]}", "no service has the role 'edge', so these routes lead nowhere"),  # noqa: E501
    ("a: {image: 'caddy:2.11.4', role: edge, memory: 64Mi}\n  b: {image: 'caddy:2.11.4', role: edge, memory: 64Mi}", "one service with the role 'edge' is expected, not 2")])  # noqa: E501
def test_an_edge_that_cannot_be_emitted(change, said):
    """Said with its place and remedy, not as a lack of something that nobody asked for"""
    stack = loads(f"name: anything\nservices:\n  {change}\nhost: {{edge: direct}}\n")
    with pytest.raises(PretamaneError, match=said) as caught:
        emitted(stack, ["compose"])
    assert caught.value.place.startswith("services") and caught.value.remedy


def test_disks_are_emitted_as_they_are_billed():
    """IOPS and throughput of the host's disk stand in its Terraform"""
    stack = STACKS["telemetry"].model_copy(update={"secrets": {}})
    tree = emitted(stack, ["terraform", "bootstrap"])["terraform/storage.tf"]
    assert re.search(r"type\s+= \"io2\"", tree) and re.search(r"iops\s+= 8000", tree)


@pytest.mark.parametrize("value", ["NaN", "1e999", "-1", "many"])
@pytest.mark.parametrize("verb", ["cost", "compare", "report"])
def test_numbers_that_are_none_in_every_verb(verb, value, capsys):
    """Hours and egress that are no amount: one sentence, exit code 2, in each verb that takes them"""
    for option in ("--hours", "--egress"):
        assert main([verb, option, value]) == 2
        said = capsys.readouterr().err
        assert "expected" in said and option in said and "Traceback" not in said


def test_every_scenario_has_figures():
    """Low, typical and high usage of each stranger's stack rise"""
    for stack in STACKS.values():
        totals = [bill_of(architecture("ec2", stack, BOOK, each), stack, BOOK).total for each in SCENARIOS]
        assert totals == sorted(totals)
