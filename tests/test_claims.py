"""Claims as strangers write them, in files: a server elsewhere, a bill with one side, a talk's slide; and what a typing error in one says."""  # noqa: E501
from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from pretamane_analysis.cli.main import main

pytestmark = pytest.mark.usefixtures("wide")

CLAIMS = Path(__file__).parent / "data" / "claims"


def audited(name, capsys):
    """The exit code, the JSON and the text of `pretamane audit --claim`"""
    code = main(["audit", "--claim", str(CLAIMS / name), "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert main(["audit", "--claim", str(CLAIMS / name)]) == code
    return code, found, capsys.readouterr().out


def step(found, start):
    """The one step of the waterfall that begins so"""
    one, = (each for each in found["waterfall"] if each["step"].startswith(start))
    return one


def test_a_server_elsewhere_against_inflated_nodes(capsys):
    """Nodes printed at 700 USD cost 110.83 with their disks: 92 % becomes 78 %, and what no price list has stays as printed"""  # noqa: E501
    code, found, said = audited("vps.yaml", capsys)
    assert code == 1 and not found["defensible"]["claim_holds"]
    assert Decimal(step(found, "3 x t3.medium: list price")["change"]) == Decimal("110.832") - 700
    assert [round(float(found["defensible"][f"{end}_percent"]), 1) for end in ("low", "high")] == [78.3, 78.3]
    assert "Claimed 91.7 %; 78 % can be defended." in said and "78 to 78" not in said
    assert "dedicated server, 64 GB" in found["unchecked"] and "disk" not in said.split("Billed, but in no")[1]


def test_a_bill_of_one_side(capsys):
    """Five lines and a tax: each is checked or said to be as printed; a total that is 27 USD too high is a finding"""
    code, found, said = audited("invoice.yaml", capsys)
    assert code == 0 and found["sides"] == ["baseline"] and found["unchecked"] == ["Business support", "VAT"]
    assert "the lines add up to 596.40, the total says 623.40" in re.sub(r"\s+", " ", said)
    assert [each["what"] for each in found["lines"] if float(each["priced"]) != float(each["claimed"])] == [
        "load balancer"]


def test_a_slide_with_one_small_machine(capsys):
    """96 GiB against 4: memory parity alone takes 41 points; 50 GB of traffic are free; the machine gets a disk and an address"""  # noqa: E501
    _, found, said = audited("big.yaml", capsys)
    assert Decimal(step(found, "data transfer, 50 GB")["change"]) == -51
    assert Decimal(step(found, "disk: one machine")["change"]) == Decimal("-2.4")
    assert Decimal(step(found, "public IPv4: one machine")["change"]) == Decimal("-3.65")
    low, high = (float(found["defensible"][f"{end}_percent"]) for end in ("low", "high"))
    assert low < 57 and high > 97 and "memory parity" in said


@pytest.mark.parametrize("name", ["vps.yaml", "invoice.yaml", "big.yaml"])
def test_nothing_of_the_example_is_in_a_strangers_audit(name, capsys):
    """Neither its programs nor its claim"""
    _, _, said = audited(name, capsys)
    for word in ("OpenSearch", "DynamoDB", "Cloudflare", "Meilisearch", "330.00"):
        assert word not in said


@pytest.mark.parametrize("right, wrong, says", [
    ("instance_type: db.t4g.medium", "instance_class: db.t4g.medium",
     "vps.yaml:11: baseline.lines.2.resources.0: DbInstance has no 'instance_class'. Did you mean 'instance_type'?"),
    ("kind: NatGateway", "kind: NatGatway", "vps.yaml:12: baseline.lines.3.resources.0: unknown kind of resource "
     "'NatGatway'. Did you mean 'NatGateway'?"),
    ("instance_type: t3.medium", "instance_type: t3.meduim", "'t3.meduim'"),
    ("nodes: 3", "nodes: many", "NodeGroup.nodes: a whole number of 0 or more is expected, not 'many'")])
def test_a_typing_error_has_file_line_and_nearest_fit(right, wrong, says, tmp_path, capsys):
    """Kind, field, type or value of a resource: exit code 2 before anything is priced"""
    text = (CLAIMS / "vps.yaml").read_text()
    assert right in text
    (tmp_path / "vps.yaml").write_text(text.replace(right, wrong))
    assert main(["audit", "--claim", str(tmp_path / "vps.yaml")]) == 2
    said = capsys.readouterr().err
    assert says in said.replace(str(tmp_path) + "/", "") and re.search(r"vps\.yaml:\d+: baseline\.lines", said)
