"""Drawings and charts: the same text in every process, no program but Python, and figures that are those of the
bills."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as tree
from dataclasses import replace
from decimal import Decimal
from io import BytesIO

import pytest
from PIL import Image

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.base.tables import money, rounded
from pretamane_analysis.bill.architectures import architecture, names_for
from pretamane_analysis.bill.audit import audit, waterfall
from pretamane_analysis.bill.claim import load_claim
from pretamane_analysis.bill.compare import Saving, compare
from pretamane_analysis.draw import budget_chart, charts, colors, draw, drawing_plan
from pretamane_analysis.draw.arrange import places
from pretamane_analysis.draw.cards import resource_card
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.budget import budgets
from pretamane_analysis.stack.stack import example

STACK, BOOK = example(), bundled()
NAMES = names_for(STACK)
MANAGED = {"Table": "DynamoDB", "SearchDomain": "OpenSearch", "Bucket": "S3 bucket", "Logs": "CloudWatch Logs",
           "Monitoring": "CloudWatch",
           "ImageRegistry": "ECR", "Mail": "SES", "Secrets": "Secrets Manager", "EksCluster": "EKS control plane",
           "LoadBalancer": "Load balancer", "NatGateway": "NAT gateway", "HostedZones": "Route 53"}
COMPARED = ("cost_by_feature", "four_architectures", "saving_ranges")
SETUP = """
from hashlib import sha256
from pretamane_analysis.draw import charts, draw
from pretamane_analysis.bill.architectures import architecture, names_for
from pretamane_analysis.bill.audit import audit
from pretamane_analysis.bill.claim import load_claim
from pretamane_analysis.bill.compare import compare
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example
stack, book = example(), bundled()
"""
DOTS = """
for name in names_for(stack):
    print(sha256(draw.dot(architecture(name, stack, book), stack).encode()).hexdigest())
"""
CHARTS = """
comparison = compare(stack, book)
for text in (charts.cost_by_feature(comparison), charts.four_architectures(comparison), charts.saving_ranges(comparison),
             charts.waterfall(audit(load_claim(), stack, book))):
    print(sha256(text.encode()).hexdigest())
"""  # noqa: E501


@pytest.fixture(scope="module")
def comparison():
    """Return the comparison of the example stack"""
    return compare(STACK, BOOK)


@pytest.fixture(scope="module")
def audited():
    """Return the audit of the example claim"""
    return audit(load_claim(), STACK, BOOK)


def drawn(name: str, stack=STACK) -> str:
    """Return the DOT text of an architecture"""
    return draw.dot(architecture(name, stack, BOOK), stack)


def run(code: str, root, **environment: str) -> str:
    """Run `code` in a fresh process; return what it printed"""
    ended = subprocess.run([sys.executable, "-c", SETUP + code], check=False, capture_output=True, text=True, cwd=root,
                           env=os.environ | environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def texts(svg: str) -> set[str]:
    """Return the texts of an SVG"""
    return {"".join(node.itertext()).strip()
            for node in tree.fromstring(svg.encode()).iter() if node.tag.endswith("}text")}


def without(*names: str):
    """Return the example stack without some services"""
    services = {name: each.model_copy(
        update={"depends_on": {key: value for key, value in each.depends_on.items() if key not in names}})
                for name, each in STACK.services.items() if name not in names}
    return STACK.model_copy(update={"services": services})


@pytest.mark.parametrize("code", [DOTS, CHARTS], ids=["dot", "charts"])
def test_same_bytes_in_every_process(root, code):
    """Neither the hash seed nor the process changes DOT text or a chart"""
    first, second = (run(code, root, PYTHONHASHSEED=seed) for seed in ("0", "4711"))
    assert first == second and len(set(first.split())) in (4, len(NAMES))


def test_no_program_is_started(root, tmp_path):
    """Drawing works with an empty PATH and never starts a process"""
    code = """
import sys
def watch(event, arguments):
    assert event not in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"), event
