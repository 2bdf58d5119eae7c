"""Ranges, sensitivity, break-even, causes and growth: from the same charges as one bill, and told where they cannot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_any_stack import strangers

from benchmarks.many_bills import by_hand
from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.analysis import analysis
from pretamane_analysis.bill.architectures import CORNERS, architecture, bill_of
from pretamane_analysis.bill.availability import components
from pretamane_analysis.bill.break_even import (
    cpu_break_even,
    crossing,
    one_field,
    usage_break_even,
    usage_curve,
)
from pretamane_analysis.bill.building_blocks import services_on_machines
from pretamane_analysis.bill.causes import CAUSES, by_cause, causes
from pretamane_analysis.bill.growth import growth, growth_rows
from pretamane_analysis.bill.limits import binding, host_limits, limits_of, to_internet
from pretamane_analysis.bill.nodes import Group, filled, work
from pretamane_analysis.bill.ownership import Terms, ownership
from pretamane_analysis.bill.ranges import open_fields, pair, points, ranges
from pretamane_analysis.bill.recovery import drills, recovery
from pretamane_analysis.bill.search import architectures_of, search
from pretamane_analysis.bill.sensitivity import indices, moving, tornado
from pretamane_analysis.bill.sizing import current_types, host_for, lacking
from pretamane_analysis.bill.surface import totals, with_usage
from pretamane_analysis.bill.ways import Ways
from pretamane_analysis.bill.what_if import with_purchase_option
from pretamane_analysis.cli.main import main
from pretamane_analysis.draw.analysis_charts import tornado_chart
from pretamane_analysis.prices.book import Price, Tier
from pretamane_analysis.prices.snapshot import Snapshot, bundled, instance_type
from pretamane_analysis.report import frames
from pretamane_analysis.report.analysis_sections import analysis_pictures, analysis_sections
from pretamane_analysis.stack.quantities import Usage, figure_title
from pretamane_analysis.stack.settings import PURCHASE_OPTIONS
from pretamane_analysis.stack.stack import dump, example, loads

BOOK, STACK = bundled(), example()
ROOT = Path(__file__).resolve().parent.parent
MOST = {
    "requests": 3e8,
    "egress_gb": 60_000,
    "log_gb": 40,
    "stored_gb": 200,
    "cpu_cores": 6,
    "image_gb": 20,
    "emails": 9e5,
}


def exact(stack, name, row):
    """The bill of one row, or None"""
    here = with_usage(stack, {key: Decimal(float(value)).quantize(Decimal("1e-9")) for key, value in row.items()})
    return bill_of(architecture(name, here, BOOK), here, BOOK).total


@settings(max_examples=2, deadline=None, derandomize=True, phases=[Phase.generate])
@given(strangers(), st.integers(0, 1000))
def test_many_bills_are_the_bills(stack, seed):
    """Random stacks and usage: each amount is that of the exact bill to a billionth"""
    from numpy.random import default_rng

    random = default_rng(seed)
    columns = {name: random.uniform(0, most, 24).round(6) for name, most in MOST.items()}
    for name in ("eks", "ec2"):
        try:
            many = totals(stack, BOOK, name, columns)
        except PretamaneError:
            continue
        for at in range(0, 24, 6):
            one = float(exact(stack, name, {key: each[at] for key, each in columns.items()}))
            assert abs(many[at] - one) <= 1e-9 * one, (name, at)


def test_the_formula_by_hand_of_the_benchmark_is_the_bill():
    """What the benchmark compares with is today's bill of the example on EKS, to a billionth"""
    drawn = points(STACK, 256, 5)
    hand = by_hand(drawn)
    for at in (0, 100, 255):
        one = float(exact(STACK, "eks", {key: each[at] for key, each in drawn.items()}))
        assert abs(hand[at] - one) <= 1e-9 * one


SHOP = """
name: shop
region: eu-central-1
services:
  nginx: {image: "nginx:1.29.3", role: edge, memory: 128Mi, ports: {http: 8080}, networks: [edge, app]}
  php: {image: "shop:26.11.2", role: application, memory: 1536Mi, cpu: 1.5, replicas: 2, ports: {http: 9000},
        networks: [app, data], routes: [{path: /}]}
  cron: {image: "shop:26.11.2", role: worker, memory: 512Mi, networks: [app, data]}
  mysql: {image: "mysql:8.4.7", role: database, memory: 4Gi, networks: [data]}
  redis: {image: "redis:8.2.2", role: cache, memory: 512Mi, networks: [data]}
usage: {cpu_cores: {low: 0.6, typical: 1.4, high: 5}}
"""


