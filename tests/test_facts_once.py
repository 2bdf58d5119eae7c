"""A fact stands once: what two parts of the package need is read from one place, and changing it there changes both."""
from __future__ import annotations

import ast
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from pretamane_analysis.bill import audit as audits
from pretamane_analysis.bill import bill as bills
from pretamane_analysis.bill import claim as claims
from pretamane_analysis.bill import sources
from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.bill import bill
from pretamane_analysis.bill.features import DATA_FEATURES
from pretamane_analysis.bill.sizing import Machine, candidates
from pretamane_analysis.bill.verify import Questions, required_queries
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.cli import options
from pretamane_analysis.cli.options import (
    source_options,
    stack_options,
    usage_options,
    verb_parser,
)
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.prices.snapshot import allowances, bundled
from pretamane_analysis.resources import Instances, InternetEgress
from pretamane_analysis.stack.quantities import Range
from pretamane_analysis.stack.stack import Stack, example

PACKAGE = Path(bills.__file__).resolve().parents[1]


@cache
def nodes() -> dict[str, list[ast.AST]]:
    """What each module is made of"""
    return {path.relative_to(PACKAGE).as_posix(): list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            for path in PACKAGE.rglob("*.py") if path.name != "_modidx.py" and "templates" not in path.parts}


@cache
def texts() -> dict[str, list[str]]:
    """The texts of each module that are no docstrings"""
    docs = {id(node.value) for found in nodes().values() for node in found if isinstance(node, ast.Expr)}
    return {name: [node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)
                   and id(node) not in docs] for name, found in nodes().items()}


def modules_with(*words: str) -> list[str]:
    """Return the modules that say each of these words, as a part of a text that is no docstring"""
    return sorted(name for name, said in texts().items()
                  if all(any(word in text for text in said) for word in words))


@pytest.mark.parametrize("words, where", [
    (("BoxUsage",), []), (("CPUCredits",), []), (("DataTransfer-Out-Bytes",), []),
])
def test_how_aws_meters_a_thing_stands_with_that_thing(words, where):
    """Usage types of machines and of their CPU credits are written with the resources; nothing that bills, sizes or
    reports repeats them"""
    assert [name for name in modules_with(*words) if name.startswith(("bill/", "report/"))] == where


@pytest.mark.parametrize("scenario", ["low", "typical", "high"])
def test_a_candidate_costs_what_its_instance_is_billed(scenario):
    """`size` shows for each type what the bill of one such instance says, surplus of CPU credits included"""
    stack, busy = example(), {"low": Decimal("0.1"), "typical": Decimal("0.3"), "high": Decimal("1.7")}[scenario]
    for each in candidates(bundled(), stack.region, Machine(4096, busy))[:20]:
        billed = bill([Instances(instance_type=each.kind.name, cpu_percent=100 * busy / each.kind.vcpu)],
                      bundled(), stack.region)
        assert billed.total == each.monthly_usd


def test_free_egress_is_that_of_the_allowances(monkeypatch):
    """When AWS gives 200 GB instead of 100, what a claim's dollars buy and what the bill charges for it still agree"""
    more = tuple(replace(each, quantity=each.quantity * 2) if each.covers(next(InternetEgress(gb=1).charges(730)).query)
                 else each for each in allowances())
    for module in (bills, claims):
        monkeypatch.setattr(module, "allowances", lambda: more)
    gb = claims.egress_gb(Decimal("50.04"), bundled(), "us-east-1")
    assert gb > 700
    assert bill([InternetEgress(gb=gb)], bundled(), "us-east-1").total.quantize(Decimal("1e-9")) == Decimal("50.04")


def test_the_names_of_data_features_stand_once():
    """Which features managed services replace follows from the roles of the features: no module lists them"""
    lists = [(name, node.lineno) for name, found in nodes().items()
             for node in found if isinstance(node, ast.Tuple | ast.List | ast.Set)
             and {*DATA_FEATURES} <= {each.value for each in node.elts if isinstance(each, ast.Constant)}]
    assert lists == []
    assert DATA_FEATURES == ("database", "cache", "queue", "stream", "search", "objects", "identity", "observability")


