"""What a stranger meets in the first hour: failures told in words, files whole or not at all, tables that fit,
answers that show themselves."""
from __future__ import annotations

import ctypes
import io
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

import pretamane_analysis
from pretamane_analysis.base.tables import money, to_json
from pretamane_analysis.bill.bill import bill_rows
from pretamane_analysis.bill.compare import compare
from pretamane_analysis.check.read.tree import Finding
from pretamane_analysis.check.report import verdict
from pretamane_analysis.cli.main import main
from pretamane_analysis.emit.tree import OF_CLUSTER, emitted
from pretamane_analysis.prices.snapshot import bundled, cited, sources
from pretamane_analysis.stack.settings import PURCHASE_OPTIONS
from pretamane_analysis.stack.stack import example, example_text

ROOT = Path(__file__).resolve().parent.parent
COMMAND = f"{shlex.quote(sys.executable)} -m pretamane_analysis"
WIDTHS = (60, 80, 120, 200)
DAC_OVERRIDE, DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24  # capabilities(7), prctl(2)


def shell(command: str, folder: Path | None = None, before=None, **environment: str) -> subprocess.CompletedProcess:
    """Run a shell command in which {} stands for `pretamane`"""
    given = {**os.environ, "PYTHONPATH": str(ROOT), "PRETAMANE_CACHE": "", **environment}
    return subprocess.run(["bash", "-c", command.replace("{}", COMMAND)], capture_output=True, text=True,
                          cwd=folder, env=given, preexec_fn=before, timeout=120)


def told(result: subprocess.CompletedProcess, *words: str) -> bool:
    """Whether a failure is told: exit code 2, the words, no traceback and no request to report it"""
    text = result.stderr
    found = (all(each in text for each in words) and "Traceback" not in text and "report it" not in text
             and "Exception ignored" not in text)
    assert result.returncode == 2 and found, (result.returncode, result.stdout[-300:], text)
    return True


def obedient() -> None:
    """Let also root obey permissions: without these capabilities the next program has only what files grant"""
    for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


# What a command reads and writes through


@pytest.mark.parametrize("words",
                         ["--help", "cost --help", "cost", "compare --format json", "prices list", "stack example"])
def test_output_that_cannot_be_written(words):
    """A full disk and a closed stream behind the standard output are told"""
    assert told(shell(f"{{}} {words} > /dev/full"), "standard output cannot be written: No space left on device")
    assert told(shell(f"{{}} {words} >&-"), "standard output cannot be written: it is closed")