@pytest.mark.parametrize("name", ["eks", "ec2-managed"])
def test_machines_that_are_cheapest_on_a_short_way_only_are_found(name):
    """Where credits make one type dear, another one is the cheapest between two loads that both have the first"""
    shop = loads(SHOP)
    loads_of_cpu = [Decimal(60 + 4 * step) / 100 for step in range(110)]
    here = [with_usage(shop, {"cpu_cores": each}) for each in loads_of_cpu]
    assert len({architecture(name, each, BOOK).groups for each in here}) > 1
    found = totals(shop, BOOK, name, {"cpu_cores": np.array([float(each) for each in loads_of_cpu])})
    exact_ones = [float(bill_of(architecture(name, each, BOOK), each, BOOK).total) for each in here]
    assert np.abs(found - exact_ones).max() < 1e-6


def test_a_lost_number_is_an_error_and_no_amount():
    """A computation that makes a number of its own from a figure ends in an error"""
    from numpy import array

    with pytest.raises(PretamaneError, match="lost on the way"):
        Ways(lambda row: Decimal(row["x"]) + 1, {"x": (1.0, 2.0)}).at({"x": array([1.0, 2.0])})


def test_a_bill_is_a_formula():
    """Written down by running the bill once: no question is left that rows of the example answer differently"""
    found = pair(STACK, BOOK)
    drawn = points(STACK, 1024, 0)
    for each in found:
        each.at(drawn)
    assert [len(node.ways) for each in found for _, ways in each.pieces for node in [ways.root]] == [0, 0, 0]


def test_many_cases_are_counted_and_not_kept(monkeypatch):
    """The percentiles of counted cases are those of the kept ones, to the cent, a tenth of a percent"""
    kept = ranges(STACK, BOOK, cases=1 << 15, seed=4)
    monkeypatch.setattr("pretamane_analysis.bill.ranges.KEPT", 1 << 12)
    monkeypatch.setattr("pretamane_analysis.bill.ranges.CHUNK", 1 << 12)
    counted = ranges(STACK, BOOK, cases=1 << 15, seed=4)
    assert len(counted.baseline_usd) == 1 << 12 and counted.cases == 1 << 15
    for one, other in zip(kept.rows(), counted.rows(), strict=True):
        for each in ("p10", "p50", "p90"):
            assert abs(one[each] - other[each]) <= Decimal("0.15" if "percent" in one["what"] else "0.05"), (one, other)
    assert abs(kept.holds(Decimal(60)) - counted.holds(Decimal(60))) <= Decimal("0.1")


@pytest.mark.parametrize("shape", ["pert", "triangular"])
def test_ranges_lie_between_low_and_high(shape):
    """The same seed, the same answer; every case is between the bills of low and high usage; odds fall"""
    found = ranges(STACK, BOOK, cases=256, seed=3, shape=shape)
    assert found.rows() == ranges(STACK, BOOK, cases=256, seed=3, shape=shape).rows()
    for name, values in (("eks", found.baseline_usd), ("ec2", found.alternative_usd)):
        low, high = (
            float(bill_of(architecture(name, STACK, BOOK, each), STACK, BOOK).total) for each in ("low", "high")
        )
        assert low <= values.min() and values.max() <= high
    odds = [found.holds(Decimal(each)) for each in (0, 60, 70, 99)]
    assert odds == sorted(odds, reverse=True) and odds[0] == 100 and odds[-1] == 0


def test_the_tornado_is_two_bills_for_each_figure():
    """Each bar is the difference of exact bills"""
    for row in tornado(STACK, BOOK)[:3]:
        saved = [
            exact(STACK, "eks", {row["usage"]: row[end]}) - exact(STACK, "ec2", {row["usage"]: row[end]})
            for end in ("low", "high")
        ]
        assert [each.quantize(Decimal("0.01")) for each in saved] == [
            row["saved at low, USD"],
            row["saved at high, USD"],
        ]


def test_a_figure_that_moves_the_saving_there_and_back_moves_it():
    """What low and high have in common is not what is in between; what moves nothing is named and not listed"""
    rows = tornado(STACK, BOOK)
    typical = bill_of(architecture("eks", STACK, BOOK), STACK, BOOK).total - bill_of(
        architecture("ec2", STACK, BOOK), STACK, BOOK).total
    for row in rows:
        three = (row["saved at low, USD"], row["saved at high, USD"], typical.quantize(Decimal("0.01")))
        assert row["moves the saving by, USD"] == max(three) - min(three)
    kept, others = moving(rows)
    assert len(kept) < len(rows) and all(figure_title(row["usage"]) in others for row in rows if row not in kept)


