"""The command as a person uses it: what it prints, its exit codes, and that no traceback ever reaches them."""
from __future__ import annotations

import csv
import io
import json
import os
import resource
import shlex
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest

from pretamane_analysis.base.files import data_path
from pretamane_analysis.cli.main import main
from pretamane_analysis.prices.rows import PREFIX
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example_text

COMMAND = [sys.executable, "-m", "pretamane_analysis"]
FOCUS = {"ServiceName", "SkuId", "PricingQuantity", "PricingUnit", "ListUnitPrice", "ListCost",
         "EffectiveCost", "RegionId", "ChargeDescription"}


def run(*words: str, folder: Path | None = None, **more) -> subprocess.CompletedProcess:
    """Call the command in a folder without kept answers"""
    environment = {**os.environ, "PRETAMANE_CACHE": "", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, cwd=folder, env=environment, **more)


def called(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess:
    """The same within this process, which spares the start of Python; what reads and writes as a process does has one
    of its own"""
    out, error = io.StringIO(), io.StringIO()
    with (chdir(folder or Path.cwd()), redirect_stdout(out), redirect_stderr(error),
          patch.dict(os.environ, PRETAMANE_CACHE="")):
        try:
            code = main([*words])
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(words, code or 0, out.getvalue(), error.getvalue())


def written(folder: Path, text: str) -> str:
    """Write a stack file and return its name"""
    (folder / "stack.yaml").write_text(text)
    return "stack.yaml"


def test_cost_contract():
    """JSON of `cost`: the keys, FOCUS columns, amounts as strings, a total that is the sum of its lines"""
    bill = json.loads(called("cost", "--architecture", "eks", "--format", "json").stdout)
    assert {"stack", "architecture", "region", "currency", "hours_per_month", "prices", "total", "lines"} <= bill.keys()
    assert {"source", "as_of"} <= bill["prices"].keys()
    assert all(FOCUS | {"resource", "tier", "note"} <= line.keys() for line in bill["lines"])
    assert all(isinstance(line["EffectiveCost"], str) for line in bill["lines"])
    assert sum(Decimal(line["EffectiveCost"]) for line in bill["lines"]) == Decimal(bill["total"])


@pytest.mark.parametrize("verb", ["cost", "compare", "audit", "size"])
def test_stack_from_a_pipe(verb, tmp_path):
    """`--stack /dev/stdin` and `--stack <(...)` are files like others, with and without a cache folder"""
    text = example_text().replace("memory: 512Mi", "memory: 513Mi", 1)
    claim = ["--claim", str(data_path("example_claim.yaml"))] if verb == "audit" else []
    usual = run(verb, "--stack", written(tmp_path, text), "--format", "csv", *claim, folder=tmp_path)
    assert run(verb, "--stack", "/dev/stdin", "--format", "csv", *claim, input=text).stdout == usual.stdout
    piped = ["bash", "-c", f'{shlex.join(COMMAND)} {verb} --stack <(cat stack.yaml) --format csv {shlex.join(claim)}']
    environment = {**os.environ, "PRETAMANE_CACHE": str(tmp_path / "cache"),
                   "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run(piped, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.stdout, done.returncode) == (usual.stdout, usual.returncode)
    assert usual.returncode < 2 and not (tmp_path / "cache").exists()


def test_compare_contract():
    """JSON of `compare`: both totals, the saving, rows that add up"""
    found = json.loads(called("compare", "--format", "json").stdout)
    totals = [Decimal(found[side]["total"]) for side in ("baseline", "alternative")]
    assert Decimal(found["saving"]["usd"]) == totals[0] - totals[1]
    assert [sum(Decimal(row[side]) for row in found["rows"]) for side in ("baseline", "alternative")] == totals


def test_audit_contract():
    """JSON of `audit`: claimed, priced, difference and reason of each line, the range; exit code 1 for a claim that
    fails"""
    result = called("audit", "--format", "json")
    found = json.loads(result.stdout)
    assert result.returncode == 1
    assert all({"claimed", "priced", "difference", "reason"} <= row.keys() for row in found["lines"])
    low, central, high = (Decimal(found["defensible"][f"{name}_percent"]) for name in ("low", "central", "high"))
    assert low <= central <= high < Decimal(found["defensible"]["claimed_percent"])


@pytest.mark.parametrize("verb", ["cost", "compare", "audit", "size"])
def test_csv_is_a_table(verb):
    """CSV has a header and as many fields in each row; the age of the prices is told on the standard error"""
    result = called(verb, "--format", "csv")
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert len(rows) > 2 and len({len(row) for row in rows}) == 1
    assert "days old" in result.stderr


@pytest.mark.parametrize("verb", ["cost", "compare", "audit", "size"])
@pytest.mark.parametrize("form", ["table", "md"])
def test_age_is_shown(verb, form):
    """Every output for people ends with the age of the prices"""
    assert "days old" in called(verb, "--format", form).stdout.splitlines()[-1]


BAD_STACKS = {
    "typo in a key": (lambda text: text.replace("    memory: 512Mi", "    memroy: 512Mi", 1),
                      ["stack.yaml:", "Did you mean 'memory'?"]),
    "not YAML": (lambda text: text + "\n  x: [", ["not YAML"]),
    "a list": (lambda text: "- 1\n", ["a mapping of keys"]),
    "empty": (lambda text: "", ["a mapping of keys"]),
    "unknown volume": (lambda text: text.replace("volume: minio-data", "volume: minio-dat", 1),
                       ["Did you mean 'minio-data'?"]),
    "unknown host type": (lambda text: text.replace("host:\n", "host:\n  instance_type: t3.medum\n"),
                          ["Did you mean 't3.medium'?"]),
    "unknown node type": (lambda text: text.replace("node_instance_type: t3.medium", "node_instance_type: t3.mediun"),
                          ["Did you mean 't3.medium'?"]),
    "unknown Kubernetes": (lambda text: text.replace('version: "1.35"', 'version: "1.99"'), ["Kubernetes 1.99"]),
    "unknown search type": (lambda text: text.replace("eks:\n", "eks:\n  search_instance_type: t3.smal.search\n"),
                            ["no price for AmazonES"]),
    "region without prices": (lambda text: text.replace("region: us-east-1", "region: eu-nowhere-1"), ["eu-nowhere-1"]),
    "negative usage": (lambda text: text.replace("requests: {low: 200000", "requests: {low: -1"),
                       ["stack.yaml:", "usage.requests.low"]),
    "a tab": (lambda text: text.replace("  caddy:", "\tcaddy:", 1), ["not YAML"]),
    "python object": (lambda text: text + "\nx: !!python/object/apply:os.system [id]\n", ["not YAML"]),
}


@pytest.mark.parametrize("name", BAD_STACKS)
def test_bad_stack(name, tmp_path):
    """A stack that is wrong: exit code 2, one message that names place and remedy, no traceback, nothing on the
    standard output"""
    change, expected = BAD_STACKS[name]
    text = change(example_text())
    assert text != example_text()
    result = called("compare", "--stack", written(tmp_path, text), folder=tmp_path)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert all(each in result.stderr for each in expected), result.stderr


@pytest.mark.parametrize("words, expected", [
    (["cots"], "Did you mean 'cost'?"),
    (["cost", "--stack", "missing.yaml"], "missing.yaml: cannot read"),
    (["cost", "--stack", "."], "cannot read"),
    (["cost", "--hours", "many"], "--hours"),
    (["cost", "--hours", "inf"], "--hours"),
    (["cost", "--architecture", "ecs"], "invalid choice"),
    (["cost", "--region", "virginia"], "virginia"),
    (["prices", "find", "AWSELB", "LoadBalancerUsage"], "3 prices match"),
    (["prices", "list", "AmazonEC3"], "AmazonEC3"),
    (["prices", "find", "AmazonEC2", "BoxUsage:t3.medium", "--attribute", "tenancy"], "NAME=VALUE"),
    (["draw", "--out", "picture.gif"], ".svg, .png, .dot"),
    (["audit", "--claim", "missing.yaml"], "missing.yaml"),
    (["stack", "check", "missing.yaml"], "missing.yaml"),
    (["emit", "out", "--only", "compos"], "Did you mean 'compose'?"),
])
def test_bad_words(words, expected, tmp_path):
    """Words that are wrong: exit code 2, the place is named, no traceback"""
    result = called(*words, folder=tmp_path)
    assert result.returncode == 2, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr and expected in result.stderr, result.stderr


def test_region_without_prices(tmp_path):
    """A region whose machines the snapshot does not price: exit code 2, the price, the region and the remedy are
    named, nothing is billed"""
    region = next(each for each in PREFIX if not bundled().candidates("AmazonEC2", each, "BoxUsage:t3.medium"))
    result = called("cost", "--region", region, "--architecture", "eks", folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "no price for AmazonEC2 BoxUsage:t3.medium" in result.stderr and f"in {region}" in result.stderr
    assert "--source offers" in result.stderr and "Traceback" not in result.stderr


def test_binary_stack(tmp_path):
    """A file that is no text"""
    (tmp_path / "stack.yaml").write_bytes(bytes(range(256)))
    result = called("cost", "--stack", "stack.yaml", folder=tmp_path)
    assert result.returncode == 2 and "not UTF-8" in result.stderr


def test_full_disk_loses_nothing(tmp_path):
    """Where a file cannot be written whole, the old one stays, no part is left, and the place is named"""
    target = tmp_path / "ec2.dot"
    target.write_text("the old drawing")
    result = run("draw", "--out", "ec2.dot", folder=tmp_path,
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    assert result.returncode == 2 and "ec2.dot: cannot write" in result.stderr
    assert target.read_text() == "the old drawing" and os.listdir(tmp_path) == ["ec2.dot"]


def test_closed_pipe_is_quiet():
    """`pretamane cost | head` says nothing on the standard error"""
    command = f"{shlex.join(COMMAND)} cost --format json | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert result.stdout == "{\n" and result.stderr == ""


def test_report_folder(tmp_path):
    """The report holds a page, a text, every table as CSV and JSON, pictures; the page needs nothing beside itself"""
    result = run("report", "--out", "out", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    out = tmp_path / "out"
    tables = {path.stem for path in (out / "tables").glob("*.csv")}
    assert tables and tables == {path.stem for path in (out / "tables").glob("*.json")}
    assert all(json.loads(path.read_text()) is not None for path in out.rglob("*.json"))
    page = (out / "index.html").read_text()
    assert 'src="http' not in page and "url(http" not in page and page.count("<img") + page.count("<svg") >= 4
    assert not list(out.rglob("*.part")) and (out / "report.md").stat().st_size > 1000
    assert {path.suffix for path in (out / "pictures").iterdir()} == {".svg", ".png"}


def test_stack_verbs(tmp_path):
    """The example can be printed, checked and priced; the schema accepts it and refuses a typo"""
    import jsonschema
    import yaml

    text = called("stack", "example").stdout
    assert text == example_text()
    assert called("stack", "check", written(tmp_path, text), folder=tmp_path).returncode == 0
    schema = json.loads(called("stack", "schema").stdout)
    content = json.loads(json.dumps(yaml.safe_load(text), default=str))
    jsonschema.validate(content, schema)
    content["services"]["caddy"]["memroy"] = "1Gi"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_help_of_every_verb():
    """Each verb has a help, and the overview lists it"""
    overview = called("--help").stdout
    for verb in ("cost", "compare", "audit", "size", "draw", "report", "emit", "check", "prices", "stack"):
        assert f"  {verb}" in overview
        assert called(verb, "--help").stdout.startswith(f"usage: pretamane {verb}")