def test_ascii_locale():
    """In the C locale without Python's own remedy, a pipe gets UTF-8"""
    result = shell("{} --help", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert result.returncode == 0 and "Caddyfile, …" in result.stdout and result.stderr == ""


def restore_interrupt() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that it starts"""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted(tmp_path):
    """Ctrl-C says so, and the report that was being written leaves nothing"""
    for name in "abcdef":  # it may be done before the signal arrives; then another one is interrupted
        (folder := tmp_path / name).mkdir()
        running = subprocess.Popen([*shlex.split(COMMAND), "report", "--out", "out"], cwd=folder,
                                   stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
                                   preexec_fn=restore_interrupt)
        until = time.monotonic() + 60
        while not list(folder.rglob("*.part")) and running.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
        if running.returncode:
            break
    assert running.returncode == 130 and "interrupted" in said and "Traceback" not in said
    assert not list(folder.iterdir())


# Files


@pytest.mark.parametrize("words", ["report --out locked/out", "emit locked/out", "draw --out locked/out.svg",
                                   "stack check secret.yaml",
                                   "cost --stack secret.yaml", "audit --claim secret.yaml",
                                   "cost --prices locked/prices", "emit --diff locked/x"])
def test_permission_denied(words, tmp_path):
    """What may not be read or written is told with its name, and nobody is sent to free space"""
    (tmp_path / "secret.yaml").write_text(example_text())
    (tmp_path / "secret.yaml").chmod(0)
    (tmp_path / "locked").mkdir(mode=0)
    result = shell(f"{{}} {words}", tmp_path, obedient)
    (tmp_path / "locked").chmod(0o700)
    assert told(result, words.split()[-1].split("/")[0], "Permission denied")
    assert "space" not in result.stderr and not list((tmp_path / "locked").iterdir())


@pytest.mark.parametrize("verb, limit", [("report --out out", 60_000), ("emit out", 9_000)])
def test_full_disk_leaves_nothing(verb, limit, tmp_path):
    """Where a report or a tree does not fit, nothing of it is there, not even its folder"""
    result = shell(f"{{}} {verb}", tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert told(result, "cannot write", "Nothing was changed")
    assert not list(tmp_path.iterdir())


def test_full_disk_keeps_what_was_there(tmp_path):
    """A tree that cannot be renewed whole stays as it was, and can be renewed afterwards"""
    assert main(["emit", str(tmp_path / "out"), "--only", "caddy"]) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert told(shell("{} emit out", tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))),
                "Nothing was changed")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert main(["emit", str(tmp_path / "out")]) == 0


def test_encodings(tmp_path, capsys):
    """UTF-16 and marks at the beginning are read; what cannot be told apart is an error that names the line"""
    answers = set()
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "stack.yaml").write_text(example_text(), encoding=encoding)
        assert main(["cost", "--stack", str(tmp_path / "stack.yaml"), "--format", "csv"]) == 0
        answers.add(capsys.readouterr().out)
    assert len(answers) == 1
    (tmp_path / "stack.yaml").write_bytes(b"name: x\n# gr\xf6\xdfer\n")
    assert main(["cost", "--stack", str(tmp_path / "stack.yaml")]) == 2
    assert "not UTF-8 text (byte 0xf6 in line 2). Save it as UTF-8" in capsys.readouterr().err


def test_home_that_cannot_be_written():
    """Matplotlib keeps its complaints to itself"""
    environment = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}
    code = "from pretamane_analysis.draw.charts import _style; exec('with _style(): pass')"
    result = shell(f'{shlex.quote(sys.executable)} -c "{code}"', **environment)
    assert result.returncode == 0 and result.stderr == ""


# Words


@pytest.mark.parametrize("words, expected", [
    ("compare --region mars", ["--region", "a region code such as us-east-1", "ap-south-1", "eu-west-1"]),
    ("size --region eu-wst-1", ["Did you mean 'eu-west-1'?"]),
    ("cost --region eu-nowhere-1", ["the snapshot has no prices of this region", "us-east-1", "--source offers"]),
    ("compare --purchase-option spot", ["Did you mean 'Spot-typical'?", *PURCHASE_OPTIONS]),
    ("draw --region moon --out x.svg", ["a region code such as us-east-1"]),
    ("report --region moon", ["a region code such as us-east-1"]),
    ("audit --region moon", ["a region code such as us-east-1"]),
])
def test_choices_are_named(words, expected, capsys, tmp_path, monkeypatch):
    """A name that does not exist is answered with those that do"""
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert all(each in said for each in expected) and "MiB" not in said, said


@pytest.mark.parametrize("source", ["offers", "api"])
def test_offline(source, monkeypatch, capsys):
    """Without a network the answer comes at once, and says so"""
    for name in ("PRETAMANE_OFFERS_URL", "AWS_ENDPOINT_URL_PRICING"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"),
                        ("AWS_DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    start = time.monotonic()
    assert main(["cost", "--source", source]) == 2
    said = capsys.readouterr().err
    assert time.monotonic() - start < 6 and "Traceback" not in said and "report it" not in said
    assert "127.0.0.1" in said and len(said.splitlines()) < 5, said


def test_one_is_not_many():
    """`1 error`, not `1 errors`"""
    one = [Finding("X00", "error", "x", None, "y")]
    assert "1 error, 0 warnings" in verdict(one, []) and "2 errors" in verdict(one * 2, [])


# Comparing


def test_every_pair_is_compared_as_what_it_is():
    """The saving is split by what two architectures differ in, and has the memory of this baseline on this
    alternative"""
    for baseline, alternative in permutations(("eks", "eks-open-source", "ec2-managed", "ec2"), 2):
        found = compare(example(), bundled(), baseline, alternative)
        parts = found.attribution()
        assert sum(row["usd"] for row in parts) == found.saving.usd
        kubernetes, managed = ("eks" in baseline) != ("eks" in alternative), (baseline in ("eks", "ec2-managed")) != (
            alternative in ("eks", "ec2-managed"))
        assert [row["what"].split(":")[0].split(" ", 1)[1].removeprefix("to ") for row in parts] == [
            *["Kubernetes"] * kubernetes, *["the managed data services"] * managed]
        assert found.same_memory.architecture.name == alternative
        assert found.same_memory.architecture.capacity.memory_mib >= found.baseline.architecture.capacity.memory_mib


# Tables


def table_lines(text: str) -> list[str]:
    """The lines of tables, from the header on"""
    lines = text.splitlines()
    rules = [at for at, line in enumerate(lines) if re.fullmatch(r"-{2,}(  -+)+", line)]
    found = []
    for at in rules:
        first = max((i for i in range(at) if not lines[i]), default=-1) + 1
        last = next((i for i in range(at, len(lines)) if not lines[i] or lines[i].startswith("Not shown here")),
                    len(lines))
        found += lines[first:last]
    return found


@pytest.mark.parametrize("words, caption", [
    ("cost", ["EC2 with open source", "ec2 in us-east-1", "typical usage", "730 hours"]),
    ("cost --architecture eks", ["EKS with managed services", "eks in us-east-1"]),
    ("compare", ["in us-east-1", "EKS with managed services", "EC2 with open source", "typical usage"]),
    ("compare --baseline ec2 --alternative eks-open-source --scenario high",
     ["high usage", "from ec2 to eks-open-source"]),
    ("audit", ["in us-east-1", "USD a month"]), ("size", ["in us-east-1", "typical usage"]), ("slo", ["typical usage"]),
    ("prices list AmazonEC2 --region eu-west-1", ["AmazonEC2 in eu-west-1"]),
    ("prices list", ["What the snapshot holds"]),
    ("prices find AmazonEC2 BoxUsage:t3.medium", ["BoxUsage:t3.medium in us-east-1", "OnDemand"]),
])
def test_tables_fit_and_say_what_they_are(words, caption, capsys, monkeypatch):
    """From 60 to 200 columns no table is wider than the screen, amounts stay, and a caption names architecture,
    region and case"""
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        main(words.split())
        said = capsys.readouterr().out
        lines = table_lines(said)
        assert len(lines) > 2 and max(map(len, lines)) <= width, (width, max(lines, key=len))
        flat = " ".join(said.split())
        assert all(each in flat for each in caption), (caption, said[:400])
    if words == "cost":
        assert money(compare(example(), bundled()).alternative.bill.total) in said and "SKU" in said


def test_no_word_is_broken(capsys, monkeypatch):
    """`prices list` shows each usage type and purchase option in one piece"""
    main(["prices", "list", "AmazonEC2", "--format", "csv"])
    names = {line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]}
    monkeypatch.setenv("COLUMNS", "80")
    main(["prices", "list", "AmazonEC2"])
    assert names <= set(capsys.readouterr().out.split())


def test_sku_column_holds_skus():
    """A SKU, or words that say that none was recorded"""
    for side in compare(example(), bundled()).sides.values():
        for row in bill_rows(side.bill)[:-1]:
            assert re.fullmatch(r"[A-Z0-9]{16}|not recorded", row["SKU"]), row


@pytest.mark.parametrize("words", ["compare --format json", "audit --format json"])
def test_percentages_can_be_read_and_are_exact_beside(words, capsys):
    """Each percentage in JSON is a number of few digits with the exact string beside it; amounts stay exact strings"""
    found: list[tuple[float, str]] = []

    def each(document) -> None:
        for key, value in document.items() if isinstance(document, dict) else ():
            if key == "percent" or key.endswith("_percent"):
                found.append((value, document[f"{key}_exact"]))
        for value in document.values() if isinstance(document,
                                                     dict) else document if isinstance(document, list) else ():
            each(value)

    main(words.split())
    each(json.loads(capsys.readouterr().out))
    assert len(found) > 5
    assert all(isinstance(value, (int, float)) and len(str(value)) <= 7
               and abs(Decimal(str(value)) - Decimal(exact)) <= Decimal("0.005")
               for value, exact in found)
    assert json.loads(to_json({"share_percent": Decimal("0.0012345")}))["share_percent"] == 0.00123


def test_sources_can_be_opened_or_say_what_they_are(capsys):
    """A source is a link to a version of a public file, or words without an id of somebody's store"""
    assert main(["prices", "sources"]) == 0
    said = capsys.readouterr().out
    assert "https://github.com/" in said and "stored file id" not in said
    assert all(link.startswith("https://") or not re.search(r"@[0-9a-f]{7}",
                                                            what) for what, link in map(cited, sources().values()))


# What is emitted


@pytest.mark.parametrize("of", [None, OF_CLUSTER], ids=["host", "cluster"])
def test_tree_explains_itself(of):
    """README.md of a tree has every folder, and where to start"""
    files = emitted(example(), of=of) if of else emitted(example())
    page = files["README.md"]
    assert "## Where to start" in page and "terraform -chdir=terraform init" in page and "{{" not in page
    assert all(f"`{path.partition('/')[0]}/`" in page for path in files if "/" in path)
    assert f"{len(files)} files" in page


def test_emit_says_what_it_wrote(tmp_path, capsys):
    """How many files, in which folders, and where to start"""
    assert main(["emit", str(tmp_path / "host")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(emitted(example())) - 1} written" in said and "compose/ (2)" in said
    assert f"Start with {tmp_path / 'host'}/README.md" in said and (tmp_path / "host" / "README.md").is_file()


# Python and Jupyter


def test_answers_show_themselves():
    """A notebook shows tables and pictures, a console one line"""
    stack, book = pretamane_analysis.example(), pretamane_analysis.bundled()
    comparison = pretamane_analysis.compare(stack, book)
    found = pretamane_analysis.findings(stack, book, pretamane_analysis.load_claim(), date(2026, 11, 1))
    problems = pretamane_analysis.check_tree(
        pretamane_analysis.Tree({"compose/compose.yaml": "services: {a: {image: x, environment: {DB_HOST: b}}}\n"}))
    for each, words in ((stack, "meilisearch"), (comparison, f"{comparison.baseline.bill.total:.2f}"),
                        (comparison.baseline.bill, "SKU"), (found, "<img"),
                        (found.audit, "priced"), (problems, "compose/compose.yaml")):
        assert "<table" in each._repr_html_() and words in each._repr_html_()
        assert each is problems or len(repr(each)) < 400
    assert comparison._repr_html_().count("<div") > 10


def test_front_door():
    """Every name of the front door can be imported, none is loaded before it is used, and help is a page"""
    assert all(getattr(pretamane_analysis, name) is not None for name in pretamane_analysis._PLACES)
    with pytest.raises(AttributeError, match="no attribute 'comparre'"):
        getattr(pretamane_analysis, "comparre")  # noqa: B009
    code = ("import sys, pretamane_analysis; print({'pydantic', 'pretamane_analysis.bill'} & {*sys.modules}); "
            "import pydoc; " \
           "print(pydoc.plain(pydoc.render_doc(pretamane_analysis)))")
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout
    page = pretamane_analysis.__doc__ or ""
    assert all(name in page
               for name in pretamane_analysis._PLACES if name != "rules") and page.splitlines()[-1].strip() in lines
    assert lines.startswith("set()")


def test_front_door_shows_what_its_help_says():
    """The example in `help(pretamane_analysis)` gives what stands below it"""
    import doctest

    out = io.StringIO()
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(recurse=False).find(pretamane_analysis, "pretamane_analysis"):
        runner.run(test, out=out.write)
    assert runner.summarize(verbose=False).failed == 0, out.getvalue()