def test_indices_explain_the_variance():
    """The first indices add up to about all of it where figures hardly act together; one that does nothing has none"""
    found = {row["usage"]: row for row in indices(STACK, BOOK, cases=256, seed=1)}
    assert Decimal("0.85") < sum(row["first"] for row in found.values()) < Decimal("1.15")
    assert abs(found["emails"]["total"]) < Decimal("0.01")  # both sides pay mail alike


def test_a_break_even_is_where_bills_meet():
    """Just below one side is cheaper, just above the other; traffic that both pay at one rate never decides"""
    assert usage_break_even(STACK, BOOK, "egress_gb") == []
    (place,) = usage_break_even(STACK, BOOK, "cpu_cores", ("eks", "ec2"), Decimal(12))[:1]
    sides = [
        exact(STACK, "eks", {"cpu_cores": at}) < exact(STACK, "ec2", {"cpu_cores": at})
        for at in (place * Decimal("0.99"), place * Decimal("1.01"))
    ]
    assert sides[0] != sides[1]
    assert crossing(lambda x: Decimal(3) - x, Decimal(0), Decimal(8)) == 3
    assert cpu_break_even(BOOK, "us-east-1", "m5.large", "m5.xlarge") is None


def test_a_break_even_beyond_the_known_rates_is_told_and_the_rest_answered():
    """S3's tiers are known up to 51,200 GB in eu-west-1: where the choice flips below that is found, and why it is not
    looked for beyond is said; a bound of one's own that lies beyond is an error with a figure in words"""
    far = STACK.model_copy(update={"region": "eu-west-1"})
    far = with_usage(far, {"stored_gb": Decimal(120)})
    curve = usage_curve(far, BOOK, "stored_gb")
    assert curve.at[-1] == 12_000 and "known tiers end at 51200" in curve.text() and "up to 12,000" in curve.text()
    assert "NaN" not in curve.text()
    with pytest.raises(PretamaneError, match="no rate is known for so many GB-Mo"):
        usage_curve(far, BOOK, "stored_gb", high=Decimal(120_000))


def test_what_ends_a_break_even_is_told_with_its_number():
    """A message that is made while a bill is written down as a formula shows a number, never NaN"""
    for name in ("database_gb", "stored_gb", "log_gb", "egress_gb"):
        try:
            said = usage_curve(with_usage(STACK, {name: Decimal(500)}), BOOK, name).text()
        except PretamaneError as error:
            said = error.message
        assert "NaN" not in said and (name != "database_gb" or "GB, not " in said)


def test_a_break_even_outside_its_bounds_is_never_and_says_so():
    """Below the bound there is none, above it there is one: `--up-to` decides, and never is an answer"""
    (place, *_) = usage_break_even(STACK, BOOK, "cpu_cores")
    below, above = (one_field(STACK, BOOK, "cpu_cores", up_to=str(each)) for each in (place - 1, place + 1))
    assert below["flips at"] == f"never, up to {float(place - 1):,.6g}" and "never" not in above["flips at"]


def test_low_above_high_is_told_with_its_place():
    """File, line, key and what is expected; `stack check` says the same"""
    with pytest.raises(PretamaneError, match=r"usage.egress_gb.*low <= typical <= high is expected, not 90, 50, 60"):
        loads(FLAT % "egress_gb: {low: 90, typical: 50, high: 60}")


@pytest.mark.parametrize(("baseline", "alternative"), [
    *permutations((*CORNERS, "ec2-pair"), 2), ("eks-optimized", "ec2"), ("ecs-fargate", "k3s"), ("ec2", "k3s"),
    ("as-is", "ec2"), ("ec2-pair", "as-is"), ("as-is", "eks")])
def test_causes_add_up_exactly(baseline, alternative):
    """For every pair, to the last digit of Decimal; what has other traits is a step from the nearest that has them"""
    stack = with_bill_of_today() if "as-is" in (baseline, alternative) else STACK
    rows = causes(stack, BOOK, baseline, alternative)
    first, second = (bill_of(architecture(name, stack, BOOK), stack, BOOK).total for name in (baseline, alternative))
    assert sum(row["USD/month"] for row in rows) == first - second
    assert sum(row["USD/month"] for row in by_cause(rows)) == first - second
    assert sum("in place of" in row["cause"] for row in by_cause(rows)) == sum(
        name not in {*CORNERS, "ec2-pair"} for name in (baseline, alternative))


