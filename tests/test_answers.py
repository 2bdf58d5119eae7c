"""The whole answer of every verb, for five stacks: a change of any figure, note, order or word is seen in a diff."""
from __future__ import annotations

import shlex

import pytest
from golden_files import GOLDEN, same

from pretamane_analysis.cli import options
from pretamane_analysis.cli.main import main

WIKI, SAAS, SHOP = "tests/stacks/wiki.yaml", "tests/products/saas.yaml", "tests/data/managed_shop.yaml"
OFFERS, BILLS = "tests/data/offers", "tests/data/bills"
CLINIC, PRESS = "tests/data/clinic.yaml", "tests/data/bought.yaml"
SIDES = "eks eks-optimized eks-open-source ecs-fargate k3s ec2-pair ec2-managed ec2".split()
COMMANDS = {
    **{f"cost-{side}": f"cost --architecture {side}" for side in SIDES},
    **{f"cost-json-{side}": f"cost --architecture {side} --format json" for side in ("eks", "ec2")},
    **{f"cost-wiki-{side}": f"cost --architecture {side} --stack {WIKI}"
       for side in ("eks", "ecs-fargate", "ec2-pair")},
    **{f"cost-saas-{side}": f"cost --architecture {side} --stack {SAAS} --scenario high" for side in SIDES[:5]},
    **{f"cost-shop-{side}": f"cost --architecture {side} --stack {SHOP} --region eu-west-1"
       for side in ("eks", "eks-optimized", "ec2-pair")},
    "cost-as-is": f"cost --architecture as-is --stack {CLINIC}",
    "cost-focus": f"cost --architecture ec2 --format focus --stack {WIKI}",
    "cost-reserved": "cost --architecture ec2 --purchase-option Reserved-1yr-NoUpfront --memory 16Gi --egress 9000",
    "compare": "compare", "compare-json": "compare --format json",
    "compare-md": f"compare --format md --stack {WIKI}",
    "compare-csv": f"compare --format csv --stack {SAAS}",
    "compare-as-is": f"compare --stack {CLINIC} --baseline as-is",
    "audit": "audit", "audit-json": "audit --format json",
    **{f"audit-{name}": f"audit --claim tests/data/claims/{name}.yaml" for name in ("big", "invoice", "vps")},
    "options": "options --growth --outages",
    "options-json": f"options --format json --stack {WIKI} --growth --outages",
    "options-as-is": f"options --stack {CLINIC} --growth --outages",
    "options-saas": f"options --stack {SAAS} --outages",
    "size": "size", "size-nodes": f"size --nodes --stack {SAAS}", "size-wiki": f"size --stack {WIKI} --format json",
    "size-search": "size --regions us-east-1,eu-west-1 --options OnDemand,Spot-typical",
    "ranges": "ranges --cases 64 --claim 30", "ranges-wiki": f"ranges --cases 64 --shape triangular --stack {WIKI}",
    "sensitivity": f"sensitivity --cases 64 --stack {WIKI}",
    "break-even": f"break-even --stack {WIKI} --field egress_gb",
    "break-even-up": f"break-even --stack {WIKI} --field requests --up-to 20000000",
    "attribution": "attribution", "attribution-shop": f"attribution --stack {SHOP} --format json",
    "ownership": "ownership --hour 80 --minute 5 --upfront 1000 --migration 2000 --moved-gb 500 --months 9 --stays eks",
    "ownership-wiki": f"ownership --stack {WIKI} --format json", "growth": f"growth --stack {WIKI}",
    "growth-json": f"growth --stack {SHOP} --format json",
    "slo": "slo", "slo-json": "slo --format json --scenario high",
    "coverage": f"prices coverage --stack {WIKI} --architecture ec2",
    "find": "prices find AmazonEC2 BoxUsage:t3.medium",
    "find-egress": "prices find AWSDataTransfer DataTransfer-Out-Bytes",
    "find-none": "prices find AmazonEC2 BoxUsage:t3.mediun", "find-several": "prices find AWSELB LCUUsage",
    "find-place": "prices find AmazonEC2 BoxUsage:t3.medium --region moon-1", "list": "prices list AWSELB",
    **{f"press-{verb}": f"{verb} --stack {PRESS}" for verb in ("attribution", "compare", "growth", "size")},
    **{f"press-{side}": f"cost --architecture {side} --stack {PRESS}"
       for side in ("eks", "eks-open-source", "ec2-pair")},
    "press-nodes": f"size --nodes --stack {PRESS} --format json", "press-ranges": f"ranges --cases 64 --stack {PRESS}",
    "sources": "prices sources", "rows": f"prices rows {OFFERS}/AWSELB/sa-east-1.json",
    **{f"cost-low-{side}": f"cost --architecture {side} --scenario low --stack {WIKI} --hours 700" for side in SIDES},
    **{f"cost-high-{side}": f"cost --architecture {side} --scenario high --stack {SAAS}" for side in SIDES[5:]},
    **{f"focus-{name}": f"cost --architecture {side} --format focus --stack {SAAS} --purchase-option {name}"
       for side, name in (("ec2", "Spot-typical"), ("eks", "Reserved-1yr-NoUpfront"))},
    **{f"offers-{name}": f"prices {words} --source offers --prices {OFFERS} --region sa-east-1" for name, words in (
        ("find", "find AWSELB LCUUsage --attribute operation=LoadBalancing:Application"),
        ("list", "list AWSDataTransfer"),
        ("egress", "find AWSDataTransfer DataTransfer-Out-Bytes"), ("none", "find AmazonEC2 EBS:VolumeUsage.gp9"))},
    **{f"bill-{form}": f"bill read {BILLS}/small-cur-{form}.csv" for form in ("2.0", "legacy")},
    "bill-compare": f"bill compare {BILLS}/small-cur-legacy.csv --stack {CLINIC}",
    "paid-options": f"prices coverage --stack {WIKI} --options --architecture ec2 --region eu-west-1",
    **{f"wrong-{name}": words for name, words in {
        "field": "break-even --field moon", "region": "cost --region mars-1", "as-is": "cost --architecture as-is",
        "option": "cost --purchase-option Rented", "memory": "cost --memory 99999Gi", "claim": f"audit --stack {WIKI}",
        "sides": "compare --baseline eks --alternative eks",
        "options": "size --options Rented", "hours": "cost --hours 0",
        "egress": "cost --egress -1", "regions": "size --regions mars-1", "months": "ownership --months 0",
        "slo": f"slo --stack {WIKI}", "service": "prices list Nothing", "file": "cost --stack none.yaml",
        "place": "prices find AWSELB LCUUsage --source offers --prices none",
        "diff": "prices diff none bundled"}.items()},
}


@pytest.fixture(autouse=True)
def here(root, monkeypatch):
    """Commands are as somebody types them in the root of the repository, on a wide terminal, on the same day"""
    monkeypatch.setattr(options.today, "__code__", (lambda: __import__("datetime").date(2026, 11, 30)).__code__)
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.mark.parametrize("name", COMMANDS)
def test_answer(name, capsys):
    """Output, errors and exit code are those of the file that is named as the test"""
    try:
        code = main(shlex.split(COMMANDS[name]))
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    same(GOLDEN / "answers" / f"{name}.txt", f"$ pretamane {COMMANDS[name]}\n{said.out}{said.err}exit code {code}")


def test_no_file_without_a_command():
    """Each file belongs to a command"""
    assert {each.stem for each in (GOLDEN / "answers").iterdir()} == set(COMMANDS)
