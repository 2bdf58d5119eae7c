"""README.md is what the index notebook gives, and its commands exist."""
from __future__ import annotations

import re
import subprocess
import sys
from datetime import date

import pytest
from publish import markdown
from site_pages import command_page

from pretamane_analysis.base.tables import to_markdown
from pretamane_analysis.bill.claim import load_claim
from pretamane_analysis.cli.main import HELP
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.report.answer import findings, headline
from pretamane_analysis.report.views import range_rows, verdict, waterfall_rows
from pretamane_analysis.stack.stack import example


@pytest.fixture
def page(root):
    """Return README.md"""
    return (root / "README.md").read_text(encoding="utf-8")


def test_readme_is_the_index(root, page):
    """README.md equals the index notebook (`make export` writes it)"""
    assert page == markdown(root / "nbs" / "index.ipynb")


def test_the_two_commands(page):
    """The first two commands of README.md are `make report` and `make test`"""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    made = list(dict.fromkeys(command for command in commands if command.startswith("make ")))
    assert made[:2] == ["make report", "make test"]


def test_figures_are_those_of_the_report(page):
    """Every figure of the page is one that the report gives today"""
    found = findings(example(), bundled(), load_claim(), date(2026, 11, 22))
    assert headline(found) in page and verdict(found.audit) in page
    for row in waterfall_rows(found.audit):
        assert row["counted"] == "no" or (row["step"] in page and row["saving"] in page)
    assert to_markdown(range_rows(found.comparison)) in page


def test_pictures_of_the_page_exist(root, page):
    """Every picture that the page shows is in the repository, one chart and one drawing at least"""
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page)
    assert len(pictures) >= 2 and all((root / each).stat().st_size > 1000 for each in pictures)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_verbs_exist(root, document):
    """Every make verb that a document names is in the Makefile"""
    verbs = set(re.findall(r"^([a-z0-9]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    text = (root / document).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z0-9]+)", text, flags=re.MULTILINE))
    assert named and named <= verbs


def test_ci_runs_the_readmes_test_command(root):
    """CI runs the very command that README.md gives"""
    assert re.search(r"^\s*make test$", (root / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_command_line_page_has_every_verb(monkeypatch):
    """The page of the site holds what `--help` prints for the command, each verb that it lists and each verb of
    those"""
    monkeypatch.setenv("COLUMNS", "110")
    (page,) = command_page().values()
    verbs = re.findall(r"^  ([a-z]+) {2,}", HELP, flags=re.MULTILINE)
    assert len(verbs) >= 11 and HELP in page
    for verb in verbs:
        said = subprocess.run([sys.executable, "-m", "pretamane_analysis", verb, "--help"], capture_output=True,
                              text=True, check=True).stdout
        assert said in page
        inner = re.match(r"usage: pretamane \w+ \[-h\] ([a-z|]+) \.\.\.", said)
        assert all(f"usage: pretamane {verb} {each} " in page for each in (inner[1].split("|") if inner else ()))