def with_bill_of_today():
    """The example, and what somebody pays for it today: a cluster, a database, and a thing that nobody models"""
    text = dump(STACK) + """
as_is:
  source: a bill
  title: As it is
  features:
    orchestration: [{kind: EksCluster, version: "1.34"}]
    compute: [{kind: NodeGroup, instance_type: m5.large, nodes: 2}]
    database: [{name: a database elsewhere, usd: 88.21, source: an invoice}]
"""
    return loads(text)


def test_a_bill_of_today_says_nothing_of_other_usage(capsys, tmp_path):
    """At another load it is not known, so it is never the cheapest there; verbs over usage say that it stays"""
    stack = with_bill_of_today()
    found = growth(stack, BOOK, ("as-is", "ec2"), [Decimal(1), Decimal(1000)])
    assert [each.usd is None for each in found if each.name == "as-is"] == [False, True]
    assert growth_rows(found)[-1]["as-is, USD"] == "not known" and growth_rows(found)[-1]["cheapest"] != "as-is"
    (tmp_path / "stack.yaml").write_text(dump(stack), encoding="utf-8")
    for verb in (["ranges", "--cases", "2"], ["break-even", "--field", "log_gb"]):
        assert main([*verb, "--baseline", "as-is", "--stack", str(tmp_path / "stack.yaml")]) == 0
        assert "it stays the same here whatever the usage" in " ".join(capsys.readouterr().out.split())


def test_a_saving_whose_way_has_no_price_is_told_undivided():
    """Both sides have prices and an architecture between them has none: the saving by feature, exactly, and why"""
    mill = loads(SHOP.replace("eu-central-1", "us-west-2").replace("image: \"redis:8.2.2\", role: cache", """
        image: "rabbitmq:4.2.1", role: queue""") + """
as_is: {source: Cost Explorer of September 2026, features: {queue: [{name: Amazon MQ, usd: 210}],
        compute: [{name: machines, usd: 420, memory: 48Gi}]}}
""")
    rows = causes(mill, BOOK, "as-is", "ec2")
    paid = bill_of(architecture("as-is", mill, BOOK), mill, BOOK).total
    assert sum(row["USD/month"] for row in rows) == paid - bill_of(architecture("ec2", mill, BOOK), mill, BOOK).total
    (cause,) = {row["cause"] for row in rows}
    assert "not split: no price for AmazonMQ" in cause and len(rows) > 2
    with pytest.raises(PretamaneError, match="AmazonMQ"):
        causes(mill, BOOK, "as-is", "eks")


def test_zones_are_a_cause_of_their_own():
    """The way from a cluster in two zones to two hosts in two zones loses none; what one zone saves is what a pair of
    hosts costs more, traffic between zones among it; with all nodes on one machine there is none to lose"""
    found = {row["cause"]: row["USD/month"] for row in by_cause(causes(STACK, BOOK))}
    assert found[CAUSES["zones"]] > 0
    assert CAUSES["zones"] not in {row["cause"] for row in causes(STACK, BOOK, "eks", "ec2-pair")}
    (only,) = by_cause(causes(STACK, BOOK, "ec2-pair", "ec2"))
    pair, one = (bill_of(architecture(name, STACK, BOOK), STACK, BOOK).total for name in ("ec2-pair", "ec2"))
    assert only["cause"] == CAUSES["zones"] and only["USD/month"] == pair - one
    more = by_cause(causes(with_usage(STACK, {"cross_zone_gb": Decimal(10_000)}), BOOK))
    grown = next(row["USD/month"] for row in more if row["cause"] == CAUSES["zones"]) - found[CAUSES["zones"]]
    assert abs(grown - 2 * (10_000 - STACK.usage.cross_zone_gb.typical) * Decimal("0.01")) < Decimal("1e-9")
    single = loads("name: a\nservices: {b: {image: 'c:1', memory: 64Mi}}\neks: {nodes: 1}\n")
    assert CAUSES["zones"] not in {row["cause"] for row in causes(single, BOOK)}


def test_how_machines_are_bought_is_a_cause():
    """Nodes on demand against a reserved host: a part of the saving is the contract's"""
    stack = STACK.model_copy(update={"host": with_purchase_option(STACK, "Reserved-1yr-AllUpfront").host})
    rows = causes(stack, BOOK)
    assert next(row["USD/month"] for row in by_cause(rows) if "bought" in row["cause"]) > 0
    with pytest.raises(PretamaneError, match="does not say what you have today"):
        causes(stack, BOOK, "as-is", "ec2")