def test_an_audit_does_not_read_its_own_words(monkeypatch):
    """Steps are told apart by their kind: other words for them change no amount"""
    claim, stack = claims.load_claim(), example()
    usual = audits.audit(claim, stack, bundled())
    for name in ("corrections", "comparisons"):
        steps = getattr(audits, name)
        monkeypatch.setattr(audits, name,
                            lambda inputs, steps=steps: [replace(each, what=each.what[::-1]) for each in steps(inputs)])
    other = audits.audit(claim, stack, bundled())
    assert [each.what for each in other.steps] == [each.what[::-1] for each in usual.steps]
    assert other.scenarios == usual.scenarios and audits.defensible(other) == audits.defensible(usual)
    assert [each["usd"] for each in other.left_out] == [each["usd"] for each in usual.left_out]


def test_hours_reach_what_is_fetched_ahead(monkeypatch):
    """`--hours` counts for the prices that are fetched together, not only for the bill made from them"""
    asked = []
    monkeypatch.setattr(sources, "prefetch_prices", lambda book, stack, names, scenarios, hours: asked.append(hours))
    parsed = verb_parser("cost", "", stack_options, usage_options,
                         source_options).parse_args(["--source", "api", "--hours", "24"])
    options.prefetch_prices(parsed, bundled(), example(), ("ec2",), ("typical",))
    assert asked == [Decimal(24)]


@pytest.mark.parametrize("name", ["eks", "eks-open-source", "ec2-managed", "ec2"])
def test_what_is_fetched_ahead_is_what_a_bill_asks(name):
    """The queries of a stack are said in one place: those fetched together are all that the bill asks for, and a
    snapshot asks no fewer"""
    stack, asked = example(), Questions()
    bill(architecture(name, stack, bundled()).resources, asked, stack.region)
    ahead = required_queries([stack], [name], ["typical"], chooser=bundled())
    assert {*asked.asked} <= {*ahead} <= {*required_queries([stack], [name], ["typical"])} | {*asked.asked}


@pytest.mark.parametrize("way_in", ["tunnel", "direct"])
@pytest.mark.parametrize("left_out", ["http", "admin"])
def test_a_port_that_the_edge_does_not_name_is_the_same_everywhere(way_in, left_out):
    """Left out of the stack, a port of the edge is the same for the Caddyfile, compose file and probes: our own tree
    has no error"""
    data = example().model_dump(exclude_unset=True)
    edge = data["services"]["caddy"]
    edge["ports"].pop(left_out, None)
    if way_in == "direct":
        edge["health_check"]["test"] = [word.replace(":8082", f":{edge['ports'].get('http', 80)}")
                                        for word in edge["health_check"]["test"]]
    data["host"] = {**data.get("host", {}), "edge": way_in}
    data["volumes"]["certificates"] = {"size_gb": 1}
    edge["mounts"] = [*edge.get("mounts", []), {"volume": "certificates", "path": "/data"}]
    found = check(Tree(emitted(Stack.model_validate(data)), date(2026, 11, 22)))
    assert [each for each in found if each.rule == "X04"] == []


@pytest.mark.parametrize("fact", ["/run/secrets", "/healthz", "/livez"])
def test_conventions_stand_once(fact):
    """What emitted files take for granted is written in `facts.conventions`; the checker knows only what it read"""
    assert [name for name in modules_with(fact) if not name.startswith("check/")] == ["facts/conventions.py"]


def test_usage_that_no_file_knows_is_a_field_of_the_stack():
    """DNS queries and nightly backups are usage figures with defaults, shown as assumptions, for the bill as for
    whoever reads a plan back"""
    stack = example()
    more = stack.model_copy(update={
        "usage": stack.usage.model_copy(update={name: Range(low=each, typical=each, high=each) for name, each in (
            ("dns_queries_per_request", Decimal(1)), ("backup_writes", Decimal(60)))})})
    quantities = [{line.description: line.quantity for name in ("eks", "ec2")
                   for line in bill_of(architecture(name, each, bundled()), each, bundled()).lines
                   if line.query.usage_type in ("DNS-Queries", "Requests-Tier1")} for each in (stack, more)]
    assert quantities[0] != quantities[1] and {*quantities[0]} == {*quantities[1]} and len(quantities[0]) == 2
    assumed = architecture("eks", stack, bundled()).assumptions
    assert any("dns_queries_per_request" in each or "DNS queries" in each for each in assumed)