sys.addaudithook(watch)
one = architecture("ec2", stack, book)
print(draw.svg(one, stack)[-7:].strip(), draw.png(one, stack)[1:4].decode())
"""
    assert run(code, root, PATH=str(tmp_path)).split() == ["</svg>", "PNG"]


@pytest.mark.parametrize("name", NAMES)
def test_drawings_are_portable(name, root):
    """DOT and SVG name no place on this machine; the SVG needs no other file and is of moderate size"""
    one = architecture(name, STACK, BOOK)
    text, svg = draw.dot(one, STACK), draw.svg(one, STACK)
    assert text == draw.dot(one, STACK)
    assert not re.findall(r'SRC="(?!\w+/[\w/-]+\.png")', text)
    for each in (text, svg):
        assert "site-packages" not in each and str(root) not in each and "/tmp" not in each
    parsed = tree.fromstring(svg.encode())
    links = [value for node in parsed.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert links and all(link.startswith("data:image/png;base64,") for link in links)
    assert len(svg) < 150_000


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps(name):
    """No two cards cover each other, and every card is within the picture"""
    plan = drawing_plan.plan(architecture(name, STACK, BOOK), STACK)
    at = places(plan)
    cards = [at[each.id] for each in plan.frame.cards()]
    for number, one in enumerate(cards):
        assert (one.left >= 0 and one.left + one.width <= at[""].width and one.top >= 0
                and one.top + one.height <= at[""].height)
        for two in cards[number + 1:]:
            assert (one.left + one.width <= two.left or two.left + two.width <= one.left
                    or one.top + one.height <= two.top or two.top + two.height <= one.top)


@pytest.mark.parametrize("name", ("ec2", "eks", "ecs-fargate"))
@pytest.mark.parametrize("service", STACK.services)
def test_removed_service_is_gone(name, service):
    """A service that is not in the stack is not in the drawing; one that is stands there if it runs on the machines"""
    on_machines = architecture(name, STACK, BOOK).on_machines
    assert (f"<B>{service}</B>" in drawn(name)) == (service in on_machines)
    assert f"<B>{service}</B>" not in drawn(name, without(service))


@pytest.mark.parametrize("kept", [*STACK.services])
@pytest.mark.parametrize("name", ("ec2", "eks", "ecs-fargate"))
def test_stack_of_one_service(name, kept):
    """A stack with a single service of any role can be drawn"""
    stack = without(*(each for each in STACK.services if each != kept))
    assert draw.dot(architecture(name, stack, BOOK), stack).startswith("digraph")


def test_every_managed_service_of_eks_is_drawn():
    """What the EKS bill charges for as a service of AWS has a card, and what is not charged has none"""
    one, found = architecture("eks", STACK, BOOK), drawn("eks")
    kinds = {type(each).__name__ for each in one.resources}
    assert set(MANAGED) <= kinds
    for title in MANAGED.values():
        assert f"<B>{title}</B>" in found
    for each in one.resources:
        if type(each).__name__ not in drawing_plan.UNDRAWN:
            assert f"<B>{resource_card(each).title}</B>" in found
    for title in ("DynamoDB", "OpenSearch", "ECR", "Route 53", "NAT gateway"):
        assert f"<B>{title}</B>" not in drawn("ec2")


def test_facts_follow_the_stack():
    """Memory, instance type, disks and zones in a drawing are those of the stack"""
    memory = STACK.services["postgresql"].model_copy(update={"memory": "1792Mi"})
    stack = STACK.model_copy(update={"services": {**STACK.services, "postgresql": memory},
                                     "eks": STACK.eks.model_copy(update={"availability_zones": 3, "node_disk_gb": 33}),
                                     "host": STACK.host.model_copy(update={"instance_type": "m6i.xlarge",
                                                                           "root_disk_gb": 44})})
    host, cluster = drawn("ec2", stack), drawn("eks", stack)
    assert "1.8 GiB :5432" in host and "m6i.xlarge · 4 vCPU · 16 GiB" in host and "root 44 GB gp3" in host
    assert "zone c" in cluster and "1 x 33 GB gp3" in cluster and "zone c" not in drawn("eks")


def test_way_in():
    """With a tunnel nothing is open; without one users reach the edge directly"""
    assert "no open port" in drawn("ec2")
    direct = STACK.model_copy(update={"host": STACK.host.model_copy(update={"edge": "direct"})})
    assert "port 443 open" in drawn("ec2", direct) and "port 443 open" in drawn("ec2", without("cloudflared"))


@pytest.mark.parametrize(("module", "draws"), [("diagrams", draw.dot), ("resvg_py", draw.png)])
def test_missing_library_is_named(monkeypatch, module, draws):
    """Without a library the error says which, and how to get it"""
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PretamaneError, match=rf"{module}.*pip install pretamane_analysis"):
        draws(architecture("ec2", STACK, BOOK), STACK)


def test_a_library_that_cannot_be_loaded_says_why(monkeypatch, tmp_path):
    """A wheel that lacks a system library is told from one that is not installed"""
    (tmp_path / "resvg_py.py").write_text('raise ImportError("libexample.so.1: cannot open shared object file")')
    monkeypatch.delitem(sys.modules, "resvg_py", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PretamaneError, match=r"resvg_py, which is installed but cannot be loaded: libexample.so.1: "
                       r"cannot open") as caught:
        draw.png(architecture("ec2", STACK, BOOK), STACK)
    assert "pip install pretamane_analysis" not in str(caught.value)


PICTURES = """
one = architecture("ec2", stack, book)
print(sha256(draw.svg(one, stack).encode()).hexdigest(), sha256(draw.png(one, stack)).hexdigest())
"""


def test_drawings_need_no_font_and_no_setting_of_the_system(root, tmp_path):
    """SVG and PNG are the same bytes where a machine has no font, no home and no program"""
    assert run(PICTURES, root) == run(PICTURES, root, PATH=str(tmp_path), HOME=str(tmp_path),
                                      FONTCONFIG_FILE="/dev/null", XDG_DATA_DIRS=str(tmp_path))


def test_letters_of_a_png_are_letters(monkeypatch):
    """The PNG holds its text: without the fonts another picture comes out, one with less ink"""
    one = architecture("ec2", STACK, BOOK)

    def ink(picture: bytes) -> int:
        return sum(Image.open(BytesIO(picture)).convert("L").histogram()[:90])

    with_letters = ink(draw.png(one, STACK))
    monkeypatch.setattr(draw, "_fonts", list)
    assert with_letters > 1.2 * ink(draw.png(one, STACK))


@pytest.mark.parametrize("name", NAMES)
def test_svg_shows_what_the_graph_says(name):
    """Every card, fact, heading and label of the plan stands in the SVG, each arrow has a way and a head"""
    drawn_plan = drawing_plan.plan(architecture(name, STACK, BOOK), STACK)
    picture = draw.plan_svg(drawn_plan)
    words = " ".join(texts(picture))
    for card in drawn_plan.frame.cards():
        assert {card.title, *card.facts} <= texts(picture)
    assert all(each.label in words for each in drawn_plan.arrows)
    parsed = tree.fromstring(picture.encode())
    assert len([each for each in parsed.iter() if each.get("class") == "way"]) == len(drawn_plan.arrows)
    assert len([each for each in parsed.iter() if each.get("class") == "head"]) == len(drawn_plan.arrows)
    assert len([each for each in parsed.iter() if each.get("class") == "card"]) == len([*drawn_plan.frame.cards()])


def test_charts_without_matplotlib(monkeypatch, comparison):
    """Charts say what they need"""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PretamaneError, match=r"matplotlib.*pip install pretamane_analysis"):
        charts.cost_by_feature(comparison)


def test_charts_show_the_figures(comparison, audited):
    """Totals, features, savings and steps in the charts are those of the comparison and the audit"""
    cost = texts(charts.cost_by_feature(comparison))
    assert {f"{each.architecture.title}: {money(each.bill.total)} USD"
            for each in (comparison.baseline, comparison.alternative)} <= cost
    assert {money(usd) for usd in comparison.baseline.bill.by().values() if usd > 4} <= cost
    assert any(f"{rounded(comparison.saving.percent, 1)} %" in each for each in cost)
    four = texts(charts.four_architectures(comparison))
    assert {f"{money(usd)} USD" for usd in comparison.totals.values()} <= four
    ranges = texts(charts.saving_ranges(comparison))
    for each in (*comparison.ranges.values(), comparison.same_memory_saving):
        assert {money(each.baseline_usd), money(each.alternative_usd)} <= ranges
        assert any(f"{rounded(each.percent, 1)} %" in text and money(each.usd) in text for text in ranges)
    fall = texts(charts.waterfall(audited))
    assert {f"{rounded(row['percent'], 1)} %"
            for row in waterfall(audited)} | {row["step"] for row in waterfall(audited)} <= fall


def test_small_features_are_summed(comparison):
    """The rows of the chart by feature add up to both bills"""
    rows = charts._feature_rows(comparison)
    assert sum(row[1] for row in rows) == comparison.baseline.bill.total
    assert sum(row[2] for row in rows) == comparison.alternative.bill.total


def test_charts_are_portable(comparison, audited):
    """Text stays text, the background is transparent, and there is no date and no link"""
    for svg in (*(getattr(charts, name)(comparison) for name in COMPARED), charts.waterfall(audited)):
        tree.fromstring(svg.encode())
        assert "<text" in svg and "dc:date" not in svg and "/tmp" not in svg
        assert not re.findall(r'href="(?!#)', svg)
        assert len(svg) < 40_000


def test_nothing_global_is_changed(comparison):
    """Charts leave matplotlib's settings alone and never load pyplot"""
    import matplotlib

    before = dict(matplotlib.rcParams)
    charts.four_architectures(comparison)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("usd", ["0", "-12.5", "NaN", "Infinity", "-Infinity", "1E+12"])