def test_a_machine_with_exactly_the_vcpu_that_are_busy_is_large_enough():
    """Shares of services do not add up exactly: what the last digit says too much asks for no larger machine"""
    mill = loads("name: mill\nservices:\n" + "".join(
        f"  {name}: {{image: 'a:1', memory: 256Mi, cpu: {cpu}, replicas: {count}}}\n"
        for name, cpu, count in (("api", 1, 1), ("edge", 1, 1), ("queue", 1, 1), ("scorer", 4, 1), ("embedder", 2, 1),
                                 ("store", 1, 1), ("objects", 1, 1))))
    rounder = [host_for(with_usage(mill, {"cpu_cores": Decimal(busy)})) for busy in (1, 2, 4, 8, 16, 32, 48, 64, 96)]
    assert any(each.cores > round(each.cores) for each in rounder), "no share has a digit too many: another stack"
    for machine in rounder:
        kind = instance_type("c6a.large")._replace(vcpu=int(round(machine.cores)), memory_gib=Decimal(999))
        assert not lacking(kind, machine)
    (said,) = lacking(instance_type("c6a.large")._replace(memory_gib=Decimal(999)), rounder[-1])
    assert said == "96 vCPU needed, c6a.large has 2"


def test_growth_has_steps_and_an_end():
    """More load never costs less; where nothing suffices the reason stands instead of an amount"""
    found = growth(STACK, BOOK, ("eks", "ec2"), [Decimal(each) for each in (1, 10, 100, 2000)])
    for name in ("eks", "ec2"):
        usd = [each.usd for each in found if each.name == name and each.usd is not None]
        assert usd == sorted(usd)
    last = next(each for each in found if each.name == "ec2" and each.load == 2000)
    assert last.usd is None and "a gp3 disk has 1 to 65,536 GB" in last.why
    assert growth_rows(found)[-1]["ec2, USD"] == "does not fit"


def test_one_host_ends_where_its_first_limit_does():
    """Just above the load that binds, the host no longer has enough of that; what AWS's tables do not say is unknown
    and never binds, and a burst is no limit; a disk that is bought faster carries more"""
    ((kind, today), (largest, most)) = host_limits(STACK, BOOK)
    first = binding(today)
    assert first.what == "CPU" and lacking(kind, host_for(at_load(first.load * Decimal("1.01"))))
    assert not lacking(kind, host_for(at_load(first.load * Decimal("0.99"))))
    assert binding(most).load > first.load and not lacking(largest, host_for(STACK))
    assert all(each.has is not None for limits in (today, most) for each in limits)
    unknown = {each.what: each.why for each in limits_of(STACK, kind._replace(
        network_mbps=None, ebs_iops=None, ebs_mbps=None)) if each.has is None}
    assert {*unknown} == {"IOPS of the host", "EBS throughput of the host", "network to the internet"}
    assert "burst" in unknown["network to the internet"]
    idle = with_usage(STACK, {"cpu_cores": Decimal(0), "requests": Decimal(10**10)})
    reads = {each.what: each for each in limits_of(idle, kind)}
    assert binding([*reads.values()]).what == "IOPS of the disk" and reads["CPU"].load is None
    fast = idle.model_copy(update={"host": idle.host.model_copy(update={"disk_iops": Decimal(9000)})})
    assert binding(limits_of(fast, kind)).what == "IOPS of the host"
    wide = binding(limits_of(fast, instance_type("m6i.8xlarge"))).load
    assert abs(wide - 3 * reads["IOPS of the disk"].load) < Decimal("1e-9")
    for name, figure in (("egress_gb", "network to the internet"), ("log_gb", "EBS throughput of the host")):
        here = with_usage(STACK, {"cpu_cores": Decimal(0), "requests": Decimal(0), name: Decimal(10**8)})
        assert binding(limits_of(here, instance_type("m6i.8xlarge"))).what in (figure, "throughput of the disk")


def test_a_burst_is_no_limit():
    """What a type has for ever is never more than its burst, and every type that is sold today says it"""
    for kind in current_types("x86_64", True) + current_types("arm64", True):
        cards, burst = re.fullmatch(r"(?:(\d+)x )?(?:Up to )?([\d.]+) Gigabit|.*", kind.network).groups()
        assert kind.network_mbps and to_internet(kind) <= Decimal(kind.network_mbps) / 1000
        assert not burst or kind.network_mbps <= int(cards or 1) * Decimal(burst) * 1000 * Decimal("1.005"), kind
    few = with_usage(STACK, {"cpu_cores": Decimal(0), "requests": Decimal(0), "egress_gb": Decimal(20_000)})
    assert binding(limits_of(few, instance_type("t3.nano"))).load < 1


def at_load(times):
    """The example with so many times its CPU"""
    return with_usage(STACK, {"cpu_cores": times * STACK.usage.cpu_cores.typical})


