"""What the reader has today as one more architecture: `as_is` in stack files of strangers."""
from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from pretamane_analysis.bill.architectures import architecture, bill_of, names_for
from pretamane_analysis.bill.compare import compare, document
from pretamane_analysis.bill.own_stack import CHECKS
from pretamane_analysis.cli.main import main
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import dump, example, loads

BOOK = bundled()
CLINIC = """name: clinic
region: eu-west-2
as_of: 2026-11-22
services:
  gate: {image: "nginx:1.29.3", role: edge, memory: 64Mi, ports: {http: 8080}}
  charts: {image: "ghcr.io/clinic/charts:7", role: application, memory: 1Gi, cpu: 1, ports: {http: 9000}}
  records: {image: "postgres:17.11", role: database, memory: 2Gi, ports: {postgres: 5432}, mounts: [{volume: rows, path: /data}]}
volumes: {rows: {holds: database_gb}}
usage: {requests: 900000, egress_gb: 60, database_gb: 30, emails: 0}
as_is:
  source: AWS bill of October 2026
  zones: 2
  features:
    orchestration: [{kind: EksCluster, version: "1.34"}]
    compute:
      - {kind: NodeGroup, instance_type: m5.large, nodes: 2}
      - {name: Build server, usd: 19.90, memory: 4Gi, source: invoice of the hosting company}
    database: [{kind: DbInstance, instance_type: db.t4g.medium, disk_gb: 50}]
    edge: [{kind: LoadBalancer, processed_gb: 60}]
    egress: [{kind: InternetEgress, gb: 60}]
    observability: [{name: Datadog, usd: 138}]
"""  # noqa: E501


@pytest.fixture(scope="module")
def clinic():
    """The clinic's stack"""
    return loads(CLINIC, checks=CHECKS)


@pytest.fixture
def file(tmp_path):
    """The clinic's file"""
    place = tmp_path / "clinic.yaml"
    place.write_text(CLINIC)
    return str(place)


def test_lines_are_priced_or_as_said(clinic):
    """A kind has list prices with their SKU; a name with USD stays as said, with its source; the total is the sum"""
    priced = bill_of(architecture("as-is", clinic, BOOK), clinic, BOOK)
    said = {line.resource: line for line in priced.lines if line.confidence == "said"}
    assert {name: (line.cost, line.source) for name, line in said.items()} == {
        "Build server": (Decimal("19.90"), "invoice of the hosting company"),
        "Datadog": (138, "AWS bill of October 2026")}
    assert all(line.sku or line.source for line in priced.lines if line.cost and line.confidence != "said")
    assert priced.total == sum(priced.by().values()) and priced.by()["orchestration"] == 73


def test_machines_count_and_zones_are_as_said(clinic):
    """Nodes and what was bought elsewhere have their memory; the database that AWS runs is no service on a machine"""
    found = architecture("as-is", clinic, BOOK)
    assert found.capacity.machines == 3 and found.capacity.memory_mib == 2 * 8192 + 4096 and found.capacity.zones == 2
    assert found.on_machines == ("charts",)


def test_compare_with_one_host(clinic):
    """Both totals are there, what only one side has is listed, and what is not known is not made up"""
    found = compare(clinic, BOOK, "as-is", "ec2")
    shown = document(found)
    assert shown["baseline"]["total"] == sum(row["baseline"] for row in shown["rows"])
    only = {(row["feature"], row["only on"]): row["USD"] for row in shown["unmatched"]}
    assert only["Metrics and logs", "as-is"] == 138 and ("Secrets", "ec2") in only and ("Database", "ec2") not in only
    providers = {row["feature"]: row["baseline_provider"] for row in shown["rows"]}
    assert (providers["observability"] == "Datadog" and providers["mail"] == "not said"
            and providers["database"] == "RDS database")
    assert shown["attribution"] == [] and found.same_memory.architecture.capacity.memory_mib >= 20480


def test_commands(file, capsys):
    """cost and compare answer in every form, mark what was said, and say how the other way round is not sized"""
    for form in ("table", "md", "csv", "json"):
        assert main(["cost", "--stack", file, "--architecture", "as-is", "--format", form]) == 0
        assert "Datadog" in (said := capsys.readouterr().out) and ("said" in said)
    assert main(["compare", "--stack", file, "--baseline", "as-is", "--alternative", "ec2"]) == 0
    assert "only one of both sides" in capsys.readouterr().out
    assert main(["compare", "--stack", file, "--baseline", "ec2", "--alternative", "as-is", "--format", "json"]) == 0
    assert "stays as it is" in json.loads(capsys.readouterr().out)["same_memory"]["why"]


def test_without_as_is():
    """A stack that says nothing has no such architecture, and asking for it says what to write"""
    assert "as-is" not in names_for(example())
    for verb in (["cost", "--architecture", "as-is"], ["compare", "--baseline", "as-is"]):
        assert main(verb) == 2


@pytest.mark.parametrize(("old", "new", "line", "text"), [
    ("kind: NodeGroup", "kind: NodeGruop", 16, "Did you mean 'NodeGroup'?"),
    ("nodes: 2", "node: 2", 16, "Did you mean 'nodes'?"),
    ("nodes: 2", "nodes: two", 16, "a whole number of 0 or more"),
    ("m5.large", "m5.lrge", 16, "unknown instance type 'm5.lrge'"),
    ("edge: [{kind", "egde: [{kind", 19, "Did you mean 'edge'?"),
    ('"1.34"', "1.34", 14, "text in quotes"),
    ('"1.34"', '"1.99"', 14, "support dates of Kubernetes 1.99"),
    ("disk_gb: 50", "multi_az: maybe", 18, "true or false is expected"),
    ("usd: 138", "usd: 138, gb: 3", 21, "a line without 'kind' has 'name', 'usd', 'memory' and 'source'"),
    ("usd: 138", "usd: -1", 21, "greater than or equal to 0"),
    ("{name: Datadog, usd: 138}", "{usd: 138}", 21, "'usd' needs a 'name'"),
    ("{name: Datadog, usd: 138}", "{name: Datadog}", 21, "either 'kind' with its fields or 'usd'"),
    ("  source: AWS bill of October 2026\n", "", 10, "this key is required"),
    ("zones: 2", "zone: 2", 12, "Did you mean 'zones'?")])
def test_slips_have_their_line(old, new, line, text, tmp_path, capsys):
    """Whatever is wrong with a line is told with file, line and the nearest name, by every verb that reads the file"""
    assert CLINIC.count(old) == 1
    place = tmp_path / "clinic.yaml"
    place.write_text(CLINIC.replace(old, new))
    for verb in (["stack", "check", str(place)], ["cost", "--stack", str(place)]):
        assert main(verb) == 2
        said = capsys.readouterr().err
        assert re.search(rf"clinic\.yaml:{line}: as_is", said) and text in said, said


def test_file_and_back(clinic):
    """What was read is written back without loss"""
    assert loads(dump(clinic)) == clinic
