"""The bills of others that their owners published, and what a reader was promised about each: tests/data/bills/README.md names the sources."""  # noqa: E501
from __future__ import annotations

import csv
import gzip
import json
import re
import time
from collections import Counter
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from test_paid_bill import explorer_day, saved

from pretamane_analysis.cli.main import main
from pretamane_analysis.intake.bill_findings import bill_findings
from pretamane_analysis.intake.bill_views import bill_document
from pretamane_analysis.intake.example_bill import ACCOUNT, example_bill
from pretamane_analysis.intake.inventory import inventory
from pretamane_analysis.intake.read_bill import read_bill
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import loads

BILLS = Path(__file__).parent / "data" / "bills"
PORTAL = BILLS / "web-portal.csv.gz"


def test_a_real_month_in_the_making_is_read_exactly():
    """A real CUR 2.0: sums to the last digit, seven features to six digits, an open period, under two seconds"""
    read_bill(BILLS / "small-cur-2.0.csv")  # DuckDB is loaded
    start = time.process_time()
    bill = read_bill(PORTAL)
    assert time.process_time() - start < 2
    totals = bill.totals()
    assert (round(totals["usage"], 6), round(totals["credit"], 6)) == (Decimal("47.681694"), Decimal("-47.681694"))
    assert abs(totals["net"]) < Decimal("0.0000001")
    assert {name: round(usd, 6) for name, usd in bill.features().items() if usd} == {
        "network": Decimal("23.789078"), "edge": Decimal("8.238362"), "compute": Decimal("7.570018"),
        "database": Decimal("7.374167"), "disks": Decimal("0.640000"), "objects": Decimal("0.069999"),
        "secrets": Decimal("0.000070")}
    assert "open period" in bill.period() and bill.period().startswith("2026-04-01 to 2026-04-16")