FLAT = "name: a\nservices: {b: {image: 'c:1', memory: 64Mi}}\nusage: {%s}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["ranges", "--cases", "1000"],
        ["ranges", "--claim", "many"],
        ["ranges", "--baseline", "ec2"],
        ["break-even", "--field", "egres_gb"],
        ["break-even", "--field", "egress_gb", "--up-to", "-1"],
        ["break-even", "--up-to", "5"],
        ["ranges", "--stack", "flat.yaml"],
        ["attribution", "--baseline", "as-is"],
        ["ownership", "--minute", "-1"],
        ["size", "--regions", "eu-nowhere-1"],
        ["size", "--options", "Spot"],
        ["ownership", "--hour", "much"],
        ["ownership", "--months", "0"],
    ],
)
def test_bad_input_is_told(words, tmp_path, monkeypatch, capsys):
    """Exit code 2 and one sentence with a remedy, never a traceback"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat.yaml").write_text(FLAT % ", ".join(f"{name}: 1" for name in open_fields(STACK)), encoding="utf-8")
    if "flat.yaml" in words:
        flat = loads((tmp_path / "flat.yaml").read_text(encoding="utf-8"))
        usage = {
            name: {"low": each.typical, "typical": each.typical, "high": each.typical}
            for name in type(flat.usage).model_fields
            if (each := getattr(flat.usage, name)) is not None
        }
        (tmp_path / "flat.yaml").write_text(
            dump(type(flat).model_validate(flat.model_dump(exclude_unset=True) | {"usage": usage})), encoding="utf-8"
        )
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("pretamane: ") and "Traceback" not in said.err


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["ranges", "--cases", "16"], "json"),
        (["sensitivity", "--cases", "4"], "json"),
        (["break-even", "--field", "log_gb"], "json"),
        (["growth"], "json"),
        (["ownership", "--minute", "1"], "json"),
        *((["attribution"], each) for each in ("table", "json", "csv", "md")),
    ],
)
def test_every_verb_in_every_form(words, form, capsys):
    """Each verb prints in each form; JSON says what was compared and how old prices are"""
    assert main([*words, "--format", form]) == 0
    said = capsys.readouterr().out
    assert said.strip()
    if form == "json":
        found = json.loads(said)
        assert found["baseline"] == "eks" and found["alternative"] != "eks" and "age_days" in found["prices"]


def test_scipy_is_read_only_where_it_is_needed():
    """`--help` of a verb does not wait for NumPy or SciPy"""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pretamane_analysis", "ranges", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "scipy" not in done.stderr and "numpy" not in done.stderr


def test_what_nobody_says_is_not_counted():
    """A part without a figure is named, is no 100 % and no 0, and every figure has a source"""
    for each in components().values():
        assert each.source and (each.percent is None) == (each.kind == "") and (each.percent is None) == (
            each.minutes() is None)
    for each in ownership(STACK, BOOK):
        assert each.available.unknown == [one.title for one in each.available.parts if one.percent is None]
        assert each.exact()["down_not_counted"] == each.available.unknown


def test_ownership_adds_up():
    """Bill, work and downtime over the months and what is paid once; what stays pays no move, all others pay egress"""
    terms = Terms(Decimal(60), Decimal(2), 36, Decimal(100), Decimal(3000), Decimal(300))
    for each in ownership(STACK, BOOK, terms, ("eks", "ec2")):
        down = each.available.minutes()
        month = each.bill_usd + 60 * each.work_hours + 2 * down
        once = 100 if each.name == "eks" else 3100 + 300 * Decimal("0.09")
        assert each.total_usd == 36 * month + once
    as_text = [each.row() for each in ownership(STACK.model_copy(update={"region": "eu-nowhere-1"}), BOOK)]
    assert all("no price" in each["36 months, USD"] for each in as_text)


def changed(**parts):
    """The example with other settings, such as operations__backup_at"""
    data = STACK.model_dump(mode="json", exclude_unset=True)
    for path, value in parts.items():
        *folders, last = path.split("__")
        at = data
        for each in folders:
            at = at.setdefault(each.replace("_of_", "-"), {})
        at[last] = value
    return type(STACK).model_validate(data)


@pytest.mark.parametrize(("parts", "name", "lost"), [
    ({}, "ec2", "the last 5 minutes"),
    ({"operations__archive_every": "15m"}, "ec2", "the last 15 minutes"),
    ({"operations__archive_every": "off"}, "ec2", "the last day"),
    ({"services__postgresql__image": "mysql:8.4"}, "ec2", "the last day"),
    ({"operations__archive_every": "off", "operations__backup_at": "Mon *-*-* 03:00:00"}, "ec2", "the last 7 days"),
    ({"operations__archive_every": "off", "operations__backup_at": "*-*~1 03:00"}, "ec2",
     "what came after the last backup (*-*~1 03:00)"),
    ({"volumes__postgres_of_data__backup": "none"}, "ec2", "everything, it has no backup"),
    ({}, "ec2-pair", "nothing that was acknowledged"),
    ({"operations__standby": "asynchronous"}, "ec2-pair", "what the other host had not got yet; not measured"),
])
def test_what_is_lost_follows_from_the_stack(parts, name, lost):
    """The log that leaves the host, or the last backup, or nothing: by the stack's own settings"""
    here = changed(**parts)
    found = recovery(architecture(name, here, BOOK), here)
    assert {each.what: each.text() for each in found.lost}["postgresql"] == f"postgresql: {lost}"


