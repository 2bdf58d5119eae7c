"""Bills that were paid: every form is read to the last digit, nothing private is shown, and what is wrong is said
with a remedy."""
from __future__ import annotations

import csv
import gzip
import json
import re
import zipfile
from decimal import Decimal
from io import StringIO

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.cli.main import main
from pretamane_analysis.intake.bill_findings import bill_findings
from pretamane_analysis.intake.example_bill import ACCOUNT, EXAMPLE_FORMS, example_bill, example_rows
from pretamane_analysis.intake.inventory import inventory
from pretamane_analysis.intake.read_bill import read_bill
from pretamane_analysis.prices.snapshot import bundled

USAGE = sum(row["billed"] for row in example_rows() if row["line_type"] == "Usage")
CUR = example_bill("cur-legacy")


def saved(path, content):
    """Write text or bytes to a new file, and return its path"""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(header, *rows):
    """A CSV of dictionaries"""
    out = StringIO()
    writer = csv.DictWriter(out, header, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def facts(bill):
    """What must not depend on the form of a bill"""
    return bill.totals(), bill.features(), [each.text() for each in inventory(bill)], bill.period(), bill.amortized()


def parquet(path, text, folder):
    """The same rows as a Parquet file with numbers, dates and a map, as Athena and Data Exports write them"""
    import duckdb

    source = saved(folder / "rows.csv", text)
    duckdb.sql(f"COPY (SELECT *, MAP {{'region': 'us-east-1'}} AS product FROM read_csv('{source}', sample_size "
               f"= -1)) TO '{path}' (FORMAT parquet)")
    return path


def test_sums_are_exact_in_every_form(tmp_path):
    """The old report, CUR 2.0, its Parquet, FOCUS, packed and unpacked say the same to the last digit"""
    bills = [read_bill(saved(tmp_path / form, example_bill(form))) for form in EXAMPLE_FORMS[:3]]
    bills.append(read_bill(parquet(tmp_path / "c.parquet", example_bill("cur-2.0"), tmp_path / "p")))
    bills.append(read_bill(saved(tmp_path / "packed", gzip.compress(CUR.encode()))))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("inside/c.csv", CUR)
    bills.append(read_bill(tmp_path / "c.zip"))
    assert bills[0].totals()["usage"] == USAGE
    assert bills[0].totals()["net"] == USAGE - 25 + Decimal("41.5")
    assert [facts(each) for each in bills] == [facts(bills[0])] * len(bills)


def test_inventory_and_features(tmp_path):
    """Counts come out whole; usage is split by feature, and adds up"""
    bill = read_bill(saved(tmp_path / "c.csv", CUR))
    counted = [each.text() for each in inventory(bill)]
    assert {"1 x EKS control plane", "3 x t3.large instance", "2 x NAT gateway", "4 x public IPv4 address",
            "1 x application load balancer",
            "1 x db.t4g.medium single-AZ PostgreSQL", "100 GB of gp2 disk", "2 x KMS key",
            "4 x secret in Secrets Manager"} <= {*counted}
    assert sum(bill.features().values()) == USAGE
    assert not any(each.is_odd for each in inventory(bill))


def test_open_period_is_said(tmp_path, capsys):
    """A month that is not over says so, and how many days it has"""
    rows = list(csv.DictReader(StringIO(CUR)))
    kept = [{**row, "bill/InvoiceId": ""} for row in rows if row["lineItem/UsageStartDate"] < "2026-09-17"]
    bill = read_bill(saved(tmp_path / "c.csv", table(rows[0], *kept)))
    assert bill.period() == "2026-09-01 to 2026-09-16, open period, 16 days of 30"
    assert {each.text() for each in inventory(bill)} >= {"3 x t3.large instance", "100 GB of gp2 disk",
                                                         "2 x NAT gateway"}
    assert main(["bill", "read", str(tmp_path / "c.csv")]) == 0
    assert "The period is open: 16 of 30 days" in capsys.readouterr().out


def explorer_day():
    """A February day of an EKS platform as GetCostAndUsage gives it by usage type: dollars only, made up from list
    prices"""
    month = Decimal(24) / 672
    usd = {"BoxUsage:t3.xlarge": 48 * Decimal("0.1664"), "USE1-AmazonEKS-Hours:perCluster": 24 * Decimal("0.1"),
           "USE1-AmazonEKS-Hours:extendedSupport": 24 * Decimal("0.5"),
           "EBS:VolumeUsage.gp3": 514 * month * Decimal("0.08"),
           "NatGateway-Hours": 48 * Decimal("0.045"), "USE1-PublicIPv4:InUseAddress": 168 * Decimal("0.005"),
           "us-east-1-KMS-Keys": 5 * month,
           "LoadBalancerUsage": 48 * Decimal("0.0225"), "NoUsageType": Decimal("48.26"),
           "TimedStorage-ByteHrs": Decimal("0.2")}
    groups = [{"Keys": [key], "Metrics": {"UnblendedCost": {"Amount": f"{amount:.10f}", "Unit": "USD"}}}
              for key, amount in usd.items()]
    return {"GroupDefinitions": [{"Type": "DIMENSION", "Key": "USAGE_TYPE"}], "ResultsByTime": [
        {"TimePeriod": {"Start": "2026-02-01", "End": "2026-02-02"}, "Groups": groups, "Estimated": True}]}


def test_dollars_alone_give_whole_numbers(tmp_path):
    """Cost Explorer without amounts: tax apart, counts from list prices, extended support first, what is ambiguous
    left open"""
    bill = read_bill(saved(tmp_path / "ce.json", json.dumps(explorer_day())))
    assert bill.totals()["tax"] == Decimal("48.26")
    assert {each.text() for each in inventory(bill, bundled())} == {
        "2 x t3.xlarge instance", "1 x EKS control plane", "1 x EKS extended support", "514 GB of gp3 disk",
        "2 x NAT gateway", "7 x public IPv4 address", "5 x KMS key", "2 x load balancer"}
    found = bill_findings(bill, bundled())
    assert (found[0].id, found[0].saves) == ("eks-extended-support", 336)
    assert [each.usage_type for each in bill.unknown()] == ["TimedStorage-ByteHrs"]


def test_explorer_csvs_are_merged(tmp_path):
    """A file of one service's usage types is a part of the file of services: nothing counts twice"""
    saved(tmp_path / "s.csv", "Service,EC2-Other($),VPC($),Total costs($)\nService total,3.24,0.5,3.74\n"
          "2026-02-01,2.16,0.5,2.66\n2026-02-02,1.08,,1.08\n")
    saved(tmp_path / "u.csv", "Usage type,NatGateway-Hours($),Total costs($)\nUsage type total,3.24,3.24\n"
          "2026-02-01,2.16,2.16\n2026-02-02,1.08,1.08\n")
    bill = read_bill([tmp_path / "s.csv", tmp_path / "u.csv"])
    assert bill.totals()["usage"] == Decimal("3.74")
    assert {each.usage_type for each in bill.lines} == {"NatGateway-Hours", ""}


def invoice():
    """An invoice CSV in the form of the Bills page: every line as linked and as payer's, and three kinds of sums"""
    header = ("InvoiceID,PayerAccountId,LinkedAccountId,RecordType,RecordID,BillingPeriodStartDate,"
              "BillingPeriodEndDate,ProductCode,ProductName,"
              "UsageType,Operation,RateId,UsageStartDate,UsageEndDate,UsageQuantity,CurrencyCode,CostBeforeTax,Credits,TaxAmount,TotalCost").split(",")
    period = {"InvoiceID": "1", "PayerAccountId": ACCOUNT, "CurrencyCode": "USD",
              "BillingPeriodStartDate": "2026/09/01 00:00:00",
              "BillingPeriodEndDate": "2026/09/30 23:59:59", "UsageStartDate": "2026/09/01 00:00:00",
              "UsageEndDate": "2026/10/01 00:00:00"}
    lines = [{"ProductCode": "AmazonEC2", "UsageType": "NatGateway-Hours", "Operation": "NatGateway",
              "UsageQuantity": "720",
              "CostBeforeTax": "32.400000", "Credits": "-2.40", "TaxAmount": "5.70", "TotalCost": "35.70"},
             {"ProductCode": "AmazonVPC", "UsageType": "USE1-PublicIPv4:InUseAddress", "Operation": "RunInstances",
              "UsageQuantity": "1440",
              "CostBeforeTax": "7.20", "Credits": "0.00", "TaxAmount": "1.37", "TotalCost": "8.57"}]
    sums = [{"RecordType": kind, "CostBeforeTax": "39.60", "Credits": "-2.40", "TaxAmount": "7.07",
             "TotalCost": "44.27"}
            for kind in ("InvoiceTotal", "AccountTotal", "StatementTotal")]
    rows = [{**line, "RecordType": kind} for kind in ("LinkedLineItem", "PayerLineItem") for line in lines]
    return "Don't see your tags in the report? New tags are excluded by default\n" + table(
        header, *({**period, **row} for row in [*rows, *sums]))


def test_invoice_counts_once(tmp_path):
    """The sum of an invoice is its own total, not two or three times that"""
    bill = read_bill(saved(tmp_path / "ecsv.csv", invoice()))
    assert bill.totals()["net"] == Decimal("44.27")
    assert (bill.totals()["usage"], bill.totals()["credit"],
            bill.totals()["tax"]) == (Decimal("39.60"), Decimal("-2.40"), Decimal("7.07"))
    assert {each.text() for each in inventory(bill)} == {"1 x NAT gateway", "2 x public IPv4 address"}


COMMITTED = (  # line type, unblended, other columns, what of it counts as amortized
    ("Usage", "10", {}, "10"), ("DiscountedUsage", "0", {"reservation/EffectiveCost": "6"}, "6"),
    ("SavingsPlanCoveredUsage", "20", {"savingsPlan/SavingsPlanEffectiveCost": "14"}, "14"),
    ("SavingsPlanNegation", "-20", {}, "0"),
    ("SavingsPlanRecurringFee", "16",
     {"savingsPlan/TotalCommitmentToDate": "16", "savingsPlan/UsedCommitment": "14"}, "2"),
    ("SavingsPlanUpfrontFee", "100", {}, "0"),
    ("RIFee", "7", {"reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "0.5",
                    "reservation/UnusedRecurringFee": "0.25"}, "0.75"),
    ("Fee", "50", {"reservation/ReservationARN": "arn:aws:ec2:us-east-1:111122223333:reserved-instances/1"}, "0"),
    ("Fee", "3", {}, "3"))


def test_commitments_are_amortized_by_the_rules(tmp_path):
    """Reserved and Savings Plan lines cost what the user guide says; what was paid stays as it was"""
    header = list(csv.DictReader(StringIO(CUR)).fieldnames) + sorted({key for _, _, more, _ in COMMITTED
                                                                      for key in more})
    base = next(csv.DictReader(StringIO(CUR)))
    rows = [{**base, "lineItem/LineItemType": kind, "lineItem/UnblendedCost": usd,
             **more} for kind, usd, more, _ in COMMITTED]
    bill = read_bill(saved(tmp_path / "c.csv", table(header, *rows)))
    assert bill.amortized() == sum(Decimal(part) for *_, part in COMMITTED)
    assert bill.totals()["net"] == sum(Decimal(usd) for _, usd, _, _ in COMMITTED)
    assert bill.totals()["usage"] == 10  # the covered hours and what takes them back


def test_split_cost_is_no_part_of_totals(tmp_path):
    """Pods are the nodes' cost a second time: they answer what a namespace costs and nothing else"""
    header = [*csv.DictReader(StringIO(CUR)).fieldnames, "splitLineItem/SplitCost", "splitLineItem/UnusedCost"]
    base = next(csv.DictReader(StringIO(CUR)))
    pods = [{**base, "lineItem/Operation": "EKSPod-EC2", "lineItem/UsageType": "USE1-EKS-EC2-vCPU-Hours",
             "lineItem/UnblendedCost": "0",
             "lineItem/ResourceId": f"arn:aws:eks:us-east-1:{ACCOUNT}:pod/shop/{space}/api-1/u",
             "splitLineItem/SplitCost": "3", "splitLineItem/UnusedCost": "1"} for space in ("web", "jobs", "web")]
    bill = read_bill(saved(tmp_path / "c.csv", table(header, *csv.DictReader(StringIO(CUR)), *pods)))
    assert bill.totals()["usage"] == USAGE
    assert bill.namespaces == (("namespace 1", Decimal(8)), ("namespace 2", Decimal(4)))
    assert all("EKS-EC2" not in each.usage_type for each in bill.lines)


def test_chunks_of_the_newest_delivery(tmp_path):
    """A folder with two deliveries is one month: the manifest on top says which chunks count; without it the second
    is refused"""
    rows = list(csv.DictReader(StringIO(CUR)))
    for delivery, part in (("old", rows[:400]), ("new", rows)):
        for number, chunk in enumerate((part[:300], part[300:]), 1):
            saved(tmp_path / f"20260901-20261001/{delivery}/r-{number}.csv.gz",
                  gzip.compress(table(rows[0], *chunk).encode()))
    keys = [f"x/r/20260901-20261001/new/r-{number}.csv.gz" for number in (1, 2)]
    manifest = saved(tmp_path / "20260901-20261001/r-Manifest.json", json.dumps({"reportKeys": keys}))
    bill = read_bill(tmp_path)
    assert bill.totals()["usage"] == USAGE and "left out" in bill.notes[0]
    manifest.unlink()
    with pytest.raises(PretamaneError, match="the same month twice"):
        read_bill(tmp_path)


BAD = {
    "ragged": (CUR + "1,2026\n", "columns where the header has 16"),
    "semicolons": (CUR.replace(",", ";"), "parted by semicolons"),
    "decimal commas": (CUR.replace(",72,USD,5.9904000000,", ',72,USD,"5,9904",', 1), "decimal comma"),
    "no amount": (CUR.replace(",72,USD,5.9904000000,", ",72,USD,many,", 1), "'many' is no amount"),
    "two months": (CUR.replace("1,2026-09-01T", "1,2026-08-01T", 1), "2 months together: 2026-08, 2026-09"),
    "euros": (CUR.replace(",USD,", ",EUR,"), "amounts are in EUR"),
    "no rows": (CUR.splitlines()[0] + "\n", "it has no rows"),
    "nothing known": ("a,b\n1,2\n", "this is no bill that is known"),
    "explorer in hours": ("Usage type,NatGateway-Hours(Hrs),Total usage(Hrs)\n2026-02-01,24,24\n", "not in dollars"),
    "no groups": (json.dumps({**explorer_day(), "GroupDefinitions": []}), "not grouped by service or usage type"),
    "a PDF": ("%PDF-1.7", "a PDF cannot be added up"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_a_remedy(name, tmp_path, capsys):
    """What cannot be read is one message with place and remedy, exit code 2, no traceback"""
    content, expected = BAD[name]
    path = saved(tmp_path / "bill.csv", content)
    assert main(["bill", "read", str(path)]) == 2
    said = capsys.readouterr()
    assert expected in said.err and "bill.csv" in said.err and said.out == ""
    assert re.search(r"Download|download|In the console|Choose|Take the file|With amounts", said.err)


def test_protected_archive(tmp_path, capsys):
    """An archive with a password says to unpack it"""
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("c.csv", CUR)
    content = bytearray((tmp_path / "c.zip").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    assert main(["bill", "read", str(saved(tmp_path / "d.zip", bytes(content)))]) == 2
    assert "protected by a password" in capsys.readouterr().err


def test_focus_without_columns_of_aws(tmp_path):
    """A FOCUS file with services only still has features, says what it cannot tell, and leaves other clouds out"""
    text = example_bill("focus-bare") + example_bill("focus-bare").splitlines()[1].replace(
        ",AWS,", ",Other Cloud,").replace("2.4,", "7,") + "\n"
    bill = read_bill(saved(tmp_path / "f.csv", text))
    assert bill.totals()["usage"] == USAGE
    assert (bill.features()["orchestration"], bill.features()["database"]) == (432, Decimal("58.299999999"))
    assert "1 row of Other Cloud" in bill.notes[0] and "without a usage type" in bill.notes[1]


def test_unknown_usage_types_are_listed_and_taught(tmp_path, capsys):
    """What is not known stands with its cost, the file and the line where it can be taught; taught, it is known"""
    path = saved(tmp_path / "c.csv", CUR.replace("AmazonEC2,NatGateway-Hours", "AmazonNew,USE1-Widget-Hours"))
    assert main(["bill", "read", str(path)]) == 0
    said = capsys.readouterr().out
    assert ("64.80 USD: AmazonNew USE1-Widget-Hours" in said and "line 2: AmazonNew,Widget-Hours" in said
            and "--usage-types" in said)
    own = saved(tmp_path / "own.csv",
                "product,usage_type,resource,feature,meter,what\nAmazonNew,Widget-Hours,Widget,compute,hours,widget\n")
    assert main(["bill", "read", str(path), "--usage-types", str(own), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unknown"] == [] and {"Widget"} <= {each["resource"] for each in document["inventory"]}
    assert main(["bill", "read", str(path), "--usage-types", str(saved(tmp_path / "bad.csv", "x,y\n"))]) == 2


PLANTED = (ACCOUNT, "i-0planted00000000", "planted-name", "planted-tag")


def planted(form):
    """The example bill with an account, a resource, a name and a tag that nobody may see"""
    rows = list(csv.DictReader(StringIO(example_bill(form))))
    resource = next(key for key in rows[0] if key.lower().replace("_", "").endswith("resourceid"))
    more = {"cur-legacy": ("resourceTags/user:Name", "bill/PayerAccountName"),
            "cur-2.0": ("resource_tags", "bill_payer_account_name"), "focus": ("Tags", "SubAccountName")}[form]
    return table([*rows[0], *more], *({**row, resource: "i-0planted00000000", more[0]: '{"Name": "planted-tag"}',
                                       more[1]: "planted-name"} for row in rows))


@pytest.mark.parametrize("form", EXAMPLE_FORMS[:3])
def test_nothing_private_is_shown(form, tmp_path, capsys):
    """Accounts, resources, names and tags are in no output unless asked for"""
    path, stack = saved(tmp_path / f"{ACCOUNT}-bill.csv", planted(form)), tmp_path / "stack.yaml"
    commands = [["bill", "read", str(path), "--format", each] for each in ("table", "json", "csv", "md")]
    commands += [["import", str(path), "--out", str(stack)],
                 ["bill", "compare", str(path), "--stack", str(stack), "--format", "json"],
                 ["bill", "read", str(saved(tmp_path / f"{ACCOUNT}-bad.csv", planted(form) + "x,y\n"))]]
    assert [main(each) for each in commands] == [0] * 6 + [2]
    said = capsys.readouterr()
    shown = (said.out + said.err + stack.read_text()).replace(str(tmp_path), "")
    assert not [each for each in PLANTED if each in shown]
    assert main(["bill", "read", str(path), "--show-ids", "--format", "json"]) == 0
    asked = capsys.readouterr().out
    assert ACCOUNT in asked and "i-0planted00000000" in asked


def test_json_contract(tmp_path, capsys):
    """The keys that programs rely on; amounts are text"""
    assert main(["bill", "read", str(saved(tmp_path / "c.csv", CUR)), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"files", "form", "period", "currency", "totals", "features", "inventory", "lines", "unknown",
            "findings"} <= document.keys()
    assert document["period"] == {"start": "2026-09-01T00:00:00Z", "end": "2026-10-01T00:00:00Z", "open": False}
    assert {*document["totals"]} == {"usage", "credit", "tax", "refund", "fee", "other", "net"}
    assert Decimal(document["totals"]["usage"]) == USAGE and isinstance(document["totals"]["usage"], str)
    assert {"BilledCost", "EffectiveCost", "feature", "resource", "file", "row"} <= document["lines"][0].keys()
    assert {"resource", "what", "quantity", "unit", "hours", "region"} <= document["inventory"][0].keys()
    assert sum(Decimal(each["BilledCost"]) for each in document["lines"]) == Decimal(document["totals"]["net"])


def test_stack_from_a_bill_answers(tmp_path, capsys):
    """A stack that was written from a bill prices nearly all of it, and can be compared with others"""
    path, stack = saved(tmp_path / "c.csv", CUR), tmp_path / "stack.yaml"
    assert main(["import", str(path), "--out", str(stack)]) == 0
    assert main(["import", str(path), "--out", str(stack)]) == 2
    assert main(["bill", "compare", str(path), "--stack", str(stack), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out.split("compares it.\n")[1])
    assert document["explained_percent"] > 95 and document["architecture"] == "as-is"
    assert sum(Decimal(each["bill_usd"]) for each in document["rows"]) == USAGE
    assert main(["compare", "--stack", str(stack), "--baseline", "as-is", "--alternative", "ec2"]) == 0
    assert "extended" in stack.read_text()