@pytest.mark.parametrize("form", ["svg", "png"])
def test_strange_amounts_do_not_crash(comparison, usd, form):
    """A chart of nothing, of a loss or of what is no number is still a chart"""
    amount, line = Decimal(usd), comparison.baseline.bill.lines[0]
    strange = replace(comparison.baseline.bill, lines=(replace(line, quantity=amount, unit_price=Decimal(1)),))
    first = replace(comparison.baseline, bill=strange)
    ranges = {"low": Saving(amount, Decimal(0)), "typical": Saving(Decimal(0), amount), "high": Saving(amount, amount)}
    found = replace(comparison, baseline=first, ranges=ranges, totals={**comparison.totals, "eks": amount},
                    sides={**comparison.sides, "eks": first})
    for name in COMPARED:
        assert getattr(charts, name)(found, form=form)


@pytest.mark.parametrize("usd", ["0", "30", "2000"])
def test_claim_that_saves_nothing_or_loses(audited, usd):
    """A waterfall of a saving that is gone, or negative, is drawn"""
    steps = [replace(audited.steps[0], alternative_usd=Decimal(usd)), *audited.steps[1:]]
    assert texts(charts.waterfall(replace(audited, steps=steps)))


def test_text_of_charts_can_be_read_in_both_schemes(comparison, audited):
    """Every text is a color that has 4.5 times the luminance of its ground, in light and in dark; none takes the
    color of a line"""
    grounds = {colors.ON_BAR: colors.GROUP_COLORS}
    burns = [budget_chart.budget_burn(each) for each in budgets(STACK)]
    for svg in (*(getattr(charts, name)(comparison) for name in COMPARED), charts.waterfall(audited), *burns):
        used = {each.upper() for each in re.findall(r'<text[^>]* style="[^"]*fill: (#[0-9a-f]{6})', svg)}
        assert used <= {colors.INK, colors.QUIET, colors.ON_BAR} and "@media (prefers-color-scheme: dark)" in svg
        for each in used:
            for ground in grounds.get(each, [colors.CANVAS]):
                dark = colors.DARK.get(each, each), colors.DARK.get(ground, ground)
                assert colors.contrast(each, ground) >= 4.5 and colors.contrast(*dark) >= 4.5
        assert not re.findall(r"<text(?![^>]*fill: #)[^>]*>", svg)