def test_times_of_coming_back_are_of_tests_that_are_there():
    """Each time names how much data there was, a test and a day; what nobody timed stays unknown, and so does a side
    on which no drill ran"""
    for each in drills().values():
        assert (each.seconds is None) or each.where
        for path in re.findall(r"tests/[\w/]+\.py", each.source):
            assert (ROOT / path).is_file() and each.data and each.as_of
    told = {each.name: each.exact() for each in ownership(STACK, BOOK)}
    assert told["ec2"]["recovery_seconds_measured"] == drills()["restore"].seconds
    assert told["ec2"]["recovery_not_measured"] == [drills()["new-host"].title]
    assert told["eks"]["recovery_seconds_measured"] is told["eks"]["lost_seconds_most"] is None


def test_search_proves_its_answer():
    """Each host that costs less than the best lacks something; a region without an answer costs that region only"""
    found = search(STACK, BOOK, ["us-east-1", "eu-west-3"], ["OnDemand", "Spot-typical"])
    usd = [each.candidate.monthly_usd for each in found.offers]
    assert usd == sorted(usd) and found.looked_at > len(found.offers)
    best, needed = found.offers[0], host_for(STACK)
    assert not lacking(best.candidate.kind, needed)
    assert found.failing and all(each.lacks and each.candidate.monthly_usd < usd[0] for each in found.failing)
    services = {name: each.model_copy(update={"image": f"registry.example/own/{name}:1"})
                for name, each in STACK.services.items()}
    x86 = STACK.model_copy(update={"services": services})
    assert architectures_of(x86) == ("x86_64",) and architectures_of(STACK) == ("x86_64", "arm64")
    huge = STACK.model_copy(update={"host": STACK.host.model_copy(update={"memory": "900000Gi"})})
    with pytest.raises(PretamaneError, match="GiB|MiB"):
        search(huge, BOOK, ["us-east-1"], ["OnDemand"])


def test_nodes_are_searched_by_type_and_number():
    """The cheapest on demand is what the bill of the cluster chooses by itself; each that is shown holds all pods,
    and one node fewer does not; a type that is too small for a pod is named with the reason"""
    left_open = STACK.eks.model_copy(update={"node_instance_type": None, "nodes": None})
    open_stack = STACK.model_copy(update={"eks": left_open})
    found = search(open_stack, BOOK, ["us-east-1"], ["OnDemand"], nodes=True)
    x86 = [each for each in found.offers if each.candidate.kind.architecture == "x86_64"]
    assert architecture("eks", open_stack, BOOK).groups == ((x86[0].count, x86[0].candidate.kind.name),)
    held = work(open_stack, services_on_machines(open_stack, True, True))
    for each in [one for one in x86 if one.count > 2][:3]:
        fewer = filled([Group("main", each.candidate.kind, each.count - 1)], held, 2)
        assert [*fewer.shortfalls()]
    assert all(each.lacks for each in found.failing)
    app = open_stack.services["fastapi-app"].model_copy(update={"memory": "40Gi"})
    big = open_stack.model_copy(update={"services": {**open_stack.services, "big": app}})
    small = search(big, BOOK, ["us-east-1"], ["OnDemand"], nodes=True).failing
    assert small and any("MiB for pods" in each.lacks[0] for each in small)


def test_every_type_in_twelve_regions_under_eight_options_in_a_second():
    """Of processor, files read for the first time, beside a loop of pure Python that takes 0.2 s on an idle core"""
    from time import process_time

    began = process_time()
    sum(each * each for each in range(3_000_000))
    yardstick, began = process_time() - began, process_time()
    found = search(STACK, Snapshot(), BOOK.regions("AmazonEC2")[:12], PURCHASE_OPTIONS[:8])
    assert process_time() - began < 4 * yardstick and found.looked_at > 2000