def test_what_ran_in_it(tmp_path, capsys):
    """Whole numbers: two machines, one gateway, one balancer, a database in one zone with its 20 GB, four addresses"""
    bill = read_bill(PORTAL)
    assert {"2 x t3.micro instance", "1 x NAT gateway", "1 x application load balancer",
            "1 x db.t3.micro single-AZ MySQL", "4 x public IPv4 address", "20 GB of database disk (gp2)"} <= {
                each.text() for each in inventory(bill)}
    stack = tmp_path / "stack.yaml"
    assert main(["import", str(PORTAL), "--out", str(stack)]) == 0
    line, = loads(stack.read_text()).as_is.features["database"]
    assert line.kind == "DbInstance" and line.fields | {"instance_type": "db.t3.micro", "engine": "mysql", "count": 1,
                                                        "disk_type": "gp2", "disk_gb": 20} == line.fields
    capsys.readouterr()
    assert main(["bill", "compare", str(PORTAL), "--stack", str(stack), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    apart = [each for each in document["rows"] if abs(Decimal(each["difference"])) > Decimal("0.05")]
    assert document["explained_percent"] > 80 and [each["usage_type"] for each in apart] == ["PublicIPv4:InUseAddress"]


def test_two_databases_keep_their_disks_apart(tmp_path):
    """Which disk is whose cannot be told from sums: the disks stay dollars, and both databases are there"""
    rows = list(csv.DictReader(StringIO(example_bill())))
    more = [{**row, "line_item_usage_type": "InstanceUsage:db.t4g.micro", "line_item_resource_id": "db:other",
             "line_item_unblended_cost": "0.384"} for row in rows
            if row["line_item_usage_type"].endswith("db.t4g.medium")]
    out = StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows + more)
    path, stack = saved(tmp_path / "c.csv", out.getvalue()), tmp_path / "stack.yaml"
    assert main(["import", str(path), "--out", str(stack)]) == 0
    found = loads(stack.read_text()).as_is.features["database"]
    assert [each.kind for each in found].count("DbInstance") == 2
    assert not any("disk_gb" in each.fields for each in found)
    assert any("database disk" in each.name and each.usd for each in found)
    one = tmp_path / "one.yaml"
    assert main(["import", str(saved(tmp_path / "d.csv", example_bill())), "--out", str(one)]) == 0
    alone, = (each for each in loads(one.read_text()).as_is.features["database"] if each.kind == "DbInstance")
    assert (alone.fields["disk_type"], alone.fields["disk_gb"]) == ("gp3", 100)


def test_dollars_of_a_day_become_an_inventory(tmp_path):
    """An EKS platform by usage type, dollars only: whole numbers, tax apart, extended support first"""
    bill = read_bill(saved(tmp_path / "day.json", json.dumps(explorer_day())))
    found = inventory(bill, bundled())
    assert not any(each.is_odd for each in found) and bill.totals()["tax"] == Decimal("48.26")
    assert bill_findings(bill, bundled())[0].id == "eks-extended-support"
    assert all(each.meaning.what for each in bill.usage)


def test_both_forms_of_the_same_rows():
    """The legacy report and CUR 2.0 give equal tables but for the name of the form and of the file"""
    first, second = (read_bill(BILLS / f"small-cur-{form}.csv") for form in ("2.0", "legacy"))
    tables = [bill_document(each, bundled()) for each in (first, second)]
    for each in tables:
        each["form"] = each["files"] = ""
        for line in (*each["lines"], *each["findings"]):
            line.pop("file", None)
            line.pop("lines", None)
    assert tables[0] == tables[1] and first.totals()["usage"] == Decimal("0.0652")


def test_focus_without_columns_of_aws_maps_by_service(capsys):
    """The public sample: 942 rows of AWS, features by service; what cannot be told is said, with the way to it"""
    bill = read_bill(BILLS / "focus-sample.csv.gz")
    assert bill.totals()["usage"] + bill.totals()["credit"] == Decimal("18.0066386184")
    assert {"compute", "network", "database", "edge", "orchestration"} <= {*bill.features()}
    assert main(["bill", "read", str(BILLS / "focus-sample.csv.gz")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "57 rows of Microsoft, Oracle" in said and "which resource it is cannot be told" in said
    assert "Cost Explorer > dimension `Usage type`" in said


@pytest.mark.parametrize("form", ["table", "json", "csv", "md"])
def test_no_id_of_a_published_bill_is_shown(form, capsys):
    """Every account and resource of the real bill, in every form of output, without being asked for"""
    with gzip.open(PORTAL, "rt") as file:
        rows = list(csv.DictReader(file))
    private = {row["line_item_resource_id"] for row in rows} | {row["line_item_usage_account_id"] for row in rows}
    assert len(private) > 20 and ACCOUNT in private
    for path in (PORTAL, BILLS / "small-cur-legacy.csv", BILLS / "focus-sample.csv.gz"):
        assert main(["bill", "read", str(path), "--format", form]) == 0
        said = capsys.readouterr().out
        assert not [each for each in private if each and each in said]
        assert not re.search(r"i-0aaaaaaaaaaaaaaaa|db-ABCDEFGHIJKLMN|444455556666|resource-\d+", said)


def test_the_report_links_the_bill(tmp_path, capsys):
    """`report --bill`: a page of its own beside the report, linked both ways, without an id"""
    stack, out = tmp_path / "stack.yaml", tmp_path / "out"
    assert main(["import", str(PORTAL), "--out", str(stack)]) == 0
    assert main(["report", "--stack", str(stack), "--bill", str(PORTAL), "--out", str(out)]) == 0
    page, bill = (out / "index.html").read_text(), (out / "your-bill.html").read_text()
    assert '<a href="your-bill.html">' in page and '<a href="index.html">' in bill
    assert "(your-bill.html)" in (out / "report.md").read_text()
    assert "47.68" in bill and "explained" in bill and ACCOUNT not in bill and "resource-0" not in bill
    capsys.readouterr()
    assert main(["report", "--stack", str(stack), "--bill", str(tmp_path / "none.csv"), "--out", str(out)]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_a_real_bill_has_no_unknown_type_that_is_hidden():
    """Whatever is not known has its cost, and all lines add up to the total"""
    bill = read_bill(PORTAL)
    assert sum(bill.features().values()) == bill.totals()["usage"]
    counted = Counter(each.meaning.known for each in bill.usage if each.billed)
    assert counted[True] > 20 and sum(each.billed for each in bill.unknown()) < Decimal("0.01")