def test_the_oracles_of_aws():
    """A t3.large costs more than an m5.large from 42.5 % of CPU on, a t3.xlarge more than an m5.xlarge from 52.5 %"""
    rates = {"t3.large": "0.0835", "m5.large": "0.096", "t3.xlarge": "0.1670", "m5.xlarge": "0.192"}
    own = [own_rate(f"BoxUsage:{name}", usd) for name, usd in rates.items()]
    book = BOOK.with_own([*own, own_rate("CPUCredits:t3", "0.05", "vCPU-Hours")])
    pairs = (("t3.large", "m5.large"), ("t3.xlarge", "m5.xlarge"))
    found = [cpu_break_even(book, "us-east-1", *each) for each in pairs]
    assert [each.quantize(Decimal("0.001")) for each in found] == [Decimal("42.5"), Decimal("52.5")]


def own_rate(usage_type, usd, unit="Hrs"):
    """A rate as that page printed it"""
    tier = Tier(Decimal(usd), Decimal(0), None, "", "2023", "yours", "AWS, unlimited mode concepts")
    return Price("AmazonEC2", usage_type, unit, "us-east-1", "OnDemand", (tier,))


def test_every_table_is_a_frame():
    """Columns say their unit; amounts are numbers"""
    made = [frames.tornado(STACK, BOOK), frames.causes(STACK, BOOK), frames.options(STACK, BOOK),
            frames.ownership(STACK, BOOK), frames.growth(STACK, BOOK, ["ec2"]), frames.ranges(STACK, BOOK, cases=16)]
    assert "took_seconds" in frames.recovery().columns
    for each in made:
        assert len(each) and not any(" " in name or "USD" in name for name in each.columns)
        assert any(name.endswith(("_usd_per_month", "_usd", "usd_per_month")) for name in each.columns)
        assert all(each[name].dtype == "float64" for name in each.columns if name.endswith("usd_per_month"))


def test_the_report_shows_what_lies_around():
    """Each analysis has its section and its picture; a stack without ranges says why, and the rest is answered"""
    found = analysis(STACK, BOOK)
    assert not found.unanswered and {name for name, _, _ in analysis_pictures(found, "")} == {
        "likely", "tornado", "break-even", "causes", "growth"}
    usage = {name: getattr(STACK.usage, name).typical for name in open_fields(STACK)}
    flat = analysis(with_usage(STACK, usage), BOOK)
    shown = {each.name: each for each in analysis_sections(flat)}
    assert "nothing varies" in str(shown["likely"].shown) and shown["growth"].shown and shown["break-even"].shown
    no_price = analysis(STACK.model_copy(update={"region": "eu-nowhere-1"}), BOOK)
    assert {"ranges", "attribution", "break-even", "limits"} == {*no_price.unanswered}
    assert list(analysis_sections(no_price))


def test_a_price_that_only_more_usage_needs_costs_its_own_answer_only():
    """DynamoDB's storage has no price in eu-west-3, and today's is free: both bills are there, more of it is not"""
    found = analysis(STACK.model_copy(update={"region": "eu-west-3"}), BOOK)
    assert "TimedStorage" in found.unanswered["ranges"] and found.ranges is None and not found.tornado
    assert found.growth and found.ownership and found.causes and list(analysis_sections(found))


def test_what_a_table_says_below_is_said_beside_data_too(capsys):
    """A claim that is asked about is answered in every form: CSV has it on standard error"""
    assert main(["ranges", "--claim", "50", "--cases", "16", "--format", "csv"]) == 0
    printed = capsys.readouterr()
    assert "At least 50 % are saved in" in printed.err and "At least" not in printed.out


def test_people_read_words_and_programs_fields(capsys):
    """Usage figures are words in tables, sections and pictures; JSON and CSV keep the names of the stack file"""
    for verb in (["sensitivity", "--cases", "4"], ["break-even", "--field", "cross_zone_gb"]):
        said = {}
        for form in ("table", "md", "json", "csv"):
            assert main([*verb, "--format", form]) == 0
            said[form] = capsys.readouterr().out
        assert all("traffic between zones, GB" in said[each] and "cross_zone_gb" not in said[each]
                   for each in ("table", "md"))
        assert all("cross_zone_gb" in said[each] for each in ("json", "csv"))
    titles = [figure_title(name) for name in Usage.model_fields]
    assert len({*titles}) == len(titles) and not any("_" in each for each in titles)
    chart = str(tornado_chart(tornado(STACK, BOOK)))
    assert "_gb" not in chart and "traffic to the internet, GB" in chart
